package block

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/patchbay-io/patchbay/core/block/jsonscan"
)

// Coerce makes v fit the pin's type where the rules say how (execution.md 3.7). It gives v itself back where nothing
// is to do, and what no rule covers: Check is what refuses. The error is kept for values that are not JSON.
func (p *Pin) Coerce(v json.RawMessage) (json.RawMessage, error) {
	if p.shape == anyShape {
		return v, nil
	}
	if jsonscan.KindOf(v) == jsonscan.Invalid {
		return nil, &Mismatch{Want: "a JSON value", Got: "something else"}
	}
	return p.shape.coerce(v), nil
}

// ToList makes a list of any value but null, as coercion does.
func ToList(v json.RawMessage) json.RawMessage { return toList(v) }

// ToObject makes an object of any value but null, as coercion does.
func ToObject(v json.RawMessage) json.RawMessage { return toObject(v) }

func (sh *shape) coerce(v json.RawMessage) json.RawMessage {
	kind := jsonscan.KindOf(v)
	if kind == jsonscan.Null || sh.kind == shapeAny || sh.kind == shapeOpaque || sh.kind == shapeNull {
		return v
	}
	switch sh.kind {
	case shapeString:
		if kind != jsonscan.String {
			return jsonText(v)
		}
	case shapeInteger:
		return toInteger(v, kind)
	case shapeNumber:
		return toNumber(v, kind)
	case shapeBoolean:
		return toBoolean(v, kind)
	case shapeList:
		if kind != jsonscan.Array {
			v = toList(v)
		}
		return sh.coerceElements(v)
	case shapeMap:
		if kind != jsonscan.Object {
			v = toObject(v)
		}
		return sh.coerceElements(v)
	case shapeUnion:
		if sh.accepts(v, true) {
			return v
		}
		for _, m := range sh.members {
			switch m.kind {
			case shapeNull, shapeOpaque:
			default:
				return m.coerce(v)
			}
		}
	}
	return v
}

// coerceElements converts what is in a container, and gives v back where nothing changed.
func (sh *shape) coerceElements(v json.RawMessage) json.RawMessage {
	if sh.elem == nil {
		return v
	}
	changed := false
	var b []byte
	if sh.kind == shapeList {
		b = append(b, '[')
		for e := range jsonscan.Elements(v) {
			c := sh.elem.coerce(e)
			changed = changed || !same(c, e)
			b = append(comma(b), c...)
		}
		b = append(b, ']')
	} else {
		b = append(b, '{')
		for k, e := range jsonscan.Members(v) {
			c := sh.elem.coerce(e)
			changed = changed || !same(c, e)
			b = append(append(append(comma(b), k...), ':'), c...)
		}
		b = append(b, '}')
	}
	if !changed {
		return v
	}
	return b
}

// same says whether a is b, not only equal to it.
func same(a, b []byte) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// comma separates an element from the one before it.
func comma(b []byte) []byte {
	switch b[len(b)-1] {
	case '[', '{':
		return b
	}
	return append(b, ',')
}

func toInteger(v json.RawMessage, kind jsonscan.Kind) json.RawMessage {
	switch kind {
	case jsonscan.Array, jsonscan.Object:
		return strconv.AppendInt(nil, int64(jsonscan.Len(v)), 10)
	case jsonscan.Number:
		text := jsonscan.Trim(v)
		if plainInteger(text) {
			return v
		}
		return truncated(string(text), v)
	case jsonscan.String:
		text := jsonscan.Unquote(v)
		d, ok := parseDecimal(text)
		if !ok {
			return json.RawMessage("0")
		}
		if whole, short := d.truncated(); short {
			return json.RawMessage(whole)
		}
		return json.RawMessage(d.float())
	}
	return v
}

// truncated cuts a JSON number; one too large to be written out is integral and stays as it came.
func truncated(number string, v json.RawMessage) json.RawMessage {
	d, ok := parseDecimal(number)
	if !ok {
		return v
	}
	whole, short := d.truncated()
	if !short {
		return v
	}
	return json.RawMessage(whole)
}

func toNumber(v json.RawMessage, kind jsonscan.Kind) json.RawMessage {
	switch kind {
	case jsonscan.Array, jsonscan.Object:
		return append(strconv.AppendInt(nil, int64(jsonscan.Len(v)), 10), ".0"...)
	case jsonscan.Bool:
		if jsonscan.Trim(v)[0] == 't' {
			return json.RawMessage("1.0")
		}
		return json.RawMessage("0.0")
	case jsonscan.String:
		d, ok := parseDecimal(jsonscan.Unquote(v))
		if !ok {
			return json.RawMessage("0.0")
		}
		return json.RawMessage(d.float())
	}
	return v
}

