package execution

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/go-hclog"
	"github.com/uptrace/bun"
	"go.uber.org/goleak"

	"github.com/patchbay-io/patchbay/core/graph"
	"github.com/patchbay-io/patchbay/core/plugin"
	"github.com/patchbay-io/patchbay/core/postgres/postgrestest"
	proto "github.com/patchbay-io/patchbay/sdk/proto"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, postgrestest.IgnoreServer()...) }

// blockRunner runs the test blocks in this process, where a test can hold them back.
type blockRunner struct {
	mu    sync.Mutex
	calls map[string]int           // by node and attempt
	hold  map[string]chan struct{} // by node: a run waits until the channel is closed
	began chan string              // nodes whose runs began, where a test listens
}

func newBlockRunner() *blockRunner {
	return &blockRunner{calls: map[string]int{}, hold: map[string]chan struct{}{}, began: make(chan string, 10000)}
}

func (r *blockRunner) holdNode(node string) (release func()) {
	ch := make(chan struct{})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hold[node] = ch
	return sync.OnceFunc(func() { close(ch) })
}

func (r *blockRunner) Run(ctx context.Context, run plugin.Run) plugin.Result {
	r.mu.Lock()
	r.calls[run.Context.NodeId]++
	hold := r.hold[run.Context.NodeId]
	r.mu.Unlock()
	r.began <- run.Context.NodeId
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return plugin.Result{Err: &proto.Error{Message: "cancelled"}}
		}
	}
	outputs, failed := testBlocks[run.Block].run(run.Input)
	for _, o := range outputs {
		if err := run.Output(o.pin, o.value.raw); err != nil {
			return plugin.Result{Err: &proto.Error{Message: err.Error()}}
		}
	}
	if failed != "" {
		return plugin.Result{Err: &proto.Error{Message: failed}, Stats: map[string]int64{"tries": 2}}
	}
	return plugin.Result{Stats: map[string]int64{"bytes": int64(len(run.Input))}}
}

type graphMap map[string]*graph.Graph

func (g graphMap) ForRun(_ context.Context, _, id string, _ int) (*graph.Graph, error) {
	if found := g[id]; found != nil {
		return found, nil
	}
	return nil, graph.ErrNotFound
}

func (g graphMap) Presumed(string, string) (*graph.Graph, bool) { return nil, false }

type harness struct {
	*Service
	t      *testing.T
	db     *bun.DB
	server uuid.UUID
	graphs graphMap
	runner *blockRunner
	adjust func(*Config) // nil: nothing
}

func newHarness(t *testing.T) *harness { return newHarnessWith(t, nil) }

func newHarnessWith(t *testing.T, adjust func(*Config)) *harness {
	h := &harness{t: t, db: postgrestest.DB(t), server: uuid.New(), graphs: graphMap{}, runner: newBlockRunner(), adjust: adjust}
	h.start()
	t.Cleanup(h.kill)
	return h
}

