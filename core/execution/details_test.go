package execution

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// TestOutputsThatMemoryDoesNotHold has more outputs than are held, of two names that take turns, small ones and large.
func TestOutputsThatMemoryDoesNotHold(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	const n = 1400
	nodes := []string{`in AgentInput {"name":"x"}`, `big AgentInput {"name":"b"}`}
	var links []string
	for i := range n {
		nodes = append(nodes, fmt.Sprintf(`o%d AgentOutput {"name":"y%d"}`, i, i%2))
		source := "in"
		if i%100 == 0 {
			source = "big"
		}
		links = append(links, fmt.Sprintf("%s.result -> o%d.value", source, i))
	}
	small, big := `"`+strings.Repeat("s", 5000)+`"`, `"`+strings.Repeat("b", 20_000)+`"`
	d := h.finished(h.execute(h.add(nodes, links), fmt.Sprintf(`{"x":%s,"b":%s}`, small, big)))
	if len(d.Outputs) != 2 || len(d.Outputs[0].Values) != n/2 || len(d.Outputs[1].Values) != n/2 {
		t.Fatalf("%d names, %d and %d values", len(d.Outputs), len(d.Outputs[0].Values), len(d.Outputs[1].Values))
	}
	sizes := map[int]int{}
	for _, o := range d.Outputs {
		for _, v := range o.Values {
			sizes[len(v)]++
			if s := string(v); s != small && s != big {
				t.Fatalf("%.40s", s)
			}
		}
	}
	if sizes[len(big)] != n/100 {
		t.Errorf("%v", sizes)
	}
	if size := len(d.NodeExecutions); size != maxNodes {
		t.Errorf("%d node executions", size)
	}
	page, total, err := h.Nodes(t.Context(), "u", d.ID, 0, n+2)
	if err != nil || total != n+2 {
		t.Fatal(total, err)
	}
	for i, node := range h.all(page) {
		if want := fmt.Sprintf("%s.%d", d.ID, i+1); node.ID != want || node.Status != Completed || len(node.Outputs) == 0 {
			t.Fatalf("%+v, want %s", node, want)
		}
	}
}

// TestValuesAreNotTakenFromWhatIsGone deletes an execution while its outputs are read.
func TestValuesAreNotTakenFromWhatIsGone(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	id := h.execute(h.chain("Effect", 2), `{"x":"`+strings.Repeat("b", 5<<20)+`"}`)
	h.finished(id)
	d, err := h.Details(t.Context(), "u", id)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Delete(t.Context(), "u", id); err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, o := range d.Outputs {
		for v, err := range o.Values {
			seen++
			if err == nil {
				t.Errorf("%d bytes", len(v))
			}
		}
	}
	for n, err := range d.NodeExecutions {
		seen++
		if err == nil {
			t.Errorf("%+v", n.ID)
		}
	}
	if seen < 2 {
		t.Errorf("%d were told that nothing is there", seen)
	}
	if _, err := h.Details(t.Context(), "u", id); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}

// TestStatsAreLive looks at an execution that is held in the middle, also after its server was killed.
func TestStatsAreLive(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	g := h.add([]string{`in AgentInput {"name":"x"}`, `f Fails {"b":"xx"}`, `e Effect {}`, `later Effect {}`, `out AgentOutput {"name":"y"}`},
		[]string{"in.result -> f.a", "f.error -> e.a", "in.result -> later.b", "e.p -> later.a", "later.p -> out.value"})
	for _, killed := range []bool{false, true} {
		release := h.runner.holdNode("e")
		id := h.execute(g, `{"x":"y"}`)
		for <-h.runner.began != "e" {
		}
		if killed {
			h.kill()
			h.start()
			for <-h.runner.began != "e" {
			}
		}
		want := Stats{TotalNodes: 3, CompletedNodes: 1, FailedNodes: 1}
		list, _, err := h.List(t.Context(), "u", Filter{Statuses: []Status{Running}, Limit: 1})
		if err != nil || len(list) != 1 || list[0].ID != id {
			t.Fatal(list, err)
		}
		x, err := h.Get(t.Context(), "u", id)
		if err != nil {
			t.Fatal(err)
		}
		for where, s := range map[string]Stats{"list": list[0].Stats, "get": x.Stats, "details": h.details(id).Stats} {
			if s.TotalRunTime <= 0 {
				t.Errorf("%s: no time has passed", where)
			}
			if s.TotalRunTime = 0; s != want {
				t.Errorf("%s, killed %t: %+v", where, killed, s)
			}
		}
		release()
		if d := h.finished(id); d.Status != Completed || d.Stats.TotalNodes != 5 || d.Stats.FailedNodes != 1 {
			t.Errorf("%+v", d.Execution)
		}
	}
}

// What a block has counted stands with its node execution, also when it failed, and when another server reads it.
func TestWhatBlocksCountIsShown(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	id := h.execute(h.add([]string{`in AgentInput {"name":"x"}`, `f Fails {"b":"xx"}`, `p Effect {"a":1}`}, []string{"in.result -> f.a", "f.error -> p.b"}), `{"x":"y"}`)
	h.finished(id)
	for range 2 {
		d, err := h.Details(t.Context(), "u", id)
		if err != nil {
			t.Fatal(err)
		}
		counted := map[string]map[string]int64{}
		for n, err := range d.NodeExecutions {
			if err != nil {
				t.Fatal(err)
			}
			counted[n.NodeID] = n.Stats
		}
		if counted["f"]["tries"] != 2 || counted["p"]["bytes"] == 0 || counted["in"] != nil {
			t.Errorf("counted %v", counted)
		}
		h.kill()
		h.start()
	}
}
