package main

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/patchbay-io/patchbay/plugins/internal/value"
	"github.com/patchbay-io/patchbay/sdk"
)

type addToDictionaryInput struct {
	Dictionary json.RawMessage `json:"dictionary" type:"object" default:"{}" advanced:"false" doc:"Dictionary to add to"`
	Key        string          `json:"key" default:"" advanced:"false" placeholder:"new_key" doc:"Key to add"`
	Value      json.RawMessage `json:"value" advanced:"false" placeholder:"new_value" doc:"The key's value"`
	Entries    json.RawMessage `json:"entries" type:"object" default:"{}" advanced:"true" doc:"Keys and values to add, after the key"`
}

var addToDictionary = sdk.Block[addToDictionaryInput]{
	ID:          "31d1064e-7446-4693-a7d4-65e5ca1180d1",
	Name:        "Add To Dictionary",
	Description: "Adds keys with their values to a copy of a dictionary",
	Categories:  []string{"BASIC"},
	Traits:      sdk.Pure,
	Outputs:     sdk.Outputs{sdk.Out("updated_dictionary", sdk.Map("The dictionary with the new keys", sdk.Any("")))},
	Run: func(_ context.Context, in addToDictionaryInput, out sdk.Emitter) error {
		members := value.Members(in.Dictionary)
		if in.Key != "" && value.KindOf(in.Value) != value.Null {
			members = value.Set(members, in.Key, in.Value)
		}
		return out.Emit("updated_dictionary", value.ObjectOf(value.Merge(members, value.Members(in.Entries))))
	},
	Examples: []sdk.Example{
		{Input: `{"dictionary": {"a": 1}, "key": "b", "value": 2}`, Output: `{"updated_dictionary": [{"a": 1, "b": 2}]}`},
		{Input: `{"entries": {"a": 1, "b": 2}}`, Output: `{"updated_dictionary": [{"a": 1, "b": 2}]}`},
	},
}

type removeFromDictionaryInput struct {
	Dictionary  json.RawMessage `json:"dictionary" type:"object" required:"true" doc:"Dictionary to remove from"`
	Key         json.RawMessage `json:"key" type:"string|integer" required:"true" doc:"Key to remove"`
	ReturnValue bool            `json:"return_value" default:"false" doc:"Give the removed value too"`
}

var removeFromDictionary = sdk.Block[removeFromDictionaryInput]{
	ID:          "46afe2ea-c613-43f8-95ff-6692c3ef6876",
	Name:        "Remove From Dictionary",
	Description: "Removes a key from a copy of a dictionary",
	Categories:  []string{"BASIC"},
	Traits:      sdk.Pure,
	Outputs: sdk.Outputs{
		sdk.Out("updated_dictionary", sdk.Map("The dictionary without the key", sdk.Any(""))),
		sdk.Out("removed_value", sdk.Any("The key's value, if it is wanted")),
	},
	Run: func(_ context.Context, in removeFromDictionaryInput, out sdk.Emitter) error {
		members := value.Members(in.Dictionary)
		key := keyText(in.Key)
		at := value.Position(members, key)
		if at < 0 {
			return missingKey(key)
		}
		removed := members[at].Value
		members = slices.DeleteFunc(members, func(m value.Member) bool { return m.Key() == key })
		if err := out.Emit("updated_dictionary", value.ObjectOf(members)); err != nil {
			return err
		}
		if !in.ReturnValue {
			return nil
		}
		return out.Emit("removed_value", removed)
	},
	Examples: []sdk.Example{
		{Input: `{"dictionary": {"a": 1, "b": 2}, "key": "b", "return_value": true}`, Output: `{"updated_dictionary": [{"a": 1}], "removed_value": [2]}`},
	},
}

func missingKey(key string) error {
	return sdk.InvalidInput("the dictionary has no key %.100q", key)
}

type replaceDictionaryValueInput struct {
	Dictionary json.RawMessage `json:"dictionary" type:"object" required:"true" doc:"Dictionary to change"`
	Key        json.RawMessage `json:"key" type:"string|integer" required:"true" doc:"Key whose value changes"`
	Value      json.RawMessage `json:"value" required:"true" doc:"New value"`
}

var replaceDictionaryValue = sdk.Block[replaceDictionaryValueInput]{
	ID:          "27e31876-18b6-44f3-ab97-f6226d8b3889",
	Name:        "Replace Dictionary Value",
	Description: "Replaces the value of a key in a copy of a dictionary",
	Categories:  []string{"BASIC"},
	Traits:      sdk.Pure,
	Outputs: sdk.Outputs{
		sdk.Out("updated_dictionary", sdk.Map("The dictionary with the new value", sdk.Any(""))),
		sdk.Out("old_value", sdk.Any("The value before")),
	},
	Run: func(_ context.Context, in replaceDictionaryValueInput, out sdk.Emitter) error {
		members := value.Members(in.Dictionary)
		key := keyText(in.Key)
		at := value.Position(members, key)
		if at < 0 {
			return missingKey(key)
		}
		old := members[at].Value
		if err := out.Emit("updated_dictionary", value.ObjectOf(value.Set(members, key, in.Value))); err != nil {
			return err
		}
		return out.Emit("old_value", old)
	},
	Examples: []sdk.Example{
		{Input: `{"dictionary": {"a": 1, "b": 2}, "key": "b", "value": 9}`, Output: `{"updated_dictionary": [{"a": 1, "b": 9}], "old_value": [2]}`},
	},
}

type dictionaryIsEmptyInput struct {
	Dictionary json.RawMessage `json:"dictionary" type:"object" required:"true" doc:"Dictionary to look at"`
}

var dictionaryIsEmpty = sdk.Block[dictionaryIsEmptyInput]{
	ID:          "a3cf3f64-6bb9-4cc6-9900-608a0b3359b0",
	Name:        "Dictionary Is Empty",
	Description: "Says whether a dictionary has no keys",
	Categories:  []string{"BASIC"},
	Traits:      sdk.Pure,
	Outputs:     sdk.Outputs{sdk.Out("is_empty", sdk.Boolean("Whether it is empty"))},
	Run: func(_ context.Context, in dictionaryIsEmptyInput, out sdk.Emitter) error {
		return out.Emit("is_empty", !value.Truthy(in.Dictionary))
	},
	Examples: []sdk.Example{{Input: `{"dictionary": {}}`, Output: `{"is_empty": [true]}`}},
}
