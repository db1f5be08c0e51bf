package cli

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/patchbay-io/patchbay/core/scaffold"
)

// screen is what a command that goes on has written so far.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// shows waits until a text is there.
func (s *screen) shows(t *testing.T, text string) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !strings.Contains(s.String(), text); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%q does not come:\n%s", text, s)
		}
	}
}

// begin runs a command until the test ends.
func begin(t *testing.T, environ []string, args ...string) *screen {
	t.Helper()
	s := &screen{}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, append([]string{"patchbay"}, args...), environ, terminal{out: s, err: s, program: "patchbay"})
	}()
	t.Cleanup(func() {
		stop()
		if code := <-ended; code != 0 {
			t.Errorf("patchbay %s ended with %d:\n%s", strings.Join(args, " "), code, s)
		}
	})
	return s
}

func TestDevSwapsWhatIsSavedInARunningServer(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "patchbay-dev-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil { // Postgres and plugins may run as other users
		t.Fatal(err)
	}
	checkout, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	project := filepath.Join(dir, "weather")
	if err := (scaffold.Project{Name: "weather", Language: "go", SDK: checkout, Patchbay: "patchbay"}).Write(project); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, "data")
	environ := []string{"PATCHBAY_JWT_SECRET=" + secret, "PATCHBAY_DATA_DIR=" + data, "PATCHBAY_ADDR=127.0.0.1:0", "PATCHBAY_WS_ADDR=127.0.0.1:0",
		"PATCHBAY_PLUGIN_DIRS=" + filepath.Join(dir, "none"), "PATCHBAY_LOG_FORMAT=text", "PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}
	server := begin(t, environ, "serve")
	server.shows(t, "/api/v2/builder/blocks") // the greeting
	dev := begin(t, environ, "plugin", "dev", project)
	dev.shows(t, "weather 0.1.0 is ready")
	greets := func(greeting string) {
		t.Helper()
		code, out, problems := call(t, environ, "agent", "run", filepath.Join(project, "agent.json"), "--input", "name=Ada")
		if code != 0 || !strings.Contains(out, greeting) {
			t.Errorf("the agent ended with %d: %s%s", code, out, problems)
		}
	}
	greets("Hello, Ada!")

	source := filepath.Join(project, "main.go")
	change := func(old, with string) {
		t.Helper()
		text, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(source, []byte(strings.ReplaceAll(string(text), old, with)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	change("package main", "package main // and {")
	change("package main // and {", "package main {") // no Go
	dev.shows(t, "make build in "+project)
	greets("Hello, Ada!") // what was there serves on
	change("package main {", "package main")
	change(`"0.1.0"`, `"0.2.0"`)
	change("Hello", "Good day")
	dev.shows(t, "weather 0.2.0 is ready")
	greets("Good day, Ada!")
	change(`Version: "0.2.0",`, `Version: "0.3.0", Permissions: sdk.Permissions{Processes: 1024},`)
	dev.shows(t, "asks for more than it was granted: processes: 1024")
	dev.shows(t, "needs consent") // nobody can be asked
	greets("Good day, Ada!")
}

func TestDevWatchesWhatPeopleWrite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "dist"), 0o755); err != nil {
		t.Fatal(err)
	}
	s, err := watchSaves(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	write := func(name string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), fmt.Append(nil, name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	noticed := func(within time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		return s.next(ctx)
	}
	for _, name := range []string{"dist/made", ".hidden", "main.go~", "server.log"} {
		write(name)
	}
	if noticed(5*quietTime) == nil {
		t.Error("what a build or an editor makes was taken for a save")
	}
	write("main.go")
	if err := noticed(time.Minute); err != nil {
		t.Errorf("a save was not noticed: %v", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "blocks"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := noticed(time.Minute); err != nil {
		t.Errorf("a new folder was not noticed: %v", err)
	}
	write("blocks/one.go")
	if err := noticed(time.Minute); err != nil {
		t.Errorf("a save in a new folder was not noticed: %v", err)
	}
}
