package execution

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/core/graph"
)

const (
	numberBlock = "96dae2bb-97a2-41c2-bd2f-13a3b5a8ea98"
	toggleBlock = "cbf36ab5-df4a-43b6-8a7f-f7ed8652116e"
	tableBlock  = "5603b273-f41e-4020-af7d-fbc9c6a8d928"
)

// modelInputs are the inputs of the executions that are compared with the model.
var modelInputs = json.RawMessage(`{"x0":{"k":[7,null]},"x1":null,"x3":"3","x4":9007199254740993}`)

// oddValues are those that blocks of the model's graphs yield beside numbers: what selectors find something or
// nothing in, what an integer pin refuses, what must come out as it went in.
var oddValues = []string{
	`null`, `null`, `true`, `false`, `{"k":[1,2]}`, `{"k":null}`, `{"k":[null]}`, `[3,4]`, `[]`, `"3"`, `"\u0000<"`, `1e400`, `{"b":1, "a":2}`,
}

// various yields one to five values and sometimes fails, as the input's bytes say.
func various(in json.RawMessage) ([]output, string) {
	h := fnv.New32a()
	h.Write(in)
	dice := h.Sum32()
	roll := func(n uint32) uint32 {
		dice = dice*1664525 + 1013904223
		return (dice >> 8) % n
	}
	var outputs []output
	for range 1 + roll(5) {
		pin, raw := "p", fmt.Sprint(roll(100_000))
		if roll(3) == 0 {
			pin = "q"
		}
		if roll(2) == 0 {
			raw = oddValues[roll(uint32(len(oddValues)))]
		}
		outputs = append(outputs, output{pin: pin, value: &value{raw: json.RawMessage(raw)}})
	}
	if roll(7) == 0 {
		return outputs, fmt.Sprintf("boom %d", roll(10))
	}
	return outputs, ""
}

// passed yields the value of its pin a, so that what met what can be seen behind it.
func passed(in json.RawMessage) ([]output, string) {
	return []output{{pin: "p", value: &value{raw: object(in)["a"]}}}, ""
}

// joined yields its input, unless that has grown too large in some cycle.
func joined(in json.RawMessage) ([]output, string) {
	if len(in) > 500 {
		in = json.RawMessage(`{"k":["long"]}`)
	}
	return []output{{pin: "p", value: &value{raw: in}}}, ""
}

// modelBlocks are the blocks of the graphs that are compared with the model.
var modelBlocks = func() map[string]testBlock {
	blocks := maps.Clone(testBlocks)
	for i, b := range []struct {
		name     string
		traits   block.Traits
		static   bool
		required string
		run      func(json.RawMessage) ([]output, string)
	}{
		{"Various", block.Traits{}, false, `["a"]`, various},
		{"Pure Various", block.Traits{Pure: true}, false, `["a"]`, various},
		{"Stream", block.Traits{Streaming: true}, false, `["a"]`, various},
		{"Pure Stream", block.Traits{Pure: true, Streaming: true}, false, `[]`, various},
		{"Static Stream", block.Traits{Streaming: true}, true, `["a"]`, various},
		{"Once", block.Traits{Once: true}, false, `["a"]`, various},
		{"Pass", block.Traits{Pure: true}, false, `["a"]`, passed},
		{"Static Pass", block.Traits{}, true, `["a"]`, passed},
		{"Join", block.Traits{Pure: true}, false, `["a","b"]`, joined},
		{"Join Numbers", block.Traits{}, false, `["a","n"]`, joined},
	} {
		made, err := block.New(block.Definition{
			ID: testBlockID(20 + i), Name: b.name, Kind: block.Standard, StaticOutput: b.static, Traits: b.traits,
			InputSchema:  json.RawMessage(`{"type":"object","properties":{"a":{},"b":{},"n":{"type":"integer"}},"required":` + b.required + `}`),
			OutputSchema: json.RawMessage(`{"type":"object","properties":{"p":{},"q":{}}}`),
		})
		if err != nil {
			panic(err)
		}
		blocks[made.ID] = testBlock{made, b.run}
	}
	return blocks
}()

const modelBlockCount = 10

// drawModelGraph makes a random graph that may be executed with modelInputs. Its first node always starts.
func drawModelGraph(t *rapid.T) *graph.Graph {
	g := &graph.Graph{ID: uuid.NewString(), Version: 1, Name: "random"}
	ids := []string{inputBlock, inputBlock, numberBlock, toggleBlock, tableBlock, block.FileID, outputBlock, outputBlock, outputBlock}
	for i := range modelBlockCount {
		ids = append(ids, testBlockID(20+i), testBlockID(20+i))
	}
	n := rapid.IntRange(2, 8).Draw(t, "nodes")
	for i := range n {
		g.Nodes = append(g.Nodes, graph.Node{ID: fmt.Sprintf("n%d", i), BlockID: rapid.SampledFrom(ids).Draw(t, "block")})
	}
	drawModelLinks(t, g)
	for i := range g.Nodes {
		g.Nodes[i].InputDefault = json.RawMessage(drawConstants(t, g, &g.Nodes[i]))
	}
	// What is refused before anything runs is another test's matter: such nodes get what they lack.
	if invalid := (*graph.Invalid)(nil); errors.As(graph.ValidateForRun(g, catalogue(modelBlocks), modelInputs, nil), &invalid) {
		for i := range g.Nodes {
			if invalid.NodeErrors[g.Nodes[i].ID] != nil {
				g.Nodes[i].InputDefault = json.RawMessage(`{"a":1,"b":2,"n":3}`)
			}
		}
	}
	return g
}

