package credential

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gofrs/flock"
	"github.com/uptrace/bun"
)

// Keyring holds the keys of a running server. Those of a file are read again when it changes, so that a key that was
// added to it counts everywhere before anything is encrypted under it.
type Keyring struct {
	path string // empty: the keys are set, and stay what they are

	mu      sync.Mutex
	keys    *Keys
	changed time.Time // of the file
	size    int64
}

// FixedKeys holds keys that are set.
func FixedKeys(text string) (*Keyring, error) {
	keys, err := ParseKeys(text)
	if err != nil {
		return nil, err
	}
	return &Keyring{keys: keys}, nil
}

// FileKeys holds the keys of a file. Its error is fs.ErrNotExist where there is none.
func FileKeys(path string) (*Keyring, error) {
	r := &Keyring{path: path}
	_, err := r.current()
	return r, err
}

// NewFileKeys makes a file with one new key, which only its owner can read, unless there is one. It makes none for a
// database that holds credentials already: those need the key that was lost.
func NewFileKeys(ctx context.Context, db bun.IDB, path string) (*Keyring, error) {
	if r, err := FileKeys(path); !errors.Is(err, fs.ErrNotExist) {
		return r, err
	}
	if err := checkKeys(ctx, db, &Keys{}); err != nil {
		return nil, err
	}
	r := &Keyring{path: path}
	err := r.locked(func() error {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return replace(path, newKey()+"\n")
	})
	if err != nil {
		return nil, fmt.Errorf("keep the encryption keys: %w", err)
	}
	return FileKeys(path)
}

// current gives the keys, those of the file as it is now.
func (r *Keyring) current() (*Keys, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.path == "" {
		return r.keys, nil
	}
	info, err := os.Stat(r.path)
	if err == nil && r.keys != nil && info.ModTime().Equal(r.changed) && info.Size() == r.size {
		return r.keys, nil
	}
	var keys *Keys
	if err == nil {
		keys, err = readKeys(r.path)
	}
	if err != nil {
		if r.keys != nil {
			return r.keys, nil // somebody is at it: what was read before still holds
		}
		return nil, fmt.Errorf("read the encryption keys: %w", err)
	}
	r.keys, r.changed, r.size = keys, info.ModTime(), info.Size()
	return keys, nil
}

func readKeys(path string) (*Keys, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	keys, err := ParseKeys(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return keys, nil
}

// renew puts a new key before the others, unless the one that encrypts is another than the given: then somebody else
// has just done it. No key is ever taken away, since a backup may need it.
func (r *Keyring) renew(primary KeyID) error {
	if r.path == "" {
		return ErrFixedKeys
	}
	err := r.locked(func() error {
		text, err := os.ReadFile(r.path)
		if err != nil {
			return err
		}
		keys, err := ParseKeys(string(text))
		if err != nil || keys.Primary() != primary {
			return err
		}
		return replace(r.path, newKey()+"\n"+strings.TrimSpace(string(text))+"\n")
	})
	if err != nil {
		return fmt.Errorf("add an encryption key to %s: %w", r.path, err)
	}
	return nil
}

// locked keeps other processes of this machine from changing the file meanwhile.
func (r *Keyring) locked(f func() error) error {
	lock := flock.New(r.path+".lock", flock.SetPermissions(0o600))
	if err := lock.Lock(); err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	return f()
}

// replace leaves the old file or the new one, whatever happens, readable for its owner alone.
func replace(path, text string) error {
	file, err := os.CreateTemp(filepath.Dir(path), ".new-") // 0600
	if err != nil {
		return err
	}
	if old, statErr := os.Stat(path); statErr == nil {
		if owner, ok := old.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 {
			err = file.Chown(int(owner.Uid), int(owner.Gid)) // the server's user, for whom root does this
		}
	}
	if err == nil {
		_, err = file.WriteString(text)
	}
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		_ = os.Remove(file.Name())
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// syncFolder makes a new name in a folder last: what is encrypted under a key is lost with it.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
