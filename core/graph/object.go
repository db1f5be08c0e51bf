package graph

import (
	"encoding/json"
	"slices"
	"strconv"

	"github.com/patchbay-io/patchbay/core/block/jsonscan"
)

// object is a JSON object that is being written: its keys keep their order and its values their bytes, which
// encoding/json does not grant.
type object struct {
	keys   []string
	values map[string]json.RawMessage
}

func newObject() *object { return &object{values: map[string]json.RawMessage{}} }

// set keeps a key that is there at its place.
func (o *object) set(key string, value json.RawMessage) {
	if _, ok := o.values[key]; !ok {
		o.keys = append(o.keys, key)
	}
	o.values[key] = value
}

func (o *object) drop(key string) {
	delete(o.values, key)
	o.keys = slices.DeleteFunc(o.keys, func(k string) bool { return k == key })
}

func (o *object) setText(key, value string) { o.set(key, jsonscan.AppendString(nil, value)) }

func (o *object) setOptional(key string, value *string) {
	if value == nil {
		o.set(key, null)
		return
	}
	o.setText(key, *value)
}

func (o *object) setNumber(key string, value int) {
	o.set(key, strconv.AppendInt(nil, int64(value), 10))
}

func (o *object) json() json.RawMessage {
	size := 2
	for k, v := range o.values {
		size += len(k) + len(v) + 4
	}
	b := append(make([]byte, 0, size), '{')
	for i, k := range o.keys {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(jsonscan.AppendString(b, k), ':'), o.values[k]...)
	}
	return append(b, '}')
}

// array writes a list of values.
func array(values []json.RawMessage) json.RawMessage {
	b := []byte{'['}
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, v...)
	}
	return append(b, ']')
}

// textArray writes a list of texts.
func textArray(texts []string) json.RawMessage {
	values := make([]json.RawMessage, len(texts))
	for i, t := range texts {
		values[i] = jsonscan.AppendString(nil, t)
	}
	return array(values)
}

func boolean(b bool) json.RawMessage { return strconv.AppendBool(nil, b) }
