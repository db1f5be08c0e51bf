package sdk

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"
)

// Permissions are what a plugin needs beside what every plugin has: reading the system's programs and libraries and
// its own folder, a private folder to write into, the host's services. They are written into its manifest, and whoever
// installs the plugin is asked to grant them; what is not granted, its processes cannot have. Most plugins need none:
// requests by HTTPClient are made by the server.
type Permissions struct {
	Network     bool         `json:"network,omitempty"`     // by the HTTP proxy of the server that HTTP_PROXY names
	Files       []FileAccess `json:"files,omitempty"`       // at most 64
	Environment []string     `json:"environment,omitempty"` // variables of the server's; at most 64, none of Patchbay's own
	Memory      int          `json:"memory,omitempty"`      // MiB for all its processes; 0: 1024
	Processes   int          `json:"processes,omitempty"`   // processes and threads; 0: 512
}

// FileAccess is a file, or a folder with all that is in it.
type FileAccess struct {
	Path  string `json:"path"` // absolute
	Write bool   `json:"write,omitempty"`
}

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)

// check tells an author what every server refuses.
func (p Permissions) check() error {
	var wrong []error
	if len(p.Files) > 64 || len(p.Environment) > 64 {
		wrong = append(wrong, errors.New("permissions: at most 64 files and 64 variables can be asked for"))
	}
	for _, f := range p.Files {
		if !path.IsAbs(f.Path) || path.Clean(f.Path) != f.Path || f.Path == "/" || len(f.Path) > 1024 ||
			strings.HasPrefix(f.Path+"/", "/proc/") || strings.HasPrefix(f.Path+"/", "/sys/") || strings.ContainsRune(f.Path, 0) {
			wrong = append(wrong, fmt.Errorf("permissions: the path %q must be absolute and in its shortest form, and not /, /proc or /sys", f.Path))
		}
	}
	for _, name := range p.Environment {
		if !variableName.MatchString(name) || strings.HasPrefix(name, "PATCHBAY_") || strings.HasPrefix(name, "PLUGIN_") || strings.HasPrefix(name, "LD_") {
			wrong = append(wrong, fmt.Errorf("permissions: the variable %q cannot be asked for", name))
		}
	}
	if p.Memory != 0 && (p.Memory < 32 || p.Memory > 1<<20) {
		wrong = append(wrong, fmt.Errorf("permissions: memory of %d MiB: it takes 32 to %d", p.Memory, 1<<20))
	}
	if p.Processes != 0 && (p.Processes < 16 || p.Processes > 1<<15) {
		wrong = append(wrong, fmt.Errorf("permissions: %d processes: it takes 16 to %d", p.Processes, 1<<15))
	}
	return errors.Join(wrong...)
}
