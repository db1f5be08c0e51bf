package main

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/patchbay-io/patchbay/plugins/internal/value"
	"github.com/patchbay-io/patchbay/sdk"
)

type conditionInput struct {
	Value1   json.RawMessage `json:"value1" required:"true" placeholder:"For example: 10 or 'hello' or True" doc:"First value"`
	Operator string          `json:"operator" required:"true" enum:"==,!=,>,<,>=,<=" placeholder:"Select an operator" doc:"How to compare"`
	Value2   json.RawMessage `json:"value2" required:"true" placeholder:"For example: 20 or 'world' or False" doc:"Second value"`
	YesValue json.RawMessage `json:"yes_value" placeholder:"Leave empty to use value1, or enter a specific value" doc:"What comes out if the comparison holds; value1 if empty"`
	NoValue  json.RawMessage `json:"no_value" placeholder:"Leave empty to use value1, or enter a specific value" doc:"What comes out if it does not; value2 if empty"`
}

var condition = sdk.Block[conditionInput]{
	ID:          "715696a0-e1da-45c8-b209-c2fa9c3b0be6",
	Name:        "Condition",
	Description: "Compares two values and goes one of two ways",
	Categories:  []string{"LOGIC"},
	Traits:      sdk.Pure,
	Outputs: sdk.Outputs{
		sdk.Out("result", sdk.Boolean("Whether the comparison holds")),
		sdk.Out("yes_output", sdk.Any("Comes if it holds")),
		sdk.Out("no_output", sdk.Any("Comes if it does not hold")),
	},
	Run: func(_ context.Context, in conditionInput, out sdk.Emitter) error {
		left, right := parsed(in.Value1), parsed(in.Value2)
		holds, err := compare(left, in.Operator, right)
		if err != nil {
			return err
		}
		if err := out.Emit("result", holds); err != nil {
			return err
		}
		pin, chosen, otherwise := "no_output", in.NoValue, right
		if holds {
			pin, chosen, otherwise = "yes_output", in.YesValue, left
		}
		if kind := value.KindOf(chosen); kind == value.Absent || kind == value.Null {
			chosen = otherwise
		}
		return out.Emit(pin, chosen)
	},
	Examples: []sdk.Example{
		{Input: `{"value1": 10, "operator": ">", "value2": "5"}`, Output: `{"result": [true], "yes_output": [10]}`},
		{Input: `{"value1": "a", "operator": "==", "value2": "b", "no_value": "differs"}`, Output: `{"result": [false], "no_output": ["differs"]}`},
	},
}

// parsed trims a string and makes a number of what reads as one.
func parsed(v json.RawMessage) json.RawMessage {
	if value.KindOf(v) != value.String {
		return v
	}
	text := value.Text(v)
	if number, ok := value.ParseNumber(text); ok {
		return number
	}
	if trimmed := strings.TrimFunc(text, value.IsSpace); trimmed != text {
		return value.FromText(trimmed)
	}
	return v
}

// nonFinite reads text as an infinite number or none, which stay text where they come out: JSON has no such numbers.
// Beside them the size of other numbers does not count. What is no number at all has no float.
func nonFinite(v json.RawMessage) (f *float64, odd bool) {
	switch value.KindOf(v) {
	case value.String:
		if parsed, ok := value.NonFinite(value.Text(v)); ok {
			return &parsed, true
		}
	case value.Number, value.Bool:
		return new(float64), false
	}
	return nil, false
}

func compareFloats(x *float64, operator string, y *float64) (bool, error) {
	known := x != nil && y != nil
	switch {
	case operator == "==":
		return known && *x == *y, nil
	case operator == "!=":
		return !known || *x != *y, nil
	case !known:
		return false, sdk.InvalidInput("Comparison failed: only numbers have an order with an infinite number")
	case operator == ">":
		return *x > *y, nil
	case operator == "<":
		return *x < *y, nil
	case operator == ">=":
		return *x >= *y, nil
	case operator == "<=":
		return *x <= *y, nil
	default:
		return false, sdk.InvalidInput("Comparison failed: there is no operator %q", operator)
	}
}

func compare(left json.RawMessage, operator string, right json.RawMessage) (bool, error) {
	x, leftOdd := nonFinite(left)
	y, rightOdd := nonFinite(right)
	if leftOdd || rightOdd {
		return compareFloats(x, operator, y)
	}
	switch operator {
	case "==":
		return value.Equal(left, right), nil
	case "!=":
		return !value.Equal(left, right), nil
	}
	order, err := value.Compare(left, right)
	if err != nil {
		return false, sdk.InvalidInput("Comparison failed: %w", err)
	}
	switch operator {
	case ">":
		return order > 0, nil
	case "<":
		return order < 0, nil
	case ">=":
		return order >= 0, nil
	case "<=":
		return order <= 0, nil
	default:
		return false, sdk.InvalidInput("Comparison failed: there is no operator %q", operator)
	}
}