func (h *harness) start() {
	h.t.Helper()
	c := Config{DB: h.db, ServerID: h.server, Blocks: catalogue(testBlocks), Graphs: h.graphs, Runner: h.runner, Logger: hclog.NewNullLogger()}
	if h.adjust != nil {
		h.adjust(&c)
	}
	s, err := New(c)
	if err != nil {
		h.t.Fatal(err)
	}
	if err := s.Start(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
	h.Service = s
}

// kill ends the service as a crash would: nothing is handed back, nothing is committed any more.
func (h *harness) kill() {
	h.mu.Lock()
	h.closing = true
	h.mu.Unlock()
	h.shutdown()
	<-h.stopped
}

// add makes a graph of nodes "id block constants" and links "source.pin -> sink.pin".
func (h *harness) add(nodes, links []string) string {
	h.t.Helper()
	g := &graph.Graph{ID: uuid.NewString(), Version: 1, Name: "test"}
	static := map[string]bool{}
	for _, n := range nodes {
		f := strings.SplitN(n, " ", 3)
		g.Nodes = append(g.Nodes, graph.Node{ID: f[0], BlockID: blockByName(h.t, f[1]), InputDefault: json.RawMessage(f[2])})
		static[f[0]] = testBlocks[blockByName(h.t, f[1])].StaticOutput
	}
	for i, l := range links {
		from, to, _ := strings.Cut(l, " -> ")
		source, sourcePin, _ := strings.Cut(from, ".")
		sink, sinkPin, _ := strings.Cut(to, ".")
		g.Links = append(g.Links, graph.Link{ID: fmt.Sprint("l", i), SourceID: source, SourceName: sourcePin, SinkID: sink, SinkName: sinkPin, IsStatic: static[source]})
	}
	h.graphs[g.ID] = g
	return g.ID
}

func blockByName(t *testing.T, name string) string {
	for id, b := range testBlocks {
		if strings.ReplaceAll(b.Name, " ", "") == name {
			return id
		}
	}
	t.Fatalf("no block %s", name)
	return ""
}

// chain is input → n blocks → output.
func (h *harness) chain(blockName string, n int) string {
	nodes := []string{`in AgentInput {"name":"x"}`}
	var links []string
	last := "in.result"
	for i := range n {
		id := fmt.Sprintf("b%d", i)
		nodes = append(nodes, id+" "+blockName+" {}")
		links = append(links, last+" -> "+id+".a")
		last = id + ".p"
	}
	return h.add(append(nodes, `out AgentOutput {"name":"y"}`), append(links, last+" -> out.value"))
}

func (h *harness) execute(graphID, inputs string) string {
	h.t.Helper()
	id, err := h.Execute(h.t.Context(), Request{UserID: "u", GraphID: graphID, Inputs: json.RawMessage(inputs)})
	if err != nil {
		h.t.Fatal(err)
	}
	return id
}

// shown are details whose values were taken.
type shown struct {
	*Details
	Inputs         json.RawMessage
	Outputs        []PinValues
	NodeExecutions []NodeExecution
}

// details are the same for who has waited, from memory if it is there, as for others.
func (h *harness) details(id string) *shown {
	h.t.Helper()
	awaited, all := h.taken(h.AwaitedDetails(h.t.Context(), "u", id)), h.taken(h.Details(h.t.Context(), "u", id))
	told, _ := json.Marshal([]any{awaited.Inputs, awaited.NodeExecutions, awaited.Outputs})
	read, _ := json.Marshal([]any{all.Inputs, all.NodeExecutions, all.Outputs})
	if awaited.Status.Ended() && !bytes.Equal(told, read) {
		h.t.Errorf("who waited is told\n%s, others\n%s", told, read)
	}
	return all
}

func (h *harness) taken(d *Details, err error) *shown {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
	s := &shown{Details: d, NodeExecutions: h.all(d.NodeExecutions)}
	for v, err := range d.Inputs {
		if err != nil {
			h.t.Fatal(err)
		}
		s.Inputs = v
	}
	for _, o := range d.Outputs {
		pin := PinValues{Name: o.Name}
		for v, err := range o.Values {
			if err != nil {
				h.t.Fatal(err)
			}
			pin.Values = append(pin.Values, v)
		}
		s.Outputs = append(s.Outputs, pin)
	}
	return s
}

func (h *harness) all(nodes iter.Seq2[*NodeExecution, error]) []NodeExecution {
	h.t.Helper()
	var list []NodeExecution
	for n, err := range nodes {
		if err != nil {
			h.t.Fatal(err)
		}
		list = append(list, *n)
	}
	return list
}

func (h *harness) finished(id string) *shown {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 30*time.Second)
	defer cancel()
	if err := h.Wait(ctx, "u", id); err != nil {
		h.t.Fatal(err)
	}
	d := h.details(id)
	h.checkEvents(d)
	return d
}

// next waits for a subscription's next event.
func next(ctx context.Context, sub *Subscription) (Event, error) {
	came := make(chan struct{}, 1)
	sub.Follow(nil, func() {
		select {
		case came <- struct{}{}:
		default:
		}
	}, nil)
	for {
		if ev, ok, err := sub.Next(ctx); ok || err != nil {
			return ev, err
		}
		select {
		case <-came:
		case <-ctx.Done():
			return Event{}, ctx.Err()
		}
	}
}

