// Package plugin is the host of plugin processes: it finds, starts, supervises and ends them, keeps the catalogue
// of the blocks that they describe, and runs blocks in them over one session stream per process.
//
// Nothing that a plugin sends is trusted: it is bounded, checked, and at worst costs the plugin its process. The
// package decides nothing about executions: whether a run that was cut off is repeated is the scheduler's affair.
package plugin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sync/errgroup"

	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/core/plugin/isolation"
)

// Config is what a Host needs to know.
type Config struct {
	// Dirs are searched in order for plugins: <dir>/<name>/plugin.json beside an executable <dir>/<name>/<name>.
	Dirs []string
	// Installed are plugins that lie elsewhere. One whose name a folder of Dirs has taken is broken. Of plugins that offer
	// the same block or provider the first in Dirs has it, and then the first in Installed: no name gives a claim.
	Installed []Installation
	// Disabled are names of plugins in Dirs that are not to run until they are loaded.
	Disabled []string
	// Advice, unless nil, says how a block could be had that no plugin provides: a clause, or nothing.
	Advice func(block string) string
	// RuntimeDir holds the private folders of plugin processes: their sockets, working and temporary folders. It
	// is made with mode 0700, belongs to one running host, and what an earlier one left in it is removed.
	RuntimeDir string
	// UserIDs are the users that plugins run as where the host is root; unless set, isolation.DefaultUserIDs.
	UserIDs isolation.Range
	// Private are folders of the server's that no plugin is granted, nor what contains them or lies in them.
	Private []string
	// Proxy takes plugins that may have the network there; nil: they have none.
	Proxy Proxy
	// Settings gives the settings that are set for a plugin, by name; nil: none are. It is asked when the host is made, and
	// at each Load.
	Settings func(plugin string) (map[string]string, error)
	// Builtin are the blocks that the core runs itself. They are listed with those of plugins, which may not
	// offer a block of the same id.
	Builtin []*block.Block
	// Asleep says that plugins of which it is known what they offer are not started before they are used, however few
	// there are.
	Asleep bool
	// Memory, unless nil, keeps from one host to the next what plugins described, so that it need not start them to know.
	Memory Memory
	// Changed is called when the catalogue of a started host has changed. It must not block.
	Changed func()
	Logger  hclog.Logger
}

// Refuses says which of the permissions no host of this kind grants, before anything is started.
func (c Config) Refuses(p Permissions) error { return p.spares(c.Private) }

// Proxy is an HTTP proxy, which decides what may be reached.
type Proxy interface {
	// Serve serves one process of a plugin by a listener until ctx ends. It closes the listener.
	Serve(ctx context.Context, l net.Listener)
}

// State is how a plugin fares.
type State string

// The states of a plugin.
const (
	Starting    State = "starting"
	Ready       State = "ready"
	Asleep      State = "asleep"      // known, and has no process: the first run starts it
	Restarting  State = "restarting"  // died, comes again soon: runs wait for it
	Unavailable State = "unavailable" // dies again and again: runs fail, and it is retried slowly
	Failed      State = "failed"      // cannot work as it is installed or set up: not tried again
	Stopped     State = "stopped"     // the host was closed
)

// Serves says that runs get a process: at once, or when it has started. Of a host that has started, that is.
func (s State) Serves() bool { return s == Ready || s == Asleep || s == Starting }

// Status tells operators about one plugin.
type Status struct {
	Name        string
	Version     string
	Path        string // of the executable, or of the folder when there is none
	Description string
	State       State
	Error       string // why it is not ready, or why it was last restarted
	PID         int    // 0 while no process runs
	Restarts    int
	Deaths      int    // in the last hour: its process ended by itself, or did not start
	LastDeath   *Death // nil: there was none
	// Outgoing are the processes of earlier versions, by id, that finish what they began.
	Outgoing []int
}

// Death is how a process of a plugin ended that was not told to.
type Death struct {
	At    time.Time `json:"at"`
	Cause string    `json:"cause"`
}

// Frail says that the plugin has died several times of late, however it fares at this moment.
func (s *Status) Frail() bool { return s.Deaths > 1 && s.LastDeath != nil }

// Host owns the plugin processes of a server.
type Host struct {
	config   Config
	log      hclog.Logger
	pace     pace
	launcher *Launcher
	veil     veil

	life    context.Context // ends with Close
	end     context.CancelFunc
	wg      sync.WaitGroup
	closed  atomic.Bool
	starts  sync.Mutex // held by Start, Load and Unload, awaited by Close
	started bool       // guarded by starts

	catalogue atomic.Pointer[catalogue]
	mu        sync.Mutex    // guards writing of catalogue, and what follows
	plugins   []*supervisor // sorted by name
	outgoing  []*supervisor // replaced or unloaded, not at their end yet
	broken    []Status      // folders that hold no plugin that could be started
}

// pace is how long things may take. Tests shorten it.
type pace struct {
	start      time.Duration // a process until its session stands
	restart    time.Duration // a run's wait for a plugin that restarts
	cancel     time.Duration // a cancelled run's end
	ask        time.Duration // between two questions whether a process that has runs still answers
	answer     time.Duration // its answer
	stop       time.Duration // a process's own end once it is asked, before it is killed
	drain      time.Duration // the end of what a replaced plugin began
	backoffMin time.Duration
	backoffMax time.Duration
	healthy    time.Duration // alive so long, a process is no longer part of a crash loop
	loop       time.Duration // the window in which deaths make a crash loop
	loopDeaths int
	few        int           // plugins, which all have processes, used or not
	unused     time.Duration // of many plugins, one that nobody uses has a process so long
	idle       time.Duration // and one that was used between this and twice this
}

