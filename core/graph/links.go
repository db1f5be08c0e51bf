package graph

import (
	"fmt"
	"slices"
	"strings"

	"github.com/patchbay-io/patchbay/core/block"
)

// linkCheck checks the ends of a graph's links (execution.md 3.2).
type linkCheck struct {
	graph  *Graph
	nodes  map[string]int
	blocks Blocks
	report *report
	agents map[agentEnd]map[string]bool // pins of nested agents, read once
}

type agentEnd struct {
	node   int
	output bool
}

// validate checks both ends. An end that is no node is told at the node of the other end.
func (c *linkCheck) validate(l *Link) {
	source, sourceThere := c.nodes[l.SourceID]
	sink, sinkThere := c.nodes[l.SinkID]
	if !sourceThere {
		c.report.add(l.SinkID, l.SinkName, "link %s comes from node %q, which the graph does not have", describeLink(l), l.SourceID)
	} else {
		c.validateEnd(agentEnd{source, true}, l.SourceName, l)
	}
	if !sinkThere {
		c.report.add(l.SourceID, l.SourceName, "link %s leads to node %q, which the graph does not have", describeLink(l), l.SinkID)
	} else {
		c.validateEnd(agentEnd{sink, false}, l.SinkName, l)
	}
}

func (c *linkCheck) validateEnd(end agentEnd, pin string, l *Link) {
	n := &c.graph.Nodes[end.node]
	b, ok := c.blocks.Block(n.BlockID)
	if !ok || isToolPin(pin) {
		return // a missing block is told once, at the node
	}
	base, direction := Base(pin), "input"
	if end.output {
		direction = "output"
	}
	switch {
	case b.Kind == block.Agent:
		ok = c.agentPins(end)[base]
	case end.output:
		_, ok = b.Output(base)
	default:
		_, ok = b.Input(base)
	}
	if !ok {
		c.report.miss(n.ID, pin, "block %q has no %s %q (it has %s), which link %s needs",
			b.Name, direction, base, c.available(end, b), describeLink(l))
	}
}

// agentPins are the pins of a nested agent on one side. It has an error pin too.
func (c *linkCheck) agentPins(end agentEnd) map[string]bool {
	if pins, ok := c.agents[end]; ok {
		return pins
	}
	names, _ := agentPins(&c.graph.Nodes[end.node], agentSchema(end))
	pins := make(map[string]bool, len(names)+1)
	for _, name := range names {
		pins[name] = true
	}
	if end.output {
		pins[block.ErrorPin] = true
	}
	if c.agents == nil {
		c.agents = map[agentEnd]map[string]bool{}
	}
	c.agents[end] = pins
	return pins
}

func agentSchema(end agentEnd) string {
	if end.output {
		return "output_schema"
	}
	return "input_schema"
}

// maxNamedPins bounds what one message lists.
const maxNamedPins = 30

// available lists the pins that there are, in their order.
func (c *linkCheck) available(end agentEnd, b *block.Block) string {
	var names []string
	switch {
	case b.Kind == block.Agent:
		names, _ = agentPins(&c.graph.Nodes[end.node], agentSchema(end))
		if end.output && !slices.Contains(names, block.ErrorPin) {
			names = append(names, block.ErrorPin)
		}
	case end.output:
		names = pinNames(b.Outputs())
	default:
		names = pinNames(b.Inputs())
	}
	if len(names) > maxNamedPins {
		names = append(names[:maxNamedPins:maxNamedPins], "…")
	}
	return strings.Join(names, ", ")
}

func isToolPin(pin string) bool { return pin == "tools" || strings.HasPrefix(pin, "tools_^_") }

func describeLink(l *Link) string {
	return fmt.Sprintf("%s.%s -> %s.%s", l.SourceID, l.SourceName, l.SinkID, l.SinkName)
}

func pinNames(pins []*block.Pin) []string {
	names := make([]string, len(pins))
	for i, p := range pins {
		names[i] = p.Name
	}
	return names
}
