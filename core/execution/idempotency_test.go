package execution

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/patchbay-io/patchbay/core/graph"
)

// keyed is a request with an idempotency key.
func keyed(graph, key, inputs string) Request {
	return Request{UserID: "u", GraphID: graph, Inputs: json.RawMessage(inputs), IdempotencyKey: key, Body: []byte(inputs)}
}

// claimed holds a key as a request does that has not come to its acceptance.
func (h *harness) claimed(r Request) *keyClaim {
	h.t.Helper()
	g, err := h.generation()
	if err != nil {
		h.t.Fatal(err)
	}
	c, known, err := g.claimKey(h.t.Context(), r, uuid.Must(uuid.NewV7()))
	if err != nil || known != "" {
		h.t.Fatalf("the key is not free: %s %v", known, err)
	}
	return c
}

func TestIdempotencyKeyOfAnEarlierLifeIsFree(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	r := keyed(h.chain("Pure", 1), "k", `{"x":1}`)
	h.claimed(r)
	for _, again := range []Request{r, keyed(r.GraphID, "k", `{"x":2}`)} {
		if _, err := h.Execute(t.Context(), again); !errors.Is(err, ErrConflict) {
			t.Errorf("while the first is in flight: %v", err)
		}
	}
	h.kill()
	h.start()
	id, err := h.Execute(t.Context(), keyed(r.GraphID, "k", `{"x":2}`)) // what was never accepted binds nobody
	if err != nil {
		t.Fatal(err)
	}
	h.kill()
	h.start()
	if again, err := h.Execute(t.Context(), keyed(r.GraphID, "k", `{"x":2}`)); err != nil || again != id {
		t.Errorf("the accepted one is %s, again it is %s, %v", id, again, err)
	}
	if _, err := h.Execute(t.Context(), r); !errors.Is(err, ErrConflict) {
		t.Errorf("another body: %v", err)
	}
}

func TestIdempotencyKeyOfADeadServerIsFree(t *testing.T) {
	t.Parallel()
	for name, until := range map[string]string{"lease over": "now() - interval '1 second'", "clock put back": "now() + interval '1 hour'"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			keyOfADeadServerIsFree(t, until)
		})
	}
}

