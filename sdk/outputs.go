package sdk

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Outputs are a block's output pins in the order in which people see them.
type Outputs []Output

// Output is one output pin; Out makes it.
type Output struct {
	Pin  string
	Type Type
}

// Out declares an output pin.
func Out(pin string, t Type) Output { return Output{Pin: pin, Type: t} }

// Type is what comes out of a pin: a JSON Schema. The zero Type is any value.
type Type struct{ schema json.RawMessage }

// Any value.
func Any(doc string) Type { return typeOf(doc) }

// String of text.
func String(doc string) Type { return typeOf(doc, member{"type", json.RawMessage(`"string"`)}) }

// Integer number.
func Integer(doc string) Type { return typeOf(doc, member{"type", json.RawMessage(`"integer"`)}) }

// Number with or without a fraction.
func Number(doc string) Type { return typeOf(doc, member{"type", json.RawMessage(`"number"`)}) }

// Boolean is true or false.
func Boolean(doc string) Type { return typeOf(doc, member{"type", json.RawMessage(`"boolean"`)}) }

// List of elements of one type: List("Lines of the file", String("")).
func List(doc string, element Type) Type {
	return typeOf(doc, member{"type", json.RawMessage(`"array"`)}, member{"items", element.orAny()})
}

// Map of strings to values of one type.
func Map(doc string, value Type) Type {
	values := value.orAny()
	if string(values) == "{}" {
		values = json.RawMessage("true")
	}
	return typeOf(doc, member{"type", json.RawMessage(`"object"`)}, member{"additionalProperties", values})
}

// Schema is a type given by its JSON Schema.
func Schema(raw string) Type { return Type{schema: json.RawMessage(raw)} }

func typeOf(doc string, members ...member) Type {
	if doc != "" {
		members = append(members, member{"description", mustEncode(doc)})
	}
	return Type{schema: objectOf(members)}
}

func (t Type) orAny() json.RawMessage {
	if t.schema == nil {
		return json.RawMessage("{}")
	}
	return t.schema
}

func (o Outputs) schema() (json.RawMessage, error) {
	seen := map[string]bool{}
	properties := make([]member, 0, len(o))
	for _, output := range o {
		switch {
		case output.Pin == "":
			return nil, fmt.Errorf("an output pin has no name")
		case seen[output.Pin]:
			return nil, fmt.Errorf("output pin %q is declared twice", output.Pin)
		case !isObject(output.Type.orAny()):
			return nil, fmt.Errorf("output pin %q: its schema is not a JSON object", output.Pin)
		}
		seen[output.Pin] = true
		properties = append(properties, member{output.Pin, output.Type.orAny()})
	}
	return objectOf([]member{
		{"type", json.RawMessage(`"object"`)},
		{"properties", objectOf(properties)},
	}), nil
}

// pinBase is the declared pin behind a dynamic name: "tools" of "tools_^_search_~_query".
func pinBase(pin string) string {
	end := len(pin)
	for _, delimiter := range []string{"_$_", "_#_", "_@_", "_^_"} {
		if i := strings.Index(pin, delimiter); i >= 0 {
			end = min(end, i)
		}
	}
	return pin[:end]
}
