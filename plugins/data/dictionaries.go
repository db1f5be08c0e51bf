package main

import (
	"context"
	"encoding/json"
	"strconv"

	"github.com/patchbay-io/patchbay/plugins/internal/value"
	"github.com/patchbay-io/patchbay/sdk"
)

type createDictionaryInput struct {
	Values json.RawMessage `json:"values" type:"object" required:"true" placeholder:"e.g., {'name': 'Alice', 'age': 25}" doc:"Keys and their values"`
}

var createDictionary = sdk.Block[createDictionaryInput]{
	ID:          "b924ddf4-de4f-4b56-9a85-358930dcbc91",
	Name:        "Create Dictionary",
	Description: "Makes a dictionary of keys and values",
	Categories:  []string{"DATA"},
	Traits:      sdk.Pure,
	Outputs:     sdk.Outputs{sdk.Out("dictionary", sdk.Map("The dictionary", sdk.Any("")))},
	Run: func(_ context.Context, in createDictionaryInput, out sdk.Emitter) error {
		return out.Emit("dictionary", in.Values)
	},
	Examples: []sdk.Example{
		{Input: `{"values": {"name": "Alice", "age": 25}}`, Output: `{"dictionary": [{"name": "Alice", "age": 25}]}`},
	},
}

type findInDictionaryInput struct {
	Input json.RawMessage `json:"input" required:"true" doc:"Dictionary or list to look into, or JSON text of one"`
	Key   json.RawMessage `json:"key" type:"string|integer" required:"true" doc:"Key, or index of a list"`
}

var findInDictionary = sdk.Block[findInDictionaryInput]{
	ID:          "0e50422c-6dee-4145-83d6-3a5a392f65de",
	Name:        "Find In Dictionary",
	Description: "Looks a key up in a dictionary, an index in a list, or a key in every dictionary of a list",
	Categories:  []string{"BASIC"},
	Traits:      sdk.Pure,
	Outputs: sdk.Outputs{
		sdk.Out("output", sdk.Any("What was found")),
		sdk.Out("missing", sdk.Any("The input, where nothing was found")),
	},
	Run: func(_ context.Context, in findInDictionaryInput, out sdk.Emitter) error {
		if found, ok := find(in.Input, in.Key); ok {
			return out.Emit("output", found)
		}
		return out.Emit("missing", in.Input)
	},
	Examples: []sdk.Example{
		{Input: `{"input": {"apple": 1}, "key": "apple"}`, Output: `{"output": [1]}`},
		{Input: `{"input": [{"x": 1}, {"y": 2}, {"x": 3}], "key": "x"}`, Output: `{"output": [[1, 3]]}`},
		{Input: `{"input": {"apple": 1}, "key": "pear"}`, Output: `{"missing": [{"apple": 1}]}`},
	},
}

func find(in, key json.RawMessage) (json.RawMessage, bool) {
	if value.KindOf(in) == value.String {
		parsed, ok := value.Parse(value.Text(in))
		if !ok {
			return nil, false
		}
		in = parsed
	}
	switch value.KindOf(in) {
	case value.Object:
		return value.Lookup(in, keyText(key))
	case value.List:
		if value.KindOf(key) == value.String {
			return pluck(in, value.Text(key)), true
		}
		elements := value.Elements(in)
		if at, err := strconv.Atoi(string(key)); err == nil && at >= 0 && at < len(elements) {
			return elements[at], true
		}
	}
	return nil, false
}

// pluck collects a key's value of every dictionary of a list that has it.
func pluck(list json.RawMessage, key string) json.RawMessage {
	var found []json.RawMessage
	for _, element := range value.Elements(list) {
		if value.KindOf(element) != value.Object {
			continue
		}
		if v, ok := value.Lookup(element, key); ok {
			found = append(found, v)
		}
	}
	return value.ListOf(found)
}

// keyText is a key as dictionaries have it: JSON knows text alone.
func keyText(key json.RawMessage) string {
	if value.KindOf(key) == value.String {
		return value.Text(key)
	}
	return string(key)
}
