package execution

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/patchbay-io/patchbay/core/block/jsonscan"
	"github.com/patchbay-io/patchbay/core/execution/journal"
	"github.com/patchbay-io/patchbay/core/graph"
)

// Inputs over a chunk in size are left out, and from lists all are.
const (
	executionColumns = `id, user_id, graph_id, graph_version, parent_id, retry_of, status, CASE WHEN octet_length(inputs) <= 256 << 10 THEN inputs ELSE '' END, octet_length(inputs), created_at, started_at, ended_at, total_nodes, completed_nodes, failed_nodes, error_message, error_node_id`
	listColumns      = `id, user_id, graph_id, graph_version, parent_id, retry_of, status, '', 0, created_at, started_at, ended_at, total_nodes, completed_nodes, failed_nodes, error_message, error_node_id`
)

func scanExecution(scan func(...any) error) (*Execution, error) {
	var x Execution
	var parent, retryOf, message, node sql.NullString
	var started, ended sql.NullTime
	var inputs string
	if err := scan(&x.ID, &x.UserID, &x.GraphID, &x.GraphVersion, &parent, &retryOf, &x.Status, &inputs, &x.inputBytes, &x.CreatedAt, &started, &ended,
		&x.Stats.TotalNodes, &x.Stats.CompletedNodes, &x.Stats.FailedNodes, &message, &node); err != nil {
		return nil, err
	}
	x.ParentID, x.RetryOf, x.inputs, x.CreatedAt = parent.String, retryOf.String, json.RawMessage(inputs), x.CreatedAt.UTC()
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

// liveStats counts node executions of executions that run; the counts in their rows are those of the end. Of those on
// another server those that the last commit queued are counted too. It uses the primary key of journal.
func (s *Service) liveStats(ctx context.Context, running []*Execution) error {
	byID := map[string]*Execution{}
	var ids []string
	g, _ := s.generation() // nil while this server runs none
	for _, x := range running {
		if g != nil {
			if known, ok := g.live.stats(uuid.MustParse(x.ID)); ok {
				known.TotalRunTime = x.Stats.TotalRunTime
				x.Stats = known
				continue
			}
		}
		byID[x.ID] = x
		ids = append(ids, x.ID)
	}
	if len(ids) == 0 {
		return nil
	}
	rows, err := s.db.QueryContext(ctx, `
		SELECT execution_id, sum(queued), sum(completed), sum(failed) FROM journal WHERE execution_id IN (?) GROUP BY execution_id`, bun.List(ids))
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

// history reads what the journal says of one execution.
type history struct {
	s            *Service
	id           uuid.UUID
	name         string // the id's text
	user         string
	inputs       json.RawMessage // empty where they are large
	inputBytes   int
	smallInputs  map[string]json.RawMessage // of large inputs, once they were read; nil for large ones among them
	plan         *Plan
	hidden       *mask
	told         *told // in place of the database, of one that has just ended
	run          *run  // state of one that has not ended; nil otherwise
	total        int   // node executions that were queued
	waiting      []Waiting
	waitingTotal int
	known        map[uint32][]*journal.Output // outputs at hand, by node execution
	held         int                          // bytes of large values among them
}

// history reads it of an execution, by its story where there is one.
func (s *Service) history(ctx context.Context, x *Execution, t *told) (*history, error) {
	h := &history{s: s, id: uuid.MustParse(x.ID), name: x.ID, user: x.UserID, inputs: x.inputs, inputBytes: x.inputBytes, total: x.Stats.TotalNodes, known: map[uint32][]*journal.Output{}}
	var err error
	if h.told = t; t != nil {
		h.plan = t.execution.plan
	} else if h.plan, err = s.header(ctx, h.id); err != nil {
		return nil, err
	}
	if h.hidden, err = s.maskOf(ctx, x, h.plan); err != nil {
		return nil, err
	}
	if !x.Status.Ended() {
		return h, h.follow(ctx, x)
	}
	err = h.read(ctx, selection{where: "true", order: "pos DESC LIMIT 1", match: func(w *storedRow) bool { return w.kind == rowEnd }}, func(w storedRow) error {
		h.waitingTotal = int(w.step.WaitingTotal)
		h.setWaiting(w.step.Waiting)
		return nil
	})
	return h, err
}

// follow folds the journal of an execution that has not ended: what is ready or waits stands in no row of its own.
func (h *history) follow(ctx context.Context, x *Execution) error {
	h.run = newRun(h.id, x.UserID, h.plan, x.inputs, nil) // the plan has its credentials
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

// selection is a part of an execution's rows: where in the database the segments are, and which rows of them.
type selection struct {
	where string
	args  []any
	order string
	match func(*storedRow) bool
}

func (h *history) read(ctx context.Context, sel selection, use func(storedRow) error) error {
	if h.told == nil {
		rows, err := h.s.db.QueryContext(ctx, `SELECT `+segmentColumns+` FROM journal WHERE execution_id = ? AND `+sel.where+` ORDER BY `+sel.order, append([]any{h.id}, sel.args...)...)
		if err != nil {
			return fmt.Errorf("read journal: %w", err)
		}
		return scanRows(rows, func(w storedRow) error {
			if !sel.match(&w) {
				return nil
			}
			return use(w)
		})
	}
	for i := range h.told.rows {
		if w := &h.told.rows[i]; sel.match(w) {
			if err := use(*w); err != nil {
				return err
			}
		}
	}
	return nil
}

func (h *history) setWaiting(list []*journal.Waiting) {
	for _, w := range list {
		h.waiting = append(h.waiting, Waiting{NodeID: h.plan.nodes[w.Node].node.ID, Have: w.Have, Missing: w.Missing})
	}
}

func (h *history) nodeOf(number uint32, node int) *NodeExecution {
	n := h.plan.nodes[node].node
	return &NodeExecution{ID: nodeExecutionID(h.name, number), NodeID: n.ID, BlockID: n.BlockID, Status: Running, number: number, node: node}
}

// add takes what one row says.
func (n *NodeExecution) add(w storedRow) {
	s := w.step
	n.Status, n.Attempt, n.assembled = w.status, int(s.Attempt), w.input
	if s.StartedAt != 0 {
		n.started = time.UnixMicro(s.StartedAt).UTC()
		n.StartedAt = &n.started
	}
	if w.kind != rowNode {
		n.Status = Running
		return
	}
	n.Error, n.PluginName, n.PluginVersion, n.TakenOver, n.Stats = s.Error, s.Plugin, s.PluginVersion, s.TakenOver, s.Stats
	if w.status == Completed || w.status == Failed {
		n.ended = w.at.UTC().Round(time.Microsecond)
		n.EndedAt = &n.ended
	}
}

// complete adds input and outputs to a node execution. What they hold of the budget is the caller's to release.
func (h *history) complete(ctx context.Context, n *NodeExecution) (release func(), err error) {
	size := 0
	for _, o := range h.known[n.number] {
		size += lengthOf(o)
	}
	if n.assembled != nil && h.hidden == nil {
		n.Input, n.inputs = n.assembled, nil
		size += len(n.Input)
	}
	sources := make([]*journal.Output, len(n.inputs))
	for i, in := range n.inputs {
		if in.NodeExecution == 0 {
			if in.Link == 0 {
				size += h.inputSize(n.node)
			}
			continue
		}
		if sources[i], err = h.source(ctx, in); err != nil {
			return nil, err
		}
		size += lengthOf(sources[i])
	}
	if release, err = h.hold(ctx, size); err != nil {
		return nil, err
	}
	if err := h.fill(ctx, n, sources); err != nil {
		release()
		return nil, err
	}
	return release, nil
}

func (h *history) fill(ctx context.Context, n *NodeExecution, sources []*journal.Output) error {
	for _, o := range h.known[n.number] {
		v, err := h.value(ctx, o)
		if err != nil {
			return err
		}
		n.Outputs = appendValue(n.Outputs, o.Pin, h.hidden.value(v))
	}
	if n.Input != nil {
		return nil
	}
	data := make([]graph.PinValue, 0, len(n.inputs))
	for i, in := range n.inputs {
		v, err := h.inputValue(ctx, n.node, in, sources[i])
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

// source is the output that an input of a node execution came from.
func (h *history) source(ctx context.Context, in *journal.Input) (*journal.Output, error) {
	outputs, ok := h.known[in.NodeExecution]
	if !ok {
		if err := h.read(ctx, selection{
			where: `page = ?`, args: []any{pageOf(in.NodeExecution)}, order: "pos",
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
	return outputs[in.Output], nil
}

func (h *history) inputValue(ctx context.Context, node int, in *journal.Input, o *journal.Output) (json.RawMessage, error) {
	switch {
	case o == nil && in.Link != 0:
		return nullValue.raw, nil
	case o == nil:
		return h.givenValue(ctx, node)
	}
	raw, err := h.value(ctx, o)
	if err != nil {
		return nil, err
	}
	return selected(&h.plan.links[in.Link-1], output{pin: o.Pin, value: &value{raw: raw}}).raw, nil
}

// value is a recorded value, read from the value table where it is not in the journal.
func (h *history) value(ctx context.Context, o *journal.Output) (json.RawMessage, error) {
	if o.Digest == nil || o.Value != nil {
		return o.Value, nil
	}
	data, err := h.s.largeValue(ctx, h.id, o.Digest)
	if len(data) <= chunkSize && h.held+len(data) <= maxHeldBytes { // it may be an input too
		h.held += len(data)
		o.Value = data
	}
	return data, err
}

// hold waits until so many bytes of values may be in memory, beside as many that are made of them.
func (h *history) hold(ctx context.Context, bytes int) (release func(), err error) {
	if bytes <= chunkSize {
		return func() {}, nil
	}
	return h.s.budget.Take(ctx, h.user, 2*bytes)
}

// lengthOf is the size of a value, wherever it lies.
func lengthOf(o *journal.Output) int { return max(len(o.Value), int(o.Size)) }

// inputs are the whole inputs of an execution.
func (s *Service) inputs(ctx context.Context, id uuid.UUID) (json.RawMessage, error) {
	var inputs []byte
	if err := s.db.QueryRowContext(ctx, `SELECT inputs FROM execution WHERE id = ?`, id).Scan(&inputs); err != nil {
		return nil, fmt.Errorf("read the execution's inputs: %w", err)
	}
	return inputs, nil
}

// given are the execution's inputs.
func (h *history) given(ctx context.Context) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		release, err := h.hold(ctx, h.inputBytes)
		if err != nil {
			yield(nil, err)
			return
		}
		defer release()
		inputs, err := h.allInputs(ctx)
		yield(h.hidden.value(inputs), err) // those of a nested agent may come from its parent's constants
	}
}

func (h *history) allInputs(ctx context.Context) (json.RawMessage, error) {
	if h.inputBytes <= chunkSize {
		return h.inputs, nil
	}
	return h.s.inputs(ctx, h.id)
}

// givenValue is the execution's input for an input node. Large inputs are not read again for what is small in them.
func (h *history) givenValue(ctx context.Context, node int) (json.RawMessage, error) {
	if v, ok := h.smallInput(node); ok {
		return v, nil
	}
	inputs, err := h.allInputs(ctx)
	if err != nil {
		return nil, err
	}
	if h.inputBytes > chunkSize && h.smallInputs == nil {
		h.keepSmall(inputs)
	}
	return inputOf(h.plan, node, inputs).raw, nil
}

// keepSmall keeps what is small of large inputs, and which of them are not.
func (h *history) keepSmall(inputs json.RawMessage) {
	names := map[string]bool{}
	for i := range h.plan.nodes {
		names[h.plan.inputName(i)] = true
	}
	h.smallInputs = map[string]json.RawMessage{}
	left := maxHeldBytes
	for k, v := range jsonscan.Members(inputs) {
		if name := jsonscan.Unquote(k); names[name] {
			h.smallInputs[name] = nil
			if len(v) <= min(inlineValue, left) {
				h.smallInputs[name] = bytes.Clone(v)
				left -= len(v)
			}
		}
	}
}

// smallInput is the execution's input for an input node, where it was kept.
func (h *history) smallInput(node int) (v json.RawMessage, ok bool) {
	if h.smallInputs == nil {
		return nil, false
	}
	v, given := h.smallInputs[h.plan.inputName(node)]
	if !given {
		return nullValue.raw, true
	}
	return v, v != nil
}

// inputSize is how much must be held to read the execution's input for an input node.
func (h *history) inputSize(node int) int {
	if v, ok := h.smallInput(node); ok {
		return len(v)
	}
	return h.inputBytes
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
