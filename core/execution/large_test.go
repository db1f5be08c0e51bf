package execution

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/patchbay-io/patchbay/core/budget"
	"github.com/patchbay-io/patchbay/core/execution/journal"
)

// heldBytes are those of values that are in memory whole for clients.
func (h *harness) heldBytes() int {
	bytes, _ := h.budget.Held()
	return bytes
}

// outputEvents are an execution's events with a value, as a user is given them, and each with what it is byte for byte where
// the value is in memory.
func (h *harness) outputEvents(id string, hidden *mask) (events []Event, want []string) {
	h.t.Helper()
	sub, err := h.Subscribe(h.t.Context(), "u", id, 0)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(sub.Close)
	if err := readRows(h.t.Context(), h.db, sub.header.id, 0, func(w storedRow) error {
		for i, o := range w.step.Outputs {
			if o.Digest != nil {
				v, err := h.largeValue(h.t.Context(), sub.header.id, o.Digest)
				if err != nil {
					return err
				}
				w.step.Outputs[i] = &journal.Output{Pin: o.Pin, Value: v}
			}
		}
		for _, ev := range expand(&row{run: sub.header, pos: w.pos, seq: w.seq, events: w.events, kind: w.kind, nodeExec: w.nodeExec, status: w.status, at: w.at, step: w.step}, hidden) {
			if bytes.Contains(ev.Payload[:40], []byte("node.output")) {
				want = append(want, string(ev.Payload))
			}
		}
		return nil
	}); err != nil {
		h.t.Fatal(err)
	}
	for len(events) < len(want) {
		ev, err := next(h.t.Context(), sub)
		if err != nil {
			h.t.Fatal(err)
		}
		if ev.Large != nil || bytes.Contains(ev.Payload[:40], []byte("node.output")) {
			events = append(events, ev)
		}
	}
	return events, want
}

func TestLargeEventsAreReadInPieces(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	for _, size := range []int{inlineValue, inlineValue + 1, chunkSize, chunkSize + 1, 5*chunkSize + 7} {
		value := `"` + strings.Repeat("v", size-2) + `"`
		id := h.execute(h.add([]string{`in AgentInput {"name":"x"}`, `out AgentOutput {"name":"y"}`}, []string{"in.result -> out.value"}), `{"x":`+value+`}`)
		h.finished(id)
		events, want := h.outputEvents(id, nil)
		with := 0
		for i, ev := range events {
			has := strings.Contains(want[i], value)
			if large := has && size > chunkSize; (ev.Large != nil) != large {
				t.Fatalf("an event with a value of %d bytes is large: %t", size, !large)
			}
			if has {
				with++
			}
			if got := h.payload(ev); got != want[i] || !json.Valid([]byte(got)) {
				t.Errorf("%d bytes: the event is %.300s, want %.300s", size, got, want[i])
			}
		}
		if with != 2 || h.heldBytes() != 0 {
			t.Errorf("%d bytes: %d events with them, %d bytes are held", size, with, h.heldBytes())
		}
	}
	// However many do not read, each has a piece.
	id := h.execute(h.add([]string{`in AgentInput {"name":"x"}`}, nil), `{"x":"`+strings.Repeat("v", 3*chunkSize)+`"}`)
	h.finished(id)
	for range 50 {
		events, _ := h.outputEvents(id, nil)
		piece, err := events[0].Large.Next(t.Context())
		if err != nil || len(piece) > chunkSize+1000 {
			t.Fatalf("a piece has %d bytes: %v", len(piece), err)
		}
	}
}

