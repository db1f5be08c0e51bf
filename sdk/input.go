package sdk

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"

	"github.com/patchbay-io/patchbay/sdk/proto"
)

// inputType is what is known of a block's input type: its schema, and how its fields are filled.
type inputType struct {
	schema json.RawMessage
	fields []field
	whole  bool // not a struct: decoded at once
}

// field is one input pin and the struct field that it fills.
type field struct {
	name     string
	index    []int
	required bool
	fallback json.RawMessage // value of an absent pin; nil: the field stays zero
	schema   json.RawMessage
	untyped  bool // any value may be somewhere inside
	// credentials, unless nil, says what credentials the pin takes; notes is what its tags tell people.
	credentials *CredentialsPin
	notes       []member
}

var inputTypes sync.Map // reflect.Type to *inputType: reflection happens once for a type

func inputOf(t reflect.Type) (*inputType, error) {
	if known, ok := inputTypes.Load(t); ok {
		return known.(*inputType), nil
	}
	made, err := newInputType(t)
	if err != nil {
		return nil, err
	}
	known, _ := inputTypes.LoadOrStore(t, made)
	return known.(*inputType), nil
}

func newInputType(t reflect.Type) (*inputType, error) {
	if t.Kind() != reflect.Struct {
		if t != rawType && t.Kind() != reflect.Map {
			return nil, fmt.Errorf("input type %s is neither a struct nor a map nor json.RawMessage", t)
		}
		return &inputType{whole: true, schema: json.RawMessage(`{"type":"object","properties":{}}`)}, nil
	}
	r := &reflection{inside: []reflect.Type{t}}
	fields, err := r.properties(t, nil)
	if err != nil {
		return nil, err
	}
	schemer, _ := reflect.New(t).Interface().(PinSchemer)
	describer, _ := reflect.New(t).Interface().(CredentialsDescriber)
	seen := map[string]bool{}
	for i, f := range fields {
		if seen[f.name] {
			return nil, fmt.Errorf("input pin %q is declared twice", f.name)
		}
		seen[f.name] = true
		if c := f.credentials; c != nil {
			if describer != nil {
				describer.DescribeCredentials(f.name, c)
			}
			if err := c.check(f.name); err != nil {
				return nil, err
			}
			fields[i].schema, fields[i].required = c.schema(f.notes), !c.Optional && c.Inside == ""
		} else if credentialsName(f.name) {
			return nil, fmt.Errorf("input pin %q: the name is reserved for a pin that takes credentials", f.name)
		}
		if schemer == nil {
			continue
		}
		if schema := schemer.PinSchema(f.name); schema != nil {
			if !isObject(schema) {
				return nil, fmt.Errorf("input pin %q: PinSchema gave no JSON object", f.name)
			}
			fields[i].schema = schema
		}
	}
	for _, f := range fields {
		if c := f.credentials; c != nil && c.Discriminator != "" && !seen[c.Discriminator] {
			return nil, fmt.Errorf("input pin %q: its discriminator %q is no pin", f.name, c.Discriminator)
		}
		if c := f.credentials; c != nil && c.Inside != "" && !seen[c.Inside] {
			return nil, fmt.Errorf("input field %q: the pin %q that names the credentials is none", f.name, c.Inside)
		}
	}
	schema := extend(json.RawMessage(`{"type":"object"}`), propertiesOf(fields))
	return &inputType{schema: schema, fields: fields}, nil
}

// decode fills a value of the input type from a JSON object and the credentials of a run. Keys that are no pin of the
// block are ignored.
func (p *inputType) decode(input json.RawMessage, credentials []*proto.Credential, into reflect.Value) error {
	if p.whole {
		if !isObject(input) {
			return InvalidInput("the input is not a JSON object")
		}
		if err := unmarshal(input, into.Addr(), true); err != nil {
			return InvalidInput("the input does not fit: %w", err)
		}
		return nil
	}
	pins, err := membersOf(input)
	if err != nil {
		return InvalidInput("the input is not a JSON object")
	}
	for _, f := range p.fields {
		if f.credentials != nil { // the host has resolved the reference
			if err := f.credentials.fill(f.name, credentials, into.FieldByIndex(f.index)); err != nil {
				return err
			}
			continue
		}
		value := valueOf(pins, f.name)
		switch {
		case value != nil && string(value) != "null": // the host removes nulls; by hand they mean the same
		case f.required:
			return InvalidInput("pin %q is required", f.name)
		case f.fallback == nil:
			continue
		default:
			value = bytes.Clone(f.fallback) // a block may change what it gets
		}
		if err := unmarshal(value, into.FieldByIndex(f.index).Addr(), f.untyped); err != nil {
			return InvalidInput("pin %q: %w", f.name, err)
		}
	}
	return nil
}

// valueOf finds a pin's value, the last one where a key comes twice, as encoding/json does. Blocks have few pins.
func valueOf(pins []member, name string) json.RawMessage {
	for i := len(pins) - 1; i >= 0; i-- {
		if pins[i].key == name {
			return pins[i].value
		}
	}
	return nil
}

// unmarshal decodes a value behind a pointer. Raw values are taken as they are, and numbers of untyped fields as
// json.Number, since a float64 would lose digits.
func unmarshal(value json.RawMessage, pointer reflect.Value, untyped bool) error {
	if raw, ok := pointer.Interface().(*json.RawMessage); ok {
		*raw = value
		return nil
	}
	var err error
	if untyped {
		d := json.NewDecoder(bytes.NewReader(value))
		d.UseNumber()
		err = d.Decode(pointer.Interface())
	} else {
		err = json.Unmarshal(value, pointer.Interface())
	}
	var mismatch *json.UnmarshalTypeError
	if errors.As(err, &mismatch) {
		at := ""
		if mismatch.Field != "" {
			at = " at " + mismatch.Field
		}
		return errors.New(misfit(mismatch) + at)
	}
	return err
}

// misfit says in an author's words what does not fit, and not which type of Go it does not fit.
func misfit(mismatch *json.UnmarshalTypeError) string {
	number, isNumber := strings.CutPrefix(mismatch.Value, "number ")
	whole := !strings.ContainsAny(number, ".eE")
	wanted := wantedBy(mismatch.Type)
	if isNumber && (wanted == "a number" || wanted == "an integer" && whole) {
		return "the number " + number + " is too large, or too small"
	}
	got := map[string]string{"string": "a string", "bool": "a boolean", "array": "a list", "object": "an object"}[mismatch.Value]
	switch {
	case isNumber:
		got = mismatch.Value
	case got == "":
		got = "a " + mismatch.Value
	}
	return "expects " + wanted + ", got " + got
}

func wantedBy(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "a boolean"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Map, reflect.Struct:
		return "an object"
	case reflect.Pointer:
		return wantedBy(t.Elem())
	case reflect.Interface:
		return "a value"
	default:
		return "an integer"
	}
}

// untyped says whether a value of a type may hold an any. A type that contains itself is taken for one that does.
func untyped(t reflect.Type, depth int) bool {
	if depth > 16 {
		return true
	}
	switch t.Kind() {
	case reflect.Interface:
		return true
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		return untyped(t.Elem(), depth+1)
	case reflect.Struct:
		for i := range t.NumField() {
			if untyped(t.Field(i).Type, depth+1) {
				return true
			}
		}
	}
	return false
}
