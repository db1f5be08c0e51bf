// Package install keeps the plugins that an administrator has installed: it fetches and verifies packages, unpacks them
// under the data folder, writes down in plugins.lock what they are and what they were granted, and has the host of
// plugins take up and let go of them while the server runs. Nothing of a package is started before somebody has
// consented to what it asks for.
package install

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/google/renameio/v2"

	"github.com/patchbay-io/patchbay/core/plugin"
)

// Store is the part of a data folder that plugins are installed in. Whoever opens it must have the folder for himself.
type Store struct {
	folder  string // of packages: <folder>/<name>/<version>
	path    string // of the lock file
	memory  string // folder of what plugins described: <memory>/<name>
	limits  limits
	current atomic.Pointer[lock]

	// Signatures, unless set, demands none of what is installed. With Require nothing unsigned is started.
	Signatures Policy
}

// asidePrefix marks what was replaced and may still be used by a process.
const asidePrefix = ".aside-"

// placingPrefix marks the file that names a version which is being put in its place; the plugin's name follows.
const placingPrefix = ".placing-"

// Read reads what is installed in a data folder, which may be somebody else's.
func Read(data string) (*Store, error) {
	s := &Store{folder: filepath.Join(data, "plugins"), path: filepath.Join(data, LockName), memory: filepath.Join(data, "descriptions"), limits: defaultLimits}
	l, err := readLock(s.path)
	s.current.Store(l)
	return s, err
}

// Open reads what is installed in a data folder, and removes what an interrupted installation has left.
func Open(data string) (*Store, error) {
	s, err := Read(data)
	if err != nil {
		return nil, err
	}
	l := s.current.Load()
	entries, err := os.ReadDir(s.folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("look through the installed plugins: %w", err)
	}
	for _, e := range entries {
		_, there := l.Plugins[e.Name()]
		_, was := l.Removed[e.Name()]
		if name, ok := strings.CutPrefix(e.Name(), placingPrefix); ok {
			if err := s.unplace(name); err != nil {
				return nil, fmt.Errorf("remove what was left of an installation: %w", err)
			}
		}
		if strings.HasPrefix(e.Name(), stagedPrefix) || strings.HasPrefix(e.Name(), asidePrefix) || was && !there {
			if err := os.RemoveAll(filepath.Join(s.folder, e.Name())); err != nil {
				return nil, fmt.Errorf("remove what was left of an installation: %w", err)
			}
		}
	}
	return s, nil
}

// Strays are the names of folders with plugins that no entry speaks of: where they were installed, the lock file was lost.
func (s *Store) Strays() (names []string) {
	manifests, _ := filepath.Glob(filepath.Join(s.folder, "*", "*", plugin.ManifestName)) // the pattern is no bad one
	for _, path := range manifests {
		name := filepath.Base(filepath.Dir(filepath.Dir(path)))
		if _, there := s.current.Load().Plugins[name]; !there && namePattern.MatchString(name) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// unplace removes a version that an interrupted installation has put in its place and not written down.
func (s *Store) unplace(name string) error {
	note := filepath.Join(s.folder, placingPrefix+name)
	raw, err := os.ReadFile(note)
	if err != nil {
		return err
	}
	version := string(raw)
	if !namePattern.MatchString(name) || !versionPattern.MatchString(version) {
		return os.Remove(note) // it is none of ours
	}
	for e := s.current.Load().Plugins[name]; e != nil; e = e.Previous {
		if e.Version == version {
			return os.Remove(note)
		}
	}
	if err := os.RemoveAll(s.version(name, version)); err != nil {
		return err
	}
	_ = os.Remove(filepath.Join(s.folder, name)) // if nothing else is in it
	return os.Remove(note)
}

// Scratch is a store of packages that are only looked at. Remove its folder when it is needed no more.
func Scratch(folder string) *Store { return &Store{folder: folder, limits: defaultLimits} }

// Enabled are the plugins that a host is to start, in the order in which they came.
func (s *Store) Enabled() []plugin.Installation {
	var list []plugin.Installation
	l := s.current.Load()
	for _, name := range l.enabled() {
		list = append(list, s.installation(name, l.Plugins[name]))
	}
	return list
}

// Blocks are those of an installed plugin, as it last described them.
func (s *Store) Blocks(name string) Blocks {
	if e, ok := s.current.Load().Plugins[name]; ok {
		return e.Blocks
	}
	return nil
}

// Clash says of an enabled plugin with which one that came before it shares a block.
func (s *Store) Clash(name string) error {
	l := s.current.Load()
	if e, ok := l.Plugins[name]; ok {
		return l.claimed(name, e)
	}
	return nil
}

// Disabled are the plugins of the server's own that a host is not to start.
func (s *Store) Disabled() []string { return sortedNames(s.current.Load().Disabled) }

// Advice says how a block could be had that no plugin provides: a clause to put behind that, or nothing.
func (s *Store) Advice(block string) string {
	switch name, why := s.current.Load().bringer(block); why {
	case disabled:
		return fmt.Sprintf("the plugin %q brings it and is disabled; enable it with: patchbay plugin enable %s", name, name)
	case failing:
		return fmt.Sprintf("the plugin %q brings it and does not run; see: patchbay plugin list", name)
	case removed:
		return fmt.Sprintf("the plugin %q brought it and was removed; install it again with: patchbay plugin install %s",
			name, cmp.Or(s.current.Load().RemovedFrom[name], "SOURCE"))
	}
	return ""
}

func (s *Store) installation(name string, e *Entry) plugin.Installation {
	i := plugin.Installation{Name: name, Folder: s.version(name, e.Version), Granted: &e.Permissions, Digests: e.Files}
	if s.Signatures == Require && e.SignedBy == "" {
		i.Refused = "it is unsigned, and PATCHBAY_PLUGIN_SIGNATURES=require lets nothing unsigned run; " +
			"install a version that is signed with a key of PATCHBAY_PLUGIN_KEYS or by an identity of PATCHBAY_PLUGIN_IDENTITIES"
	}
	return i
}

func (s *Store) version(name, version string) string { return filepath.Join(s.folder, name, version) }

// change writes a changed lock file.
func (s *Store) change(f func(l *lock)) error {
	next := s.current.Load().clone()
	f(next)
	if err := next.write(s.path); err != nil {
		return err
	}
	s.current.Store(next)
	return nil
}

// placed is a package in its place, and what was there before.
type placed struct {
	folder string
	aside  string // empty: there was nothing
	note   string // names the version until it is written down or undone
}

// place moves a package's files to where they are started from. Until that is settled, a file beside the folders names
// the version, so that the next start finds what was not written down.
func (s *Store) place(p *Package) (*placed, error) {
	at := &placed{folder: s.version(p.Name, p.Version)}
	if err := os.MkdirAll(filepath.Dir(at.folder), 0o755); err != nil {
		return nil, fmt.Errorf("install: %w", err)
	}
	at.note = filepath.Join(s.folder, placingPrefix+p.Name)
	if err := renameio.WriteFile(at.note, []byte(p.Version), 0o600, renameio.WithTempDir(s.folder)); err != nil {
		return nil, fmt.Errorf("install: %w", err)
	}
	aside, err := s.setAside(at.folder)
	if err != nil {
		return nil, errors.Join(err, os.Remove(at.note))
	}
	at.aside = aside
	err = cmp.Or(ownTree(p.folder, s.folder), os.Rename(p.folder, at.folder), syncFolder(filepath.Dir(at.folder)))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("install: %w", err), at.undo())
	}
	p.Discard()
	return at, nil
}

