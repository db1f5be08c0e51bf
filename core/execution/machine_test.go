package execution

import (
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/core/execution/journal"
	"github.com/patchbay-io/patchbay/core/graph"
)

// testBlock is a block of the tests: its outputs are a function of its input.
type testBlock struct {
	*block.Block
	run func(in json.RawMessage) (outputs []output, failed string)
}

func testBlockID(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

func newTestBlock(n int, name string, traits block.Traits, static bool, run func(json.RawMessage) ([]output, string)) testBlock {
	b, err := block.New(block.Definition{
		ID: testBlockID(n), Name: name, Kind: block.Standard, StaticOutput: static, Traits: traits,
		InputSchema:  json.RawMessage(`{"type":"object","properties":{"a":{},"b":{},"n":{"type":"integer"}},"required":["a"]}`),
		OutputSchema: json.RawMessage(`{"type":"object","properties":{"p":{},"q":{}}}`),
	})
	if err != nil {
		panic(err)
	}
	return testBlock{b, run}
}

func echo(in json.RawMessage) ([]output, string) {
	return []output{{pin: "p", value: &value{raw: slices.Clone(in)}}}, ""
}

func twice(in json.RawMessage) ([]output, string) {
	return []output{
		{pin: "p", value: &value{raw: json.RawMessage(`1`)}}, {pin: "q", value: &value{raw: slices.Clone(in)}},
		{pin: "p", value: &value{raw: json.RawMessage(`{"k":[2]}`)}}, {pin: "p", value: &value{raw: json.RawMessage(`{"k":[2]}`)}},
	}, ""
}

func sometimes(in json.RawMessage) ([]output, string) {
	if len(in)%3 == 0 {
		return []output{{pin: "q", value: &value{raw: json.RawMessage(`"before"`)}}}, "boom"
	}
	return echo(in)
}

var testBlocks = func() map[string]testBlock {
	list := []testBlock{
		newTestBlock(1, "Pure", block.Traits{Pure: true}, false, echo),
		newTestBlock(2, "Effect", block.Traits{}, false, echo),
		newTestBlock(3, "Stream", block.Traits{Streaming: true}, false, twice),
		newTestBlock(4, "Pure Stream", block.Traits{Pure: true, Streaming: true}, false, twice),
		newTestBlock(5, "Static", block.Traits{Pure: true}, true, echo),
		newTestBlock(6, "Fails", block.Traits{}, false, sometimes),
		newTestBlock(7, "Once", block.Traits{Once: true}, false, echo),
	}
	blocks := map[string]testBlock{}
	for _, b := range list {
		blocks[b.ID] = b
	}
	for _, b := range block.Structural() {
		blocks[b.ID] = testBlock{b, nil}
	}
	return blocks
}()

type catalogue map[string]testBlock

func (c catalogue) Block(id string) (*block.Block, bool) {
	b, ok := c[id]
	return b.Block, ok
}

const (
	inputBlock  = "c0a8e994-ebf1-4a9c-a4d8-89d09c86741b"
	outputBlock = "363ae599-353e-4804-937e-b2ee3cef3da4"
)

// drawGraph makes a random graph. Links lead forwards only unless loops is set.
func drawGraph(t *rapid.T, loops bool) *graph.Graph {
	g := &graph.Graph{ID: uuid.NewString(), Version: 1, Name: "random"}
	n := rapid.IntRange(1, 9).Draw(t, "nodes")
	pins := func(blockID string) (in, out []string) {
		switch blockID {
		case inputBlock:
			return []string{"value"}, []string{"result"}
		case outputBlock:
			return []string{"value"}, []string{"output", "name"}
		default:
			return []string{"a", "b", "n", "a_#_k", "b_$_1"}, []string{"p", "q", "error", "p_#_k", "p_#_k_$_0"}
		}
	}
	ids := []string{inputBlock, outputBlock}
	for i := 1; i <= 7; i++ {
		ids = append(ids, testBlockID(i))
	}
	for i := range n {
		id := rapid.SampledFrom(ids).Draw(t, "block")
		constants := fmt.Sprintf(`{"a":%d}`, i)
		if id == inputBlock || id == outputBlock {
			constants = fmt.Sprintf(`{"name":"x%d","value":%d}`, i%3, i)
		} else if rapid.Bool().Draw(t, "without constant") {
			constants = `{}`
		}
		node := graph.Node{ID: fmt.Sprintf("n%d", i), BlockID: id, InputDefault: json.RawMessage(constants)}
		if id == testBlockID(6) && rapid.Bool().Draw(t, "is tried again") {
			node.Metadata = json.RawMessage(`{"execution":{"attempts":3}}`)
		}
		g.Nodes = append(g.Nodes, node)
	}
	for i := range rapid.IntRange(0, 2*n).Draw(t, "links") {
		from, to := rapid.IntRange(0, n-1).Draw(t, "from"), rapid.IntRange(0, n-1).Draw(t, "to")
		if !loops && from >= to {
			continue
		}
		_, out := pins(g.Nodes[from].BlockID)
		in, _ := pins(g.Nodes[to].BlockID)
		g.Links = append(g.Links, graph.Link{
			ID: fmt.Sprintf("l%d", i), SourceID: g.Nodes[from].ID, SinkID: g.Nodes[to].ID,
			SourceName: rapid.SampledFrom(out).Draw(t, "source"), SinkName: rapid.SampledFrom(in).Draw(t, "sink"),
			IsStatic: testBlocks[g.Nodes[from].BlockID].StaticOutput || rapid.IntRange(0, 5).Draw(t, "static") == 0,
		})
	}
	return g
}

// world is a machine with everything around it, in memory: what it committed, and the blocks that it started.
type world struct {
	t        *rapid.T
	plan     *Plan
	inputs   json.RawMessage
	root     uuid.UUID
	m        *machine
	rows     []*row // committed
	stored   []storedRow
	running  []command
	now      time.Time
	started  map[string]int // attempts per node execution that were really started
	streamed map[string]int // outputs of a running streaming attempt that were handed over
	repeats  *world         // the execution that this one retries
	from     string
}

func newWorld(t *rapid.T, g *graph.Graph) *world {
	p, err := newPlan(g, catalogue(testBlocks))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, plan: p, inputs: json.RawMessage(`{"x0":{"k":[7]},"x1":null}`), root: uuid.New(), now: time.Unix(1_700_000_000, 0).UTC(), started: map[string]int{}, streamed: map[string]int{}}
	w.m = newMachine(newRun(w.root, "user", p, w.inputs, nil))
	return w
}

