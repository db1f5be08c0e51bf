package execution

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/patchbay-io/patchbay/core/graph"
)

func TestWhatMayFollow(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		links  string
		second string // block of the node b
		want   bool
	}{
		"a chain of pure blocks":  {"a.p>b.a", "Pure", true},
		"an effect":               {"a.p>b.a", "Effect", false},
		"one that streams":        {"a.p>b.a", "PureStream", false},
		"another value is needed": {"a.p>b.a a.q>b.b", "Pure", false},
		"a part of the value":     {"a.p_#_k>b.a", "Pure", false},
		"an error":                {"a.error>b.a", "Pure", false},
		"itself":                  {"a.p>a.a", "Pure", false},
	} {
		g := &graph.Graph{Nodes: []graph.Node{
			{ID: "a", BlockID: blockByName(t, "Pure"), InputDefault: json.RawMessage(`{}`)},
			{ID: "b", BlockID: blockByName(t, c.second), InputDefault: json.RawMessage(`{"n":1}`)},
		}}
		for _, l := range strings.Fields(c.links) {
			from, to, _ := strings.Cut(l, ">")
			g.Links = append(g.Links, graph.Link{ID: l, SourceID: from[:1], SourceName: from[2:], SinkID: to[:1], SinkName: to[2:]})
		}
		p, err := newPlan(g, catalogue(testBlocks))
		if err != nil {
			t.Fatal(err)
		}
		if got := p.nodes[0].ahead.next == 1; got != c.want {
			t.Errorf("%s: follows: %t", name, got)
		}
	}
}

// The frame of an input is learned from one where the value stands as the link brought it.
func TestFrameIsLearned(t *testing.T) {
	t.Parallel()
	pin := func(name, v string) []pinInput {
		return []pinInput{{pin: name, value: &value{raw: json.RawMessage(v)}}}
	}
	for name, c := range map[string]struct {
		input        string
		pins         []pinInput
		before, rest string
		learned      bool
	}{
		"first":       {`{"a":1,"n":1}`, pin("a", `1`), `{"a":`, `,"n":1}`, true},
		"last":        {`{"n":1, "a": {"x":[1]} }`, pin("a", `{"x":[1]}`), `{"n":1, "a": `, ` }`, true},
		"converted":   {`{"a":"1"}`, pin("a", `1`), "", "", false},
		"merged":      {`{"a":[1]}`, pin("a_$_0", `1`), "", "", false},
		"several":     {`{"a":1,"b":1}`, append(pin("a", `1`), pin("b", `1`)...), "", "", false},
		"from static": {`{"a":1}`, nil, "", "", false},
	} {
		var a ahead
		a.learn([]byte(c.input), c.pins)
		f := a.frame.Load()
		if (f != nil) != c.learned {
			t.Errorf("%s: learned: %t", name, f != nil)
		} else if f != nil && (string(f.before) != c.before || string(f.rest) != c.rest) {
			t.Errorf("%s: %q and %q", name, f.before, f.rest)
		}
	}
}
