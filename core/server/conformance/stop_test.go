package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// awaitEvent reads an execution's story, live, until an event is as wanted.
func (w *world) awaitEvent(t *testing.T, c *client, id string, wanted func(event) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	sub, err := w.execution.Subscribe(ctx, c.user, id, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	for {
		next, err := await(ctx, sub)
		if err != nil {
			t.Fatalf("the event did not come: %v", err)
		}
		var e event
		if err := json.Unmarshal(next.Payload, &e); err != nil {
			t.Fatal(err)
		}
		if wanted(e) {
			return
		}
	}
}

func ended(node string) func(event) bool {
	return func(e event) bool { return e.Node == node && (e.Type == "node.completed" || e.Type == "node.failed") }
}

// gated starts an execution of a scenario and returns when a gate in it is reached.
func (w *world) gated(t *testing.T, c *client, s *scenario, node string) (id string, at *call) {
	t.Helper()
	id = c.execute(t, s.store(t, c).ID, s.inputs)
	return id, gates.await(t, id, node, "", 1)
}

// C58, in this order for sure: the other branch goes on behind a failure that nobody handles.
func TestBranchesGoOnBehindAFailure(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hosts[effectPlugin], 0)
	c := w.client()
	s := scenario{
		id: "C58", nodes: `f FAIL {"in":1}` + "\n" + `g GATE {"in":1}` + "\ny OUT", links: "g.out -> y.value",
		want: `f: !boom
			failed f boom
			outputs {"y":[1]}`,
	}
	id, at := w.gated(t, c, &s, "g")
	w.awaitEvent(t, c, id, ended("f"))
	if d := c.details(t, id); d.Status != "RUNNING" || d.EndedAt != nil {
		t.Errorf("after the failure: %+v", d)
	}
	at.release()
	parseExpectation(t, s.want).check(t, &s, w.finish(t, c, id))
}

// C68: what a streaming block yields is routed before it ends.
func TestStreamedOutputsAreRoutedAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hosts[effectPlugin], 0)
	c := w.client()
	s := scenario{
		id: "C68", nodes: `e EMIT {"script":[["p",1],["@","wait"],["p",2]]}` + "\nf ECHO", links: "e.p -> f.in",
		want: "e: *1\nf: 1 2",
	}
	id := c.execute(t, s.store(t, c).ID, "")
	at := gates.await(t, id, "e", `"wait"`, 1)
	w.awaitEvent(t, c, id, ended("f"))
	at.release()
	d := w.finish(t, c, id)
	parseExpectation(t, s.want).check(t, &s, d)
	if !d.of("f")[0].EndedAt.Before(*d.of("e")[0].EndedAt) {
		t.Error("the first ECHO ended after EMIT")
	}
}

// A block that does not stream holds its outputs back to its end, and outputs of a later node execution wait for those
// of an earlier one of the same node (execution.md 4.6).
func TestLaterOutputsWaitForEarlierOnes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hosts[effectPlugin], 0)
	c := w.client()
	s := scenario{
		id: "head-of-line", nodes: `e EMIT {"script":[["p",1],["p",2],["p",3]]}` + "\ng GATE\ny OUT", links: "e.p -> g.in\ng.out -> y.value",
		want: `g: 1 2 3
			y: *3
			outputs {"y":[1,2,3]}`,
	}
	id := c.execute(t, s.store(t, c).ID, "")
	gates.await(t, id, "g", "", 3)
	calls := gates.at(id, "g", "")
	// Which call is which value is not known here: the keys are in the order of the node executions.
	slices.SortFunc(calls, func(a, b *call) int { return strings.Compare(a.Key, b.Key) })
	calls[2].release()
	w.awaitEvent(t, c, id, ended("g"))
	calls[1].release()
	for n := 0; n < 2; {
		n = 0
		w.awaitEvent(t, c, id, func(e event) bool {
			if ended("g")(e) {
				n++
			}
			return n == 2
		})
	}
	if d := c.details(t, id); len(d.Outputs) != 0 {
		t.Errorf("outputs before the first: %v", d.Outputs)
	}
	calls[0].release()
	parseExpectation(t, s.want).check(t, &s, w.finish(t, c, id))
}

