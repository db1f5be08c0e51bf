package execution

import (
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
)

// hub brings committed rows to those who watch. It holds nothing for a slow one: who misses rows reads them from the
// database.
type hub struct {
	mu        sync.Mutex
	watchers  map[uuid.UUID]map[*watcher]struct{}
	elsewhere map[uuid.UUID]interest
	swept     time.Time              // elsewhere, of what is over
	ended     map[uuid.UUID]struct{} // those that ended here last
	endings   [endedKept]uuid.UUID   // the same, in turn
	place     int                    // of the next of them
}

// interest is until when other servers want to be told of an execution.
type interest struct {
	rows time.Time // of all rows, and of its progress
	end  time.Time // of the last row
}

// watcher is one interest in one execution. The rows that come wait in it until they are taken.
type watcher struct {
	whole bool // and not in its end alone
	// Guarded by the hub's mu, under which they are called, so that they must not block; nil: nobody asks for it.
	wake     func() // something has come
	progress func(json.RawMessage)

	mu   sync.Mutex
	rows []*row
	lost bool // rows are missing before those that wait: there were too many, or they were committed somewhere else
}

// watcherRows bounds the rows that wait for one watcher. They are shared with all others.
const watcherRows = 256

// Times and bounds of what is watched on other servers than the one that runs it.
const (
	watchedFor   = time.Minute
	watchEvery   = 20 * time.Second // that the others are asked again
	maxElsewhere = 50_000
	// endedKept is for who asks when an execution has just ended: that is told at once.
	endedKept = 1024
)

func newHub() *hub {
	return &hub{watchers: map[uuid.UUID]map[*watcher]struct{}{}, elsewhere: map[uuid.UUID]interest{}, ended: map[uuid.UUID]struct{}{}}
}

func (h *hub) watch(execution uuid.UUID, whole bool) *watcher {
	w := &watcher{whole: whole}
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

// publish never blocks. A watcher for whom too many rows wait is told that it lost them. It answers the executions of which
// other servers are to be told.
func (h *hub) publish(rows []*row) (elsewhere []uuid.UUID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	for _, r := range rows {
		id, end := r.run.id, r.kind == rowEnd
		i := h.elsewhere[id]
		if n := len(elsewhere); (now.Before(i.rows) || end && now.Before(i.end)) && (n == 0 || elsewhere[n-1] != id) {
			elsewhere = append(elsewhere, id)
		}
		if end {
			delete(h.elsewhere, id)
			h.ends(id)
		}
		for w := range h.watchers[id] {
			if w.whole || end {
				w.add(r)
			}
		}
	}
	return elsewhere
}

// ends remembers an execution in place of the one whose end is the longest ago. The lock is held.
func (h *hub) ends(id uuid.UUID) {
	delete(h.ended, h.endings[h.place])
	h.ended[id], h.endings[h.place] = struct{}{}, id
	h.place = (h.place + 1) % endedKept
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
		w.lose()
	}
}

// follow has wake called whenever something has come for a watcher, and gives it progress, as frames of the API. Neither
// function may block. What came before is there already.
func (h *hub) follow(w *watcher, wake func(), progress func(json.RawMessage)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	w.wake, w.progress = wake, progress
}

// rouse wakes a watcher for whom nothing has come.
func (h *hub) rouse(w *watcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	w.tell()
}

// add takes in a row. The hub's lock is held, as for lose and tell.
func (w *watcher) add(r *row) {
	w.mu.Lock()
	full := len(w.rows) == watcherRows
	if !full {
		w.rows = append(w.rows, r)
	}
	w.mu.Unlock()
	if full {
		w.lose()
		return
	}
	w.tell()
}

// lose forgets what waits, since whoever misses rows reads all of them from the database.
func (w *watcher) lose() {
	w.mu.Lock()
	w.rows, w.lost = nil, true
	w.mu.Unlock()
	w.tell()
}

func (w *watcher) tell() {
	if w.wake != nil {
		w.wake()
	}
}

// take is the oldest row that waits, or nil. lost says that rows are missing, the first of them before any that waits.
func (w *watcher) take() (r *row, lost bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lost || len(w.rows) == 0 {
		lost, w.lost = w.lost, false
		return nil, lost
	}
	r = w.rows[0]
	if w.rows = slices.Delete(w.rows, 0, 1); len(w.rows) == 0 && cap(w.rows) > 8 {
		w.rows = nil
	}
	return r, false
}

// ended takes all that waits, and says whether the end is among it: one wake may be for several rows and a loss.
func (w *watcher) ended() bool {
	for {
		switch r, lost := w.take(); {
		case r != nil && r.kind == rowEnd:
			return true
		case r == nil && !lost:
			return false
		}
	}
}

// publishProgress gives progress to who asks for it here, and answers it if somebody does so on another server.
func (h *hub) publishProgress(execution uuid.UUID, frame func() json.RawMessage) (elsewhere json.RawMessage) {
	h.mu.Lock()
	defer h.mu.Unlock()
	wanted := time.Now().Before(h.elsewhere[execution].rows)
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

// heed notes what other servers want to be told of: whole executions, or their ends. This one may run them, or take them
// over. It answers those of which they are to be told at once, since what runs here may have gone on before they asked.
func (h *hub) heed(executions []uuid.UUID, whole bool, runs func(uuid.UUID) bool) (told []uuid.UUID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	if len(h.elsewhere)+len(executions) > maxElsewhere && now.Sub(h.swept) > time.Second {
		maps.DeleteFunc(h.elsewhere, func(_ uuid.UUID, i interest) bool { return i.rows.Before(now) && i.end.Before(now) })
		h.swept = now
	}
	for _, id := range executions {
		i, known := h.elsewhere[id]
		_, ended := h.ended[id]
		switch {
		case ended:
			told = append(told, id)
			continue
		case !known && len(h.elsewhere) >= maxElsewhere:
			continue
		case !whole:
			i.end = now.Add(watchedFor)
		default:
			if i.rows.Before(now) && runs(id) {
				told = append(told, id)
			}
			i.rows = now.Add(watchedFor)
		}
		h.elsewhere[id] = i
	}
	return told
}

// asked are the executions that are watched here, wholly or for their ends, of those that others may run.
func (h *hub) asked(theirs func(uuid.UUID) bool) (watched, awaited []uuid.UUID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id, watchers := range h.watchers {
		if !theirs(id) {
			continue
		}
		whole := false
		for w := range watchers {
			whole = whole || w.whole
		}
		if whole {
			watched = append(watched, id)
		} else {
			awaited = append(awaited, id)
		}
	}
	return watched, awaited
}