var defaultPace = pace{
	start:      10 * time.Second,
	restart:    15 * time.Second,
	cancel:     5 * time.Second,
	ask:        30 * time.Second,
	answer:     30 * time.Second,
	stop:       2 * time.Second,
	drain:      24 * time.Hour,
	backoffMin: 100 * time.Millisecond,
	backoffMax: 30 * time.Second,
	healthy:    time.Minute,
	loop:       time.Minute,
	loopDeaths: 5,
	few:        16,
	unused:     5 * time.Second,
	idle:       5 * time.Minute,
}

// New finds the installed plugins and starts none.
func New(config Config) (*Host, error) { return newHost(config, defaultPace) }

func newHost(config Config, pace pace) (*Host, error) {
	if config.Logger == nil {
		config.Logger = hclog.NewNullLogger()
	}
	h := &Host{config: config, log: config.Logger.Named("plugin"), pace: pace}
	empty, err := newCatalogue(config.Builtin)
	if err != nil {
		return nil, err
	}
	h.catalogue.Store(empty)
	found, broken, err := find(config.Dirs, config.Disabled, config.Installed)
	if err != nil {
		return nil, err
	}
	if h.launcher, err = NewLauncher(config); err != nil {
		return nil, err
	}
	for _, f := range h.launcher.Isolation() {
		if !f.Have {
			h.log.Warn("plugins are not isolated in this", "feature", f.Name, "why", f.Detail, "advice", f.Advice)
		}
	}
	h.life, h.end = context.WithCancel(context.Background())
	for _, f := range found {
		s, err := newSupervisor(h, f)
		if err != nil {
			broken = append(broken, Status{Name: f.Name, Version: f.Version, Path: f.path, Description: f.Description, State: Failed, Error: err.Error()})
			continue
		}
		h.plugins = append(h.plugins, s)
	}
	for _, b := range broken {
		h.log.Error("plugin is broken", "plugin", b.Name, "path", b.Path, "error", b.Error)
	}
	h.broken = broken
	return h, nil
}

// Isolation tells what the system can deny to plugins and what it cannot.
func (h *Host) Isolation() []isolation.Feature { return h.launcher.Isolation() }

// Start brings the blocks of all plugins into the catalogue. Those that are remembered are not waited for: few are started
// behind it, many sleep until they are used. It starts the others in parallel, and returns when each is ready or its
// first start has failed. No plugin's failure is the host's: Plugins tells. It is called once.
func (h *Host) Start(ctx context.Context) error {
	h.starts.Lock()
	defer h.starts.Unlock()
	if h.closed.Load() {
		return errors.New("start plugins: the host is closed")
	}
	h.started = true
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(h.life, cancel)()
	first := make([]attempt, len(h.plugins))
	remembered := make([]*offer, len(h.plugins))
	var starting errgroup.Group
	starting.SetLimit(startsAtOnce)
	for i, s := range h.plugins {
		if remembered[i] = s.recall(); remembered[i] == nil {
			starting.Go(func() error {
				first[i] = s.attempt(ctx)
				return nil
			})
		}
	}
	_ = starting.Wait()
	for _, i := range h.ranked() { // who was there first keeps what it offers
		s := h.plugins[i]
		if remembered[i] != nil {
			if h.take(s, remembered[i]) {
				h.keep(s, attempt{})
				continue
			}
			first[i] = s.attempt(ctx) // it is told why it cannot be
		}
		if first[i].err == nil {
			first[i].err = h.register(s, first[i].instance.offer)
		}
		h.keep(s, first[i])
	}
	for _, s := range h.plugins {
		s.settled()
		if !h.many() {
			s.wake()
		}
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("start plugins: %w", err)
	}
	return nil
}

// Rehearse finds out, in place of Start and without starting anything, what a start would meet: plugins whose files are not
// what was installed, or that are remembered to offer what another one does, have failed then.
func (h *Host) Rehearse() {
	for _, i := range h.ranked() {
		s := h.plugins[i]
		executable, err := s.open()
		if err == nil {
			_ = executable.Close()
			if o := s.recall(); o != nil {
				err = h.register(s, o)
			}
		}
		if err != nil {
			s.update(func(st *Status) { st.State, st.Error = Failed, err.Error() })
		}
	}
}

// ranked are the places in h.plugins of those that were found when the host was made, by rank.
func (h *Host) ranked() []int {
	places := make([]int, len(h.plugins))
	for i := range places {
		places[i] = i
	}
	slices.SortFunc(places, func(a, b int) int { return cmp.Compare(h.plugins[a].rank, h.plugins[b].rank) })
	return places
}

// Close ends all plugins and returns when their processes are gone. Runs that still go on are cut off.
func (h *Host) Close() {
	if h.closed.Swap(true) {
		return
	}
	h.end()
	h.starts.Lock()
	defer h.starts.Unlock()
	h.wg.Wait()
	h.launcher.Close()
}

// Plugins tells about every plugin and every broken plugin folder, sorted by name.
func (h *Host) Plugins() []Status {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := slices.Clone(h.broken)
	for _, s := range h.plugins {
		status := s.Status()
		for _, old := range h.outgoing {
			if pid := old.Status().PID; old.name == s.name && pid != 0 {
				status.Outgoing = append(status.Outgoing, pid)
			}
		}
		all = append(all, status)
	}
	slices.SortStableFunc(all, func(a, b Status) int { return cmp.Compare(a.Name, b.Name) })
	return all
}