// C70: an execution that is stopped before it has begun never begins.
func TestStopQueued(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hosts[effectPlugin], 1)
	c := w.client()
	s := scenario{id: "C70", nodes: `g GATE {"in":1}`}
	g := s.store(t, c)
	first := c.execute(t, g.ID, "")
	at := gates.await(t, first, "g", "", 1)
	second, third := c.execute(t, g.ID, ""), c.execute(t, g.ID, "")
	if d := c.details(t, second); d.Status != "QUEUED" || d.StartedAt != nil {
		t.Errorf("behind the first: %+v", d)
	}
	if d := c.stop(t, second); d.Status != "TERMINATED" || d.EndedAt == nil {
		t.Errorf("stopped: %+v", d)
	}
	d := w.finish(t, c, second)
	if d.Status != "TERMINATED" || len(d.Nodes) != 0 || len(w.story(t, c, second, 0)) != 1 {
		t.Errorf("%+v", d)
	}
	at.release()
	if d := w.finish(t, c, first); d.Status != "COMPLETED" {
		t.Errorf("the first one: %+v", d)
	}
	gates.await(t, third, "g", "", 1).release()
	if d := w.finish(t, c, third); d.Status != "COMPLETED" {
		t.Errorf("the third one: %+v", d)
	}
	if n := len(gates.at(second, "g", "")); n != 0 {
		t.Errorf("the stopped one ran %d blocks", n)
	}
}

// C66, C71: what runs and what is ready reads TERMINATED, without an end, when a running execution is stopped.
func TestStopRunning(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hosts[effectPlugin], 0)
	c := w.client()
	const atOnce = 64 // contract: bounds
	var script []string
	for i := range atOnce + 1 {
		script = append(script, fmt.Sprintf(`["p",%d]`, i))
	}
	s := scenario{
		id: "C71", nodes: `e EMIT {"script":[` + strings.Join(script, ",") + "]}\ng GATE\nn NULL " + `{"in":1}` + "\np PAIR\ny OUT",
		links: "e.p -> g.in\ng.out -> y.value\nn.out -> p.a\ng.out -> p.b",
	}
	id := c.execute(t, s.store(t, c).ID, "")
	running := gates.await(t, id, "g", "", atOnce)
	w.awaitEvent(t, c, id, ended("e"))
	stopped := c.stop(t, id)
	if stopped.Status != "TERMINATED" || stopped.EndedAt == nil {
		t.Errorf("%+v", stopped)
	}
	d := w.finish(t, c, id)
	if d.Status != "TERMINATED" || d.Error != nil || len(d.of("g")) != atOnce+1 || d.Stats.Failed != 0 {
		t.Errorf("%s %v, %d of g, %+v", d.Status, d.Error, len(d.of("g")), d.Stats)
	}
	for _, n := range d.of("g") {
		if n.Status != "TERMINATED" || n.EndedAt != nil || len(n.Output) != 0 {
			t.Errorf("%+v", n)
		}
	}
	if len(d.Waiting) != 1 || d.Waiting[0].Node != "p" {
		t.Errorf("waiting %+v", d.Waiting)
	}
	<-running.gone // the block was cancelled
	if n := len(gates.at(id, "g", "")); n != atOnce {
		t.Errorf("%d ran at once", n)
	}
}

// C66: a cycle without an end ends when it is stopped.
func TestStopEndlessCycle(t *testing.T) {
	t.Parallel()
	for name, h := range hosts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, h, 0)
			c := w.client()
			s := scenario{id: "C66", nodes: `s SECHO {"in":0}` + "\n" + `add ADD {"b":1}`, links: "s.out => add.a\nadd.sum -> add.a"}
			id := c.execute(t, s.store(t, c).ID, "")
			turns := 0
			w.awaitEvent(t, c, id, func(e event) bool {
				if ended("add")(e) {
					turns++
				}
				return turns == 20
			})
			if d := c.stop(t, id); d.Status != "TERMINATED" {
				t.Errorf("%+v", d)
			}
			var d details
			c.ok(t, http.MethodGet, "/executions/"+id, "", &d)
			if d.Status != "TERMINATED" || d.EndedAt == nil || d.Stats.Completed < 20 {
				t.Errorf("%s %+v", d.Status, d.Stats)
			}
		})
	}
}

