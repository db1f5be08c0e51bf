package graph

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/core/block/jsonscan"
)

// Base is a pin's name without its dynamic part: the text before the first delimiter.
func Base(pin string) string {
	if i := nextDelimiter(pin, 0); i >= 0 {
		return pin[:i]
	}
	return pin
}

// Select takes from a value that a block yielded on pin what a link from sourceName carries; false where the link
// carries nothing of it. A null that a selector finds is nothing; one that the whole value is, is a value.
func Select(sourceName, pin string, v json.RawMessage) (json.RawMessage, bool) {
	if sourceName == pin {
		return v, true
	}
	if len(sourceName) < len(pin) || sourceName[:len(pin)] != pin || Base(sourceName) != pin {
		return nil, false
	}
	rest := sourceName[len(pin):]
	for rest != "" {
		step, tail, ok := nextStep(rest)
		if !ok {
			return nil, false
		}
		if v, ok = step.from(v); !ok {
			return nil, false
		}
		rest = tail
	}
	return v, jsonscan.KindOf(v) != jsonscan.Null
}

// delimiterLength is that of each of block.Delimiters.
const delimiterLength = 3

// nextDelimiter is where the next delimiter begins, -1 where none does.
func nextDelimiter(s string, from int) int {
	for i := from; i+delimiterLength <= len(s); i++ {
		if s[i] == '_' && s[i+2] == '_' && (s[i+1] == '$' || s[i+1] == '#' || s[i+1] == '@') {
			return i
		}
	}
	return -1
}

// dynamic says whether a pin has a dynamic part, well-formed or not.
func dynamic(pin string) bool { return nextDelimiter(pin, 0) >= 0 }

// step is one part of a dynamic pin.
type step struct {
	list  bool
	token string // index, key or attribute
}

// nextStep cuts the first step off a path.
func nextStep(path string) (s step, rest string, ok bool) {
	if nextDelimiter(path, 0) != 0 {
		return step{}, "", false
	}
	end := nextDelimiter(path, delimiterLength)
	if end < 0 {
		end = len(path)
	}
	s = step{list: path[1] == '$', token: path[delimiterLength:end]}
	return s, path[end:], s.token != ""
}

// parsePath cuts a dynamic part into its steps; false where it is malformed.
func parsePath(path string) ([]step, bool) {
	var steps []step
	for path != "" {
		s, rest, ok := nextStep(path)
		if !ok {
			return nil, false
		}
		steps, path = append(steps, s), rest
	}
	return steps, len(steps) > 0
}

// index is the step's list index.
func (s step) index() (int, bool) {
	i, err := strconv.Atoi(strings.TrimSpace(s.token))
	return i, err == nil
}

// from takes one step into a value.
func (s step) from(v json.RawMessage) (json.RawMessage, bool) {
	if !s.list {
		return jsonscan.Find(v, s.token)
	}
	i, ok := s.index()
	if !ok || jsonscan.KindOf(v) != jsonscan.Array {
		return nil, false
	}
	if i < 0 { // counts from the end
		i += jsonscan.Len(v)
	}
	return jsonscan.At(v, i)
}

// maxListIndex bounds the lists that dynamic pins make, since one short pin name would otherwise stand for gigabytes.
const maxListIndex = 99_999

// tree is a value that is being assigned into: text until a step leads into it.
type tree struct {
	raw   json.RawMessage // nil once it was taken apart
	list  bool
	keys  [][]byte // object: quoted
	items []*tree
	index map[string]int // object: key → item, the last one of a key that is there twice
}

// assign puts v at the end of the steps, making containers on the way. The text it returns says what is wrong.
func (t *tree) assign(steps []step, v json.RawMessage) (problem string) {
	for _, s := range steps {
		if t, problem = t.child(s); problem != "" {
			return problem
		}
	}
	*t = tree{raw: v}
	return ""
}

// child is the place that a step leads to.
func (t *tree) child(s step) (*tree, string) {
	t.open(s.list)
	if !s.list {
		if i, ok := t.index[s.token]; ok {
			return t.items[i], ""
		}
		t.index[s.token] = len(t.items)
		t.keys = append(t.keys, jsonscan.AppendString(nil, s.token))
		t.items = append(t.items, &tree{raw: null})
		return t.items[len(t.items)-1], ""
	}
	i, ok := s.index()
	switch {
	case !ok:
		return nil, strconv.Quote(s.token)
	case i < 0:
		return nil, "a negative index"
	case i > maxListIndex:
		return nil, "an index over " + strconv.Itoa(maxListIndex)
	}
	for len(t.items) <= i {
		t.items = append(t.items, &tree{raw: null})
	}
	return t.items[i], ""
}

// open takes a value apart as a list or an object. One of the wrong kind is converted as coercion does it.
func (t *tree) open(list bool) {
	if t.raw == nil {
		if t.list == list {
			return
		}
		t.raw = t.append(nil)
	}
	raw := t.raw
	*t = tree{list: list}
	if !list {
		t.index = map[string]int{}
	}
	switch kind := jsonscan.KindOf(raw); {
	case kind == jsonscan.Null:
	case list:
		for e := range jsonscan.Elements(block.ToList(raw)) {
			t.items = append(t.items, &tree{raw: e})
		}
	default:
		for k, e := range jsonscan.Members(block.ToObject(raw)) {
			t.index[jsonscan.Unquote(k)] = len(t.items)
			t.keys = append(t.keys, k)
			t.items = append(t.items, &tree{raw: e})
		}
	}
}

func (t *tree) append(b []byte) []byte {
	if t.raw != nil {
		return append(b, t.raw...)
	}
	open, end := byte('{'), byte('}')
	if t.list {
		open, end = '[', ']'
	}
	b = append(b, open)
	for i, item := range t.items {
		if i > 0 {
			b = append(b, ',')
		}
		if !t.list {
			b = append(append(b, t.keys[i]...), ':')
		}
		b = item.append(b)
	}
	return append(b, end)
}

var null = json.RawMessage("null")