// setAside makes room where a version lies, if there is one.
func (s *Store) setAside(folder string) (aside string, err error) {
	if _, err := os.Lstat(folder); errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if aside, err = os.MkdirTemp(s.folder, asidePrefix); err == nil {
		aside = filepath.Join(aside, "old")
		err = os.Rename(folder, aside)
	}
	if err != nil {
		return "", fmt.Errorf("set the old version aside: %w", err)
	}
	return aside, nil
}

// undo puts things back.
func (at *placed) undo() error {
	err := os.RemoveAll(at.folder)
	if at.aside != "" {
		err = errors.Join(err, os.Rename(at.aside, at.folder), os.Remove(filepath.Dir(at.aside)))
	} else {
		_ = os.Remove(filepath.Dir(at.folder)) // of the plugin, if it is empty
	}
	return errors.Join(err, os.Remove(at.note))
}

// settle says that the version is written down.
func (at *placed) settle() error { return os.Remove(at.note) }

// drop removes what was there before.
func (at *placed) drop() error {
	if at.aside == "" {
		return nil
	}
	return os.RemoveAll(filepath.Dir(at.aside))
}

func syncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// ownTree gives all files of a folder to the owner of another one: root may install what a server of another user runs.
func ownTree(path, like string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	return filepath.WalkDir(path, func(path string, _ fs.DirEntry, err error) error {
		return cmp.Or(err, ownAs(path, like))
	})
}

func ownAs(path, like string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(like)
	if err != nil {
		return err
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok {
		return os.Lchown(path, int(owner.Uid), int(owner.Gid))
	}
	return nil
}

// Flaw is a file that is not what was installed.
type Flaw struct {
	Version string // that it belongs to
	File    string
	Problem string // changed, missing, not installed, unreadable, mode changed
}

// verify compares an installed version's files with their digests.
func (s *Store) verify(ctx context.Context, name string, e *Entry) ([]Flaw, error) {
	folder, flaws, seen := s.version(name, e.Version), []Flaw{}, map[string]bool{}
	flawed := func(file, problem string) { flaws = append(flaws, Flaw{e.Version, file, problem}) }
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case path == folder && errors.Is(err, fs.ErrNotExist):
			return fs.SkipAll
		case err != nil:
			return err
		case d.IsDir():
			return nil
		}
		relative, err := filepath.Rel(folder, path)
		if err != nil {
			return err
		}
		file := filepath.ToSlash(relative)
		seen[file] = true
		want, known := e.Files[file]
		if !known {
			flawed(file, "not installed")
			return nil
		}
		switch got, err := digestOf(path, d); {
		case err != nil:
			flawed(file, "unreadable")
		case got != want:
			flawed(file, "changed")
		case strange(d):
			flawed(file, "mode changed")
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("verify plugin %s: %w", name, err)
	}
	for _, file := range sortedNames(e.Files) {
		if !seen[file] {
			flawed(file, "missing")
		}
	}
	return flaws, nil
}

// strange says that a file has a mode that none is installed with: others than its owner may write it, for example, or it
// makes whoever starts it somebody else.
func strange(d fs.DirEntry) bool {
	info, err := d.Info()
	return err == nil && d.Type().IsRegular() && info.Mode()&^0o755 != 0
}
