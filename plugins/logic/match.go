package main

import (
	"context"
	"encoding/json"

	"github.com/patchbay-io/patchbay/plugins/internal/value"
	"github.com/patchbay-io/patchbay/sdk"
)

type ifInputMatchesInput struct {
	Input    json.RawMessage `json:"input" required:"true" placeholder:"For example: 10 or 'hello' or True" doc:"Value to look at"`
	Value    json.RawMessage `json:"value" required:"true" placeholder:"For example: 'Greater' or 20 or False" doc:"Value that it may match"`
	YesValue json.RawMessage `json:"yes_value" placeholder:"For example: 'Greater' or 20 or False" doc:"What comes out if they match"`
	NoValue  json.RawMessage `json:"no_value" placeholder:"For example: 'Greater' or 20 or False" doc:"What comes out if they do not"`
}

var ifInputMatches = sdk.Block[ifInputMatchesInput]{
	ID:          "6dbbc4b3-ca6c-42b6-b508-da52d23e13f2",
	Name:        "If Input Matches",
	Description: "Goes one of two ways, by whether a value equals another one",
	Categories:  []string{"LOGIC"},
	Traits:      sdk.Pure,
	Outputs: sdk.Outputs{
		sdk.Out("result", sdk.Boolean("Whether they match")),
		sdk.Out("yes_output", sdk.Any("Comes if they match")),
		sdk.Out("no_output", sdk.Any("Comes if they do not match")),
	},
	Run: func(_ context.Context, in ifInputMatchesInput, out sdk.Emitter) error {
		matches := value.Equal(in.Input, in.Value) || value.Equal(in.Input, likeInput(in.Value, in.Input))
		if err := out.Emit("result", matches); err != nil {
			return err
		}
		if matches {
			return out.Emit("yes_output", in.YesValue)
		}
		return out.Emit("no_output", in.NoValue)
	},
	Examples: []sdk.Example{
		{Input: `{"input": 10, "value": "10", "yes_value": "same", "no_value": "other"}`, Output: `{"result": [true], "yes_output": ["same"]}`},
		{Input: `{"input": 10, "value": 20, "yes_value": "same", "no_value": "other"}`, Output: `{"result": [false], "no_output": ["other"]}`},
	},
}

// likeInput converts a value to the input's kind. Text that is no number stays text next to a number: a conversion
// that fails is none.
func likeInput(v, input json.RawMessage) json.RawMessage {
	kind := value.KindOf(input)
	if kind == value.Null || value.KindOf(v) == value.Null {
		return v
	}
	if kind == value.Number && value.KindOf(v) == value.String {
		if number, ok := value.ParseNumber(value.Text(v)); ok {
			return number
		}
		return v
	}
	converted, err := value.Convert(v, kind)
	if err != nil {
		return v
	}
	return converted
}
