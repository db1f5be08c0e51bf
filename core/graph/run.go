package graph

import (
	"encoding/json"
	"errors"

	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/core/block/jsonscan"
)

// Start is a node with which a run begins, and what the run's inputs bring it.
type Start struct {
	Node int // index in Graph.Nodes
	Data []PinValue
}

// Starting are the nodes with which a run begins (execution.md 4.2): those that no link leads to, and all input
// nodes. Notes never run. Nodes whose block is unknown are left out.
func Starting(g *Graph, blocks Blocks, inputs json.RawMessage) []Start {
	sinks := make(map[string]bool, len(g.Links))
	for i := range g.Links {
		sinks[g.Links[i].SinkID] = true
	}
	var starts []Start
	for i := range g.Nodes {
		n := &g.Nodes[i]
		b, ok := blocks.Block(n.BlockID)
		if !ok || b.Kind == block.Note || sinks[n.ID] && b.Kind != block.Input {
			continue
		}
		s := Start{Node: i}
		if b.Kind == block.Input {
			if v, ok := runInput(n, inputs); ok {
				s.Data = []PinValue{{Pin: "value", Value: v}}
			}
		}
		starts = append(starts, s)
	}
	return starts
}

// runInput is what a run's inputs hold for an input node.
func runInput(n *Node, inputs json.RawMessage) (json.RawMessage, bool) {
	name, ok := jsonscan.Find(n.InputDefault, "name")
	if !ok {
		return nil, false
	}
	return jsonscan.Find(inputs, jsonscan.Unquote(name))
}

// ValidateForRun checks a graph, its sub-graphs and the inputs of a run as executing demands (execution.md 3.2, 3.4).
// All errors come at once, as an *Invalid; credentials are those that the caller has found, by node and pin.
func ValidateForRun(g *Graph, blocks Blocks, inputs json.RawMessage, credentials map[string]map[string]string) error {
	r := report{}
	validateTree(g, blocks, &r, true)
	return r.start(g, blocks, inputs, credentials)
}

// ValidateStart is ValidateForRun for a graph without sub-graphs that it has found valid with the same blocks: what is left
// is what another run may bring.
func ValidateStart(g *Graph, blocks Blocks, inputs json.RawMessage, credentials map[string]map[string]string) error {
	return (&report{}).start(g, blocks, inputs, credentials)
}

// start ends the report with what a run brings.
func (r *report) start(g *Graph, blocks Blocks, inputs json.RawMessage, credentials map[string]map[string]string) error {
	for _, m := range append(r.missing, g.unbound...) {
		r.add(m.NodeID, m.Pin, "%s", m.Message)
	}
	for node, pins := range credentials {
		for pin, message := range pins {
			r.add(node, pin, "%s", message)
		}
	}
	fields := validateInputs(g, blocks, inputs, r)
	starts := Starting(g, blocks, inputs)
	for _, s := range starts {
		validateStart(g, s, blocks, r)
	}
	err := r.err("Graph validation failed")
	switch {
	case err == nil && len(starts) == 0:
		err = &Invalid{Message: "nothing to start with: the graph needs an input node or a node that no link leads to"}
	case err == nil:
		return nil
	}
	var invalid *Invalid
	if errors.As(err, &invalid) {
		invalid.Fields = fields
	}
	return err
}

// validateInputs demands a value for every name in the graph's input_schema.required.
func validateInputs(g *Graph, blocks Blocks, inputs json.RawMessage, r *report) map[string]string {
	var fields map[string]string
	for i := range g.Nodes {
		n := &g.Nodes[i]
		b, ok := blocks.Block(n.BlockID)
		if !ok || b.Kind != block.Input {
			continue
		}
		name, ok := jsonscan.Find(n.InputDefault, "name")
		if !ok || !valueIsNull(n, b) {
			continue
		}
		if _, given := runInput(n, inputs); given || n.Masks("value") {
			continue
		}
		if fields == nil {
			fields = map[string]string{}
		}
		fields["input_data."+jsonscan.Unquote(name)] = required
		r.add(n.ID, "value", required)
	}
	return fields
}

// valueIsNull says whether an input or output node has no value of its own: then its name is required.
func valueIsNull(n *Node, b *block.Block) bool {
	if v, ok := jsonscan.Find(n.InputDefault, "value"); ok {
		return jsonscan.KindOf(v) == jsonscan.Null
	}
	p, ok := b.Input("value")
	return !ok || p.Default == nil || jsonscan.KindOf(p.Default) == jsonscan.Null
}

// validateStart tries a starting node's input.
func validateStart(g *Graph, s Start, blocks Blocks, r *report) {
	n := &g.Nodes[s.Node]
	b, _ := blocks.Block(n.BlockID)
	if b.Kind == block.Webhook || b.Kind == block.WebhookManual {
		if _, ok := jsonscan.Find(n.InputDefault, "payload"); !ok {
			r.add(n.ID, "payload", "the agent is started by an external event")
		}
		return
	}
	if b.Kind == block.Input {
		for i := range g.Links { // a constant never stands in for a link
			if l := &g.Links[i]; l.SinkID == n.ID && (l.SinkName != "value" || len(s.Data) == 0) && !n.Masks(l.SinkName) {
				r.add(n.ID, l.SinkName, required)
			}
		}
	}
	a, err := Assemble(n, b, s.Data)
	var invalid *InvalidInput
	if errors.As(err, &invalid) {
		r.add(n.ID, invalid.Pin, "expects %s, got %s", invalid.Want, invalid.Got)
	}
	for _, pin := range a.Missing {
		r.add(n.ID, pin, required)
	}
}
