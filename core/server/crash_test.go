package server_test

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// items is the list 0 … n-1 as JSON.
func items(n int) string {
	all := make([]string, n)
	for i := range all {
		all[i] = strconv.Itoa(i)
	}
	return "[" + strings.Join(all, ",") + "]"
}

// checkSteps says whether each of n items came out once, and the story of it is whole.
func (i *instance) checkSteps(id string, n int) {
	i.t.Helper()
	d := i.ended(id)
	if d.Status != "COMPLETED" {
		i.t.Fatalf("execution %s ended %s: %+v", id, d.Status, d.Error)
	}
	var got []int
	for _, raw := range d.Outputs["Output"] {
		var v float64
		if err := json.Unmarshal(raw, &v); err != nil {
			i.t.Fatal(err)
		}
		got = append(got, int(v))
	}
	slices.Sort(got)
	for k, v := range got {
		if v != k+1 {
			i.t.Fatalf("of %d outputs, number %d in order is %d: one is missing or doubled", len(got), k, v)
		}
	}
	if len(got) != n {
		i.t.Fatalf("%d outputs of %d", len(got), n)
	}
	i.story(id)
}

// beginSteps starts executions and returns when the first is under way.
func (i *instance) beginSteps(executions, n int) []string {
	i.t.Helper()
	graph := i.create(stepping())
	var ids []string
	for range executions {
		ids = append(ids, i.execute(graph, `{"Value":`+items(n)+`}`))
	}
	i.subscribe(ids[0], 0).until(func(e event) bool { return e.Seq > int64(n) })
	return ids
}

func TestServerIsKilledInTheMiddle(t *testing.T) {
	t.Parallel()
	i := startInstance(t)
	const n = 1000
	ids := i.beginSteps(3, n)
	for range 2 {
		i.kill()
		eventually(t, "nothing outlives the server", func() bool { return len(i.processes()) == 0 })
		t.Logf("ready again after %s", i.start())
	}
	for _, id := range ids {
		i.checkSteps(id, n)
	}
}

func TestPostgresIsKilledInTheMiddle(t *testing.T) {
	t.Parallel()
	i := startInstance(t)
	const n = 1000
	ids := i.beginSteps(3, n)
	if i.killAll("/bin/postgres -D ") == 0 {
		t.Fatal("found no Postgres to kill")
	}
	for _, id := range ids {
		i.checkSteps(id, n)
	}
	// And it takes work again.
	i.checkSteps(i.execute(i.create(stepping()), `{"Value":[0,1]}`), 2)
}

func TestPluginIsKilledInTheMiddle(t *testing.T) {
	t.Parallel()
	i := startInstance(t)
	const n = 1000
	ids := i.beginSteps(3, n)
	if i.killAll("/plugins/logic/logic") == 0 {
		t.Fatal("found no plugin to kill")
	}
	for _, id := range ids {
		i.checkSteps(id, n)
	}
}

// A block without traits has left nothing when it is cut off, and runs again.
func TestWaitingBlockIsCutOffAndRunsAgain(t *testing.T) {
	t.Parallel()
	for name, cut := range map[string]func(*instance){
		"server": func(i *instance) { i.kill(); i.start() },
		"plugin": func(i *instance) { i.killAll("/plugins/time/time") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := startInstance(t)
			graph := i.create(through(countdownBlock, "input_message", "output_message", map[string]any{"seconds": 2}))
			id := i.execute(graph, `{"Value":"kept"}`)
			i.subscribe(id, 0).until(func(e event) bool { return e.Type == "node.started" && e.NodeID == "middle" })
			cut(i)
			d := i.ended(id)
			if d.Status != "COMPLETED" || len(d.Outputs["Output"]) != 1 || string(d.Outputs["Output"][0]) != `"kept"` {
				t.Errorf("ended %s with %s, %+v", d.Status, d.Outputs["Output"], d.Error)
			}
			starts := 0
			for _, e := range i.story(id) {
				if e.Type == "node.started" && e.NodeID == "middle" {
					starts++
				}
			}
			if starts != 1 {
				t.Errorf("%d events say that the block was started", starts)
			}
		})
	}
}

// The deadline stands recorded before the wait: who waits again waits for what is left.
func TestCountdownGoesOnAfterTheServerWasKilled(t *testing.T) {
	t.Parallel()
	i := startInstance(t)
	const wait = 12 * time.Second
	graph := i.create(through(countdownBlock, "input_message", "output_message", map[string]any{"seconds": wait.Seconds()}))
	began := time.Now()
	id := i.execute(graph, `{"Value":"kept"}`)
	i.subscribe(id, 0).until(func(e event) bool { return e.Type == "node.started" && e.NodeID == "middle" })
	eventually(t, "most of the wait is over", func() bool { return time.Since(began) > wait*3/4 })
	i.kill()
	i.start()
	restarted := time.Now()
	d := i.ended(id)
	if d.Status != "COMPLETED" || string(d.Outputs["Output"][0]) != `"kept"` {
		t.Errorf("ended %s with %s, %+v", d.Status, d.Outputs["Output"], d.Error)
	}
	if took := time.Since(began); took < wait {
		t.Errorf("the wait of %s ended after %s", wait, took)
	}
	if again := time.Since(restarted); again > wait*3/4 {
		t.Errorf("the wait took %s of %s again", again, wait)
	}
}
