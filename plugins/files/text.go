package main

import (
	"context"
	"strings"
	"unicode/utf8"

	"github.com/patchbay-io/patchbay/sdk"
)

type readFileInput struct {
	File      string `json:"file_input" format:"file" required:"true" doc:"File to read: a stored file, a URL or a data URI"`
	Delimiter string `json:"delimiter" default:"" advanced:"true" doc:"What divides the text into rows; without it the text is one row"`
	SizeLimit int    `json:"size_limit" default:"0" advanced:"true" doc:"Most characters of one piece; more make further pieces. 0 is no limit"`
	RowLimit  int    `json:"row_limit" default:"0" advanced:"true" doc:"How many rows to read; 0 reads all"`
	SkipSize  int    `json:"skip_size" default:"0" advanced:"true" doc:"How many characters to leave out at the beginning"`
	SkipRows  int    `json:"skip_rows" default:"0" advanced:"true" doc:"How many rows to leave out at the beginning"`
}

var readFile = sdk.Block[readFileInput]{
	ID:          "3735a31f-7e18-4aca-9e90-08a7120674bc",
	Name:        "File Read",
	Description: "Reads the text of a file, UTF-8 or else Latin-1, whole or in pieces. Line ends become those of Unix",
	Categories:  []string{"TEXT", "DATA"},
	Outputs:     sdk.Outputs{sdk.Out("content", sdk.String("The text, or its pieces one after the other"))},
	Run: func(ctx context.Context, in readFileInput, out sdk.Emitter) error {
		content, err := contentOf(ctx, in.File)
		if err != nil {
			return err
		}
		for rest := in.part(lineEnds.Replace(decodeText(content))); ; {
			piece := beginning(rest, in.SizeLimit)
			if err := out.Emit("content", piece); err != nil {
				return err
			}
			if rest = rest[len(piece):]; rest == "" {
				return nil
			}
		}
	},
	Examples: []sdk.Example{
		{Input: `{"file_input": "data:text/plain,Hello%20World"}`, Output: `{"content": ["Hello World"]}`},
		{
			Input:  `{"file_input": "data:text/plain,one;two;three", "delimiter": ";", "skip_rows": 1, "size_limit": 5}`,
			Output: `{"content": ["two;t", "hree"]}`,
		},
	},
}

// lineEnds are Python's universal newlines: agents divide text at "\n".
var lineEnds = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// part is the text without what is to be left out.
func (in readFileInput) part(text string) string {
	if in.SkipSize > 0 {
		text = text[len(beginning(text, in.SkipSize)):]
	}
	if in.Delimiter == "" || in.SkipRows <= 0 && in.RowLimit <= 0 {
		if in.SkipRows > 0 {
			return "" // the one row that there is
		}
		return text
	}
	rows := strings.Split(text, in.Delimiter)
	rows = rows[min(max(in.SkipRows, 0), len(rows)):]
	if in.RowLimit > 0 {
		rows = rows[:min(in.RowLimit, len(rows))]
	}
	return strings.Join(rows, in.Delimiter)
}

// beginning is that many characters of a text, all of it where the number is not positive.
func beginning(text string, characters int) string {
	if characters <= 0 || len(text) <= characters {
		return text
	}
	for i := range text {
		if characters == 0 {
			return text[:i]
		}
		characters--
	}
	return text
}

// decodeText reads UTF-8, and what is none as Latin-1.
func decodeText(content []byte) string {
	if utf8.Valid(content) {
		return string(content)
	}
	var text strings.Builder
	text.Grow(2 * len(content))
	for _, b := range content {
		text.WriteRune(rune(b))
	}
	return text.String()
}
