package execution

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/patchbay-io/patchbay/core/execution/journal"
	"github.com/patchbay-io/patchbay/core/graph"
)

// Bounds of the node executions in one answer.
const (
	maxNodes      = 1000
	maxNodesBytes = 16 << 20
)

// listColumns leave the inputs out, which may be large.
const (
	executionColumns = `id, user_id, graph_id, graph_version, parent_id, retry_of, status, inputs, created_at, started_at, ended_at, total_nodes, completed_nodes, failed_nodes, error_message, error_node_id`
	listColumns      = `id, user_id, graph_id, graph_version, parent_id, retry_of, status, '', created_at, started_at, ended_at, total_nodes, completed_nodes, failed_nodes, error_message, error_node_id`
)

func scanExecution(scan func(...any) error) (*Execution, error) {
	var x Execution
	var parent, retryOf, message, node sql.NullString
	var started, ended sql.NullTime
	var inputs string
	if err := scan(&x.ID, &x.UserID, &x.GraphID, &x.GraphVersion, &parent, &retryOf, &x.Status, &inputs, &x.CreatedAt, &started, &ended,
		&x.Stats.TotalNodes, &x.Stats.CompletedNodes, &x.Stats.FailedNodes, &message, &node); err != nil {
		return nil, err
	}
	x.ParentID, x.RetryOf, x.Inputs, x.CreatedAt = parent.String, retryOf.String, json.RawMessage(inputs), x.CreatedAt.UTC()
	if started.Valid {
		at := started.Time.UTC()
		x.StartedAt = &at
	}
	if ended.Valid {
		at := ended.Time.UTC()
		x.EndedAt = &at
	}
	if x.Status == Failed {
		x.Error = &Failure{Message: message.String, NodeID: node.String}
	}
	switch {
	case x.StartedAt == nil:
	case x.EndedAt != nil:
		x.Stats.TotalRunTime = x.EndedAt.Sub(*x.StartedAt).Seconds()
	default:
		x.Stats.TotalRunTime = time.Since(*x.StartedAt).Seconds()
	}
	return &x, nil
}

// Get is one execution of the user's, or ErrNotFound.
func (s *Service) Get(ctx context.Context, userID, id string) (*Execution, error) {
	key, err := cleanID(id)
	if err != nil {
		return nil, err
	}
	if t := s.recent.get(userID, key.String()); t != nil {
		return t.shown(), nil
	}
	row := s.db.QueryRowContext(ctx, `SELECT `+executionColumns+` FROM execution WHERE id = ? AND user_id = ?`, key, userID)
	x, err := scanExecution(row.Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read execution: %w", err)
	}
	if !x.Status.Ended() {
		if err := s.liveStats(ctx, []*Execution{x}); err != nil {
			return nil, err
		}
	}
	return x, nil
}

