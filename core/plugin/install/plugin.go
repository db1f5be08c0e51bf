package install

import (
	"cmp"
	"fmt"
	"os"
	"slices"

	"github.com/patchbay-io/patchbay/core/plugin"
)

// Plugin is a plugin as administrators see it.
type Plugin struct {
	Name        string
	Version     string
	Description string
	// Own says that it belongs to the server, and was not installed.
	Own     bool
	Enabled bool
	State   plugin.State // as the host has it; Disabled, or Installed where there is no server
	Error   string
	Blocks  Blocks
	// Displaces are disabled plugins that have blocks of this one, and cannot be enabled beside it.
	Displaces []string
	// How often its process was started again, how often it died in the last hour, and how at last; nil: it did not.
	Restarts, Deaths int
	LastDeath        *plugin.Death
	// Entry is what was written down when it was installed, nil for one of the server's own.
	Entry *Entry
}

// States beside the host's.
const (
	Disabled  plugin.State = "disabled"
	Installed plugin.State = "installed"
)

// List are all plugins, those of the server's own too, by name.
func (s *Service) List() []Plugin {
	l := s.Store.current.Load()
	names := map[string]bool{}
	for name := range l.Plugins {
		names[name] = true
	}
	for _, dir := range s.Own {
		if m, err := plugin.Inspect(dir); err == nil {
			names[m.Name] = true
			continue
		}
		entries, _ := os.ReadDir(dir) // a folder that is not there has none
		for _, e := range entries {
			if s.own(e.Name()) != "" {
				names[e.Name()] = true
			}
		}
	}
	statuses := map[string]plugin.Status{}
	for _, status := range s.Host.Plugins() {
		if have, ok := statuses[status.Name]; !ok || have.State == plugin.Failed {
			statuses[status.Name] = status
		}
	}
	list := make([]Plugin, 0, len(names))
	for _, name := range sortedNames(names) {
		list = append(list, s.plugin(l, name, statuses))
	}
	return list
}

// Plugin finds one.
func (s *Service) Plugin(name string) (*Plugin, error) { return s.find(name) }

func (s *Service) find(name string) (*Plugin, error) {
	list := s.List()
	i, ok := slices.BinarySearchFunc(list, name, func(p Plugin, name string) int { return cmp.Compare(p.Name, name) })
	if !ok {
		return nil, &Absent{name}
	}
	return &list[i], nil
}

func (s *Service) plugin(l *lock, name string, statuses map[string]plugin.Status) Plugin {
	p := Plugin{Name: name, Enabled: true, State: Installed}
	folder := s.own(name)
	if e, ok := l.Plugins[name]; ok {
		p.Entry, p.Version, p.Enabled, p.Blocks, folder = e, e.Version, e.Enabled, e.Blocks, s.Store.version(name, e.Version)
	} else {
		p.Own = true
		blocks, off := l.Disabled[name]
		p.Enabled = !off
		if p.Blocks = blocks; !off {
			p.Blocks = s.blocks(name)
		}
	}
	if m, err := plugin.Inspect(folder); err == nil {
		p.Version, p.Description = m.Version, m.Description
	} else {
		p.Error = err.Error()
	}
	if p.Enabled {
		p.Displaces = l.displaced(name, p.Blocks)
	}
	status, known := statuses[name]
	switch {
	case !p.Enabled:
		p.State, p.Error = Disabled, ""
	case known && !s.Offline:
		p.State, p.Error = status.State, status.Error
		p.Restarts, p.Deaths, p.LastDeath = status.Restarts, status.Deaths, status.LastDeath
		p.Version, p.Description = cmp.Or(status.Version, p.Version), cmp.Or(status.Description, p.Description)
	case !s.Offline:
		p.State = plugin.Failed
	}
	return p
}

// Asked is what somebody consents to.
type Asked struct {
	Name        string                   `json:"name"`
	Version     string                   `json:"version"`
	Description string                   `json:"description"`
	Source      string                   `json:"source"`
	Digest      string                   `json:"digest"`
	SignedBy    string                   `json:"signed_by"` // empty: it is unsigned
	Size        int64                    `json:"size"`      // bytes of all files
	Permissions plugin.Permissions       `json:"permissions"`
	Settings    []plugin.ManifestSetting `json:"settings"`
	// Credentials are nil where the manifest does not speak of them.
	Credentials []plugin.ManifestCredential `json:"credentials"`
	// Replaces is the version that is installed, Granted what that was granted; empty: none is.
	Replaces string              `json:"replaces,omitempty"`
	Granted  *plugin.Permissions `json:"granted,omitempty"`
}

func (s *Service) ask(old *Entry, p *Package) Asked {
	a := p.Asks()
	if old != nil {
		a.Replaces, a.Granted = old.Version, &old.Permissions
	}
	return a
}

// Asks is what a package asks for.
func (p *Package) Asks() Asked {
	return Asked{
		Name: p.Name, Version: p.Version, Description: p.Description, Source: p.Source, Digest: p.Digest, SignedBy: p.SignedBy,
		Size: p.Size, Permissions: p.Permissions, Settings: p.Settings, Credentials: p.Credentials,
	}
}

// NeedsConsent says whether a package asks for more than was granted to what is installed, is not signed as that is, or is
// something else that nobody has signed.
func (p *Package) NeedsConsent(granted *plugin.Permissions, signedBy, digest string) bool {
	return granted == nil || !granted.Covers(p.Permissions) || signedBy != "" && !SameSigner(p.SignedBy, signedBy) ||
		p.SignedBy == "" && p.Digest != digest
}

func needsConsent(old *Entry, p *Package) bool {
	return old == nil || p.NeedsConsent(&old.Permissions, old.SignedBy, old.Digest)
}

// ConsentError says that somebody must consent to what a package asks for.
type ConsentError struct{ Asked Asked }

func (e *ConsentError) Error() string {
	return fmt.Sprintf("plugin %s %s asks for consent before it is installed", e.Asked.Name, e.Asked.Version)
}

// Absent says that there is no plugin of a name.
type Absent struct{ Name string }

func (e *Absent) Error() string { return fmt.Sprintf("there is no plugin %.100q", e.Name) }

// Refusal says why something cannot be done with plugins as they are.
type Refusal struct{ Message string }

func (e *Refusal) Error() string { return e.Message }

// BadPackage says what is wrong with a package or its source.
type BadPackage struct{ cause error }

func (e *BadPackage) Error() string { return e.cause.Error() }

func (e *BadPackage) Unwrap() error { return e.cause }

// Failure says why a plugin could not be started. Nothing has changed.
type Failure struct {
	Name, Version string
	Kept          bool   // the version before serves on
	Stays         string // the version that stays installed; empty: there is none, or it is this one
	cause         error
}

func (e *Failure) Error() string {
	text := e.cause.Error()
	switch {
	case e.Kept:
		text += "; the version before serves on"
	case e.Stays != "":
		text += fmt.Sprintf("; version %s stays installed", e.Stays)
	}
	return text
}

func (e *Failure) Unwrap() error { return e.cause }
