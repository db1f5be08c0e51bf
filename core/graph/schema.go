package graph

import (
	"encoding/json"
	"slices"

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
