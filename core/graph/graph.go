// Package graph holds agents as graphs of nodes and links: the model, its validation, derived schemas, import, export
// and versions, and how a node's input is put together from constants and delivered values. It runs nothing and knows
// neither plugins nor executions; blocks are asked of whoever knows them. Values pass through it as JSON bytes.
package graph

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/patchbay-io/patchbay/core/block"
)

// Blocks knows the blocks that there are.
type Blocks interface {
	Block(id string) (*block.Block, bool)
}

// Graph is one version of an agent. One that was read from the store is shared and must not be changed.
type Graph struct {
	ID                string
	Version           int
	UserID            string
	Name              string
	Description       string
	Instructions      *string
	RecommendedCron   *string
	ForkedFromID      *string
	ForkedFromVersion *int
	IsActive          bool
	Settings          Settings
	Nodes             []Node
	Links             []Link
	SubGraphs         []Graph         // flat: all graphs that nested agents lead to; not stored with the graph
	Masks             json.RawMessage // of a run, see Masked
	CreatedAt         time.Time
	UpdatedAt         time.Time
	unbound           []Missing // nested agents that are not there
}

// Node is a block placed in a graph.
type Node struct {
	ID           string          `json:"id"`
	BlockID      string          `json:"block_id"`
	InputDefault json.RawMessage `json:"input_default"` // object: constants by pin, dynamic ones too
	Metadata     json.RawMessage `json:"metadata"`      // object: what user interfaces keep
	Mask         json.RawMessage `json:"-"`             // object: of a run, see Masked
}

// Link leads from an output pin to an input pin.
type Link struct {
	ID         string `json:"id"`
	SourceID   string `json:"source_id"`
	SinkID     string `json:"sink_id"`
	SourceName string `json:"source_name"`
	SinkName   string `json:"sink_name"`
	IsStatic   bool   `json:"is_static"`
}

// Summary is a graph as lists show it.
type Summary struct {
	ID          string
	Version     int
	Name        string
	Description string
	IsActive    bool
	CreatedAt   time.Time
	UpdatedAt   time.Time
}

// Invalid says everything that is wrong with a graph or with the inputs of a run.
type Invalid struct {
	Message    string
	NodeErrors map[string]map[string]string // node → pin → message
	Fields     map[string]string            // input_data.<name> → message; of runs only
}

// Error is the summary.
func (e *Invalid) Error() string { return e.Message }

// Node is a node by its id.
func (g *Graph) Node(id string) (*Node, bool) {
	for i := range g.Nodes {
		if g.Nodes[i].ID == id {
			return &g.Nodes[i], true
		}
	}
	return nil, false
}

// clone is a copy that can be changed. Constants and metadata are shared: they are replaced, never written to.
func (g *Graph) clone() *Graph {
	c := *g
	c.Nodes, c.Links = slices.Clone(g.Nodes), slices.Clone(g.Links)
	c.SubGraphs = slices.Clone(g.SubGraphs)
	for i := range c.SubGraphs {
		c.SubGraphs[i] = *c.SubGraphs[i].clone()
	}
	return &c
}

// nodeIndex finds nodes of large graphs by their ids.
func (g *Graph) nodeIndex() map[string]int {
	index := make(map[string]int, len(g.Nodes))
	for i := range g.Nodes {
		index[g.Nodes[i].ID] = i
	}
	return index
}
