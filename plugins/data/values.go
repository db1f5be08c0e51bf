package main

import (
	"context"
	"encoding/json"

	"github.com/patchbay-io/patchbay/plugins/internal/value"
	"github.com/patchbay-io/patchbay/sdk"
)

type storeValueInput struct {
	Input json.RawMessage `json:"input" required:"true" doc:"Value to keep, and what fires the block"`
	Data  json.RawMessage `json:"data" doc:"Value to keep in place of the input; empty ones do not count"`
}

var storeValue = sdk.Block[storeValueInput]{
	ID:           "1ff065e9-88e8-4358-9d82-8dc91f622ba9",
	Name:         "Store Value",
	Description:  "Keeps a value, so that what is linked to it can use it again and again",
	Categories:   []string{"BASIC"},
	Traits:       sdk.Pure,
	StaticOutput: true,
	Outputs:      sdk.Outputs{sdk.Out("output", sdk.Any("The kept value"))},
	Run: func(_ context.Context, in storeValueInput, out sdk.Emitter) error {
		if value.Truthy(in.Data) {
			return out.Emit("output", in.Data)
		}
		return out.Emit("output", in.Input)
	},
	Examples: []sdk.Example{
		{Input: `{"input": "hello"}`, Output: `{"output": ["hello"]}`},
		{Input: `{"input": "hello", "data": "kept"}`, Output: `{"output": ["kept"]}`},
	},
}

type convertTypeInput struct {
	Value json.RawMessage `json:"value" required:"true" doc:"Value to convert"`
	Type  string          `json:"type" required:"true" enum:"string,number,boolean,list,dictionary" doc:"Type to convert it to"`
}

var convertType = sdk.Block[convertTypeInput]{
	ID:          "95d1b990-ce13-4d88-9737-ba5c2070c97b",
	Name:        "Universal Type Converter",
	Description: "Converts a value to text, a number, true or false, a list or a dictionary",
	Categories:  []string{"BASIC"},
	Traits:      sdk.Pure,
	Outputs:     sdk.Outputs{sdk.Out("value", sdk.Any("The converted value"))},
	Run: func(_ context.Context, in convertTypeInput, out sdk.Emitter) error {
		kinds := map[string]value.Kind{
			"string": value.String, "number": value.Number, "boolean": value.Bool,
			"list": value.List, "dictionary": value.Object,
		}
		kind, ok := kinds[in.Type]
		if !ok {
			return sdk.InvalidInput("there is no type %q: it is string, number, boolean, list or dictionary", in.Type)
		}
		converted, err := value.Convert(in.Value, kind)
		if err != nil {
			return sdk.InvalidInput("%w", err)
		}
		return out.Emit("value", converted)
	},
	Examples: []sdk.Example{
		{Input: `{"value": {"a": 1}, "type": "string"}`, Output: `{"value": ["{\"a\": 1}"]}`},
		{Input: `{"value": "[1, 2]", "type": "list"}`, Output: `{"value": [[1, 2]]}`},
	},
}
