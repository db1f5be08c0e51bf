package execution

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"

	"github.com/google/uuid"
)

// shared are the events of a row as somebody was given them.
type shared struct {
	hidden *mask
	events []Event
}

// expanded are the events of a row. All who watch its execution are given the same: the first of them has made it.
func (r *row) expanded(hidden *mask) []Event {
	if s := r.frames.Load(); s != nil && s.hidden.equal(hidden) {
		return s.events
	}
	events := expand(r, hidden)
	r.frames.CompareAndSwap(nil, &shared{hidden, events})
	return events
}

// expand makes the events of a committed row, oldest first. They are part of the row: nothing is stored twice, and
// replay and live delivery cannot differ.
func expand(r *row, hidden *mask) []Event {
	first := r.seq - int64(r.events) + 1
	events := make([]Event, 0, r.events)
	add := func(last bool, kind string, fields func(*frame)) {
		f := newFrame(kind, r.run.id, first+int64(len(events)), r.at)
		fields(f)
		events = append(events, Event{Seq: first + int64(len(events)), Payload: f.bytes(), Last: last})
	}
	s := r.step
	if r.kind == rowBegin {
		add(false, "execution.started", func(f *frame) {
			f.text("graph_id", r.run.plan.Graph.ID)
			f.number("graph_version", r.run.plan.Graph.Version)
			f.time("started_at", r.at)
		})
	}
	if r.nodeExec != 0 {
		node := func(f *frame) {
			f.text("node_id", r.run.plan.nodes[s.Node].node.ID)
			f.text("node_execution_id", nodeExecutionID(r.run.name, r.nodeExec))
			if s.TakenOver {
				f.raw("taken_over", json.RawMessage("true"))
			}
		}
		if s.Started {
			add(false, "node.started", node)
		}
		for _, o := range s.Outputs {
			output := func(f *frame) {
				node(f)
				f.text("output_name", o.Pin)
				f.key("output_data")
			}
			if o.Value == nil && o.Digest != nil {
				add(false, "node.output", output)
				last := &events[len(events)-1]
				last.Payload, last.stored = bytes.TrimSuffix(last.Payload, closing), o
				continue
			}
			add(false, "node.output", func(f *frame) {
				output(f)
				f.b.Write(hidden.value(o.Value))
			})
		}
		switch {
		case r.kind != rowNode:
		case r.status == Completed:
			add(false, "node.completed", func(f *frame) {
				node(f)
				f.time("ended_at", r.at)
			})
		case r.status == Failed:
			add(false, "node.failed", func(f *frame) {
				node(f)
				f.failure(&Failure{Message: s.Error, NodeID: r.run.plan.nodes[s.Node].node.ID})
				f.time("ended_at", r.at)
			})
		}
	}
	for _, m := range s.Moves {
		if start := m.GetStart(); start != nil {
			add(false, "node.started", func(f *frame) {
				f.text("node_id", r.run.plan.nodes[start.Node].node.ID)
				f.text("node_execution_id", nodeExecutionID(r.run.name, start.Target))
			})
		}
	}
	switch {
	case r.kind != rowEnd:
	case r.status == Failed:
		add(true, "execution.failed", func(f *frame) {
			f.text("graph_id", r.run.plan.Graph.ID)
			f.text("status", string(r.status))
			f.failure(&Failure{Message: s.Error, NodeID: s.FailureNode})
			f.time("ended_at", r.at)
		})
	default:
		add(true, "execution.completed", func(f *frame) {
			f.text("graph_id", r.run.plan.Graph.ID)
			f.text("status", string(r.status))
			f.time("ended_at", r.at)
		})
	}
	return events
}

// frame assembles the JSON object of an event by hand, since encoding/json would rewrite the values in it.
type frame struct{ b bytes.Buffer }

func newFrame(kind string, execution uuid.UUID, seq int64, at time.Time) *frame {
	f := &frame{}
	f.b.WriteString(`{"type":"`)
	f.b.WriteString(kind)
	f.b.WriteString(`","execution_id":"`)
	f.b.WriteString(execution.String())
	f.b.WriteByte('"')
	if seq > 0 {
		f.b.WriteString(`,"seq":`)
		f.b.WriteString(strconv.FormatInt(seq, 10))
	}
	f.time("timestamp", at)
	return f
}

func (f *frame) key(k string) {
	f.b.WriteString(`,"`)
	f.b.WriteString(k)
	f.b.WriteString(`":`)
}

func (f *frame) text(k, v string) {
	f.key(k)
	f.b.Write(quote(v))
}

func (f *frame) raw(k string, v json.RawMessage) {
	f.key(k)
	f.b.Write(v)
}

func (f *frame) number(k string, v int) {
	f.key(k)
	f.b.WriteString(strconv.Itoa(v))
}

func (f *frame) time(k string, t time.Time) {
	f.key(k)
	f.b.WriteByte('"')
	f.b.WriteString(t.UTC().Format(timeFormat))
	f.b.WriteByte('"')
}

// timeFormat is RFC 3339 in UTC with microseconds, what Postgres keeps.
const timeFormat = "2006-01-02T15:04:05.000000Z"

func (f *frame) failure(x *Failure) {
	f.key("error")
	f.b.WriteString(`{"message":`)
	f.b.Write(quote(x.Message))
	f.b.WriteString(`,"node_id":`)
	if x.NodeID == "" {
		f.b.WriteString("null")
	} else {
		f.b.Write(quote(x.NodeID))
	}
	f.b.WriteByte('}')
}

// closing ends a frame.
var closing = []byte{'}'}

func (f *frame) bytes() json.RawMessage {
	f.b.Write(closing)
	return f.b.Bytes()
}

func nodeExecutionID(execution string, n uint32) string {
	return execution + "." + strconv.FormatUint(uint64(n), 10)
}
