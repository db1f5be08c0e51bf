package jinja

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strconv"

	"github.com/patchbay-io/patchbay/plugins/internal/value"
)

// exact is a number that fits neither int nor float64. It prints as it was written.
type exact string

// tuple is a list that prints with parentheses: a dictionary's item.
type tuple []any

// orders remembers the order of keys in dictionaries, which are Go maps to the library, by their addresses.
type orders map[uintptr][]string

// keys gives a dictionary's keys in their order; those that were added later come last.
func (o orders) keys(dictionary reflect.Value) []string {
	known := o[dictionary.Pointer()]
	keys := make([]string, 0, dictionary.Len())
	seen := make(map[string]bool, dictionary.Len())
	for _, key := range known {
		if !seen[key] && dictionary.MapIndex(reflect.ValueOf(key)).IsValid() {
			seen[key] = true
			keys = append(keys, key)
		}
	}
	var added []string
	for _, key := range dictionary.MapKeys() {
		if name := key.String(); !seen[name] {
			added = append(added, name)
		}
	}
	slices.Sort(added)
	return append(keys, added...)
}

// variables decodes the values of a template.
func (e *engine) variables(values json.RawMessage) (map[string]any, error) {
	d := json.NewDecoder(bytes.NewReader(values))
	d.UseNumber()
	decoded, err := e.decode(d)
	if err != nil {
		return nil, err
	}
	variables, ok := decoded.(map[string]any)
	if !ok {
		return nil, errors.New("the values of a template are a dictionary")
	}
	return variables, nil
}

func (e *engine) decode(d *json.Decoder) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t := token.(type) {
	case json.Number:
		return number(string(t)), nil
	case json.Delim:
		if t == '[' {
			list := []any{}
			for d.More() {
				element, err := e.decode(d)
				if err != nil {
					return nil, err
				}
				list = append(list, element)
			}
			_, err := d.Token()
			return list, err
		}
		object, keys := map[string]any{}, []string{}
		for d.More() {
			key, err := d.Token()
			if err != nil {
				return nil, err
			}
			member, err := e.decode(d)
			if err != nil {
				return nil, err
			}
			object[key.(string)] = member
			keys = append(keys, key.(string))
		}
		e.keyOrder[reflect.ValueOf(object).Pointer()] = keys
		_, err := d.Token()
		return object, err
	default:
		return token, nil
	}
}

func number(text string) any {
	if value.IsInteger([]byte(text)) {
		if n, err := strconv.Atoi(text); err == nil {
			return n
		}
		return exact(text)
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil {
		return f
	}
	return exact(text)
}
