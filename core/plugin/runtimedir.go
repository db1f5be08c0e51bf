package plugin

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// processDirPrefix marks the folders that are ours to remove.
const processDirPrefix = "p-"

// runtimeDir is the folder in which each process gets a private one.
type runtimeDir struct{ path string }

func openRuntimeDir(path string) (*runtimeDir, error) {
	if path == "" {
		return nil, errors.New("open runtime folder of plugins: no path is set")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open runtime folder of plugins: %w", err)
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("open runtime folder of plugins: %w", err)
	}
	if err := os.Chmod(path, 0o700); err != nil {
		return nil, fmt.Errorf("open runtime folder of plugins: %w", err)
	}
	r := &runtimeDir{path: path}
	if err := r.sweep(); err != nil {
		return nil, fmt.Errorf("sweep runtime folder of plugins: %w", err)
	}
	return r, nil
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
	if err := os.Mkdir(filepath.Join(dir, "tmp"), 0o700); err != nil {
		_ = os.RemoveAll(dir)
		return "", fmt.Errorf("make private folder: %w", err)
	}
	return dir, nil
}

// close removes the folder if nobody else put anything into it.
func (r *runtimeDir) close() { _ = os.Remove(r.path) }
