package graph

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/core/block/jsonscan"
)

// required is the message of a pin without a value. Clients know its words.
const required = "This field is required"

// Missing is something that a graph needs and that is not installed or not there, or not to be understood.
type Missing struct {
	NodeID  string
	Pin     string // "block_id", "graph_id", "metadata.execution" or the pin that a block does not have
	Message string
}

// Validate checks a graph and its sub-graphs as saving demands (execution.md 3.2, 3.3). All errors come at once, as
// an *Invalid. What only lacks a plugin, a pin, another graph or limits that are understood comes as missing instead.
func Validate(g *Graph, blocks Blocks) (missing []Missing, err error) {
	r := report{}
	validateTree(g, blocks, &r, false)
	validateNesting(g, &r)
	return r.missing, r.err("Graph validation failed")
}

// report collects what is wrong.
type report struct {
	nodes   map[string]map[string]string
	missing []Missing
	missed  map[Missing]bool
}

// add notes the first message of each pin.
func (r *report) add(node, pin, format string, args ...any) {
	if r.nodes == nil {
		r.nodes = map[string]map[string]string{}
	}
	if r.nodes[node] == nil {
		r.nodes[node] = map[string]string{}
	}
	if _, there := r.nodes[node][pin]; !there {
		r.nodes[node][pin] = fmt.Sprintf(format, args...)
	}
}

func (r *report) miss(node, pin, format string, args ...any) {
	m := Missing{NodeID: node, Pin: pin, Message: fmt.Sprintf(format, args...)}
	if r.missed[m] {
		return
	}
	if r.missed == nil {
		r.missed = map[Missing]bool{}
	}
	r.missed[m] = true
	r.missing = append(r.missing, m)
}

// err is nil where nothing was added.
func (r *report) err(what string) error {
	if len(r.nodes) == 0 {
		return nil
	}
	return &Invalid{Message: summary(what, r.nodes), NodeErrors: r.nodes}
}

// summary counts issues and names the first, so that the message alone helps too.
func summary(what string, nodes map[string]map[string]string) string {
	issues := 0
	for _, pins := range nodes {
		issues += len(pins)
	}
	node := slices.Min(slices.Collect(maps.Keys(nodes)))
	pin := slices.Min(slices.Collect(maps.Keys(nodes[node])))
	return fmt.Sprintf("%s: %d issues on %d nodes; node %s, %s: %s", what, issues, len(nodes), node, pin, nodes[node][pin])
}

// withMissing turns what is missing into errors.
func withMissing(err error, what string, missing []Missing) error {
	if len(missing) == 0 {
		return err
	}
	r := report{}
	if invalid, ok := errors.AsType[*Invalid](err); ok {
		r.nodes = invalid.NodeErrors
	}
	for _, m := range missing {
		r.add(m.NodeID, m.Pin, "%s", m.Message)
	}
	return r.err(what)
}

func validateTree(g *Graph, blocks Blocks, r *report, run bool) {
	validateOne(g, blocks, r, run)
	for i := range g.SubGraphs {
		validateOne(&g.SubGraphs[i], blocks, r, run)
	}
}

func validateOne(g *Graph, blocks Blocks, r *report, run bool) {
	validateIDs(g, r)
	index := g.nodeIndex()
	check := linkCheck{graph: g, nodes: index, blocks: blocks, report: r}
	linked := make([]map[string]bool, len(g.Nodes)) // sink pins as the links name them
	for i := range g.Links {
		l := &g.Links[i]
		check.validate(l)
		if at, ok := index[l.SinkID]; ok {
			if linked[at] == nil {
				linked[at] = map[string]bool{}
			}
			linked[at][l.SinkName] = true
		}
	}
	for i := range g.Nodes {
		n := &g.Nodes[i]
		if _, err := n.Limits(); err != nil {
			r.miss(n.ID, "metadata."+limitsKey, "%s", err) // files of other platforms may say something else there
		}
		b, ok := blocks.Block(n.BlockID)
		if !ok {
			r.miss(n.ID, "block_id", "%s", unknownBlock(n, blocks))
			continue
		}
		v := nodeView{Node: n, block: b, linked: linked[i]}
		v.validate(r, run)
	}
}

