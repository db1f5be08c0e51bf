package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/patchbay-io/patchbay/plugins/internal/charname"
	"github.com/patchbay-io/patchbay/sdk"
)

type textDecoderInput struct {
	Text string `json:"text" required:"true" placeholder:"Your entire text block with \\n and \\\" escaped characters" doc:"Text with backslash escapes"`
}

var textDecoder = sdk.Block[textDecoderInput]{
	ID:          "2570e8fe-8447-43ed-84c7-70d657923231",
	Name:        "Text Decoder",
	Description: "Turns backslash escapes, such as \\n, into what they stand for. Half of a surrogate pair alone, which is no character, becomes U+FFFD",
	Categories:  []string{"TEXT"},
	Traits:      sdk.Pure,
	Outputs:     sdk.Outputs{sdk.Out("decoded_text", sdk.String("The text with its escapes resolved"))},
	Run: func(_ context.Context, in textDecoderInput, out sdk.Emitter) error {
		decoded, err := decodeEscapes(in.Text)
		if err != nil {
			return sdk.InvalidInput("%w", err)
		}
		return out.Emit("decoded_text", decoded)
	},
	Examples: []sdk.Example{{Input: `{"text": "Hello\\nWorld"}`, Output: `{"decoded_text": ["Hello\nWorld"]}`}},
}

var simpleEscapes = map[byte]string{
	'n': "\n", 't': "\t", 'r': "\r", 'b': "\b", 'f': "\f", 'v': "\v", 'a': "\a", '\\': `\`, '"': `"`, '\'': "'", '\n': "",
}

// hexEscapes have that many digits behind them.
var hexEscapes = map[byte]int{'x': 2, 'u': 4, 'U': 8}

// decodeEscapes reads text as Python's unicode_escape does, but for characters beyond ASCII, which stay as they are.
// A backslash before what is no escape stays too.
func decodeEscapes(text string) (string, error) {
	var out strings.Builder
	out.Grow(len(text))
	for rest := text; rest != ""; {
		plain, escaped, found := strings.Cut(rest, `\`)
		out.WriteString(plain)
		if !found {
			break
		}
		if escaped == "" {
			return "", errors.New("the text ends with a backslash, which begins an escape")
		}
		meaning, size, err := readEscape(escaped)
		if err != nil {
			return "", fmt.Errorf("character %d: %w", utf8.RuneCountInString(text[:len(text)-len(escaped)-1]), err)
		}
		out.WriteString(meaning)
		rest = escaped[size:]
	}
	return out.String(), nil
}

// readEscape reads what stands behind a backslash, and how many bytes of it.
func readEscape(text string) (meaning string, size int, err error) {
	c := text[0]
	if meaning, ok := simpleEscapes[c]; ok {
		return meaning, 1, nil
	}
	switch {
	case c >= '0' && c <= '7':
		for size = 1; size < min(3, len(text)) && text[size] >= '0' && text[size] <= '7'; size++ {
		}
		n, err := strconv.ParseUint(text[:size], 8, 16)
		return string(rune(n)), size, err
	case c == 'N':
		return namedEscape(text)
	case hexEscapes[c] == 0:
		return `\`, 0, nil
	}
	character, size, err := hexEscape(text)
	if err != nil || !utf16.IsSurrogate(character) {
		return string(character), size, err
	}
	if low, ok := strings.CutPrefix(text[size:], `\`); ok && low != "" && hexEscapes[low[0]] > 0 {
		if second, more, err := hexEscape(low); err == nil && utf16.DecodeRune(character, second) != utf8.RuneError {
			return string(utf16.DecodeRune(character, second)), size + 1 + more, nil
		}
	}
	return string(utf8.RuneError), size, nil
}

// hexEscape reads "u00e9" and its like.
func hexEscape(text string) (character rune, size int, err error) {
	digits := hexEscapes[text[0]]
	if len(text) < digits+1 {
		return 0, 0, fmt.Errorf("the escape \\%c has %d hexadecimal digits", text[0], digits)
	}
	n, err := strconv.ParseUint(text[1:digits+1], 16, 32)
	switch {
	case err != nil:
		return 0, 0, fmt.Errorf("the escape \\%c has %d hexadecimal digits", text[0], digits)
	case n > utf8.MaxRune:
		return 0, 0, fmt.Errorf("there is no character U+%X", n)
	}
	return rune(n), digits + 1, nil
}

// namedEscape reads "N{EM DASH}".
func namedEscape(text string) (meaning string, size int, err error) {
	name, _, ok := strings.Cut(strings.TrimPrefix(text, "N{"), "}")
	if !ok || !strings.HasPrefix(text, "N{") {
		return "", 0, errors.New(`the escape \N has a name in braces`)
	}
	character, ok := charname.Find(name)
	if !ok {
		return "", 0, fmt.Errorf("there is no character named %.50q", name)
	}
	return string(character), len("N{}") + len(name), nil
}
