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

// membersOf reads an object without losing the order of its keys.
func membersOf(object []byte) ([]member, error) {
	d := json.NewDecoder(bytes.NewReader(object))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("not a JSON object")
	}
	var members []member
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, err
		}
		members = append(members, member{key.(string), value}) // a key is a string, or Token had failed
	}
	_, err := d.Token()
	return members, err
}

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

func isObject(b []byte) bool {
	return json.Valid(b) && bytes.HasPrefix(bytes.TrimLeft(b, " \t\r\n"), []byte("{"))
}

// encode makes JSON of a value for a pin. Raw values, and lists of them, keep every byte; anything else is encoded
// without HTML escaping.
func encode(value any) (json.RawMessage, error) {
	switch v := value.(type) {
	case json.RawMessage:
		if v == nil {
			return json.RawMessage("null"), nil
		}
		if !json.Valid(v) {
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
