package jinja

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/nikolalohinski/gonja/v2/exec"
)

// listOf and its like make values of literals, of which the library has types of its own.
func (e *engine) listOf(_ *exec.Evaluator, in *exec.Value, _ *exec.VarArgs) *exec.Value {
	elements, err := e.literal(in)
	if err != nil {
		return exec.AsValue(err)
	}
	return exec.AsValue(newList(elements))
}

func (e *engine) tupleOf(_ *exec.Evaluator, in *exec.Value, _ *exec.VarArgs) *exec.Value {
	elements, err := e.literal(in)
	if err != nil {
		return exec.AsValue(err)
	}
	return exec.AsValue(tuple(elements))
}

// literal are the elements of a literal list. The library lets errors stand in it.
func (e *engine) literal(in *exec.Value) ([]any, error) {
	elements := e.elements(in)
	for _, element := range elements {
		if err, ok := element.(error); ok {
			return nil, err
		}
	}
	return elements, nil
}

// dictOf leaves dictionaries with other keys than texts to the library.
func (e *engine) dictOf(_ *exec.Evaluator, in *exec.Value, _ *exec.VarArgs) *exec.Value {
	literal, ok := in.Interface().(*exec.Dict)
	if !ok {
		return in
	}
	members, keys := map[string]any{}, []string{}
	for _, pair := range literal.Pairs {
		if !isText(pair.Key) {
			return in
		}
		key := pair.Key.String()
		if _, twice := members[key]; !twice {
			keys = append(keys, key)
		}
		members[key] = pair.Value.Interface()
	}
	return exec.AsValue(e.newDict(members, keys))
}

func isIterable(v *exec.Value) bool {
	return isUndefined(v) || isText(v) || v.IsList() || v.IsDict() || v.Val.Kind() == reflect.Chan
}

// elements are what a Python loop over a value goes through.
func (e *engine) elements(in *exec.Value) []any {
	elements := []any{}
	switch {
	case in.IsNil():
	case in.IsString():
		for _, r := range in.String() {
			elements = append(elements, string(r))
		}
	case in.IsDict():
		for _, pair := range e.pairs(in) {
			elements = append(elements, pair[0].Interface())
		}
	case in.IsList():
		list := reflect.Indirect(in.Val)
		elements = make([]any, list.Len())
		for i := range elements {
			elements[i] = exec.ToValue(list.Index(i)).Interface()
		}
	}
	return elements
}

// pairs are a dictionary's keys and values in their order.
func (e *engine) pairs(dictionary *exec.Value) [][2]*exec.Value {
	if literal, ok := dictionary.Interface().(*exec.Dict); ok {
		pairs := make([][2]*exec.Value, len(literal.Pairs))
		for i, pair := range literal.Pairs {
			pairs[i] = [2]*exec.Value{pair.Key, pair.Value}
		}
		return pairs
	}
	members := reflect.Indirect(dictionary.Val)
	if members.Kind() != reflect.Map || members.Type().Key().Kind() != reflect.String {
		return nil
	}
	keys := e.keyOrder.keys(members)
	pairs := make([][2]*exec.Value, len(keys))
	for i, key := range keys {
		pairs[i] = [2]*exec.Value{exec.AsValue(key), exec.ToValue(members.MapIndex(reflect.ValueOf(key)))}
	}
	return pairs
}

// items are a dictionary's keys and values as a template sees them.
func (e *engine) items(dictionary *exec.Value) []any {
	items := []any{}
	for _, pair := range e.pairs(dictionary) {
		items = append(items, tuple{pair[0].Interface(), pair[1].Interface()})
	}
	return items
}

// member finds a key.
func (e *engine) member(dictionary, key *exec.Value) (*exec.Value, bool) {
	if members := reflect.Indirect(dictionary.Val); members.Kind() == reflect.Map && isText(key) && members.Type().Key().Kind() == reflect.String {
		found := members.MapIndex(reflect.ValueOf(key.String()))
		return exec.ToValue(found), found.IsValid()
	}
	for _, pair := range e.pairs(dictionary) {
		if e.equal(pair[0], key) {
			return pair[1], true
		}
	}
	return exec.AsValue(nil), false
}

