package execution

import (
	"bytes"
	"sync/atomic"

	"github.com/google/uuid"

	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/core/block/jsonscan"
	"github.com/patchbay-io/patchbay/core/plugin"
)

// maxAhead is how many runs a plugin may begin by itself, one after the other.
const maxAhead = 16

// ahead is what most likely happens after a node: a pure block that waits for nothing but a value of it. Its plugin may
// begin that run without being told. The machine decides as if nobody had guessed; a guess that was wrong is work in
// vain, and harmless, since the block is pure.
type ahead struct {
	next int // the node that follows, or -1
	pin  string
	// frame is the input of node executions of this node but for the one value that a link brings, once it was seen.
	frame atomic.Pointer[inputFrame]
}

// inputFrame is what stands around a value in an input.
type inputFrame struct{ before, rest []byte }

// lookAhead finds the nodes that follow others.
func (p *Plan) lookAhead() {
	inbound := make([]int, len(p.nodes))
	for i := range p.links {
		inbound[p.links[i].sink]++
	}
	for i := range p.nodes {
		n := &p.nodes[i]
		n.ahead = &ahead{next: -1}
		if !runsAhead(n.block) {
			continue
		}
		for _, k := range n.outbound {
			l := &p.links[k]
			to := &p.nodes[l.sink]
			if inbound[l.sink] == 1 && l.sink != i && !l.IsStatic && l.SourceName == l.base && l.base != errorPin && runsAhead(to.block) {
				n.ahead.next, n.ahead.pin = l.sink, l.SourceName
				break
			}
		}
	}
}

func runsAhead(b *block.Block) bool {
	return b.Kind == block.Standard && b.Traits.Pure && !b.Traits.Streaming && len(b.Credentials) == 0
}

// learn keeps the frame of an input of the node, into which a link brought one value as it was.
func (a *ahead) learn(input []byte, pins []pinInput) {
	if a.frame.Load() != nil || len(pins) != 1 {
		return
	}
	value, ok := jsonscan.Find(input, pins[0].pin)
	if !ok || !bytes.Equal(value, pins[0].value.raw) {
		return
	}
	at := cap(input) - cap(value) // it is a part of the input
	a.frame.Store(&inputFrame{bytes.Clone(input[:at]), bytes.Clone(input[at+len(value):])})
}

// follow is what the plugin may begin after a node execution.
func (t *tree) follow(r *run, node int) *plugin.Follow {
	var first *plugin.Follow
	last := &first
	for i := range maxAhead {
		from := r.plan.nodes[node].ahead
		if from.next < 0 {
			break
		}
		to := &r.plan.nodes[from.next]
		frame := to.ahead.frame.Load()
		if frame == nil {
			break
		}
		*last = &plugin.Follow{
			Pin: from.pin, Block: to.block.ID, Before: frame.before, Rest: frame.rest, Context: contextOf(r, to.node.ID, r.queued+uint32(i)+1, t.timezone),
		}
		last = &(*last).Follow
		node = from.next
	}
	return first
}

// endedEvent is a doneEvent with what the plugin began by itself afterwards, which the machine knows nothing of.
type endedEvent struct {
	doneEvent
	begun *plugin.Begun // not nil
}

// begun is a run that a plugin began by itself, for a node that the machine has not started yet.
type begun struct {
	run  uuid.UUID
	node int
	work *plugin.Begun
}

// expect keeps what was begun until the machine has said what comes next. The turn is held, as for all that follows.
func (t *tree) expect(ev endedEvent) {
	t.begun = begun{work: ev.begun, node: -1}
	if r := t.m.runs[ev.run]; r != nil && r.execs[ev.exec] != nil {
		t.begun.run, t.begun.node = ev.run, r.plan.nodes[r.execs[ev.exec].node].ahead.next
	}
}

// aim gives an attempt what was begun for it, or what may follow it.
func (t *tree) aim(a *attempt) {
	e := a.c.exec
	n := e.plan()
	if !runsAhead(n.block) || a.c.attempt > 1 || a.c.isolated {
		return
	}
	n.ahead.learn(a.c.input, e.pins)
	if t.begun.work != nil && t.begun.run == a.c.run.id && t.begun.node == e.node {
		a.begun, t.begun.work = t.begun.work, nil
		return
	}
	a.follow = t.follow(a.c.run, e.node)
}

// dropBegun gives up what nobody wants.
func (t *tree) dropBegun() {
	t.begun.work.Drop()
	t.begun = begun{}
}

// dropUnseen gives up what came too late for the tree.
func (t *tree) dropUnseen() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, ev := range t.inbox {
		if ended, ok := ev.(endedEvent); ok {
			ended.begun.Drop()
		}
	}
}
