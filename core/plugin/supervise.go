package plugin

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	protobuf "google.golang.org/protobuf/proto"

	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/sdk/proto"
)

// supervisor keeps one plugin running.
type supervisor struct {
	found
	name string
	host *Host
	log  hclog.Logger
	set  map[string]string // settings that somebody has set

	life  context.Context // ends when the plugin is replaced or unloaded, and with the host's
	end   context.CancelFunc
	ended chan struct{} // closed when no process of it is left after that

	late   context.Context // ends when what a replaced plugin began has taken too long, and with the host's life
	giveUp context.CancelFunc

	current  atomic.Pointer[session] // of a ready plugin; nil otherwise
	isolated chan struct{}           // taken by whoever runs a process beside the plugin's own
	turn     chan struct{}           // taken by the last of them that began, for a moment

	wanted chan struct{} // has something once somebody has woken the plugin
	kept   memory        // what is remembered of it; of Start, then of supervise

	mu        sync.Mutex
	status    Status
	changed   chan struct{} // closed and replaced when status changes
	settles   chan struct{} // closed when the first start is judged
	once      sync.Once
	known     *offer      // the description of the last start that succeeded
	described *offer      // the last valid description
	unset     *unsetError // of a plugin that has failed for want of settings
	deaths    []time.Time // of late
}

// attempt is the outcome of a launch. The zero value is that there was none: the plugin is asleep.
type attempt struct {
	instance *instance
	files    string // what the plugin was before it was launched
	err      error
}

// newSupervisor makes the supervisor of a plugin, with the settings that are set now: its processes all have the same.
func newSupervisor(h *Host, f found) (*supervisor, error) {
	var set map[string]string
	if h.config.Settings != nil {
		var err error
		if set, err = h.config.Settings(f.Name); err != nil {
			return nil, fmt.Errorf("read the plugin's settings: %w", err)
		}
	}
	s := &supervisor{
		set:      set,
		found:    f,
		name:     f.Name,
		host:     h,
		log:      h.log.With("plugin", f.Name),
		isolated: make(chan struct{}, maxAlone), turn: make(chan struct{}, 1),
		wanted:  make(chan struct{}, 1),
		changed: make(chan struct{}),
		settles: make(chan struct{}),
		ended:   make(chan struct{}),
		status:  Status{Name: f.Name, Version: f.Version, Path: f.path, Description: f.Description, State: Starting},
	}
	s.life, s.end = context.WithCancel(h.life)
	s.late, s.giveUp = context.WithCancel(h.life)
	return s, nil
}

// Status tells how the plugin fares.
func (s *supervisor) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	status := s.status
	status.Deaths = len(lately(s.deaths, time.Now()))
	return status
}

// died remembers a death for operators.
func (s *supervisor) died(why string) {
	now := time.Now()
	s.update(func(st *Status) { st.LastDeath = &Death{At: now, Cause: why} })
	s.mu.Lock()
	s.deaths = append(lately(s.deaths, now), now)
	s.deaths = s.deaths[max(0, len(s.deaths)-maxDeaths):]
	s.mu.Unlock()
}

// maxDeaths bounds those that are counted.
const maxDeaths = 1000

// lately are those of the last hour.
func lately(deaths []time.Time, now time.Time) []time.Time {
	return slices.DeleteFunc(slices.Clone(deaths), func(at time.Time) bool { return now.Sub(at) > time.Hour })
}

func (s *supervisor) update(f func(*Status)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.status)
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *supervisor) attempt(ctx context.Context) attempt {
	files := s.files()
	in, err := s.launch(ctx)
	return attempt{in, files, err}
}

// again is an attempt of a plugin that offers something already.
func (s *supervisor) again(ctx context.Context) attempt {
	a := s.attempt(ctx)
	if a.err == nil {
		a.err = s.reregister(a.instance.offer)
	}
	return a
}

// settled waits until the first attempt is judged.
func (s *supervisor) settled() { <-s.settles }

// supervise keeps the plugin running until ctx ends, beginning with the outcome of a first attempt.
func (s *supervisor) supervise(ctx context.Context, a attempt) {
	var past record
	for {
		if a == (attempt{}) {
			if !s.slumber(ctx) {
				return
			}
			a = s.again(ctx)
		}
		if a.err != nil && a.instance != nil { // started, and refused
			a.instance.stop(s.host.pace.stop)
		}
		var why string
		switch {
		case a.err == nil:
			s.ready(a.instance)
			s.settle()
			s.remember(a)
			idle := s.attend(ctx, a.instance)
			s.current.Store(nil)
			switch {
			case idle:
				s.log.Info("plugin falls asleep", "pid", a.instance.process.pid())
				a.instance.stop(s.host.pace.stop)
				a, past = attempt{}, record{}
				continue
			case ctx.Err() != nil:
				s.finish(a.instance)
				s.update(func(st *Status) { st.State, st.PID = Stopped, 0 })
				return
			}
			why = a.instance.death.detail
			past.died(time.Now(), a.instance, s.host.pace)
			s.died(why)
			s.log.Error("plugin died", "pid", a.instance.process.pid(), "runs", a.instance.death.runs, "cause", why)
		case ctx.Err() != nil:
			s.update(func(st *Status) { st.State, st.PID = Stopped, 0 })
			s.settle()
			return
		case isPermanent(a.err):
			s.log.Error("plugin failed", "error", a.err)
			if unset, ok := errors.AsType[*unsetError](a.err); ok {
				s.mu.Lock()
				s.unset = unset
				s.mu.Unlock()
			}
			s.update(func(st *Status) { st.State, st.Error, st.PID = Failed, a.err.Error(), 0 })
			s.settle()
			return
		default:
			why = a.err.Error()
			past.failed(time.Now(), s.host.pace)
			s.died(why)
			s.log.Error("plugin did not start", "error", a.err)
		}
		state := Restarting
		if past.looping {
			state = Unavailable
		}
		delay := past.delay(s.host.pace)
		s.log.Info("plugin will be started again", "state", state, "in", delay.Round(time.Millisecond))
		s.update(func(st *Status) { st.State, st.Error, st.PID = state, why, 0 })
		s.settle()
		if !sleep(ctx, delay) {
			s.update(func(st *Status) { st.State = Stopped })
			return
		}
		s.update(func(st *Status) { st.Restarts++ })
		a = s.again(ctx)
	}
}

