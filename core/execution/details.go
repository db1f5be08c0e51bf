package execution

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"

	"github.com/uptrace/bun"

	"github.com/patchbay-io/patchbay/core/execution/journal"
)

// Bounds of the node executions in an execution's details.
const (
	maxNodes      = 1000
	maxNodesBytes = 16 << 20
)

// Bounds of the values over a chunk in size that are in memory whole for clients, which may be slow to take them.
const (
	maxShownBytes     = 128 << 20 // of all users, for more than one at a time
	maxUserShownBytes = 32 << 20
)

// Bounds of what an answer holds in memory while it is read from the database.
const (
	maxHeldBytes = 1 << 20
	outputsRead  = 256 // output rows that are read at a time
)

// Details is an execution with what happened in it. Values are read as they are taken, until the context of the call
// that gave the details ends, so that answers of any size are held in no memory. Each is held until the next is asked for;
// large ones are bounded by the service's budget, so that who takes them must not ask for others meanwhile.
type Details struct {
	Execution
	Inputs              iter.Seq2[json.RawMessage, error] // one value
	Outputs             []Output
	NodeExecutions      iter.Seq2[*NodeExecution, error] // the first 1,000 or 16 MiB
	NodeExecutionsTotal int
	Waiting             []Waiting // the first 1,000
	WaitingTotal        int
}

// Output is a named output of an execution.
type Output struct {
	Name   string
	Values iter.Seq2[json.RawMessage, error] // in order
}

// Details is an execution with its outputs, what still waits, and the first of its node executions.
func (s *Service) Details(ctx context.Context, userID, id string) (*Details, error) {
	x, err := s.Get(ctx, userID, id)
	if err != nil {
		return nil, err
	}
	return s.details(ctx, x, nil)
}

// AwaitedDetails is Details for who has just waited for the execution: what ended a moment ago need not be read back.
func (s *Service) AwaitedDetails(ctx context.Context, userID, id string) (*Details, error) {
	key, err := cleanID(id)
	if err != nil {
		return nil, err
	}
	t := s.recent.get(userID, key.String())
	if t == nil || len(t.execution.inputs) > chunkSize {
		return s.Details(ctx, userID, id)
	}
	s.recent.drop(key.String())
	return s.details(ctx, t.shown(), t)
}

func (s *Service) details(ctx context.Context, x *Execution, t *told) (*Details, error) {
	h, err := s.history(ctx, x, t)
	if err != nil {
		return nil, err
	}
	d := &Details{Execution: *x, Inputs: h.given(ctx), Waiting: h.waiting, WaitingTotal: h.waitingTotal, NodeExecutionsTotal: h.total}
	if !x.Status.Ended() {
		d.Stats.TotalNodes = h.total
	}
	d.NodeExecutions = within(maxNodesBytes, h.nodes(ctx, 0, maxNodes))
	d.Outputs, err = h.outputs(ctx)
	return d, err
}

// Nodes is a page of an execution's node executions in the order in which they were queued, read as they are taken, and
// how many there are.
func (s *Service) Nodes(ctx context.Context, userID, id string, offset, limit int) (iter.Seq2[*NodeExecution, error], int, error) {
	x, err := s.Get(ctx, userID, id)
	if err != nil {
		return nil, 0, err
	}
	h, err := s.history(ctx, x, nil)
	if err != nil {
		return nil, 0, err
	}
	return h.nodes(ctx, offset, limit), h.total, nil
}

// within ends before the node execution whose values would be beyond the bytes allowed, but never before the first.
func within(allowed int, nodes iter.Seq2[*NodeExecution, error]) iter.Seq2[*NodeExecution, error] {
	return func(yield func(*NodeExecution, error) bool) {
		size := 0
		for n, err := range nodes {
			if err == nil {
				before := size
				if size += n.bytes(); size > allowed && before > 0 {
					return
				}
			}
			if !yield(n, err) {
				return
			}
		}
	}
}

// bytes is the size of the values.
func (n *NodeExecution) bytes() int {
	size := len(n.Input)
	for _, o := range n.Outputs {
		for _, v := range o.Values {
			size += len(v)
		}
	}
	return size
}

// nodes reads node executions by their numbers, which are dense, through journal_by_page: some at a time, and
// of those one after the other with its values.
func (h *history) nodes(ctx context.Context, offset, limit int) iter.Seq2[*NodeExecution, error] {
	return func(yield func(*NodeExecution, error) bool) {
		for last := min(offset+limit, h.total); offset < last; {
			clear(h.known)
			h.held = 0
			some, read, err := h.someNodes(ctx, offset, last)
			if err != nil {
				yield(nil, err)
				return
			}
			for i, n := range some {
				if !h.show(ctx, n, yield) {
					return
				}
				some[i] = nil // its values may be large
			}
			offset = read
		}
	}
}

// show gives a node execution with its values, which are held until it was taken.
func (h *history) show(ctx context.Context, n *NodeExecution, yield func(*NodeExecution, error) bool) (more bool) {
	release, err := h.complete(ctx, n)
	if err != nil {
		yield(nil, err)
		return false
	}
	defer release()
	return yield(n, nil)
}

