//go:build !linux

package plugin

import (
	"fmt"
	"os"
	"path/filepath"
)

// awaitExit is left to the wait that follows.
func awaitExit(int) {}

// killOrphans can do nothing: the environment of other processes is not to be had.
func killOrphans(string) {}

func openForSocket(dir string) (*os.File, error) {
	return nil, fmt.Errorf("the path of the socket folder is too long for a socket: %s; choose a data folder with a shorter path", dir)
}

func socketPath(dir *os.File, name string) string { return filepath.Join(dir.Name(), name) }
