package cli

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"
)

// scratchPrefix begins the names of folders that packages are looked into in.
const scratchPrefix = "patchbay-plugin-"

// scratchLock is the file in such a folder that its command holds as long as it lives.
const scratchLock = ".lock"

// openScratch makes a folder that done removes, and removes those of commands that were killed.
func openScratch() (folder string, done func(), err error) {
	sweepScratch(os.TempDir())
	if folder, err = os.MkdirTemp("", scratchPrefix); err != nil {
		return "", nil, fmt.Errorf("make a folder to look into the plugin: %w", err)
	}
	held := flock.New(filepath.Join(folder, scratchLock), flock.SetPermissions(0o600))
	done = func() {
		_ = os.RemoveAll(folder)
		_ = held.Close()
	}
	if _, err := held.TryLock(); err != nil {
		done()
		return "", nil, fmt.Errorf("make a folder to look into the plugin: %w", err)
	}
	return folder, done, nil
}

// sweepScratch removes the folders whose lock nobody holds. One without a lock is not ours, or has only begun.
func sweepScratch(in string) {
	folders, err := filepath.Glob(filepath.Join(in, scratchPrefix+"*"))
	if err != nil {
		return
	}
	for _, folder := range folders {
		path := filepath.Join(folder, scratchLock)
		if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() {
			continue
		}
		held := flock.New(path, flock.SetFlag(os.O_RDWR), flock.SetPermissions(0o600))
		if free, err := held.TryLock(); err == nil && free {
			_ = os.RemoveAll(folder)
		}
		_ = held.Close()
	}
}
