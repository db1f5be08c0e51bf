package plugin

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// awaitExit returns when the process is dead and leaves it to be reaped.
func awaitExit(pid int) {
	for unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
	}
}

// killOrphans kills the processes whose home's path begins with prefix. Plugins die with their host; a process that
// one of them had started does not.
func killOrphans(prefix string) {
	environments, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		return
	}
	for _, path := range environments {
		env, err := os.ReadFile(path) // those of other users cannot be read and are not ours
		if err != nil || !bytes.Contains(append([]byte{0}, env...), []byte("\x00HOME="+prefix)) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil && pid != os.Getpid() {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// openForSocket opens a folder whose path is too long to be the address of a socket.
func openForSocket(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("open socket folder: %w", err)
	}
	return f, nil
}

// socketPath is a short path to a file in dir, for this process.
func socketPath(dir *os.File, name string) string {
	return filepath.Join(fmt.Sprintf("/proc/self/fd/%d", dir.Fd()), name)
}
