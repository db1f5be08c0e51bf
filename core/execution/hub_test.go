package execution

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"
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
	silent, w := h.watch(id), h.watch(id)
	defer h.unwatch(id, silent)
	h.publishProgress(id, frame)
	n := 0
	h.pass(w, func(json.RawMessage) { n++ })
	h.publishProgress(id, frame)
	h.publishProgress(uuid.New(), frame)
	h.unwatch(id, w)
	h.publishProgress(id, frame)
	if n != 1 {
		t.Errorf("%d frames came", n)
	}
}

// What other servers watch is forgotten after a while, and there is a bound of it.
func TestWatchedElsewhere(t *testing.T) {
	t.Parallel()
	h := newHub()
	id := uuid.New()
	frame := func() json.RawMessage { return json.RawMessage(`{}`) }
	if h.publishProgress(id, frame) != nil {
		t.Error("nobody asked for it")
	}
	h.watchedElsewhere([]uuid.UUID{id})
	if h.publishProgress(id, frame) == nil {
		t.Error("somebody asked for it")
	}
	h.elsewhere[id] = time.Now().Add(-time.Second)
	if h.publishProgress(id, frame) != nil {
		t.Error("that was long ago")
	}
	for range 2 {
		many := make([]uuid.UUID, maxElsewhere)
		for i := range many {
			many[i] = uuid.New()
		}
		h.watchedElsewhere(many)
	}
	if n := len(h.elsewhere); n != maxElsewhere {
		t.Errorf("%d are remembered", n)
	}
}
