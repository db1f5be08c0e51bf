package install

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/patchbay-io/patchbay/core/plugin"
)

// Host runs plugins.
type Host interface {
	Load(ctx context.Context, i plugin.Installation, probation time.Duration) (gone <-chan struct{}, err error)
	Unload(name string) (gone <-chan struct{}, ok bool)
	Plugins() []plugin.Status
	Descriptions() []plugin.Description
}

// Config is what a Service needs.
type Config struct {
	Store *Store
	Host  Host
	// Offline says that the host runs for this alone: a plugin is started to see whether it does and gets on with the others,
	// and ends with the host.
	Offline bool
	// Own are the folders of the server's own plugins.
	Own []string
	// Fetch is how packages are fetched.
	Fetch Fetch
	// Users, unless nil, finds the agents that use blocks.
	Users  Users
	Logger hclog.Logger
}

// Users finds the agents whose current version has one of the blocks: how many there are, and the first of them.
type Users interface {
	UsersOf(ctx context.Context, blocks []string, limit int) ([]Use, int, error)
}

// Use is an agent that uses a plugin.
type Use struct {
	GraphID string
	UserID  string
	Name    string
}

// maxUses bounds the agents that are named.
const maxUses = 20

// probation is how long a new process must live before runs go to it.
const probation = 500 * time.Millisecond

// Service installs plugins on a running server, and changes them. One change happens at a time.
type Service struct {
	Config
	log      hclog.Logger
	changing chan struct{} // holds something while nothing changes
	life     context.Context
	end      context.CancelFunc
	wg       sync.WaitGroup

	mu     sync.Mutex
	ending map[string][]<-chan struct{} // ends of replaced processes, by plugin
}

// New makes a Service.
func New(c Config) *Service {
	s := &Service{Config: c, log: c.Logger, changing: make(chan struct{}, 1), ending: map[string][]<-chan struct{}{}}
	if s.log == nil {
		s.log = hclog.NewNullLogger()
	}
	s.life, s.end = context.WithCancel(context.Background())
	s.changing <- struct{}{}
	return s
}

// Close waits for what still goes on. The host may be closed after it.
func (s *Service) Close() {
	s.end()
	<-s.changing
	s.wg.Wait()
}

func (s *Service) lock(ctx context.Context) error {
	select {
	case <-s.changing:
		if s.life.Err() == nil {
			return nil
		}
		s.changing <- struct{}{}
		return &Refusal{"the server is stopping"}
	case <-ctx.Done():
		return fmt.Errorf("wait for another change of the plugins: %w", ctx.Err())
	}
}

func (s *Service) unlock() { s.changing <- struct{}{} }

// Stage fetches a package, as Store.Stage does.
func (s *Service) Stage(ctx context.Context, source Source, fetch Fetch) (*Package, error) {
	p, err := s.Store.Stage(ctx, source, fetch)
	if err != nil && ctx.Err() == nil {
		return nil, &BadPackage{err}
	}
	return p, err
}

// Install installs a package or another version of it: the new process is healthy before the old one gets no more
// runs, and a package that cannot be started changes nothing. The same version once more repairs what is there. What
// the package asks for beyond what its plugin was granted needs consent. The package belongs to Install.
func (s *Service) Install(ctx context.Context, p *Package, consent bool) (*Plugin, error) {
	defer p.Discard()
	if err := s.lock(ctx); err != nil {
		return nil, err
	}
	defer s.unlock()
	if folder := s.own(p.Name); folder != "" {
		return nil, &Refusal{fmt.Sprintf("a plugin of the name %s belongs to the server: it lies in %s", p.Name, folder)}
	}
	p.Permissions = p.Permissions.Followed()
	now := time.Now().UTC()
	first := now
	old := s.Store.current.Load().Plugins[p.Name]
	if old != nil {
		first = old.since()
	}
	if !consent && needsConsent(old, p) {
		return nil, &ConsentError{Asked: s.ask(old, p)}
	}
	e := &Entry{
		Version: p.Version, Source: p.Source, Digest: p.Digest, Files: p.Files, Permissions: p.Permissions, Enabled: old == nil || old.Enabled,
		SignedBy: p.SignedBy, InstalledAt: now.Truncate(time.Second), First: first, Previous: before(old, p.Version),
	}
	if old != nil && old.Digest == p.Digest && old.Permissions.Covers(p.Permissions) && s.intact(ctx, p.Name, old) {
		e.Blocks = old.Blocks // its files and its process stay: who has signed it and where it comes from may be new
		if err := s.Store.change(func(l *lock) { l.Plugins[p.Name] = e }); err != nil {
			return nil, err
		}
		s.log.Info("plugin is installed as it was", "plugin", p.Name, "version", p.Version, "source", p.Source, "signed_by", p.SignedBy)
		return s.find(p.Name)
	}
	at, err := s.Store.place(p)
	if err != nil {
		return nil, err
	}
	err = s.take(ctx, p.Name, e, old)
	if err != nil {
		if undone := at.undo(); undone != nil {
			s.log.Error("what an installation has left could not be removed", "plugin", p.Name, "error", undone)
		}
		return nil, err
	}
	s.warn("what an installation has left could not be removed", p.Name, at.settle())
	s.later(p.Name, at.drop)
	s.later(p.Name, func() error { return s.prune(p.Name) })
	s.log.Info("plugin installed", "plugin", p.Name, "version", p.Version, "source", p.Source, "digest", p.Digest, "signed_by", p.SignedBy)
	return s.find(p.Name)
}

