//go:build linux

package chaos

import (
	order "encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/patchbay-io/patchbay/core/server/servertest"
)

// ahead is a file of the package time: what clocks show is ahead by so many seconds as a shared page says.
const ahead = `package time

import (
	"syscall"
	"unsafe"
)

var page *int64

func init() {
	name, ok := syscall.Getenv("CHAOS_CLOCK")
	if !ok {
		return
	}
	fd, err := syscall.Open(name, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	if mapped, err := syscall.Mmap(fd, 0, 8, syscall.PROT_READ, syscall.MAP_SHARED); err == nil {
		page = (*int64)(unsafe.Pointer(&mapped[0]))
	}
	_ = syscall.Close(fd)
}

func ahead() int64 {
	if page == nil {
		return 0
	}
	return *page
}
`

// clockOverlay writes, into dir, the standard library's package time with a clock that can be put wrong while a program runs,
// as a step of the machine's would: what is measured goes on as it does, since that is by another clock. The file that it
// names tells the go command of it.
func clockOverlay(dir string) (file string, err error) {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("find the standard library: %w", err)
	}
	lib := filepath.Join(strings.TrimSpace(string(out)), "src", "time")
	original, err := os.ReadFile(filepath.Join(lib, "time.go"))
	if err != nil {
		return "", fmt.Errorf("read the standard library: %w", err)
	}
	const read = "sec, nsec, mono := runtimeNow()\n"
	if strings.Count(string(original), read) != 1 {
		return "", fmt.Errorf("the package time of this Go reads the clock otherwise than expected")
	}
	overlay := map[string]string{}
	for name, text := range map[string]string{
		"time.go":  strings.Replace(string(original), read, read+"\tsec += ahead()\n", 1),
		"ahead.go": ahead,
	} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return "", err
		}
		overlay[filepath.Join(lib, name)] = file
	}
	list, err := json.Marshal(map[string]any{"Replace": overlay})
	if err != nil {
		return "", err
	}
	file = filepath.Join(dir, "overlay.json")
	return file, os.WriteFile(file, list, 0o600)
}

// buildClock builds the program with such a library.
func buildClock(root, dir string) (string, error) {
	file, err := clockOverlay(dir)
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "patchbay-clock")
	return binary, servertest.Go(root, "-overlay", file, "-o", binary, ".")
}

// TestClockCompiles sees to it that long rounds, which are rare, find their clock.
func TestClockCompiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, err := clockOverlay(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := servertest.Go(dir, "-overlay", file, "time"); err != nil {
		t.Error(err)
	}
}

// ahead puts the server's clock ahead of the machine's, or behind it.
func (p *process) ahead(by time.Duration) {
	_, _ = p.clock.WriteAt(order.NativeEndian.AppendUint64(nil, uint64(int64(by/time.Second))), 0)
}