// checkEvents reads the whole story and checks its numbers and its end.
func (h *harness) checkEvents(d *shown) {
	h.t.Helper()
	sub, err := h.Subscribe(h.t.Context(), "u", d.ID, 0)
	if err != nil {
		h.t.Fatal(err)
	}
	defer sub.Close()
	for seq := int64(1); ; seq++ {
		ev, err := next(h.t.Context(), sub)
		if errors.Is(err, io.EOF) {
			if seq != sub.LastSeq()+1 {
				h.t.Errorf("%d events, last_seq %d", seq-1, sub.LastSeq())
			}
			return
		}
		if err != nil {
			h.t.Fatal(err)
		}
		if text := h.payload(ev); ev.Seq != seq || !json.Valid([]byte(text)) || ev.Last != (seq == sub.LastSeq()) {
			h.t.Fatalf("event %d: %+v %.200s", seq, ev, text)
		}
	}
}

// payload is that of an event, read to its end where it is large.
func (h *harness) payload(ev Event) string {
	h.t.Helper()
	if ev.Large == nil {
		return string(ev.Payload)
	}
	defer ev.Large.Close()
	var whole []byte
	for {
		piece, err := ev.Large.Next(h.t.Context())
		if err == io.EOF {
			break
		}
		if err != nil {
			h.t.Fatal(err)
		}
		whole = append(whole, piece...)
	}
	if len(whole) != ev.Large.Size {
		h.t.Errorf("event %d has %d bytes, and not %d", ev.Seq, len(whole), ev.Large.Size)
	}
	return string(whole)
}

func output1(t *testing.T, d *shown) string {
	t.Helper()
	if len(d.Outputs) != 1 {
		t.Fatalf("outputs %v, error %v", d.Outputs, d.Error)
	}
	parts := []string{}
	for _, v := range d.Outputs[0].Values {
		parts = append(parts, string(v))
	}
	return strings.Join(parts, " ")
}

func TestChainsComplete(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	for _, name := range []string{"Pure", "Effect", "Once", "Static"} {
		d := h.finished(h.execute(h.chain(name, 10), `{"x":{"b":18446744073709551617,"a":1e400}}`))
		if d.Status != Completed || d.Stats.TotalNodes != 12 || d.Stats.CompletedNodes != 12 || len(d.NodeExecutions) != 12 {
			t.Errorf("%s: %+v, %d node executions", name, d.Execution, len(d.NodeExecutions))
		}
		if got := output1(t, d); !strings.Contains(got, `{"b":18446744073709551617,"a":1e400}`) {
			t.Errorf("%s: %s", name, got)
		}
		for _, n := range d.NodeExecutions {
			if n.Status != Completed || n.StartedAt == nil || n.EndedAt == nil || n.Attempt != 1 {
				t.Errorf("%s: %+v", name, n)
			}
		}
	}
}

func TestLargeValuesComeOutAsTheyWentIn(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	big := `"` + strings.Repeat(`\u0000é`, 700_000) + `"`
	d := h.finished(h.execute(h.chain("Effect", 2), `{"x":`+big+`}`))
	if got := output1(t, d); got != `{"a":{"a":`+big+`}}` {
		t.Errorf("%d bytes came out: %.80s", len(got), got)
	}
	size := 0
	for _, n := range d.NodeExecutions {
		size += n.bytes()
	}
	if size > maxNodesBytes || len(d.NodeExecutions) == 0 || len(d.NodeExecutions) == d.NodeExecutionsTotal {
		t.Errorf("%d of %d node executions with %d bytes", len(d.NodeExecutions), d.NodeExecutionsTotal, size)
	}
	page, total, err := h.Nodes(t.Context(), "u", d.ID, 0, 100)
	if err != nil || total != 4 {
		t.Fatal(total, err)
	}
	if all := h.all(page); len(all) != 4 {
		t.Errorf("the page has %d node executions", len(all))
	}
}

