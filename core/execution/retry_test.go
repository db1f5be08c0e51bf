package execution

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/patchbay-io/patchbay/core/graph"
)

// calls counts node executions by node and input: those that were queued and might run, those that took outputs
// over, and those that began to run.
type calls struct{ queued, taken, run int }

// tallies goes through what was committed, by rules of its own.
func (w *world) tallies() (byKey map[string]calls, doneBefore map[string]int) {
	byKey, doneBefore = map[string]calls{}, map[string]int{}
	count := func(key string, add func(*calls)) {
		t := byKey[key]
		add(&t)
		byKey[key] = t
	}
	w.replay(func(e *nodeExec, key string) {
		count(key, func(t *calls) {
			t.queued++
			if e.takesOver() {
				t.taken++
			}
			if w.started[fmt.Sprint(e.id)] > 0 {
				t.run++
			}
		})
	}, func(*nodeExec, string, storedRow) {})
	if w.repeats != nil {
		w.repeats.replay(func(*nodeExec, string) {}, func(_ *nodeExec, key string, s storedRow) {
			if s.status == Completed {
				doneBefore[key]++
			}
		})
	}
	return byKey, doneBefore
}

// replay tells of each node execution that is queued with an input that fits, and of each that ends.
func (w *world) replay(queued func(e *nodeExec, key string), ended func(e *nodeExec, key string, s storedRow)) {
	r := newRun(w.root, "user", w.plan, w.inputs, nil)
	keys := map[*nodeExec]string{}
	for _, s := range w.stored {
		e, before := r.execs[s.nodeExec], r.queued
		if err := r.apply(s.kind, s.pos, s.seq, s.nodeExec, s.status, s.at, s.step); err != nil {
			w.t.Fatal(err)
		}
		for n := before + 1; n <= r.queued; n++ {
			e := r.execs[n]
			if e.prepare(); e.failure != "" {
				continue
			}
			pins := []string{}
			for _, p := range e.pins {
				pins = append(pins, fmt.Sprintf("%q=%s", p.pin, p.value.raw))
			}
			slices.Sort(pins)
			keys[e] = fmt.Sprint(e.plan().node.ID, pins)
			queued(e, keys[e])
		}
		if e != nil && s.kind == rowNode && s.status.Ended() && keys[e] != "" {
			ended(e, keys[e], s)
		}
	}
}

// drawSteadyGraph makes a graph whose outcome does not hang on the order in which its blocks end.
func drawSteadyGraph(t *rapid.T) *graph.Graph {
	g := drawGraph(t, false)
	for i := range g.Nodes {
		switch g.Nodes[i].BlockID {
		case testBlockID(7): // what must never repeat may differ
			g.Nodes[i].BlockID = testBlockID(2)
		case testBlockID(5): // so may what a static value meets
			g.Nodes[i].BlockID = testBlockID(1)
		}
	}
	taken := map[[2]string]bool{}
	g.Links = slices.DeleteFunc(g.Links, func(l graph.Link) bool {
		end := [2]string{l.SinkID, l.SinkName}
		defer func() { taken[end] = true }()
		return taken[end] // which value comes first
	})
	for i := range g.Links {
		g.Links[i].IsStatic = false
	}
	return g
}

// sortedOutcome is the outcome but for the order of keys, which is that of arrival.
func (w *world) sortedOutcome() string {
	lines := strings.Split(w.outcome(), "\n")
	for i, line := range lines[1:] {
		f := strings.SplitN(line, " ", 3)
		var v any
		if json.Unmarshal([]byte(f[len(f)-1]), &v) != nil {
			continue
		}
		sorted, err := json.Marshal(v)
		if err != nil {
			w.t.Fatal(err)
		}
		lines[i+1] = fmt.Sprint(f[0], f[1], string(sorted))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// TestRetryRepeatsOnlyWhatDidNotSucceed stops executions in the middle of a storm and retries them in another one: what
// comes out is what an undisturbed execution gives, and of the node executions with the same node and input so many run
// as had not succeeded before.
func TestRetryRepeatsOnlyWhatDidNotSucceed(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		g := drawSteadyGraph(t)
		calm := newWorld(t, g)
		starting, err := startingNodes(calm.plan, calm.inputs)
		if err != nil {
			return
		}
		calm.finish(starting, false)
		first := newWorld(t, g)
		first.storm(starting)
		from := rapid.SampledFrom([]string{fromFailure, fromFailure, fromFailure, fromStart, g.Nodes[len(g.Nodes)/2].ID}).Draw(t, "from")
		again := first.retried(g, from)
		again.finish(starting, rapid.Bool().Draw(t, "crashes"))
		if a, b := calm.sortedOutcome(), again.sortedOutcome(); a != b {
			t.Fatalf("undisturbed:\n%s\nretried from %s:\n%s", a, from, b)
		}
		fresh := again.plan.behind(from)
		tallies, done := again.tallies()
		if len(tallies) == 0 {
			t.Fatal("nothing was queued")
		}
		for i := range g.Nodes {
			id := g.Nodes[i].ID
			for key, tally := range tallies {
				if len(key) < len(id)+1 || key[:len(id)+1] != id+"[" {
					continue
				}
				want := min(tally.queued, done[key])
				if fresh[i] {
					want = 0
				}
				if tally.taken != want || tally.run > tally.queued-want {
					t.Fatalf("%s: %d of %d had succeeded; %+v, fresh %t", key, done[key], tally.queued, tally, fresh[i])
				}
			}
		}
		again.checkKeys(first)
	})
}

// checkKeys says whether those that were cut off, and only those, passed on their idempotency keys.
func (w *world) checkKeys(first *world) {
	cut := map[string]bool{}
	first.replay(func(*nodeExec, string) {}, func(e *nodeExec, _ string, s storedRow) {
		if s.status == Terminated && e.attempt > 0 || s.step.CutOff {
			cut[nodeExecutionID(first.root.String(), e.id)] = true
		}
	})
	used := map[string]bool{}
	w.replay(func(e *nodeExec, _ string) {
		key := e.idempotencyKey()
		if used[key] {
			w.t.Fatalf("two have the idempotency key %s", key)
		}
		used[key] = true
		if key != nodeExecutionID(w.root.String(), e.id) && !cut[key] {
			w.t.Fatalf("%d has the key %s of one that was not cut off", e.id, key)
		}
	}, func(*nodeExec, string, storedRow) {})
}

// TestRetryTakesNothingFromChangedNodes retries by a version with another constant and another block.
func TestRetryTakesNothingFromChangedNodes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		g := drawGraph(t, false)
		first := newWorld(t, g)
		starting, err := startingNodes(first.plan, first.inputs)
		if err != nil {
			return
		}
		first.storm(starting)
		changed := *g
		changed.Nodes = slices.Clone(g.Nodes)
		i := rapid.IntRange(0, len(g.Nodes)-1).Draw(t, "changed")
		changed.Nodes[i].InputDefault = []byte(`{"name":"x9","value":99,"a":99}`)
		again := first.retried(&changed, fromFailure)
		again.storm(starting)
		again.checkStory()
		tallies, done := again.tallies()
		for key, tally := range tallies {
			if own := changed.Nodes[i].ID + "["; len(key) >= len(own) && key[:len(own)] == own {
				if tally.taken > 0 {
					t.Fatalf("%s: outputs were taken over", key)
				}
			} else if tally.taken != min(tally.queued, done[key]) {
				t.Fatalf("%s: %+v, %d had succeeded", key, tally, done[key])
			}
		}
	})
}
