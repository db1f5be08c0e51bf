package main

import (
	"context"
	"encoding/json"
	"unicode/utf8"

	"github.com/patchbay-io/patchbay/plugins/internal/value"
	"github.com/patchbay-io/patchbay/sdk"
)

type createListInput struct {
	Values    json.RawMessage `json:"values" type:"array" required:"true" placeholder:"e.g., ['Alice', 25, True]" doc:"Elements of the list"`
	MaxSize   *int            `json:"max_size" advanced:"true" doc:"Most elements of one list; more make further lists"`
	MaxTokens *int            `json:"max_tokens" advanced:"true" doc:"Most tokens, by estimate, of one list; more make further lists"`
}

var createList = sdk.Block[createListInput]{
	ID:          "a912d5c7-6e00-4542-b2a9-8034136930e4",
	Name:        "Create List",
	Description: "Makes a list of values, or several lists of limited size",
	Categories:  []string{"DATA"},
	Traits:      sdk.Pure,
	Outputs:     sdk.Outputs{sdk.Out("list", sdk.List("A list of the values; one after the other where there are limits", sdk.Any("")))},
	Run: func(_ context.Context, in createListInput, out sdk.Emitter) error {
		maxSize, maxTokens := given(in.MaxSize), given(in.MaxTokens)
		if maxSize < 0 || maxTokens < 0 {
			return sdk.InvalidInput("max_size and max_tokens must not be negative")
		}
		if maxSize == 0 && maxTokens == 0 {
			return out.Emit("list", in.Values)
		}
		for _, chunk := range chunks(value.Elements(in.Values), maxSize, maxTokens) {
			if err := out.Emit("list", value.ListOf(chunk)); err != nil {
				return err
			}
		}
		return nil
	},
	Examples: []sdk.Example{
		{Input: `{"values": ["Alice", 25, true]}`, Output: `{"list": [["Alice", 25, true]]}`},
		{Input: `{"values": [1, 2, 3], "max_size": 2}`, Output: `{"list": [[1, 2], [3]]}`},
	},
}

func given(limit *int) int {
	if limit == nil {
		return 0
	}
	return *limit
}

// chunks splits a list at its limits; 0 is none. An element that is over the limit of tokens by itself is alone.
func chunks(elements []json.RawMessage, maxSize, maxTokens int) [][]json.RawMessage {
	var all [][]json.RawMessage
	var chunk []json.RawMessage
	tokens := 0
	for _, element := range elements {
		more := estimateTokens(element)
		full := maxSize > 0 && len(chunk) == maxSize || maxTokens > 0 && tokens+more > maxTokens
		if full && len(chunk) > 0 {
			all = append(all, chunk)
			chunk, tokens = nil, 0
		}
		chunk = append(chunk, element)
		tokens += more
	}
	if len(chunk) > 0 || len(all) == 0 {
		all = append(all, chunk)
	}
	return all
}

// estimateTokens counts four characters as a token, as models roughly do with English.
func estimateTokens(element json.RawMessage) int {
	const charactersPerToken = 4
	return (utf8.RuneCount(element) + charactersPerToken - 1) / charactersPerToken
}

type addToListInput struct {
	List     json.RawMessage `json:"list" type:"array" default:"[]" advanced:"false" doc:"List to add to"`
	Entry    json.RawMessage `json:"entry" advanced:"false" doc:"Value to add; empty ones are left out"`
	Entries  json.RawMessage `json:"entries" type:"array" default:"[]" advanced:"true" doc:"Values to add, before the entry"`
	Position *int            `json:"position" doc:"Place to add them at, from 0; negative counts from the end; without it they come last"`
}

var addToList = sdk.Block[addToListInput]{
	ID:          "aeb08fc1-2fc1-4141-bc8e-f758f183a822",
	Name:        "Add To List",
	Description: "Adds values to a copy of a list, at its end or at a place in it",
	Categories:  []string{"BASIC"},
	Traits:      sdk.Pure,
	Outputs:     sdk.Outputs{sdk.Out("updated_list", sdk.List("The list with the new values", sdk.Any("")))},
	Run: func(_ context.Context, in addToListInput, out sdk.Emitter) error {
		added := value.Elements(in.Entries)
		if value.Truthy(in.Entry) {
			added = append(added, in.Entry)
		}
		if in.Position == nil || len(added) == 0 {
			return out.Emit("updated_list", value.Append(in.List, added...))
		}
		elements := value.Elements(in.List)
		at := slicePosition(*in.Position, len(elements))
		updated := make([]json.RawMessage, 0, len(elements)+len(added))
		updated = append(append(append(updated, elements[:at]...), added...), elements[at:]...)
		return out.Emit("updated_list", value.ListOf(updated))
	},
	Examples: []sdk.Example{
		{Input: `{"list": ["a", "b"], "entry": "c"}`, Output: `{"updated_list": [["a", "b", "c"]]}`},
		{Input: `{"list": ["a", "b"], "entries": ["f"], "entry": "e", "position": 1}`, Output: `{"updated_list": [["a", "f", "e", "b"]]}`},
	},
}

// slicePosition is where Python cuts a list: negative positions count from the end, and none is out of range.
func slicePosition(position, length int) int {
	if position < 0 {
		position += length
	}
	return min(max(position, 0), length)
}

type getListItemInput struct {
	List  json.RawMessage `json:"list" type:"array" required:"true" doc:"List to take from"`
	Index int             `json:"index" required:"true" doc:"Which element, from 0; negative counts from the end"`
}

var getListItem = sdk.Block[getListItemInput]{
	ID:          "262ca24c-1025-43cf-a578-534e23234e97",
	Name:        "Get List Item",
	Description: "Takes one element out of a list",
	Categories:  []string{"BASIC"},
	Traits:      sdk.Pure,
	Outputs:     sdk.Outputs{sdk.Out("item", sdk.Any("The element"))},
	Run: func(_ context.Context, in getListItemInput, out sdk.Emitter) error {
		elements := value.Elements(in.List)
		at, err := elementPosition(in.Index, len(elements))
		if err != nil {
			return err
		}
		return out.Emit("item", elements[at])
	},
	Examples: []sdk.Example{
		{Input: `{"list": [1, 2, 3], "index": 1}`, Output: `{"item": [2]}`},
		{Input: `{"list": [1, 2, 3], "index": -1}`, Output: `{"item": [3]}`},
	},
}

// elementPosition is where an element stands: negative indexes count from the end.
func elementPosition(index, length int) (int, error) {
	at := index
	if at < 0 {
		at += length
	}
	if at < 0 || at >= length {
		return 0, sdk.InvalidInput("index %d is out of range: the list has %d elements", index, length)
	}
	return at, nil
}
