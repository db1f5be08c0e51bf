package graph

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/core/block/jsonscan"
)

// stripped is a copy of a graph whose constants hold neither secrets (execution.md 1.6) nor its owner.
func stripped(g *Graph, blocks Blocks) *Graph {
	copied := *g
	copied.Nodes = slices.Clone(g.Nodes)
	for i := range copied.Nodes {
		n := &copied.Nodes[i]
		b, _ := blocks.Block(n.BlockID)
		n.InputDefault = Strip(n, b)
		if _, ok := jsonscan.Find(n.InputDefault, "user_id"); ok && n.BlockID == block.AgentID { // saving put it there
			n.InputDefault = setMember(n.InputDefault, "user_id", json.RawMessage(`""`))
		}
	}
	return &copied
}

// Strip is a node's constants without those that its block marks as secret, those that are called like a secret, and
// the value of a secret input. The block may be unknown: nil.
func Strip(n *Node, b *block.Block) json.RawMessage {
	return strip(n, b, func(json.RawMessage, bool) {})
}

// Secrets are the values that Strip removes: those that are marked as secret whatever they are, of those that are only
// called like one the strings, since names also lie ("max_tokens").
func Secrets(n *Node, b *block.Block) []json.RawMessage {
	var secrets []json.RawMessage
	strip(n, b, func(v json.RawMessage, marked bool) {
		if marked || jsonscan.KindOf(v) == jsonscan.String {
			secrets = append(secrets, v)
		}
	})
	return secrets
}

// strip tells of each value that it removes, and whether it was marked or only called like a secret. The schemas of a
// nested agent stay: their keys are pins, and a pin called "API key" is no key.
func strip(n *Node, b *block.Block, removed func(v json.RawMessage, marked bool)) json.RawMessage {
	secret, _ := jsonscan.Find(n.InputDefault, "secret")
	secretInput := string(secret) == "true" && (b == nil || b.Kind == block.Input)
	agent := n.BlockID == block.AgentID
	return filter(n.InputDefault, func(key string, v json.RawMessage) (json.RawMessage, bool) {
		marked := secretInput && key == "value"
		if b != nil && !marked {
			p, ok := b.Input(Base(key))
			marked = ok && p.Secret
		}
		switch {
		case agent && (key == "input_schema" || key == "output_schema"):
			return stripSchema(v, removed), true
		case agent && (key == "inputs" || key == "data"):
			return stripAgentInputs(n, v, removed), true
		case marked || secretKey(key, v):
			removed(v, marked)
			return nil, false
		}
		return stripValue(v, removed), true
	})
}

// stripAgentInputs removes constants for inputs that the nested agent's schema marks as secret.
func stripAgentInputs(n *Node, inputs json.RawMessage, removed func(json.RawMessage, bool)) json.RawMessage {
	schema, _ := jsonscan.Find(n.InputDefault, "input_schema")
	properties, _ := jsonscan.Find(schema, "properties")
	return filter(inputs, func(key string, v json.RawMessage) (json.RawMessage, bool) {
		property, _ := jsonscan.Find(properties, key)
		if secret, _ := jsonscan.Find(property, "secret"); string(secret) == "true" {
			removed(v, true)
			return nil, false
		}
		if secretKey(key, v) {
			removed(v, false)
			return nil, false
		}
		return stripValue(v, removed), true
	})
}

// stripValue removes what is called like a secret, however deep.
func stripValue(v json.RawMessage, removed func(json.RawMessage, bool)) json.RawMessage {
	switch jsonscan.KindOf(v) {
	case jsonscan.Object:
		return filter(v, func(key string, v json.RawMessage) (json.RawMessage, bool) {
			if secretKey(key, v) {
				removed(v, false)
				return nil, false
			}
			return stripValue(v, removed), true
		})
	case jsonscan.Array:
		changed := false
		var elements []json.RawMessage
		for e := range jsonscan.Elements(v) {
			s := stripValue(e, removed)
			changed = changed || len(s) != len(e)
			elements = append(elements, s)
		}
		if changed {
			return array(elements)
		}
	}
	return v
}

// stripSchema removes the defaults of secret inputs from a nested agent's schema.
func stripSchema(schema json.RawMessage, removed func(json.RawMessage, bool)) json.RawMessage {
	return filter(schema, func(key string, properties json.RawMessage) (json.RawMessage, bool) {
		if key != "properties" {
			return properties, true
		}
		return filter(properties, func(_ string, property json.RawMessage) (json.RawMessage, bool) {
			if secret, _ := jsonscan.Find(property, "secret"); string(secret) != "true" {
				return property, true
			}
			return filter(property, func(key string, v json.RawMessage) (json.RawMessage, bool) {
				if key == "default" {
					removed(v, true)
				}
				return v, key != "default"
			}), true
		}), true
	})
}

// secretKey says whether a key names a secret. A boolean is none: it says whether something is secret.
func secretKey(key string, v json.RawMessage) bool {
	if jsonscan.KindOf(v) == jsonscan.Bool {
		return false
	}
	key = strings.ToLower(key)
	for _, word := range []string{"credentials", "api_key", "password", "token", "secret"} {
		if strings.Contains(key, word) {
			return true
		}
	}
	return false
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
		changed = changed || !ok || len(kept) != len(member)
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
