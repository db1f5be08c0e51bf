package execution

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/core/graph"
)

// TestMachineFollowsTheModel runs random graphs in random orders through the machine and through the model, kills the
// server and plugins at random moments, and compares the two after every event.
func TestMachineFollowsTheModel(t *testing.T) {
	t.Parallel()
	for round := range 4 {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) { follow(t, 80) })
		})
	}
}

// TestMachineFollowsTheModelForLong is the same for a million events, where the environment asks for it.
func TestMachineFollowsTheModelForLong(t *testing.T) {
	if os.Getenv("PATCHBAY_LONG") == "" {
		t.Skip("PATCHBAY_LONG is not set")
	}
	events, began := 0, time.Now()
	for round := 0; events < 1_000_000 && !t.Failed(); round++ {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) { events += follow(t, 400) })
		})
	}
	t.Logf("%d events in %v", events, time.Since(began))
}

// follow runs one random graph and says how many events it took.
func follow(t *rapid.T, most int) int {
	p := newPair(t, drawModelGraph(t), rapid.SampledFrom([]int{1, 2, 3, maxRunning}).Draw(t, "places"))
	p.begin()
	for p.machine.top.ended == "" {
		if p.events >= most || p.bulky {
			p.stop()
			break
		}
		dice := rapid.IntRange(0, 99).Draw(t, "dice")
		switch { // the ends of the range are drawn more often than the rest
		case dice == 33:
			p.stop()
		case dice >= 35 && dice < 40:
			p.crash()
		case dice >= 40 && dice < 42:
			p.both(func() *unit { return p.machine.handle(p.tick(), tickEvent{}) }, func(*model) {})
		case dice >= 42 && dice < 46 && len(p.running) > 0:
			p.pluginDies(rapid.IntRange(0, len(p.running)-1).Draw(t, "dies"))
		case dice%2 == 0 && p.machine.pending():
			p.step()
		case dice%10 > 0 && len(p.running) > 0:
			p.progress(rapid.IntRange(0, len(p.running)-1).Draw(t, "runs"), rapid.IntRange(0, 3).Draw(t, "piece"))
		case len(p.lost) > 0:
			p.commit(rapid.IntRange(1, len(p.lost)).Draw(t, "commits"))
		case p.machine.pending():
			p.step()
		case len(p.running) > 0:
			p.progress(0, 0)
		default:
			t.Fatalf("nothing runs, and the execution has not ended:\n%s\ngraph:\n%s", dump(p.machine.top), describe(p.g))
		}
	}
	p.commit(len(p.lost))
	p.compareResults()
	return p.events
}

// BenchmarkMachineSteps runs a counter, a loop of blocks with a static constant and an output node, for as many events
// as asked for: what the machine alone can do.
func BenchmarkMachineSteps(b *testing.B) {
	g := &graph.Graph{
		ID: uuid.NewString(), Version: 1, Name: "loop",
		Nodes: []graph.Node{
			{ID: "start", BlockID: testBlockID(20), InputDefault: []byte(`{"a":0}`)},
			{ID: "constant", BlockID: testBlockID(27), InputDefault: []byte(`{"a":1}`)},
			{ID: "add", BlockID: testBlockID(28), InputDefault: []byte(`{"n":"5"}`)},
			{ID: "again", BlockID: testBlockID(29), InputDefault: []byte(`{"n":5}`)},
			{ID: "out", BlockID: outputBlock, InputDefault: []byte(`{"name":"count"}`)},
		},
		Links: []graph.Link{
			{ID: "1", SourceID: "start", SourceName: "p", SinkID: "add", SinkName: "a"},
			{ID: "2", SourceID: "constant", SourceName: "p", SinkID: "add", SinkName: "b", IsStatic: true},
			{ID: "3", SourceID: "add", SourceName: "p", SinkID: "again", SinkName: "a"},
			{ID: "4", SourceID: "again", SourceName: "p", SinkID: "add", SinkName: "a"},
			{ID: "5", SourceID: "again", SourceName: "p", SinkID: "out", SinkName: "value"},
		},
	}
	plan, err := newPlan(g, catalogue(modelBlocks))
	if err != nil {
		b.Fatal(err)
	}
	m := newMachine(newRun(uuid.New(), "user", plan, []byte(`{}`), nil))
	result := []output{{pin: "p", value: &value{raw: []byte(`{"count":1}`)}}}
	now := time.Unix(1_700_000_000, 0).UTC()
	var running []command
	take := func(u *unit) {
		for _, c := range u.commands {
			if c.kind == runBlock {
				running = append(running, c)
			}
		}
	}
	take(m.handle(now, beginEvent{starting: []startingNode{{node: 0}, {node: 1}}}))
	b.ReportAllocs()
	for b.Loop() {
		if m.pending() {
			take(m.step(now))
			continue
		}
		if len(running) == 0 {
			b.Fatalf("the loop has ended: %s", dump(m.top))
		}
		c := running[0]
		running = append(running[:0], running[1:]...)
		take(m.handle(now, doneEvent{run: m.top.id, exec: c.exec.id, attempt: c.attempt, outputs: result}))
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "steps/s")
	if m.top.plan.nodes[0].block.Kind != block.Standard || m.top.failed > 0 {
		b.Fatal("a node execution failed")
	}
}

// TestOutputNodePublishesWhatWasMerged has a value and a dynamic pin of it meet at an output node.
func TestOutputNodePublishesWhatWasMerged(t *testing.T) {
	t.Parallel()
	g := &graph.Graph{
		ID: uuid.NewString(), Version: 1, Name: "merged",
		Nodes: []graph.Node{
			{ID: "in", BlockID: inputBlock, InputDefault: []byte(`{"name":"x0","value":{"k":1}}`)},
			{ID: "out", BlockID: outputBlock, InputDefault: []byte(`{"name":"y"}`)},
		},
		Links: []graph.Link{
			{ID: "1", SourceID: "in", SourceName: "result", SinkID: "out", SinkName: "value", IsStatic: true},
			{ID: "2", SourceID: "in", SourceName: "result_#_k", SinkID: "out", SinkName: "value_#_l", IsStatic: true},
		},
	}
	plan, err := newPlan(g, catalogue(modelBlocks))
	if err != nil {
		t.Fatal(err)
	}
	m := newMachine(newRun(uuid.New(), "user", plan, []byte(`{}`), nil))
	now := time.Unix(1_700_000_000, 0).UTC()
	m.handle(now, beginEvent{starting: []startingNode{{node: 0}}})
	m.step(now)
	if got, want := string(m.step(now).rows[0].step.Outputs[0].Value), `{"k":1,"l":1}`; got != want {
		t.Errorf("published %s, want %s", got, want)
	}
}
