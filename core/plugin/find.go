package plugin

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// ManifestName is the file beside a plugin's executable that says what it is before it is started.
const ManifestName = "plugin.json"

const manifestName = ManifestName

const maxManifest = 1 << 20

var namePattern = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)

// Manifest is the content of plugin.json. Keys that it does not name are left to later versions.
type Manifest struct {
	Name        string      `json:"name"`
	Version     string      `json:"version"`
	Protocol    int         `json:"protocol"`
	AutoMTLS    bool        `json:"auto_mtls"`
	Description string      `json:"description"`
	Permissions Permissions `json:"permissions"`
	// Platform is the one that the executable is for, as linux/amd64; empty: any.
	Platform string `json:"platform"`
	// Settings and Credentials are what the plugin will describe, for whoever is asked to install it. Credentials are
	// nil where the manifest does not speak of them.
	Settings    []ManifestSetting    `json:"settings"`
	Credentials []ManifestCredential `json:"credentials"`
	// Unknown are the keys that are left to later versions, or misspelt: each with its path, as permissions.netwrk.
	Unknown []string `json:"-"`
}

// ManifestSetting is a setting in a manifest.
type ManifestSetting struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	Required    bool   `json:"required"`
	Secret      bool   `json:"secret"`
}

// ManifestCredential is what the blocks of a plugin take of a provider's credentials.
type ManifestCredential struct {
	Provider string   `json:"provider"`
	Types    []string `json:"types"`
	Scopes   []string `json:"scopes"`
}

// Inspect reads the manifest of a folder that holds a plugin, and checks what can be checked without starting it.
func Inspect(folder string) (Manifest, error) {
	f, err := inspect("", folder)
	return f.Manifest, err
}

// Installation is a plugin that was installed: a folder of any name with a manifest, and an executable of the plugin's
// name beside it.
type Installation struct {
	Name   string
	Folder string
	// Granted is what its processes may have, whatever the manifest asks for; nil: all that.
	Granted *Permissions
	// Digests are those of all files of the folder, "sha256:" and lower case hex by slashed path; nil: they may be
	// what they are.
	Digests map[string]string
	// Refused says why it may not be started; empty: it may.
	Refused string
}

// found is a plugin that could be started.
type found struct {
	Manifest
	rank    int               // of two that offer the same the lower one has it
	path    string            // of the executable, absolute
	digests map[string]string // of Installation
}

// find looks through dirs, and then at what is installed. A folder that is not there holds no plugins; one that cannot
// be read is an error. One that has a manifest is a plugin itself, whatever its name: what an author's build made. A plugin that
// another folder has already offered is broken, as is one that could not be started as it lies there. They come by name,
// and are ranked as they were found.
func find(dirs, disabled []string, installed []Installation) (plugins []found, broken []Status, err error) {
	seen := make(map[string]string)
	add := func(i Installation) {
		name, folder := i.Name, i.Folder
		f, err := i.inspect()
		if err == nil && seen[f.Name] != "" {
			err = fmt.Errorf("a plugin of this name is already in %s", seen[f.Name])
		}
		if err != nil {
			broken = append(broken, Status{
				Name: name, Version: f.Version, Path: folder, Description: f.Description, State: Failed, Error: err.Error(),
			})
			return
		}
		seen[f.Name], f.rank = folder, len(plugins)
		plugins = append(plugins, f)
	}
	for _, dir := range dirs {
		dir, err := filepath.Abs(dir)
		if err != nil {
			return nil, nil, fmt.Errorf("find plugins: %w", err)
		}
		if name := named(dir); name != "" {
			if !slices.Contains(disabled, name) {
				add(Installation{Name: name, Folder: dir})
			}
			continue
		}
		entries, err := os.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("find plugins: %w", err)
		}
		for _, e := range entries {
			folder := filepath.Join(dir, e.Name())
			if strings.HasPrefix(e.Name(), ".") || slices.Contains(disabled, e.Name()) || !isDir(folder) {
				continue
			}
			add(Installation{Name: e.Name(), Folder: folder})
		}
	}
	for _, i := range installed {
		add(i)
	}
	slices.SortFunc(plugins, func(a, b found) int { return cmp.Compare(a.Name, b.Name) })
	return plugins, broken, nil
}

// named is the name of the plugin that a folder itself holds; empty: none.
func named(folder string) string {
	var m Manifest
	data, err := os.ReadFile(filepath.Join(folder, manifestName))
	if err != nil {
		return ""
	}
	if json.Unmarshal(data, &m) != nil || !namePattern.MatchString(m.Name) {
		return filepath.Base(folder) // inspect says what is wrong
	}
	return m.Name
}

func (i Installation) inspect() (found, error) {
	f, err := inspect(i.Name, i.Folder)
	if i.Granted != nil {
		f.Permissions = i.Granted.fixed()
	}
	f.digests = i.Digests
	if err == nil && i.Refused != "" {
		err = errors.New(i.Refused)
	}
	return f, err
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// inspect reads the manifest of the plugin that a folder is to hold, by any name if none is given.
func inspect(name, folder string) (found, error) {
	f := found{path: filepath.Join(folder, name)}
	info, err := os.Stat(filepath.Join(folder, manifestName))
	if err != nil {
		return f, fmt.Errorf("read manifest: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxManifest {
		return f, fmt.Errorf("%s is not a file of at most %d bytes", manifestName, maxManifest)
	}
	data, err := os.ReadFile(filepath.Join(folder, manifestName))
	if err != nil {
		return f, fmt.Errorf("read manifest: %w", err)
	}
	if f.Manifest, err = decodeManifest(data); err != nil {
		return f, err
	}
	if name == "" {
		f.path = filepath.Join(folder, f.Name)
	}
	if err := f.check(name); err != nil {
		return f, err
	}
	return f, f.checkExecutable(f.path)
}
