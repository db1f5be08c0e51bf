package execution

import (
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/patchbay-io/patchbay/core/graph"
)

// TestManyRandomSteps lets the machine alone run random graphs in random orders: each must come to an end, and what it
// tells must have its numbers. PATCHBAY_LONG makes it a million steps, and PATCHBAY_SEED repeats it.
func TestManyRandomSteps(t *testing.T) {
	t.Parallel()
	seed, most := rand.Uint64(), 50_000
	if s := os.Getenv("PATCHBAY_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	if os.Getenv("PATCHBAY_LONG") != "" {
		most = 1_000_000
	}
	t.Logf("PATCHBAY_SEED=%d repeats this", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	graphs := rapid.Custom(drawModelGraph)
	steps, began := 0, time.Now()
	for n := 0; steps < most; n++ {
		steps += randomWalk(t, r, graphs.Example(int(seed>>1)+n))
	}
	t.Logf("%d steps in %v", steps, time.Since(began))
}

// randomWalk runs one graph, and stops it when it takes long. It says how many steps it took.
func randomWalk(t *testing.T, r *rand.Rand, g *graph.Graph) (steps int) {
	t.Helper()
	p, err := newPlan(g, catalogue(modelBlocks))
	if err != nil {
		t.Fatal(err)
	}
	starting, err := startingNodes(p, modelInputs)
	if err != nil {
		return 1
	}
	m := newMachine(newRun(uuid.New(), "user", p, modelInputs, nil))
	now := time.Unix(1_700_000_000, 0).UTC()
	var running []command
	var seq int64
	ends, bulky := 0, false
	take := func(u *unit) {
		steps++
		for _, c := range u.commands {
			if c.kind == runBlock {
				running = append(running, c)
			}
		}
		for _, w := range u.rows {
			if seq += int64(w.events); w.seq != seq {
				t.Fatalf("row %d ends with event %d, not %d\n%s", w.pos, w.seq, seq, describe(g))
			}
			if w.kind == rowEnd {
				ends++
			}
		}
	}
	take(m.handle(now, beginEvent{starting}))
	for m.top.ended == "" {
		now = now.Add(time.Millisecond)
		switch {
		case steps > 1000 || bulky:
			take(m.handle(now, stopEvent{m.top.id}))
		case m.pending() && (len(running) == 0 || r.IntN(2) == 0):
			take(m.step(now))
		case len(running) > 0:
			i := r.IntN(len(running))
			c := running[i]
			running = slices.Delete(running, i, i+1)
			outputs, failed := results(c)
			for _, o := range outputs { // loops nest their own
				bulky = bulky || len(o.value.raw) > 10_000
			}
			take(m.handle(now, doneEvent{run: m.top.id, exec: c.exec.id, attempt: c.attempt, outputs: outputs, failed: failed != "", message: failed}))
		default:
			t.Fatalf("nothing runs, and the execution has not ended:\n%s\ngraph:\n%s", dump(m.top), describe(g))
		}
	}
	if ends != 1 {
		t.Fatalf("%d ends:\n%s", ends, describe(g))
	}
	return steps
}
