package postgres

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// maxSocketPath in bytes: systems allow 103 to 107.
const maxSocketPath = 100

const socketName = ".s.PGSQL.5432"

// socketFolder makes the private folder of the unix socket: in the cluster's room, or, where that makes too long a
// path, in a folder for temporary files, under a name that is the same at each start. temporary says that it is to be
// removed at the end.
func (c *cluster) socketFolder() (dir string, temporary bool, err error) {
	dir = filepath.Join(c.room, "run")
	if len(filepath.Join(dir, socketName)) <= maxSocketPath {
		return dir, false, c.makeSocketFolder(dir)
	}
	digest := sha256.Sum256([]byte(c.room))
	name := "patchbay-" + hex.EncodeToString(digest[:6])
	var problems []error
	for _, base := range socketBases() {
		dir = filepath.Join(base, name)
		if len(filepath.Join(dir, socketName)) > maxSocketPath {
			continue
		}
		if err := c.makeSocketFolder(dir); err != nil {
			problems = append(problems, err)
			continue
		}
		return dir, true, nil
	}
	return "", false, fmt.Errorf("the path of the data folder %s is too long for a unix socket, and no shorter place was found; "+
		"choose a shorter one with PATCHBAY_DATA_DIR: %w", c.room, errors.Join(problems...))
}

func socketBases() []string {
	bases := []string{os.Getenv("XDG_RUNTIME_DIR"), os.TempDir(), "/tmp"}
	if os.Geteuid() == 0 {
		bases = []string{"/run", "/tmp"}
	}
	var usable []string
	for _, base := range bases {
		if filepath.IsAbs(base) {
			usable = append(usable, base)
		}
	}
	return usable
}

// makeSocketFolder refuses what somebody else may have put there: folders for temporary files are open to all.
func (c *cluster) makeSocketFolder(dir string) error {
	if err := c.owner.reach(dir); err != nil {
		return err
	}
	err := os.Mkdir(dir, 0o700)
	if err == nil {
		return c.owner.give(dir)
	}
	if !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make the folder of the socket: %w", err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("look at the folder of the socket: %w", err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || !ok || int(stat.Uid) != c.owner.uid {
		return fmt.Errorf("the folder of the socket, %s, belongs to somebody else", dir)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return fmt.Errorf("close the folder of the socket to others: %w", err)
	}
	return nil
}
