package conformance

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// C74: what ran when the server died runs again, and completes what waited, with what it had.
func TestCrashWhileABlockRuns(t *testing.T) {
	t.Parallel()
	f := startLife(t, hosts[effectPlugin])
	c := f.client()
	s := scenario{
		id: "C74", nodes: `e GATE {"in":1,"free":true}` + "\n" + `g GATE {"in":2}` + "\npair PAIR\ny OUT",
		links: "e.out -> pair.a\ng.out -> pair.b\npair.pair -> y.value",
		want:  `outputs {"y":[[1,2]]}`,
	}
	id := c.execute(t, s.store(t, c).ID, "")
	at := gates.await(t, id, "g", "", 1)
	awaitCompleted(t, c, id, "e")
	before := c.details(t, id)
	f.kill(t)
	<-at.gone
	f.rise(t, c)
	again := gates.await(t, id, "g", "", 2)
	again.release()
	d := f.finish(t, c, id)
	parseExpectation(t, s.want).check(t, &s, d)
	if !d.StartedAt.Equal(*before.StartedAt) {
		t.Errorf("started at %v, then at %v", before.StartedAt, d.StartedAt)
	}
	if again.Attempt != 2 || again.Key != at.Key || again.Key == "" || d.of("g")[0].Attempt != 2 || d.of("e")[0].Attempt != 1 {
		t.Errorf("attempts %d and %d, keys %q and %q", at.Attempt, again.Attempt, at.Key, again.Key)
	}
	if n := len(gates.at(id, "e", "")); n != 1 {
		t.Errorf("e was called %d times", n)
	}
}

// awaitCompleted waits until a node has a completed execution, as a client without a WebSocket does.
func awaitCompleted(t *testing.T, c *client, id, node string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for ctx.Err() == nil {
		for _, n := range c.details(t, id).of(node) {
			if n.Status == "COMPLETED" {
				return
			}
		}
	}
	t.Fatalf("node %s did not complete", node)
}

// C75 by the contract: what a streaming block has yielded before the crash is not routed again, and no effect behind it
// is repeated.
func TestCrashInAStream(t *testing.T) {
	t.Parallel()
	f := startLife(t, hosts[effectPlugin])
	c := f.client()
	scenarios := []scenario{
		{
			id: "C75", nodes: `e EMIT {"script":[["p",1],["q","a"],["@",0],["p",2]]}` + "\n" + `g GATE {"free":true}` + "\ny OUT",
			links: "e.p -> g.in\ng.out -> y.value",
			want: `e: @{"p":[1,2],"q":["a"]}
				g: 1 2
				y: *2
				outputs {"y":[1,2]}`,
		},
		{
			id: "C75fickle", nodes: `e FICKLE {"script":[["p",1],["@",0],["p",2]]}` + "\n" + `g GATE {"free":true}` + "\ny OUT",
			links: "e.p -> g.in\ng.out -> y.value",
			want: `e: !another_value@{"p":[1]}
				outputs {"y":[1]}
				failed e another value`,
		},
		{
			id: "C75resume", nodes: `e RESUME {"script":[["p",1],["@",0],["p",2]]}` + "\n" + `g GATE {"free":true}` + "\ny OUT",
			links: "e.p -> g.in\ng.out -> y.value",
			want: `e: @{"p":[1],"q":[1]}
				outputs {"y":[1]}`,
		},
		{ // without the trait nothing was recorded, and it simply runs again
			id: "C75plain", nodes: `e GATE {"in":1}` + "\n" + `g GATE {"free":true}` + "\ny OUT",
			links: "e.out -> g.in\ng.out -> y.value",
			want:  `outputs {"y":[1]}`,
		},
		{
			id: "once", nodes: `e ONCE {"in":1}` + "\n" + `g GATE {"free":true}` + "\ny OUT",
			links: "e.out -> g.in\ng.out -> y.value",
			want: `e: !interrupted
				g: none
				y: none
				failed e interrupted`,
		},
		{
			id: "once-handled", nodes: `e ONCE {"in":1}` + "\n" + `g GATE {"free":true}` + "\ny OUT",
			links: "e.error -> g.in\ng.error -> y.value",
			want: `e: !interrupted
				y: none`,
		},
	}
	ids := make([]string, len(scenarios))
	for i, s := range scenarios {
		ids[i] = c.execute(t, s.store(t, c).ID, "")
		if strings.Contains(s.nodes, "script") {
			gates.await(t, ids[i], "e", "0", 1)
			awaitCompleted(t, c, ids[i], "g")
			continue
		}
		gates.await(t, ids[i], "e", "", 1)
	}
	f.kill(t)
	f.rise(t, c)
	for i, s := range scenarios {
		switch s.id {
		case "C75":
			gates.await(t, ids[i], "e", "0", 2).release()
		case "C75plain":
			gates.await(t, ids[i], "e", "", 2).release()
		}
		d := f.finish(t, c, ids[i])
		parseExpectation(t, s.want).check(t, &s, d)
		for _, n := range d.of("g") {
			if n.Attempt != 1 {
				t.Errorf("%s: attempt %d of g", s.id, n.Attempt)
			}
		}
		if want, got := len(d.of("g")), len(gates.at(ids[i], "g", "")); want != got {
			t.Errorf("%s: g was called %d times for %d node executions", s.id, got, want)
		}
	}
}

