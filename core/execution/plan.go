package execution

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/core/graph"
)

// Plan is what an execution runs by from its start to its end: the graph version and the definitions of its blocks,
// compiled. Neither an edit of the graph nor an upgrade of a plugin changes it. It is immutable and shared.
type Plan struct {
	ID       [sha256.Size]byte // digest of the document
	Document string            // what is stored
	Graph    *graph.Graph
	nodes    []planNode
	links    []planLink
	blocks   map[string]*block.Block
	mask     *mask // hides the secrets of Graph.UserID from others
}

type planNode struct {
	node        *graph.Node
	block       *block.Block
	awaited     []string // distinct sink pins of the inbound links, raw, in the order of links
	static      map[string]bool
	outbound    []int // links that leave the node, in stored order
	handlesFail bool  // its error pin is linked
	ahead       *ahead
	limits      graph.NodeLimits
	skipped     bool // it does nothing: the execution lacks its credentials
}

type planLink struct {
	graph.Link
	sink int
	base string // the output pin that the link leaves from
}

// planDocument is the stored form. Constants are kept as text, since encoding/json compacts raw messages and what a
// client sent must come out as it went in.
type planDocument struct {
	GraphID string             `json:"graph_id"`
	Version int                `json:"version"`
	UserID  string             `json:"user_id,omitempty"` // the author; nobody in plans of before there was a store
	Nodes   []planDocumentNode `json:"nodes"`
	Links   []graph.Link       `json:"links"`
	Blocks  []block.Definition `json:"blocks"`
	Secrets []string           `json:"secrets,omitempty"` // of the author, in nested agents too
	Masks   string             `json:"masks,omitempty"`   // input masks of the run: JSON
}

type planDocumentNode struct {
	ID           string            `json:"id"`
	BlockID      string            `json:"block_id"`
	InputDefault string            `json:"input_default"`
	Limits       *graph.NodeLimits `json:"limits,omitempty"`
}

// newPlan snapshots g, whose blocks must all be known (graph.ValidateForRun has seen to that).
func newPlan(g *graph.Graph, blocks graph.Blocks) (*Plan, error) {
	doc := planDocument{GraphID: g.ID, Version: g.Version, UserID: g.UserID, Links: g.Links, Secrets: secretsOf(g, blocks), Masks: string(g.Masks)}
	known := map[string]*block.Block{}
	for i := range g.Nodes {
		n := &g.Nodes[i]
		limited := planDocumentNode{ID: n.ID, BlockID: n.BlockID, InputDefault: string(n.InputDefault)}
		if l, err := n.Limits(); err == nil && l != (graph.NodeLimits{}) {
			limited.Limits = &l
		}
		doc.Nodes = append(doc.Nodes, limited)
		if known[n.BlockID] != nil {
			continue
		}
		b, ok := blocks.Block(n.BlockID)
		if !ok {
			return nil, fmt.Errorf("node %s: no installed plugin provides block %s", n.ID, n.BlockID)
		}
		known[n.BlockID] = b
		doc.Blocks = append(doc.Blocks, b.Definition)
	}
	text, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("encode plan: %w", err)
	}
	return compilePlan(string(text), doc, known)
}

// loadPlan compiles a stored plan.
func loadPlan(text string) (*Plan, error) {
	var doc planDocument
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		return nil, fmt.Errorf("decode plan: %w", err)
	}
	blocks := make(map[string]*block.Block, len(doc.Blocks))
	for _, d := range doc.Blocks {
		b, err := block.New(d)
		if err != nil {
			return nil, fmt.Errorf("plan's block %s: %w", d.ID, err)
		}
		blocks[d.ID] = b
	}
	return compilePlan(text, doc, blocks)
}

func compilePlan(text string, doc planDocument, blocks map[string]*block.Block) (*Plan, error) {
	p := &Plan{
		ID: sha256.Sum256([]byte(text)), Document: text, blocks: blocks,
		Graph: &graph.Graph{ID: doc.GraphID, Version: doc.Version, UserID: doc.UserID, Links: doc.Links},
		mask:  newMask(doc.Secrets),
		nodes: make([]planNode, len(doc.Nodes)),
		links: make([]planLink, len(doc.Links)),
	}
	index := make(map[string]int, len(doc.Nodes))
	for i, n := range doc.Nodes {
		index[n.ID] = i
		p.Graph.Nodes = append(p.Graph.Nodes, graph.Node{ID: n.ID, BlockID: n.BlockID, InputDefault: json.RawMessage(n.InputDefault)})
	}
	p.Graph = p.Graph.Masked(json.RawMessage(doc.Masks))
	for i := range p.Graph.Nodes {
		n := &p.Graph.Nodes[i]
		b, ok := blocks[n.BlockID]
		if !ok {
			return nil, fmt.Errorf("plan lacks block %s of node %s", n.BlockID, n.ID)
		}
		p.nodes[i] = planNode{node: n, block: b, static: map[string]bool{}}
		if l := doc.Nodes[i].Limits; l != nil {
			p.nodes[i].limits = *l
		}
	}
	for i, l := range doc.Links {
		source, ok := index[l.SourceID]
		sink, ok2 := index[l.SinkID]
		if !ok || !ok2 {
			return nil, fmt.Errorf("link %s joins a node that the plan lacks", l.ID)
		}
		p.links[i] = planLink{Link: l, sink: sink, base: graph.Base(l.SourceName)}
		from, to := &p.nodes[source], &p.nodes[sink]
		from.outbound = append(from.outbound, i)
		from.handlesFail = from.handlesFail || p.links[i].base == errorPin
		if !slices.Contains(to.awaited, l.SinkName) && !to.node.Masks(l.SinkName) {
			to.awaited = append(to.awaited, l.SinkName)
		}
		if l.IsStatic {
			to.static[l.SinkName] = true
		}
	}
	p.lookAhead()
	return p, nil
}

// Block makes the plan a graph.Blocks of the blocks as they were.
func (p *Plan) Block(id string) (*block.Block, bool) {
	b, ok := p.blocks[id]
	return b, ok
}

const errorPin = "error"
