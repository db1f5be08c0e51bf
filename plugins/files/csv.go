package main

import (
	"strings"
	"unicode/utf8"
)

// dialect says what characters mean in CSV text.
type dialect struct{ delimiter, quote, escape rune }

// none is a character that no text has.
const none rune = -1

// csvState is what the characters before the one at hand have begun.
type csvState int

const (
	fieldStart csvState = iota
	inField
	afterEscape // outside of quotes
	inQuotes
	escapeInQuotes
	quoteInQuotes // the end of the quotes, or the first of two that stand for one
)

// readCSV reads text as Python's csv module does: it finds rows in any text. What follows closing quotes belongs to
// the field, and quotes that are never closed reach to the end. A blank line is a row without cells. Every line end
// counts, also that of old Macs, which Python refuses. take is called for each row, and may end the reading with an error.
func readCSV(text string, d dialect, take func(row []string) error) error {
	row := []string{}
	var field strings.Builder
	state := fieldStart
	endField := func() {
		row = append(row, field.String())
		field.Reset()
		state = fieldStart
	}
	endRow := func() error {
		if state != fieldStart || len(row) > 0 {
			endField()
		}
		full := row
		row = []string{}
		return take(full)
	}
	for text != "" {
		c, size := utf8.DecodeRuneInString(text)
		raw := text[:size] // what is no UTF-8 stays what it is
		text = text[size:]
		lineEnd := c == '\n' || c == '\r'
		switch state {
		case afterEscape:
			field.WriteString(raw)
			state = inField
		case escapeInQuotes:
			field.WriteString(raw)
			state = inQuotes
		case inQuotes:
			switch c {
			case d.escape:
				state = escapeInQuotes
			case d.quote:
				state = quoteInQuotes
			default:
				field.WriteString(raw)
			}
		default:
			switch {
			case lineEnd:
				if c == '\r' {
					text = strings.TrimPrefix(text, "\n")
				}
				if err := endRow(); err != nil {
					return err
				}
			case c == d.delimiter:
				endField()
			case state == quoteInQuotes && c == d.quote:
				field.WriteString(raw)
				state = inQuotes
			case state == fieldStart && c == d.quote:
				state = inQuotes
			case state != quoteInQuotes && c == d.escape:
				state = afterEscape
			default:
				field.WriteString(raw)
				state = inField
			}
		}
	}
	if state == afterEscape || state == escapeInQuotes {
		field.WriteByte('\n') // an escape at the very end: so Python has it
	}
	if state == fieldStart && len(row) == 0 { // behind the last line end
		return nil
	}
	return endRow()
}
