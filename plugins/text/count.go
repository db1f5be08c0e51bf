package main

import (
	"context"
	"strings"
	"unicode/utf8"

	"github.com/patchbay-io/patchbay/plugins/internal/value"
	"github.com/patchbay-io/patchbay/sdk"
)

type countWordsInput struct {
	Text string `json:"text" required:"true" advanced:"false" placeholder:"Enter your text here" doc:"Text to measure"`
}

var countWords = sdk.Block[countWordsInput]{
	ID:          "ab2a782d-22cf-4587-8a70-55b59b3f9f90",
	Name:        "Word Character Count",
	Description: "Counts the words and characters of a text",
	Categories:  []string{"TEXT"},
	Traits:      sdk.Pure,
	Outputs: sdk.Outputs{
		sdk.Out("word_count", sdk.Integer("Words: what stands between white space")),
		sdk.Out("character_count", sdk.Integer("Characters: Unicode code points")),
	},
	Run: func(_ context.Context, in countWordsInput, out sdk.Emitter) error {
		if err := out.Emit("word_count", len(strings.FieldsFunc(in.Text, value.IsSpace))); err != nil {
			return err
		}
		return out.Emit("character_count", utf8.RuneCountInString(in.Text))
	},
	Examples: []sdk.Example{
		{Input: `{"text": "How do you do?"}`, Output: `{"word_count": [4], "character_count": [14]}`},
	},
}
