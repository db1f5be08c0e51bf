package conformance

import (
	"fmt"
	"net/http"
	"testing"
)

// retry retries an execution and gives the new one.
func (c *client) retry(t *testing.T, id, body string) string {
	t.Helper()
	var x struct {
		ID      string `json:"execution_id"`
		RetryOf string `json:"retry_of"`
	}
	c.ok(t, http.MethodPost, "/executions/"+id+"/retry", body, &x)
	if x.RetryOf != id || x.ID == id || x.ID == "" {
		t.Fatalf("%+v retries %s", x, id)
	}
	return x.ID
}

// retried says what is true of every retry by the same version of an execution that was not cut off: it comes out the
// same, and what had succeeded was taken over.
func (w *world) retried(t *testing.T, c *client, s *scenario, first *details) {
	t.Helper()
	d := w.finish(t, c, c.retry(t, first.ID, `{"from":"failure"}`))
	parseExpectation(t, s.want).check(t, s, d)
	if d.RetryOf == nil || *d.RetryOf != first.ID {
		t.Errorf("retries %v, not %s", d.RetryOf, first.ID)
	}
	done := map[string]int{}
	for _, n := range first.Nodes {
		if n.Status == "COMPLETED" {
			done[n.Node]++
		}
	}
	for _, n := range d.Nodes {
		if n.Taken != (n.Status == "COMPLETED") {
			t.Errorf("%s is %s, taken over %t", n.Node, n.Status, n.Taken)
		}
		if n.Taken {
			done[n.Node]--
		}
	}
	for node, left := range done {
		if left != 0 {
			t.Errorf("of %s %d more had succeeded than were taken over", node, left)
		}
	}
}

// chain is a gate that is free, one that the tests hold, and one behind it.
var chain = scenario{
	id: "retry", nodes: "x IN\na GATE {\"free\":true}\nb GATE\nc GATE {\"free\":true}\ny OUT",
	links: `x.result => a.in
		a.out -> b.in
		b.out -> c.in
		c.out -> y.value`,
	inputs: `{"x":[1e400,"\u0000"]}`,
	want:   `outputs {"y":[[1e400,"\u0000"]]}`,
}

// checkCalls compares how often the gates of an execution were called.
func checkCalls(t *testing.T, id string, want map[string]int) {
	t.Helper()
	for node, n := range want {
		if got := len(gates.at(id, node, "")); got != n {
			t.Errorf("%s was called %d times, want %d", node, got, n)
		}
	}
}

func TestRetryCallsNothingThatSucceeded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hosts[effectPlugin], 0)
	c := w.client()
	g := chain.store(t, c)
	first := c.execute(t, g.ID, chain.inputs)
	at := gates.await(t, first, "b", "", 1)
	if a := c.do(t, http.MethodPost, "/executions/"+first+"/retry", ""); a.status != 409 {
		t.Errorf("retried while it runs: %d %s", a.status, a.body)
	}
	at.fail("not today")
	if d := w.finish(t, c, first); d.Status != "FAILED" || d.Error.Message != "not today" {
		t.Fatalf("%+v", d)
	}
	for body, calls := range map[string]map[string]int{
		``:                 {"a": 0, "b": 1, "c": 1},
		`{"from":"b"}`:     {"a": 0, "b": 1, "c": 1},
		`{"from":"a"}`:     {"a": 1, "b": 1, "c": 1},
		`{"from":"start"}`: {"a": 1, "b": 1, "c": 1},
		`{"from":"c"}`:     {"a": 0, "b": 1, "c": 1},
	} {
		id := c.retry(t, first, body)
		again := gates.await(t, id, "b", "", 1)
		if again.Key == at.Key || again.Key == "" || again.Attempt != 1 {
			t.Errorf("%s: the key of what had failed came back: %+v", body, again)
		}
		again.release()
		d := w.finish(t, c, id)
		parseExpectation(t, chain.want).check(t, &chain, d)
		checkCalls(t, id, calls)
		if a := d.of("a")[0]; a.Taken != (calls["a"] == 0) || a.StartedAt == nil {
			t.Errorf("%s: %+v", body, a)
		}
		// A retry of the retry finds all done, also what the retry took over itself.
		if body == "" {
			last := c.retry(t, id, `{"from":"failure"}`)
			parseExpectation(t, chain.want).check(t, &chain, w.finish(t, c, last))
			checkCalls(t, last, map[string]int{"a": 0, "b": 0, "c": 0})
			// Without from, what was completed begins anew.
			last = c.retry(t, id, `{}`)
			gates.await(t, last, "b", "", 1).release()
			w.finish(t, c, last)
			checkCalls(t, last, map[string]int{"a": 1, "b": 1, "c": 1})
		}
	}
	for body, status := range map[string]int{`{"from":"nowhere"}`: 422, `{"version":7}`: 404, `{"from":7}`: 422} {
		if a := c.do(t, http.MethodPost, "/executions/"+first+"/retry", body); a.status != status {
			t.Errorf("%s: %d %s", body, a.status, a.body)
		}
	}
	if a := w.client().do(t, http.MethodPost, "/executions/"+first+"/retry", ""); a.status != 404 {
		t.Errorf("a stranger: %d %s", a.status, a.body)
	}
}