// A child goes on where it was, under the same id.
func TestCrashInANestedAgent(t *testing.T) {
	t.Parallel()
	f := startLife(t, hosts[effectPlugin])
	c := f.client()
	g := (&holdingChild).store(t, c)
	id := c.execute(t, g.ID, holdingChild.inputs)
	gates.await(t, id, "g", "", 1)
	before := c.children(t, id)
	f.kill(t)
	f.rise(t, c)
	gates.await(t, id, "g", "", 2).release()
	d := f.finish(t, c, id)
	if d.Status != "COMPLETED" || compact(d.Outputs["s"]) != `["hi"]` {
		t.Errorf("%s %+v %v", d.Status, d.Error, d.Outputs)
	}
	after := c.children(t, id)
	if len(before) > 1 || len(after) != 1 || len(before) == 1 && before[0].ID != after[0].ID || after[0].Status != "COMPLETED" {
		t.Errorf("children %+v, then %+v", before, after)
	}
	f.finish(t, c, after[0].ID)
}

// Every scenario comes to the same end when the server is killed in the middle of all of them.
func TestScenariosSurviveAKill(t *testing.T) {
	t.Parallel()
	for name, h := range hosts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			surviveKill(t, h)
		})
	}
}

func surviveKill(t *testing.T, h *host) {
	f := startLife(t, h)
	c := f.client()
	type started struct {
		scenario
		want      *expectation
		execution string
	}
	var all []*started
	for _, list := range suites {
		for _, s := range list {
			if want := parseExpectation(t, s.want); want.refused == nil && want.unsaved == nil {
				all = append(all, &started{scenario: s, want: want})
			}
		}
	}
	graphs := make([]*created, len(all))
	for i, s := range all {
		graphs[i] = s.store(t, c)
	}
	// The kill comes when half of them are accepted. Of the others some are accepted and nobody has been told.
	var accepted atomic.Int32
	half := make(chan struct{})
	var accepting sync.WaitGroup
	for i, s := range all {
		accepting.Go(func() {
			id, err := c.start(t.Context(), graphs[i].ID, s.input())
			if err != nil {
				return
			}
			s.execution = id
			if accepted.Add(1) == int32(len(all)/2) {
				close(half)
			}
		})
	}
	select {
	case <-half:
	case <-time.After(patience):
		t.Error("the executions are not accepted")
	}
	f.kill(t)
	accepting.Wait()
	f.rise(t, c)
	for i, s := range all {
		if s.execution == "" {
			s.execution = c.execute(t, graphs[i].ID, s.input())
		}
	}
	for _, s := range all {
		t.Run(s.id, func(t *testing.T) {
			s.want.check(t, &s.scenario, f.finish(t, c, s.execution))
		})
	}
	for _, status := range []string{"QUEUED", "RUNNING"} { // those that nobody was told of
		var list struct {
			Executions []details `json:"executions"`
		}
		c.ok(t, http.MethodGet, "/executions?include_nested=true&page_size=100&status="+status, "", &list)
		for _, d := range list.Executions {
			f.finish(t, c, d.ID)
		}
	}
}

