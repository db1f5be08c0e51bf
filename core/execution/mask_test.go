package execution

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/patchbay-io/patchbay/core/graph"
)

func TestMaskHidesSecretsAndNothingElse(t *testing.T) {
	t.Parallel()
	m := newMask([]string{"s3cret!", "s3cret! and more", "ab", "12345", `quo"ted`})
	for value, want := range map[string]string{
		`"s3cret!"`:                         `"***"`,
		`"my s3cret! here"`:                 `"my *** here"`,
		`"s3cret! and more"`:                `"***"`,
		`"\u0073\u0033cret!"`:               `"***"`, // however it is written
		`"a quo\"ted one"`:                  `"a *** one"`,
		`"ab"`:                              `"***"`,
		`"about"`:                           `"about"`, // too short to be looked for
		`12345`:                             `"***"`,
		`123456`:                            `123456`,
		`"n12345"`:                          `"n***"`,
		`{"s3cret!": [1, {"x":"s3cret!"}]}`: `{"***":[1,{"x":"***"}]}`,
		` { "z" : 1e400, "a" : null } `:     ` { "z" : 1e400, "a" : null } `, // keeps its bytes
		`[true, false, null]`:               `[true, false, null]`,
	} {
		if got := string(m.value(json.RawMessage(value))); got != want {
			t.Errorf("%s is shown as %s, want %s", value, got, want)
		}
	}
	var none *mask
	if got := string(none.value(json.RawMessage(`"s3cret!"`))); got != `"s3cret!"` {
		t.Errorf("without a mask: %s", got)
	}
	if both := newMask([]string{"ab"}).and(m); both != m {
		t.Error("what hides less adds to the mask")
	}
	if both := newMask([]string{"other one"}).and(m); both.text("other one s3cret!") != "*** ***" {
		t.Errorf("both masks give %q", both.text("other one s3cret!"))
	}
}

func FuzzMask(f *testing.F) {
	f.Add(`{"a":["hush hush",1]}`, "hush")
	f.Add(`"\u0068ush"`, "hush")
	f.Add(`"****"`, "**")
	f.Fuzz(func(t *testing.T, value, secret string) {
		if !json.Valid([]byte(value)) || len(secret) < minMasked || strings.Contains(masked, secret) || strings.Contains(secret, "*") {
			return
		}
		shown := newMask([]string{secret}).value(json.RawMessage(value))
		if !json.Valid(shown) {
			t.Errorf("%s became %s", value, shown)
		}
		var texts func(v any)
		texts = func(v any) {
			switch v := v.(type) {
			case string:
				if strings.Contains(v, secret) {
					t.Errorf("%q is in %s", secret, shown)
				}
			case []any:
				for _, e := range v {
					texts(e)
				}
			case map[string]any:
				for k, e := range v {
					texts(k)
					texts(e)
				}
			}
		}
		var decoded any
		if json.Unmarshal(shown, &decoded) == nil {
			texts(decoded)
		}
	})
}

// seen is everything that the API shows of an execution and of those nested in it.
func (h *harness) seen(id string) string {
	h.t.Helper()
	d := h.finished(id)
	text := fmt.Sprintf("%s %+v", d.Inputs, d.Error)
	for _, o := range d.Outputs {
		text += fmt.Sprintf(" %s=%s", o.Name, o.Values)
	}
	for _, n := range d.NodeExecutions {
		text += fmt.Sprintf(" %s %s %s", n.NodeID, n.Input, n.Error)
		for _, o := range n.Outputs {
			text += fmt.Sprintf(" %s=%s", o.Name, o.Values)
		}
	}
	sub, err := h.Subscribe(h.t.Context(), "u", id, 0)
	if err != nil {
		h.t.Fatal(err)
	}
	defer sub.Close()
	for {
		ev, err := next(h.t.Context(), sub)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			h.t.Fatal(err)
		}
		text += " " + h.payload(ev)
	}
	children, _, err := h.List(h.t.Context(), "u", Filter{ParentID: id, Limit: 10})
	if err != nil {
		h.t.Fatal(err)
	}
	for _, c := range children {
		text += h.seen(c.ID)
	}
	return text
}

