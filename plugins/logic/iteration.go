package main

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/patchbay-io/patchbay/plugins/internal/value"
	"github.com/patchbay-io/patchbay/sdk"
)

// Bounds of one collection: more would flood an execution with runs.
const (
	maxItems     = 10_000
	maxItemsText = 1 << 20 // bytes of items_str
)

type stepThroughItemsInput struct {
	Items       json.RawMessage `json:"items" type:"array" default:"[]" advanced:"false" placeholder:"[1, 2, 3, 4, 5] or {'key1': 'value1', 'key2': 'value2'}" doc:"List to go through"`
	ItemsObject json.RawMessage `json:"items_object" type:"object" default:"{}" advanced:"false" placeholder:"[1, 2, 3, 4, 5] or {'key1': 'value1', 'key2': 'value2'}" doc:"Dictionary to go through"`
	ItemsText   string          `json:"items_str" default:"" advanced:"false" placeholder:"[1, 2, 3, 4, 5] or {'key1': 'value1', 'key2': 'value2'}" doc:"JSON text of a list or dictionary to go through"`
}

var stepThroughItems = sdk.Block[stepThroughItemsInput]{
	ID:          "f66a3543-28d3-4ab5-8945-9b336371e2ce",
	Name:        "Step Through Items",
	Description: "Gives the elements of a list or dictionary one after the other",
	Categories:  []string{"LOGIC"},
	Traits:      sdk.Pure | sdk.Streaming,
	Outputs: sdk.Outputs{
		sdk.Out("item", sdk.Any("An element")),
		sdk.Out("key", sdk.Any("Its key: an index in a list, text in a dictionary")),
	},
	Run: func(_ context.Context, in stepThroughItemsInput, out sdk.Emitter) error {
		collections, err := in.collections()
		if err != nil {
			return err
		}
		for _, collection := range collections {
			if err := step(collection, out); err != nil {
				return err
			}
		}
		return nil
	},
	Examples: []sdk.Example{
		{Input: `{"items": ["a", "b"]}`, Output: `[["item", "a"], ["key", 0], ["item", "b"], ["key", 1]]`},
		{Input: `{"items_object": {"x": 1}}`, Output: `[["item", 1], ["key", "x"]]`},
	},
}

// collections are the ones that hold anything. All are checked before the first element comes out.
func (in stepThroughItemsInput) collections() ([]json.RawMessage, error) {
	var collections []json.RawMessage
	if value.Truthy(in.Items) {
		collections = append(collections, in.Items)
	}
	if value.Truthy(in.ItemsObject) {
		collections = append(collections, in.ItemsObject)
	}
	if in.ItemsText != "" {
		if len(in.ItemsText) > maxItemsText {
			return nil, sdk.InvalidInput("items_str is %d bytes long: more than %d", len(in.ItemsText), maxItemsText)
		}
		raw, ok := value.Parse(in.ItemsText)
		if kind := value.KindOf(raw); !ok || kind != value.List && kind != value.Object {
			return nil, sdk.InvalidInput("items_str is no JSON list or dictionary: %.100q", strings.TrimSpace(in.ItemsText))
		}
		collections = append(collections, raw)
	}
	for _, collection := range collections {
		if n := value.Len(collection); n > maxItems {
			return nil, sdk.InvalidInput("there are %d items: at most %d can be stepped through", n, maxItems)
		}
	}
	return collections, nil
}

func step(collection json.RawMessage, out sdk.Emitter) error {
	if value.KindOf(collection) == value.Object {
		for _, member := range value.Members(collection) {
			if err := emitBoth(out, member.Value, member.RawKey); err != nil {
				return err
			}
		}
		return nil
	}
	for i, element := range value.Elements(collection) {
		if err := emitBoth(out, element, value.FromInt(i)); err != nil {
			return err
		}
	}
	return nil
}

func emitBoth(out sdk.Emitter, item, key json.RawMessage) error {
	if err := out.Emit("item", item); err != nil {
		return err
	}
	return out.Emit("key", key)
}