// A plugin that is killed in the middle of a stream is started again, and what it had yielded is not routed twice.
func TestPluginKilledInAStream(t *testing.T) {
	t.Parallel()
	h := ownHost(t)
	w := newWorld(t, h, 0)
	c := w.client()
	s := scenario{
		id: "plugin", nodes: `e EMIT {"script":[["p",1],["@",0],["p",2],["@",1],["p",3]]}` + "\n" + `g GATE {"free":true}` + "\ny OUT",
		links: "e.p -> g.in\ng.out -> y.value",
		want: `e: @{"p":[1,2,3]}
			g: 1 2 3
			y: *3
			outputs {"y":[1,2,3]}`,
	}
	const executions = 5
	graph := s.store(t, c)
	var ids []string
	for range executions {
		ids = append(ids, c.execute(t, graph.ID, ""))
	}
	for _, id := range ids {
		gates.await(t, id, "e", "0", 1)
		awaitCompleted(t, c, id, "y")
	}
	if err := syscall.Kill(h.pid(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	repeats, ctx := errgroup.WithContext(t.Context())
	for _, id := range ids { // they are repeated one at a time, in an order that nobody knows
		repeats.Go(func() error {
			for _, gate := range []struct {
				place
				call int
			}{{place{id, "e", "0"}, 2}, {place{id, "e", "1"}, 1}} {
				at, err := gates.wait(ctx, gate.place, gate.call)
				if err != nil {
					return err
				}
				at.release()
			}
			return nil
		})
	}
	if err := repeats.Wait(); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		d := w.finish(t, c, id)
		parseExpectation(t, s.want).check(t, &s, d)
		if n := d.of("e")[0]; n.Attempt != 2 {
			t.Errorf("attempt %d", n.Attempt)
		}
		if n := len(gates.at(id, "g", "")); n != 3 {
			t.Errorf("g was called %d times", n)
		}
	}
}

// A block that kills its process is charged for it when it was alone, and takes nobody with it.
func TestBlockThatKillsItsPlugin(t *testing.T) {
	t.Parallel()
	h := ownHost(t)
	w := newWorld(t, h, 0)
	c := w.client()
	bystander := scenario{id: "bystander", nodes: `g GATE {"in":1}` + "\ny OUT", links: "g.out -> y.value", want: `outputs {"y":[1]}`}
	killer := scenario{
		id: "killer", nodes: `d DIE {"in":1}` + "\ne ECHO " + `{"in":2}` + "\ny OUT", links: "e.out -> y.value",
		want: `d: !died_3_times
			outputs {"y":[2]}
			failed d died 3 times`,
	}
	id, at := w.gated(t, c, &bystander, "g")
	killed := c.execute(t, killer.store(t, c).ID, "")
	<-at.gone
	gates.await(t, id, "g", "", 2).release()
	d := w.finish(t, c, id)
	parseExpectation(t, bystander.want).check(t, &bystander, d)
	parseExpectation(t, killer.want).check(t, &killer, w.finish(t, c, killed))
	if n := len(gates.at(killed, "d", "")); n != 4 {
		t.Errorf("DIE ran %d times, want 3 alone and 1 in company", n)
	}
}
