package server

import (
	"errors"
	"fmt"
	"net"
	"syscall"

	"github.com/patchbay-io/patchbay/core/config"
)

// listen opens a port. setting is what its user would change.
func listen(address config.Address, setting string) (net.Listener, error) {
	l, err := net.Listen("tcp", string(address))
	if err == nil {
		return l, nil
	}
	flag := "--" + map[string]string{"PATCHBAY_ADDR": "addr", "PATCHBAY_WS_ADDR": "ws-addr"}[setting]
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("the port of %s is in use by another program; choose another with %s (%s)", address, setting, flag)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("this user may not listen on %s; choose a port from 1024 with %s (%s)", address, setting, flag)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("%s is no address of this machine; choose one with %s (%s)", address, setting, flag)
	default:
		return nil, fmt.Errorf("listen on %s (%s): %w", address, setting, err)
	}
}
