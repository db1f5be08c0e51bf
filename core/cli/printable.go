package cli

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/patchbay-io/patchbay/core/plugin"
)

// Characters of a text of somebody's that are shown: a value keeps to a line, and a description leaves what is asked for in
// sight.
const (
	mostValue       = 160
	mostDescription = 500
)

// shortened cuts a text.
func shortened(text string, most int) string {
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	return string([]rune(text)[:most]) + fmt.Sprintf("… (%d bytes)", len(text))
}

// printableLines is for errors, which may take several lines.
func printableLines(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = printable(line)
	}
	return strings.Join(lines, "\n")
}

// printable takes the power over the terminal, and over the eyes, from what plugins and blocks say: what moves the cursor,
// turns the direction of the text around or is not to be seen is written out.
func printable(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case r == '\n' || r == '\t':
			b.WriteByte(' ')
		case plugin.Unseen(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
