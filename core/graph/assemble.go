package graph

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/core/block/jsonscan"
)

// PinValue is a value that was delivered to an input pin, named as the link names it.
type PinValue struct {
	Pin   string
	Value json.RawMessage
}

// Assembled is a node's input.
type Assembled struct {
	Input   json.RawMessage // object: dynamic pins as they came and merged, nulls kept
	Missing []string        // required pins that are absent or null: the node waits for them
}

// InvalidInput is a value that does not fit its pin.
type InvalidInput struct {
	Pin, Want, Got string
}

// Error is what users read.
func (e *InvalidInput) Error() string {
	return fmt.Sprintf("input %q expects %s, got %s", e.Pin, e.Want, e.Got)
}

// Assemble puts the input of a node together (execution.md 3.6, steps 3 to 7): the constants, overlaid by data, which
// has all linked pins; dynamic pins merged into their bases; values coerced and checked. A value that does not fit is
// an *InvalidInput, unless something required is missing: then the node waits, whatever else is wrong.
//
// Of keys the order is that of the constants, then that of data, then merged bases.
func Assemble(n *Node, b *block.Block, data []PinValue) (Assembled, error) {
	constants := n.InputDefault
	if b.Kind == block.Agent {
		constants = agentInputs(n)
	}
	var room [24]field
	fields, isDynamic := overlay(room[:0], constants, n.withMask(data))
	var unfit *InvalidInput
	if isDynamic {
		fields, unfit = merge(fields)
	}
	if b.Kind == block.Agent { // its pins are those of another graph, which checks them when it starts
		if unfit != nil {
			return Assembled{}, unfit
		}
		return Assembled{Input: join(fields)}, nil
	}
	for i := range fields {
		f := &fields[i]
		if pin := inputOf(b, f); pin != nil && !pin.Credentials { // a reference is no matter of values
			v, err := pin.Coerce(f.value)
			if err != nil {
				return Assembled{}, invalidInput(pin.Name, err)
			}
			f.value, f.pin = v, pin
		}
	}
	a := Assembled{Missing: missing(b, fields)}
	if len(a.Missing) == 0 {
		if unfit != nil {
			return Assembled{}, unfit
		}
		for _, f := range fields {
			if f.pin == nil || jsonscan.KindOf(f.value) == jsonscan.Null {
				continue
			}
			if err := f.pin.Check(f.value); err != nil {
				return Assembled{}, invalidInput(f.pin.Name, err)
			}
		}
	}
	a.Input = join(fields)
	return a, nil
}