func TestManyExecutionsAtOnce(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	pure, effect := h.chain("Pure", 5), h.chain("Effect", 5)
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			g := pure
			if i%2 == 0 {
				g = effect
			}
			if d := h.finished(h.execute(g, fmt.Sprintf(`{"x":%d}`, i))); d.Status != Completed || !strings.Contains(output1(t, d), fmt.Sprint(i)) {
				t.Errorf("execution %d: %+v", i, d)
			}
		})
	}
	wg.Wait()
	_, total, err := h.List(t.Context(), "u", Filter{Statuses: []Status{Completed}, Limit: 5})
	if err != nil || total != 200 {
		t.Errorf("total %d, %v", total, err)
	}
}

func TestKilledServiceGoesOn(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	g := h.add([]string{`in AgentInput {"name":"x"}`, `e1 Effect {}`, `e2 Effect {}`, `s Stream {}`, `o Once {}`, `out AgentOutput {"name":"y"}`},
		[]string{"in.result -> e1.a", "e1.p -> e2.a", "e2.p -> s.a", "s.p -> out.value", "s.q -> o.a"})
	release := h.runner.holdNode("e2")
	var ids []string
	for i := range 20 {
		ids = append(ids, h.execute(g, fmt.Sprintf(`{"x":%d}`, i)))
	}
	for held := 0; held < 20; {
		if <-h.runner.began == "e2" {
			held++
		}
	}
	h.kill()
	release()
	h.start()
	for i, id := range ids {
		d := h.finished(id)
		if d.Status != Completed || output1(t, d) != `1 {"k":[2]} {"k":[2]}` {
			t.Errorf("execution %d: %s %v %v", i, d.Status, d.Error, d.Outputs)
		}
		for _, n := range d.NodeExecutions {
			want := 1
			if n.NodeID == "e2" {
				want = 2
			}
			if n.Attempt != want {
				t.Errorf("node %s has attempt %d", n.NodeID, n.Attempt)
			}
		}
	}
	if n := h.runs("e1"); n != 20 {
		t.Errorf("e1 was called %d times", n)
	}
}

func TestOnceIsNeverRepeatedByItself(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	g := h.chain("Once", 1)
	release := h.runner.holdNode("b0")
	id := h.execute(g, `{"x":1}`)
	for <-h.runner.began != "b0" {
	}
	h.kill()
	release()
	h.start()
	d := h.finished(id)
	if d.Status != Failed || d.Error == nil || !strings.Contains(d.Error.Message, "interrupted") || d.Error.NodeID != "b0" {
		t.Errorf("%s %+v", d.Status, d.Error)
	}
	if n := h.runs("b0"); n != 1 {
		t.Errorf("called %d times", n)
	}
}

func TestStopEndsWhatRunsAndWhatIsNested(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	child := h.chain("Effect", 1)
	parent := h.add([]string{
		`in AgentInput {"name":"x"}`, `out AgentOutput {"name":"y"}`,
		fmt.Sprintf(`agent AgentExecutor {"graph_id":%q,"graph_version":1,"inputs":{},"input_schema":{"type":"object","properties":{"x":{}},"required":["x"]},"output_schema":{"type":"object","properties":{"y":{}}}}`, child),
	}, []string{"in.result -> agent.x", "agent.y -> out.value"})
	d := h.finished(h.execute(parent, `{"x":5}`))
	if d.Status != Completed || output1(t, d) != `{"a":5}` {
		t.Fatalf("%s %v %v", d.Status, d.Error, d.Outputs)
	}
	defer h.runner.holdNode("b0")()
	id := h.execute(parent, `{"x":6}`)
	for n := 0; n < 2; {
		if <-h.runner.began == "b0" {
			n++
		}
	}
	if err := h.Wait(t.Context(), "stranger", id); !errors.Is(err, ErrNotFound) {
		t.Errorf("a stranger waits: %v", err)
	}
	x, err := h.Stop(t.Context(), "u", id)
	if err != nil || x.Status != Terminated {
		t.Fatalf("%+v %v", x, err)
	}
	d = h.finished(id)
	for _, n := range d.NodeExecutions {
		if n.NodeID == "agent" && (n.Status != Terminated || n.EndedAt != nil) {
			t.Errorf("%+v", n)
		}
	}
	children, total, err := h.List(t.Context(), "u", Filter{ParentID: id, Limit: 10})
	if err != nil || total != 1 || children[0].Status != Terminated {
		t.Errorf("%v %d %v", children, total, err)
	}
	if x, err := h.Stop(t.Context(), "u", id); err != nil || x.Status != Terminated {
		t.Errorf("stopping again: %+v %v", x, err)
	}
	if _, err := h.Stop(t.Context(), "stranger", id); !errors.Is(err, ErrNotFound) {
		t.Errorf("a stranger stops: %v", err)
	}
}

