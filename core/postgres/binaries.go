package postgres

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Binaries is a folder with initdb and postgres of one major version.
type Binaries struct {
	Dir   string
	Major int
}

// FindBinaries returns the machine's Postgres of a major version, or its newest one (from OldestMajor) for major 0.
func FindBinaries(major int) (Binaries, error) {
	var found []Binaries
	for _, dir := range binaryFolders() {
		m, ok := majorOf(dir)
		if !ok {
			continue
		}
		if m == major {
			return Binaries{Dir: dir, Major: m}, nil
		}
		found = append(found, Binaries{Dir: dir, Major: m})
	}
	if major != 0 {
		return Binaries{}, &NoBinariesError{Major: major, Found: found}
	}
	newest := Binaries{}
	for _, b := range found {
		if b.Major > newest.Major {
			newest = b
		}
	}
	if newest.Major < OldestMajor {
		return Binaries{}, &NoBinariesError{Found: found}
	}
	return newest, nil
}

// NoBinariesError says that the machine lacks the Postgres that is needed. Major 0: any would do.
type NoBinariesError struct {
	Major int
	Found []Binaries
}

func (e *NoBinariesError) Error() string {
	var found []string
	for _, b := range e.Found {
		if v := strconv.Itoa(b.Major); !slices.Contains(found, v) {
			found = append(found, v)
		}
	}
	has := "none is installed"
	if len(found) > 0 {
		has = "installed here is " + strings.Join(found, ", ")
	}
	want := fmt.Sprintf("PostgreSQL %d or newer", OldestMajor)
	if e.Major != 0 {
		want = fmt.Sprintf("PostgreSQL %d", e.Major)
	}
	return fmt.Sprintf("%s is needed, %s", want, has)
}

// Hint is the command that installs what is missing.
func (e *NoBinariesError) Hint() string {
	version := ""
	if e.Major != 0 {
		version = strconv.Itoa(e.Major)
	}
	if runtime.GOOS == "darwin" {
		if version == "" {
			return "brew install postgresql@17"
		}
		return "brew install postgresql@" + version
	}
	if version == "" {
		return "make postgres (or: apt-get install postgresql)"
	}
	return "apt-get install postgresql-" + version
}

// binaryFolders are the places to look at, the likeliest first.
func binaryFolders() []string {
	var dirs []string
	add := func(dir string) {
		if resolved, err := filepath.EvalSymlinks(dir); err == nil && !slices.Contains(dirs, resolved) {
			dirs = append(dirs, resolved)
		}
	}
	if path, err := exec.LookPath("postgres"); err == nil {
		// Distributions put links into the PATH; initdb finds its share folder from where it really lies.
		if resolved, err := filepath.EvalSymlinks(path); err == nil {
			add(filepath.Dir(resolved))
		}
	}
	if path, err := exec.LookPath("pg_config"); err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if out, err := exec.CommandContext(ctx, path, "--bindir").Output(); err == nil {
			add(strings.TrimSpace(string(out)))
		}
	}
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin",         // Debian, Ubuntu
		"/usr/pgsql-*/bin",                  // PGDG on Red Hat
		"/usr/libexec/postgresql*",          // Alpine
		"/opt/homebrew/opt/postgresql*/bin", // Homebrew, Apple silicon
		"/usr/local/opt/postgresql*/bin",    // Homebrew, Intel
		"/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",
		"/Applications/Postgres.app/Contents/Versions/*/bin",
	} {
		matches, err := filepath.Glob(pattern)
		if err != nil {
			continue
		}
		for _, dir := range matches {
			add(dir)
		}
	}
	return dirs
}

var versionOutput = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

// majorOf asks a folder's postgres for its version; initdb must lie beside it.
func majorOf(dir string) (int, bool) {
	if _, err := os.Stat(filepath.Join(dir, "initdb")); err != nil {
		return 0, false
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version").Output()
	if err != nil {
		return 0, false
	}
	match := versionOutput.FindSubmatch(out)
	if match == nil {
		return 0, false
	}
	major, err := strconv.Atoi(string(match[1]))
	return major, err == nil
}