// validateIDs refuses ids that are there twice in one graph.
func validateIDs(g *Graph, r *report) {
	nodes := make(map[string]bool, len(g.Nodes))
	for i := range g.Nodes {
		if nodes[g.Nodes[i].ID] {
			r.add(g.Nodes[i].ID, "id", "is the id of more than one node")
		}
		nodes[g.Nodes[i].ID] = true
	}
	links := make(map[string]bool, len(g.Links))
	for i := range g.Links {
		if links[g.Links[i].ID] {
			r.add(g.Links[i].SinkID, g.Links[i].SinkName, "more than one link has the id %q", g.Links[i].ID)
		}
		links[g.Links[i].ID] = true
	}
}

// adviser says how a block could be had that is not there: a clause, or nothing.
type adviser interface{ Advice(block string) string }

// unknownBlock says which block no plugin provides, by name, and which plugin would, where that is known.
func unknownBlock(n *Node, blocks Blocks) string {
	name, of, by := "block "+n.BlockID, "", ""
	known := knownBlocks()[n.BlockID]
	if known.name != "" {
		name = fmt.Sprintf("block %q (%s)", known.name, n.BlockID)
	}
	if custom, ok := jsonscan.Find(n.Metadata, "customized_name"); ok && jsonscan.Unquote(custom) != "" {
		of = fmt.Sprintf(" of node %q", jsonscan.Unquote(custom))
	}
	if a, ok := blocks.(adviser); ok && a.Advice(n.BlockID) != "" {
		by = "; " + a.Advice(n.BlockID)
	} else if known.plugin != "" {
		by = fmt.Sprintf("; the plugin %q brings it", known.plugin)
	}
	return "no installed plugin provides " + name + of + by
}

// nodeView is a node with its block and its linked pins.
type nodeView struct {
	*Node
	block  *block.Block
	linked map[string]bool
}

func (v nodeView) validate(r *report, run bool) {
	provided := v.provided()
	switch v.block.Kind {
	case block.Agent:
		v.validateAgent(r, run, provided)
		return
	case block.Note:
		return // it never runs
	}
	boundary := v.block.Kind == block.Input || v.block.Kind == block.Output
	for _, p := range v.block.Inputs() {
		if p.Required && !p.Credentials && !provided[p.Name] && (run || boundary) {
			r.add(v.ID, p.Name, required)
		}
		v.validateSiblings(r, p, run)
	}
	if boundary {
		v.validateName(r)
	}
	if run {
		v.validateConstants(r)
		v.validatePicked(r)
	}
}

// validatePicked checks that the files among the constants were picked with an account: a file that comes along a link
// says when it comes (execution.md 3.3).
func (v nodeView) validatePicked(r *report) {
	for _, f := range v.block.Credentials {
		c := v.Constant(f.Inside)
		if f.Inside == "" || f.Optional || c == nil || jsonscan.KindOf(c) == jsonscan.Null || v.extended(f.Inside) {
			continue
		}
		if id, _ := jsonscan.Find(c, block.CredentialsMember); jsonscan.KindOf(id) != jsonscan.String || jsonscan.Unquote(id) == "" {
			r.add(v.ID, f.Inside, "The file names no account that opens it: select it with the block Agent Google Drive File Input, and link that")
		}
	}
}

// provided are the pins that have a constant or a link, by their base names.
func (v nodeView) provided() map[string]bool {
	provided := map[string]bool{}
	for k := range jsonscan.Members(v.InputDefault) {
		provided[Base(jsonscan.Unquote(k))] = true
	}
	for pin := range v.linked {
		provided[Base(pin)] = true
	}
	for k := range jsonscan.Members(v.Mask) {
		provided[Base(jsonscan.Unquote(k))] = true
	}
	return provided
}

// validateName refuses names of input nodes that would be taken for credentials, and names that are no text.
func (v nodeView) validateName(r *report) {
	name, ok := jsonscan.Find(v.InputDefault, "name")
	if !ok {
		return // told as required
	}
	if jsonscan.KindOf(name) != jsonscan.String {
		r.add(v.ID, "name", "expects a string, got %s", jsonscan.KindOf(name))
		return
	}
	if text := jsonscan.Unquote(name); v.block.Kind == block.Input && block.CredentialsName(text) {
		r.add(v.ID, "name", "%q is a reserved input name", text)
	}
}