func (s *supervisor) settle() { s.once.Do(func() { close(s.settles) }) }

func (s *supervisor) ready(in *instance) {
	s.mu.Lock()
	s.known = in.offer
	s.mu.Unlock()
	s.current.Store(in.session)
	s.update(func(st *Status) {
		st.State, st.Error, st.PID = Ready, "", in.process.pid()
		st.Version = in.offer.description.GetVersion()
		if d := in.offer.description.GetDescription(); d != "" {
			st.Description = d
		}
	})
	s.log.Info("plugin is ready", "version", in.offer.description.GetVersion(), "pid", in.process.pid(), "blocks", len(in.offer.blocks))
}

// reregister takes over what a plugin describes after a restart.
func (s *supervisor) reregister(o *offer) error {
	s.mu.Lock()
	known := s.known
	s.mu.Unlock()
	if known == o {
		return nil
	}
	if known != nil {
		s.log.Info("plugin describes itself otherwise than before: what it says now counts")
	}
	if err := s.host.register(s, o); err != nil {
		return err
	}
	s.host.changed()
	return nil
}

// examine checks a description. The one that is known needs no second look.
func (s *supervisor) examine(d *proto.DescribeResponse) (*offer, error) {
	s.mu.Lock()
	known := s.known
	s.mu.Unlock()
	if known != nil && protobuf.Equal(known.description, d) {
		return known, nil
	}
	o, err := check(s.Manifest, d)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.described = o
	s.mu.Unlock()
	return o, nil
}

func (s *supervisor) settings(d *proto.DescribeResponse) (map[string]string, error) {
	settings, unknown, err := settingsFor(d, s.set)
	for _, name := range unknown {
		s.log.Warn("plugin has no such setting", "setting", name)
	}
	return settings, err
}

// lacks gives the settings for want of which the plugin does not bring a block; nil: it is not for them.
func (s *supervisor) lacks(id string) *unsetError {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unset == nil || !slices.ContainsFunc(s.described.blocks, func(b *block.Block) bool { return b.ID == id }) {
		return nil
	}
	return s.unset
}

// session waits for the plugin to be ready, if it is on its way to it.
func (s *supervisor) session(ctx context.Context) (*session, error) {
	for {
		if current := s.current.Load(); current != nil && current.usable() {
			return current, nil
		}
		s.mu.Lock()
		status, changed := s.status, s.changed
		s.mu.Unlock()
		if s.retired() {
			return nil, errRetired
		}
		switch status.State {
		case Asleep:
			s.wake()
		case Unavailable, Failed, Stopped:
			return nil, fmt.Errorf("plugin %s is %s: %s", s.name, status.State, status.Error)
		}
		select {
		case <-changed:
		case <-s.life.Done():
		case <-ctx.Done():
			return nil, fmt.Errorf("plugin %s is %s and was not ready within %s: %s", s.name, status.State, s.host.pace.restart, status.Error)
		}
	}
}

// record is what a supervisor remembers of its plugin's ends, to tell a bad day from a crash loop.
type record struct {
	row     int         // ends in a row, none of them of a process that had lived long: the exponent of the delay
	recent  []time.Time // those that count for a crash loop
	looping bool        // holds until the next success
	blamed  bool        // the last end is a run's, not the plugin's
	served  bool        // the last process had ended some run properly
}

// died records the end of an instance. All is well if it lived long enough. If some run ended in it before, its blocks work:
// that is no crash loop, and the delay grows all the same while it goes on dying young. An end with one run inside is charged
// to that run and makes no crash loop.
func (r *record) died(now time.Time, in *instance, p pace) {
	switch {
	case now.Sub(in.started) >= p.healthy:
		*r = record{}
	case in.death.served:
		r.recent, r.looping = nil, false
	}
	r.row++
	r.served = in.death.served
	if r.blamed = in.death.runs == 1; !r.blamed {
		r.count(now, p)
	}
}

func (r *record) failed(now time.Time, p pace) {
	r.row++
	r.blamed, r.served = false, false
	r.count(now, p)
}

func (r *record) count(now time.Time, p pace) {
	r.recent = append(r.recent, now)
	for now.Sub(r.recent[0]) > p.loop {
		r.recent = r.recent[1:]
	}
	if len(r.recent) >= p.loopDeaths {
		r.looping = true
	}
}

// delay is how long to wait before the next start: doubled with each end, the full time in a crash loop.
func (r *record) delay(p pace) time.Duration {
	d := p.backoffMax
	if shift := r.row - 1; !r.looping && shift < 20 {
		d = min(d, p.backoffMin<<shift)
	}
	switch {
	case r.looping:
	case r.blamed: // healthy blocks need not suffer long for one bad run
		d = min(d, 10*p.backoffMin)
	case r.served: // what waits for it is to be served before it gives up
		d = min(d, 20*p.backoffMin)
	}
	return time.Duration(float64(d) * (0.8 + 0.2*rand.Float64()))
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
