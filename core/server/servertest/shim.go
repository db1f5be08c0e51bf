package servertest

import (
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"
)

//go:embed testdata/shim.c
var shimSource []byte

// ErrNoShim means that this machine cannot have a Shim: it lacks a C compiler, or is no Linux.
var ErrNoShim = errors.New("there is no C compiler for Linux here")

// Shim stands between a Postgres and its machine: syncs of its disk take longer, and its clock goes wrong, as told while it
// runs. The machine's own disk and clock are left alone.
type Shim struct {
	// Env is what Postgres must have in its environment.
	Env     []string
	control *os.File
}

// NewShim builds one into a folder, which the user that Postgres runs as must be able to enter.
func NewShim(dir string) (*Shim, error) {
	compiler, err := exec.LookPath("cc")
	if err != nil || runtime.GOOS != "linux" {
		return nil, ErrNoShim
	}
	source, library, control := filepath.Join(dir, "shim.c"), filepath.Join(dir, "shim.so"), filepath.Join(dir, "shim.control")
	if err := os.WriteFile(source, shimSource, 0o644); err != nil {
		return nil, err
	}
	if out, err := exec.Command(compiler, "-O1", "-shared", "-fPIC", "-o", library, source, "-ldl").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("compile the shim: %w\n%s", err, out)
	}
	s := &Shim{Env: []string{"LD_PRELOAD=" + library, "SHIM_CONTROL=" + control}}
	if s.control, err = os.OpenFile(control, os.O_CREATE|os.O_RDWR, 0o644); err != nil {
		return nil, err
	}
	return s, errors.Join(os.Chmod(library, 0o755), s.Slow(0), s.Ahead(0))
}

// Slow makes every sync take so much longer.
func (s *Shim) Slow(by time.Duration) error { return s.write(0, by.Nanoseconds()) }

// Ahead puts the clock ahead of the machine's, or behind it.
func (s *Shim) Ahead(by time.Duration) error { return s.write(8, int64(by/time.Second)) }

func (s *Shim) write(at, value int64) error {
	_, err := s.control.WriteAt(binary.NativeEndian.AppendUint64(nil, uint64(value)), at)
	return err
}

// Close ends its use; a Postgres that goes on keeps what was set last.
func (s *Shim) Close() { _ = s.control.Close() }
