package jinja

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/nikolalohinski/gonja/v2/exec"

	"github.com/patchbay-io/patchbay/plugins/internal/value"
)

// str is Python's str(). What is undefined prints as nothing.
func (e *engine) str(v *exec.Value) string {
	if v.IsString() {
		return v.String()
	}
	if isUndefined(v) {
		return ""
	}
	var text strings.Builder
	e.repr(&text, v)
	return text.String()
}

// repr is Python's repr().
func (e *engine) repr(text *strings.Builder, v *exec.Value) {
	if v.IsNil() {
		text.WriteString(map[bool]string{true: "Undefined", false: "None"}[isUndefined(v)])
		return
	}
	if number, ok := v.Interface().(exact); ok {
		text.WriteString(string(number))
		return
	}
	switch {
	case isMarkup(v):
		text.WriteString("Markup(")
		quote(text, v.String())
		text.WriteString(")")
	case v.IsString():
		quote(text, v.String())
	case v.IsBool():
		if v.Bool() {
			text.WriteString("True")
		} else {
			text.WriteString("False")
		}
	case v.IsFloat():
		text.WriteString(value.FloatText(v.Float()))
	case v.IsList():
		e.reprList(text, v)
	case v.IsDict():
		e.reprDict(text, e.pairs(v))
	case v.IsCallable():
		text.WriteString("<function>")
	default:
		text.WriteString(v.String())
	}
}

func (e *engine) reprList(text *strings.Builder, v *exec.Value) {
	opening, closing := "[", "]"
	elements := e.elements(v)
	switch kind := listKind(v); kind {
	case "list", "tuple":
	case "range":
		of := v.Interface().(span)
		bounds := of[len(of) : len(of)+3]
		fmt.Fprintf(text, "range(%v, %v", bounds[0], bounds[1])
		if bounds[2] != 1 {
			fmt.Fprintf(text, ", %v", bounds[2])
		}
		text.WriteByte(')')
		return
	default:
		opening, closing = kind+"([", "])"
	}
	if isTuple(v) || isGroup(v) {
		opening, closing = "(", ")"
		if len(elements) == 1 {
			closing = ",)"
		}
	}
	text.WriteString(opening)
	for i, element := range elements {
		if i > 0 {
			text.WriteString(", ")
		}
		e.repr(text, exec.ToValue(element))
	}
	text.WriteString(closing)
}

// isGroup knows what groupby makes, by the names that its parts have.
func isGroup(v *exec.Value) bool {
	_, ok := v.Interface().(interface {
		GetAttribute(string) (*exec.Value, bool)
	})
	return ok
}

func (e *engine) reprDict(text *strings.Builder, pairs [][2]*exec.Value) {
	text.WriteByte('{')
	for i, pair := range pairs {
		if i > 0 {
			text.WriteString(", ")
		}
		e.repr(text, pair[0])
		text.WriteString(": ")
		e.repr(text, pair[1])
	}
	text.WriteByte('}')
}

// quote writes a string as Python shows it inside of lists and dictionaries.
func quote(text *strings.Builder, s string) {
	mark := '\''
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		mark = '"'
	}
	text.WriteRune(mark)
	for _, r := range s {
		switch {
		case r == mark || r == '\\':
			text.WriteByte('\\')
			text.WriteRune(r)
		case r == '\n':
			text.WriteString(`\n`)
		case r == '\r':
			text.WriteString(`\r`)
		case r == '\t':
			text.WriteString(`\t`)
		case r < ' ' || r >= 0x7f && r < 0x100 && !unicode.IsPrint(r):
			fmt.Fprintf(text, `\x%02x`, r)
		case unicode.IsPrint(r):
			text.WriteRune(r)
		case r < 0x10000:
			fmt.Fprintf(text, `\u%04x`, r)
		default:
			fmt.Fprintf(text, `\U%08x`, r)
		}
	}
	text.WriteRune(mark)
}
