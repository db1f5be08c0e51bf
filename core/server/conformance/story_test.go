package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"testing"

	"github.com/patchbay-io/patchbay/core/execution"
)

// event is one of an execution's story.
type event struct {
	Type   string          `json:"type"`
	ID     string          `json:"execution_id"`
	Seq    int64           `json:"seq"`
	Time   string          `json:"timestamp"`
	Node   string          `json:"node_id"`
	Exec   string          `json:"node_execution_id"`
	Pin    string          `json:"output_name"`
	Value  json.RawMessage `json:"output_data"`
	Status string          `json:"status"`
	Taken  bool            `json:"taken_over"`
}

// story reads all events of an execution that has ended.
func (w *world) story(t *testing.T, c *client, id string, after int64) []event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	sub, err := w.execution.Subscribe(ctx, c.user, id, after)
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	var events []event
	for {
		next, err := await(ctx, sub)
		if errors.Is(err, io.EOF) {
			return events
		}
		if err != nil {
			t.Fatal(err)
		}
		var e event
		text := payload(ctx, t, next)
		if err := json.Unmarshal(text, &e); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		if e.Seq != next.Seq || next.Last != (e.Type == "execution.completed" || e.Type == "execution.failed") {
			t.Errorf("event %d, last %t: %s", next.Seq, next.Last, text)
		}
		events = append(events, e)
	}
}

// await waits for a subscription's next event.
func await(ctx context.Context, sub *execution.Subscription) (execution.Event, error) {
	came := make(chan struct{}, 1)
	sub.Follow(nil, func() {
		select {
		case came <- struct{}{}:
		default:
		}
	}, nil)
	for {
		if next, ok, err := sub.Next(ctx); ok || err != nil {
			return next, err
		}
		select {
		case <-came:
		case <-ctx.Done():
			return execution.Event{}, ctx.Err()
		}
	}
}

// payload is what a client is sent of an event.
func payload(ctx context.Context, t *testing.T, e execution.Event) (text []byte) {
	t.Helper()
	if e.Large == nil {
		return e.Payload
	}
	defer e.Large.Close()
	for {
		piece, err := e.Large.Next(ctx)
		if errors.Is(err, io.EOF) {
			return text
		}
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, piece...)
	}
}

// checkStory checks what is true of the events of every execution that has ended: numbers without a gap, one start, one
// end, one start and one end of each node execution, and the same outputs as in its details.
func (w *world) checkStory(t *testing.T, c *client, d *details) {
	t.Helper()
	events := w.story(t, c, d.ID, 0)
	execs := map[string]*nodeExecution{}
	for i := range d.Nodes {
		execs[d.Nodes[i].ID] = &d.Nodes[i]
	}
	started, ended, emitted := map[string]bool{}, map[string]bool{}, map[string]map[string]int{}
	for i, e := range events {
		last := i == len(events)-1
		if e.Seq != int64(i+1) || e.ID != d.ID || e.Time == "" {
			t.Fatalf("event %d: %+v", i+1, e)
		}
		switch e.Type {
		case "execution.started":
			if i != 0 {
				t.Errorf("event %d: %+v", i+1, e)
			}
			continue
		case "execution.completed", "execution.failed":
			if !last || e.Status != d.Status || (e.Type == "execution.failed") != (d.Status == "FAILED") {
				t.Errorf("event %d of %d: %+v", i+1, len(events), e)
			}
			continue
		}
		n := execs[e.Exec]
		if n != nil && n.Taken != e.Taken {
			t.Errorf("event %d says otherwise than %+v: %+v", i+1, n, e)
		}
		if n == nil || n.Node != e.Node || ended[e.Exec] {
			t.Errorf("event %d is of no known node execution or comes after its end: %+v", i+1, e)
			continue
		}
		switch e.Type {
		case "node.started":
			if started[e.Exec] || emitted[e.Exec] != nil {
				t.Errorf("node execution %s starts twice or late", e.Exec)
			}
			started[e.Exec] = true
		case "node.output":
			if emitted[e.Exec] == nil {
				emitted[e.Exec] = map[string]int{}
			}
			k := emitted[e.Exec][e.Pin]
			emitted[e.Exec][e.Pin]++
			if k >= len(n.Output[e.Pin]) || string(n.Output[e.Pin][k]) != string(e.Value) {
				t.Errorf("event %d is not output %d of %s: %+v", i+1, k, n.output, e)
			}
		case "node.completed", "node.failed":
			ended[e.Exec] = true
			if (e.Type == "node.completed") != (n.Status == "COMPLETED") || e.Type == "node.completed" && !started[e.Exec] {
				t.Errorf("event %d: %+v, of %+v", i+1, e, n)
			}
		default:
			t.Errorf("event %d: %+v", i+1, e)
		}
	}
	if len(events) == 0 || events[len(events)-1].Status != d.Status {
		t.Errorf("%d events without an end", len(events))
	}
	completed, failed := 0, 0
	for id, n := range execs {
		switch n.Status {
		case "COMPLETED":
			completed++
		case "FAILED":
			failed++
		}
		if ended[id] != (n.Status == "COMPLETED" || n.Status == "FAILED") {
			t.Errorf("node execution %+v ended: %t", n, ended[id])
		}
		if started[id] != (n.StartedAt != nil) {
			t.Errorf("node execution %+v started at %v, and was said to: %t", n, n.StartedAt, started[id])
		}
		if (n.EndedAt != nil) != (n.Status == "COMPLETED" || n.Status == "FAILED") {
			t.Errorf("node execution %+v ended at %v", n, n.EndedAt)
		}
		for pin, values := range n.Output {
			if emitted[id][pin] != len(values) {
				t.Errorf("%d of %d outputs on %s of %s were told", emitted[id][pin], len(values), pin, n.Node)
			}
		}
	}
	if d.Stats.Total != len(d.Nodes) || d.Stats.Completed != completed || d.Stats.Failed != failed {
		t.Errorf("stats %+v of %d node executions, %d completed, %d failed", d.Stats, len(d.Nodes), completed, failed)
	}
	if n := len(events) / 2; n > 0 {
		if rest := w.story(t, c, d.ID, int64(n)); len(rest) != len(events)-n || rest[0].Seq != int64(n+1) {
			t.Errorf("%d events after %d of %d", len(rest), n, len(events))
		}
	}
}