// intact says that a plugin is as it was installed, and runs if it is to.
func (s *Service) intact(ctx context.Context, name string, e *Entry) bool {
	if flaws, err := s.Store.verify(ctx, name, e); err != nil || len(flaws) > 0 {
		return false
	}
	return !e.Enabled || s.Offline || s.runs(name)
}

// before is the version that an entry goes back to when another takes its place.
func before(old *Entry, version string) *Entry {
	if old == nil {
		return nil
	}
	if old.Version == version { // a repair
		return old.Previous
	}
	kept := *old
	kept.Previous = nil
	return &kept
}

// take has the host run an entry, if it is enabled, and writes it down.
func (s *Service) take(ctx context.Context, name string, e, old *Entry) error {
	failure := s.failure(name, e, old)
	if e.Enabled {
		gone, err := s.Host.Load(ctx, s.Store.installation(name, e), probation)
		if err != nil {
			failure.cause = err
			return failure
		}
		s.ends(name, gone)
		e.Blocks = s.blocks(name)
	} else if old != nil {
		e.Blocks = old.Blocks
	}
	var err error
	if clash := s.Store.current.Load().claimed(name, e); e.Enabled && clash != nil {
		failure.cause = clash
		err = failure
	} else {
		err = s.Store.change(func(l *lock) {
			l.Plugins[name] = e
			l.unremember(name)
		})
	}
	if err != nil && e.Enabled { // what is not written down is not to run
		if old != nil && old.Enabled {
			gone, back := s.Host.Load(ctx, s.Store.installation(name, old), 0)
			s.ends(name, gone)
			s.warn("the version before could not be taken up again", name, back)
		} else {
			s.Host.Unload(name)
		}
	}
	return err
}

// failure is that of an entry which is not started, and says what is left then.
func (s *Service) failure(name string, e, old *Entry) *Failure {
	f := &Failure{Name: name, Version: e.Version, Kept: old != nil && !s.Offline && s.runs(name)}
	if old != nil && old.Version != e.Version {
		f.Stays = old.Version
	}
	return f
}

func (s *Service) warn(what, name string, err error) {
	if err != nil {
		s.log.Error(what, "plugin", name, "error", err)
	}
}

// Enable starts a plugin that is installed and disabled, or one of the server's own.
func (s *Service) Enable(ctx context.Context, name string) (*Plugin, error) {
	if err := s.lock(ctx); err != nil {
		return nil, err
	}
	defer s.unlock()
	l := s.Store.current.Load()
	if old, ok := l.Plugins[name]; ok {
		if s.runs(name) {
			return s.find(name)
		}
		e := *old
		e.Enabled = true
		if err := s.take(ctx, name, &e, nil); err != nil {
			return nil, err
		}
		return s.find(name)
	}
	folder := s.own(name)
	if folder == "" {
		return nil, &Absent{name}
	}
	if _, off := l.Disabled[name]; off || !s.Offline && !s.runs(name) {
		if err := s.takeOwn(ctx, name, folder); err != nil {
			return nil, err
		}
		if err := s.Store.change(func(l *lock) { delete(l.Disabled, name) }); err != nil {
			s.Host.Unload(name)
			return nil, err
		}
	}
	return s.find(name)
}

// takeOwn has the host run a plugin of the server's own.
func (s *Service) takeOwn(ctx context.Context, name, folder string) error {
	gone, err := s.Host.Load(ctx, plugin.Installation{Name: name, Folder: folder}, probation)
	if err != nil {
		return &Failure{Name: name, Kept: !s.Offline && s.runs(name), cause: err}
	}
	s.ends(name, gone)
	return nil
}

// Restart starts a plugin again, with the settings of now. Its old process finishes what it began; when the new one cannot
// be started, the old one serves on.
func (s *Service) Restart(ctx context.Context, name string) (*Plugin, error) {
	if s.Offline {
		return nil, &Refusal{"no server runs, whose plugins could be started again: when it starts, they have the settings of then"}
	}
	if err := s.lock(ctx); err != nil {
		return nil, err
	}
	defer s.unlock()
	l := s.Store.current.Load()
	old, installed := l.Plugins[name]
	_, off := l.Disabled[name]
	folder := s.own(name)
	var err error
	switch {
	case !installed && folder == "":
		return nil, &Absent{name}
	case installed && !old.Enabled || !installed && off:
		return nil, &Refusal{fmt.Sprintf("the plugin %s is disabled: enable it, which starts it with the settings of now", name)}
	case installed:
		e := *old
		err = s.take(ctx, name, &e, old)
	default:
		err = s.takeOwn(ctx, name, folder)
	}
	if err != nil {
		return nil, err
	}
	s.log.Info("plugin started again", "plugin", name)
	return s.find(name)
}

