package main

import (
	"context"
	"strings"

	"github.com/patchbay-io/patchbay/plugins/internal/value"
	"github.com/patchbay-io/patchbay/sdk"
)

// maxText bounds in bytes what these blocks make: replacing can blow a text up a million times.
const maxText = 64 << 20

type combineTextsInput struct {
	Input     []string `json:"input" required:"true" doc:"Texts to join"`
	Delimiter string   `json:"delimiter" default:"" doc:"What stands between them"`
}

var combineTexts = sdk.Block[combineTextsInput]{
	ID:          "e30a4d42-7b7d-4e6a-b36e-1f9b8e3b7d85",
	Name:        "Combine Texts",
	Description: "Joins several texts to one",
	Categories:  []string{"TEXT"},
	Traits:      sdk.Pure,
	Outputs:     sdk.Outputs{sdk.Out("output", sdk.String("The joined text"))},
	Run: func(_ context.Context, in combineTextsInput, out sdk.Emitter) error {
		if len(in.Input)*len(in.Delimiter) > maxText {
			return errTextTooLong()
		}
		return out.Emit("output", strings.Join(in.Input, in.Delimiter))
	},
	Examples: []sdk.Example{{Input: `{"input": ["a", "b"], "delimiter": "-"}`, Output: `{"output": ["a-b"]}`}},
}

func errTextTooLong() error {
	return sdk.InvalidInput("the text would be longer than %d MiB", maxText>>20)
}

type textReplaceInput struct {
	Text string `json:"text" required:"true" doc:"Text to change"`
	Old  string `json:"old" required:"true" doc:"What to look for, literally"`
	New  string `json:"new" required:"true" doc:"What to put in its place"`
}

var textReplace = sdk.Block[textReplaceInput]{
	ID:          "7e7c87ab-3469-4bcc-9abe-67705091b713",
	Name:        "Text Replace",
	Description: "Replaces every occurrence of a text by another",
	Categories:  []string{"TEXT"},
	Traits:      sdk.Pure,
	Outputs:     sdk.Outputs{sdk.Out("output", sdk.String("The changed text"))},
	Run: func(_ context.Context, in textReplaceInput, out sdk.Emitter) error {
		if grown := len(in.New) - len(in.Old); grown > 0 && strings.Count(in.Text, in.Old)*grown > maxText {
			return errTextTooLong()
		}
		return out.Emit("output", strings.ReplaceAll(in.Text, in.Old, in.New))
	},
	Examples: []sdk.Example{{Input: `{"text": "Hello, World!", "old": "Hello", "new": "Hi"}`, Output: `{"output": ["Hi, World!"]}`}},
}

type textSplitInput struct {
	Text      string `json:"text" required:"true" doc:"Text to split"`
	Delimiter string `json:"delimiter" required:"true" doc:"Where to split it"`
	Strip     bool   `json:"strip" default:"true" doc:"Take white space away around each part"`
}

var textSplit = sdk.Block[textSplitInput]{
	ID:          "d5ea33c8-a575-477a-b42f-2fe3be5055ec",
	Name:        "Text Split",
	Description: "Splits a text into a list",
	Categories:  []string{"TEXT"},
	Traits:      sdk.Pure,
	Outputs:     sdk.Outputs{sdk.Out("texts", sdk.List("The parts", sdk.String("")))},
	Run: func(_ context.Context, in textSplitInput, out sdk.Emitter) error {
		if in.Text == "" {
			return out.Emit("texts", []string{})
		}
		if in.Delimiter == "" {
			return sdk.InvalidInput("the delimiter is empty")
		}
		parts := strings.Split(in.Text, in.Delimiter)
		if in.Strip {
			for i, part := range parts {
				parts[i] = strings.TrimFunc(part, value.IsSpace)
			}
		}
		return out.Emit("texts", parts)
	},
	Examples: []sdk.Example{{Input: `{"text": "a, b", "delimiter": ","}`, Output: `{"texts": [["a", "b"]]}`}},
}
