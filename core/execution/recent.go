package execution

import (
	"encoding/json"
	"sync"
	"time"
)

// Bounds of what is remembered of executions that have just ended.
const (
	maxToldRows    = 200
	maxToldBytes   = 256 << 10
	maxRecent      = 256
	maxRecentBytes = 16 << 20
	// toldFor is how long it takes at most until who waited asks.
	toldFor = 5 * time.Second
)

// told is the whole committed story of a root execution that this process ran from its start.
type told struct {
	execution executionWrite
	rows      []storedRow
	bytes     int
}

// add takes a row, unless the story becomes too long to keep.
func (t *told) add(w *row) bool {
	var input json.RawMessage
	if w.exec != nil {
		input = w.exec.input
	}
	t.bytes += sizeOf(w.step) + len(input) + 200
	if len(t.rows) >= maxToldRows || t.bytes > maxToldBytes {
		return false
	}
	t.rows = append(t.rows, storedRow{
		pos: w.pos, seq: w.seq, events: w.events, kind: w.kind, nodeExec: w.nodeExec, status: w.status, isOutput: w.isOutput, at: w.at, step: w.step, input: input,
	})
	return true
}

// recent keeps the stories of the newest executions that have ended, so that who waited for one is answered without
// reading back what was just written. Nobody else is told them: the execution may have been deleted since, on any server.
type recent struct {
	mu    sync.Mutex
	known map[string]*told
	order []string
	bytes int
}

func (c *recent) add(t *told) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil {
		c.known = map[string]*told{}
	}
	id := t.execution.id.String()
	c.known[id] = t
	c.order = append(c.order, id)
	c.bytes += t.bytes + len(t.execution.inputs)
	for len(c.order) > maxRecent || c.bytes > maxRecentBytes && len(c.order) > 1 {
		c.forget(c.order[0])
		c.order = c.order[1:]
	}
}

// forget drops a story. The lock is held.
func (c *recent) forget(id string) {
	if t := c.known[id]; t != nil {
		c.bytes -= t.bytes + len(t.execution.inputs)
		delete(c.known, id)
	}
}

func (c *recent) drop(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget(id)
}

// get is the story of an execution of the user's that has just ended, or nil.
func (c *recent) get(userID, id string) *told {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t := c.known[id]; t != nil && t.execution.userID == userID && time.Since(t.execution.endedAt) < toldFor {
		return t
	}
	return nil
}

// shown is the execution as its row in the database shows it. Postgres keeps microseconds.
func (t *told) shown() *Execution {
	x := &t.execution
	started, ended := x.startedAt.UTC().Round(time.Microsecond), x.endedAt.UTC().Round(time.Microsecond)
	e := &Execution{
		ID: x.id.String(), UserID: x.userID, GraphID: x.plan.Graph.ID, GraphVersion: x.plan.Graph.Version, Status: x.status,
		inputs: x.inputs, inputBytes: len(x.inputs), CreatedAt: x.createdAt.UTC().Round(time.Microsecond), EndedAt: &ended, Error: x.failure,
		Stats: Stats{TotalNodes: x.total, CompletedNodes: x.completed, FailedNodes: x.failed},
	}
	if x.retry != nil {
		e.RetryOf = x.retry.of.String()
	}
	if !x.startedAt.IsZero() {
		e.StartedAt = &started
		e.Stats.TotalRunTime = ended.Sub(started).Seconds()
	}
	return e
}
