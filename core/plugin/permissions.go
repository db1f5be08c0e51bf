package plugin

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/patchbay-io/patchbay/core/plugin/isolation"
)

// Permissions are what a plugin's manifest asks for, and what is granted to a plugin: what its processes may have
// beside what every plugin's have.
type Permissions struct {
	Network     bool         `json:"network,omitempty"` // by the server's HTTP proxy, and without namespaces any way
	Files       []FileAccess `json:"files,omitempty"`
	Environment []string     `json:"environment,omitempty"` // names of the server's variables
	Memory      int          `json:"memory,omitempty"`      // MiB for all its processes; 0: defaultMemory
	Processes   int          `json:"processes,omitempty"`   // processes and threads; 0: defaultProcesses
}

// FileAccess is a file, or a folder with all that is in it.
type FileAccess struct {
	Path  string `json:"path"` // absolute
	Write bool   `json:"write,omitempty"`
	// LeadsTo is where the path led by symbolic links when it was granted; empty: nowhere else. Should it lead elsewhere
	// later, whoever can make a link there has made it, and not who granted the path.
	LeadsTo string `json:"leads_to,omitempty"`
}

// place is where the file was when it was granted.
func (f FileAccess) place() string {
	if f.LeadsTo == "" {
		return f.Path
	}
	return f.LeadsTo
}

// Followed are the permissions with the places to which the paths lead on this machine now.
func (p Permissions) Followed() Permissions {
	p.Files = slices.Clone(p.Files)
	for i, f := range p.Files {
		p.Files[i].LeadsTo = ""
		if place, err := filepath.EvalSymlinks(f.Path); err == nil && place != f.Path {
			p.Files[i].LeadsTo = place
		}
	}
	return p
}

// Bounds of permissions, and what a plugin has that asks for nothing.
const (
	maxPermissions   = 64 // files, and variables
	maxPath          = 1024
	defaultMemory    = 1024 // MiB
	minMemory        = 32
	maxMemory        = 1 << 20
	defaultProcesses = 512
	minProcesses     = 16
	maxProcesses     = 1 << 15
)

var variablePattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)

// Check says what of the permissions no plugin can have.
func (p Permissions) Check() error {
	var wrong []error
	bad := func(format string, args ...any) {
		wrong = append(wrong, fmt.Errorf("permissions: "+format, args...))
	}
	if len(p.Files) > maxPermissions || len(p.Environment) > maxPermissions {
		return fmt.Errorf("permissions: more than %d files or variables", maxPermissions)
	}
	for _, f := range p.Files {
		switch {
		case len(f.Path) > maxPath || !filepath.IsAbs(f.Path) || filepath.Clean(f.Path) != f.Path || strings.ContainsRune(f.Path, 0):
			bad("the path %.100q is not an absolute one in its shortest form", f.Path)
		case strings.ContainsFunc(f.Path, Unseen):
			bad("the path %q has characters in it that are not seen", f.Path)
		case f.Path == "/" || within(f.Path, "/proc") || within(f.Path, "/sys"):
			bad("the path %q cannot be granted", f.Path)
		}
	}
	for _, name := range p.Environment {
		if !variablePattern.MatchString(name) || strings.HasPrefix(name, "PATCHBAY_") || strings.HasPrefix(name, "PLUGIN_") || strings.HasPrefix(name, "LD_") {
			bad("the variable %.130q cannot be granted", name)
		}
	}
	if p.Memory != 0 && (p.Memory < minMemory || p.Memory > maxMemory) {
		bad("memory of %d MiB; it takes %d to %d", p.Memory, minMemory, maxMemory)
	}
	if p.Processes != 0 && (p.Processes < minProcesses || p.Processes > maxProcesses) {
		bad("%d processes; it takes %d to %d", p.Processes, minProcesses, maxProcesses)
	}
	return errors.Join(wrong...)
}

// Unseen says of a character that people do not see it and it may change what they see: controls, and formats such as those
// of no width or for the direction of texts.
func Unseen(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)
}

// within says whether a path is a folder or lies in it. Both are absolute and clean.
func within(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, strings.TrimSuffix(folder, "/")+"/")
}

// Covers says whether whoever has p has all that other asks for. Upgrades that ask for more need consent.
func (p Permissions) Covers(other Permissions) bool {
	if other.Network && !p.Network || other.memory() > p.memory() || other.processes() > p.processes() {
		return false
	}
	for _, name := range other.Environment {
		if !slices.Contains(p.Environment, name) {
			return false
		}
	}
	for _, asked := range other.Files {
		if !slices.ContainsFunc(p.Files, func(f FileAccess) bool {
			return within(asked.Path, f.Path) && within(asked.place(), f.place()) && (f.Write || !asked.Write)
		}) {
			return false
		}
	}
	return true
}

// spares says which file of the permissions is the server's, if any.
func (p Permissions) spares(private []string) error {
	for _, f := range p.Files {
		place, leads := f.place(), ""
		if f.LeadsTo != "" {
			leads = "it leads to " + place + ", and "
		}
		for _, folder := range private {
			if within(place, folder) || within(folder, place) || within(f.Path, folder) {
				return fmt.Errorf("permissions: %s cannot be granted: %sthe server keeps its data in %s", f.Path, leads, folder)
			}
		}
		if place == "/" || within(place, "/proc") || within(place, "/sys") {
			return fmt.Errorf("permissions: %s cannot be granted: %snobody is granted that", f.Path, leads)
		}
	}
	return nil
}

// fixed are permissions that hold for the places alone to which the paths led when they were granted.
func (p Permissions) fixed() Permissions {
	p.Files = slices.Clone(p.Files)
	for i, f := range p.Files {
		p.Files[i].LeadsTo = f.place()
	}
	return p
}

func (p Permissions) files() []isolation.File {
	files := make([]isolation.File, len(p.Files))
	for i, f := range p.Files {
		files[i] = isolation.File{Path: f.Path, Write: f.Write, Place: f.LeadsTo}
	}
	return files
}

// memory is the limit in MiB.
func (p Permissions) memory() int {
	if p.Memory == 0 {
		return defaultMemory
	}
	return p.Memory
}

// processes is the limit of processes and threads together.
func (p Permissions) processes() int {
	if p.Processes == 0 {
		return defaultProcesses
	}
	return p.Processes
}