// retried makes a world whose execution retries that of w, by the same graph or a changed one.
func (w *world) retried(g *graph.Graph, from string) *world {
	again := newWorld(w.t, g)
	again.now, again.repeats, again.from = w.now, w, from
	again.m.top.original = again.original()
	return again
}

// original is what the machine may take over, as it is read from the journal.
func (w *world) original() *original {
	if w.repeats == nil {
		return nil
	}
	o := readOriginal(newRun(w.repeats.root, "user", w.repeats.plan, w.repeats.inputs, nil), w.plan, w.from, nil)
	for _, s := range w.repeats.stored {
		if err := o.add(s); err != nil {
			w.t.Fatal(err)
		}
	}
	return o.all()
}

func (w *world) tick() time.Time { w.now = w.now.Add(time.Millisecond); return w.now }

// commit takes a unit over as if the database had, and starts what it commands.
func (w *world) commit(u *unit) {
	for _, r := range u.rows {
		data, err := proto.Marshal(r.step)
		if err != nil {
			w.t.Fatal(err)
		}
		step := &journal.Step{}
		if err := proto.Unmarshal(data, step); err != nil {
			w.t.Fatal(err)
		}
		w.rows = append(w.rows, r)
		w.stored = append(w.stored, storedRow{pos: r.pos, seq: r.seq, events: r.events, kind: r.kind, nodeExec: r.nodeExec, status: r.status, isOutput: r.isOutput, at: r.at, step: step})
		if n := len(expand(r, nil)); n != r.events {
			w.t.Fatalf("row %d stands for %d events and expands to %d", r.pos, r.events, n)
		}
	}
	for _, c := range u.commands {
		if c.kind == loadOutputs {
			w.running = append(w.running, c)
			continue
		}
		if c.kind != runBlock {
			continue
		}
		if c.exec.takesOver() {
			w.t.Fatalf("node execution %d takes its outputs over and runs", c.exec.id)
		}
		key := fmt.Sprint(c.exec.id)
		w.started[key]++
		if c.exec.attempt != c.attempt {
			w.t.Fatalf("node execution %s: attempt %d commanded, %d current", key, c.attempt, c.exec.attempt)
		}
		w.running = append(w.running, c)
		w.streamed[key] = 0
	}
}

func (w *world) drainInternal() {
	for i := 0; w.m.pending() && i < 20; i++ {
		w.commit(w.m.step(w.tick()))
		w.check()
	}
}

