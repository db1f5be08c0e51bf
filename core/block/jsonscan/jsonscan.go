// Package jsonscan looks into JSON text without decoding it: what it hands out are slices of what it was given, so
// that values keep their bytes. It expects valid JSON; of anything else it makes neither a panic nor an endless loop,
// and no promise. It builds nothing but strings and knows no types beyond JSON's own.
package jsonscan

import (
	"encoding/json"
	"iter"
	"strconv"
	"unicode/utf8"
)

// Kind is the kind of a JSON value.
type Kind byte

// The kinds. Invalid is the kind of empty text and of what no JSON value begins with.
const (
	Invalid Kind = iota
	Null
	Bool
	Number
	String
	Array
	Object
)

// String names the kind as users read it, with its article.
func (k Kind) String() string {
	return [...]string{"nothing", "null", "a boolean", "a number", "a string", "a list", "an object"}[k]
}

// KindOf tells the kind of v by its first byte.
func KindOf(v []byte) Kind {
	for _, c := range v {
		switch c {
		case ' ', '\t', '\n', '\r':
			continue
		case '"':
			return String
		case '{':
			return Object
		case '[':
			return Array
		case 't', 'f':
			return Bool
		case 'n':
			return Null
		case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
			return Number
		}
		return Invalid
	}
	return Invalid
}

// Trim removes the white space around v.
func Trim(v []byte) []byte {
	for len(v) > 0 && isSpace(v[0]) {
		v = v[1:]
	}
	for len(v) > 0 && isSpace(v[len(v)-1]) {
		v = v[:len(v)-1]
	}
	return v
}

// Elements are the elements of a list; nothing for any other value.
func Elements(v []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		i := skipSpace(v, 0)
		if i >= len(v) || v[i] != '[' {
			return
		}
		i = skipSpace(v, i+1)
		for i < len(v) && v[i] != ']' {
			end := skipValue(v, i)
			if end == i || !yield(v[i:end]) {
				return
			}
			i = skipSpace(v, end)
			if i < len(v) && v[i] == ',' {
				i = skipSpace(v, i+1)
			}
		}
	}
}

// Members are the members of an object in their order, keys as they stand in the text, with their quotes; nothing for
// any other value.
func Members(v []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func([]byte, []byte) bool) {
		i := skipSpace(v, 0)
		if i >= len(v) || v[i] != '{' {
			return
		}
		i = skipSpace(v, i+1)
		for i < len(v) && v[i] == '"' {
			keyEnd := skipString(v, i)
			key := v[i:keyEnd]
			i = skipSpace(v, keyEnd)
			if i >= len(v) || v[i] != ':' {
				return
			}
			i = skipSpace(v, i+1)
			end := skipValue(v, i)
			if end == i || !yield(key, v[i:end]) {
				return
			}
			i = skipSpace(v, end)
			if i < len(v) && v[i] == ',' {
				i = skipSpace(v, i+1)
			}
		}
	}
}

// Find is the value of a key of an object; of a key that stands there twice the last one, as decoders take it.
func Find(object []byte, key string) ([]byte, bool) {
	var found []byte
	for k, v := range Members(object) {
		if KeyIs(k, key) {
			found = v
		}
	}
	return found, found != nil
}

// At is the element of a list by its index from 0.
func At(list []byte, index int) ([]byte, bool) {
	i := 0
	for v := range Elements(list) {
		if i == index {
			return v, true
		}
		i++
	}
	return nil, false
}

// Len counts the elements of a list or the members of an object.
func Len(v []byte) int {
	n := 0
	if KindOf(v) == Object {
		for range Members(v) {
			n++
		}
		return n
	}
	for range Elements(v) {
		n++
	}
	return n
}

// KeyIs says whether a quoted key stands for name.
func KeyIs(quoted []byte, name string) bool {
	if len(quoted) < 2 {
		return false
	}
	inner := quoted[1 : len(quoted)-1]
	if string(inner) == name {
		return !hasBackslash(inner)
	}
	return hasBackslash(inner) && Unquote(quoted) == name
}

// Unquote is the text of a JSON string; empty for anything else. Lone surrogates become U+FFFD.
func Unquote(quoted []byte) string {
	quoted = Trim(quoted)
	if len(quoted) < 2 || quoted[0] != '"' {
		return ""
	}
	inner := quoted[1 : len(quoted)-1]
	if !hasBackslash(inner) {
		return string(inner)
	}
	var s string
	if json.Unmarshal(quoted, &s) != nil {
		return ""
	}
	return s
}

// HasLoneSurrogate says whether a JSON text, a string or any other, has an escape that is half of a surrogate pair: no
// character, which what reads strings replaces without a word. The text must be valid.
func HasLoneSurrogate(v []byte) bool {
	for i := 0; i < len(v); i++ {
		if v[i] != '\\' {
			continue
		}
		i++ // what is escaped
		first, ok := escaped(v, i)
		if !ok || first < 0xD800 || first > 0xDFFF {
			continue
		}
		i += 4
		second, ok := escaped(v, i+2)
		if first >= 0xDC00 || !ok || v[i+1] != '\\' || second < 0xDC00 || second > 0xDFFF {
			return true
		}
		i += 6
	}
	return false
}

// escaped is the unit of UTF-16 that uXXXX at i stands for.
func escaped(v []byte, i int) (rune, bool) {
	if i+4 >= len(v) || v[i] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(v[i+1:i+5]), 16, 16)
	return rune(n), err == nil
}

// AppendString appends s as a JSON string. Only what JSON demands is escaped.
func AppendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				dst = append(append(dst, s[start:i]...), "\uFFFD"...)
				start = i + size
			}
			i += size
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, s[start:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		i++
		start = i
	}
	return append(append(dst, s[start:]...), '"')
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }

func hasBackslash(s []byte) bool {
	for _, c := range s {
		if c == '\\' {
			return true
		}
	}
	return false
}

func skipSpace(v []byte, i int) int {
	for i < len(v) && isSpace(v[i]) {
		i++
	}
	return i
}

// skipString is the index behind the string that begins at i.
func skipString(v []byte, i int) int {
	for i++; i < len(v); i++ {
		switch v[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(v)
}

// skipValue is the index behind the value that begins at i; i itself where none begins.
func skipValue(v []byte, i int) int {
	if i >= len(v) {
		return i
	}
	switch v[i] {
	case '"':
		return skipString(v, i)
	case '{', '[':
		depth := 0
		for i < len(v) {
			switch v[i] {
			case '"':
				i = skipString(v, i)
				continue
			case '{', '[':
				depth++
			case '}', ']':
				depth--
				if depth == 0 {
					return i + 1
				}
			}
			i++
		}
		return len(v)
	}
	for i < len(v) {
		switch v[i] {
		case ',', '}', ']', ':', ' ', '\n', '\r', '\t', '"', '[', '{':
			return i
		}
		i++
	}
	return i
}
