package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/sdk/proto"
)

// Run is one run of a block.
type Run struct {
	Block    string              // id
	Provider *proto.ProviderCall // in place of a block, nil otherwise
	Input    json.RawMessage     // object; it must not change during the run
	Context  *proto.RunContext
	Recorded []*proto.PinValue // streaming blocks: the outputs of earlier attempts
	// Credentials are what the pins for credentials refer to. What the plugin says of the run is cleared of them:
	// errors, progress, logs. Its outputs are its own.
	Credentials []*proto.Credential
	// Isolated lets the run be alone in a process of its own. Such runs of a plugin begin one
	// after the other, and those that go on stay while the next begin.
	Isolated bool
	// Output takes the outputs one after the other, in their order. The plugin may send more when it returns; an
	// error of it ends the run. The value belongs to whoever takes it.
	Output func(pin string, value json.RawMessage) error
	// Progress, unless nil, is told what passes. Some of it is lost when it comes faster than it is taken.
	Progress func(*proto.Progress)
	// Services, unless nil, answers the calls that the block makes of its host. Those of a pure block are refused.
	Services Services
	// Streaming says that the block declares it, so that its outputs wait for nothing but Output.
	Streaming bool
	// Follow, unless nil, is what the plugin may begin when the run has succeeded. Result.Begun is that run then.
	Follow *Follow
	// Begun, unless nil, is a run that may be this one: then it is taken, and given up otherwise.
	Begun *Begun
}

// Result is how a run ended: well if both are nil.
type Result struct {
	Provider *proto.ProviderResult // of a provider's operation
	Err      *proto.Error
	Crashed  *Crash // the process ended under the run, which has told neither success nor failure
	// Stats are what the block counted, of a run that ended as the plugin says.
	Stats map[string]int64
	Begun *Begun // what the plugin began after the run, of Run.Follow

	moved bool // nothing was run: the plugin is another's or nobody's by now
}

// Crash is the end of a process under a run.
type Crash struct {
	Alone  bool   // no other run was in the process
	Detail string // how it ended, and the tail of what it wrote on standard error
}

// maxPin bounds the names of output pins.
const maxPin = 512

// maxProgress bounds the progress that waits for a run.
const maxProgress = 256

// maxMessageText bounds the text of a plugin's error.
const maxMessageText = 64 << 10

var errSessionOver = errors.New("the session is over")

// run is a Run in a session. The session's reader fills it, its caller empties it.
type run struct {
	number  uint64
	spec    *Run
	block   *block.Block
	session *session
	sent    atomic.Bool // its start may have reached the plugin
	signal  chan struct{}
	calls   calls

	follower *follower // what the plugin may begin after it

	mu       sync.Mutex
	waiting  []item
	progsize int  // progress among waiting
	allowed  int  // outputs that the plugin may still send
	overdraw int  // outputs that it sent beyond
	dropped  bool // nobody takes what comes
	over     bool // result or retry hold
	result   Result
	retry    bool
}

// item is an output or a progress that waits.
type item struct {
	output   *proto.Output
	lastCall uint64 // made before the output
	progress *proto.Progress
}

func (r *run) wake() {
	select {
	case r.signal <- struct{}{}:
	default:
	}
}

// output is called with the value's size taken from the session's budget.
func (r *run) output(o *proto.Output) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.allowed--; r.allowed < 0 {
		r.overdraw++
	}
	switch {
	case r.overdraw > credit:
		r.session.pending.give(len(o.GetValue()))
		return fmt.Errorf("run %d sent %d outputs without credit", r.number, r.overdraw)
	case r.dropped || r.overdraw > 1: // one of them tells the caller
		r.session.pending.give(len(o.GetValue()))
		return nil
	}
	r.waiting = append(r.waiting, item{output: o, lastCall: r.calls.last})
	r.wake()
	return nil
}

func (r *run) progress(p *proto.Progress) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.dropped || r.spec == nil || r.spec.Progress == nil || r.progsize >= maxProgress || len(p.GetText())+len(p.GetDelta()) > maxMessageText {
		return
	}
	r.progsize++
	r.waiting = append(r.waiting, item{progress: p})
	r.wake()
}

// outputs are those that come with the run's end, with their size taken from the session's budget.
func (r *run) outputs(list []*proto.Output) error {
	for _, o := range list {
		if err := r.output(o); err != nil {
			return err
		}
	}
	return nil
}

// gone says that nobody takes what the run yields.
func (r *run) gone() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dropped
}

func (r *run) finish(result Result) {
	if e := result.Err; e != nil && len(e.GetMessage()) > maxMessageText {
		e.Message = strings.ToValidUTF8(e.GetMessage()[:maxMessageText], "") + "…"
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.dropped {
		result.Begun.Drop()
	}
	r.over, r.result = true, result
	r.wake()
}

// abort ends a run that has not begun: it may be given to another session.
func (r *run) abort() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over, r.retry = true, true
	r.wake()
}

// drop forgets what waits and what will come.
func (r *run) drop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, it := range r.waiting {
		r.session.pending.give(len(it.output.GetValue()))
	}
	r.waiting, r.dropped = nil, true
}

// take empties the run. over is true when nothing follows what was taken.
func (r *run) take(into []item) (items []item, over bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	items, r.waiting = append(into[:0], r.waiting...), r.waiting[:0]
	r.progsize = 0
	return items, r.over
}

func (r *run) allow(n int) {
	r.mu.Lock()
	r.allowed += n
	r.mu.Unlock()
}

