package value

import (
	"encoding/json"
	"fmt"
	"strings"
)

// deepest is how far Equal and Compare follow nesting; valid input of a host has 10,000 levels at most.
const deepest = 20_000

// Equal is Python's ==: numbers by their value (1 == 1.0 == true), dictionaries without regard to order.
func Equal(a, b json.RawMessage) bool { return equal(a, b, 0) }

func equal(a, b json.RawMessage, depth int) bool {
	if depth > deepest {
		return false
	}
	if isNumeric(a) && isNumeric(b) {
		return numeric(a).compare(numeric(b)) == 0
	}
	kind := KindOf(a)
	if kind != KindOf(b) {
		return false
	}
	switch kind {
	case String:
		return Text(a) == Text(b)
	case List:
		left, right := Elements(a), Elements(b)
		if len(left) != len(right) {
			return false
		}
		for i := range left {
			if !equal(left[i], right[i], depth+1) {
				return false
			}
		}
		return true
	case Object:
		left, right := byKey(a), byKey(b)
		if len(left) != len(right) {
			return false
		}
		for key, v := range left {
			other, ok := right[key]
			if !ok || !equal(v, other, depth+1) {
				return false
			}
		}
		return true
	default:
		return true
	}
}

func byKey(object json.RawMessage) map[string]json.RawMessage {
	values := map[string]json.RawMessage{}
	for _, member := range Members(object) {
		values[member.Key()] = member.Value
	}
	return values
}

func isNumeric(raw json.RawMessage) bool {
	kind := KindOf(raw)
	return kind == Number || kind == Bool
}

func numeric(raw json.RawMessage) decimal {
	switch raw[0] {
	case 't':
		return decimalOf("1")
	case 'f':
		return decimal{}
	default:
		return decimalOf(string(raw))
	}
}

// Compare orders numbers (booleans count as 0 and 1), strings by code points, and lists element by element. Other
// kinds, and two of different kinds, have no order.
func Compare(a, b json.RawMessage) (int, error) { return order(a, b, 0) }

func order(a, b json.RawMessage, depth int) (int, error) {
	left, right := KindOf(a), KindOf(b)
	switch {
	case isNumeric(a) && isNumeric(b):
		return numeric(a).compare(numeric(b)), nil
	case left == String && right == String:
		return strings.Compare(Text(a), Text(b)), nil
	case left == List && right == List && depth <= deepest:
		x, y := Elements(a), Elements(b)
		for i := range min(len(x), len(y)) {
			if !Equal(x[i], y[i]) {
				return order(x[i], y[i], depth+1)
			}
		}
		return compare(len(x), len(y)), nil
	default:
		return 0, fmt.Errorf("there is no order between %s and %s", left, right)
	}
}