func TestTreeWaitsForTheDatabaseAndGoesOn(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	nodes, links := []string{`in AgentInput {"name":"x"}`}, []string{}
	for i := range 3 * maxAheadRows {
		nodes = append(nodes, fmt.Sprintf(`o%d AgentOutput {"name":"y"}`, i))
		links = append(links, fmt.Sprintf("in.result -> o%d.value", i))
	}
	d := h.finished(h.execute(h.add(nodes, links), `{"x":1}`))
	if d.Status != Completed || d.Stats.CompletedNodes != 3*maxAheadRows+1 || len(d.NodeExecutions) != maxNodes {
		t.Errorf("%+v, %d node executions listed", d.Execution, len(d.NodeExecutions))
	}
	loop := h.add([]string{`a AgentInput {"name":"x"}`, `b AgentInput {"name":"x"}`}, []string{"a.result -> b.value", "b.result -> a.value"})
	id := h.execute(loop, `{"x":1}`)
	for x, err := h.Get(t.Context(), "u", id); x.Stats.CompletedNodes < 3*maxAheadRows; x, err = h.Get(t.Context(), "u", id) {
		if err != nil || x.Status.Ended() {
			t.Fatalf("%+v %v", x, err)
		}
	}
	if x, err := h.Stop(t.Context(), "u", id); err != nil || x.Status != Terminated {
		t.Errorf("%+v %v", x, err)
	}
}

