package execution

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/patchbay-io/patchbay/core/execution/journal"
	"github.com/patchbay-io/patchbay/core/graph"
)

func TestEventsAreMadeOnceForAllWhoSeeTheSame(t *testing.T) {
	t.Parallel()
	w := &row{
		run: &run{id: uuid.New(), plan: &Plan{Graph: &graph.Graph{}, nodes: []planNode{{node: &graph.Node{ID: "n"}}}}}, pos: 1, seq: 1, events: 1, kind: rowNode, status: Running, nodeExec: 1, at: time.Now(),
		step: &journal.Step{Outputs: []*journal.Output{{Pin: "out", Value: []byte(`"tell nobody the password"`)}}},
	}
	var watching sync.WaitGroup
	all := make([][]Event, 8)
	for i := range all {
		watching.Go(func() { all[i] = w.expanded(nil) })
	}
	watching.Wait()
	first, again := w.expanded(nil), w.expanded(nil)
	if &first[0].Payload[0] != &again[0].Payload[0] {
		t.Error("they are made again")
	}
	for _, events := range all {
		if len(events) != 1 || string(events[0].Payload) != string(first[0].Payload) || !strings.Contains(string(events[0].Payload), "password") {
			t.Errorf("%s", events[0].Payload)
		}
	}
	if hidden := w.expanded(newMask([]string{"password"})); strings.Contains(string(hidden[0].Payload), "password") {
		t.Errorf("what others may see is shown: %s", hidden[0].Payload)
	}
	if again := w.expanded(nil); &first[0].Payload[0] != &again[0].Payload[0] {
		t.Error("somebody who sees less has changed what others see")
	}
	for _, masks := range [][2]*mask{{nil, newMask(nil)}, {newMask([]string{"a secret"}), newMask([]string{"a secret", "b"})}} {
		if masks[0].equal(masks[1]) || masks[1].equal(masks[0]) || !masks[1].equal(masks[1]) {
			t.Errorf("%+v", masks)
		}
	}
	if !newMask([]string{"a secret", "b"}).equal(newMask([]string{"b", "a secret"})) {
		t.Error("equal masks are not")
	}
}

func TestProgressGoesToWhoAsksForIt(t *testing.T) {
	t.Parallel()
	h := newHub()
	id := uuid.New()
	frame := func() json.RawMessage { return json.RawMessage(`{}`) }
	silent, w := h.watch(id, true), h.watch(id, true)
	defer h.unwatch(id, silent)
	h.publishProgress(id, frame)
	n := 0
	h.follow(w, nil, func(json.RawMessage) { n++ })
	h.publishProgress(id, frame)
	h.publishProgress(uuid.New(), frame)
	h.unwatch(id, w)
	h.publishProgress(id, frame)
	if n != 1 {
		t.Errorf("%d frames came", n)
	}
}

// Other servers are told of what they have asked for, in time and no longer than they want to.
func TestTellingOtherServers(t *testing.T) {
	t.Parallel()
	const (
		nothing = iota
		ends
		all
	)
	for _, c := range []struct {
		name     string
		ask      func(h *hub, id uuid.UUID) (told []uuid.UUID)
		later    time.Duration
		want     int
		progress bool
		at       bool // at once
	}{
		{name: "nobody asks", want: nothing},
		{name: "its end is awaited", ask: asks(false, false), want: ends},
		{name: "its end is awaited while it runs", ask: asks(false, true), want: ends},
		{name: "it is watched", ask: asks(true, false), want: all, progress: true},
		{name: "it is watched while it runs", ask: asks(true, true), want: all, progress: true, at: true},
		{name: "it is watched again", ask: func(h *hub, id uuid.UUID) []uuid.UUID {
			asks(true, true)(h, id)
			return asks(true, true)(h, id)
		}, want: all, progress: true},
		{name: "it is watched and awaited", ask: func(h *hub, id uuid.UUID) []uuid.UUID {
			asks(false, false)(h, id)
			return asks(true, false)(h, id)
		}, want: all, progress: true},
		{name: "it was watched long ago", ask: asks(true, false), later: watchedFor + time.Second, want: nothing},
		{name: "it was awaited long ago", ask: asks(false, false), later: watchedFor + time.Second, want: nothing},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := newHub()
				r := &run{id: uuid.New()}
				if c.ask != nil {
					if told := c.ask(h, r.id); len(told) > 0 != c.at {
						t.Errorf("told at once: %v", told)
					}
				}
				time.Sleep(c.later)
				if p := h.publishProgress(r.id, func() json.RawMessage { return json.RawMessage(`{}`) }); p != nil != c.progress {
					t.Errorf("its progress: %s", p)
				}
				if told := h.publish([]*row{{run: r, kind: rowNode}, {run: r, kind: rowNode}}); len(told) == 1 != (c.want == all) {
					t.Errorf("while it runs %v are told of", told)
				}
				if told := h.publish([]*row{{run: r, kind: rowEnd}}); len(told) == 1 != (c.want >= ends) {
					t.Errorf("at its end %v are told of", told)
				}
				if len(h.elsewhere) > 0 {
					t.Error("it is remembered that somebody wanted to be told")
				}
				if told := asks(false, false)(h, r.id); len(told) != 1 || len(h.elsewhere) > 0 {
					t.Errorf("who asks when it has ended is told of %v", told)
				}
			})
		})
	}
}

