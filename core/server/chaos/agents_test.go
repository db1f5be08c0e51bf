//go:build linux

package chaos

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// randomAgent is an agent of which simple arithmetic knows what it must do.
type randomAgent struct {
	name     string
	document []byte
	inputs   []string       // of its executions, which are started one after another
	outputs  [][]string     // of each, in any order
	runs     map[string]int // node executions of each node, in each execution
	nested   int            // executions of nested agents, in each execution
	key      string         // what it keeps across agents, if anything
	kept     []string       // one of these is kept in the end
	marked   []string       // values whose marks are made
	once     string         // the node that is never repeated, so that it may have failed
}

// drawer builds a random agent.
type drawer struct {
	*rand.Rand
	nodes []graphNode
	links []graphLink
	runs  map[string]int
}

func draw(r *rand.Rand) *drawer { return &drawer{Rand: r, runs: map[string]int{}} }

func (d *drawer) node(id, block string, runs int, constants map[string]any) {
	d.nodes = append(d.nodes, graphNode{id, block, constants})
	d.runs[id] = runs
}

// link reads "node.pin -> node.pin".
func (d *drawer) link(links ...string) {
	for _, l := range links {
		from, to, _ := strings.Cut(l, " -> ")
		source, out, _ := strings.Cut(from, ".")
		sink, in, _ := strings.Cut(to, ".")
		d.links = append(d.links, graphLink{SourceID: source, SourceName: out, SinkID: sink, SinkName: in})
	}
}

func (d *drawer) document() []byte {
	for i := range d.links {
		d.links[i].ID = "l" + strconv.Itoa(i)
	}
	return document(d.nodes, d.links)
}

// nesting is a child that adds 1, for the agents that nest it.
func nesting() []byte {
	return through(calculatorBlock, "a", "result", map[string]any{"operation": "Add", "b": 1})
}

// items is the list 0 … n-1 as JSON.
func items(n int) string {
	all := make([]string, n)
	for i := range all {
		all[i] = strconv.Itoa(i)
	}
	return "[" + strings.Join(all, ",") + "]"
}

// drawAgent draws one of all kinds. Its name is like no other's, since keys and marks are the user's.
func drawAgent(r *rand.Rand, name, child, marks string) *randomAgent {
	switch r.IntN(10) {
	case 0, 1, 2, 3:
		return pipeline(r, name, child)
	case 4, 5:
		return counter(r, name)
	case 6:
		return collector(r, name)
	case 7, 8:
		return marker(r, name, marks)
	default:
		return strict(r, name, marks)
	}
}

// pipeline sends a list through a stream, a join and random stages, each of which sees every item once.
func pipeline(r *rand.Rand, name, child string) *randomAgent {
	d := draw(r)
	n := 5 + d.IntN(60)
	factor := 1 + d.IntN(5)
	a := &randomAgent{name: "pipeline " + name, inputs: []string{fmt.Sprintf(`{"Value":%s,"Factor":%d}`, items(n), factor)}}
	d.node("in", inputBlock, 1, map[string]any{"name": "Value"})
	d.node("factor", inputBlock, 1, map[string]any{"name": "Factor"})
	d.node("step", stepBlock, 1, map[string]any{})
	d.node("join", calculatorBlock, n, map[string]any{"operation": "Add"})
	d.link("in.result -> step.items", "step.item -> join.a", "step.key -> join.b")
	values := make([]int, n)
	for i := range values {
		values[i] = 2 * i
	}
	at, kept := "join.result", []int(nil)
	for s := range 1 + d.IntN(5) {
		id := "s" + strconv.Itoa(s)
		switch d.IntN(6) {
		case 0:
			d.node(id, calculatorBlock, n, map[string]any{"operation": "Multiply"})
			d.link(at+" -> "+id+".a", "factor.result -> "+id+".b")
			apply(values, func(v int) int { return v * factor })
			at = id + ".result"
		case 1, 2:
			if a.key != "" { // two places that write one key would be a race
				d.node(id, storeBlock, n, nil)
				d.nodes[len(d.nodes)-1].BlockID = conditionBlock
				d.nodes[len(d.nodes)-1].InputDefault = map[string]any{"operator": ">=", "value2": 0}
				d.link(at + " -> " + id + ".value1")
				at = id + ".yes_output"
				continue
			}
			a.key = a.name
			d.node(id, persistBlock, n, map[string]any{"key": a.key, "scope": "across_agents"})
			d.link(at + " -> " + id + ".value")
			kept = slices.Clone(values)
			at = id + ".value"
		case 3:
			d.node(id, countdownBlock, n, map[string]any{"seconds": 0})
			d.link(at + " -> " + id + ".input_message")
			at = id + ".output_message"
		case 4:
			d.node(id, agentBlock, n, map[string]any{
				"graph_id": child, "graph_version": 1, "inputs": map[string]any{},
				"input_schema":  map[string]any{"type": "object", "properties": map[string]any{"Value": map[string]any{}}, "required": []string{"Value"}},
				"output_schema": map[string]any{"type": "object", "properties": map[string]any{"Output": map[string]any{}}},
			})
			d.link(at + " -> " + id + ".Value")
			apply(values, func(v int) int { return v + 1 })
			a.nested += n
			at = id + ".Output"
		case 5: // both ways lead on
			bound := d.IntN(2 * n)
			d.node(id, conditionBlock, n, map[string]any{"operator": ">", "value2": bound, "no_value": -1})
			d.node(id+"x", calculatorBlock, n, map[string]any{"operation": "Add", "b": 3})
			d.link(at+" -> "+id+".value1", id+".yes_output -> "+id+"x.a", id+".no_output -> "+id+"x.a")
			apply(values, func(v int) int {
				if v > bound {
					return v + 3
				}
				return 2
			})
			at = id + "x.result"
		}
	}
	d.node("out", outputBlock, n, map[string]any{"name": "Output"})
	d.link(at + " -> out.value")
	a.document, a.runs, a.outputs, a.kept = d.document(), d.runs, [][]string{numerals(values)}, numerals(kept)
	return a
}

