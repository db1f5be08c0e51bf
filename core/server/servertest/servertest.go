// Package servertest builds the program and its plugins as make does, for tests that start servers as processes, and finds
// what a server has started. It must never be imported by anything but tests and benchmarks.
package servertest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	// Secret is what tokens of these tests are signed with.
	Secret = "a secret of 32 bytes for the tests"
	// Alice is a user.
	Alice = "00000000-0000-4000-8000-00000000000a"
)

// Root is the folder of the repository.
func Root() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("find the repository: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// Build builds the program and the plugins named, or else all of them, into a folder. plugins is the folder of the latter.
func Build(dir string, names ...string) (binary, plugins string, err error) {
	root, err := Root()
	if err != nil {
		return "", "", err
	}
	binary, plugins = filepath.Join(dir, "patchbay"), filepath.Join(dir, "plugins")
	if err := Go(root, "-o", binary, "."); err != nil {
		return "", "", err
	}
	if len(names) == 0 {
		mains, err := filepath.Glob(filepath.Join(root, "plugins", "*", "main.go"))
		if err != nil || len(mains) == 0 {
			return "", "", fmt.Errorf("there are no plugins to test with: %w", err)
		}
		for _, main := range mains {
			names = append(names, filepath.Base(filepath.Dir(main)))
		}
	}
	for _, name := range names {
		if err := Plugin(root, plugins, "./plugins/"+name); err != nil {
			return "", "", err
		}
	}
	return binary, plugins, nil
}

// Plugin builds one plugin into a folder of plugins, from a package of the repository.
func Plugin(root, plugins, target string) error {
	name := filepath.Base(target)
	path := filepath.Join(plugins, name, name)
	if err := Go(root, "-o", path, target); err != nil {
		return err
	}
	manifest, err := exec.Command(path, "manifest").Output()
	if err != nil {
		return fmt.Errorf("manifest of %s: %w", name, err)
	}
	return os.WriteFile(filepath.Join(plugins, name, "plugin.json"), manifest, 0o600)
}

// Go runs go build with further arguments in the repository.
func Go(root string, args ...string) error {
	cmd := exec.Command("go", append([]string{"build", "-trimpath", "-ldflags", "-s -w"}, args...)...)
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %v: %w\n%s", args, err, out)
	}
	return nil
}

// Environment is that of a server whose home and data folder are given, with no limits of requests.
func Environment(home, data, plugins string, more ...string) []string {
	return append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home,
		"PATCHBAY_ADDR=127.0.0.1:0", "PATCHBAY_WS_ADDR=127.0.0.1:0", "PATCHBAY_DATA_DIR=" + data,
		"PATCHBAY_JWT_SECRET=" + Secret, "PATCHBAY_PLUGIN_DIRS=" + plugins, "PATCHBAY_LOG_FORMAT=text", "PATCHBAY_LOG_LEVEL=debug",
		"PATCHBAY_RATE_LIMIT_GENERAL=0", "PATCHBAY_RATE_LIMIT_EXECUTION=0", "PATCHBAY_RATE_LIMIT_EXTERNAL=0", "PATCHBAY_RATE_LIMIT_ANONYMOUS=0",
	}, more...)
}

// Token is a user's, for an hour.
func Token(t testing.TB, user string) string {
	t.Helper()
	claims := jwt.MapClaims{"sub": user, "aud": "authenticated", "exp": time.Now().Add(time.Hour).Unix()}
	signed, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(Secret))
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// Processes are those that work in a data folder, by their command lines: Postgres and plugins.
func Processes(data string) map[int]string {
	found := map[int]string{}
	entries, _ := filepath.Glob("/proc/[0-9]*")
	for _, entry := range entries {
		dir, err := os.Readlink(filepath.Join(entry, "cwd"))
		if err != nil || !strings.HasPrefix(dir, data+"/") {
			continue
		}
		line, _ := os.ReadFile(filepath.Join(entry, "cmdline"))
		pid, _ := strconv.Atoi(filepath.Base(entry))
		found[pid] = string(bytes.ReplaceAll(line, []byte{0}, []byte{' '}))
	}
	return found
}

// SignalAll sends a signal to the processes of a data folder whose command line holds a text, and says how many those were.
func SignalAll(data, part string, signal syscall.Signal) int {
	sent := 0
	for pid, line := range Processes(data) {
		if strings.Contains(line, part) && syscall.Kill(pid, signal) == nil {
			sent++
		}
	}
	return sent
}

// KillAll kills them.
func KillAll(data, part string) int { return SignalAll(data, part, syscall.SIGKILL) }