// The author's constants work for whoever runs the agent, and are not seen: not in inputs, outputs, events, errors, nor
// through nested agents, in whatever order the two stand.
func TestOthersRunWithSecretsThatTheyDoNotSee(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	const agentNode = `agent AgentExecutor {"graph_id":%q,"graph_version":1,"inputs":%s,"input_schema":{"type":"object","properties":{"x":{},"k":{"secret":true}}},"output_schema":{"type":"object","properties":{"y":{},"z":{}}}}`
	own := func(id string, author string) {
		h.graphs[id].UserID = author
		for i := range h.graphs[id].Nodes {
			if ref := graph.NestedAgent(&h.graphs[id].Nodes[i]); ref.GraphID != "" {
				h.graphs[id].SubGraphs = append(h.graphs[id].SubGraphs, *h.graphs[ref.GraphID])
			}
		}
	}
	secretive := h.add([]string{
		`in AgentInput {"name":"x","value":null}`, `key AgentInput {"name":"k","value":"author's key","secret":true}`,
		`e Effect {"b":"visible","api_key":"another key"}`, `f Fails {"b":"in a boom"}`, `out AgentOutput {"name":"y"}`, `z AgentOutput {"name":"z"}`,
	}, []string{"key.result -> e.a", "key.result -> f.a", "e.p -> out.value", "in.result -> z.value"})
	h.graphs[secretive].Nodes[3].InputDefault = json.RawMessage(`{"b":"in a boom","password":"boom"}`) // which the failure's message repeats
	own(secretive, "author")
	around := h.add([]string{`in AgentInput {"name":"x"}`, `out AgentOutput {"name":"y"}`, `p Pure {}`, fmt.Sprintf(agentNode, secretive, `{"k":"passed key"}`)},
		[]string{"in.result -> agent.x", "agent.y -> p.a", "p.p -> out.value"})
	own(around, "author")
	mine := h.add([]string{`in AgentInput {"name":"x"}`, `out AgentOutput {"name":"y"}`, `p Pure {}`, fmt.Sprintf(agentNode, secretive, `{}`)},
		[]string{"in.result -> agent.x", "agent.y -> p.a", "p.p -> out.value"})
	own(mine, "u")

	for name, id := range map[string]string{"alone": secretive, "nested by its author": around, "nested by the user": mine} {
		text := h.seen(h.execute(id, `{"x":"mine"}`))
		for _, hidden := range []string{"author's key", "another key", "passed key", "boom"} {
			if strings.Contains(text, hidden) {
				t.Errorf("%s: %q is seen in %s", name, hidden, text)
			}
		}
		for _, shown := range []string{"visible", "mine", masked} {
			if !strings.Contains(text, shown) {
				t.Errorf("%s: %q is not seen in %s", name, shown, text)
			}
		}
	}
	h.graphs[secretive].UserID = "u" // one's own secrets are no secrets
	h.graphs[secretive].Version = 2
	if text := h.seen(h.execute(secretive, `{"x":"mine"}`)); !strings.Contains(text, "author's key") || strings.Contains(text, masked) {
		t.Errorf("the author sees %s", text)
	}
}

func TestExecutionsByOthersAreCountedOnce(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	child := h.chain("Pure", 1)
	h.graphs[child].UserID = "author"
	parent := h.add([]string{
		`in AgentInput {"name":"x"}`, `out AgentOutput {"name":"y"}`,
		fmt.Sprintf(`agent AgentExecutor {"graph_id":%q,"graph_version":1,"inputs":{},"input_schema":{"type":"object","properties":{"x":{}}},"output_schema":{"type":"object","properties":{"y":{}}}}`, child),
	}, []string{"in.result -> agent.x", "agent.y -> out.value"})
	h.graphs[parent].UserID = "u"
	for range 3 {
		h.finished(h.execute(child, `{"x":1}`))
	}
	h.finished(h.execute(parent, `{"x":1}`)) // one's own, though it nests another's
	id, err := h.Execute(t.Context(), Request{UserID: "author", GraphID: child, Inputs: json.RawMessage(`{"x":1}`)})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Wait(t.Context(), "author", id); err != nil {
		t.Fatal(err)
	}
	others := ByOthers{DB: h.db}
	for i, want := range []int{3, 3, 0} { // a transaction that is rolled back takes nothing
		any, err := others.Any(t.Context())
		if err != nil || any != (want > 0) {
			t.Errorf("%d: any %t %v", i, any, err)
		}
		tx, err := h.db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		counts, err := others.Take(t.Context(), tx)
		if err != nil || counts[child] != want || counts[parent] != 0 {
			t.Errorf("%d: counts %v %v", i, counts, err)
		}
		if i == 0 {
			err = tx.Rollback()
		} else {
			err = tx.Commit()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