// progress lets one running block do something.
func (w *world) progress(i int, bySteps bool) {
	c := w.running[i]
	if c.kind == loadOutputs {
		w.running = slices.Delete(w.running, i, i+1)
		w.commit(w.m.handle(w.tick(), takenEvent{run: w.root, exec: c.exec.id, outputs: w.repeats.outputsOf(c.exec.take.NodeExecution)}))
		return
	}
	key := fmt.Sprint(c.exec.id)
	input := c.input
	if len(input) > 1000 { // loops nest their own outputs, which would grow without end
		input = json.RawMessage(`{"k":["long"]}`)
	}
	outputs, failed := testBlocks[c.block.ID].run(input)
	done := w.streamed[key]
	if c.block.Traits.Streaming && done < len(outputs) && bySteps {
		w.streamed[key]++
		w.commit(w.m.handle(w.tick(), outputsEvent{w.root, c.exec.id, c.attempt, outputs[done : done+1]}))
		return
	}
	w.running = slices.Delete(w.running, i, i+1)
	w.commit(w.m.handle(w.tick(), doneEvent{run: w.root, exec: c.exec.id, attempt: c.attempt, outputs: outputs[done:], failed: failed != "", message: failed, passing: failed != ""}))
}

func (w *world) refolded() *machine {
	r := newRun(w.root, "user", w.plan, w.inputs, nil)
	r.original = w.original()
	for _, s := range w.stored {
		if err := r.apply(s.kind, s.pos, s.seq, s.nodeExec, s.status, s.at, s.step); err != nil {
			w.t.Fatal(err)
		}
	}
	m, err := refold([]*run{r})
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

// check refolds the journal and compares the state with the live one.
func (w *world) check() {
	live, folded := dump(w.m.top), dump(w.refolded().top)
	if live != folded {
		w.t.Fatalf("the refolded state differs\nlive:\n%s\nrefolded:\n%s", live, folded)
	}
}

// dump writes down all of a run's state that must survive a crash. What runs without a record of its start counts as
// ready, which is what it is after a crash.
func dump(r *run) string {
	var b strings.Builder
	fmt.Fprintf(&b, "pos %d seq %d queued %d completed %d failed %d ended %q failure %+v begun %t places %d taken %v\n", r.pos, r.seq, r.queued, r.completed, r.failed, r.ended, r.failure, r.begun, r.last, r.taken)
	if r.ended != "" {
		return b.String()
	}
	pins := func(list []pinInput) string {
		parts := []string{}
		for _, p := range list {
			parts = append(parts, fmt.Sprintf("%s=%s(%d.%d.%d)", p.pin, p.value.raw, p.source.NodeExecution, p.source.Output, p.source.Link))
		}
		return strings.Join(parts, " ")
	}
	for i := range r.nodes {
		n := &r.nodes[i]
		fmt.Fprintf(&b, "node %d latest %t %s\n", i, n.fed, pins(n.latest))
		for _, e := range n.waiting {
			fmt.Fprintf(&b, "  waits %d: %s\n", e.place, pins(e.pins))
		}
		for _, e := range n.order {
			fmt.Fprintf(&b, "  holds %d from %d of %d outputs\n", e.id, e.delivered, len(e.outputs))
		}
	}
	ids := []uint32{}
	for id := range r.execs {
		ids = append(ids, id)
	}
	sort.Slice(ids, func(i, j int) bool { return ids[i] < ids[j] })
	for _, id := range ids {
		e := r.execs[id]
		state := "ready"
		switch {
		case e.state == execEnded:
			state = "ended"
		case e.startRecorded:
			state = fmt.Sprintf("running attempt %d charges %d deaths %d failures %d until %d", e.attempt, e.charges, e.deaths, e.failures, e.retryAt.UnixMicro())
		}
		failure := e.failure
		if e.charges >= maxCharges || e.deaths >= maxCharges {
			failure = "" // follows from them
		}
		fmt.Fprintf(&b, "exec %d node %d %s failure %q takes %s: %s\n", id, e.node, state, failure, takes(e.take), pins(e.pins))
		for _, o := range e.outputs {
			fmt.Fprintf(&b, "  %s=%s\n", o.pin, o.value.raw)
		}
	}
	return b.String()
}

func takes(t *journal.Move_Take) string {
	if t == nil {
		return "nothing"
	}
	return fmt.Sprintf("%d %q %x", t.NodeExecution, t.IdempotencyKey, t.Child)
}

// outputsOf are the recorded outputs of a node execution.
func (w *world) outputsOf(id uint32) []output {
	var outputs []output
	for _, s := range w.stored {
		if s.nodeExec == id {
			for _, o := range s.step.Outputs {
				outputs = append(outputs, output{pin: o.Pin, value: &value{raw: o.Value}})
			}
		}
	}
	return outputs
}

// TestRefoldedStateEqualsTheLiveOne runs random graphs in random orders and crashes at random places: at every commit
// the state that the journal gives must be the one that the machine had.
func TestRefoldedStateEqualsTheLiveOne(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		g := drawGraph(t, true)
		w := newWorld(t, g)
		starting, err := startingNodes(w.plan, w.inputs)
		if err != nil {
			return
		}
		w.storm(starting)
		w.checkStory()
		if rapid.Bool().Draw(t, "retry") {
			again := w.retried(g, rapid.SampledFrom([]string{fromFailure, fromFailure, fromStart, g.Nodes[0].ID, g.Nodes[len(g.Nodes)-1].ID}).Draw(t, "from"))
			again.storm(starting)
			again.checkStory()
		}
	})
}