// liveStats counts node executions of executions that run; the counts in their rows are those of the end. It uses
// journal_by_node_execution.
func (s *Service) liveStats(ctx context.Context, running []*Execution) error {
	byID := map[string]*Execution{}
	var ids []string
	for _, x := range running {
		byID[x.ID] = x
		ids = append(ids, x.ID)
	}
	if len(ids) == 0 {
		return nil
	}
	rows, err := s.db.QueryContext(ctx, `
		SELECT execution_id, count(DISTINCT node_execution), count(*) FILTER (WHERE kind = ?0 AND status = ?1), count(*) FILTER (WHERE kind = ?0 AND status = ?2)
		FROM journal WHERE execution_id IN (?3) AND node_execution > 0 GROUP BY execution_id`, rowNode, Completed.number(), Failed.number(), bun.List(ids))
	if err != nil {
		return fmt.Errorf("count node executions: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		var st Stats
		if err := rows.Scan(&id, &st.TotalNodes, &st.CompletedNodes, &st.FailedNodes); err != nil {
			return fmt.Errorf("count node executions: %w", err)
		}
		st.TotalRunTime = byID[id].Stats.TotalRunTime
		byID[id].Stats = st
	}
	return rows.Err()
}

// Details is an execution with its outputs, what still waits, and the first of its node executions.
func (s *Service) Details(ctx context.Context, userID, id string) (*Details, error) {
	x, err := s.Get(ctx, userID, id)
	if err != nil {
		return nil, err
	}
	h, err := s.history(ctx, x)
	if err != nil {
		return nil, err
	}
	d := &Details{Execution: *x, Waiting: h.waiting, WaitingTotal: h.waitingTotal, NodeExecutionsTotal: h.total}
	d.Inputs = h.hidden.value(d.Inputs) // those of a nested agent may come from its parent's constants
	if !x.Status.Ended() {
		d.Stats.TotalNodes = h.total
	}
	if d.NodeExecutions, err = h.nodes(ctx, 0, maxNodes, maxNodesBytes); err != nil {
		return nil, err
	}
	d.Outputs, err = h.outputs(ctx)
	return d, err
}

// Nodes is a page of an execution's node executions in the order in which they were queued, and how many there are.
func (s *Service) Nodes(ctx context.Context, userID, id string, offset, limit int) ([]NodeExecution, int, error) {
	x, err := s.Get(ctx, userID, id)
	if err != nil {
		return nil, 0, err
	}
	h, err := s.history(ctx, x)
	if err != nil {
		return nil, 0, err
	}
	nodes, err := h.nodes(ctx, offset, limit, math.MaxInt)
	return nodes, h.total, err
}

// history reads what the journal says of one execution.
type history struct {
	s            *Service
	id           uuid.UUID
	user         string
	inputs       json.RawMessage
	plan         *Plan
	hidden       *mask
	told         *told // in place of the database, of one that has just ended
	run          *run  // state of one that has not ended; nil otherwise
	total        int   // node executions that were queued
	waiting      []Waiting
	waitingTotal int
	known        map[uint32][]*journal.Output // outputs read so far, by node execution
	size         int                          // bytes of values read so far
}

func (s *Service) history(ctx context.Context, x *Execution) (*history, error) {
	h := &history{s: s, id: uuid.MustParse(x.ID), user: x.UserID, inputs: x.Inputs, total: x.Stats.TotalNodes, known: map[uint32][]*journal.Output{}}
	var err error
	if h.told = s.recent.get(x.UserID, x.ID); h.told != nil {
		h.plan = h.told.execution.plan
	} else if h.plan, err = s.header(ctx, h.id); err != nil {
		return nil, err
	}
	if h.hidden, err = s.maskOf(ctx, x, h.plan); err != nil {
		return nil, err
	}
	if !x.Status.Ended() {
		return h, h.follow(ctx, x)
	}
	err = h.read(ctx, selection{where: `kind = ?`, args: []any{rowEnd}, order: "pos", match: func(w *storedRow) bool { return w.kind == rowEnd }}, func(w storedRow) error {
		h.waitingTotal = int(w.step.WaitingTotal)
		h.setWaiting(w.step.Waiting)
		return nil
	})
	return h, err
}

// follow folds the journal of an execution that has not ended: what is ready or waits stands in no row of its own.
func (h *history) follow(ctx context.Context, x *Execution) error {
	h.run = newRun(h.id, x.UserID, h.plan, x.Inputs)
	if err := readRows(ctx, h.s.db, h.id, 0, func(w storedRow) error {
		return h.run.apply(w.kind, w.pos, w.seq, w.nodeExec, w.status, w.at, w.step)
	}); err != nil {
		return err
	}
	h.total = int(h.run.queued)
	list, total := h.run.waitingList()
	h.waitingTotal = int(total)
	h.setWaiting(list)
	return nil
}

// selection is a part of an execution's rows, in words for the database and for memory.
type selection struct {
	where string
	args  []any
	order string // of columns
	match func(*storedRow) bool
}

func (h *history) read(ctx context.Context, sel selection, use func(storedRow) error) error {
	if h.told == nil {
		rows, err := h.s.db.QueryContext(ctx, `SELECT `+journalColumns+` FROM journal WHERE execution_id = ? AND `+sel.where+` ORDER BY `+sel.order, append([]any{h.id}, sel.args...)...)
		if err != nil {
			return fmt.Errorf("read journal: %w", err)
		}
		return scanRows(rows, use)
	}
	var rows []storedRow
	for i := range h.told.rows {
		if sel.match(&h.told.rows[i]) {
			rows = append(rows, h.told.rows[i])
		}
	}
	slices.SortStableFunc(rows, func(a, b storedRow) int { return int(a.nodeExec) - int(b.nodeExec) })
	for _, w := range rows {
		if err := use(w); err != nil {
			return err
		}
	}
	return nil
}

func (h *history) setWaiting(list []*journal.Waiting) {
	for _, w := range list {
		h.waiting = append(h.waiting, Waiting{NodeID: h.plan.nodes[w.Node].node.ID, Have: w.Have, Missing: w.Missing})
	}
}

// nodes reads node executions by their numbers, which are dense, through journal_by_node_execution. It stops before the
// one whose values would be beyond the bytes allowed, but never before the first.
func (h *history) nodes(ctx context.Context, offset, limit, allowed int) ([]NodeExecution, error) {
	nodes := []NodeExecution{}
	pins := [][]*journal.Input{}
	index := map[uint32]int{}
	full := errors.New("full")
	err := h.read(ctx, selection{
		where: `node_execution > ? AND node_execution <= ?`, args: []any{offset, offset + limit}, order: "node_execution, pos",
		match: func(w *storedRow) bool { return int(w.nodeExec) > offset && int(w.nodeExec) <= offset+limit },
	}, func(w storedRow) error {
		i, ok := index[w.nodeExec]
		if !ok {
			if h.size > allowed {
				return full
			}
			i = len(nodes)
			index[w.nodeExec] = i
			nodes = append(nodes, h.nodeOf(w.nodeExec, int(w.step.Node)))
			pins = append(pins, w.step.Inputs)
		}
		nodes[i].add(w)
		h.known[w.nodeExec] = append(h.known[w.nodeExec], w.step.Outputs...)
		for _, o := range w.step.Outputs {
			h.size += len(o.Value) + int(o.Size)
		}
		return nil
	})
	if err != nil && !errors.Is(err, full) {
		return nil, err
	}
	if err == nil {
		nodes, pins = h.addActive(nodes, pins, index, offset, limit)
	}
	size := 0
	for i := range nodes {
		if err := h.complete(ctx, &nodes[i], pins[i]); err != nil {
			return nil, err
		}
		if size += nodes[i].bytes(); size > allowed && i > 0 {
			return nodes[:i], nil
		}
	}
	return nodes, nil
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

func (h *history) nodeOf(number uint32, node int) NodeExecution {
	n := h.plan.nodes[node].node
	return NodeExecution{ID: nodeExecutionID(h.id, number), NodeID: n.ID, BlockID: n.BlockID, Status: Running, number: number, node: node}
}

// add takes what one row says.
func (n *NodeExecution) add(w storedRow) {
	s := w.step
	n.Status, n.Attempt = w.status, int(s.Attempt)
	if s.StartedAt != 0 {
		at := time.UnixMicro(s.StartedAt).UTC()
		n.StartedAt = &at
	}
	if w.kind != rowNode {
		n.Status = Running
		return
	}
	n.Error, n.PluginName, n.PluginVersion, n.TakenOver = s.Error, s.Plugin, s.PluginVersion, s.TakenOver
	if w.status == Completed || w.status == Failed {
		at := w.at.UTC().Round(time.Microsecond)
		n.EndedAt = &at
	}
}

// addActive adds node executions that are ready or were started by another row, in the order of their numbers.
func (h *history) addActive(nodes []NodeExecution, pins [][]*journal.Input, index map[uint32]int, offset, limit int) ([]NodeExecution, [][]*journal.Input) {
	if h.run == nil {
		return nodes, pins
	}
	merged, mergedPins := []NodeExecution{}, [][]*journal.Input{}
	for number := uint32(offset + 1); number <= uint32(min(offset+limit, h.total)); number++ {
		if i, ok := index[number]; ok {
			merged, mergedPins = append(merged, nodes[i]), append(mergedPins, pins[i])
			continue
		}
		e := h.run.execs[number]
		if e == nil {
			continue
		}
		n := h.nodeOf(number, e.node)
		n.Attempt, n.TakenOver = int(e.attempt), e.takesOver()
		if e.state == execReady {
			n.Status = Queued
		} else if !e.startedAt.IsZero() {
			at := e.startedAt
			n.StartedAt = &at
		}
		merged, mergedPins = append(merged, n), append(mergedPins, inputsOf(e.pins))
	}
	return merged, mergedPins
}

// complete adds input and outputs to a node execution.
func (h *history) complete(ctx context.Context, n *NodeExecution, inputs []*journal.Input) error {
	for _, o := range h.known[n.number] {
		v, err := h.value(ctx, o)
		if err != nil {
			return err
		}
		n.Outputs = appendValue(n.Outputs, o.Pin, h.hidden.value(v))
	}
	data := make([]graph.PinValue, 0, len(inputs))
	for _, in := range inputs {
		v, err := h.inputValue(ctx, n.node, in)
		if err != nil {
			return err
		}
		data = append(data, graph.PinValue{Pin: in.Pin, Value: v})
	}
	p := &h.plan.nodes[n.node]
	a, err := graph.Assemble(h.hidden.node(p.node, p.block), p.block, data)
	if err != nil { // what did not fit is shown as it came
		a.Input = objectOf(data)
	}
	n.Input = h.hidden.value(a.Input)
	return nil
}

func (h *history) inputValue(ctx context.Context, node int, in *journal.Input) (json.RawMessage, error) {
	if in.NodeExecution == 0 {
		if in.Link != 0 {
			return nullValue.raw, nil
		}
		return inputOf(h.plan, node, h.inputs).raw, nil
	}
	outputs, ok := h.known[in.NodeExecution]
	if !ok {
		if err := h.read(ctx, selection{
			where: `node_execution = ?`, args: []any{in.NodeExecution}, order: "pos",
			match: func(w *storedRow) bool { return w.nodeExec == in.NodeExecution },
		}, func(w storedRow) error {
			outputs = append(outputs, w.step.Outputs...)
			return nil
		}); err != nil {
			return nil, err
		}
		h.known[in.NodeExecution] = outputs
	}
	if int(in.Output) >= len(outputs) || in.Link == 0 || int(in.Link) > len(h.plan.links) {
		return nil, fmt.Errorf("%w: an input has no source", errUnreadable)
	}
	o := outputs[in.Output]
	raw, err := h.value(ctx, o)
	if err != nil {
		return nil, err
	}
	return selected(&h.plan.links[in.Link-1], output{pin: o.Pin, value: &value{raw: raw}}).raw, nil
}

// value is a recorded value, read from the value table where it is large.
func (h *history) value(ctx context.Context, o *journal.Output) (json.RawMessage, error) {
	if o.Digest == nil || o.Value != nil {
		return o.Value, nil
	}
	data, err := h.s.largeValue(ctx, h.id, o.Digest)
	o.Value = data
	return data, err
}

// outputs are the values of the execution's output nodes by name, through journal_outputs, in the order in which the
// node executions were queued.
func (h *history) outputs(ctx context.Context) ([]PinValues, error) {
	var found []*journal.Step
	if err := h.read(ctx, selection{where: `is_output`, order: "node_execution, pos", match: func(w *storedRow) bool { return w.isOutput }}, func(w storedRow) error {
		found = append(found, w.step)
		return nil
	}); err != nil {
		return nil, err
	}
	list := []PinValues{}
	for _, s := range found {
		o := s.Result
		if o == nil && len(s.Outputs) > 0 {
			o = s.Outputs[0]
		}
		if o == nil {
			continue
		}
		v, err := h.value(ctx, o)
		if err != nil {
			return nil, err
		}
		list = appendValue(list, s.ResultName, h.hidden.value(v))
	}
	return list, nil
}

func appendValue(list []PinValues, name string, v json.RawMessage) []PinValues {
	for i := range list {
		if list[i].Name == name {
			list[i].Values = append(list[i].Values, v)
			return list
		}
	}
	return append(list, PinValues{Name: name, Values: []json.RawMessage{v}})
}

func objectOf(data []graph.PinValue) json.RawMessage {
	b := []byte{'{'}
	for i, d := range data {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, quote(d.Pin)...)
		b = append(b, ':')
		b = append(b, d.Value...)
	}
	return append(b, '}')
}
