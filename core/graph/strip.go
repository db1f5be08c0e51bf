package graph

import (
	"bytes"
	"encoding/json"
	"slices"

	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/core/block/jsonscan"
)

// stripping removes secrets from constants.
type stripping struct {
	forOthers bool                                 // than the author, and so by wider rules than those of export files
	removed   func(v json.RawMessage, marked bool) // told each secret, and whether it was marked or only called like one
}

func ignore(json.RawMessage, bool) {}

// stripped is a copy of a graph whose constants hold neither secrets (execution.md 1.6) nor its owner. The user's own
// graph loses what export files lack; from those of others goes all that looks like a secret.
func stripped(g *Graph, blocks Blocks, user string) *Graph {
	s := stripping{forOthers: g.UserID != user, removed: ignore}
	copied := *g
	copied.Nodes = slices.Clone(g.Nodes)
	for i := range copied.Nodes {
		n := &copied.Nodes[i]
		b, _ := blocks.Block(n.BlockID)
		n.InputDefault = s.node(n, b)
		if _, ok := jsonscan.Find(n.InputDefault, "user_id"); ok && n.BlockID == block.AgentID { // saving put it there
			n.InputDefault = setMember(n.InputDefault, "user_id", json.RawMessage(`""`))
		}
	}
	return &copied
}

// Strip is a node's constants as others than its author see them: without those that its block marks as secret, those
// that are called like a secret, what a secret input holds, and the secrets in URLs. The block may be unknown: nil.
func Strip(n *Node, b *block.Block) json.RawMessage {
	return stripping{forOthers: true, removed: ignore}.node(n, b)
}

// Secrets are the values that Strip removes and that must not be shown elsewhere: those that are marked as secret whatever
// they are, of those that are only called like one the strings, since names also lie ("max_tokens").
func Secrets(n *Node, b *block.Block) []json.RawMessage {
	var secrets []json.RawMessage
	stripping{forOthers: true, removed: func(v json.RawMessage, marked bool) {
		if marked || jsonscan.KindOf(v) == jsonscan.String {
			secrets = append(secrets, v)
		}
	}}.node(n, b)
	return secrets
}

// node is a node's constants. The schemas of a nested agent stay: their keys are pins, and a pin called "API key" is no
// key.
func (s stripping) node(n *Node, b *block.Block) json.RawMessage {
	secret, _ := jsonscan.Find(n.InputDefault, "secret")
	input := b == nil || b.Kind == block.Input
	secretInput := string(secret) == "true" && input
	named := s.namedSecret(n.InputDefault)
	agent := n.BlockID == block.AgentID
	return filter(n.InputDefault, func(key string, v json.RawMessage) (json.RawMessage, bool) {
		marked := secretInput && key == "value"
		if b != nil && !marked {
			p, ok := b.Input(Base(key))
			marked = ok && p.Secret
		}
		switch {
		case agent && (key == "input_schema" || key == "output_schema"):
			return s.schema(v), true
		case agent && (key == "inputs" || key == "data"):
			return s.agentInputs(n, v), true
		case marked || s.secret(key, v) || named && key == "value" && !harmless(n.InputDefault, v):
			if marked || named || secretName(key) { // else it is left out by the rule of export files alone
				s.removed(v, marked)
			}
			return nil, false
		case s.forOthers && (key == "placeholder_values" || key == "options") && (secretInput || named && input && n.BlockID != block.DropdownID):
			return nil, false // examples of a secret; no value that a run could show
		}
		return s.value(v), true
	})
}

// agentInputs removes constants for inputs that the nested agent's schema marks as secret.
func (s stripping) agentInputs(n *Node, inputs json.RawMessage) json.RawMessage {
	schema, _ := jsonscan.Find(n.InputDefault, "input_schema")
	properties, _ := jsonscan.Find(schema, "properties")
	return filter(inputs, func(key string, v json.RawMessage) (json.RawMessage, bool) {
		property, _ := jsonscan.Find(properties, key)
		secret, _ := jsonscan.Find(property, "secret")
		if marked := string(secret) == "true"; marked || s.secret(key, v) {
			if marked || secretName(key) {
				s.removed(v, marked)
			}
			return nil, false
		}
		return s.value(v), true
	})
}

// value removes what is called like a secret, however deep.
func (s stripping) value(v json.RawMessage) json.RawMessage {
	switch jsonscan.KindOf(v) {
	case jsonscan.Object:
		named := s.namedSecret(v)
		return filter(v, func(key string, member json.RawMessage) (json.RawMessage, bool) {
			if s.secret(key, member) || named && key == "value" && !harmless(v, member) {
				if named || secretName(key) {
					s.removed(member, false)
				}
				return nil, false
			}
			return s.value(member), true
		})
	case jsonscan.Array:
		changed := false
		var elements []json.RawMessage
		for e := range jsonscan.Elements(v) {
			kept := s.value(e)
			changed = changed || !bytes.Equal(kept, e)
			elements = append(elements, kept)
		}
		if changed {
			return array(elements)
		}
	case jsonscan.String:
		if s.forOthers {
			return s.text(v)
		}
	}
	return v
}

// schema removes the defaults of secret inputs from the schema of an agent.
func (s stripping) schema(schema json.RawMessage) json.RawMessage {
	return filter(schema, func(key string, properties json.RawMessage) (json.RawMessage, bool) {
		if key != "properties" {
			return properties, true
		}
		return filter(properties, func(name string, property json.RawMessage) (json.RawMessage, bool) {
			secret, _ := jsonscan.Find(property, "secret")
			marked := string(secret) == "true"
			return filter(property, func(key string, v json.RawMessage) (json.RawMessage, bool) {
				switch {
				case key == "default" && (marked || s.forOthers && secretName(name) && !isCount(name, v)):
					s.removed(v, marked)
					return nil, false
				case s.forOthers && key == "enum" && marked:
					return nil, false
				case s.forOthers && (key == "default" || key == "enum"):
					return s.value(v), true
				}
				return v, true
			}), true
		}), true
	})
}

// secret says whether a member holds a secret by its name.
func (s stripping) secret(key string, v json.RawMessage) bool {
	return secretKey(key, v) || s.forOthers && jsonscan.KindOf(v) != jsonscan.Bool && secretName(key)
}

// namedSecret says whether an object's value is a secret by the name that stands beside it: that of an input, or of a
// header in a list.
func (s stripping) namedSecret(object json.RawMessage) bool {
	return s.forOthers && secretName(nameIn(object))
}

// filter rewrites an object member by member, and gives it back as it is where nothing changed.
func filter(v json.RawMessage, keep func(key string, v json.RawMessage) (json.RawMessage, bool)) json.RawMessage {
	if jsonscan.KindOf(v) != jsonscan.Object {
		return v
	}
	changed := false
	out := []byte{'{'}
	for k, member := range jsonscan.Members(v) {
		kept, ok := keep(jsonscan.Unquote(k), member)
		changed = changed || !ok || !bytes.Equal(kept, member)
		if !ok {
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(append(out, k...), ':'), kept...)
	}
	if !changed {
		return v
	}
	return append(out, '}')
}