func TestLargeEventsOfWhatIsDeletedEnd(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	id := h.execute(h.add([]string{`in AgentInput {"name":"x"}`}, nil), `{"x":"`+strings.Repeat("v", 3*chunkSize)+`"}`)
	h.finished(id)
	events, _ := h.outputEvents(id, nil)
	large := events[0].Large
	if _, err := large.Next(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := h.Delete(t.Context(), "u", id); err != nil {
		t.Fatal(err)
	}
	if piece, err := large.Next(t.Context()); !errors.Is(err, errUnreadable) {
		t.Errorf("%d bytes, %v", len(piece), err)
	}
}

// What hides something is held whole until it is closed, and what does not is not.
func TestSecretsInLargeEventsAreHidden(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	const secret = "the author's key"
	for name, c := range map[string]struct {
		value string
		held  bool
	}{
		"at the edge of a chunk": {`"` + strings.Repeat("v", chunkSize-5) + secret + strings.Repeat("v", chunkSize) + `"`, true},
		"nowhere":                {`"` + strings.Repeat("v", 2*chunkSize) + `"`, false},
	} {
		id := h.execute(h.add([]string{`in AgentInput {"name":"x"}`}, nil), `{"x":`+c.value+`}`)
		h.finished(id)
		sub, err := h.Subscribe(t.Context(), "u", id, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Close()
		sub.hidden = newMask([]string{secret})
		_, want := h.outputEvents(id, sub.hidden)
		var ev Event
		for ev.Large == nil {
			if ev, err = next(t.Context(), sub); err != nil {
				t.Fatal(err)
			}
		}
		if held := h.heldBytes(); held != 0 != c.held || c.held && held < len(c.value) {
			t.Errorf("%s: %d bytes are held", name, held)
		}
		if got := h.payload(ev); got != want[0] || strings.Contains(got, secret) || strings.Contains(got, masked) != c.held {
			t.Errorf("%s: %d bytes, and not %d", name, len(got), len(want[0]))
		}
		if held := h.heldBytes(); held != 0 {
			t.Errorf("%s: %d bytes are held behind it", name, held)
		}
	}
}

// Rows with large values reach who watches without them.
func TestWatchersHoldNoLargeValues(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	release := h.runner.holdNode("b0")
	id := h.execute(h.chain("Effect", 2), `{"x":"`+strings.Repeat("v", 2*chunkSize)+`"}`)
	for <-h.runner.began != "b0" {
	}
	key, err := cleanID(id)
	if err != nil {
		t.Fatal(err)
	}
	w := h.hub.watch(key, true)
	defer h.hub.unwatch(key, w)
	came := make(chan struct{}, 1)
	h.hub.follow(w, func() {
		select {
		case came <- struct{}{}:
		default:
		}
	}, nil)
	release()
	large := 0
	for ended := false; !ended; {
		r, lost := w.take()
		switch {
		case lost:
			t.Fatal("rows were lost")
		case r == nil:
			<-came
			continue
		}
		for _, o := range r.step.Outputs {
			if len(o.Value) > inlineValue {
				t.Errorf("a row has a value of %d bytes", len(o.Value))
			}
			if o.Size > 2*chunkSize {
				large++
			}
		}
		ended = r.kind == rowEnd
	}
	if large == 0 {
		t.Error("no row has a large value")
	}
	h.finished(id)
}

// Whoever takes details slowly holds one value at a time, of his user's share; others are not kept waiting.
func TestDetailsHoldTheirShare(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	const size = 3 * chunkSize
	h.budget = budget.New(24*size, 6*size)
	inputs := `{"x":"` + strings.Repeat("v", size) + `"}`
	graph := h.add([]string{`in AgentInput {"name":"x"}`, `e Effect {}`, `out AgentOutput {"name":"y"}`}, []string{"in.result -> e.a", "e.p -> out.value"})
	of := map[string]string{}
	for _, user := range []string{"u", "other"} {
		id, err := h.Execute(t.Context(), Request{UserID: user, GraphID: graph, Inputs: json.RawMessage(inputs)})
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Wait(t.Context(), user, id); err != nil {
			t.Fatal(err)
		}
		of[user] = id
	}
	// read takes everything of an execution, value by value.
	read := func(ctx context.Context, user string, taken func()) error {
		d, err := h.Details(ctx, user, of[user])
		if err != nil {
			return err
		}
		for v, err := range d.Inputs {
			if err != nil {
				return err
			}
			if string(v) != inputs {
				t.Errorf("the inputs have %d bytes", len(v))
			}
			taken()
		}
		for _, o := range d.Outputs {
			for _, err := range o.Values {
				if err != nil {
					return err
				}
				taken()
			}
		}
		for _, err := range d.NodeExecutions {
			if err != nil {
				return err
			}
			taken()
		}
		return nil
	}
	takes := 0
	if err := read(t.Context(), "u", func() {
		takes++
		if held := h.heldBytes(); held < 2*size || held > 6*size {
			t.Errorf("%d bytes are held", held)
		}
		// Another one of the same user's waits for as long as its client does, if it needs as much; somebody else's does not.
		if takes == 3 {
			ctx, cancel := context.WithCancel(t.Context())
			again := make(chan error)
			go func() { again <- read(ctx, "u", func() { t.Error("it did not wait") }) }()
			for waiting := 0; waiting == 0; runtime.Gosched() {
				_, waiting = h.budget.Held()
			}
			if err := read(t.Context(), "other", func() {}); err != nil {
				t.Error(err)
			}
			cancel()
			if err := <-again; !errors.Is(err, context.Canceled) {
				t.Errorf("who waited was told %v", err)
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	if takes != 5 || h.heldBytes() != 0 {
		t.Errorf("%d times something was held, and %d bytes are at the end", takes, h.heldBytes())
	}
	if err := read(t.Context(), "u", func() {}); err != nil {
		t.Error(err)
	}
}

// Inputs that are large are shown as those that are not, and to each input node what is its own.
func TestLargeInputsAreShown(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	graph := h.add([]string{`a AgentInput {"name":"x"}`, `b AgentInput {"name":"small"}`, `c AgentInput {"name":"small"}`, `d AgentInput {"name":"x"}`}, nil)
	for _, size := range []int{10, 2 * chunkSize} {
		big := `"` + strings.Repeat("v", size) + `"`
		inputs := `{"small": 1,"x":` + big + `,"small":[2, 3],"other":{}}`
		d := h.finished(h.execute(graph, inputs))
		if string(d.Inputs) != inputs {
			t.Errorf("the inputs are %.100s", d.Inputs)
		}
		for _, n := range d.NodeExecutions {
			want := map[string]string{"a": big, "b": `[2, 3]`, "c": `[2, 3]`, "d": big}[n.NodeID]
			if !strings.Contains(string(n.Input), `"value":`+want) || len(n.Outputs) != 1 || string(n.Outputs[0].Values[0]) != want {
				t.Errorf("%s took %.100s", n.NodeID, n.Input)
			}
		}
	}
}