func drawModelLinks(t *rapid.T, g *graph.Graph) {
	loops := rapid.Bool().Draw(t, "loops")
	n := len(g.Nodes)
	for i := range rapid.IntRange(n, 4*n).Draw(t, "links") {
		from, to := rapid.IntRange(0, n-1).Draw(t, "from"), rapid.IntRange(0, n-1).Draw(t, "to")
		if !loops && from > to {
			from, to = to, from
		}
		source, sink := modelBlocks[g.Nodes[from].BlockID], modelBlocks[g.Nodes[to].BlockID]
		if to == 0 && sink.Kind != block.Input || !loops && from == to {
			continue
		}
		out := []string{"p", "p", "p", "q", "q", "error", "error", "error_#_k", "p_#_k", "p_#_k_$_0", "q_$_1", "q_#_b"}
		switch source.Kind {
		case block.Input:
			out = []string{"result", "result", "result_#_k", "result_#_k_$_1"}
		case block.Output:
			out = []string{"output", "name", "output_#_k"}
		}
		in := []string{"a", "a", "a", "b", "b", "n", "a_#_k", "b_$_1", "b_$_0"}
		switch sink.Kind {
		case block.Input:
			in = []string{"value"}
		case block.Output:
			in = []string{"value", "value", "value_#_k", "name", "format"}
		}
		g.Links = append(g.Links, graph.Link{
			ID: fmt.Sprintf("l%d", i), SourceID: g.Nodes[from].ID, SinkID: g.Nodes[to].ID,
			SourceName: rapid.SampledFrom(out).Draw(t, "source"), SinkName: rapid.SampledFrom(in).Draw(t, "sink"),
			IsStatic: source.StaticOutput || rapid.IntRange(0, 3).Draw(t, "static") == 0,
		})
	}
}

// drawConstants makes a node's constants. Those of nodes that start must fit.
func drawConstants(t *rapid.T, g *graph.Graph, n *graph.Node) string {
	linked := linkedTo(g, n, "")
	b := modelBlocks[n.BlockID]
	var choices []string
	switch {
	case n.BlockID == inputBlock && linked:
		choices = []string{`{"name":"x0"}`, `{"name":"x1","value":5}`, `{"value":6,"name":"x3"}`}
	case n.BlockID == inputBlock:
		choices = []string{`{"name":"x0"}`, `{"name":"x1","value":5}`, `{"name":"x2","value":{"k":[6]}}`, `{"name":"x4"}`}
	case n.BlockID == numberBlock:
		choices = []string{`{"name":"x3"}`, `{"name":"x4","value":5}`, `{"name":"x1"}`}
	case n.BlockID == block.FileID && linked:
		choices = []string{`{"name":"x1"}`, `{"name":"x3","base_64":true}`}
	case n.BlockID == block.FileID:
		choices = []string{`{"name":"x1"}`, `{"name":"x3","base_64":true}`, `{"name":"x2","value":""}`, `{"name":"x2","value":"f"}`}
	case b.Kind == block.Input:
		choices = []string{`{"name":"x1"}`}
	case b.Kind == block.Output:
		choices = []string{`{"name":"y0"}`, `{"value":{"k":7},"name":"y1"}`, `{"name":"y2","value":1e400}`, `{"name":"y0","format":"<{{ y0 }}>"}`}
	case !linked:
		choices = []string{`{"a":1,"b":2,"n":3}`, `{"a":[1],"b_$_1":5,"n":"7"}`, `{"b":null,"n":0,"a_#_k":4,"b_#_x":1}`}
	default:
		choices = []string{
			`{}`, `{}`, `{"a":1}`, `{"a":1,"b":2,"n":3}`, `{"b":[8],"a_#_z":"z"}`, `{"n":true,"a":null}`, `{"n":[1,2],"b_#_k":{}}`,
		}
		// Whether a null lacks a value beside a dynamic pin that cannot be merged would be a matter of taste.
		if pin, _ := b.Input("b"); !pin.Required && !linkedTo(g, n, "a_#_k") {
			choices = append(choices, `{"b_$_x":1,"a":1}`)
		}
	}
	return rapid.SampledFrom(choices).Draw(t, "constants")
}

// linkedTo says whether a link leads to a pin of n, or to any where pin is empty.
func linkedTo(g *graph.Graph, n *graph.Node, pin string) bool {
	return slices.ContainsFunc(g.Links, func(l graph.Link) bool { return l.SinkID == n.ID && (pin == "" || l.SinkName == pin) })
}

// object are the members of an object, each as it came.
func object(raw json.RawMessage) map[string]json.RawMessage {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		panic(err)
	}
	return members
}

func text(raw json.RawMessage) string {
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		panic(err)
	}
	return s
}