func TestRetryByAnotherVersion(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hosts[effectPlugin], 0)
	c := w.client()
	g := chain.store(t, c)
	first := c.execute(t, g.ID, chain.inputs)
	gates.await(t, first, "b", "", 1).fail("not today")
	w.finish(t, c, first)
	changed := chain
	changed.nodes = "x IN\na GATE {\"free\":true}\nb GATE {\"free\":true}\nc GATE {\"free\":true}\ny OUT"
	c.ok(t, http.MethodPut, "/builder/graphs/"+g.ID, changed.document(t, nil), nil)
	id := c.retry(t, first, `{"version":2}`)
	parseExpectation(t, chain.want).check(t, &chain, w.finish(t, c, id))
	checkCalls(t, id, map[string]int{"a": 0, "b": 1, "c": 1})
	changed.nodes = "x IN\na GATE {\"free\":true,\"in\":0}\nb GATE {\"free\":true}\nc GATE {\"free\":true}\ny OUT"
	c.ok(t, http.MethodPut, "/builder/graphs/"+g.ID, changed.document(t, nil), nil)
	last := c.retry(t, id, `{"from":"failure","version":3}`)
	parseExpectation(t, chain.want).check(t, &chain, w.finish(t, c, last))
	checkCalls(t, last, map[string]int{"a": 1, "b": 0, "c": 0})
}

// What was cut off keeps its idempotency key, however often.
func TestRetryKeepsTheKeysOfWhatWasCutOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hosts[effectPlugin], 0)
	c := w.client()
	g := chain.store(t, c)
	id := c.execute(t, g.ID, chain.inputs)
	key := gates.await(t, id, "b", "", 1).Key
	for range 2 {
		if d := c.stop(t, id); d.Status != "TERMINATED" {
			t.Fatalf("%+v", d)
		}
		w.finish(t, c, id)
		id = c.retry(t, id, "")
		if again := gates.await(t, id, "b", "", 1); again.Key != key || again.Attempt != 1 {
			t.Errorf("key %s of attempt %d, not %s", again.Key, again.Attempt, key)
		}
	}
	gates.at(id, "b", "")[0].release()
	parseExpectation(t, chain.want).check(t, &chain, w.finish(t, c, id))
	checkCalls(t, id, map[string]int{"a": 0, "b": 1, "c": 1})
}

// nestedChain is the chain two agents deep, with a gate before and behind.
var nestedChain = scenario{
	id: "retry-nested", nodes: "x IN\nfirst GATE {\"free\":true}\nagent AGENT:middle\nlast GATE {\"free\":true}\ny OUT",
	links: `x.result => first.in
		first.out -> agent.x
		agent.y -> last.in
		last.out -> y.value`,
	inputs: `{"x":18446744073709551617}`,
	want:   `outputs {"y":[18446744073709551617]}`,
	children: map[string]scenario{"middle": {
		nodes: "x IN\nm GATE {\"free\":true}\ninner AGENT:inner\ny OUT",
		links: `x.result => m.in
			m.out -> inner.x
			inner.y -> y.value`,
		children: map[string]scenario{"inner": chain},
	}},
}

func TestRetryInsideNestedAgents(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hosts[effectPlugin], 0)
	c := w.client()
	g := nestedChain.store(t, c)
	for _, stop := range []bool{false, true} {
		first := c.execute(t, g.ID, nestedChain.inputs)
		at := gates.await(t, first, "b", "", 1)
		if stop {
			c.stop(t, first)
		} else {
			at.fail("not today")
		}
		w.finish(t, c, first)
		id := c.retry(t, first, "")
		again := gates.await(t, id, "b", "", 1)
		if (again.Key == at.Key) != stop {
			t.Errorf("stopped %t, keys %s and %s", stop, at.Key, again.Key)
		}
		again.release()
		parseExpectation(t, nestedChain.want).check(t, &nestedChain, w.finish(t, c, id))
		checkCalls(t, id, map[string]int{"first": 0, "m": 0, "a": 0, "b": 1, "c": 1, "last": 1})
		before, after := c.children(t, first), c.children(t, id)
		if len(before) != 1 || len(after) != 1 || after[0].RetryOf == nil || *after[0].RetryOf != before[0].ID {
			t.Errorf("children %+v and %+v", before, after)
		}
		if a := c.do(t, http.MethodPost, "/executions/"+before[0].ID+"/retry", ""); a.status != 409 {
			t.Errorf("a nested one retried by itself: %d %s", a.status, a.body)
		}

		// All is done now: not even the agents begin.
		id = c.retry(t, id, `{"from":"failure"}`)
		parseExpectation(t, nestedChain.want).check(t, &nestedChain, w.finish(t, c, id))
		checkCalls(t, id, map[string]int{"first": 0, "m": 0, "a": 0, "b": 0, "c": 0, "last": 0})
		if n := len(c.children(t, id)); n != 0 {
			t.Errorf("%d nested executions", n)
		}

		// From the agent on nothing is taken over, in it neither.
		id = c.retry(t, first, `{"from":"agent"}`)
		gates.await(t, id, "b", "", 1).release()
		parseExpectation(t, nestedChain.want).check(t, &nestedChain, w.finish(t, c, id))
		checkCalls(t, id, map[string]int{"first": 0, "m": 1, "a": 1, "b": 1, "c": 1, "last": 1})
	}
}