// C72, and what is left of C77: what has ended stays as it is.
func TestStopEnded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hosts[effectPlugin], 0)
	c := w.client()
	s := scenario{id: "C72", nodes: `e ECHO {"in":1}` + "\ny OUT", links: "e.out -> y.value", want: `outputs {"y":[1]}`}
	id := c.execute(t, s.store(t, c).ID, "")
	before := w.finish(t, c, id)
	for range 2 {
		if d := c.stop(t, id); d.Status != "COMPLETED" || !d.EndedAt.Equal(*before.EndedAt) {
			t.Errorf("%+v", d)
		}
	}
	parseExpectation(t, s.want).check(t, &s, w.finish(t, c, id))

	held := scenario{id: "C72held", nodes: `g GATE {"in":1}`}
	id, at := w.gated(t, c, &held, "g")
	first := c.stop(t, id)
	at.release()
	if second := c.stop(t, id); first.Status != "TERMINATED" || second.Status != "TERMINATED" || !second.EndedAt.Equal(*first.EndedAt) {
		t.Errorf("%+v, then %+v", first, second)
	}
	if d := w.finish(t, c, id); d.Stats.Completed != 0 || d.Nodes[0].Status != "TERMINATED" {
		t.Errorf("%+v", d)
	}
	stranger := w.client()
	if a := stranger.do(t, http.MethodPost, "/executions/"+id+"/stop", ""); a.status != 404 {
		t.Errorf("a stranger gets %d %s", a.status, a.body)
	}
}

var holdingChild = scenario{
	id: "C73", nodes: "t IN\na AGENT:child\ns OUT",
	links: `t.result => a.text
		a.summary -> s.value`,
	inputs: `{"t":"hi"}`,
	children: map[string]scenario{"child": {nodes: "text IN\ng GATE\nsummary OUT", links: `text.result => g.in
		g.out -> summary.value`}},
}

// C73: stopping a parent stops what is nested in it.
func TestStopParent(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hosts[effectPlugin], 0)
	c := w.client()
	id, at := w.gated(t, c, &holdingChild, "g")
	if d := c.stop(t, id); d.Status != "TERMINATED" {
		t.Errorf("%+v", d)
	}
	<-at.gone
	d := w.finish(t, c, id)
	if n := d.of("a"); len(n) != 1 || n[0].Status != "TERMINATED" || n[0].EndedAt != nil {
		t.Errorf("%+v", n)
	}
	children := c.children(t, id)
	if len(children) != 1 || children[0].Status != "TERMINATED" {
		t.Fatalf("%+v", children)
	}
	child := w.finish(t, c, children[0].ID)
	if n := child.of("g"); len(n) != 1 || n[0].Status != "TERMINATED" || child.EndedAt.After(*d.EndedAt) {
		t.Errorf("%+v, ended %v, the parent %v", n, child.EndedAt, d.EndedAt)
	}
}

// By the contract a child that was stopped by itself fails its node in the parent.
func TestStopChild(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hosts[effectPlugin], 0)
	c := w.client()
	id, _ := w.gated(t, c, &holdingChild, "g")
	var child string
	for deadline := time.Now().Add(patience); child == "" && time.Now().Before(deadline); {
		for _, x := range c.children(t, id) {
			child = x.ID
		}
	}
	if d := c.stop(t, child); d.Status != "TERMINATED" {
		t.Errorf("%+v", d)
	}
	d := w.finish(t, c, id)
	if d.Status != "FAILED" || d.Error == nil || *d.Error.NodeID != "a" || !strings.Contains(d.Error.Message, "stopped") {
		t.Errorf("%s %+v", d.Status, d.Error)
	}
	w.finish(t, c, child)
}
