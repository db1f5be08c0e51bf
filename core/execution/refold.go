package execution

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/core/execution/journal"
)

// refold builds the machine of a tree again from its rows. runs are the executions of the tree that have not ended,
// parents before children, each with its rows applied. Decisions are read, never made again.
func refold(runs []*run) (*machine, error) {
	m := newMachine(runs[0])
	for _, r := range runs[1:] {
		m.runs[r.id] = r
		for _, parent := range runs {
			for _, e := range parent.execs {
				if e.childID == r.id {
					e.child, r.parent, r.parentExec, r.depth = r, parent, e, parent.depth+1
				}
			}
		}
		if r.parentExec == nil {
			return nil, fmt.Errorf("execution %s: no node of its tree began it", r.id)
		}
	}
	for _, r := range runs {
		r.ready, r.active, r.running = nil, 0, 0
		for _, e := range r.sortedExecs() {
			switch e.state {
			case execRunning:
				r.active++
				r.running++
				e.holdsPlace = true
			case execReady:
				r.active++
				r.ready = append(r.ready, e)
			}
		}
		slices.SortFunc(r.ready, byNumber)
	}
	return m, nil
}

func byNumber(a, b *nodeExec) int { return int(a.id) - int(b.id) }

// apply repeats what a row of the journal recorded.
func (r *run) apply(kind rowKind, pos int, seq int64, id uint32, status Status, at time.Time, s *journal.Step) error {
	if pos != r.pos+1 {
		return fmt.Errorf("execution %s: row %d follows row %d", r.id, pos, r.pos)
	}
	r.pos, r.seq = pos, seq
	var e *nodeExec
	switch kind {
	case rowBegin:
		r.begun, r.startedAt = true, at
	case rowNode, rowAttempt:
		if e = r.execs[id]; e == nil {
			return fmt.Errorf("execution %s, row %d: unknown node execution %d", r.id, pos, id)
		}
		r.applyOwn(e, kind, status, s)
	case rowEnd:
		r.ended, r.endedAt = status, at
	}
	for _, move := range s.Moves {
		switch mv := move.Move.(type) {
		case *journal.Move_Assign_:
			if int(mv.Assign.Link) >= len(r.plan.links) {
				return fmt.Errorf("execution %s, row %d: unknown link %d", r.id, pos, mv.Assign.Link)
			}
			if src := r.execs[mv.Assign.Source]; src == nil || int(mv.Assign.Output) >= len(src.outputs) {
				return fmt.Errorf("execution %s, row %d: unknown output", r.id, pos)
			}
			r.assign(mv.Assign)
		case *journal.Move_Queue_:
			r.queue(mv.Queue)
		case *journal.Move_Start_:
			t := r.execs[mv.Start.Target]
			if t == nil {
				return fmt.Errorf("execution %s, row %d: unknown node execution %d", r.id, pos, mv.Start.Target)
			}
			t.state, t.attempt, t.startRecorded, t.startedAt = execRunning, 1, true, at
		}
	}
	if kind == rowNode {
		r.passed(e.node, nil)
	}
	return nil
}

func (r *run) applyOwn(e *nodeExec, kind rowKind, status Status, s *journal.Step) {
	e.recorded, e.state = true, execRunning
	e.attempt, e.charges, e.deaths = s.Attempt, s.Charges, s.Deaths
	if e.failures = s.Failures; s.RetryAt != 0 {
		e.retryAt = time.UnixMicro(s.RetryAt).UTC()
	}
	e.startRecorded = e.startRecorded || s.Started
	if s.StartedAt != 0 {
		e.startedAt = time.UnixMicro(s.StartedAt).UTC()
	}
	if s.Child != nil {
		e.childID = uuid.UUID(s.Child)
	}
	if kind == rowAttempt {
		return
	}
	e.plugin, e.pluginVersion, e.stats = s.Plugin, s.PluginVersion, s.Stats
	for _, o := range s.Outputs {
		e.outputs = append(e.outputs, output{pin: o.Pin, value: &value{raw: o.Value, digest: o.Digest, size: o.Size}})
	}
	if status.Ended() {
		r.finish(e, status, s.Error)
	}
}

// unresolved are the values that the refolded state needs and has only the digests of.
func (m *machine) unresolved() []*value {
	var values []*value
	need := func(v *value) {
		if v.raw == nil {
			values = append(values, v)
		}
	}
	for _, r := range m.runs {
		for i := range r.nodes {
			for _, p := range r.nodes[i].latest {
				need(p.value)
			}
		}
		for _, e := range r.places {
			for _, p := range e.pins {
				need(p.value)
			}
		}
		for _, e := range r.execs {
			for _, p := range e.pins {
				need(p.value)
			}
			for _, o := range e.outputs {
				need(o.value)
			}
		}
	}
	return values
}

// resolve gives those values their bytes, by digest, and makes up for selectors that had to wait for them.
func (m *machine) resolve(bytes map[string]json.RawMessage) error {
	late := map[*pinInput]*planLink{}
	for _, r := range m.runs {
		for i := range r.nodes {
			r.lateSelections(r.nodes[i].latest, late)
		}
		for _, e := range r.places {
			r.lateSelections(e.pins, late)
		}
		for _, e := range r.execs {
			r.lateSelections(e.pins, late)
		}
	}
	for _, v := range m.unresolved() {
		raw, ok := bytes[string(v.digest)]
		if !ok {
			return fmt.Errorf("value %x is missing", v.digest)
		}
		v.raw = raw
	}
	for p, l := range late {
		p.value = selected(l, output{pin: l.base, value: p.value})
	}
	return nil
}

func (r *run) lateSelections(pins []pinInput, late map[*pinInput]*planLink) {
	for i := range pins {
		p := &pins[i]
		if p.value.raw != nil || p.source.Link == 0 {
			continue
		}
		if l := &r.plan.links[p.source.Link-1]; l.SourceName != l.base {
			late[p] = l
		}
	}
}

// resume goes on after recovery: what was cut off runs again, or fails where it must not.
func (m *machine) resume(ev resumeEvent) {
	m.careful = ev.careful
	runs := make([]*run, 0, len(m.runs))
	for _, r := range m.runs {
		runs = append(runs, r)
	}
	slices.SortFunc(runs, func(a, b *run) int {
		if a.depth != b.depth {
			return a.depth - b.depth
		}
		return slices.Compare(a.id[:], b.id[:])
	})
	m.woken = runs
	for _, r := range runs {
		for _, e := range r.sortedExecs() {
			if e.state != execRunning || e.kind() == block.Agent {
				continue
			}
			e.prepare()
			m.careful = m.careful || e.deaths > 0
			if e.runs().Traits.Once && !e.takesOver() {
				e.cutOff = true
				m.fail(r, e, nil, "interrupted: the server died while the block ran, and the block must not be repeated by itself")
				continue
			}
			r.running--
			e.holdsPlace = false
			e.state = execReady
			r.ready = append(r.ready, e)
		}
		slices.SortFunc(r.ready, byNumber)
	}
}
