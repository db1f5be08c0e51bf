package server_test

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/patchbay-io/patchbay/core/postgres/postgrestest"
)

func TestCalculatorAgent(t *testing.T) {
	t.Parallel()
	i := startInstance(t)
	file, err := os.ReadFile("../../examples/agents/calculator-agent.json")
	if err != nil {
		t.Fatal(err)
	}
	graph := i.create(file)
	for input, want := range map[string]string{`8`: `42`, `-34`: `0`, `"abc"`: `34`, `"8"`: `42`, `0.5`: `34.5`} {
		d := i.run(graph, `{"Input":`+input+`}`)
		if len(d.Outputs["Output"]) != 1 || string(d.Outputs["Output"][0]) != want || d.Status != "COMPLETED" {
			t.Errorf("%s gives %s %s, want %s", input, d.Status, d.Outputs["Output"], want)
		}
	}
	if status, body := i.call(alice, http.MethodPost, "/api/v2/builder/graphs/"+graph+"/execute", []byte(`{}`)); status != http.StatusUnprocessableEntity {
		t.Errorf("without its input: %d %s", status, body)
	}
	for _, path := range []string{"/api/v2/builder/graphs/" + graph, "/api/v2/executions/" + i.execute(graph, `{"Input":1}`)} {
		if status, _ := i.call(bob, http.MethodGet, path, nil); status != http.StatusNotFound {
			t.Errorf("somebody else gets %d for %s", status, path)
		}
	}
}

func TestServerUsesTheDatabaseThatItIsGiven(t *testing.T) {
	t.Parallel()
	i := startInstance(t, "PATCHBAY_DATABASE_URL="+postgrestest.DSN(t))
	graph := i.create(through(calculatorBlock, "a", "result", map[string]any{"operation": "Add", "b": 34}))
	if d := i.run(graph, `{"Value":8}`); d.Status != "COMPLETED" || string(d.Outputs["Output"][0]) != `42` {
		t.Errorf("ended %s with %s", d.Status, d.Outputs)
	}
	if i.killAll("postgres") != 0 {
		t.Error("it runs a Postgres of its own all the same")
	}
	if code := i.terminate(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// Values come out as they went in, through a block of the core, one of a plugin, and the database.
func TestValuesPassByteForByte(t *testing.T) {
	t.Parallel()
	i := startInstance(t)
	graph := i.create(through(storeBlock, "input", "output", nil))
	for name, value := range map[string]string{
		"large integer":    `9007199254740993123456789`,
		"huge exponent":    `1e400`,
		"trailing zero":    `1.0`,
		"NUL":              `"a\u0000b"`,
		"lone surrogate":   `"\ud800"`,
		"escapes":          `"<a href=\"x\">\u00e9\/&</a>"`,
		"order of keys":    `{"z":1,"a":{"y":null,"b":[1,2.50,-0]}}`,
		"ten million":      `"` + strings.Repeat("0123456789", 1_000_000) + `"`,
		"deeply nested":    strings.Repeat("[", 1_000) + strings.Repeat("]", 1_000),
		"text of a number": `"007"`,
	} {
		d := i.run(graph, `{"Value":`+value+`}`)
		if len(d.Outputs["Output"]) != 1 || string(d.Outputs["Output"][0]) != value {
			t.Errorf("%s: %.200s came back as %.200s (%s, %+v)", name, value, d.Outputs["Output"], d.Status, d.Error)
		}
	}
}

func TestEarlyAndLateSubscribersSeeTheSameStory(t *testing.T) {
	t.Parallel()
	i := startInstance(t)
	graph := i.create(stepping())
	id := i.execute(graph, `{"Value":[1,2,3,4,5]}`)
	early := i.subscribe(id, 0).until(event.last)
	late := i.story(id)
	if diff := cmp.Diff(late, early); diff != "" {
		t.Errorf("early and late differ: %s", diff)
	}
	middle := late[len(late)/2].Seq
	if resumed := i.subscribe(id, middle).until(event.last); len(resumed) != len(late)-int(middle) || resumed[0].Seq != middle+1 {
		t.Errorf("after %d of %d come %d events from %d", middle, len(late), len(resumed), resumed[0].Seq)
	}
	if first, last := late[0].Type, late[len(late)-1]; first != "execution.started" || last.Status != "COMPLETED" {
		t.Errorf("the story begins with %s and ends with %+v", first, last)
	}
}

func TestTooManyRequestsAreRefused(t *testing.T) {
	t.Parallel()
	i := startInstance(t, "PATCHBAY_RATE_LIMIT_GENERAL=3")
	refused := 0
	for range 8 { // more than two minutes' worth: the clock may pass from one to the next
		status, body := i.call(alice, http.MethodGet, "/api/v2/builder/graphs", nil)
		switch {
		case status == http.StatusTooManyRequests && strings.Contains(string(body), "RATE_LIMITED"):
			refused++
		case status != http.StatusOK:
			t.Errorf("%d %s", status, body)
		}
	}
	if refused < 2 {
		t.Errorf("%d of 8 requests were refused", refused)
	}
	if status, _ := i.call(bob, http.MethodGet, "/api/v2/builder/graphs", nil); status != http.StatusOK {
		t.Errorf("somebody else gets %d", status)
	}
}
