package postgrestest

import (
	"io"
	"syscall"
)

// lifeline is never closed: its end is that of the process.
var lifeline io.Closer

// newGroup keeps a Ctrl-C that ends the tests from ending what cleans up behind them.
func newGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
