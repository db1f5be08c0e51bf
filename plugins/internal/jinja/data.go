package jinja

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"slices"

	"github.com/nikolalohinski/gonja/v2/exec"
)

// The library knows nothing of these types but what kind of Go value they are.
type (
	// null is none, as a nil pointer: to the library it is nothing, like what is undefined, but it can be told from that.
	null struct{}
	// exact is a number that is beyond all floats. It prints as it was written.
	exact string
	// markup is a text that needs no escaping for HTML.
	markup string
	// tuple is a list that prints with parentheses. Other lists are pointers to slices, since methods change them.
	tuple []any
	// span is what range() gives. Beyond its length, of its capacity, are where it starts and stops, and the step.
	span []any
	// These are what a dictionary gives of its members.
	dictKeys   []any
	dictValues []any
	dictItems  []any
)

func newList(elements []any) *[]any { return &elements }

// sequenceLike makes a list, or a tuple where v is one.
func sequenceLike(v *exec.Value, elements []any) any {
	if isTuple(v) {
		return tuple(elements)
	}
	return newList(elements)
}

func isUndefined(v *exec.Value) bool { return v == nil || !v.Val.IsValid() }

// listKind tells lists from tuples and from the others that are no lists to Python.
func listKind(v *exec.Value) string {
	switch v.Interface().(type) {
	case tuple:
		return "tuple"
	case span:
		return "range"
	case dictKeys:
		return "dict_keys"
	case dictValues:
		return "dict_values"
	case dictItems:
		return "dict_items"
	default:
		return "list"
	}
}

func isTuple(v *exec.Value) bool {
	_, ok := v.Interface().(tuple)
	return ok
}

func isText(v *exec.Value) bool {
	_, number := v.Interface().(exact)
	return !number && v.IsString()
}

func isMarkup(v *exec.Value) bool {
	_, ok := v.Interface().(markup)
	return ok || v.Safe
}

// marked is a text, as markup where it is.
func marked(text string, safe bool) *exec.Value {
	if safe {
		return exec.AsValue(markup(text))
	}
	return exec.AsValue(text)
}

// typeName is a value's kind, for messages.
func typeName(v *exec.Value) string {
	_, isNumber := numberOf(v)
	switch {
	case isUndefined(v):
		return "what is undefined"
	case v.IsNil():
		return "none"
	case v.IsBool():
		return "a boolean"
	case isNumber:
		return "a number"
	case v.IsString():
		return "a string"
	case v.IsList():
		return "a " + listKind(v)
	case v.IsDict():
		return "a dictionary"
	default:
		return "an object"
	}
}

// orders remembers the order of keys in dictionaries, which are Go maps to the library, by their addresses.
type orders map[uintptr][]string

// without are the keys of a dictionary except one.
func (o orders) without(dictionary uintptr, key string) []string {
	return slices.DeleteFunc(slices.Clone(o[dictionary]), func(other string) bool { return other == key })
}

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
	case nil:
		return (*null)(nil), nil
	case json.Number:
		return parseNumber(string(t)), nil
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
			return newList(list), err
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
		_, err := d.Token()
		return e.newDict(object, keys), err
	default:
		return token, nil
	}
}

// newDict makes a dictionary with its keys in an order.
func (e *engine) newDict(members map[string]any, keys []string) map[string]any {
	e.keyOrder[reflect.ValueOf(members).Pointer()] = keys
	return members
}
