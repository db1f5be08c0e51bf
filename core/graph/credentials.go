package graph

import (
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/core/block/jsonscan"
)

// CredentialsPin is an input pin for credentials of a node, narrowed down by the node's constants.
type CredentialsPin struct {
	Node      *Node
	Field     block.CredentialsField
	Providers []string // sorted
	Value     string   // of the discriminator; empty: there is none, or it is not constant
	Group     string   // name in credentials_input_schema: pins of one group take the same credentials
	Skippable bool     // the node is skipped without (credentials_optional)
	Linked    bool     // its reference comes along a link
}

// CredentialsPins are those of a graph's own nodes, in their order. Nodes whose block is unknown have none.
func CredentialsPins(g *Graph, blocks Blocks) []CredentialsPin {
	var pins []CredentialsPin
	var sinks map[[2]string]bool // linked pins by node and name, once somebody asks
	for i := range g.Nodes {
		n := &g.Nodes[i]
		b, ok := blocks.Block(n.BlockID)
		if !ok || len(b.Credentials) == 0 {
			continue
		}
		skippable, _ := jsonscan.Find(n.Metadata, "credentials_optional")
		linked := func(pin string) bool {
			if sinks == nil {
				sinks = make(map[[2]string]bool, len(g.Links))
				for j := range g.Links {
					sinks[[2]string{g.Links[j].SinkID, Base(g.Links[j].SinkName)}] = true
				}
			}
			return sinks[[2]string{n.ID, pin}]
		}
		for _, f := range b.Credentials {
			if f.Inside != "" {
				continue // they come with a value
			}
			p := CredentialsPin{Node: n, Field: f, Skippable: string(skippable) == "true", Linked: linked(f.Pin)}
			if p.Providers = sorted(f.Providers); f.Discriminator != "" && !linked(f.Discriminator) {
				p.Providers, p.Value = narrow(n, b, f)
			}
			p.Group = p.group()
			pins = append(pins, p)
		}
	}
	return pins
}

// Address is the address that the credentials must be for; empty where the node does not say.
func (p *CredentialsPin) Address() string {
	if len(p.Field.Mapping) > 0 {
		return ""
	}
	return p.Value
}

// group joins providers and types. Pins for several hosts take different credentials.
func (p *CredentialsPin) group() string {
	parts := p.Providers
	if u, err := url.Parse(p.Address()); err == nil && u.Host != "" && p.Field.Discriminator != "" {
		parts = sorted(append(slices.Clone(parts), strings.ToLower(u.Host)))
	}
	return strings.Join(parts, "-") + "_" + strings.Join(sorted(p.Field.Types), "-") + "_credentials"
}

// narrow reduces the providers to the one that a node's constants choose.
func narrow(n *Node, b *block.Block, f block.CredentialsField) (providers []string, value string) {
	chosen, ok := jsonscan.Find(n.InputDefault, f.Discriminator)
	if !ok || jsonscan.KindOf(chosen) != jsonscan.String {
		sibling, known := b.Input(f.Discriminator)
		if !known || jsonscan.KindOf(sibling.Default) != jsonscan.String {
			return sorted(f.Providers), ""
		}
		chosen = sibling.Default
	}
	value = jsonscan.Unquote(chosen)
	if provider, ok := f.Mapping[value]; ok {
		return []string{provider}, value
	}
	return sorted(f.Providers), value
}

// Constant is the value that a node has for a pin; nil where it has none.
func (n *Node) Constant(pin string) json.RawMessage {
	v, _ := jsonscan.Find(n.InputDefault, pin)
	return v
}

// WithConstant is the node's constants with another value for a pin.
func (n *Node) WithConstant(pin string, value json.RawMessage) json.RawMessage {
	return setMember(n.InputDefault, pin, value)
}

// dropCredentials removes the references to credentials from the constants, those in files too that were picked: a copy has none until its user gives it some.
func (g *Graph) dropCredentials() {
	for i := range g.Nodes {
		g.Nodes[i].InputDefault = filter(g.Nodes[i].InputDefault, func(key string, v json.RawMessage) (json.RawMessage, bool) {
			if block.CredentialsName(key) {
				return nil, false
			}
			return filter(v, func(key string, v json.RawMessage) (json.RawMessage, bool) { return v, key != block.CredentialsMember }), true
		})
	}
}

// CredentialsSchema is the JSON Schema of the credentials that a graph and its sub-graphs need, grouped by providers
// and types (execution.md 2.3).
func CredentialsSchema(g *Graph, blocks Blocks) json.RawMessage {
	groups := map[string]*credentialsGroup{}
	collectCredentials(g, blocks, groups)
	for i := range g.SubGraphs {
		collectCredentials(&g.SubGraphs[i], blocks, groups)
	}
	properties := newObject()
	var required []string
	for _, key := range slices.Sorted(maps.Keys(groups)) {
		properties.set(key, groups[key].schema())
		if groups[key].required {
			required = append(required, key)
		}
	}
	return objectSchema(properties, required)
}

type credentialsGroup struct {
	providers, types, scopes []string
	discriminator            string
	values                   []string // of the discriminator, in the order of nodes
	host                     string   // of the addresses that discriminate
	required                 bool
}

func collectCredentials(g *Graph, blocks Blocks, groups map[string]*credentialsGroup) {
	for _, p := range CredentialsPins(g, blocks) {
		group := groups[p.Group]
		if group == nil {
			group = &credentialsGroup{providers: p.Providers, types: sorted(p.Field.Types), discriminator: p.Field.Discriminator}
			if u, err := url.Parse(p.Address()); err == nil {
				group.host = u.Host
			}
			groups[p.Group] = group
		}
		group.scopes = sorted(append(group.scopes, p.Field.Scopes...))
		if p.Value != "" && !slices.Contains(group.values, p.Value) {
			group.values = append(group.values, p.Value)
		}
		group.required = group.required || !p.Field.Optional && !p.Skippable
	}
}

func (c *credentialsGroup) schema() json.RawMessage {
	properties := newObject()
	properties.set("id", json.RawMessage(`{"title":"Id","type":"string"}`))
	properties.set("title", json.RawMessage(`{"title":"Title","anyOf":[{"type":"string"},{"type":"null"}],"default":null}`))
	properties.set("provider", choice("Provider", c.providers))
	properties.set("type", choice("Type", c.types))
	schema := newObject()
	schema.set("type", json.RawMessage(`"object"`))
	schema.set("properties", properties.json())
	schema.set("required", json.RawMessage(`["id","provider","type"]`))
	schema.set("credentials_provider", textArray(c.providers))
	schema.set("credentials_types", textArray(c.types))
	if len(c.scopes) > 0 {
		schema.set("credentials_scopes", textArray(c.scopes))
	}
	if c.discriminator != "" {
		schema.set("discriminator", jsonscan.AppendString(nil, c.discriminator))
		schema.set("discriminator_values", textArray(c.values))
	}
	if c.host != "" {
		schema.set("display_name", jsonscan.AppendString(nil, c.host))
	}
	return schema.json()
}

func choice(title string, values []string) json.RawMessage {
	o := newObject()
	o.set("title", jsonscan.AppendString(nil, title))
	o.set("type", json.RawMessage(`"string"`))
	if len(values) == 1 {
		o.set("const", jsonscan.AppendString(nil, values[0]))
	} else {
		o.set("enum", textArray(values))
	}
	return o.json()
}