// item is a[b]. What is not there is undefined.
func (e *engine) item(_ *exec.Evaluator, in *exec.Value, params *exec.VarArgs) *exec.Value {
	key := params.First()
	n, isNumber := numberOf(key)
	switch {
	case in.IsError():
		return in
	case isUndefined(in):
		return exec.AsValue(errors.New("what is undefined has no elements"))
	case in.IsDict():
		found, _ := e.member(in, key)
		return found
	case isText(in) || in.IsList():
		if !isNumber || n.i == nil || strings.HasPrefix(listKind(in), "dict") {
			return exec.AsValue(nil)
		}
		at, length := clamped(n), in.Len()
		if at < 0 {
			at += length
		}
		if at < 0 || at >= length {
			return exec.AsValue(nil)
		}
		if isText(in) {
			return marked(in.Index(at).String(), isMarkup(in))
		}
		return in.Index(at)
	case isText(key):
		return attribute(in, key.String())
	default:
		return exec.AsValue(nil)
	}
}

// attributeOf is a.b.
func (e *engine) attributeOf(_ *exec.Evaluator, in *exec.Value, params *exec.VarArgs) *exec.Value {
	name := params.First().String()
	switch {
	case in.IsError():
		return in
	case isUndefined(in):
		return exec.AsValue(fmt.Errorf("%q is asked of what is undefined", name))
	case in.IsDict():
		found, _ := e.member(in, params.First())
		return found
	default:
		return attribute(in, name)
	}
}

// attribute of an object that the library makes, such as loop.
func attribute(in *exec.Value, name string) *exec.Value {
	if _, ok := in.Interface().(exec.AttributeGetter); !ok {
		if _, ok := in.Interface().(exec.ItemGetter); !ok {
			return exec.AsValue(nil)
		}
	}
	found, ok := in.Get(name)
	if !ok {
		return exec.AsValue(nil)
	}
	return found
}

// slice is a[b:c:d].
func (e *engine) slice(_ *exec.Evaluator, in *exec.Value, params *exec.VarArgs) *exec.Value {
	if in.IsError() {
		return in
	}
	if !isText(in) && !in.IsList() {
		return exec.AsValue(fmt.Errorf("%s has no slices", typeName(in)))
	}
	elements := e.elements(in)
	var bounds [3]*int
	for i, argument := range params.Args {
		if argument.IsNil() {
			continue
		}
		n, ok := numberOf(argument)
		if !ok || n.i == nil {
			return exec.AsValue(fmt.Errorf("%s is no place in a slice", typeName(argument)))
		}
		place := clamped(n)
		bounds[i] = &place
	}
	step := 1
	if bounds[2] != nil {
		step = *bounds[2]
	}
	if step == 0 {
		return exec.AsValue(errors.New("the step of a slice must not be 0"))
	}
	first, last := 0, len(elements) // where it starts, and before which it ends
	if step < 0 {
		first, last = len(elements)-1, -1
	}
	lowest, highest := min(0, last), max(len(elements)-1, first)
	if step > 0 {
		highest = len(elements)
	}
	for i, place := range []*int{&first, &last} {
		if bounds[i] == nil {
			continue
		}
		if *place = *bounds[i]; *place < 0 {
			*place += len(elements)
		}
		*place = min(max(*place, lowest), highest)
	}
	taken := []any{}
	for i := first; step > 0 && i < last || step < 0 && i > last; i += step {
		taken = append(taken, elements[i])
	}
	if isText(in) {
		var text strings.Builder
		for _, character := range taken {
			text.WriteString(character.(string))
		}
		return marked(text.String(), isMarkup(in))
	}
	return exec.AsValue(sequenceLike(in, taken))
}

// clamped keeps a place from overflowing: no list reaches so far.
func clamped(n number) int {
	const far = 1 << 40
	if !n.i.IsInt64() {
		return n.i.Sign() * far
	}
	return int(min(max(n.i.Int64(), -far), far))
}
