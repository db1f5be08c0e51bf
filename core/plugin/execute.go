package plugin

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/sdk/proto"
)

// Run runs a block to its end. When ctx ends the run is cancelled and given a bounded time to end. A run that finds
// its plugin restarting waits for it, for a bounded time. A run that is cut off by Close ends as one that crashed
// together with others: it is nobody's fault.
func (h *Host) Run(ctx context.Context, r Run) Result {
	result := h.run(ctx, r)
	for result.moved { // the catalogue has changed before
		result = h.run(ctx, r)
	}
	return result
}

func (h *Host) run(ctx context.Context, r Run) Result {
	e, ok := h.catalogue.Load().byID[r.Block]
	if !ok || e.plugin == nil || r.Isolated {
		r.Begun.Drop()
		r.Begun = nil
	}
	switch {
	case !ok:
		return failed(proto.ErrorKind_ERROR_KIND_PERMANENT, fmt.Errorf("no installed plugin provides the block %s%s", r.Block, h.advice(r.Block)))
	case e.plugin == nil:
		return failed(proto.ErrorKind_ERROR_KIND_PERMANENT, fmt.Errorf("block %q is the core's own and runs in no plugin", e.block.Name))
	}
	run := e.plugin.run
	r.Follow = h.follows(e.plugin, r.Follow)
	if r.Isolated {
		run, r.Follow = e.plugin.runAlone, nil
	}
	if len(r.Credentials) > 0 {
		defer h.veil.draw(r.Credentials)()
		h.veil.over(&r)
	}
	result := run(ctx, e.block, &r)
	if len(r.Credentials) > 0 && result.Err != nil {
		result.Err.Message = h.veil.hide(result.Err.GetMessage())
	}
	if result.Crashed != nil && h.closed.Load() {
		result.Crashed.Alone = false
	}
	return result
}

func (s *supervisor) run(ctx context.Context, b *block.Block, r *Run) Result {
	current := s.current.Load()
	if current == nil || !current.usable() {
		return s.runLater(ctx, b, r)
	}
	result, retry := current.run(ctx, b, r)
	if retry {
		return s.runLater(ctx, b, r)
	}
	return result
}

// runLater runs a block once its plugin is ready again.
func (s *supervisor) runLater(ctx context.Context, b *block.Block, r *Run) Result {
	wait, stop := context.WithTimeout(ctx, s.host.pace.restart)
	defer stop()
	for {
		current, err := s.session(wait)
		if err != nil {
			return s.refuse(ctx, err)
		}
		if result, retry := current.run(ctx, b, r); !retry {
			return result
		}
	}
}

// refuse is the result of a run that has not begun.
func (s *supervisor) refuse(ctx context.Context, err error) Result {
	switch {
	case ctx.Err() != nil:
		return cancelled()
	case s.retired():
		return Result{moved: true}
	case s.host.closed.Load():
		return Result{Crashed: &Crash{Detail: "the server is stopping"}}
	}
	return failed(proto.ErrorKind_ERROR_KIND_TEMPORARY, err)
}

// runAlone runs a block in a process of its own.
func (s *supervisor) runAlone(ctx context.Context, b *block.Block, r *Run) Result {
	if st := s.Status(); !s.retired() && (st.State == Failed || st.State == Stopped) {
		return s.refuse(ctx, fmt.Errorf("plugin %s is %s: %s", s.name, st.State, st.Error))
	}
	take := func(room chan struct{}) bool {
		select {
		case room <- struct{}{}:
			return true
		case <-ctx.Done():
		case <-s.life.Done():
		}
		return false
	}
	if !take(s.isolated) {
		return s.refuse(ctx, nil)
	}
	defer func() { <-s.isolated }()
	if !take(s.turn) {
		return s.refuse(ctx, nil)
	}
	pass := sync.OnceFunc(func() { <-s.turn })
	defer pass()
	if s.life.Err() != nil {
		return s.refuse(ctx, nil)
	}
	var err error
	for range aloneStarts {
		var result Result
		if result, err = s.startAlone(ctx, b, r, pass); err == nil {
			return result
		}
		if ctx.Err() != nil || s.life.Err() != nil {
			break
		}
	}
	return s.refuse(ctx, err)
}

// aloneStarts is how often a process for one run is started when it ends before the run reaches it: that is not the
// run's fault.
const aloneStarts = 3

// Runs in processes of their own begin one after the other. One that only waits must not hold up the others until it
// ends, so the next may begin after aloneTurn; there is an end to how many such processes a plugin has.
const (
	aloneTurn = 200 * time.Millisecond
	maxAlone  = 16
)

// startAlone calls pass when the next one may begin.
func (s *supervisor) startAlone(ctx context.Context, b *block.Block, r *Run, pass func()) (Result, error) {
	launching, done := context.WithCancel(ctx)
	defer done()
	defer context.AfterFunc(s.life, done)()
	in, err := s.launch(launching)
	if err != nil {
		return Result{}, fmt.Errorf("plugin %s cannot be started for a run of its own: %w", s.name, err)
	}
	s.log.Debug("plugin runs one block in a process of its own", "pid", in.process.pid(), "block", b.Name)
	defer in.stop(s.host.pace.stop)
	defer time.AfterFunc(aloneTurn, pass).Stop()
	defer context.AfterFunc(s.late, func() {
		why := "the plugin was replaced long ago"
		if s.host.closed.Load() {
			why = "the server is stopping"
		}
		in.process.kill(why)
	})()
	result, retry := in.session.run(ctx, b, r)
	if retry {
		<-in.gone
		return Result{}, fmt.Errorf("plugin %s ended at once when it was started for a run of its own: %s", s.name, in.death.detail)
	}
	return result, nil
}

// drain waits for the processes beside the plugin's own and lets no other start. The plugin's life has ended.
func (s *supervisor) drain() {
	for range cap(s.isolated) {
		s.isolated <- struct{}{}
	}
}
