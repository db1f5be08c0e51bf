package value

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Equal is Python's ==: numbers by their value (1 == 1.0 == true), dictionaries without regard to order.
func Equal(a, b json.RawMessage) bool {
	if bytes.Equal(a, b) {
		return true
	}
	if KindOf(a) != KindOf(b) && !(isNumeric(a) && isNumeric(b)) {
		return false
	}
	left, right := parse(a), parse(b)
	return left.equal(right)
}

// Compare orders numbers (booleans count as 0 and 1), strings by code points, and lists element by element. Other
// kinds, and two of different kinds, have no order.
func Compare(a, b json.RawMessage) (int, error) {
	left, right := parse(a), parse(b)
	order, _, err := left.compare(right)
	return order, err
}

// node is a value taken apart once, so that what is nested deeply is not read again for every level.
type node struct {
	kind     Kind
	scalar   json.RawMessage
	elements []node
	members  map[string]node
}

// parse reads one value.
func parse(raw json.RawMessage) node {
	n, _ := parseAt(raw, 0)
	return n
}

func parseAt(raw json.RawMessage, i int) (n node, end int) {
	i = skipSpace(raw, i)
	n.kind = KindOf(raw[i:])
	switch n.kind {
	case List:
		for i = skipSpace(raw, i+1); raw[i] != ']'; i = skipSpace(raw, i) {
			if raw[i] == ',' {
				i++
			}
			var element node
			element, i = parseAt(raw, i)
			n.elements = append(n.elements, element)
		}
		return n, i + 1
	case Object:
		n.members = map[string]node{}
		for i = skipSpace(raw, i+1); raw[i] != '}'; i = skipSpace(raw, i) {
			if raw[i] == ',' {
				i = skipSpace(raw, i+1)
			}
			end := i + stringEnd(raw[i:])
			key := Text(raw[i:end])
			n.members[key], i = parseAt(raw, skipSpace(raw, end)+1)
		}
		return n, i + 1
	case String:
		end = i + stringEnd(raw[i:])
	default:
		for end = i; end < len(raw) && strings.IndexByte(",]} \t\r\n", raw[end]) < 0; {
			end++
		}
	}
	n.scalar = raw[i:end]
	return n, end
}

func skipSpace(raw json.RawMessage, i int) int {
	for i < len(raw) && (raw[i] == ' ' || raw[i] == '\t' || raw[i] == '\r' || raw[i] == '\n') {
		i++
	}
	return i
}

func (n node) equal(other node) bool {
	if n.isNumeric() && other.isNumeric() {
		return numeric(n.scalar).compare(numeric(other.scalar)) == 0
	}
	if n.kind != other.kind {
		return false
	}
	switch n.kind {
	case String:
		return Text(n.scalar) == Text(other.scalar)
	case List:
		return slices.EqualFunc(n.elements, other.elements, node.equal)
	case Object:
		return maps.EqualFunc(n.members, other.members, node.equal)
	default:
		return true
	}
}

// compare also says whether the two are equal, since those without an order can be: lists go on behind them.
func (n node) compare(other node) (order int, equal bool, err error) {
	switch {
	case n.isNumeric() && other.isNumeric():
		order = numeric(n.scalar).compare(numeric(other.scalar))
	case n.kind == String && other.kind == String:
		order = strings.Compare(Text(n.scalar), Text(other.scalar))
	case n.kind == List && other.kind == List:
		for i := range min(len(n.elements), len(other.elements)) {
			if order, equal, err := n.elements[i].compare(other.elements[i]); !equal {
				return order, false, err
			}
		}
		order = cmp.Compare(len(n.elements), len(other.elements))
	default:
		return 0, n.equal(other), fmt.Errorf("there is no order between %s and %s", n.kind, other.kind)
	}
	return order, order == 0, nil
}

func (n node) isNumeric() bool { return n.kind == Number || n.kind == Bool }

func isNumeric(raw json.RawMessage) bool { return node{kind: KindOf(raw)}.isNumeric() }

// numeric is a number, or a boolean as Python counts it.
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
