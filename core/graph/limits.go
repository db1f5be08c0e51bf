package graph

import (
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"github.com/patchbay-io/patchbay/core/block"
)

// Limits of what is saved at once: a graph together with its sub-graphs. What a person draws has hundreds of nodes; beyond
// these a graph is a mistake, or meant to cost the server more than it costs its sender.
const (
	MaxNodes     = 10_000
	MaxLinks     = 50_000
	MaxSubGraphs = 1_000
	// MaxName and MaxText bound names, and descriptions and instructions, in characters: lists show them.
	MaxName = 1_000
	MaxText = 100_000
	// MaxNesting is how deep agents can be nested: one that is deeper never runs.
	MaxNesting = 32
)

// counted are the entries of a list, or none where there are too many: they need not be looked at.
func (d *decoder) counted(v json.RawMessage, path, what string, sum *int, limit int) []json.RawMessage {
	list := d.list(v, path)
	if *sum += len(list); *sum > limit && !d.stored {
		d.fields[path] = fmt.Sprintf("may be at most %d %s, those of sub-graphs included", limit, what)
		return nil
	}
	return list
}

// bound refuses a text of more characters than limit.
func (d *decoder) bound(path, text string, limit int) {
	if len(text) > limit && utf8.RuneCountInString(text) > limit && !d.stored {
		d.fields[path] = fmt.Sprintf("may have at most %d characters", limit)
	}
}

// validateNesting refuses sub-graphs that are nested too deeply to be run on the shortest way to them. Agents may nest
// themselves: those end, or fail, when they run.
func validateNesting(g *Graph, r *report) {
	subs := make(map[string]*Graph, len(g.SubGraphs))
	for i := range g.SubGraphs {
		subs[g.SubGraphs[i].ID] = &g.SubGraphs[i]
	}
	level := []*Graph{g}
	for depth := 1; len(level) > 0; depth++ {
		var next []*Graph
		for _, from := range level {
			for i := range from.Nodes {
				n := &from.Nodes[i]
				if n.BlockID != block.AgentID {
					continue
				}
				id := NestedAgent(n).GraphID
				sub := subs[id]
				if sub == nil {
					continue
				}
				if depth > MaxNesting {
					r.add(n.ID, "graph_id", "agents cannot be nested deeper than %d", MaxNesting)
					continue
				}
				delete(subs, id) // it is reached
				next = append(next, sub)
			}
		}
		level = next
	}
}