// counter goes round a loop that reads a key, adds 1 and keeps it, until there is enough.
func counter(r *rand.Rand, name string) *randomAgent {
	d := draw(r)
	n := 3 + d.IntN(25)
	a := &randomAgent{name: "counter " + name, inputs: []string{`{"Value":0}`}, kept: []string{strconv.Itoa(n)}}
	a.key = a.name
	key := func(more map[string]any) map[string]any {
		more["key"], more["scope"] = a.key, "across_agents"
		return more
	}
	d.node("in", inputBlock, 1, map[string]any{"name": "Value"})
	d.node("read", retrieveBlock, n, key(map[string]any{}))
	d.node("add", calculatorBlock, n, map[string]any{"operation": "Add", "b": 1})
	d.node("keep", persistBlock, n, key(map[string]any{}))
	d.node("enough", conditionBlock, n, map[string]any{"operator": "<", "value2": n})
	d.node("out", outputBlock, 1, map[string]any{"name": "Output"})
	d.link("in.result -> read.default_value", "read.value -> add.a", "add.result -> keep.value", "keep.value -> enough.value1",
		"enough.yes_output -> read.default_value", "enough.no_output -> out.value")
	a.document, a.runs, a.outputs = d.document(), d.runs, [][]string{a.kept}
	return a
}

// collector adds to what earlier executions have collected: a repeated run that sees its own write would add twice.
func collector(r *rand.Rand, name string) *randomAgent {
	d := draw(r)
	n := 3 + d.IntN(6)
	a := &randomAgent{name: "collector " + name, outputs: make([][]string, n)}
	var all []string
	for i := range n {
		item := fmt.Sprintf(`{"k":%d}`, i)
		all = append(all, item)
		a.inputs = append(a.inputs, `{"Value":`+item+`}`)
	}
	a.outputs[n-1] = []string{"[" + strings.Join(all, ",") + "]"}
	d.node("in", inputBlock, 1, map[string]any{"name": "Value"})
	d.node("collect", samplingBlock, 1, map[string]any{"sample_size": n, "accumulate": true, "sampling_method": "top"})
	d.node("out", outputBlock, -1, map[string]any{"name": "Output"}) // only in the last
	d.link("in.result -> collect.data", "collect.sampled_data -> out.value")
	a.document, a.runs = d.document(), d.runs
	return a
}

// marker has an effect elsewhere for each item, which may be repeated, under the same key.
func marker(r *rand.Rand, name, marks string) *randomAgent {
	d := draw(r)
	n := 1 + d.IntN(20)
	a := &randomAgent{name: "marker " + name}
	for i := range n {
		a.marked = append(a.marked, fmt.Sprintf("%q", fmt.Sprintf("%s.%d", a.name, i)))
	}
	a.inputs = []string{`{"Value":[` + strings.Join(a.marked, ",") + `]}`}
	d.node("in", inputBlock, 1, map[string]any{"name": "Value"})
	d.node("step", stepBlock, 1, map[string]any{})
	d.node("mark", markBlock, n, map[string]any{"url": marks})
	d.node("out", outputBlock, n, map[string]any{"name": "Output"})
	d.link("in.result -> step.items", "step.item -> mark.value", "mark.value -> out.value")
	a.document, a.runs, a.outputs = d.document(), d.runs, [][]string{slices.Sorted(slices.Values(a.marked))}
	return a
}

// strict has an effect that is never repeated.
func strict(r *rand.Rand, name, marks string) *randomAgent {
	d := draw(r)
	a := &randomAgent{name: "strict " + name, once: "mark"}
	for i := range 1 + d.IntN(6) {
		value := fmt.Sprintf("%q", fmt.Sprintf("%s.%d", a.name, i))
		a.marked = append(a.marked, value)
		a.inputs = append(a.inputs, `{"Value":`+value+`}`)
		a.outputs = append(a.outputs, []string{value})
	}
	d.node("in", inputBlock, 1, map[string]any{"name": "Value"})
	d.node("mark", markOnceBlock, 1, map[string]any{"url": marks})
	d.node("out", outputBlock, 1, map[string]any{"name": "Output"})
	d.link("in.result -> mark.value", "mark.value -> out.value")
	a.document, a.runs = d.document(), d.runs
	return a
}

func apply(values []int, f func(int) int) {
	for i := range values {
		values[i] = f(values[i])
	}
}

func numerals(values []int) []string {
	var all []string
	for _, v := range values {
		all = append(all, strconv.Itoa(v))
	}
	slices.Sort(all)
	return all
}