func keyOfADeadServerIsFree(t *testing.T, until string) {
	h := newHarness(t)
	r := keyed(h.chain("Pure", 1), "k", `{"x":1}`)
	c := h.claimed(r)
	other := &harness{t: t, db: h.db, server: uuid.New(), graphs: h.graphs, runner: h.runner}
	other.start()
	t.Cleanup(other.kill)
	if _, err := other.Execute(t.Context(), r); !errors.Is(err, ErrConflict) {
		t.Errorf("while the other server lives: %v", err)
	}
	h.mu.Lock()
	h.closing = true // it must not take the lease back
	h.mu.Unlock()
	if _, err := h.db.ExecContext(t.Context(), `UPDATE lease SET until = `+until+` WHERE server_id = ?`, h.server); err != nil {
		t.Fatal(err)
	}
	id, err := other.Execute(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	// The server was slow, not dead. What it accepts now would be a second execution.
	root, err := h.newRoot(t.Context(), c.execution, h.graphs[r.GraphID], r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.g.accept(t.Context(), root, c, false); !errors.Is(err, ErrUnavailable) {
		t.Errorf("the execution of a key that was taken over is accepted: %v", err)
	}
	if _, err := other.Get(t.Context(), "u", c.execution.String()); !errors.Is(err, ErrNotFound) {
		t.Errorf("there is a second execution: %v", err)
	}
	if d := other.finished(id); d.Status != Completed {
		t.Errorf("%s %v", d.Status, d.Error)
	}
}

func TestRefusedRequestGivesItsKeyBack(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	g := h.chain("Pure", 1)
	keys := func() (n int) {
		if err := h.db.QueryRowContext(context.Background(), `SELECT count(*) FROM idempotency_key`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	var invalid *graph.Invalid
	if _, err := h.Execute(t.Context(), keyed(g, "k", `{}`)); !errors.As(err, &invalid) || keys() != 0 {
		t.Fatalf("%v, and %d keys are kept", err, keys())
	}
	// What is refused when its request has gone is given back by the house.
	c := h.claimed(keyed(g, "left", `{"x":1}`))
	c.settled(errPoison)
	if c.g.keys.has(c.execution) {
		t.Error("the claim is still in flight")
	}
	if err := c.g.giveBackKeys(t.Context()); err != nil || keys() != 0 {
		t.Errorf("%v, and %d keys are kept", err, keys())
	}
	if _, err := h.Execute(t.Context(), keyed(g, "k", `{"x":1}`)); err != nil {
		t.Error(err)
	}
	if keys() != 1 || len(c.g.keys.inFlight) != 0 {
		t.Errorf("%d keys, in flight %v", keys(), c.g.keys.inFlight)
	}
}

// Of many requests with one key, one is accepted, whatever becomes of the others.
// A key that is held for a request of this server that has ended is free: nobody will accept its execution.
func TestIdempotencyKeyThatNobodyUsesIsFree(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	r := keyed(h.chain("Pure", 1), "k", `{"x":1}`)
	c := h.claimed(r)
	c.g.keys.end(c.execution)
	if _, err := h.Execute(t.Context(), r); err != nil {
		t.Error(err)
	}
}

// A statement of which nothing was heard may take a key after it was given back.
func TestIdempotencyKeyThatIsTakenLateIsGivenBack(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	c := h.claimed(keyed(h.chain("Pure", 1), "k", `{"x":1}`))
	do := func(statement string) {
		if _, err := h.db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	do(`UPDATE idempotency_key SET key = 'not there yet'`)
	c.failed = time.Now().Add(-unsureFor / 2)
	c.refused(t.Context())
	do(`UPDATE idempotency_key SET key = 'k'`)
	c.g.keys.mu.Lock()
	due := c.due
	c.due = time.Time{}
	c.g.keys.mu.Unlock()
	if wait := time.Until(due); wait < unsureFor/4 || wait > unsureFor {
		t.Errorf("it is looked for again in %v", wait)
	}
	if err := c.g.giveBackKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
	var left int
	if err := h.db.QueryRowContext(t.Context(), `SELECT count(*) FROM idempotency_key`).Scan(&left); err != nil || left != 0 {
		t.Errorf("%d keys are kept, %v", left, err)
	}

	c = h.claimed(keyed(h.chain("Pure", 1), "never", `{"x":1}`))
	do(`DELETE FROM idempotency_key`)
	c.failed = time.Now().Add(-unsureFor)
	c.refused(t.Context())
	c.g.keys.mu.Lock()
	defer c.g.keys.mu.Unlock()
	if len(c.g.keys.left) != 0 {
		t.Error("it is looked for forever")
	}
}

func TestOneExecutionAKey(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	r := keyed(h.chain("Pure", 1), "k", `{"x":1}`)
	var all sync.WaitGroup
	var mu sync.Mutex
	ids := map[string]bool{}
	for n := range 50 {
		all.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if n%5 == 0 { // the client leaves
				go cancel()
			}
			id, err := h.Execute(ctx, r)
			if err == nil {
				mu.Lock()
				defer mu.Unlock()
				ids[id] = true
			}
		})
	}
	all.Wait()
	id, err := h.Execute(t.Context(), r)
	for ; errors.Is(err, ErrConflict); id, err = h.Execute(t.Context(), r) { // one that left may be in flight
	}
	if err != nil {
		t.Fatal(err)
	}
	ids[id] = true
	var n int
	if err := h.db.QueryRowContext(t.Context(), `SELECT count(*) FROM execution`).Scan(&n); err != nil || n != 1 || len(ids) != 1 {
		t.Errorf("%d executions, the answers %v, %v", n, ids, err)
	}
}

// A key whose execution was deleted gives a new one, on any server.
func TestIdempotencyKeyOfADeletedExecutionIsFree(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	other := h.beside(nil)
	r := keyed(h.chain("Pure", 1), "k", `{"x":1}`)
	ids := map[string]bool{}
	for _, on := range []*harness{h, other, h} {
		id, err := on.Execute(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if err := on.Wait(t.Context(), r.UserID, id); err != nil {
			t.Fatal(err)
		}
		if ids[id] {
			t.Errorf("%s again", id)
		}
		ids[id] = true
		if err := other.Delete(t.Context(), r.UserID, id); err != nil {
			t.Fatal(err)
		}
	}
}