// A retry that is killed in the middle goes on, and has still what it took over.
func TestCrashInARetry(t *testing.T) {
	t.Parallel()
	f := startLife(t, hosts[effectPlugin])
	c := f.client()
	g := nestedChain.store(t, c)
	first := c.execute(t, g.ID, nestedChain.inputs)
	gates.await(t, first, "b", "", 1).fail("not today")
	for c.details(t, first).EndedAt == nil {
	}
	id := c.retry(t, first, "")
	at := gates.await(t, id, "b", "", 1)
	if a := c.do(t, http.MethodDelete, "/executions/"+first, ""); a.status != 409 {
		t.Errorf("deleted while it is retried: %d %s", a.status, a.body)
	}
	f.kill(t)
	<-at.gone
	f.rise(t, c)
	again := gates.await(t, id, "b", "", 2)
	if again.Attempt != 2 || again.Key != at.Key {
		t.Errorf("%+v after %+v", again, at)
	}
	again.release()
	parseExpectation(t, nestedChain.want).check(t, &nestedChain, f.finish(t, c, id))
	checkCalls(t, id, map[string]int{"first": 0, "m": 0, "a": 0, "b": 2, "c": 1, "last": 1})
	if a := c.do(t, http.MethodDelete, "/executions/"+first, ""); a.status != 204 {
		t.Errorf("delete: %d %s", a.status, a.body)
	}
	if a := c.do(t, http.MethodPost, "/executions/"+first+"/retry", ""); a.status != 404 {
		t.Errorf("retried after it was deleted: %d %s", a.status, a.body)
	}
}

// A block that must not repeat itself is repeated by will, with the key of the attempt that was cut off.
func TestRetryOfWhatWasInterrupted(t *testing.T) {
	t.Parallel()
	f := startLife(t, hosts[effectPlugin])
	c := f.client()
	s := scenario{id: "retry-once", nodes: "a GATE {\"in\":1,\"free\":true}\no ONCE\ny OUT", links: "a.out -> o.in\no.out -> y.value", want: `outputs {"y":[1]}`}
	first := c.execute(t, s.store(t, c).ID, "")
	at := gates.await(t, first, "o", "", 1)
	f.kill(t)
	<-at.gone
	f.rise(t, c)
	if d := f.finish(t, c, first); d.Status != "FAILED" || d.of("o")[0].Status != "FAILED" {
		t.Fatalf("%+v", d)
	}
	id := c.retry(t, first, "")
	again := gates.await(t, id, "o", "", 1)
	if again.Key != at.Key {
		t.Errorf("key %s, not %s", again.Key, at.Key)
	}
	again.release()
	parseExpectation(t, s.want).check(t, &s, f.finish(t, c, id))
	checkCalls(t, id, map[string]int{"a": 0, "o": 1})
}

// Large values and many outputs are taken over too: those are read again from the database, and kept with the retry.
func TestRetryTakesOverWhatIsLarge(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hosts[effectPlugin], 0)
	c := w.client()
	large := fmt.Sprintf("%q", fmt.Sprintf("%0900000d", 7))
	s := scenario{
		id: "retry-large", nodes: "x IN\na GATE {\"free\":true}\ne EMIT {\"script\":[[\"p\",1],[\"p\",2]]}\nb GATE\nd PAIR\ny OUT",
		links: `x.result => a.in
			a.out_#_k -> d.a
			e.p -> b.in
			b.out -> d.b
			d.pair -> y.value`,
		inputs: `{"x":{"k":` + large + `}}`,
		want: `d: [` + large + `,1]
			e: @{"p":[1,2]}
			b: 1 2
			waiting d b|a
			outputs {"y":[[` + large + `,1]]}`,
	}
	first := c.execute(t, s.store(t, c).ID, s.inputs)
	gates.await(t, first, "b", "", 2)
	for _, at := range gates.at(first, "b", "") {
		at.fail("not today")
	}
	w.finish(t, c, first)
	id := c.retry(t, first, "")
	gates.await(t, id, "b", "", 2)
	for _, at := range gates.at(id, "b", "") {
		at.release()
	}
	parseExpectation(t, s.want).check(t, &s, w.finish(t, c, id))
	checkCalls(t, id, map[string]int{"a": 0})
	// The original may go: what was taken over is the retry's own.
	c.ok(t, http.MethodDelete, "/executions/"+first, "", nil)
	parseExpectation(t, s.want).check(t, &s, w.finish(t, c, id))
}
