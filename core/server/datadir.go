package server

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/gofrs/flock"
	"github.com/google/uuid"
)

// The data folder holds what the embedded defaults keep:
//
//	lock              held by the running server, with its process id
//	server/           what this server is: id, jwt-secret, encryption-keys, address
//	postgres/         the private Postgres
//	plugins/          plugins that users install
//	descriptions/     what plugins said of themselves when they were last started
//	run/              private folders of running plugin processes
//
// Everything else in it is somebody else's.
type dataDir struct {
	path string
	lock *flock.Flock
}

// InUseError says that a running server has the data folder.
type InUseError struct {
	Dir string
	PID int // 0 if it did not say
}

func (e *InUseError) Error() string {
	who := "a running server"
	if e.PID != 0 {
		who = fmt.Sprintf("a running server (pid %d)", e.PID)
	}
	return fmt.Sprintf("the data folder %s belongs to %s; stop it, or choose another folder with PATCHBAY_DATA_DIR (--data-dir)", e.Dir, who)
}

// openDataDir makes the folder where it is missing and takes it for this process.
func openDataDir(path string) (*dataDir, error) {
	if err := os.MkdirAll(path, 0o711); err != nil {
		return nil, fmt.Errorf("make the data folder: %w; choose another with PATCHBAY_DATA_DIR (--data-dir)", err)
	}
	// Its parts belong to different users, who must get through. Where the folder is not ours to change, starting
	// Postgres will say what is wrong with it.
	if err := os.Chmod(path, 0o711); err != nil && !errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("open the data folder: %w", err)
	}
	d := &dataDir{path: path, lock: flock.New(filepath.Join(path, "lock"), flock.SetPermissions(0o600))}
	free, err := d.lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock the data folder: %w; choose one that can be written with PATCHBAY_DATA_DIR (--data-dir)", err)
	}
	if !free {
		return nil, &InUseError{Dir: path, PID: d.holder()}
	}
	pid := strconv.Itoa(os.Getpid()) + "\n"
	if err := errors.Join(os.WriteFile(d.lock.Path(), []byte(pid), 0o600), makePart(d.part("server"))); err != nil {
		d.close()
		return nil, fmt.Errorf("open the data folder: %w", err)
	}
	return d, nil
}

func (d *dataDir) close() { _ = d.lock.Close() }

func (d *dataDir) holder() int {
	raw, err := os.ReadFile(d.lock.Path())
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil || errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return 0
	}
	return pid
}

func (d *dataDir) part(names ...string) string {
	return filepath.Join(append([]string{d.path}, names...)...)
}

func makePart(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return err
	}
	return os.Chmod(path, 0o700)
}

// serverID is the same at each start on this folder.
func (d *dataDir) serverID() (uuid.UUID, error) {
	text, err := d.kept("id", uuid.NewString)
	if err != nil {
		return uuid.Nil, err
	}
	id, err := uuid.Parse(text)
	if err != nil {
		return uuid.Nil, fmt.Errorf("read the server's id from %s: %w", d.part("server", "id"), err)
	}
	return id, nil
}

// jwtSecret is the secret that was made at the first start.
func (d *dataDir) jwtSecret() (string, error) {
	return d.kept(secretFile, func() string {
		key := make([]byte, 48)
		_, _ = rand.Read(key) // never fails
		return base64.RawURLEncoding.EncodeToString(key)
	})
}

const (
	secretFile  = "jwt-secret"
	keysFile    = "encryption-keys"
	addressFile = "address"
)

// kept reads a small file of the part server, and makes it at the first time.
func (d *dataDir) kept(name string, generate func() string) (string, error) {
	path := d.part("server", name)
	raw, err := os.ReadFile(path)
	if err == nil {
		if text := strings.TrimSpace(string(raw)); text != "" {
			return text, nil
		}
		return "", fmt.Errorf("%s is empty; restore it from a backup, or remove it to have a new one made", path)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read %s: %w", name, err)
	}
	text := generate()
	if err := writeFile(path, text); err != nil {
		return "", fmt.Errorf("keep %s: %w", name, err)
	}
	return text, nil
}

// writeFile leaves the old file or the new one, whatever happens.
func writeFile(path, text string) error {
	temporary, err := os.CreateTemp(filepath.Dir(path), ".new-")
	if err != nil {
		return err
	}
	_, err = temporary.WriteString(text + "\n")
	err = errors.Join(err, temporary.Sync(), temporary.Close())
	if err == nil {
		err = os.Rename(temporary.Name(), path)
	}
	if err != nil {
		_ = os.Remove(temporary.Name())
	}
	return err
}