// someNodes reads node executions behind one number and up to another, as many as may be held in memory; read is the
// last of them. Segments bring them in any order, so those with the highest numbers give way when it becomes too much.
func (h *history) someNodes(ctx context.Context, after, last int) (nodes []*NodeExecution, read int, err error) {
	found, sizes := make([]*NodeExecution, last-after), make([]int, last-after) // by their numbers, from after on
	some, size := 0, 0
	read = last
	err = h.read(ctx, selection{
		where: `page BETWEEN ? AND ?`, args: []any{pageOf(uint32(after + 1)), pageOf(uint32(last))}, order: "page, pos",
		match: func(w *storedRow) bool { return int(w.nodeExec) > after && int(w.nodeExec) <= read },
	}, func(w storedRow) error {
		at := int(w.nodeExec) - after - 1
		n := found[at]
		if n == nil {
			n = h.nodeOf(w.nodeExec, int(w.step.Node))
			n.inputs = w.step.Inputs
			found[at] = n
			some++
		}
		n.add(w)
		h.known[w.nodeExec] = append(h.known[w.nodeExec], w.step.Outputs...)
		sizes[at] += sizeOf(w.step)
		size += sizeOf(w.step)
		for size > maxHeldBytes && read > after+1 {
			at := read - after - 1
			if found[at] != nil {
				some--
			}
			size -= sizes[at]
			found[at], sizes[at] = nil, 0
			delete(h.known, uint32(read))
			read--
		}
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	if some == 0 && h.run == nil {
		return nil, 0, fmt.Errorf("%w: its node executions are gone", errUnreadable)
	}
	nodes = found[:0]
	for i, n := range found[:read-after] {
		if n == nil {
			n = h.active(uint32(after + 1 + i))
		}
		if n != nil {
			nodes = append(nodes, n)
		}
	}
	return nodes, read, nil
}

// active is a node execution that is ready or was started by the row of another one.
func (h *history) active(number uint32) *NodeExecution {
	if h.run == nil || h.run.execs[number] == nil {
		return nil
	}
	e := h.run.execs[number]
	n := h.nodeOf(number, e.node)
	n.Attempt, n.TakenOver, n.inputs = int(e.attempt), e.takesOver(), inputsOf(e.pins)
	if e.state == execReady {
		n.Status = Queued
	} else if !e.startedAt.IsZero() {
		at := e.startedAt
		n.StartedAt = &at
	}
	return n
}

// outputRow is a row of an output node; without its value when that would be held for too long.
type outputRow struct {
	segment, pos int
	nodeExec     uint32
	value        *journal.Output
}

// outputs are the values of the execution's output nodes by name, through journal_outputs, in the order in which the
// node executions were queued. A first look finds which rows have which name; values are read again when they are taken,
// unless they are few.
func (h *history) outputs(ctx context.Context) ([]Output, error) {
	var names []string
	rows := map[string][]outputRow{}
	first := map[string]uint32{}
	size := 0
	if err := h.read(ctx, selection{where: `is_output`, order: "pos", match: func(w *storedRow) bool { return w.isOutput }}, func(w storedRow) error {
		v := published(w.step)
		if v == nil {
			return nil
		}
		name := w.step.ResultName
		if rows[name] == nil {
			names = append(names, name)
			first[name] = w.nodeExec
		}
		if size += len(v.Value); size > maxHeldBytes && h.told == nil {
			v = nil
		}
		rows[name] = append(rows[name], outputRow{w.segment, w.pos, w.nodeExec, v})
		first[name] = min(first[name], w.nodeExec)
		return nil
	}); err != nil {
		return nil, err
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Compare(first[a], first[b]) })
	outputs := make([]Output, len(names))
	for i, name := range names {
		slices.SortStableFunc(rows[name], func(a, b outputRow) int { return cmp.Compare(a.nodeExec, b.nodeExec) })
		outputs[i] = Output{Name: name, Values: h.values(ctx, rows[name])}
	}
	return outputs, nil
}

// published is the value that an output node publishes.
func published(s *journal.Step) *journal.Output {
	if s.Result == nil && len(s.Outputs) > 0 {
		return s.Outputs[0]
	}
	return s.Result
}

func (h *history) values(ctx context.Context, rows []outputRow) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		for len(rows) > 0 {
			some := rows[:min(len(rows), outputsRead)]
			rows = rows[len(some):]
			values, err := h.readOutputs(ctx, some)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, o := range values {
				if !h.showValue(ctx, o, yield) {
					return
				}
			}
		}
	}
}

// showValue gives a value, which is held until it was taken.
func (h *history) showValue(ctx context.Context, o *journal.Output, yield func(json.RawMessage, error) bool) (more bool) {
	release, err := h.hold(ctx, lengthOf(o))
	if err != nil {
		yield(nil, err)
		return false
	}
	defer release()
	v, err := h.value(ctx, o)
	return yield(h.hidden.value(v), err) && err == nil
}

// readOutputs reads the values that are not there, by the primary key of journal.
func (h *history) readOutputs(ctx context.Context, rows []outputRow) ([]*journal.Output, error) {
	var left []int
	at := map[int]int{}
	values := make([]*journal.Output, len(rows))
	for i, r := range rows {
		if values[i] = r.value; r.value == nil {
			left = append(left, r.segment)
			at[r.pos] = i
		}
	}
	if len(left) == 0 {
		return values, nil
	}
	wanted := func(w *storedRow) bool { _, ok := at[w.pos]; return ok }
	err := h.read(ctx, selection{where: `pos IN (?)`, args: []any{bun.List(left)}, order: "pos", match: wanted}, func(w storedRow) error {
		values[at[w.pos]] = published(w.step)
		return nil
	})
	for _, v := range values {
		if v == nil && err == nil {
			err = fmt.Errorf("%w: an output is gone", errUnreadable)
		}
	}
	return values, err
}