// asks is another server that watches an execution, wholly or for its end, which runs or not.
func asks(whole, runs bool) func(*hub, uuid.UUID) []uuid.UUID {
	return func(h *hub, id uuid.UUID) []uuid.UUID {
		return h.heed([]uuid.UUID{id}, whole, func(uuid.UUID) bool { return runs })
	}
}

// What other servers want to be told of is bounded; what is over makes room.
func TestWatchedElsewhereIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHub()
		many := func() []uuid.UUID {
			ids := make([]uuid.UUID, maxElsewhere)
			for i := range ids {
				ids[i] = uuid.New()
			}
			return ids
		}
		nowhere := func(uuid.UUID) bool { return false }
		first := many()
		h.heed(first, true, nowhere)
		h.heed(many(), false, nowhere)
		if n := len(h.elsewhere); n != maxElsewhere {
			t.Errorf("%d are remembered", n)
		}
		time.Sleep(watchedFor + time.Second)
		last := many()
		h.heed(last, false, nowhere)
		_, old := h.elsewhere[first[0]]
		if _, known := h.elsewhere[last[len(last)-1]]; old || !known {
			t.Errorf("what is over: %t, the newest: %t", old, known)
		}
	})
}

// Who awaits the end alone is not woken before; who watches is given every row, or told that some are missing.
func TestWatchersAreGivenWhatTheyWant(t *testing.T) {
	t.Parallel()
	h := newHub()
	r := &run{id: uuid.New()}
	woken := map[bool]int{}
	watchers := map[bool]*watcher{}
	for _, whole := range []bool{false, true} {
		watchers[whole] = h.watch(r.id, whole)
		h.follow(watchers[whole], func() { woken[whole]++ }, nil)
		defer h.unwatch(r.id, watchers[whole])
	}
	pos := 0
	publish := func(n int, kind rowKind) {
		for range n {
			pos++
			h.publish([]*row{{run: r, pos: pos, kind: kind}})
		}
	}
	next := func(whole bool) (pos int, lost bool) {
		w, lost := watchers[whole].take()
		if w != nil {
			pos = w.pos
		}
		return pos, lost
	}
	publish(2, rowNode)
	for _, want := range []int{1, 2, 0} {
		if got, lost := next(true); got != want || lost {
			t.Errorf("row %d comes, not %d; lost %t", got, want, lost)
		}
	}
	publish(watcherRows+1, rowNode)
	publish(1, rowNode)
	if got, lost := next(true); got != 0 || !lost {
		t.Errorf("row %d comes although rows before it are lost", got)
	}
	if got, lost := next(true); got != pos || lost {
		t.Errorf("row %d comes, not %d; lost %t", got, pos, lost)
	}
	if woken[false] != 0 || woken[true] != pos {
		t.Errorf("woken %v for %d rows", woken, pos)
	}
	publish(1, rowEnd)
	if got, lost := next(false); got != pos || lost || woken[false] != 1 {
		t.Errorf("row %d comes, not the end %d; lost %t, woken %d times", got, pos, lost, woken[false])
	}
	h.wake([]uuid.UUID{r.id})
	if got, lost := next(false); got != 0 || !lost || woken[false] != 2 {
		t.Errorf("row %d comes; lost %t, woken %d times", got, lost, woken[false])
	}
}

// One wake may tell of the end and of rows that are missing before it; there is no other then.
func TestWaitingForAnEndThatComesWithALoss(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	release := h.runner.holdNode("b0")
	id := h.execute(h.chain("Effect", 1), `{"x":1}`)
	for <-h.runner.began != "b0" {
	}
	h.Service.pollEvery = time.Hour
	waited := make(chan error, 1)
	go func() { waited <- h.Wait(t.Context(), "u", id) }()
	key := uuid.MustParse(id)
	told := func() bool {
		h.hub.mu.Lock()
		defer h.hub.mu.Unlock()
		for w := range h.hub.watchers[key] {
			if w.wake == nil {
				return false
			}
			w.mu.Lock()
			w.rows, w.lost = []*row{{run: &run{id: key}, kind: rowEnd}}, true
			w.mu.Unlock()
			w.wake()
			return true
		}
		return false
	}
	h.until("somebody waits", told)
	select {
	case err := <-waited:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("it still waits")
	}
	release()
	h.finished(id)
}
