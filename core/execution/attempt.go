package execution

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/core/hostservice"
	"github.com/patchbay-io/patchbay/core/plugin"
	"github.com/patchbay-io/patchbay/sdk/proto"
)

// Bounds of the outputs that wait for their tree, and of those of a block that records them with its end.
const (
	maxStreamed       = 256
	maxStreamedBytes  = 4 << 20
	maxCollectedBytes = 256 << 20
)

// attempt is one run of a block for a node execution.
type attempt struct {
	ctx      context.Context
	t        *tree
	c        command
	follow   *plugin.Follow       // what the plugin may begin by itself afterwards
	begun    *plugin.Begun        // what it has begun, and may be this
	services *hostservice.Attempt // nil: none
	awake    atomic.Bool          // it has begun, or never will

	mu        sync.Mutex
	room      chan struct{} // closed when streamed outputs were taken
	waiting   []output      // streamed ones that the tree has not taken
	collected []output
	size      int
	problem   string // why the run failed here, whatever the plugin says
}

// streamedEvent tells a tree that outputs wait for it.
type streamedEvent struct {
	run     uuid.UUID
	exec    uint32
	number  uint32
	attempt *attempt
}

func newAttempt(ctx context.Context, t *tree, c command) *attempt {
	return &attempt{ctx: ctx, t: t, c: c, room: make(chan struct{})}
}

// errEnough ends a run whose node execution has failed already.
var errEnough = errors.New("the node execution has failed")

