package main

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/patchbay-io/patchbay/plugins/internal/value"
	"github.com/patchbay-io/patchbay/sdk"
)

type reverseListInput struct {
	List json.RawMessage `json:"input_list" type:"array" required:"true" doc:"List to turn round"`
}

var reverseList = sdk.Block[reverseListInput]{
	ID:          "422cb708-3109-4277-bfe3-bc2ae5812777",
	Name:        "Reverse List Order",
	Description: "Turns the order of a list round",
	Categories:  []string{"BASIC"},
	Traits:      sdk.Pure,
	Outputs:     sdk.Outputs{sdk.Out("reversed_list", sdk.List("The list from its end to its beginning", sdk.Any("")))},
	Run: func(_ context.Context, in reverseListInput, out sdk.Emitter) error {
		elements := value.Elements(in.List)
		slices.Reverse(elements)
		return out.Emit("reversed_list", value.ListOf(elements))
	},
	Examples: []sdk.Example{{Input: `{"input_list": [1, 2, 3]}`, Output: `{"reversed_list": [[3, 2, 1]]}`}},
}

// The elements of lists are of any type: the block itself skips nulls, and names what is no list, which the server
// would refuse or turn into one.
type concatenateListsInput struct {
	Lists json.RawMessage `json:"lists" type:"array" required:"true" placeholder:"e.g., [[1, 2], [3, 4], [5, 6]]" doc:"Lists to put one behind the other"`
}

var concatenateLists = sdk.Block[concatenateListsInput]{
	ID:          "3cf9298b-5817-4141-9d80-7c2cc5199c8e",
	Name:        "Concatenate Lists",
	Description: "Makes one list of several",
	Categories:  []string{"BASIC"},
	Traits:      sdk.Pure,
	Outputs:     sdk.Outputs{sdk.Out("concatenated_list", sdk.List("All elements in their order", sdk.Any("")))},
	Run: func(_ context.Context, in concatenateListsInput, out sdk.Emitter) error {
		var all []json.RawMessage
		for i, list := range value.Elements(in.Lists) {
			switch kind := value.KindOf(list); kind {
			case value.Null:
			case value.List:
				all = append(all, value.Elements(list)...)
			default:
				return sdk.InvalidInput("element %d of lists is %s, not a list", i, kind)
			}
		}
		return out.Emit("concatenated_list", value.ListOf(all))
	},
	Examples: []sdk.Example{{Input: `{"lists": [[1, 2], [3]]}`, Output: `{"concatenated_list": [[1, 2, 3]]}`}},
}

type removeFromListInput struct {
	List       json.RawMessage `json:"list" type:"array" required:"true" doc:"List to remove from"`
	Value      json.RawMessage `json:"value" doc:"Value to remove, the first that is equal"`
	Index      *int            `json:"index" doc:"Which element to remove, from 0; negative counts from the end; comes before the value"`
	ReturnItem bool            `json:"return_item" default:"false" doc:"Give the removed element too"`
}

var removeFromList = sdk.Block[removeFromListInput]{
	ID:          "d93c5a93-ac7e-41c1-ae5c-ef67e6e9b826",
	Name:        "Remove From List",
	Description: "Removes one element from a copy of a list",
	Categories:  []string{"BASIC"},
	Traits:      sdk.Pure,
	Outputs: sdk.Outputs{
		sdk.Out("updated_list", sdk.List("The list without the element", sdk.Any(""))),
		sdk.Out("removed_item", sdk.Any("The element, if it is wanted")),
	},
	Run: func(_ context.Context, in removeFromListInput, out sdk.Emitter) error {
		elements := value.Elements(in.List)
		var at int
		if in.Index != nil {
			var err error
			if at, err = elementPosition(*in.Index, len(elements)); err != nil {
				return err
			}
		} else if at = indexOf(elements, in.Value); at < 0 {
			return sdk.InvalidInput("the list has no element that equals %.100s", in.Value)
		}
		removed := elements[at]
		if err := out.Emit("updated_list", value.ListOf(slices.Delete(elements, at, at+1))); err != nil {
			return err
		}
		if !in.ReturnItem {
			return nil
		}
		return out.Emit("removed_item", removed)
	},
	Examples: []sdk.Example{
		{Input: `{"list": ["a", "b"], "value": "a"}`, Output: `{"updated_list": [["b"]]}`},
		{Input: `{"list": [1, 2, 3], "index": 1, "return_item": true}`, Output: `{"updated_list": [[1, 3]], "removed_item": [2]}`},
	},
}

// indexOf is where the first equal element stands, or -1.
func indexOf(elements []json.RawMessage, wanted json.RawMessage) int {
	return slices.IndexFunc(elements, func(element json.RawMessage) bool { return value.Equal(element, wanted) })
}

type replaceListItemInput struct {
	List  json.RawMessage `json:"list" type:"array" required:"true" doc:"List to change"`
	Index int             `json:"index" required:"true" doc:"Which element, from 0; negative counts from the end"`
	Value json.RawMessage `json:"value" required:"true" doc:"New value"`
}

var replaceListItem = sdk.Block[replaceListItemInput]{
	ID:          "fbf62922-bea1-4a3d-8bac-23587f810b38",
	Name:        "Replace List Item",
	Description: "Replaces one element in a copy of a list",
	Categories:  []string{"BASIC"},
	Traits:      sdk.Pure,
	Outputs: sdk.Outputs{
		sdk.Out("updated_list", sdk.List("The list with the new value", sdk.Any(""))),
		sdk.Out("old_item", sdk.Any("What stood there before")),
	},
	Run: func(_ context.Context, in replaceListItemInput, out sdk.Emitter) error {
		elements := value.Elements(in.List)
		at, err := elementPosition(in.Index, len(elements))
		if err != nil {
			return err
		}
		old := elements[at]
		elements[at] = in.Value
		if err := out.Emit("updated_list", value.ListOf(elements)); err != nil {
			return err
		}
		return out.Emit("old_item", old)
	},
	Examples: []sdk.Example{{Input: `{"list": [1, 2, 3], "index": 1, "value": 99}`, Output: `{"updated_list": [[1, 99, 3]], "old_item": [2]}`}},
}