// storm runs the execution in a random order and crashes at random places, and stops it when it takes too long.
func (w *world) storm(starting []startingNode) {
	w.commit(w.m.handle(w.tick(), beginEvent{starting}))
	w.check()
	w.drainInternal()
	for steps := 0; w.m.top.ended == "" && steps < 60 && len(w.rows) < 150; steps++ {
		switch {
		case rapid.IntRange(0, 11).Draw(w.t, "crash") == 0:
			w.m, w.running = w.refolded(), nil
			w.commit(w.m.handle(w.tick(), resumeEvent{careful: rapid.IntRange(0, 3).Draw(w.t, "careful") == 0}))
		case len(w.running) > 0 && w.running[0].kind == runBlock && rapid.IntRange(0, 15).Draw(w.t, "plugin dies") == 0:
			c := w.running[0]
			w.running = w.running[1:]
			w.commit(w.m.handle(w.tick(), crashEvent{run: w.root, exec: c.exec.id, attempt: c.attempt, alone: rapid.Bool().Draw(w.t, "alone"), detail: "killed"}))
		case rapid.IntRange(0, 15).Draw(w.t, "time passes") == 0:
			w.commit(w.m.handle(w.tick(), tickEvent{}))
		case len(w.running) > 0:
			w.progress(rapid.IntRange(0, len(w.running)-1).Draw(w.t, "which block"), rapid.Bool().Draw(w.t, "stream"))
		case !w.m.pending():
			w.t.Fatalf("nothing runs, nothing is pending, and the execution has not ended:\n%s", dump(w.m.top))
		}
		w.check()
		w.drainInternal()
	}
	if w.m.top.ended == "" {
		w.commit(w.m.handle(w.tick(), stopEvent{w.root}))
		w.check()
		if w.m.top.ended != Terminated {
			w.t.Fatalf("stopped, but %q", w.m.top.ended)
		}
	}
}

// checkStory says whether the events have their numbers, and the story has one end.
func (w *world) checkStory() {
	var seq int64
	ends := 0
	for _, r := range w.rows {
		for _, ev := range expand(r, nil) {
			if seq++; ev.Seq != seq {
				w.t.Fatalf("event %d follows event %d", ev.Seq, seq-1)
			}
			if ev.Last {
				ends++
			}
		}
	}
	if ends != 1 {
		w.t.Fatalf("%d terminal events", ends)
	}
}

// TestCrashesDoNotChangeOutcomes compares an acyclic graph that runs undisturbed with the same graph under crashes.
func TestCrashesDoNotChangeOutcomes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		g := drawGraph(t, false)
		for i := range g.Nodes { // what must never repeat may differ
			if g.Nodes[i].BlockID == testBlockID(7) {
				g.Nodes[i].BlockID = testBlockID(2)
			}
		}
		run := func(crashes bool) string {
			w := newWorld(t, g)
			starting, err := startingNodes(w.plan, w.inputs)
			if err != nil {
				return ""
			}
			w.finish(starting, crashes)
			return w.outcome()
		}
		if calm, stormy := run(false), run(true); calm != stormy {
			t.Fatalf("undisturbed:\n%s\nunder crashes:\n%s", calm, stormy)
		}
	})
}

// finish runs the execution to its end, with crashes or without.
func (w *world) finish(starting []startingNode, crashes bool) {
	w.commit(w.m.handle(w.tick(), beginEvent{starting}))
	w.drainInternal()
	for w.m.top.ended == "" {
		if len(w.rows) > 2000 {
			w.t.Skip("an explosion")
		}
		if crashes && rapid.IntRange(0, 5).Draw(w.t, "crash") == 0 {
			w.m, w.running = w.refolded(), nil
			w.commit(w.m.handle(w.tick(), resumeEvent{}))
		}
		w.drainInternal()
		if len(w.running) > 0 {
			// Both stream in the same steps: a static value may come before or after what another path brings.
			w.progress(0, true)
		}
		w.drainInternal()
	}
}

// outcome is how the execution ended, and all outputs of its nodes.
func (w *world) outcome() string {
	var lines []string
	for _, r := range w.rows {
		for _, o := range r.step.Outputs {
			lines = append(lines, fmt.Sprintf("%d %s %s", r.step.Node, o.Pin, o.Value))
		}
	}
	sort.Strings(lines)
	return fmt.Sprint(w.m.top.ended, "\n", strings.Join(lines, "\n"))
}
