package graph

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/core/block/jsonscan"
)

// stripped is a copy of a graph whose constants hold no secrets (execution.md 1.6).
func stripped(g *Graph, blocks Blocks) *Graph {
	copied := *g
	copied.Nodes = slices.Clone(g.Nodes)
	for i := range copied.Nodes {
		n := &copied.Nodes[i]
		b, _ := blocks.Block(n.BlockID)
		n.InputDefault = stripNode(n, b)
	}
	return &copied
}

// stripNode removes what the block marks as secret, what is called like a secret, and the value of a secret input.
// The schemas of a nested agent stay: their keys are pins, and a pin called "API key" is no key.
func stripNode(n *Node, b *block.Block) json.RawMessage {
	secret, _ := jsonscan.Find(n.InputDefault, "secret")
	secretInput := string(secret) == "true" && (b == nil || b.Kind == block.Input)
	agent := n.BlockID == block.AgentID
	return filter(n.InputDefault, func(key string, v json.RawMessage) (json.RawMessage, bool) {
		switch {
		case agent && (key == "input_schema" || key == "output_schema"):
			return stripSchema(v), true
		case secretInput && key == "value", secretKey(key, v):
			return nil, false
		}
		if b != nil {
			if p, ok := b.Input(Base(key)); ok && p.Secret {
				return nil, false
			}
		}
		return stripValue(v), true
	})
}

// stripValue removes what is called like a secret, however deep.
func stripValue(v json.RawMessage) json.RawMessage {
	switch jsonscan.KindOf(v) {
	case jsonscan.Object:
		return filter(v, func(key string, v json.RawMessage) (json.RawMessage, bool) {
			if secretKey(key, v) {
				return nil, false
			}
			return stripValue(v), true
		})
	case jsonscan.Array:
		changed := false
		var elements []json.RawMessage
		for e := range jsonscan.Elements(v) {
			s := stripValue(e)
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
func stripSchema(schema json.RawMessage) json.RawMessage {
	return filter(schema, func(key string, properties json.RawMessage) (json.RawMessage, bool) {
		if key != "properties" {
			return properties, true
		}
		return filter(properties, func(_ string, property json.RawMessage) (json.RawMessage, bool) {
			if secret, _ := jsonscan.Find(property, "secret"); string(secret) != "true" {
				return property, true
			}
			return filter(property, func(key string, v json.RawMessage) (json.RawMessage, bool) {
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