func TestIdempotencyKeys(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	g := h.chain("Pure", 1)
	request := func(key, body string) (string, error) {
		return h.Execute(t.Context(), Request{UserID: "u", GraphID: g, Inputs: json.RawMessage(`{"x":1}`), IdempotencyKey: key, Body: []byte(body)})
	}
	first, err := request("k", "a")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := request("k", "a"); err != nil || again != first {
		t.Errorf("again: %s %v, want %s", again, err, first)
	}
	if _, err := request("k", "b"); !errors.Is(err, ErrConflict) {
		t.Errorf("another body: %v", err)
	}
	if other, err := request("k2", "a"); err != nil || other == first {
		t.Errorf("another key: %s %v", other, err)
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	unhandled := h.add([]string{`in AgentInput {"name":"x"}`, `f Fails {"b":"xx"}`, `out AgentOutput {"name":"y"}`}, []string{"in.result -> f.a", "f.q -> out.value"})
	d := h.finished(h.execute(unhandled, `{"x":"y"}`)) // {"b":"xx","a":"y"} has 18 bytes
	if d.Status != Failed || d.Error.NodeID != "f" || d.Error.Message != "boom" || output1(t, d) != `"before"` {
		t.Errorf("%s %+v %v", d.Status, d.Error, d.Outputs)
	}
	handled := h.add([]string{`in AgentInput {"name":"x"}`, `f Fails {"b":"xx"}`, `out AgentOutput {"name":"y"}`}, []string{"in.result -> f.a", "f.error -> out.value"})
	d = h.finished(h.execute(handled, `{"x":"y"}`))
	if d.Status != Completed || !strings.Contains(output1(t, d), "boom") || d.Stats.FailedNodes != 1 {
		t.Errorf("%s %+v %v", d.Status, d.Error, d.Outputs)
	}
	unfit := h.add([]string{`in AgentInput {"name":"x"}`, `p Pure {"a":1}`, `out AgentOutput {"name":"y"}`}, []string{"in.result -> p.n", "p.p -> out.value"})
	d = h.finished(h.execute(unfit, `{"x":true}`))
	if d.Status != Failed || !strings.Contains(d.Error.Message, `"n"`) {
		t.Errorf("%s %+v", d.Status, d.Error)
	}
}

// TestNobodyReachesTheExecutionsOfOthers tries everything that takes an id as somebody else.
func TestNobodyReachesTheExecutionsOfOthers(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	g := h.agent(h.chain("Effect", 1))
	ended := h.execute(g, `{"x":1}`)
	h.finished(ended)
	release := h.runner.holdNode("b0")
	defer release()
	running := h.execute(g, `{"x":2}`)
	for n := 0; n < 2; {
		if <-h.runner.began == "b0" {
			n++
		}
	}
	ids := []string{ended, running, uuid.NewString(), "x", "", strings.ToUpper(ended) + "x", "{" + ended + "}"}
	for _, parent := range []string{ended, running} {
		children, total, err := h.List(t.Context(), "u", Filter{ParentID: parent, Limit: 10})
		if err != nil || total != 1 {
			t.Fatal(children, err)
		}
		ids = append(ids, children[0].ID)
		if list, total, err := h.List(t.Context(), "v", Filter{ParentID: parent, Limit: 10}); err != nil || total != 0 || len(list) > 0 {
			t.Errorf("a stranger lists %v, %d, %v", list, total, err)
		}
	}
	for _, id := range ids {
		for what, try := range map[string]func() error{
			"get":       func() error { _, err := h.Get(t.Context(), "v", id); return err },
			"details":   func() error { _, err := h.Details(t.Context(), "v", id); return err },
			"nodes":     func() error { _, _, err := h.Nodes(t.Context(), "v", id, 0, 10); return err },
			"wait":      func() error { return h.Wait(t.Context(), "v", id) },
			"stop":      func() error { _, err := h.Stop(t.Context(), "v", id); return err },
			"delete":    func() error { return h.Delete(t.Context(), "v", id) },
			"retry":     func() error { _, err := h.Retry(t.Context(), RetryRequest{UserID: "v", ID: id}); return err },
			"subscribe": func() error { _, err := h.Subscribe(t.Context(), "v", id, 0); return err },
		} {
			if err := try(); !errors.Is(err, ErrNotFound) {
				t.Errorf("%s of %q: %v", what, id, err)
			}
		}
	}
	if err := h.StopGraph(t.Context(), "v", g); err != nil {
		t.Error(err)
	}
	if x, err := h.Get(t.Context(), "u", running); err != nil || x.Status != Running {
		t.Errorf("%+v %v", x, err)
	}
	for name, f := range map[string]Filter{"all": {}, "graph": {GraphID: g}, "nested": {IncludeNested: true}, "status": {Statuses: []Status{Completed}}, "since": {Since: time.Unix(1, 0)}} {
		f.Limit = 10
		if list, total, err := h.List(t.Context(), "v", f); err != nil || total != 0 || len(list) > 0 {
			t.Errorf("%s: a stranger lists %v, %d, %v", name, list, total, err)
		}
	}
	// The same key of two users stands for two executions.
	request := func(user string) string {
		id, err := h.Execute(t.Context(), Request{UserID: user, GraphID: g, Inputs: json.RawMessage(`{"x":3}`), IdempotencyKey: "k"})
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	if mine, theirs := request("u"), request("v"); mine == theirs {
		t.Error("two users share an execution")
	}
}

// outage is a database that is away when a graph is looked up, a number of times.
type outage struct {
	graphMap
	graph string
	left  atomic.Int32
}

func (o *outage) ForRun(ctx context.Context, user, id string, version int) (*graph.Graph, error) {
	if id == o.graph && o.left.Add(-1) >= 0 {
		return nil, fmt.Errorf("find graph: %w", io.ErrUnexpectedEOF)
	}
	return o.graphMap.ForRun(ctx, user, id, version)
}

func TestNestedAgentWaitsForTheDatabase(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	child := h.chain("Pure", 1)
	around := h.agent(child)
	o := &outage{graphMap: h.graphs, graph: child}
	o.left.Store(3)
	h.config.Graphs = o
	if d := h.finished(h.execute(around, `{"x":1}`)); d.Status != Completed || o.left.Load() != -1 {
		t.Errorf("%s %+v with %d outages left", d.Status, d.Error, o.left.Load())
	}
}
