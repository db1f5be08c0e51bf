package graph

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/core/block/jsonscan"
)

// InputSchema is the JSON Schema of a graph's inputs (execution.md 2.2).
func InputSchema(g *Graph, blocks Blocks) json.RawMessage {
	return boundarySchema(g, blocks, block.Input)
}

// OutputSchema is the JSON Schema of a graph's outputs.
func OutputSchema(g *Graph, blocks Blocks) json.RawMessage {
	return boundarySchema(g, blocks, block.Output)
}

func boundarySchema(g *Graph, blocks Blocks, kind block.Kind) json.RawMessage {
	properties := newObject()
	var required []string
	for i := range g.Nodes {
		n := &g.Nodes[i]
		b, ok := blocks.Block(n.BlockID)
		if !ok || b.Kind != kind {
			continue
		}
		name, ok := jsonscan.Find(n.InputDefault, "name")
		if !ok {
			continue
		}
		properties.set(jsonscan.Unquote(name), propertySchema(n, b))
		if valueIsNull(n, b) {
			required = append(required, jsonscan.Unquote(name))
		}
	}
	return objectSchema(properties, required)
}

// propertySchema is what an input or output node says of itself, over what its block says of the value.
func propertySchema(n *Node, b *block.Block) json.RawMessage {
	property := newObject()
	pin, _ := b.Input("value")
	if pin != nil {
		for k, v := range jsonscan.Members(pin.Schema) {
			if key := jsonscan.Unquote(k); key != "description" && key != "default" {
				property.set(key, v)
			}
		}
	}
	constants := membersOf(n.InputDefault)
	value := constants["value"]
	if value == nil && pin != nil {
		value = pin.Default
	}
	if absent(value) {
		value = nil
	}
	property.set("secret", boolean(string(constants["secret"]) == "true"))
	property.set("advanced", boolean(string(constants["advanced"]) == "true" && value != nil))
	title := constants["title"]
	if absent(title) || jsonscan.Unquote(title) == "" {
		title = constants["name"]
	}
	property.set("title", title)
	if d := constants["description"]; !absent(d) && jsonscan.Unquote(d) != "" {
		property.set("description", d)
	}
	switch b.ID {
	case block.DropdownID:
		setOptions(property, constants)
	case block.TableID:
		setTable(property, constants, b)
		if value == nil {
			value = json.RawMessage("[]")
		}
	case block.DriveID:
		setPicker(property, constants, b)
	}
	if value != nil {
		property.set("default", value)
	}
	return property.json()
}

// setOptions lists a dropdown's choices. Old files call them options.
func setOptions(property *object, constants map[string]json.RawMessage) {
	for _, key := range []string{"placeholder_values", "options"} {
		if options := constants[key]; jsonscan.KindOf(options) == jsonscan.Array && jsonscan.Len(options) > 0 {
			property.set("enum", options)
			return
		}
	}
}

func setTable(property *object, constants map[string]json.RawMessage, b *block.Block) {
	headers := orDefault(constants["column_headers"], b, "column_headers")
	columns := newObject()
	for h := range jsonscan.Elements(headers) {
		columns.set(jsonscan.Unquote(h), json.RawMessage(`{"type":"string"}`))
	}
	items := newObject()
	items.set("type", json.RawMessage(`"object"`))
	items.set("properties", columns.json())
	property.drop("anyOf")
	property.set("type", json.RawMessage(`"array"`))
	property.set("format", json.RawMessage(`"table"`))
	property.set("items", items.json())
}

func setPicker(property *object, constants map[string]json.RawMessage, b *block.Block) {
	picker := newObject()
	picker.set("multiselect", boolean(false))
	picker.set("allow_folder_selection", orDefault(constants["allow_folder_selection"], b, "allow_folder_selection"))
	picker.set("allowed_views", orDefault(constants["allowed_views"], b, "allowed_views"))
	property.set("format", json.RawMessage(`"google-drive-picker"`))
	property.set("google_drive_picker_config", picker.json())
	property.set("auto_credentials", json.RawMessage(
		`{"provider":"google","types":["oauth2"],"scopes":["https://www.googleapis.com/auth/drive.file"],"kwarg_name":"credentials"}`))
}

func orDefault(v json.RawMessage, b *block.Block, pin string) json.RawMessage {
	if !absent(v) {
		return v
	}
	if p, ok := b.Input(pin); ok && p.Default != nil {
		return p.Default
	}
	return null
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
	required                 bool
}

func collectCredentials(g *Graph, blocks Blocks, groups map[string]*credentialsGroup) {
	for i := range g.Nodes {
		n := &g.Nodes[i]
		b, ok := blocks.Block(n.BlockID)
		if !ok {
			continue
		}
		skippable, _ := jsonscan.Find(n.Metadata, "credentials_optional")
		for _, f := range b.Credentials {
			providers, value := narrow(n, b, f)
			types := sorted(f.Types)
			key := strings.Join(providers, "-") + "_" + strings.Join(types, "-") + "_credentials"
			group := groups[key]
			if group == nil {
				group = &credentialsGroup{providers: providers, types: types, discriminator: f.Discriminator}
				groups[key] = group
			}
			group.scopes = sorted(append(group.scopes, f.Scopes...))
			if value != "" && !slices.Contains(group.values, value) {
				group.values = append(group.values, value)
			}
			group.required = group.required || !f.Optional && string(skippable) != "true"
		}
	}
}

// narrow reduces the providers to the one that a node's constants choose.
func narrow(n *Node, b *block.Block, f block.CredentialsField) (providers []string, value string) {
	if f.Discriminator == "" {
		return sorted(f.Providers), ""
	}
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

func sorted(list []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(list)))
}

func objectSchema(properties *object, required []string) json.RawMessage {
	schema := newObject()
	schema.set("type", json.RawMessage(`"object"`))
	schema.set("properties", properties.json())
	schema.set("required", textArray(required))
	return schema.json()
}
