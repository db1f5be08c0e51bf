package graph

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/google/uuid"

	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/core/block/jsonscan"
)

// bind gives the sub-graphs of a file new ids and lets its nested agents follow (contract: import). A node whose graph
// is in the file follows it; else, if mayRun knows what it names, it stays; else it takes the one sub-graph that has
// its version and its pins; else it is missing. ownID is the new id of the graph itself; empty where the graph keeps
// its id, so that nodes that name it stay.
func bind(g *Graph, user, ownID string, blocks Blocks, mayRun func(Ref) (bool, error)) ([]Missing, error) {
	b := binding{user: user, blocks: blocks, mayRun: once(mayRun), moved: map[string]string{}}
	for i := range g.SubGraphs {
		sub := &g.SubGraphs[i]
		c := candidate{version: sub.Version, id: uuid.NewString(), inputs: b.names(sub, block.Input), outputs: b.names(sub, block.Output)}
		b.candidates = append(b.candidates, c)
		if sub.ID != "" {
			b.moved[sub.ID] = c.id
		}
	}
	if g.ID != "" && ownID != "" {
		b.moved[g.ID] = ownID
	}
	for i := range g.SubGraphs {
		g.SubGraphs[i].ID, g.SubGraphs[i].Version = b.candidates[i].id, 1
	}
	if err := b.nodes(g); err != nil {
		return nil, err
	}
	for i := range g.SubGraphs {
		if err := b.nodes(&g.SubGraphs[i]); err != nil {
			return nil, err
		}
	}
	return b.missing, nil
}

// once asks for each agent no more than once, however many nodes run it.
func once(mayRun func(Ref) (bool, error)) func(Ref) (bool, error) {
	known := map[Ref]bool{}
	return func(ref Ref) (bool, error) {
		may, asked := known[ref]
		if asked {
			return may, nil
		}
		may, err := mayRun(ref)
		if err == nil {
			known[ref] = may
		}
		return may, err
	}
}

type binding struct {
	user       string
	blocks     Blocks
	mayRun     func(Ref) (bool, error)
	moved      map[string]string // ids in the file → new ids
	candidates []candidate
	missing    []Missing
}

// candidate is a sub-graph of the file as its nested-agent nodes may know it.
type candidate struct {
	id              string
	version         int
	inputs, outputs []string
}

func (b *binding) nodes(g *Graph) error {
	for i := range g.Nodes {
		n := &g.Nodes[i]
		if n.BlockID != block.AgentID {
			continue
		}
		to, err := b.target(n)
		if err != nil {
			return err
		}
		if to != "" {
			n.InputDefault = setMember(n.InputDefault, "graph_id", jsonscan.AppendString(nil, to))
			n.InputDefault = setMember(n.InputDefault, "graph_version", json.RawMessage("1"))
		}
		n.InputDefault = setMember(n.InputDefault, "user_id", jsonscan.AppendString(nil, b.user))
		if agentInputs(n) == nil {
			n.InputDefault = setMember(n.InputDefault, "inputs", json.RawMessage("{}"))
		}
	}
	return nil
}

// target is the new id of the graph that a node runs; empty where the node stays as it is.
func (b *binding) target(n *Node) (string, error) {
	ref := NestedAgent(n)
	if to, ok := b.moved[ref.GraphID]; ok {
		return to, nil
	}
	if ref.GraphID == "" {
		return "", nil // told as required
	}
	known, err := b.mayRun(ref)
	if err != nil || known {
		return "", err
	}
	inputs, _ := agentPins(n, "input_schema")
	outputs, _ := agentPins(n, "output_schema")
	slices.Sort(inputs)
	slices.Sort(outputs)
	found := ""
	for _, c := range b.candidates {
		if c.version != ref.Version || !slices.Equal(c.inputs, inputs) || !slices.Equal(c.outputs, outputs) {
			continue
		}
		if found != "" {
			found = ""
			break
		}
		found = c.id
	}
	if found == "" {
		b.missing = append(b.missing, missingAgent(n, "is neither in the file nor among your agents"))
	}
	return found, nil
}

// missingAgent says which agent a node would run, and where it is not.
func missingAgent(n *Node, where string) Missing {
	ref := NestedAgent(n)
	name := "agent " + ref.GraphID
	if given, ok := jsonscan.Find(n.InputDefault, "agent_name"); ok && jsonscan.Unquote(given) != "" {
		name = fmt.Sprintf("agent %q (%s)", jsonscan.Unquote(given), ref.GraphID)
	}
	return Missing{NodeID: n.ID, Pin: "graph_id", Message: name + ", version " + strconv.Itoa(ref.Version) + ", " + where}
}

// names are the names of a graph's inputs or outputs, sorted, each once.
func (b *binding) names(g *Graph, kind block.Kind) []string {
	var names []string
	for i := range g.Nodes {
		n := &g.Nodes[i]
		known, ok := b.blocks.Block(n.BlockID)
		if !ok || known.Kind != kind {
			continue
		}
		name, _ := jsonscan.Find(n.InputDefault, "name")
		names = append(names, jsonscan.Unquote(name))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// setMember puts a member into an object, at its place if it is there, else at the end. Other members keep their bytes.
func setMember(object json.RawMessage, key string, value json.RawMessage) json.RawMessage {
	out := make([]byte, 1, len(object)+len(key)+len(value)+4)
	out[0] = '{'
	done := false
	for k, v := range jsonscan.Members(object) {
		if len(out) > 1 {
			out = append(out, ',')
		}
		if jsonscan.KeyIs(k, key) {
			v, done = value, true
		}
		out = append(append(append(out, k...), ':'), v...)
	}
	if !done {
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(jsonscan.AppendString(out, key), ':'), value...)
	}
	return append(out, '}')
}
