package server

import (
	"context"
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
	"time"

	"github.com/gofrs/flock"
	"github.com/google/uuid"
	"github.com/hashicorp/go-hclog"
)

// The data folder holds what the embedded defaults keep:
//
//	lock              held by the running server, with its process id; by a command, which is soon done, with that word too
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

// InUseError says that a running server has the data folder, or a command.
type InUseError struct {
	Dir     string
	PID     int  // 0 if it did not say
	Command bool // not a server: one of the commands that change what lies there
}

func (e *InUseError) Error() string {
	if e.Command {
		return fmt.Sprintf("a command of patchbay (pid %d) works in the data folder %s: wait for its end, or end it", e.PID, e.Dir)
	}
	who := "a running server"
	if e.PID != 0 {
		who = fmt.Sprintf("a running server (pid %d)", e.PID)
	}
	return fmt.Sprintf("the data folder %s belongs to %s; stop it, or choose another folder with PATCHBAY_DATA_DIR (--data-dir)", e.Dir, who)
}

// user is who takes a data folder.
type user string

const (
	aServer  user = ""
	aCommand user = "command" // written behind its process id
)

// patience is how long whoever needs the data folder waits for a command's end. moment is how long anybody waits for one who
// has not said yet who he is, and a server for another one, which may have been killed just now.
const (
	patience = 15 * time.Second
	moment   = time.Second
)

// openDataDir makes the folder where it is missing and takes it for this process. It waits a moment for a command that has
// it; to a command, a running server is an *InUseError at once.
func openDataDir(ctx context.Context, path string, as user, log hclog.Logger) (*dataDir, error) {
	began, told := time.Now(), false
	for {
		d, err := takeDataDir(path, as)
		used, taken := errors.AsType[*InUseError](err)
		waited := time.Since(began)
		if !taken || !used.Command && (as == aCommand && used.PID != 0 || waited > moment) || waited > patience {
			return d, err
		}
		if used.Command && !told {
			told = true
			log.Info("waiting for a command that works in the data folder", "pid", used.PID)
		}
		select {
		case <-time.After(commandPause):
		case <-ctx.Done():
			return nil, errors.Join(err, ctx.Err())
		}
	}
}

func takeDataDir(path string, as user) (*dataDir, error) {
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
		pid, who := d.holder()
		return nil, &InUseError{Dir: path, PID: pid, Command: who == aCommand}
	}
	pid := strings.TrimSpace(strconv.Itoa(os.Getpid())+" "+string(as)) + "\n"
	if err := errors.Join(os.WriteFile(d.lock.Path(), []byte(pid), 0o600), makePart(d.part("server"))); err != nil {
		d.close()
		return nil, fmt.Errorf("open the data folder: %w", err)
	}
	return d, nil
}

func (d *dataDir) close() { _ = d.lock.Close() }

// holder is who has the folder, by what he says; 0: he does not say it yet.
func (d *dataDir) holder() (pid int, as user) {
	raw, err := os.ReadFile(d.lock.Path())
	if err != nil {
		return 0, aServer
	}
	number, who, _ := strings.Cut(strings.TrimSpace(string(raw)), " ")
	pid, err = strconv.Atoi(number)
	if err != nil || errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return 0, aServer
	}
	return pid, user(who)
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
