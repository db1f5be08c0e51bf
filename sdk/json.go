package sdk

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// member is one property of a JSON object, in its place.
type member struct {
	key   string
	value json.RawMessage
}

// membersOf splits an object. Order and duplicates of keys are kept, and the values are the very bytes of the object:
// a large one is read over twice and never copied.
func membersOf(object []byte) ([]member, error) {
	if !isObject(object) {
		return nil, errors.New("not a JSON object")
	}
	var members []member
	// The object is valid, so a scan only needs to know where strings and brackets begin and end.
	i := bytes.IndexByte(object, '{') + 1
	for {
		i += bytes.IndexAny(object[i:], `"}`)
		if object[i] == '}' {
			return members, nil
		}
		end := skipString(object, i)
		key, err := keyOf(object[i:end])
		if err != nil {
			return nil, err
		}
		i = end + bytes.IndexByte(object[end:], ':') + 1
		for isSpace(object[i]) {
			i++
		}
		end = skipValue(object, i)
		// An append to the value must not overwrite what follows it.
		members = append(members, member{key, object[i:end:end]})
		i = end
	}
}

func keyOf(quoted []byte) (key string, err error) {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted[1 : len(quoted)-1]), nil
	}
	err = json.Unmarshal(quoted, &key)
	return key, err
}

// skipString gives the place after the string that begins at i.
func skipString(b []byte, i int) int {
	for i++; b[i] != '"'; i++ {
		if b[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// skipValue gives the place after the value that begins at i, inside an object.
func skipValue(b []byte, i int) int {
	depth := 0
	for {
		switch b[i] {
		case '"':
			i = skipString(b, i)
			if depth == 0 {
				return i
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 { // of the object around a number or a word
				return i
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return i
			}
		}
		i++
	}
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// objectOf writes members in their order.
func objectOf(members []member) json.RawMessage {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range members {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(mustEncode(m.key))
		b.WriteByte(':')
		b.Write(m.value)
	}
	b.WriteByte('}')
	return b.Bytes()
}

// isJSON is json.Valid, which steps through its states byte by byte. Most bytes of values lie in strings and are no
// escapes: it gets the text without them.
func isJSON(b []byte) bool {
	rest := make([]byte, 0, 256)
	inString := false
	for {
		end := 0
		switch {
		case inString:
			for end < len(b) && b[end] >= ' ' && b[end] != '"' && b[end] != '\\' {
				end++
			}
		default:
			if end = bytes.IndexByte(b, '"'); end < 0 {
				return json.Valid(append(rest, b...))
			}
			rest = append(rest, b[:end]...)
		}
		if end == len(b) || b[end] < ' ' {
			return false
		}
		special := 1
		switch {
		case b[end] == '"':
			inString = !inString
		case bytes.HasPrefix(b[end:], []byte(`\u`)):
			special = len(`\u0000`)
		default:
			special = len(`\n`)
		}
		if end+special > len(b) {
			return false
		}
		rest = append(rest, b[end:end+special]...)
		b = b[end+special:]
	}
}

func isObject(b []byte) bool {
	return isJSON(b) && bytes.HasPrefix(bytes.TrimLeft(b, " \t\r\n"), []byte("{"))
}

// encode makes JSON of a value for a pin. Raw values, and lists of them, keep every byte; anything else is encoded
// without HTML escaping.
func encode(value any) (json.RawMessage, error) {
	switch v := value.(type) {
	case json.RawMessage:
		if v == nil {
			return json.RawMessage("null"), nil
		}
		if !isJSON(v) {
			return nil, errors.New("the raw value is not JSON")
		}
		return v, nil
	case []json.RawMessage:
		return encodeList(v)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// encodeList writes a list by hand, since encoding/json drops the whitespace inside raw elements.
func encodeList(list []json.RawMessage) (json.RawMessage, error) {
	size := 2
	for _, v := range list {
		size += len(v) + 1
	}
	out := append(make(json.RawMessage, 0, size), '[')
	for i, v := range list {
		if i > 0 {
			out = append(out, ',')
		}
		element, err := encode(v)
		if err != nil {
			return nil, fmt.Errorf("element %d: %w", i, err)
		}
		out = append(out, element...)
	}
	return append(out, ']'), nil
}

// mustEncode is for strings, numbers and lists of them, which cannot fail.
func mustEncode(value any) json.RawMessage {
	b, err := encode(value)
	if err != nil {
		panic(err)
	}
	return b
}