// validateSiblings refuses a pin with a value whose meaning hangs on another pin that has none.
func (v nodeView) validateSiblings(r *report, p *block.Pin, run bool) {
	var siblings []string
	if p.Discriminator != "" {
		siblings = append(siblings, p.Discriminator)
	}
	if run {
		siblings = append(siblings, p.DependsOn...)
	}
	if len(siblings) == 0 || !p.Required && !v.hasValue(p) {
		return
	}
	var lacking []string
	for _, name := range siblings {
		if sibling, ok := v.block.Input(name); ok && !v.hasValue(sibling) {
			lacking = append(lacking, name)
		}
	}
	if len(lacking) > 0 {
		r.add(v.ID, p.Name, "Requires %s to be set", strings.Join(lacking, ", "))
	}
}

// hasValue says whether a pin has a constant, a mask or a default that is neither null nor blank. Links do not count.
func (v nodeView) hasValue(p *block.Pin) bool {
	for _, object := range []json.RawMessage{v.Mask, v.InputDefault} {
		c, ok := jsonscan.Find(object, p.Name)
		if !ok {
			continue
		}
		switch jsonscan.KindOf(c) {
		case jsonscan.Null:
		case jsonscan.String:
			if strings.TrimSpace(jsonscan.Unquote(c)) != "" {
				return true
			}
		default:
			return true
		}
	}
	return p.Default != nil && jsonscan.KindOf(p.Default) != jsonscan.Null
}

// validateConstants checks what no link replaces.
func (v nodeView) validateConstants(r *report) {
	for k, c := range jsonscan.Members(v.InputDefault) {
		name := jsonscan.Unquote(k)
		p, ok := v.block.Input(name)
		if !ok || p.Credentials || jsonscan.KindOf(c) == jsonscan.Null || v.extended(name) {
			continue
		}
		fitting, err := p.Coerce(c)
		if err == nil {
			err = p.Check(fitting)
		}
		if err != nil {
			r.add(v.ID, name, "%s", err)
		}
	}
}

// extended says whether a constant is replaced by a link or a mask, or is only part of a pin's value.
func (v nodeView) extended(pin string) bool {
	if v.linked[pin] || v.Masks(pin) {
		return true
	}
	for linked := range v.linked {
		if Base(linked) == pin {
			return true
		}
	}
	for k := range jsonscan.Members(v.InputDefault) {
		if name := jsonscan.Unquote(k); name != pin && Base(name) == pin {
			return true
		}
	}
	return false
}

// validateAgent checks a nested agent, whose pins are those of its child. user_id and inputs have defaults.
func (v nodeView) validateAgent(r *report, run bool, provided map[string]bool) {
	for _, p := range v.block.Inputs() {
		if p.Required && p.Name != "user_id" && p.Name != "inputs" && !provided[p.Name] {
			r.add(v.ID, p.Name, required)
		}
	}
	for _, schema := range []string{"input_schema", "output_schema"} {
		if s, ok := jsonscan.Find(v.InputDefault, schema); ok && jsonscan.KindOf(s) != jsonscan.Object {
			r.add(v.ID, schema, "expects an object, got %s", jsonscan.KindOf(s))
		}
	}
	if !run {
		return
	}
	have := map[string]bool{}
	for k := range jsonscan.Members(agentInputs(v.Node)) {
		have[Base(jsonscan.Unquote(k))] = true
	}
	for pin := range v.linked {
		have[Base(pin)] = true
	}
	for k := range jsonscan.Members(v.Mask) {
		have[Base(jsonscan.Unquote(k))] = true
	}
	_, names := agentPins(v.Node, "input_schema")
	for _, name := range names {
		if !have[name] {
			r.add(v.ID, name, required)
		}
	}
}

// ForceStatic marks the links of blocks whose outputs are static. A client may mark others.
func ForceStatic(g *Graph, blocks Blocks) {
	index := g.nodeIndex()
	for i := range g.Links {
		at, ok := index[g.Links[i].SourceID]
		if !ok {
			continue
		}
		if b, ok := blocks.Block(g.Nodes[at].BlockID); ok && b.StaticOutput {
			g.Links[i].IsStatic = true
		}
	}
}
