package postgres

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
)

// tie lets a child die with this process, whatever ends it. The kernel binds that to the thread that starts the
// child, which therefore must live as long as the child.
func tie(cmd *exec.Cmd, signal syscall.Signal) {
	cmd.SysProcAttr.Pdeathsig = signal
}

// guard is only needed where the kernel does not tie processes.
func guard(int) (release func(), err error) { return func() {}, nil }

// servesFolder reports whether a process is a postmaster of a cluster: it works in the cluster's folder.
func servesFolder(pid int, cluster string) bool {
	dir, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), "cwd"))
	return err == nil && dir == cluster
}
