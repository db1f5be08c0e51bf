package plugin

import (
	"context"
	"time"
)

// startsAtOnce bounds the processes that a host starts at the same time to learn what they offer.
const startsAtOnce = 16

// many says that plugins which nobody uses are to be asleep. Unless the host is to have it so, where there are few, their processes cost little, and no run
// waits for a start.
func (h *Host) many() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.config.Asleep || len(h.plugins) > h.pace.few
}

// slumber waits, without a process, until the plugin is woken. It says false when the plugin's life ends before.
func (s *supervisor) slumber(ctx context.Context) bool {
	s.update(func(st *Status) { st.State, st.Error, st.PID = Asleep, "", 0 })
	s.settle()
	select {
	case <-s.wanted:
		return true
	case <-ctx.Done():
		s.update(func(st *Status) { st.State = Stopped })
		return false
	}
}

// wake has a plugin that is asleep started. Whoever finds it asleep first does it for all.
func (s *supervisor) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.status.State != Asleep {
		return
	}
	s.status.State = Starting
	close(s.changed)
	s.changed = make(chan struct{})
	s.wanted <- struct{}{}
}

// attend waits for the end of an instance or of ctx. It says true when the instance may end instead: it lets no run begin
// any more, and has none.
func (s *supervisor) attend(ctx context.Context, in *instance) (idle bool) {
	seen := uint64(0)
	look := time.NewTimer(s.host.pace.unused)
	defer look.Stop()
	for {
		select {
		case <-in.gone:
			return false
		case <-ctx.Done():
			return false
		case <-look.C:
			if s.host.many() && in.session.rest(&seen) {
				return true
			}
			look.Reset(s.host.pace.idle)
		}
	}
}
