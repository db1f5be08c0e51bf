package plugin

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/patchbay-io/patchbay/core/plugin/isolation"
)

// processDirPrefix marks the folders that are ours to remove.
const processDirPrefix = "p-"

// temporary is the folder for temporary files in the private folder of a process.
const temporary = "tmp"

// runtimeDir is the folder in which each process gets a private one.
type runtimeDir struct{ path string }

// openRuntimeDir makes the folder. Where plugins have users of their own these must get through it, and cannot see what
// is in it; where the folders above let nobody through, another one takes its place that is the same at each start.
func openRuntimeDir(path string, users bool) (*runtimeDir, error) {
	if path == "" {
		return nil, errors.New("open runtime folder of plugins: no path is set")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open runtime folder of plugins: %w", err)
	}
	mode := fs.FileMode(0o700)
	if users {
		mode = 0o711
	}
	if err := makeRuntimeDir(path, mode); err != nil {
		return nil, err
	}
	if users && !isolation.Reachable(path) {
		digest := sha256.Sum256([]byte(path))
		path = filepath.Join(runtimeBase(), "patchbay-plugins-"+hex.EncodeToString(digest[:6]))
		if err := makeRuntimeDir(path, mode); err != nil {
			return nil, err
		}
	}
	r := &runtimeDir{path: path}
	if err := r.sweep(); err != nil {
		return nil, fmt.Errorf("sweep runtime folder of plugins: %w", err)
	}
	return r, nil
}

// makeRuntimeDir refuses what somebody else may have put there.
func makeRuntimeDir(path string, mode fs.FileMode) error {
	if err := os.MkdirAll(path, mode); err != nil {
		return fmt.Errorf("open runtime folder of plugins: %w", err)
	}
	info, err := os.Lstat(path)
	if err != nil {
		return fmt.Errorf("open runtime folder of plugins: %w", err)
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); !info.IsDir() || !ok || int(stat.Uid) != os.Geteuid() {
		return fmt.Errorf("open runtime folder of plugins: %s belongs to somebody else", path)
	}
	if err := os.Chmod(path, mode); err != nil {
		return fmt.Errorf("open runtime folder of plugins: %w", err)
	}
	return nil
}

func runtimeBase() string {
	if info, err := os.Stat("/run"); err == nil && info.IsDir() {
		return "/run"
	}
	return "/tmp"
}

// sweep removes what the processes of a host that was killed left behind, and ends what they had started themselves:
// that they know by their home.
func (r *runtimeDir) sweep() error {
	killOrphans(filepath.Join(r.path, processDirPrefix))
	entries, err := os.ReadDir(r.path)
	if err != nil {
		return err
	}
	var failed []error
	for _, e := range entries {
		if e.IsDir() && strings.HasPrefix(e.Name(), processDirPrefix) {
			failed = append(failed, os.RemoveAll(filepath.Join(r.path, e.Name())))
		}
	}
	return errors.Join(failed...)
}

// process makes a folder for one process: its working folder and home, with one for temporary files in it.
func (r *runtimeDir) process() (string, error) {
	dir, err := os.MkdirTemp(r.path, processDirPrefix)
	if err != nil {
		return "", fmt.Errorf("make private folder: %w", err)
	}
	if err := os.Mkdir(filepath.Join(dir, temporary), 0o700); err != nil {
		_ = os.RemoveAll(dir)
		return "", fmt.Errorf("make private folder: %w", err)
	}
	return dir, nil
}

// close removes the folder if nobody else put anything into it.
func (r *runtimeDir) close() { _ = os.Remove(r.path) }
