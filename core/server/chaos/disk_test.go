//go:build linux

package chaos

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// mountSmall puts a small disk at a folder.
func mountSmall(t *testing.T, folder string) error {
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		return errors.New("only root mounts a disk that is small")
	}
	out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=320m,mode=0711", "patchbay-chaos", folder).CombinedOutput()
	if err != nil {
		return fmt.Errorf("mount: %w: %s", err, strings.TrimSpace(string(out)))
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "-l", folder).CombinedOutput(); err != nil {
			t.Errorf("umount %s: %v %s", folder, err, out)
		}
	})
	return nil
}

// fill takes what is left of a disk, until the function that it returns is called.
func fill(folder string) (free func(), err error) {
	name := filepath.Join(folder, "filler")
	f, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	free = func() { _ = f.Close(); _ = os.Remove(name) }
	for piece := int64(64 << 20); piece >= 4096; {
		at, err := f.Seek(0, 2)
		if err != nil {
			free()
			return nil, err
		}
		if err := syscall.Fallocate(int(f.Fd()), 0, at, piece); err != nil {
			piece /= 2
		}
	}
	return free, nil
}
