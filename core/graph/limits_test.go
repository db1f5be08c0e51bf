package graph

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/patchbay-io/patchbay/core/block"
)

// listing is a list of n entries.
func listing(n int, entry string) string {
	return "[" + strings.TrimSuffix(strings.Repeat(entry+",", n), ",") + "]"
}

func TestGraphsHaveBounds(t *testing.T) {
	t.Parallel()
	const node, link, sub = `{"block_id":"b"}`, `{"source_id":"a","sink_id":"a","source_name":"o","sink_name":"i"}`, `{"name":"s","nodes":[{"block_id":"b"}]}`
	for name, c := range map[string]struct{ body, field, says string }{
		"as many as may be":   {`{"name":"n","nodes":` + listing(MaxNodes-1, node) + `,"links":` + listing(MaxLinks, link) + `,"sub_graphs":[` + sub + `]}`, "", ""},
		"nodes":               {`{"name":"n","nodes":` + listing(MaxNodes+1, node) + `}`, "nodes", "at most 10000 nodes"},
		"links":               {`{"graph":{"name":"n","links":` + listing(MaxLinks+1, link) + `}}`, "graph.links", "at most 50000 links"},
		"sub-graphs":          {`{"name":"n","sub_graphs":` + listing(MaxSubGraphs+1, `{"name":"s"}`) + `}`, "sub_graphs", "at most 1000 sub-graphs"},
		"name":                {`{"name":"` + strings.Repeat("é", MaxName+1) + `"}`, "name", "at most 1000 characters"},
		"description":         {`{"name":"` + strings.Repeat("é", MaxName) + `","description":"` + strings.Repeat("d", MaxText+1) + `"}`, "description", "at most 100000 characters"},
		"instructions":        {`{"name":"n","description":"` + strings.Repeat("d", MaxText) + `","instructions":"` + strings.Repeat("i", MaxText+1) + `"}`, "instructions", "at most 100000 characters"},
		"nodes of sub-graphs": {`{"name":"n","nodes":` + listing(MaxNodes, node) + `,"sub_graphs":[` + sub + `]}`, "sub_graphs.0.nodes", "at most 10000 nodes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g, err := Decode([]byte(c.body))
			if c.field == "" {
				if err != nil || len(g.Nodes) != MaxNodes-1 || len(g.Links) != MaxLinks || len(g.SubGraphs) != 1 {
					t.Error(err)
				}
				return
			}
			malformed, ok := errors.AsType[*Malformed](err)
			if !ok || len(malformed.Fields) != 1 || !strings.Contains(malformed.Fields[c.field], c.says) {
				t.Errorf("%v", err)
			}
		})
	}
	if _, err := decodeStored(`{"name":"n","nodes":` + listing(MaxNodes+1, node) + `}`); err != nil {
		t.Errorf("what was stored before there were bounds is lost: %v", err)
	}
}

// chained is a graph that nests sub-graph 0, which nests sub-graph 1, and so on to the last, which nests what last names.
func chained(n int, last string) []byte {
	agent := func(id string) string {
		return `[{"id":"a","block_id":"` + block.AgentID + `","input_default":{"graph_id":"` + id + `","graph_version":1,"input_schema":{},"output_schema":{}}}]`
	}
	subs := make([]string, n)
	for i := range subs {
		next := fmt.Sprint("s", i+1)
		if i == n-1 {
			next = last
		}
		subs[i] = fmt.Sprintf(`{"id":"s%d","name":"s","nodes":%s}`, i, agent(next))
	}
	return []byte(`{"id":"top","name":"n","nodes":` + agent("s0") + `,"sub_graphs":[` + strings.Join(subs, ",") + `]}`)
}

func TestSubGraphsAreNestedAsDeepAsTheyRun(t *testing.T) {
	t.Parallel()
	s := serviceOf(t)
	g, _, err := s.Create(t.Context(), "u", chained(MaxNesting, "top"), Options{}) // a cycle ends, or does not, when it runs
	if err != nil || len(g.SubGraphs) != MaxNesting {
		t.Fatal(err)
	}
	if _, _, err := s.Update(t.Context(), "u", g.ID, chained(3, "s0"), Options{}); err != nil {
		t.Errorf("sub-graphs in a circle: %v", err)
	}
	if whole, err := s.ForRun(t.Context(), "u", g.ID, 0); err != nil || len(whole.SubGraphs) != 3 {
		t.Errorf("they are read as %v (%v)", whole, err)
	}
	deep := chained(MaxNesting+1, "s0")
	for name, err := range map[string]error{
		"create": third(s.Create(t.Context(), "u", deep, Options{})),
		"import": third(s.Create(t.Context(), "u", deep, Options{AllowMissing: true})),
		"update": third(s.Update(t.Context(), "u", g.ID, deep, Options{})),
	} {
		invalid, ok := errors.AsType[*Invalid](err)
		if !ok || !strings.Contains(invalid.NodeErrors["a"]["graph_id"], "deeper than 32") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func third[A, B any](_ A, _ B, err error) error { return err }

func TestConstantsOfAThousandLevelsAreKept(t *testing.T) {
	t.Parallel()
	s := serviceOf(t)
	deep := strings.Repeat(`{"a":[`, 500) + strings.Repeat("]}", 500)
	g, _, err := s.Create(t.Context(), "u", fmt.Appendf(nil, `{"name":"n","nodes":[{"id":"a","block_id":%q,"input_default":{"x":%s},"metadata":{"y":%s}}]}`, block.NoteID, deep, deep), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, read := range map[string]func() (json.RawMessage, error){
		"shown":    func() (json.RawMessage, error) { return s.Render(t.Context(), "u", g) },
		"exported": func() (json.RawMessage, error) { return s.Export(t.Context(), "u", g.ID, 0) },
	} {
		if text, err := read(); err != nil || strings.Count(string(text), deep) != 2 {
			t.Errorf("%s: %v", name, err)
		}
	}
}
