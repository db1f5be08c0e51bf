package graph

import (
	"encoding/json"
	"slices"
	"strconv"

	"github.com/patchbay-io/patchbay/core/block/jsonscan"
)

// Ref names a version of a graph.
type Ref struct {
	GraphID string
	Version int
}

// NestedAgent reads which graph a nested-agent node runs; zero values where it does not say.
func NestedAgent(n *Node) Ref {
	id, _ := jsonscan.Find(n.InputDefault, "graph_id")
	version, _ := jsonscan.Find(n.InputDefault, "graph_version")
	v, _ := strconv.Atoi(string(version))
	return Ref{GraphID: jsonscan.Unquote(id), Version: v}
}

// agentInputs are the constants for the child's inputs. Old exports call them data.
func agentInputs(n *Node) json.RawMessage {
	for _, key := range []string{"inputs", "data"} {
		if v, ok := jsonscan.Find(n.InputDefault, key); ok && jsonscan.KindOf(v) == jsonscan.Object {
			return v
		}
	}
	return nil
}

// agentPins are the pins that a nested-agent node got from its child's schema; required those it cannot do without.
func agentPins(n *Node, schemaKey string) (names, required []string) {
	schema, _ := jsonscan.Find(n.InputDefault, schemaKey)
	properties, _ := jsonscan.Find(schema, "properties")
	for k := range jsonscan.Members(properties) {
		names = append(names, jsonscan.Unquote(k))
	}
	list, _ := jsonscan.Find(schema, "required")
	for r := range jsonscan.Elements(list) {
		if name := jsonscan.Unquote(r); !slices.Contains(required, name) {
			required = append(required, name)
		}
	}
	return names, required
}
