package graph

import (
	"encoding/json"
	"slices"

	"github.com/patchbay-io/patchbay/core/block/jsonscan"
)

// Masked is the graph for a run with input masks (execution.md 4.8): {node: {pin: value}}, values that beat the
// constants of nodes and what links bring, and that no link is awaited for. Nodes that the graph does not have may be
// those of nested agents. The graph itself is not changed.
func (g *Graph) Masked(masks json.RawMessage) *Graph {
	if empty(masks) {
		return g
	}
	masked := g.clone()
	masked.Masks = masks
	for i := range masked.SubGraphs {
		masked.SubGraphs[i].maskNodes(masks)
	}
	masked.maskNodes(masks)
	return masked
}

func (g *Graph) maskNodes(masks json.RawMessage) {
	for k, pins := range jsonscan.Members(masks) {
		id := jsonscan.Unquote(k)
		at := slices.IndexFunc(g.Nodes, func(n Node) bool { return n.ID == id })
		if at >= 0 && jsonscan.KindOf(pins) == jsonscan.Object {
			g.Nodes[at].Mask = pins
		}
	}
}

// ChildMasks are the masks for the run of a nested agent: those that its node has, overlaid by those of the run around.
func ChildMasks(n *Node, around json.RawMessage) json.RawMessage {
	own, ok := jsonscan.Find(n.InputDefault, "nodes_input_masks")
	switch {
	case !ok || jsonscan.KindOf(own) != jsonscan.Object:
		return around
	case empty(around):
		return own
	}
	masks := own
	for node, pins := range jsonscan.Members(around) {
		id := jsonscan.Unquote(node)
		merged, ok := jsonscan.Find(masks, id)
		if ok && jsonscan.KindOf(merged) == jsonscan.Object {
			for pin, value := range jsonscan.Members(pins) {
				merged = setMember(merged, jsonscan.Unquote(pin), value)
			}
			pins = merged
		}
		masks = setMember(masks, id, pins)
	}
	return masks
}

func empty(object json.RawMessage) bool {
	for range jsonscan.Members(object) {
		return false
	}
	return true
}

// Masks says whether an input mask has a value for a pin, named as links name it.
func (n *Node) Masks(pin string) bool {
	_, ok := jsonscan.Find(n.Mask, pin)
	return ok
}

// MaskOf is the value that an input mask has for a pin; nil where it has none.
func (n *Node) MaskOf(pin string) json.RawMessage {
	v, _ := jsonscan.Find(n.Mask, pin)
	return v
}

// withMask lays the node's mask over what is delivered to it.
func (n *Node) withMask(data []PinValue) []PinValue {
	if n.Mask == nil {
		return data
	}
	data = slices.Clip(data)
	for k, v := range jsonscan.Members(n.Mask) {
		data = append(data, PinValue{Pin: jsonscan.Unquote(k), Value: v})
	}
	return data
}
