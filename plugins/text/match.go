package main

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/patchbay-io/patchbay/plugins/internal/value"
	"github.com/patchbay-io/patchbay/plugins/text/pattern"
	"github.com/patchbay-io/patchbay/sdk"
)

// What is beyond these does not count. Characters are code points.
const (
	maxSearched    = 1_000_000 // characters of the text
	maxMatches     = 1_000
	maxMatchLength = 10_000 // characters of a match
)

type matchTextPatternInput struct {
	Text          json.RawMessage `json:"text" required:"true" doc:"Text to search; other values are searched as JSON"`
	Match         string          `json:"match" required:"true" doc:"Regular expression of Python's kind"`
	Data          json.RawMessage `json:"data" required:"true" doc:"What comes out; the text, where it is empty"`
	CaseSensitive bool            `json:"case_sensitive" default:"true" doc:"Capital and small letters differ"`
	DotAll        bool            `json:"dot_all" default:"true" doc:"A dot matches line ends too"`
}

var matchTextPattern = sdk.Block[matchTextPatternInput]{
	ID:          "3060088f-6ed9-4928-9ba7-9c92823a7ccd",
	Name:        "Match Text Pattern",
	Description: "Goes one of two ways, by whether a text has what a regular expression looks for",
	Categories:  []string{"TEXT"},
	Traits:      sdk.Pure,
	Outputs: sdk.Outputs{
		sdk.Out("positive", sdk.Any("The data, if there is a match")),
		sdk.Out("negative", sdk.Any("The data, if there is none")),
	},
	Run: func(ctx context.Context, in matchTextPatternInput, out sdk.Emitter) error {
		pin, data := "negative", in.Text
		err := pattern.Find(ctx, in.Match, searched(in.Text), flagsOf(in.CaseSensitive, in.DotAll), 0, func([]rune, bool) bool {
			pin = "positive"
			return false
		})
		if err != nil {
			return searchError(ctx, err)
		}
		if value.Truthy(in.Data) {
			data = in.Data
		}
		return out.Emit(pin, data)
	},
	Examples: []sdk.Example{
		{Input: `{"text": "ABC", "match": "ab", "data": "X", "case_sensitive": false}`, Output: `{"positive": ["X"]}`},
		{Input: `{"text": "ABC", "match": "ab", "data": "Y"}`, Output: `{"negative": ["Y"]}`},
	},
}

type extractTextInput struct {
	Text          json.RawMessage `json:"text" required:"true" doc:"Text to search; other values are searched as JSON"`
	Pattern       string          `json:"pattern" required:"true" doc:"Regular expression of Python's kind"`
	Group         int             `json:"group" default:"0" doc:"Which group of the expression to take; 0 is the whole match"`
	CaseSensitive bool            `json:"case_sensitive" default:"true" doc:"Capital and small letters differ"`
	DotAll        bool            `json:"dot_all" default:"true" doc:"A dot matches line ends too"`
	FindAll       bool            `json:"find_all" default:"false" doc:"Take every match, not only the first"`
}

var extractText = sdk.Block[extractTextInput]{
	ID:          "3146e4fe-2cdd-4f29-bd12-0c9d5bb4deb0",
	Name:        "Extract Text Information",
	Description: "Takes out of a text what a regular expression looks for. It searches the first 1,000,000 characters, and gives at most 1,000 matches and of each the first 10,000 characters",
	Categories:  []string{"TEXT"},
	Traits:      sdk.Pure,
	Outputs: sdk.Outputs{
		sdk.Out("positive", sdk.String("What was found, each match by itself")),
		sdk.Out("negative", sdk.String("The text, if nothing was found")),
		sdk.Out("matched_results", sdk.List("All that was found", sdk.String(""))),
		sdk.Out("matched_count", sdk.Integer("How many were found")),
	},
	Run: func(ctx context.Context, in extractTextInput, out sdk.Emitter) error {
		if in.Group < 0 {
			return sdk.InvalidInput("there is no group %d", in.Group)
		}
		text := searched(in.Text)
		found, err := in.find(ctx, text)
		if err != nil {
			return err
		}
		for _, match := range found {
			if err := out.Emit("positive", match); err != nil {
				return err
			}
		}
		if len(found) == 0 {
			if err := out.Emit("negative", text); err != nil {
				return err
			}
		}
		if err := out.Emit("matched_results", found); err != nil {
			return err
		}
		return out.Emit("matched_count", len(found))
	},
	Examples: []sdk.Example{
		{
			Input:  `{"text": "Hello, World!", "pattern": "Hello, (.+)", "group": 1}`,
			Output: `[["positive", "World!"], ["matched_results", ["World!"]], ["matched_count", 1]]`,
		},
		{
			Input:  `{"text": "a1 b2", "pattern": "[a-z](?P<digit>\\d)", "group": 1, "find_all": true}`,
			Output: `[["positive", "1"], ["positive", "2"], ["matched_results", ["1", "2"]], ["matched_count", 2]]`,
		},
		{
			Input:  `{"text": "Hello", "pattern": "\\d"}`,
			Output: `[["negative", "Hello"], ["matched_results", []], ["matched_count", 0]]`,
		},
	},
}

// find collects the group of each match, or of the first. Matches in which the group took no part do not count.
func (in extractTextInput) find(ctx context.Context, text string) ([]string, error) {
	found := []string{}
	err := pattern.Find(ctx, in.Pattern, beginning(text, maxSearched), flagsOf(in.CaseSensitive, in.DotAll), in.Group, func(match []rune, ok bool) bool {
		if ok {
			found = append(found, string(match[:min(len(match), maxMatchLength)]))
		}
		return in.FindAll && len(found) < maxMatches
	})
	if err != nil {
		return nil, searchError(ctx, err)
	}
	return found, nil
}

// searched is the text in which patterns are looked for.
func searched(text json.RawMessage) string {
	if value.KindOf(text) == value.String {
		return value.Text(text)
	}
	return value.JSONText(text)
}

// beginning cuts a text behind a number of characters.
func beginning(text string, characters int) string {
	if len(text) > characters {
		for i := range text {
			if characters == 0 {
				return text[:i]
			}
			characters--
		}
	}
	return text
}

func flagsOf(caseSensitive, dotAll bool) pattern.Options {
	return pattern.Options{IgnoreCase: !caseSensitive, DotAll: dotAll}
}

// searchError tells a run that was stopped from a pattern that cannot be searched for.
func searchError(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) {
		return err
	}
	return sdk.InvalidInput("%w", err)
}
