package execution

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/patchbay-io/patchbay/core/execution/journal"
)

// doneOutputs are the outputs of a node execution that succeeded.
type doneOutputs struct {
	outputs               []*journal.Output
	plugin, pluginVersion string
}

func (d *doneOutputs) add(s *journal.Step) {
	d.outputs = append(d.outputs, s.Outputs...)
	if s.Plugin != "" {
		d.plugin, d.pluginVersion = s.Plugin, s.PluginVersion
	}
}

// maxKept bounds the small outputs of an original that are kept in memory; others are read when they are taken over.
const maxKept = 4 << 20

// originalReader goes through the journal of an execution and gathers what a retry of it may take.
type originalReader struct {
	found *original
	run   *run  // the execution, as far as it was read
	nodes []int // by node: the same one in the retry's plan, or -1
	keys  map[uint32]offerKey
	large func(digest []byte) (json.RawMessage, error)
	size  int // of what is kept
}

// readOriginal begins with nothing read. large finds a value by its digest.
func readOriginal(r *run, p *Plan, from string, large func([]byte) (json.RawMessage, error)) *originalReader {
	return &originalReader{
		found: &original{fresh: p.behind(from), done: map[offerKey][]uint32{}, ends: map[uint32]int{}, rest: map[offerKey][]offer{}, kept: map[uint32]*doneOutputs{}},
		run:   r, nodes: sameNodes(r.plan, p), keys: map[uint32]offerKey{}, large: large,
	}
}

// sameNodes finds the nodes of one plan in another, where they are the same.
func sameNodes(of, in *Plan) []int {
	byID := map[string]int{}
	for i := range in.nodes {
		byID[in.nodes[i].node.ID] = i
	}
	same := make([]int, len(of.nodes))
	for i := range of.nodes {
		a := of.nodes[i].node
		k, ok := byID[a.ID]
		if same[i] = -1; ok && in.nodes[k].node.BlockID == a.BlockID && bytes.Equal(in.nodes[k].node.InputDefault, a.InputDefault) {
			same[i] = k
		}
	}
	return same
}

// behind are a node and all that is reachable from it.
func (p *Plan) behind(from string) []bool {
	reached := make([]bool, len(p.nodes))
	var next []int
	reach := func(i int) {
		if !reached[i] {
			reached[i] = true
			next = append(next, i)
		}
	}
	for i := range p.nodes {
		if from == fromStart || from == p.nodes[i].node.ID && from != fromFailure {
			reach(i)
		}
	}
	for len(next) > 0 {
		node := &p.nodes[next[0]]
		next = next[1:]
		for _, link := range node.outbound {
			reach(p.links[link].sink)
		}
	}
	return reached
}

// add takes the next row.
func (o *originalReader) add(w storedRow) error {
	var e *nodeExec
	if w.kind == rowNode {
		e = o.run.execs[w.nodeExec]
	}
	queued := o.run.queued
	if err := o.run.apply(w.kind, w.pos, w.seq, w.nodeExec, w.status, w.at, w.step); err != nil {
		return err
	}
	for n := queued + 1; n <= o.run.queued; n++ {
		if err := o.queued(o.run.execs[n]); err != nil {
			return err
		}
	}
	if e == nil {
		return nil
	}
	if _, known := o.keys[e.id]; !known {
		return nil
	}
	o.keep(e.id, w.step)
	if w.status.Ended() {
		o.ended(e, w)
		delete(o.keys, e.id)
	}
	return nil
}

// queued notes what a node execution received.
func (o *originalReader) queued(e *nodeExec) error {
	if e.failure != "" || o.nodes[e.node] < 0 {
		return nil
	}
	late := map[*pinInput]*planLink{}
	o.run.lateSelections(e.pins, late)
	for p, l := range late {
		raw, err := o.large(p.value.digest)
		if err != nil {
			return err
		}
		p.value = selected(l, output{pin: l.base, value: &value{raw: raw}})
	}
	o.keys[e.id] = offerKey{int32(o.nodes[e.node]), e.received()}
	return nil
}

// keep remembers small outputs.
func (o *originalReader) keep(id uint32, s *journal.Step) {
	kept, ok := o.found.kept[id]
	switch {
	case !ok:
		kept = &doneOutputs{}
		o.found.kept[id] = kept
	case kept == nil: // its outputs are too large
		return
	}
	kept.add(s)
	for _, out := range s.Outputs {
		o.size += len(out.Value) + 64
		if out.Digest != nil || o.size > maxKept {
			o.found.kept[id] = nil
			return
		}
	}
}

