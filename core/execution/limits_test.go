package execution

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/patchbay-io/patchbay/sdk/proto"
)

// limited makes a chain of one block whose node has limits.
func (h *keyHarness) limited(block, limits string) string {
	h.t.Helper()
	id := h.chain(block, 1)
	h.graphs[id].Nodes[1].Metadata = json.RawMessage(`{"execution":` + limits + `}`)
	return id
}

func (h *keyHarness) ran(node string) int {
	h.keys.mu.Lock()
	defer h.keys.mu.Unlock()
	return h.keys.runs[node]
}

// A block that says that trying again may help runs as often as its node wants, and leaves nothing of failed attempts.
func TestPassingFailuresAreTriedAgain(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, block, limits string
		kind                proto.ErrorKind
		runs                int
		status              Status
	}{
		{"twice", "Effect", `{"attempts":3,"backoff":0.001}`, proto.ErrorKind_ERROR_KIND_TEMPORARY, 3, Completed},
		{"a pure one", "Pure", `{"attempts":3,"backoff":0}`, proto.ErrorKind_ERROR_KIND_RATE_LIMITED, 3, Completed},
		{"a streaming one", "Stream", `{"attempts":3,"backoff":0}`, proto.ErrorKind_ERROR_KIND_TEMPORARY, 3, Completed},
		{"too often", "Effect", `{"attempts":2,"backoff":0.001}`, proto.ErrorKind_ERROR_KIND_TEMPORARY, 2, Failed},
		{"for good", "Effect", `{"attempts":3,"backoff":0.001}`, proto.ErrorKind_ERROR_KIND_PERMANENT, 1, Failed},
		{"without limits", "Effect", `{}`, proto.ErrorKind_ERROR_KIND_TEMPORARY, 1, Failed},
		{"what must not be repeated", "Once", `{"attempts":3,"backoff":0.001}`, proto.ErrorKind_ERROR_KIND_TEMPORARY, 1, Failed},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := newKeyHarness(t)
			h.does("b0", func(b *keyBlock) *proto.Error {
				if b.run.Services != nil {
					b.set("n", `1`)
				}
				if b.run.Context.Attempt < 3 {
					if !b.run.Streaming {
						b.emit(`"of a failed attempt"`)
					}
					return &proto.Error{Kind: test.kind, Message: "busy"}
				}
				b.emit(`7`)
				return nil
			})
			d := h.finished(h.execute(h.limited(test.block, test.limits), `{"x":1}`))
			if d.Status != test.status || h.ran("b0") != test.runs {
				t.Fatalf("%s after %d attempts: %v", d.Status, h.ran("b0"), d.Error)
			}
			if d.Status == Failed {
				if d.Error.Message != "busy" || d.Error.NodeID != "b0" {
					t.Errorf("%+v", d.Error)
				}
				return
			}
			if got := output1(t, d); got != "7" {
				t.Errorf("outputs %s", got)
			}
			for _, n := range d.NodeExecutions {
				if n.NodeID == "b0" && n.Attempt != test.runs {
					t.Errorf("attempt %d", n.Attempt)
				}
			}
		})
	}
}

// The time of the next attempt outlives the server, and neither its end nor a stop waits for it.
func TestPauseOutlivesTheServer(t *testing.T) {
	t.Parallel()
	h := newKeyHarness(t)
	again := int64(time.Hour / time.Millisecond)
	h.does("b0", func(b *keyBlock) *proto.Error {
		if b.run.Context.Attempt == 1 {
			return &proto.Error{Kind: proto.ErrorKind_ERROR_KIND_RATE_LIMITED, Message: "later", RetryAfterMs: again}
		}
		b.emit(`1`)
		return nil
	})
	g := h.limited("Effect", `{"attempts":3,"backoff":0}`)
	id := h.execute(g, `{"x":1}`)
	h.until("it waits", func() bool { return h.waitsAgain(id) })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := h.Close(ctx); err != nil || ctx.Err() != nil {
		t.Fatalf("the end of the server waits: %v %v", err, ctx.Err())
	}
	h.start()
	h.until("the next server waits too", func() bool {
		g, err := h.Service.generation()
		if err != nil {
			return false
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		return len(g.entries) == 1 && h.waitsAgain(id)
	})
	if n := h.ran("b0"); n != 1 {
		t.Errorf("%d attempts", n)
	}
	if x, err := h.Stop(t.Context(), "u", id); err != nil || x.Status != Terminated {
		t.Errorf("%v %v", x, err)
	}
	again = 1
	if d := h.finished(h.execute(g, `{"x":1}`)); d.Status != Completed {
		t.Errorf("%s %v", d.Status, d.Error)
	}
}

// waitsAgain says that a later attempt of b0 is recorded.
func (h *keyHarness) waitsAgain(id string) bool {
	for _, n := range h.details(id).NodeExecutions {
		if n.NodeID == "b0" && n.Attempt > 1 && n.Status == Running {
			return true
		}
	}
	return false
}

// A server that dies while a later attempt waits for its time costs its number, and no attempt.
func TestServerDiesBeforeALaterAttempt(t *testing.T) {
	t.Parallel()
	h := newKeyHarness(t)
	began := make(chan uint32, 10)
	h.does("b0", func(b *keyBlock) *proto.Error {
		attempt := b.run.Context.Attempt
		began <- attempt
		e := &proto.Error{Kind: proto.ErrorKind_ERROR_KIND_TEMPORARY, Message: "later"}
		if attempt == 1 {
			e.Kind, e.RetryAfterMs = proto.ErrorKind_ERROR_KIND_RATE_LIMITED, 4000
		}
		return e
	})
	id := h.execute(h.limited("Effect", `{"attempts":3,"backoff":0}`), `{"x":1}`)
	h.until("it waits", func() bool { return h.waitsAgain(id) })
	h.kill()
	h.start()
	if d := h.finished(id); d.Status != Failed {
		t.Errorf("%s %v", d.Status, d.Error)
	}
	close(began)
	var attempts []uint32
	for n := range began {
		attempts = append(attempts, n)
	}
	if !slices.Equal(attempts, []uint32{1, 3, 4}) {
		t.Errorf("the attempts are %v", attempts)
	}
}

// A block that runs longer than its node allows is ended, and has failed.
func TestTimeoutOfANode(t *testing.T) {
	t.Parallel()
	h := newKeyHarness(t)
	h.does("b0", func(b *keyBlock) *proto.Error {
		<-b.ctx.Done()
		return &proto.Error{Kind: proto.ErrorKind_ERROR_KIND_CANCELLED, Message: "cancelled"}
	})
	d := h.finished(h.execute(h.limited("Effect", `{"timeout":0.05}`), `{"x":1}`))
	if d.Status != Failed || !strings.Contains(d.Error.Message, "longer than its timeout of 50ms") {
		t.Errorf("%s %+v", d.Status, d.Error)
	}
	h.does("b0", func(b *keyBlock) *proto.Error { b.emit(`1`); return nil })
	if d := h.finished(h.execute(h.limited("Effect", `{"timeout":30}`), `{"x":1}`)); d.Status != Completed {
		t.Errorf("%s %+v", d.Status, d.Error)
	}
}