// Disable stops a plugin when it has finished what it began. Its blocks leave the list.
func (s *Service) Disable(ctx context.Context, name string) (*Plugin, error) {
	if err := s.lock(ctx); err != nil {
		return nil, err
	}
	defer s.unlock()
	old, installed := s.Store.current.Load().Plugins[name]
	if !installed && s.own(name) == "" {
		return nil, &Absent{name}
	}
	err := s.Store.change(func(l *lock) {
		if installed {
			e := *old
			e.Enabled = false
			l.Plugins[name] = &e
		} else if _, off := l.Disabled[name]; !off {
			l.Disabled[name] = s.blocks(name)
		}
	})
	if err != nil {
		return nil, err
	}
	gone, _ := s.Host.Unload(name)
	s.ends(name, gone)
	return s.find(name)
}

// Remove removes a plugin and its files, when it has finished what it began.
func (s *Service) Remove(ctx context.Context, name string) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.unlock()
	old, installed := s.Store.current.Load().Plugins[name]
	switch folder := s.own(name); {
	case !installed && folder != "":
		return &Refusal{fmt.Sprintf("the plugin %s belongs to the server and can only be disabled: it lies in %s", name, folder)}
	case !installed:
		return &Absent{name}
	}
	err := s.Store.change(func(l *lock) {
		delete(l.Plugins, name)
		l.Removed[name] = old.Blocks
		if strings.Contains(old.Source, "/") { // else it was uploaded, and nobody knows from where
			l.RemovedFrom[name] = old.Source
		}
		for other := range l.Removed {
			if len(l.Removed) > maxRemoved && other != name {
				l.unremember(other)
			}
		}
	})
	if err != nil {
		return err
	}
	s.warn("what it described could not be forgotten", name, s.Store.forget(name))
	gone, _ := s.Host.Unload(name)
	s.ends(name, gone)
	s.later(name, func() error { return s.sweep(name) })
	s.log.Info("plugin removed", "plugin", name, "version", old.Version)
	return nil
}

// Rollback goes back to the version before, and forward again at the next time.
func (s *Service) Rollback(ctx context.Context, name string) (*Plugin, error) {
	if err := s.lock(ctx); err != nil {
		return nil, err
	}
	defer s.unlock()
	old, ok := s.Store.current.Load().Plugins[name]
	switch {
	case !ok && s.own(name) != "":
		return nil, &Refusal{fmt.Sprintf("the plugin %s belongs to the server, and has one version", name)}
	case !ok:
		return nil, &Absent{name}
	case old.Previous == nil:
		return nil, &Refusal{fmt.Sprintf("there is no version of the plugin %s before %s", name, old.Version)}
	}
	e := *old.Previous
	e.Enabled, e.First, e.Previous = old.Enabled, old.since(), before(old, "")
	if err := s.take(ctx, name, &e, old); err != nil {
		return nil, err
	}
	s.log.Info("plugin went back", "plugin", name, "version", e.Version, "from", old.Version)
	return s.find(name)
}

// Verify compares the files of an installed plugin with what was installed, also those of the version to go back to.
func (s *Service) Verify(ctx context.Context, name string) ([]Flaw, error) {
	e, ok := s.Store.current.Load().Plugins[name]
	switch {
	case !ok && s.own(name) != "":
		return []Flaw{}, nil
	case !ok:
		return nil, &Absent{name}
	}
	flaws, err := s.Store.verify(ctx, name, e)
	if err == nil && e.Previous != nil {
		var before []Flaw
		before, err = s.Store.verify(ctx, name, e.Previous)
		flaws = append(flaws, before...)
	}
	return flaws, err
}

// UsedBy finds the agents that use a plugin's blocks.
func (s *Service) UsedBy(ctx context.Context, name string) ([]Use, int, error) {
	l := s.Store.current.Load()
	blocks := l.Disabled[name]
	if e, ok := l.Plugins[name]; ok {
		blocks = e.Blocks
	} else if _, off := l.Disabled[name]; !off {
		blocks = s.blocks(name)
	}
	if s.Users == nil || len(blocks) == 0 {
		return nil, 0, nil
	}
	return s.Users.UsersOf(ctx, sortedNames(blocks), maxUses)
}

// own is the folder of a plugin of the server's own; empty: there is none.
func (s *Service) own(name string) string {
	if !namePattern.MatchString(name) {
		return ""
	}
	for _, dir := range s.Own {
		if m, err := plugin.Inspect(dir); err == nil && m.Name == name { // the folder is a plugin itself
			return dir
		}
		folder := filepath.Join(dir, name)
		if _, err := os.Stat(filepath.Join(folder, plugin.ManifestName)); err == nil {
			return folder
		}
	}
	return ""
}

func (s *Service) runs(name string) bool {
	return slices.ContainsFunc(s.Host.Plugins(), func(st plugin.Status) bool { return st.Name == name && st.State.Serves() })
}

func (s *Service) blocks(name string) Blocks {
	blocks := Blocks{}
	for _, d := range s.Host.Descriptions() {
		if d.Name == name {
			for _, b := range d.Blocks {
				blocks[b.ID] = b.Name
			}
		}
	}
	return blocks
}
