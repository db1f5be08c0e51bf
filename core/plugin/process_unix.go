//go:build !linux

package plugin

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// isolate gives the process a group of its own. That it ends with its host is left to the plugin, whose session ends.
func isolate(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
}

// awaitExit is left to the wait that follows.
func awaitExit(int) {}

// killOrphans can do nothing: the environment of other processes is not to be had.
func killOrphans(string) {}

func openForSocket(dir string) (*os.File, error) {
	return nil, fmt.Errorf("the path of the socket folder is too long for a socket: %s; choose a data folder with a shorter path", dir)
}

func socketPath(dir *os.File, name string) string { return filepath.Join(dir.Name(), name) }
