package main

import (
	"context"
	"encoding/json"
	"unicode/utf8"

	"github.com/patchbay-io/patchbay/plugins/internal/value"
	"github.com/patchbay-io/patchbay/sdk"
)

type countItemsInput struct {
	Collection json.RawMessage `json:"collection" required:"true" placeholder:"For example: [1, 2, 3] or {'a': 1, 'b': 2} or 'hello'" doc:"List, dictionary or text to count"`
}

var countItems = sdk.Block[countItemsInput]{
	ID:          "3c9c2f42-b0c3-435f-ba35-05f7a25c772a",
	Name:        "Count Items",
	Description: "Counts the elements of a list, the keys of a dictionary or the characters of a text",
	Categories:  []string{"LOGIC"},
	Traits:      sdk.Pure,
	Outputs:     sdk.Outputs{sdk.Out("count", sdk.Integer("How many; -1 for what has nothing to count"))},
	Run: func(_ context.Context, in countItemsInput, out sdk.Emitter) error {
		return out.Emit("count", count(in.Collection))
	},
	Examples: []sdk.Example{
		{Input: `{"collection": [1, 2, 3]}`, Output: `{"count": [3]}`},
		{Input: `{"collection": 7}`, Output: `{"count": [-1]}`},
	},
}

func count(collection json.RawMessage) int {
	switch value.KindOf(collection) {
	case value.List:
		return value.Len(collection)
	case value.Object:
		return value.Keys(collection)
	case value.String:
		return utf8.RuneCountInString(value.Text(collection))
	default:
		return -1
	}
}
