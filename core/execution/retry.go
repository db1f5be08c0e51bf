package execution

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"github.com/google/uuid"

	"github.com/patchbay-io/patchbay/core/execution/journal"
)

// Where a retry stops taking over, besides the id of a node: there and behind.
const (
	fromFailure = "failure" // nowhere
	fromStart   = "start"   // at once
)

// retry says which execution another one repeats.
type retry struct {
	of   uuid.UUID
	from string // fromFailure, fromStart, or the id of a node
}

// original is what a retry may take from the execution that it repeats. It is an input of the machine: what is taken is
// decided when a node execution is queued, and recorded with that. Of values it has digests only.
type original struct {
	fresh []bool                // by node: its outputs are not taken over
	done  map[offerKey][]uint32 // node executions that succeeded, in their order
	ends  map[uint32]int        // where in the journal those ended
	rest  map[offerKey][]offer  // those that were cut off, and nested agents that did not succeed
	kept  map[uint32]*doneOutputs
}

// offerKey is a node of the retry's plan and the digest of what its execution received.
type offerKey struct {
	node   int32
	inputs [sha256.Size]byte
}

// offer is a node execution that did not succeed.
type offer struct {
	nodeExec uint32
	key      string    // of one that was cut off: its idempotency key
	child    uuid.UUID // of a nested agent: its execution
}

// offer decides what e, which was queued with q, takes from the original: the outputs of the first succeeded execution
// of the same node with the same inputs that nobody has taken, else what one that was cut off leaves.
func (r *run) offer(e *nodeExec, q *journal.Move_Queue) {
	if r.original == nil || q.Invalid != "" {
		return
	}
	key := offerKey{int32(e.node), e.received()}
	if !r.original.fresh[e.node] {
		for _, n := range r.original.done[key] {
			if !r.taken[n] {
				q.Take = &journal.Move_Take{NodeExecution: n}
				break
			}
		}
	}
	if q.Take == nil {
		for _, o := range r.original.rest[key] {
			if r.taken[o.nodeExec] {
				continue
			}
			q.Take = &journal.Move_Take{NodeExecution: o.nodeExec, IdempotencyKey: o.key}
			if o.child != uuid.Nil {
				q.Take.Child = o.child[:]
			}
			break
		}
	}
	r.takes(e, q.Take)
}

// takes repeats the decision.
func (r *run) takes(e *nodeExec, t *journal.Move_Take) {
	if t == nil {
		return
	}
	e.take = t
	if r.taken == nil {
		r.taken = map[uint32]bool{}
	}
	r.taken[t.NodeExecution] = true
}

// received is the digest of what the pins of e received. The order in which they did is left out: it says which branch
// was faster.
func (e *nodeExec) received() [sha256.Size]byte {
	pins := slices.Clone(e.pins)
	slices.SortFunc(pins, func(a, b pinInput) int { return cmp.Compare(a.pin, b.pin) })
	h := sha256.New()
	for _, p := range pins {
		var size [8]byte
		binary.BigEndian.PutUint64(size[:], uint64(len(p.pin)))
		h.Write(size[:])
		h.Write([]byte(p.pin))
		if p.value.digest != nil {
			h.Write(p.value.digest)
			continue
		}
		sum := sha256.Sum256(p.value.raw)
		h.Write(sum[:])
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// takesOver says that e has its outputs from the original, and calls nothing.
func (e *nodeExec) takesOver() bool {
	return e.take != nil && e.take.IdempotencyKey == "" && e.take.Child == nil && e.failure == ""
}

// idempotencyKey is what a block passes on, so that its repetition is known as one.
func (e *nodeExec) idempotencyKey() string {
	if taken := e.take.GetIdempotencyKey(); taken != "" {
		return taken
	}
	return nodeExecutionID(e.run.name, e.id)
}

// childRetry is what the execution of a nested agent retries, or nil.
func (e *nodeExec) childRetry() *retry {
	if e.take == nil || e.take.Child == nil {
		return nil
	}
	if e.run.original.fresh[e.node] {
		return &retry{uuid.UUID(e.take.Child), fromStart}
	}
	return &retry{uuid.UUID(e.take.Child), fromFailure}
}

// replayLater queues e, whose outputs are taken over, where the original had them: values that race for one pin then
// meet the same ones again.
func (r *run) replayLater(e *nodeExec) {
	end := func(e *nodeExec) int { return r.original.ends[e.take.NodeExecution] }
	i, _ := slices.BinarySearchFunc(r.replays, e, func(a, b *nodeExec) int { return cmp.Compare(end(a), end(b)) })
	r.replays = slices.Insert(r.replays, i, e)
}

// replay asks for the next outputs to take over, one after the other.
func (m *machine) replay(r *run) {
	if r.replayed != nil || len(r.replays) == 0 || r.ended != "" || m.draining {
		return
	}
	e := r.replays[0]
	r.replays[0] = nil
	r.replays, r.replayed = r.replays[1:], e
	e.attempt, e.state = 1, execRunning
	if e.startedAt.IsZero() {
		e.startedAt = m.now
	}
	m.unit.commands = append(m.unit.commands, command{kind: loadOutputs, run: r, exec: e, attempt: e.attempt})
}

func (m *machine) takeOver(r *run, e *nodeExec, ev takenEvent) {
	e.plugin, e.pluginVersion = ev.plugin, ev.pluginVersion
	if ev.err != nil {
		m.fail(r, e, nil, ev.err.Error())
		return
	}
	m.complete(r, e, ev.outputs)
}
