package install

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/renameio/v2"

	"github.com/patchbay-io/patchbay/core/plugin"
)

// LockName is the file in the data folder that says what is installed.
const LockName = "plugins.lock"

// lockFormat is the one that this program writes; it reads no later one.
const lockFormat = 1

// lock is the content of plugins.lock.
type lock struct {
	Format  int               `json:"format"`
	Plugins map[string]*Entry `json:"plugins"`
	// Disabled are plugins of the server's own that are not to run, and Removed those that were installed once: both
	// with their blocks, so that who misses one can be told what brings it.
	Disabled map[string]Blocks `json:"disabled,omitempty"`
	Removed  map[string]Blocks `json:"removed,omitempty"`
	// RemovedFrom is where the removed ones came from.
	RemovedFrom map[string]string `json:"removed_from,omitempty"`
}

// Blocks are names of blocks by their ids.
type Blocks map[string]string

// maxRemoved bounds the plugins that are remembered after their removal.
const maxRemoved = 100

// Entry is an installed version of a plugin.
type Entry struct {
	Version string `json:"version"`
	// Source is where it came from, as it was given: a path, a URL, an OCI reference.
	Source string `json:"source"`
	// Digest is that of the archive.
	Digest string `json:"digest"`
	// Files are the digests by path within the plugin's folder.
	Files map[string]string `json:"files"`
	// Permissions are those that were granted.
	Permissions plugin.Permissions `json:"permissions"`
	Enabled     bool               `json:"enabled"`
	// SignedBy is whose signature was verified: the fingerprint of a key, or issuer and subject of an identity; empty: it is
	// unsigned.
	SignedBy    string    `json:"signed_by,omitempty"`
	InstalledAt time.Time `json:"installed_at"`
	// First is when some version of the plugin was installed that all later ones took the place of; zero: InstalledAt.
	First  time.Time `json:"first_installed_at,omitzero"`
	Blocks Blocks    `json:"blocks,omitempty"`
	// Previous is the version to go back to.
	Previous *Entry `json:"previous,omitempty"`
}

// since is when the plugin came.
func (e *Entry) since() time.Time {
	if e.First.IsZero() {
		return e.InstalledAt
	}
	return e.First
}

func readLock(path string) (*lock, error) {
	l := &lock{Format: lockFormat}
	raw, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("read what plugins are installed: %w", err)
	default:
		if err := json.Unmarshal(raw, l); err != nil {
			return nil, fmt.Errorf("read %s: %w; restore it from a backup, or remove it and install the plugins again", path, err)
		}
	}
	if l.Format != lockFormat {
		return nil, fmt.Errorf("read %s: its format is %d; this program knows %d: run the version of Patchbay that has written it, or restore the file of this version from a backup",
			path, l.Format, lockFormat)
	}
	if l.Plugins == nil {
		l.Plugins = map[string]*Entry{}
	}
	for name, e := range l.Plugins {
		for ; e != nil; e = e.Previous {
			if !namePattern.MatchString(name) || !versionPattern.MatchString(e.Version) {
				return nil, fmt.Errorf("read %s: plugin %q, version %q: no such thing can be installed", path, name, e.Version)
			}
		}
		if l.Plugins[name] == nil {
			delete(l.Plugins, name)
		}
	}
	return l, nil
}

// write leaves the old file or the new one, whatever happens.
func (l *lock) write(path string) error {
	raw, err := json.MarshalIndent(l, "", "  ")
	if err == nil {
		err = renameio.WriteFile(path, append(raw, '\n'), 0o600, renameio.WithTempDir(filepath.Dir(path)))
	}
	if err == nil {
		err = ownAs(path, filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("keep what plugins are installed: %w", err)
	}
	return nil
}

// clone is a copy of which entries may be replaced.
func (l *lock) clone() *lock {
	next := *l
	next.Plugins, next.Disabled, next.Removed = maps.Clone(l.Plugins), maps.Clone(l.Disabled), maps.Clone(l.Removed)
	if next.Disabled == nil {
		next.Disabled = map[string]Blocks{}
	}
	if next.Removed == nil {
		next.Removed = map[string]Blocks{}
	}
	if next.RemovedFrom = maps.Clone(l.RemovedFrom); next.RemovedFrom == nil {
		next.RemovedFrom = map[string]string{}
	}
	return &next
}

// unremember forgets that a plugin was installed once.
func (l *lock) unremember(name string) {
	delete(l.Removed, name)
	delete(l.RemovedFrom, name)
}

// enabled are the names of the installed plugins that are to run, in the order in which they came.
func (l *lock) enabled() []string {
	names := slices.DeleteFunc(sortedNames(l.Plugins), func(name string) bool { return !l.Plugins[name].Enabled })
	slices.SortStableFunc(names, func(a, b string) int { return l.Plugins[a].since().Compare(l.Plugins[b].since()) })
	return names
}

// claimed says which enabled plugin that came before has one of the blocks, whether it runs now or does not.
func (l *lock) claimed(name string, e *Entry) error {
	for _, other := range l.enabled() {
		if other == name || e.since().Before(l.Plugins[other].since()) {
			continue
		}
		for _, id := range sortedNames(e.Blocks) {
			if theirs, ok := l.Plugins[other].Blocks[id]; ok {
				return fmt.Errorf("block %q of plugin %s has the id %s of %q, which plugin %s offers: only one of them can be enabled",
					e.Blocks[id], name, id, theirs, other)
			}
		}
	}
	return nil
}

// displaced are the disabled plugins that have some of a plugin's blocks.
func (l *lock) displaced(name string, blocks Blocks) (names []string) {
	shares := func(other Blocks) bool {
		return slices.ContainsFunc(sortedNames(other), func(id string) bool { _, ok := blocks[id]; return ok })
	}
	for other, e := range l.Plugins {
		if other != name && !e.Enabled && shares(e.Blocks) {
			names = append(names, other)
		}
	}
	for other, theirs := range l.Disabled {
		if other != name && shares(theirs) {
			names = append(names, other)
		}
	}
	slices.Sort(names)
	return names
}

// bringer finds the plugin that would bring a block.
func (l *lock) bringer(id string) (name string, found absence) {
	for _, name := range sortedNames(l.Plugins) {
		if _, ok := l.Plugins[name].Blocks[id]; ok {
			if l.Plugins[name].Enabled {
				return name, failing
			}
			return name, disabled
		}
	}
	for _, name := range sortedNames(l.Disabled) {
		if _, ok := l.Disabled[name][id]; ok {
			return name, disabled
		}
	}
	for _, name := range sortedNames(l.Removed) {
		if _, ok := l.Removed[name][id]; ok {
			return name, removed
		}
	}
	return "", unknown
}

// absence is why a block is not there.
type absence int

const (
	unknown absence = iota
	failing
	disabled
	removed
)

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