// run answers how the attempt ended, as the machine is to be told; nil when nobody asks any more.
func (a *attempt) run() any {
	ctx, s := a.ctx, a.t.s
	if !a.sleep() || !s.awaitLease(ctx) {
		a.begun.Drop()
		return nil
	}
	traits := a.c.block.Traits
	who := a.context()
	r := plugin.Run{
		Block: a.c.block.ID, Input: a.c.input, Context: who, Isolated: a.c.isolated, Streaming: traits.Streaming,
		Output:   func(pin string, v json.RawMessage) error { return a.output(ctx, pin, v) },
		Progress: a.progress, Follow: a.follow, Begun: a.begun,
	}
	if a.c.attempt > 1 && traits.Streaming {
		for _, o := range a.c.recorded {
			r.Recorded = append(r.Recorded, &proto.PinValue{Pin: o.pin, Value: o.value.raw})
		}
	}
	if len(a.c.block.Credentials) > 0 {
		all, release, err := borrower{s.Service, a.c.run.userID, a.c.block, a.c.input}.heldSecrets(ctx)
		if err != nil {
			return a.refused(err)
		}
		defer release()
		r.Credentials = all
	}
	ev := doneEvent{run: a.c.run.id, exec: a.c.exec.id, attempt: a.c.attempt}
	if b, ok := s.blocks.Block(a.c.block.ID); ok {
		ev.plugin, ev.pluginVersion = b.Plugin.Name, b.Plugin.Version
	}
	if s.config.Services != nil && !traits.Pure {
		a.services = s.config.Services.Open(ctx, who, traits.Streaming)
		r.Services = a.services
	}
	running := ctx
	if timeout := a.c.exec.plan().limits.Timeout; timeout > 0 {
		var cancel context.CancelFunc
		running, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	result := s.runner.Run(running, r)
	if a.services != nil {
		ev.writes = a.services.End()
		ev.release = a.services.Release()
	}
	if ctx.Err() != nil {
		ev.letGo()
		result.Begun.Drop()
		return nil
	}
	ev.stats = result.Stats
	a.mu.Lock()
	defer a.mu.Unlock()
	if running.Err() != nil && a.problem == "" && (result.Err != nil || result.Crashed != nil) {
		a.problem = fmt.Sprintf("the block ran longer than its timeout of %v", a.c.exec.plan().limits.Timeout)
	}
	if result.Crashed != nil && a.problem == "" {
		ev.letGo() // it has written nothing
		return crashEvent{run: ev.run, exec: ev.exec, attempt: ev.attempt, alone: result.Crashed.Alone, detail: result.Crashed.Detail}
	}
	ev.outputs = append(a.waiting, a.collected...)
	a.waiting = nil
	switch {
	case a.problem != "":
		ev.failed, ev.message = true, a.problem
	case result.Err != nil:
		ev.failed, ev.message = true, result.Err.GetMessage()
		if ev.message == "" {
			ev.message = "the block failed without a message"
		}
		ev.passing, ev.wish = passing(result.Err)
	}
	if result.Begun != nil {
		return endedEvent{ev, result.Begun}
	}
	return ev
}

// letGo gives the key that the attempt held to others.
func (ev *doneEvent) letGo() {
	if ev.release != nil {
		ev.release()
	}
}

// passing says whether a block that failed might not the next time, and how long a provider wants to be left alone.
func passing(e *proto.Error) (bool, time.Duration) {
	switch e.GetKind() {
	case proto.ErrorKind_ERROR_KIND_RATE_LIMITED:
		return true, time.Duration(min(max(e.GetRetryAfterMs(), 0), math.MaxInt32)) * time.Millisecond
	case proto.ErrorKind_ERROR_KIND_TEMPORARY:
		return true, 0
	}
	return false, 0
}

// sleep waits until the attempt may begin, and says whether it still may.
func (a *attempt) sleep() bool {
	pause := time.Until(a.c.notBefore)
	if pause <= 0 {
		return true
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return a.awake.CompareAndSwap(false, true)
	case <-a.ctx.Done():
		return false
	}
}

// refused is the end of an attempt whose block could not run; nil when nobody asks any more.
func (a *attempt) refused(err error) any {
	if a.ctx.Err() != nil {
		return nil
	}
	return doneEvent{run: a.c.run.id, exec: a.c.exec.id, attempt: a.c.attempt, failed: true, message: err.Error()}
}

func (a *attempt) context() *proto.RunContext {
	c := contextOf(a.c.run, a.c.exec.plan().node.ID, a.c.exec.id, a.t.timezone)
	c.Attempt = a.c.attempt
	if taken := a.c.exec.take.GetIdempotencyKey(); taken != "" {
		c.IdempotencyKey = taken
	}
	return c
}

// contextOf is what the first attempt of a node execution may know.
func contextOf(r *run, nodeID string, nodeExec uint32, timezone string) *proto.RunContext {
	id, root := nodeExecutionID(r.name, nodeExec), r.name
	if r.root != r.id {
		root = r.root.String()
	}
	return &proto.RunContext{
		UserId: r.userID, GraphId: r.plan.Graph.ID, GraphVersion: uint32(r.plan.Graph.Version), ExecutionId: r.name, RootExecutionId: root,
		NodeId: nodeID, NodeExecutionId: id, Attempt: 1, IdempotencyKey: id, Timezone: timezone,
	}
}

// output takes a value. One that does not fit the block's own declaration fails the run and goes nowhere
// (execution.md 4.4).
func (a *attempt) output(ctx context.Context, pin string, v json.RawMessage) error {
	if pin == errorPin {
		return a.give((&value{raw: v}).text())
	}
	if problem := misfit(a.c.block, pin, v); problem != "" {
		return a.give(problem)
	}
	o := output{pin: pin, value: &value{raw: v}}
	if a.c.block.Traits.Streaming {
		if a.services != nil {
			o.writes = a.services.Ready()
		}
		return a.stream(ctx, o)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.size += len(v); a.size > maxCollectedBytes {
		a.problem = fmt.Sprintf("the block's outputs are larger than %d MiB together", maxCollectedBytes>>20)
		return errEnough
	}
	a.collected = append(a.collected, o)
	return nil
}

// misfit is why an output does not fit the block's own declaration; empty where it does.
func misfit(b *block.Block, pin string, v json.RawMessage) string {
	if b.Kind != block.Standard {
		return ""
	}
	p, ok := b.Output(pin)
	if !ok {
		return fmt.Sprintf("invalid output: the block has no output pin %q", pin)
	}
	if err := p.Check(v); err != nil {
		return "invalid output: " + err.Error()
	}
	return ""
}

func (a *attempt) give(problem string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.problem == "" {
		a.problem = problem
	}
	return errEnough
}

// stream hands an output to the tree and waits while too many wait there: the plugin is not allowed more until then.
func (a *attempt) stream(ctx context.Context, o output) error {
	a.mu.Lock()
	for len(a.waiting) >= maxStreamed || a.size >= maxStreamedBytes {
		room := a.room
		a.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return ctx.Err()
		}
		a.mu.Lock()
	}
	first := len(a.waiting) == 0
	a.waiting = append(a.waiting, o)
	a.size += len(o.value.raw)
	a.mu.Unlock()
	if first {
		a.t.post(streamedEvent{a.c.run.id, a.c.exec.id, a.c.attempt, a})
	}
	return nil
}

// take gives the waiting outputs to the tree.
func (a *attempt) take(use func([]output)) {
	a.mu.Lock()
	outputs := a.waiting
	a.waiting, a.size = nil, 0
	close(a.room)
	a.room = make(chan struct{})
	a.mu.Unlock()
	if len(outputs) > 0 {
		use(outputs)
	}
}

func (a *attempt) progress(p *proto.Progress) {
	r, e := a.c.run, a.c.exec
	elsewhere := a.t.s.hub.publishProgress(r.id, func() json.RawMessage {
		hidden := r.mask()
		f := newFrame("node.progress", r.id, 0, time.Now())
		f.text("node_id", e.plan().node.ID)
		if p.Text != "" {
			f.text("text", hidden.text(p.Text))
		}
		if p.Delta != "" {
			f.text("delta", hidden.text(p.Delta))
		}
		if p.Percent != 0 {
			f.raw("percent", json.RawMessage(fmt.Sprint(p.Percent)))
		}
		return f.bytes()
	})
	if elsewhere != nil && a.t.s.config.Bus != nil {
		a.t.s.config.Bus.Progress(r.id, elsewhere)
	}
}
