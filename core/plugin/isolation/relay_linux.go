package isolation

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// launchTime bounds the launcher's way to its listener, and from there to the plugin.
const launchTime = 10 * time.Second

// relayed says that the process has a namespace with a listener in it.
func (p *Process) relayed() bool { return p.spec.Network && p.system.relay }

// sendListener opens the listener in this process's namespace, and sends it to whoever has sent the plan. This process
// has all rights over its namespace yet.
func sendListener() error {
	if err := raiseLoopback(); err != nil {
		return fmt.Errorf("raise the loopback interface: %w", err)
	}
	at := netip.MustParseAddrPort(relayAddress)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()})
	}
	if err == nil {
		err = unix.Listen(fd, 128)
	}
	if err == nil {
		err = unix.Sendmsg(planFile, []byte{0}, unix.UnixRights(fd), nil, 0)
	}
	if err != nil {
		return fmt.Errorf("listen for the plugin's requests: %w", err)
	}
	return unix.Close(fd)
}

func raiseLoopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	loopback, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	loopback.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, loopback)
}

// receiveListener takes what the launcher sends. One that has ended has said itself why.
func (p *Process) receiveListener() error {
	messages, err := p.hear()
	if err != nil {
		return err
	}
	messages = slices.DeleteFunc(messages, func(m unix.SocketControlMessage) bool { return m.Header.Type != unix.SCM_RIGHTS })
	if len(messages) == 0 {
		return nil
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return fmt.Errorf("read the launcher's message: %w", err)
	}
	file := os.NewFile(uintptr(fds[0]), "listener")
	defer func() { _ = file.Close() }()
	if p.listener, err = net.FileListener(file); err != nil {
		return fmt.Errorf("take the plugin's listener: %w", err)
	}
	return nil
}

// hear waits for a byte of the launcher's and what comes with it: nothing if the launcher has ended.
func (p *Process) hear() ([]unix.SocketControlMessage, error) {
	if err := p.plan.SetReadDeadline(time.Now().Add(launchTime)); err != nil {
		return nil, err
	}
	with := make([]byte, unix.CmsgSpace(4)+unix.CmsgSpace(unix.SizeofUcred))
	read, n, _, _, err := p.plan.ReadMsgUnix(make([]byte, 1), with)
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || err == nil && read == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("wait for the launcher: %w", err)
	}
	messages, err := unix.ParseSocketControlMessage(with[:n])
	if err != nil {
		return nil, fmt.Errorf("read the launcher's message: %w", err)
	}
	return messages, nil
}

// talk opens both ends of what the launcher gets its plan by. The kernel tells who writes what comes back.
func talk() (theirs *os.File, ours *net.UnixConn, err error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("open a pair of sockets: %w", err)
	}
	theirs = os.NewFile(uintptr(pair[0]), "plan")
	own := os.NewFile(uintptr(pair[1]), "plan")
	defer func() { _ = own.Close() }()
	if err := unix.SetsockoptInt(pair[1], unix.SOL_SOCKET, unix.SO_PASSCRED, 1); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("open a pair of sockets: %w", err), theirs.Close())
	}
	conn, err := net.FileConn(own)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("open a pair of sockets: %w", err), theirs.Close())
	}
	ours, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, nil, errors.Join(errors.New("open a pair of sockets: it is none"), conn.Close(), theirs.Close())
	}
	return theirs, ours, nil
}
