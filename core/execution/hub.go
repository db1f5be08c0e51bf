package execution

import (
	"encoding/json"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// hub brings committed rows to those who watch. It holds nothing for a slow one: who misses rows reads them from the
// database.
type hub struct {
	mu        sync.Mutex
	watchers  map[uuid.UUID]map[*watcher]struct{}
	elsewhere map[uuid.UUID]time.Time // until when other servers watch executions
}

// watcher is one interest in one execution.
type watcher struct {
	rows     chan *row             // nil: somewhere else rows were committed
	progress func(json.RawMessage) // guarded by the hub's mu; nil: nobody asks for it
	lost     atomic.Bool           // rows were left out since the channel was full
}

// watcherRows bounds the rows that wait for one watcher. They are shared with all others.
const watcherRows = 256

// Times and bounds of what is watched on other servers than the one that runs it.
const (
	watchedFor   = time.Minute
	watchEvery   = 20 * time.Second // that the others are asked again
	maxElsewhere = 50_000
)

func newHub() *hub {
	return &hub{watchers: map[uuid.UUID]map[*watcher]struct{}{}, elsewhere: map[uuid.UUID]time.Time{}}
}

func (h *hub) watch(execution uuid.UUID) *watcher {
	w := &watcher{rows: make(chan *row, watcherRows)}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.watchers[execution] == nil {
		h.watchers[execution] = map[*watcher]struct{}{}
	}
	h.watchers[execution][w] = struct{}{}
	return w
}

func (h *hub) unwatch(execution uuid.UUID, w *watcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.watchers[execution], w)
	if len(h.watchers[execution]) == 0 {
		delete(h.watchers, execution)
	}
}

// publish never blocks. A watcher whose channel is full is told that it lost rows; the channel keeps the older ones,
// so that there is something to wake it.
func (h *hub) publish(rows []*row) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.watchers) == 0 {
		return
	}
	for _, r := range rows {
		for w := range h.watchers[r.run.id] {
			select {
			case w.rows <- r:
			default:
				w.lost.Store(true)
			}
		}
	}
}

// wake lets who watches these executions, or any where the list is nil, look into the database. It never blocks.
func (h *hub) wake(executions []uuid.UUID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if executions == nil {
		for _, watchers := range h.watchers {
			wake(watchers)
		}
	}
	for _, id := range executions {
		wake(h.watchers[id])
	}
}

func wake(watchers map[*watcher]struct{}) {
	for w := range watchers {
		w.lost.Store(true)
		select {
		case w.rows <- nil: // there is something to wake it
		default:
		}
	}
}

// pass gives a watcher progress, as frames of the API, by a function that must not block.
func (h *hub) pass(w *watcher, progress func(json.RawMessage)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	w.progress = progress
}

// publishProgress gives progress to who asks for it here, and answers it if somebody does so on another server.
func (h *hub) publishProgress(execution uuid.UUID, frame func() json.RawMessage) (elsewhere json.RawMessage) {
	h.mu.Lock()
	defer h.mu.Unlock()
	wanted := time.Now().Before(h.elsewhere[execution])
	if len(h.watchers[execution]) == 0 && !wanted {
		return nil
	}
	payload := frame()
	h.give(execution, payload)
	if !wanted {
		return nil
	}
	return payload
}

// passOn gives progress of an execution that runs on another server to who asks for it here.
func (h *hub) passOn(execution uuid.UUID, payload json.RawMessage) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.give(execution, payload)
}

func (h *hub) give(execution uuid.UUID, payload json.RawMessage) {
	for w := range h.watchers[execution] {
		if w.progress != nil {
			w.progress(payload)
		}
	}
}

// watchedElsewhere notes what another server watches. This one may run it, or take it over.
func (h *hub) watchedElsewhere(executions []uuid.UUID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	if len(h.elsewhere)+len(executions) > maxElsewhere {
		maps.DeleteFunc(h.elsewhere, func(_ uuid.UUID, until time.Time) bool { return until.Before(now) })
	}
	for _, id := range executions {
		if len(h.elsewhere) < maxElsewhere {
			h.elsewhere[id] = now.Add(watchedFor)
		}
	}
}

// asked are the executions of which somebody asks for progress here.
func (h *hub) asked() []uuid.UUID {
	h.mu.Lock()
	defer h.mu.Unlock()
	var ids []uuid.UUID
	for id, watchers := range h.watchers {
		for w := range watchers {
			if w.progress != nil {
				ids = append(ids, id)
				break
			}
		}
	}
	return ids
}
