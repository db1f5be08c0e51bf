package plugin

import (
	"bytes"
	"context"

	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/sdk/proto"
)

// Follow is a run of a pure block that a plugin may begin by itself when the run before it has succeeded: all of its
// input is known but for one value, which that run yields. It saves the way from the plugin to the host and back.
type Follow struct {
	Pin          string // of the run before; its outputs must have exactly one value there
	Block        string // id
	Before, Rest []byte // what stands around the value in the input
	Context      *proto.RunContext
	Follow       *Follow
}

// Begun is a run that a plugin began by itself. Give it to Run.Begun, or to Drop.
type Begun struct {
	run   *run
	block string
	input []byte
}

// Drop gives the run up, and what the plugin may have begun after it.
func (b *Begun) Drop() {
	for b != nil {
		r := b.run
		r.drop()
		r.mu.Lock()
		over := r.over
		b = r.result.Begun
		r.mu.Unlock()
		if over {
			continue
		}
		select { // it is pure: if nobody tells the plugin, it does some work in vain
		case r.session.queue <- outgoing{frame: &proto.SessionRequest{Frame: &proto.SessionRequest_Cancel{Cancel: &proto.Cancel{Run: r.number}}}}:
		default:
		}
	}
}

// follows is the part of a chain that a supervisor's plugin runs.
func (h *Host) follows(s *supervisor, f *Follow) *Follow {
	if f == nil {
		return nil
	}
	if e, ok := h.catalogue.Load().byID[f.Block]; !ok || e.plugin != s {
		return nil
	}
	known := *f
	known.Follow = h.follows(s, f.Follow)
	return &known
}

// following is what the plugin is told of a run that may follow. The numbers are given now: what the plugin begins by
// itself, it names by them.
func (s *session) following(f *Follow) (*proto.Follow, *follower) {
	if f == nil {
		return nil, nil
	}
	s.mu.Lock()
	s.last++
	number := s.last
	s.mu.Unlock()
	start := &proto.Start{Run: number, Block: f.Block, Input: f.Before, Credit: credit, Context: f.Context, Gather: true}
	known := &follower{number: number, follow: f}
	start.Follow, known.next = s.following(f.Follow)
	return &proto.Follow{Pin: f.Pin, Start: start, Rest: f.Rest}, known
}

// follower is a run that the plugin may begin by itself.
type follower struct {
	number uint64
	follow *Follow
	next   *follower
}

// began makes the run that the plugin says it has begun after r, which has ended with these outputs.
func (s *session) began(r *run, outputs []*proto.Output) *Begun {
	f := r.follower
	if f == nil {
		return nil
	}
	var value []byte
	for _, o := range outputs {
		if o.GetPin() == f.follow.Pin {
			value = o.GetValue()
		}
	}
	next := &run{number: f.number, session: s, signal: make(chan struct{}, 1), allowed: credit, follower: f.next}
	next.sent.Store(true)
	s.mu.Lock()
	s.runs[next.number] = next
	s.mu.Unlock()
	begun := &Begun{run: next, block: f.follow.Block, input: bytes.Join([][]byte{f.follow.Before, value, f.follow.Rest}, nil)}
	if r.gone() {
		next.drop() // and so will be what follows it
	}
	return begun
}

// logFields say whose run it is; of one that is not taken yet, nobody's.
func (r *run) logFields() []any {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.spec == nil {
		return nil
	}
	return []any{"block", r.block.Name, "node_execution_id", r.spec.Context.GetNodeExecutionId()}
}

// take makes the run that of spec, if it is what spec asks for and still goes on.
func (b *Begun) take(ctx context.Context, s *session, of *block.Block, spec *Run) *run {
	r := b.run
	if r.session != s || b.block != spec.Block || !bytes.Equal(b.input, spec.Input) {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.dropped || r.over && (r.retry || r.result.Crashed != nil) {
		return nil
	}
	r.spec, r.block, r.calls.within = spec, of, ctx // the plugin may call at once
	return r
}
