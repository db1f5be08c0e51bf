package execution

import (
	"sync"
	"sync/atomic"

	"github.com/google/uuid"
)

// live are the executions that this server runs, with what is committed of them: their rows in the database count their
// node executions only at the end.
type live struct {
	mu   sync.Mutex
	runs map[uuid.UUID]*run
}

// tally counts an execution's node executions as of the last commit.
type tally struct{ queued, completed, failed atomic.Int32 }

// resume begins with executions that were read from the database.
func (l *live) resume(runs map[uuid.UUID]*run) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, r := range runs {
		r.tally.queued.Store(int32(r.queued))
		r.tally.completed.Store(int32(r.completed))
		r.tally.failed.Store(int32(r.failed))
		l.runs[id] = r
	}
}

// committed takes committed rows, those of each execution in their order.
func (l *live) committed(rows []*row) {
	for _, w := range rows {
		t := &w.run.tally
		for _, m := range w.step.Moves {
			if m.GetQueue() != nil {
				t.queued.Add(1)
			}
		}
		switch w.kind {
		case rowBegin:
			l.mu.Lock()
			l.runs[w.run.id] = w.run
			l.mu.Unlock()
		case rowEnd:
			l.mu.Lock()
			delete(l.runs, w.run.id)
			l.mu.Unlock()
		case rowNode:
			switch w.status {
			case Completed:
				t.completed.Add(1)
			case Failed:
				t.failed.Add(1)
			}
		}
	}
}

// has says that an execution has begun to run here and not ended.
func (l *live) has(id uuid.UUID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.runs[id] != nil
}

// stats are those of an execution that this server runs.
func (l *live) stats(id uuid.UUID) (s Stats, known bool) {
	l.mu.Lock()
	r := l.runs[id]
	l.mu.Unlock()
	if r == nil {
		return s, false
	}
	return Stats{TotalNodes: int(r.tally.queued.Load()), CompletedNodes: int(r.tally.completed.Load()), FailedNodes: int(r.tally.failed.Load())}, true
}
