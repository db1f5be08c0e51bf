// Package value is JSON as the authors of agents know it: Python's truth, equality, order and numbers, told of raw
// JSON. It takes values apart and puts them together by their bytes, so that what passes through a block comes out
// as it went in: big integers, the order of keys, escapes. It must never decode and encode again a value that only
// passes, and it knows nothing of blocks.
//
// All functions expect valid JSON without space around it, as a host sends it, except those that say otherwise.
package value

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Kind is what a JSON value is.
type Kind int

// The kinds of JSON values. Absent is the kind of no bytes at all.
const (
	Absent Kind = iota
	Null
	Bool
	Number
	String
	List
	Object
)

var kindNames = [...]string{"nothing", "null", "a boolean", "a number", "a string", "a list", "a dictionary"}

// String is the kind's name for messages: "a list".
func (k Kind) String() string { return kindNames[k] }

// KindOf looks at a value's first byte.
func KindOf(raw json.RawMessage) Kind {
	if len(raw) == 0 {
		return Absent
	}
	switch raw[0] {
	case '{':
		return Object
	case '[':
		return List
	case '"':
		return String
	case 't', 'f':
		return Bool
	case 'n':
		return Null
	default:
		return Number
	}
}

// Trim takes the white space of JSON away around a value.
func Trim(raw json.RawMessage) json.RawMessage { return bytes.Trim(raw, " \t\r\n") }

// Parse reads text as one JSON value. It refuses what is no JSON, and nesting deeper than 10,000 levels.
func Parse(text string) (json.RawMessage, bool) {
	raw := Trim([]byte(text))
	return raw, json.Valid(raw)
}

// Truthy is Python's bool(): null, false, zero and empty things are false.
func Truthy(raw json.RawMessage) bool {
	switch KindOf(raw) {
	case Bool:
		return raw[0] == 't'
	case Number:
		mantissa, _, _ := bytes.Cut(bytes.ToLower(raw), []byte("e"))
		return bytes.ContainsAny(mantissa, "123456789")
	case String:
		return len(raw) > len(`""`)
	case List, Object:
		return !isEmpty(raw)
	default:
		return false
	}
}

func isEmpty(container json.RawMessage) bool {
	return len(bytes.Trim(container[1:len(container)-1], " \t\r\n")) == 0
}

// Text is the content of a JSON string. A surrogate without its partner becomes U+FFFD.
func Text(raw json.RawMessage) string {
	body := raw[1 : len(raw)-1]
	if bytes.IndexByte(body, '\\') < 0 {
		return string(body)
	}
	var text strings.Builder
	text.Grow(len(body))
	var high rune // a surrogate that waits for its partner
	for unit := range units(body) {
		if high != 0 {
			if pair := utf16.DecodeRune(high, unit); pair != utf8.RuneError {
				text.WriteRune(pair)
				high = 0
				continue
			}
			text.WriteRune(utf8.RuneError)
			high = 0
		}
		if unit >= 0xd800 && unit < 0xdc00 {
			high = unit
			continue
		}
		text.WriteRune(unit)
	}
	if high != 0 {
		text.WriteRune(utf8.RuneError)
	}
	return text.String()
}

// units yields the characters of a JSON string's body; escaped surrogates come one by one.
func units(body []byte) func(yield func(rune) bool) {
	return func(yield func(rune) bool) {
		for i := 0; i < len(body); {
			unit, size := utf8.DecodeRune(body[i:])
			if unit == '\\' && i+1 < len(body) {
				unit, size = escape(body[i:])
			}
			if !yield(unit) {
				return
			}
			i += size
		}
	}
}

func escape(at []byte) (unit rune, size int) {
	switch at[1] {
	case 'n':
		return '\n', 2
	case 't':
		return '\t', 2
	case 'r':
		return '\r', 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'u':
		if len(at) < 6 {
			return utf8.RuneError, len(at)
		}
		for _, digit := range at[2:6] {
			unit = unit<<4 | rune(hexDigit(digit))
		}
		return unit, 6
	default:
		return rune(at[1]), 2
	}
}

func hexDigit(b byte) byte {
	switch {
	case b >= 'a':
		return b - 'a' + 10
	case b >= 'A':
		return b - 'A' + 10
	default:
		return b - '0'
	}
}

// FromText is text as a JSON string, without escaping more than JSON asks for.
func FromText(text string) json.RawMessage {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text) // a string and a buffer do not fail
	return out.Bytes()[:out.Len()-1]
}

// FromBool is true or false.
func FromBool(b bool) json.RawMessage {
	if b {
		return json.RawMessage("true")
	}
	return json.RawMessage("false")
}
