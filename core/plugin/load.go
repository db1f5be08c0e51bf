package plugin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// errRetired says that a plugin was replaced or unloaded.
var errRetired = errors.New("the plugin was replaced or removed")

// Load starts a plugin on a started host, in place of the one of the same name if there is one, which may be the same
// plugin: it has the settings of now. The new process must be
// described and ready first: from then on new runs go to it, all at once with what it describes. The old process
// finishes what it began, and is then stopped; gone is closed when nothing of it is left. When the new one fails, also
// by not living as long as its probation, the old one serves on as if nothing had happened. One that lacks settings is
// taken in all the same where nothing serves in its place: it has failed, and says what it needs.
func (h *Host) Load(ctx context.Context, i Installation, probation time.Duration) (gone <-chan struct{}, err error) {
	f, err := i.inspect()
	if err != nil {
		return nil, fmt.Errorf("load plugin %s: %w", i.Name, err)
	}
	h.starts.Lock()
	defer h.starts.Unlock()
	if !h.started || h.closed.Load() {
		return nil, fmt.Errorf("load plugin %s: the host does not run", i.Name)
	}
	s, err := newSupervisor(h, f)
	if err != nil {
		return nil, fmt.Errorf("load plugin %s: %w", i.Name, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(h.life, cancel)()
	first := s.attempt(ctx)
	if first.err == nil && probation > 0 {
		first.err = h.probe(ctx, first.instance, probation)
	}
	if _, unset := errors.AsType[*unsetError](first.err); unset {
		if old, ok := h.takeIn(s); ok {
			h.keep(s, first)
			s.settled()
			gone = old.retire()
			h.changed()
			return gone, nil
		}
	}
	if first.err != nil {
		s.drop()
		return nil, fmt.Errorf("load plugin %s: %w", i.Name, first.err)
	}
	s.current.Store(first.instance.session) // who finds it in the catalogue need not wait
	old, err := h.swap(s, first.instance.offer)
	if err != nil {
		s.drop()
		first.instance.stop(h.pace.stop)
		return nil, fmt.Errorf("load plugin %s: %w", i.Name, err)
	}
	h.keep(s, first)
	s.settled()
	gone = old.retire()
	h.changed()
	return gone, nil
}

// Unload takes a plugin's blocks and providers out of the catalogue. Its process finishes what it began, and is then
// stopped; gone is closed when nothing of it is left. It says false if there is no such plugin.
func (h *Host) Unload(name string) (gone <-chan struct{}, ok bool) {
	h.starts.Lock()
	defer h.starts.Unlock()
	old, ok := h.remove(name)
	if !ok {
		return nil, false
	}
	gone = old.retire()
	h.changed()
	return gone, true
}

// probe waits for the end of a probation. An instance that fails it is stopped.
func (h *Host) probe(ctx context.Context, in *instance, probation time.Duration) error {
	t := time.NewTimer(probation)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-in.gone:
		return fmt.Errorf("it ended soon after its start: %s", in.death.detail)
	case <-ctx.Done():
		in.stop(h.pace.stop)
		return fmt.Errorf("start: %w", context.Cause(ctx))
	}
}

func (h *Host) changed() {
	if h.config.Changed != nil {
		h.config.Changed()
	}
}

// swap puts a plugin that is ready in the place of the one of its name, which may be nil.
func (h *Host) swap(s *supervisor, o *offer) (old *supervisor, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	i, there := h.position(s.name)
	if there {
		old = h.plugins[i]
	}
	if err := h.offer(s, old, o); err != nil {
		return nil, err
	}
	h.place(s, i, old)
	return old, nil
}

// takeIn puts a plugin that cannot start in the place of the one of its name, unless that may serve yet.
func (h *Host) takeIn(s *supervisor) (old *supervisor, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	i, there := h.position(s.name)
	if there {
		if old = h.plugins[i]; old.Status().State != Failed {
			return nil, false
		}
		next := h.catalogue.Load().without(old)
		next.sort()
		h.catalogue.Store(next)
	}
	h.place(s, i, old)
	return old, true
}

// place puts a plugin into the list, in the place of another one unless that is nil. h.mu is held.
func (h *Host) place(s *supervisor, i int, old *supervisor) {
	plugins := slices.Clone(h.plugins)
	if old != nil {
		plugins[i] = s
		h.outgoing = append(h.outgoing, old)
	} else {
		plugins = slices.Insert(plugins, i, s)
	}
	h.plugins = plugins
	h.broken = slices.DeleteFunc(slices.Clone(h.broken), func(b Status) bool { return b.Name == s.name })
}

// remove takes a plugin, or a folder that was to hold one, out of everything. old is nil for such a folder.
func (h *Host) remove(name string) (old *supervisor, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	rest := slices.DeleteFunc(slices.Clone(h.broken), func(b Status) bool { return b.Name == name })
	ok = len(rest) < len(h.broken)
	h.broken = rest
	i, there := h.position(name)
	if !there {
		return nil, ok
	}
	old = h.plugins[i]
	next := h.catalogue.Load().without(old)
	next.sort()
	h.catalogue.Store(next)
	h.plugins = slices.Delete(slices.Clone(h.plugins), i, i+1)
	h.outgoing = append(h.outgoing, old)
	return old, true
}

// position is where a plugin stands in h.plugins, or would. h.mu is held.
func (h *Host) position(name string) (int, bool) {
	return slices.BinarySearchFunc(h.plugins, name, func(s *supervisor, name string) int { return strings.Compare(s.name, name) })
}

// keep supervises a plugin to the end of its life, beginning with the outcome of its first attempt.
func (h *Host) keep(s *supervisor, first attempt) {
	h.wg.Go(func() {
		defer close(s.ended)
		defer context.AfterFunc(s.life, s.wait)()
		defer s.giveUp()
		s.supervise(s.life, first)
		<-s.life.Done() // one that has failed need not be supervised, but its place is taken
		s.drain()
		h.mu.Lock()
		defer h.mu.Unlock()
		h.outgoing = slices.DeleteFunc(h.outgoing, func(o *supervisor) bool { return o == s })
	})
}

// wait gives a plugin whose life has ended up when what it began goes on for too long.
func (s *supervisor) wait() {
	if sleep(s.late, s.host.pace.drain) {
		s.log.Error("plugin was replaced and has not finished what it began; it is ended", "version", s.Version, "after", s.host.pace.drain)
		s.giveUp()
	}
}

// drop forgets a plugin that was never kept.
func (s *supervisor) drop() {
	s.end()
	s.giveUp()
}

// retire lets a plugin begin nothing any more. Whoever waits for it is sent on to what the catalogue has instead.
func (s *supervisor) retire() (gone <-chan struct{}) {
	if s == nil {
		none := make(chan struct{})
		close(none)
		return none
	}
	s.end()
	return s.ended
}

// retired says that the plugin was replaced or unloaded, which the end of the host is not.
func (s *supervisor) retired() bool { return s.life.Err() != nil && !s.host.closed.Load() }

// finish stops an instance whose plugin's life has ended: at once with the host, else when its runs have ended.
func (s *supervisor) finish(in *instance) {
	if s.retired() {
		s.log.Info("plugin finishes what it began and ends", "version", s.Version, "pid", in.process.pid())
		select {
		case <-in.session.drain():
		case <-in.gone:
			s.log.Error("plugin died", "pid", in.process.pid(), "runs", in.death.runs, "cause", in.death.detail)
		case <-s.late.Done():
		}
	}
	in.stop(s.host.pace.stop)
}
