package jinja

import (
	"fmt"
	"reflect"
	"strings"
	"unicode"

	"github.com/nikolalohinski/gonja/v2/exec"

	"github.com/patchbay-io/patchbay/plugins/internal/value"
)

// str is Python's str().
func (e *engine) str(v *exec.Value) string {
	if v.IsString() {
		return v.String()
	}
	var text strings.Builder
	e.repr(&text, v)
	return text.String()
}

// repr is Python's repr().
func (e *engine) repr(text *strings.Builder, v *exec.Value) {
	if v == nil || v.IsNil() {
		text.WriteString("None")
		return
	}
	switch x := v.Interface().(type) {
	case exact:
		text.WriteString(string(x))
		return
	case *exec.Dict:
		pairs := make([][2]*exec.Value, len(x.Pairs))
		for i, pair := range x.Pairs {
			pairs[i] = [2]*exec.Value{pair.Key, pair.Value}
		}
		e.reprDict(text, pairs)
		return
	}
	resolved := reflect.Indirect(v.Val)
	switch {
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
		e.reprList(text, v, resolved)
	case resolved.Kind() == reflect.Map && resolved.Type().Key().Kind() == reflect.String:
		keys := e.keyOrder.keys(resolved)
		pairs := make([][2]*exec.Value, len(keys))
		for i, key := range keys {
			pairs[i] = [2]*exec.Value{exec.AsValue(key), exec.ToValue(resolved.MapIndex(reflect.ValueOf(key)))}
		}
		e.reprDict(text, pairs)
	case v.IsCallable():
		text.WriteString("<function>")
	default:
		text.WriteString(v.String())
	}
}

func (e *engine) reprList(text *strings.Builder, v *exec.Value, list reflect.Value) {
	_, round := v.Interface().(tuple)
	opening, closing := byte('['), byte(']')
	if round {
		opening, closing = '(', ')'
	}
	text.WriteByte(opening)
	for i := range list.Len() {
		if i > 0 {
			text.WriteString(", ")
		}
		e.repr(text, exec.ToValue(list.Index(i)))
	}
	text.WriteByte(closing)
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
