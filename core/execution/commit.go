package execution

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/patchbay-io/patchbay/core/execution/journal"
	"github.com/patchbay-io/patchbay/core/hostservice"
)

// commit is what one tree wants committed together. done is called once.
type commit struct {
	states   []*executionWrite // of executions that begin or change, in order
	segments []segment
	writes   []hostservice.Write // of keys, in order
	bytes    int
	done     func(error)
	// For the writer's cadence:
	sets  bool      // something runs once it is committed, whose end will be committed
	setBy time.Time // when the commit was that had set going what this one brings; zero: none had
	at    time.Time // when the writer got it
	told  time.Time // when it was committed
}

// executionWrite is the state of an execution's row.
type executionWrite struct {
	fresh       bool     // the row is not there yet
	waits       bool     // for any server, rather than run by this one; of a fresh one
	presumes    presumes // of a fresh one
	id, root    uuid.UUID
	parent      *run
	parentExec  uint32
	userID      string
	plan        *Plan
	retry       *retry
	inputs      json.RawMessage
	credentials string // picks
	priority    int
	bound       int // run.maxConcurrent
	timeout     time.Duration
	createdAt   time.Time
	was         Status // what the row showed before; empty where it is new
	status      Status
	startedAt   time.Time
	endedAt     time.Time
	total       int
	completed   int
	failed      int
	failure     *Failure
}

func (t *tree) open() *commit {
	if t.pending == nil {
		t.pending = &commit{}
	}
	return t.pending
}

// begin makes the execution's row.
func (c *commit) begin(r *run) {
	x := writeOf(r)
	x.fresh, x.presumes = true, r.presumes
	c.states = append(c.states, x)
}

// accept makes the execution itself part of the next commit.
func (t *tree) accept(done func(error), awaited bool) {
	t.accepted, t.awaited = done, awaited
	t.open().begin(t.root)
}

// flush hands what is pending to the writer, after the large values among it are stored.
func (t *tree) flush(ctx context.Context) error {
	c := t.pending
	if c == nil || len(t.rows) == 0 && len(c.states) == 0 {
		t.pending = nil
		return nil
	}
	steps := make([]*journal.Step, len(t.rows))
	for i, w := range t.rows {
		var err error
		if steps[i], err = t.stored(ctx, w); err != nil {
			return err
		}
	}
	var err error
	if c.segments, err = segments(t.rows, steps); err != nil {
		return err
	}
	for i := range c.segments {
		c.bytes += len(c.segments[i].body)
	}
	for _, x := range c.states {
		if x.fresh {
			c.bytes += len(x.inputs)
		}
	}
	rows, commands, accepted, releases := t.rows, t.after, t.accepted, t.waiting
	n, size := len(rows), c.bytes
	t.unsure = accepted != nil
	t.pending, t.rows, t.after, t.accepted, t.gathered, t.waiting = nil, nil, nil, nil, 0, 0
	t.ahead += n
	t.bytes += size
	c.sets, c.at, c.setBy, t.setBy = len(commands) > 0, time.Now(), t.setBy, time.Time{}
	c.done = func(err error) {
		if accepted != nil {
			accepted(err)
		}
		if err == nil {
			if n > 0 && rows[n-1].kind == rowEnd && rows[n-1].run == t.root {
				t.ended.Store(true)
			}
			t.s.publish(rows)
		}
		t.acknowledge(ack{err: err, at: c.told, commands: commands, rows: n, bytes: size, releases: releases})
	}
	ended := t.remember(rows)
	for i, w := range rows {
		if sizeOf(w.step) > chunkSize {
			w.step = steps[i] // who watches reads the values when they are wanted, and not before
		}
	}
	if ended != nil {
		done := c.done
		c.done = func(err error) {
			if err == nil {
				t.s.recent.add(ended)
			}
			done(err)
		}
	}
	t.s.writer.submit(ctx, c)
	return nil
}

// remember keeps the root's story for those who ask for it right after its end. It answers it with the end.
func (t *tree) remember(rows []*row) *told {
	if t.told == nil {
		return nil
	}
	for _, w := range rows {
		if w.run != t.root {
			continue
		}
		if !t.told.add(w) {
			t.told = nil
			return nil
		}
		if w.kind == rowEnd {
			t.told.execution = *writeOf(t.root)
			return t.told
		}
	}
	return nil
}

// stored is what is kept of a row's step. Large values go into a table of their own, on a connection of their own, so
// that they do not hold up everybody's batch.
func (t *tree) stored(ctx context.Context, w *row) (*journal.Step, error) {
	if !slices.ContainsFunc(append(w.step.Outputs, w.step.Result), func(o *journal.Output) bool { return o != nil && len(o.Value) > inlineValue }) {
		return w.step, nil
	}
	step := withoutValues(w.step)
	for _, o := range w.step.Outputs {
		kept, err := t.store(ctx, w.run.id, o)
		if err != nil {
			return nil, err
		}
		step.Outputs = append(step.Outputs, kept)
	}
	if w.step.Result != nil {
		kept, err := t.store(ctx, w.run.id, w.step.Result)
		if err != nil {
			return nil, err
		}
		step.Result = kept
	}
	return step, nil
}

// withoutValues is a step that shares everything with s but its values.
func withoutValues(s *journal.Step) *journal.Step {
	return &journal.Step{
		Node: s.Node, Attempt: s.Attempt, Started: s.Started, StartedAt: s.StartedAt, Inputs: s.Inputs, Moves: s.Moves, Error: s.Error,
		Plugin: s.Plugin, PluginVersion: s.PluginVersion, Charges: s.Charges, Deaths: s.Deaths, Failures: s.Failures, RetryAt: s.RetryAt, Stats: s.Stats, Child: s.Child,
		TakenOver: s.TakenOver, CutOff: s.CutOff, ResultName: s.ResultName, FailureNode: s.FailureNode, Waiting: s.Waiting, WaitingTotal: s.WaitingTotal,
	}
}

func (t *tree) store(ctx context.Context, run uuid.UUID, o *journal.Output) (*journal.Output, error) {
	if len(o.Value) <= inlineValue {
		return o, nil
	}
	key := storedValue{run, [sha256.Size]byte(o.Digest)}
	if _, ok := t.kept[key]; !ok {
		if err := t.s.storeValue(ctx, run, o.Digest, o.Value); err != nil {
			return nil, err
		}
		t.kept[key] = struct{}{}
	}
	return &journal.Output{Pin: o.Pin, Digest: o.Digest, Size: o.Size}, nil
}

// writeOf is a copy of what the execution's row will show, since the writer is another goroutine.
func writeOf(r *run) *executionWrite {
	x := &executionWrite{
		id: r.id, root: r.root, parent: r.parent, userID: r.userID, plan: r.plan, inputs: r.inputs,
		createdAt: r.createdAt, startedAt: r.startedAt, endedAt: r.endedAt, was: r.shown, status: Queued,
		total: int(r.queued), completed: r.completed, failed: r.failed, retry: r.retry, credentials: r.picks.text(), priority: r.priority,
		bound: r.maxConcurrent, timeout: r.timeout,
	}
	if r.parentExec != nil {
		x.parentExec = r.parentExec.id
	}
	if r.begun {
		x.status = Running
	}
	if r.ended != "" {
		x.status = r.ended
	}
	if r.ended == Failed {
		x.failure = r.failure
	}
	r.shown = x.status
	return x
}