func toBoolean(v json.RawMessage, kind jsonscan.Kind) json.RawMessage {
	truth := true
	switch kind {
	case jsonscan.Bool:
		return v
	case jsonscan.String:
		text := jsonscan.Unquote(v)
		truth = text == "1" || len(text) == len("true") && bytes.EqualFold([]byte(text), []byte("true"))
	case jsonscan.Number:
		d, ok := parseDecimal(string(jsonscan.Trim(v)))
		truth = !ok || !d.zero()
	case jsonscan.Array, jsonscan.Object:
		truth = jsonscan.Len(v) > 0
	}
	return strconv.AppendBool(nil, truth)
}

func toList(v json.RawMessage) json.RawMessage {
	b := []byte{'['}
	switch jsonscan.KindOf(v) {
	case jsonscan.Array:
		return v
	case jsonscan.Object:
		for k, e := range jsonscan.Members(v) {
			b = append(append(append(append(append(comma(b), '['), k...), ','), e...), ']')
		}
	case jsonscan.String:
		inner := jsonscan.Trim(unescaped(v))
		if len(inner) > 1 && inner[0] == '[' && inner[len(inner)-1] == ']' && json.Valid(inner) {
			return inner
		}
		b = append(b, trimmedString(v)...)
	default:
		b = append(b, jsonscan.Trim(v)...)
	}
	return append(b, ']')
}

func toObject(v json.RawMessage) json.RawMessage {
	switch jsonscan.KindOf(v) {
	case jsonscan.Object:
		return v
	case jsonscan.Array:
		b := []byte{'{'}
		i := 0
		for e := range jsonscan.Elements(v) {
			b = append(comma(b), '"')
			b = append(append(strconv.AppendInt(b, int64(i), 10), '"', ':'), e...)
			i++
		}
		return append(b, '}')
	case jsonscan.String:
		if inner := jsonscan.Trim(unescaped(v)); json.Valid(inner) {
			if jsonscan.KindOf(inner) == jsonscan.Object {
				return inner
			}
			v = inner
		}
	}
	return append(append([]byte(`{"value":`), jsonscan.Trim(v)...), '}')
}

// trimmedString is a JSON string without the white space at the ends of its text.
func trimmedString(v json.RawMessage) []byte {
	v = jsonscan.Trim(v)
	text := jsonscan.Unquote(v)
	if cut := trimText(text); len(cut) != len(text) {
		return jsonscan.AppendString(nil, cut)
	}
	return v
}

func trimText(s string) string { return string(bytes.TrimSpace([]byte(s))) }

// unescaped is the text of a JSON string for parsing it as JSON itself. Lone surrogates, which UTF-8 cannot hold,
// stay escaped: inside a string of the inner JSON they mean the same.
func unescaped(v []byte) []byte {
	v = jsonscan.Trim(v)
	if len(v) < 2 {
		return nil
	}
	v = v[1 : len(v)-1]
	if bytes.IndexByte(v, '\\') < 0 {
		return v
	}
	out := make([]byte, 0, len(v))
	for i := 0; i < len(v); i++ {
		if v[i] != '\\' || i+1 >= len(v) {
			out = append(out, v[i])
			continue
		}
		i++
		switch v[i] {
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			r, size := escapedRune(v[i-1:])
			if size == 0 {
				return nil
			}
			if utf16.IsSurrogate(r) {
				out = append(out, v[i-1:i+5]...)
			} else {
				out = utf8.AppendRune(out, r)
			}
			i += size - 2
		default:
			out = append(out, v[i])
		}
	}
	return out
}

// escapedRune reads \uXXXX, or a pair of them, at the beginning of v; a lone surrogate comes back as itself.
func escapedRune(v []byte) (r rune, size int) {
	unit := func(v []byte) (rune, bool) {
		if len(v) < 6 || v[0] != '\\' || v[1] != 'u' {
			return 0, false
		}
		n, err := strconv.ParseUint(string(v[2:6]), 16, 16)
		return rune(n), err == nil
	}
	first, ok := unit(v)
	if !ok {
		return 0, 0
	}
	if utf16.IsSurrogate(first) {
		if second, ok := unit(v[6:]); ok {
			if pair := utf16.DecodeRune(first, second); pair != utf8.RuneError {
				return pair, 12
			}
		}
	}
	return first, 6
}
