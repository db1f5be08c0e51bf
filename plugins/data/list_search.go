package main

import (
	"context"
	"encoding/json"

	"github.com/patchbay-io/patchbay/plugins/internal/value"
	"github.com/patchbay-io/patchbay/sdk"
)

type findInListInput struct {
	List  json.RawMessage `json:"list" type:"array" required:"true" doc:"List to search"`
	Value json.RawMessage `json:"value" required:"true" doc:"Value to find"`
}

var findInList = sdk.Block[findInListInput]{
	ID:          "5e2c6d0a-1e37-489f-b1d0-8e1812b23333",
	Name:        "Find In List",
	Description: "Finds where a value stands in a list",
	Categories:  []string{"BASIC"},
	Traits:      sdk.Pure,
	Outputs: sdk.Outputs{
		sdk.Out("index", sdk.Integer("Where the first equal element stands, from 0")),
		sdk.Out("found", sdk.Boolean("Whether there is one")),
		sdk.Out("not_found_value", sdk.Any("The value, if there is none")),
	},
	Run: func(_ context.Context, in findInListInput, out sdk.Emitter) error {
		at := indexOf(value.Elements(in.List), in.Value)
		if at < 0 {
			if err := out.Emit("found", false); err != nil {
				return err
			}
			return out.Emit("not_found_value", in.Value)
		}
		if err := out.Emit("index", at); err != nil {
			return err
		}
		return out.Emit("found", true)
	},
	Examples: []sdk.Example{
		{Input: `{"list": [1, 2, 3], "value": 3}`, Output: `{"index": [2], "found": [true]}`},
		{Input: `{"list": [1, 2, 3], "value": 6}`, Output: `{"found": [false], "not_found_value": [6]}`},
	},
}

type listIsEmptyInput struct {
	List json.RawMessage `json:"list" type:"array" required:"true" doc:"List to look at"`
}

var listIsEmpty = sdk.Block[listIsEmptyInput]{
	ID:          "896ed73b-27d0-41be-813c-c1c1dc856c03",
	Name:        "List Is Empty",
	Description: "Says whether a list has no elements",
	Categories:  []string{"BASIC"},
	Traits:      sdk.Pure,
	Outputs:     sdk.Outputs{sdk.Out("is_empty", sdk.Boolean("Whether it is empty"))},
	Run: func(_ context.Context, in listIsEmptyInput, out sdk.Emitter) error {
		return out.Emit("is_empty", !value.Truthy(in.List))
	},
	Examples: []sdk.Example{{Input: `{"list": []}`, Output: `{"is_empty": [true]}`}},
}