// run runs a block to its end. retry says that the process ended, or takes no more runs, before the run reached it.
func (s *session) run(ctx context.Context, b *block.Block, spec *Run) (result Result, retry bool) {
	if !s.enter() {
		return Result{}, true
	}
	defer s.leave()
	if spec.Begun != nil {
		if r := spec.Begun.take(ctx, s, b, spec); r != nil {
			defer r.begin(ctx)()
			return r.settle(r.follow(ctx))
		}
		spec.Begun.Drop()
	}
	if ctx.Err() != nil { // send would toss a coin
		return cancelled(), false
	}
	r := &run{spec: spec, block: b, session: s, signal: make(chan struct{}, 1), allowed: credit}
	defer r.begin(ctx)()
	if !s.add(r) {
		return Result{}, true
	}
	start, err := s.start(ctx, r)
	if err == nil {
		err = s.send(ctx, outgoing{frame: start, run: r})
	}
	if err != nil {
		s.remove(r)
		switch {
		case ctx.Err() != nil:
			return cancelled(), false
		case errors.Is(err, errSessionOver) || s.ctx.Err() != nil:
			return Result{}, true
		}
		return failed(proto.ErrorKind_ERROR_KIND_PERMANENT, err), false
	}
	return r.settle(r.follow(ctx))
}

// settle gives up what the plugin began after a run that did not end as the plugin thinks.
func (r *run) settle(result Result, retry bool) (Result, bool) {
	r.mu.Lock()
	r.dropped = true // what the plugin has not begun yet nobody will take
	begun := r.result.Begun
	r.mu.Unlock()
	if result.Begun == nil {
		begun.Drop()
	}
	return result, retry
}

// follow takes what the run yields until it ends.
func (r *run) follow(ctx context.Context) (Result, bool) {
	var (
		items    []item
		consumed int
		over     bool
		verdict  *Result // holds whatever the plugin says in the end
		expired  <-chan time.Time
		stop     = ctx.Done()
	)
	cancel := func() { // ask the plugin to end the run, and wait for a bounded time
		stop = nil
		if expired != nil {
			return
		}
		t := time.NewTimer(r.session.wait)
		expired = t.C
		_ = r.session.send(r.session.ctx, outgoing{frame: &proto.SessionRequest{Frame: &proto.SessionRequest_Cancel{
			Cancel: &proto.Cancel{Run: r.number},
		}}})
	}
	for {
		select {
		case <-r.signal:
		case <-stop:
			cancel()
			continue
		case <-expired:
			r.drop()
			if verdict == nil {
				verdict = &Result{Err: &proto.Error{
					Kind:    proto.ErrorKind_ERROR_KIND_CANCELLED,
					Message: fmt.Sprintf("cancelled; the block did not end within %s", r.session.wait),
				}}
			}
			return *verdict, false
		}
		items, over = r.take(items)
		for _, it := range items {
			if it.progress != nil {
				if verdict == nil {
					r.spec.Progress(it.progress)
				}
				continue
			}
			if verdict == nil {
				if err := r.deliver(ctx, it); err != nil {
					verdict = err
					r.drop()
					if !over {
						cancel()
					}
				}
			}
			r.session.pending.give(len(it.output.GetValue()))
			consumed++
		}
		clear(items)
		switch {
		case over && verdict != nil && r.result.Crashed == nil:
			return *verdict, false
		case over:
			return r.result, r.retry
		case verdict == nil && consumed >= credit/2:
			r.allow(consumed)
			_ = r.session.send(r.session.ctx, outgoing{frame: &proto.SessionRequest{Frame: &proto.SessionRequest_Credit{
				Credit: &proto.Credit{Run: r.number, N: uint32(consumed)},
			}}})
			consumed = 0
		}
	}
}

// deliver checks an output and hands it over. A result is the end of the run.
func (r *run) deliver(ctx context.Context, it item) *Result {
	o := it.output
	value, release, err := r.value(ctx, o)
	defer release()
	switch {
	case err != nil:
	case r.overdrawn():
		err = fmt.Errorf("more outputs than it was allowed to send")
	case !r.declares(o.GetPin()):
		err = fmt.Errorf("an output on pin %q, which it does not declare", shorten(o.GetPin(), 64))
	default:
		if err = checkJSON(value); err != nil {
			err = fmt.Errorf("an output on pin %q that is %w", o.GetPin(), err)
		}
	}
	if err != nil {
		if ctx.Err() != nil {
			result := cancelled()
			return &result
		}
		result := failed(proto.ErrorKind_ERROR_KIND_PERMANENT, fmt.Errorf("plugin %s sent %w", r.block.Plugin.Name, err))
		return &result
	}
	if r.spec.Services != nil {
		r.spec.Services.Emitted(it.lastCall)
	}
	if err := r.spec.Output(o.GetPin(), value); err != nil {
		result := failed(proto.ErrorKind_ERROR_KIND_PERMANENT, err)
		return &result
	}
	return nil
}

func (r *run) overdrawn() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.overdraw > 0
}

// dynamic are the delimiters behind which a pin's name goes on (list item, key, attribute, tool).
var dynamic = []string{"_$_", "_#_", "_@_", "_^_"}

func (r *run) declares(pin string) bool {
	if len(pin) > maxPin {
		return false
	}
	if _, ok := r.block.Output(pin); ok {
		return true
	}
	return slices.ContainsFunc(dynamic, func(d string) bool {
		base, _, ok := strings.Cut(pin, d)
		if !ok {
			return false
		}
		_, ok = r.block.Output(base)
		return ok
	})
}

func shorten(s string, n int) string {
	if len(s) > n {
		s = strings.ToValidUTF8(s[:n], "") + "…"
	}
	return s
}

func failed(kind proto.ErrorKind, err error) Result {
	return Result{Err: &proto.Error{Kind: kind, Message: err.Error()}}
}

func cancelled() Result {
	return Result{Err: &proto.Error{Kind: proto.ErrorKind_ERROR_KIND_CANCELLED, Message: "cancelled"}}
}
