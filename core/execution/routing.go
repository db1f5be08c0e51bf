package execution

import (
	"bytes"
	"encoding/json"

	"github.com/patchbay-io/patchbay/core/execution/journal"
	"github.com/patchbay-io/patchbay/core/graph"
)

// settle delivers the outputs of a node that may be delivered now, along its links in their stored order.
func (m *machine) settle(r *run, node int) {
	r.passed(node, func(e *nodeExec, i int) {
		for _, link := range e.plan().outbound {
			m.deliver(r, e, i, link)
		}
	})
}

// deliver brings one output along one link (execution.md 4.5, steps 0–8).
func (m *machine) deliver(r *run, e *nodeExec, index, link int) {
	l := &r.plan.links[link]
	o := e.outputs[index]
	if l.SourceName != o.pin {
		if _, ok := graph.Select(l.SourceName, o.pin, o.value.raw); !ok {
			return
		}
	}
	target := r.nextPlace()
	for _, waiting := range r.nodes[l.sink].waiting {
		if !waiting.has(l.SinkName) {
			target = waiting.place
			break
		}
	}
	a := &journal.Move_Assign{Link: uint32(link), Source: e.id, Output: uint32(index), Target: target}
	m.carry(r, &journal.Move{Move: &journal.Move_Assign_{Assign: a}})
	t := r.assign(a)
	if !m.tryQueue(r, t, r.latestFills(t)) || !l.IsStatic {
		return
	}
	// A static value that arrives late completes all that waited for it, oldest first (contract).
	fired := t.pins
	for _, waiting := range append([]*nodeExec(nil), r.nodes[l.sink].waiting...) {
		m.tryQueue(r, waiting, fillsFrom(waiting, fired))
	}
}

func (m *machine) carry(r *run, move *journal.Move) {
	w := m.carrier(r)
	w.step.Moves = append(w.step.Moves, move)
}

// tryQueue queues t if, with what static pins bring, nothing is missing. It says whether t was queued with an input
// that fits.
func (m *machine) tryQueue(r *run, t *nodeExec, fills []*journal.Input) bool {
	for _, pin := range t.plan().awaited {
		if !t.has(pin) && !fillsPin(fills, pin) {
			return false
		}
	}
	data := t.data()
	for _, f := range fills {
		data = append(data, graph.PinValue{Pin: f.Pin, Value: r.filled(t, f).raw})
	}
	q := &journal.Move_Queue{Target: t.place, Fills: fills}
	a, err := graph.Assemble(t.plan().node, t.plan().block, data)
	switch {
	case err != nil:
		q.Invalid = err.Error()
	case len(a.Missing) > 0:
		return false
	}
	m.carry(r, &journal.Move{Move: &journal.Move_Queue_{Queue: q}})
	r.queue(q)
	r.offer(t, q)
	t.input = a.Input
	return q.Invalid == ""
}

// latestFills are the static pins that t lacks, with the values of the node's newest queued execution.
func (r *run) latestFills(t *nodeExec) []*journal.Input {
	n := &r.nodes[t.node]
	if !n.fed {
		return nil
	}
	return fillsFrom(t, n.latest)
}

// fillsFrom fills the static pins that t lacks from the pins of another execution of its node; a pin which that one
// lacks too is null.
func fillsFrom(t *nodeExec, pins []pinInput) []*journal.Input {
	var fills []*journal.Input
	for _, pin := range t.plan().awaited {
		if !t.plan().static[pin] || t.has(pin) {
			continue
		}
		fill := &journal.Input{Pin: pin, Link: 1} // null
		for _, p := range pins {
			if p.pin == pin {
				fill = p.source
			}
		}
		fills = append(fills, fill)
	}
	return fills
}

func fillsPin(fills []*journal.Input, pin string) bool {
	for _, f := range fills {
		if f.Pin == pin {
			return true
		}
	}
	return false
}

// quote is s as a JSON string, without the escapes that HTML wants.
func quote(s string) json.RawMessage {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // strings always encode
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