// WithoutNulls is an input as a block gets it: without what is null, so that the block's own defaults apply.
func WithoutNulls(input json.RawMessage) json.RawMessage {
	found := false
	for _, v := range jsonscan.Members(input) {
		if jsonscan.KindOf(v) == jsonscan.Null {
			found = true
			break
		}
	}
	if !found {
		return input
	}
	b := make([]byte, 1, len(input))
	b[0] = '{'
	for k, v := range jsonscan.Members(input) {
		if jsonscan.KindOf(v) == jsonscan.Null {
			continue
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(append(append(b, k...), ':'), v...)
	}
	return append(b, '}')
}

// field is a key of an input that is being put together. Constants have their quoted key, delivered values a name.
type field struct {
	quoted []byte
	name   string
	value  json.RawMessage
	pin    *block.Pin
	unfit  bool // something that belongs in it cannot be put there
}

func (f *field) is(name string) bool {
	if f.quoted != nil {
		return jsonscan.KeyIs(f.quoted, name)
	}
	return f.name == name
}

func (f *field) same(other *field) bool {
	if other.quoted == nil {
		return f.is(other.name)
	}
	if string(f.quoted) == string(other.quoted) {
		return true
	}
	// Escapes can write one name in several ways.
	return (bytes.IndexByte(f.quoted, '\\') >= 0 || bytes.IndexByte(other.quoted, '\\') >= 0) && f.text() == other.text()
}

func (f *field) text() string {
	if f.quoted != nil {
		return jsonscan.Unquote(f.quoted)
	}
	return f.name
}

// overlay lays data over constants, and says whether there is a dynamic pin.
func overlay(fields []field, constants json.RawMessage, data []PinValue) (_ []field, isDynamic bool) {
	var index fieldIndex
	for k, v := range jsonscan.Members(constants) {
		f := field{quoted: k, value: v}
		if at, ok := index.find(fields, &f); ok { // there twice: the last one counts, as for any decoder
			fields[at].value = v
			continue
		}
		fields = append(fields, f)
		isDynamic = isDynamic || dynamicKey(k)
	}
	for _, d := range data {
		f := field{name: d.Pin, value: d.Value}
		if at, ok := index.find(fields, &f); ok {
			fields[at].value = d.Value
			continue
		}
		fields = append(fields, f)
		isDynamic = isDynamic || dynamic(d.Pin)
	}
	return fields, isDynamic
}

// fieldIndex finds fields by their names: one by one while they are few, as they nearly always are, else by a map.
type fieldIndex struct {
	names   map[string]int
	indexed int
}

const fewFields = 32

// find looks for a field with the name of f among fields, which only ever grow from one call to the next.
func (x *fieldIndex) find(fields []field, f *field) (int, bool) {
	if len(fields) <= fewFields {
		for i := range fields {
			if fields[i].same(f) {
				return i, true
			}
		}
		return 0, false
	}
	if x.names == nil {
		x.names = make(map[string]int, 2*len(fields))
	}
	for ; x.indexed < len(fields); x.indexed++ {
		x.names[fields[x.indexed].text()] = x.indexed
	}
	at, ok := x.names[f.text()]
	return at, ok
}

// dynamicKey is dynamic for a quoted key; a key with escapes may be.
func dynamicKey(k []byte) bool {
	for i := 0; i < len(k); i++ {
		if k[i] == '\\' {
			return dynamic(jsonscan.Unquote(k))
		}
		if k[i] == '_' && i+2 < len(k) && k[i+2] == '_' && (k[i+1] == '$' || k[i+1] == '#' || k[i+1] == '@') {
			return true
		}
	}
	return false
}

// merge assigns dynamic pins into their bases. The base comes first, whatever the order of arrival. It answers the first
// one that cannot be assigned; its base is there all the same, since nothing is missing.
func merge(fields []field) (_ []field, unfit *InvalidInput) {
	type base struct {
		name  string
		tree  *tree
		unfit bool
	}
	var bases []*base
	known := map[string]*base{}
	var index fieldIndex
	given := len(fields)
	for i := range given {
		name := fields[i].text()
		at := nextDelimiter(name, 0)
		if at < 0 {
			continue
		}
		steps, ok := parsePath(name[at:])
		if !ok {
			continue
		}
		t := known[name[:at]]
		if t == nil {
			t = &base{name: name[:at], tree: &tree{raw: null}}
			if j, ok := index.find(fields, &field{name: t.name}); ok {
				t.tree.raw = fields[j].value
			}
			known[t.name] = t
			bases = append(bases, t)
		}
		if problem := t.tree.assign(steps, fields[i].value); problem != "" {
			t.unfit = true
			if unfit == nil {
				unfit = &InvalidInput{Pin: name, Want: "a whole number from 0 behind _$_", Got: problem}
			}
		}
	}
	for _, b := range bases {
		merged := b.tree.append(nil)
		if i, ok := index.find(fields, &field{name: b.name}); ok {
			fields[i].value, fields[i].unfit = merged, b.unfit
		} else {
			fields = append(fields, field{name: b.name, value: merged, unfit: b.unfit})
		}
	}
	return fields, unfit
}

func inputOf(b *block.Block, f *field) *block.Pin {
	for _, p := range b.Inputs() {
		if f.is(p.Name) {
			return p
		}
	}
	return nil
}

// missing lists the required pins without a value. Those of credentials are no matter of values.
func missing(b *block.Block, fields []field) []string {
	var names []string
next:
	for _, p := range b.Inputs() {
		if !p.Required || p.Credentials {
			continue
		}
		for i := range fields {
			if fields[i].pin == p && (fields[i].unfit || jsonscan.KindOf(fields[i].value) != jsonscan.Null) {
				continue next
			}
		}
		names = append(names, p.Name)
	}
	return names
}

func invalidInput(pin string, err error) error {
	if m, ok := errors.AsType[*block.Mismatch](err); ok {
		return &InvalidInput{Pin: pin, Want: m.Want, Got: m.Got}
	}
	return &InvalidInput{Pin: pin, Want: "another value", Got: err.Error()}
}

// join writes the fields as one object.
func join(fields []field) json.RawMessage {
	size := 2
	for i := range fields {
		size += len(fields[i].quoted) + len(fields[i].name) + len(fields[i].value) + 4
	}
	b := make([]byte, 1, size)
	b[0] = '{'
	for i := range fields {
		if i > 0 {
			b = append(b, ',')
		}
		if f := &fields[i]; f.quoted != nil {
			b = append(b, f.quoted...)
		} else {
			b = jsonscan.AppendString(b, f.name)
		}
		b = append(append(b, ':'), fields[i].value...)
	}
	return append(b, '}')
}
