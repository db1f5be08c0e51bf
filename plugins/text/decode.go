package main

import (
	"context"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/patchbay-io/patchbay/sdk"
)

type textDecoderInput struct {
	Text string `json:"text" required:"true" placeholder:"Your entire text block with \\n and \\\" escaped characters" doc:"Text with backslash escapes"`
}

var textDecoder = sdk.Block[textDecoderInput]{
	ID:          "2570e8fe-8447-43ed-84c7-70d657923231",
	Name:        "Text Decoder",
	Description: "Turns backslash escapes, such as \\n, into what they stand for",
	Categories:  []string{"TEXT"},
	Traits:      sdk.Pure,
	Outputs:     sdk.Outputs{sdk.Out("decoded_text", sdk.String("The text with its escapes resolved"))},
	Run: func(_ context.Context, in textDecoderInput, out sdk.Emitter) error {
		return out.Emit("decoded_text", decodeEscapes(in.Text))
	},
	Examples: []sdk.Example{{Input: `{"text": "Hello\\nWorld"}`, Output: `{"decoded_text": ["Hello\nWorld"]}`}},
}

var simpleEscapes = map[byte]string{
	'n': "\n", 't': "\t", 'r': "\r", 'b': "\b", 'f': "\f", 'v': "\v", 'a': "\a", '0': "\x00",
	'\\': `\`, '"': `"`, '\'': "'", '/': "/", '\n': "",
}

// hexEscapes have that many digits behind them.
var hexEscapes = map[byte]int{'x': 2, 'u': 4, 'U': 8}

// decodeEscapes leaves what is no escape as it stands.
func decodeEscapes(text string) string {
	var out strings.Builder
	out.Grow(len(text))
	for text != "" {
		plain, rest, found := strings.Cut(text, `\`)
		out.WriteString(plain)
		if !found {
			break
		}
		if rest == "" {
			out.WriteByte('\\')
			break
		}
		if meaning, ok := simpleEscapes[rest[0]]; ok {
			out.WriteString(meaning)
			text = rest[1:]
			continue
		}
		character, size := hexEscape(rest)
		if size == 0 {
			out.WriteByte('\\')
			text = rest
			continue
		}
		text = rest[size:]
		if utf16.IsSurrogate(character) {
			if low, ok := strings.CutPrefix(text, `\`); ok {
				if second, more := hexEscape(low); more > 0 && utf16.DecodeRune(character, second) != utf8.RuneError {
					character = utf16.DecodeRune(character, second)
					text = low[more:]
				}
			}
		}
		out.WriteRune(character)
	}
	return out.String()
}

// hexEscape reads "u00e9" and its like; size 0 says that it is none.
func hexEscape(text string) (character rune, size int) {
	if text == "" {
		return 0, 0
	}
	digits, ok := hexEscapes[text[0]]
	if !ok || len(text) < digits+1 {
		return 0, 0
	}
	n, err := strconv.ParseUint(text[1:digits+1], 16, 32)
	if err != nil || n > utf8.MaxRune {
		return 0, 0
	}
	return rune(n), digits + 1
}
