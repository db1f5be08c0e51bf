package block

import (
	"encoding/json"
	"unicode/utf16"
	"unicode/utf8"
)

// jsonText is a value as a JSON string that holds its JSON text in the style of Python's json.dumps, since agents were
// written for it: ", " and ": " between things, everything beyond ASCII escaped. Numbers stay as they are written.
func jsonText(v json.RawMessage) json.RawMessage {
	text := appendPython(make([]byte, 0, len(v)+len(v)/4), v)
	out := make([]byte, 0, len(text)+len(text)/8+2)
	out = append(out, '"')
	for _, c := range text {
		if c == '"' || c == '\\' {
			out = append(out, '\\')
		}
		out = append(out, c)
	}
	return append(out, '"')
}

// appendPython goes through v once, byte by byte, so that no nesting is too deep for it.
func appendPython(dst, v []byte) []byte {
	for i := 0; i < len(v); i++ {
		switch c := v[i]; c {
		case ' ', '\t', '\n', '\r':
		case '"':
			dst, i = appendPythonString(dst, v, i)
		case ',', ':':
			dst = append(dst, c, ' ')
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// appendPythonString writes the string that begins at v[i] and tells where it ends.
func appendPythonString(dst, v []byte, i int) ([]byte, int) {
	dst = append(dst, '"')
	for i++; i < len(v) && v[i] != '"'; i++ {
		switch {
		case v[i] == '\\' && i+1 < len(v):
			i++
			switch v[i] {
			case '/':
				dst = append(dst, '/')
			case 'u':
				r, size := escapedRune(v[i-1:])
				if size == 0 {
					continue
				}
				dst = appendPythonRune(dst, r)
				i += size - 2
			default:
				dst = append(dst, '\\', v[i])
			}
		case v[i] < 0x80:
			dst = append(dst, v[i])
		default:
			r, size := utf8.DecodeRune(v[i:])
			dst = appendPythonRune(dst, r)
			i += size - 1
		}
	}
	return append(dst, '"'), i
}

// appendPythonRune writes one character inside a string.
func appendPythonRune(dst []byte, r rune) []byte {
	const hex = "0123456789abcdef"
	unit := func(u rune) { dst = append(dst, '\\', 'u', hex[u>>12&15], hex[u>>8&15], hex[u>>4&15], hex[u&15]) }
	switch {
	case r == '"' || r == '\\':
		return append(dst, '\\', byte(r))
	case r == '\n':
		return append(dst, '\\', 'n')
	case r == '\r':
		return append(dst, '\\', 'r')
	case r == '\t':
		return append(dst, '\\', 't')
	case r == '\b':
		return append(dst, '\\', 'b')
	case r == '\f':
		return append(dst, '\\', 'f')
	case r >= ' ' && r < 0x80:
		return append(dst, byte(r))
	case r > 0xFFFF:
		high, low := utf16.EncodeRune(r)
		unit(high)
		unit(low)
	default:
		unit(r)
	}
	return dst
}
