package plugin

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// open opens the plugin's executable. Where digests are known, all files of its folder must have them, the executable
// as it was opened: the process is made of that descriptor, so that what was verified is what is executed.
func (f found) open() (*os.File, error) {
	executable, err := os.Open(f.path)
	if err != nil {
		return nil, fmt.Errorf("open executable: %w", err)
	}
	if f.digests != nil {
		if err := f.verify(executable); err != nil {
			_ = executable.Close()
			return nil, permanent(fmt.Errorf("%w; install the same version again, which repairs it, or see all that differs with: patchbay plugin verify %s", err, f.Name))
		}
	}
	return executable, nil
}

func (f found) verify(executable *os.File) error {
	folder := filepath.Dir(f.path)
	left := len(f.digests)
	err := filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		relative, err := filepath.Rel(folder, path)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(relative)
		want, ok := f.digests[name]
		if !ok {
			return fmt.Errorf("%s is not among the files that were installed", name)
		}
		left--
		var got string
		if path == f.path {
			got, err = Digest(io.NewSectionReader(executable, 0, 1<<62))
		} else {
			got, err = digestOf(path, e)
		}
		if err != nil {
			return err
		}
		if got != want {
			return fmt.Errorf("%s is not what was installed: its digest is %s, not %s", name, got, want)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("verify the plugin's files: %w", err)
	}
	if left > 0 {
		return fmt.Errorf("verify the plugin's files: %d of those that were installed are missing", left)
	}
	return nil
}

// digestOf is the digest of a regular file. Of a symbolic link it is that of the path that it holds.
func digestOf(path string, e fs.DirEntry) (string, error) {
	switch {
	case e.Type()&fs.ModeSymlink != 0:
		to, err := os.Readlink(path)
		if err != nil {
			return "", err
		}
		return Digest(strings.NewReader(to))
	case !e.Type().IsRegular():
		return "", fmt.Errorf("%s is no regular file", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }()
	return Digest(file)
}

// Digest is "sha256:" and the SHA-256 of what can be read, in lower case hex.
func Digest(r io.Reader) (string, error) {
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return "", fmt.Errorf("digest: %w", err)
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}