func (o *originalReader) ended(e *nodeExec, w storedRow) {
	key := o.keys[e.id]
	if w.status == Completed {
		o.found.done[key] = append(o.found.done[key], e.id)
		o.found.ends[e.id] = w.pos
		if o.found.kept[e.id] == nil {
			delete(o.found.kept, e.id)
		}
		return
	}
	delete(o.found.kept, e.id)
	switch {
	case e.childID != uuid.Nil:
		o.found.rest[key] = append(o.found.rest[key], offer{nodeExec: e.id, child: e.childID})
	case w.step.CutOff, w.status == Terminated && w.step.Attempt > 0 && !w.step.TakenOver:
		o.found.rest[key] = append(o.found.rest[key], offer{nodeExec: e.id, key: e.idempotencyKey()})
	}
}

// all is what was found when the whole journal has been read.
func (o *originalReader) all() *original {
	for id, key := range o.keys { // of an execution that could not go on: what runs has no end
		delete(o.found.kept, id)
		switch e := o.run.execs[id]; {
		case e.childID != uuid.Nil:
			o.found.rest[key] = append(o.found.rest[key], offer{nodeExec: id, child: e.childID})
		case e.attempt > 0 && !e.takesOver():
			o.found.rest[key] = append(o.found.rest[key], offer{nodeExec: id, key: e.idempotencyKey()})
		}
	}
	for _, list := range o.found.done {
		slices.Sort(list)
	}
	for _, list := range o.found.rest {
		slices.SortFunc(list, func(a, b offer) int { return cmp.Compare(a.nodeExec, b.nodeExec) })
	}
	return o.found
}

// original reads what an execution by the plan p may take from the one that it retries.
func (s *Service) original(ctx context.Context, user string, r retry, p *Plan) (*original, error) {
	var planID []byte
	var document, inputs, credentials string
	err := s.db.QueryRowContext(ctx, `SELECT p.id, p.plan, x.inputs, coalesce(x.credentials, '') FROM execution x JOIN execution_plan p ON p.id = x.plan_id WHERE x.id = ? AND x.user_id = ?`, r.of, user).Scan(&planID, &document, &inputs, &credentials)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("%w: the execution that it retries is gone", errUnreadable)
	}
	if err != nil {
		return nil, fmt.Errorf("read the execution to retry: %w", err)
	}
	plan, err := s.plans.stored(planID, document)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	picked, err := readPicks(credentials)
	if err != nil {
		return nil, err
	}
	o := readOriginal(newRun(r.of, user, plan, json.RawMessage(inputs), picked), p, r.from, func(digest []byte) (json.RawMessage, error) {
		return s.largeValue(ctx, r.of, digest)
	})
	if err := readRows(ctx, s.db, r.of, 0, o.add); err != nil {
		return nil, fmt.Errorf("read the execution to retry: %w", err)
	}
	return o.all(), nil
}

// errGone means that an execution was deleted while another one took over its outputs.
var errGone = errors.New("the outputs to take over are gone: the execution that is retried was deleted")

// takenOutputs reads the outputs that a node execution takes over. It goes on until it has them or ctx ends, since a
// database that is away comes back.
func (g *generation) takenOutputs(ctx context.Context, c command) (takenEvent, error) {
	ev := takenEvent{run: c.run.id, exec: c.exec.id}
	for {
		done, err := g.doneOutputs(ctx, c.run.retry.of, c.run.original.kept[c.exec.take.NodeExecution], c.exec.take.NodeExecution)
		if err == nil || errors.Is(err, errGone) {
			ev.err = err
			if done != nil {
				ev.plugin, ev.pluginVersion = done.plugin, done.pluginVersion
				for _, o := range done.outputs {
					ev.outputs = append(ev.outputs, output{pin: o.Pin, value: &value{raw: o.Value}})
				}
			}
			return ev, nil
		}
		if ctx.Err() != nil {
			return ev, ctx.Err()
		}
		g.log.Warn("could not read outputs to take over, trying again", "execution", c.run.id, "error", err)
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return ev, ctx.Err()
		}
	}
}

// doneOutputs reads by journal_by_page, unless the outputs were kept.
func (g *generation) doneOutputs(ctx context.Context, id uuid.UUID, kept *doneOutputs, nodeExec uint32) (*doneOutputs, error) {
	if kept != nil {
		return kept, nil
	}
	rows, err := g.db.QueryContext(ctx, `SELECT `+segmentColumns+` FROM journal WHERE execution_id = ? AND page = ? ORDER BY pos`, id, pageOf(nodeExec))
	if err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	done, found := &doneOutputs{}, false
	if err := scanRows(rows, func(w storedRow) error {
		if w.nodeExec != nodeExec {
			return nil
		}
		found = found || w.status == Completed
		done.add(w.step)
		return nil
	}); err != nil {
		return nil, err
	}
	if !found {
		return nil, errGone
	}
	for i, o := range done.outputs {
		if o.Digest == nil {
			continue
		}
		data, err := g.largeValue(ctx, id, o.Digest)
		if errors.Is(err, sql.ErrNoRows) {
			return nil, errGone
		}
		if err != nil {
			return nil, err
		}
		done.outputs[i] = &journal.Output{Pin: o.Pin, Value: data}
	}
	return done, nil
}
