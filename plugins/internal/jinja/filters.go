package jinja

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/nikolalohinski/gonja/v2/exec"

	"github.com/patchbay-io/patchbay/plugins/internal/value"
)

// filterCall is in | filter(arguments).
type filterCall struct {
	arguments
	in        *exec.Value
	evaluator *exec.Evaluator
}

// ownFilters are those of which the library's give other results than Python's. They are set below, since some of
// them call others by name.
var ownFilters map[string]func(c filterCall) (any, error)

func init() {
	ownFilters = map[string]func(c filterCall) (any, error){
		"default": orDefault, "d": orDefault,
		"length": length, "count": length,
		"string": func(c filterCall) (any, error) {
			return marked(c.engine.str(c.in), isMarkup(c.in)), nil
		},
		"upper":      byMethod("upper"),
		"lower":      byMethod("lower"),
		"capitalize": byMethod("capitalize"),
		"trim":       byMethod("strip"),
		"center":     centered,
		"replace":    replaced,
		"title":      titleCased,
		"wordcount":  func(c filterCall) (any, error) { return len(words.FindAllString(c.engine.str(c.in), -1)), nil },
		"wordwrap":   wrapped,
		"safe":       func(c filterCall) (any, error) { return markup(c.engine.str(c.in)), nil },
		"e":          escape, "escape": escape,
		"forceescape": func(c filterCall) (any, error) { return markup(escaped(c.engine.str(c.in))), nil },
		"random":      random,
		"list":        func(c filterCall) (any, error) { elements, err := c.elements(); return newList(elements), err },
		"items":       items,
		"first":       func(c filterCall) (any, error) { return c.element(func(int) int { return 0 }) },
		"last":        func(c filterCall) (any, error) { return c.element(func(length int) int { return length - 1 }) },
		"reverse":     reversed,
		"join":        join,
		"map":         mapped,
		"sum":         sum,
		"sort":        sorted,
		"dictsort":    dictSorted,
		"unique":      unique,
		"min":         func(c filterCall) (any, error) { return c.extreme(-1) },
		"max":         func(c filterCall) (any, error) { return c.extreme(1) },
		"abs":         absolute,
		"int":         toInteger,
		"float":       toFloat,
		"round":       rounded,
		"format":      formatted,
		"urlencode":   urlEncoded,
	}
}

func orDefault(c filterCall) (any, error) {
	if !isUndefined(c.in) && !(c.flag(1, "boolean") && !c.in.IsTrue()) {
		return c.in, nil
	}
	if otherwise := c.at(0, "default_value"); otherwise != nil {
		return otherwise, nil
	}
	return "", nil
}

func length(c filterCall) (any, error) {
	if !isIterable(c.in) {
		return nil, fmt.Errorf("%s has no length", typeName(c.in))
	}
	return len(c.engine.elements(c.in)), nil
}

func byMethod(name string) func(c filterCall) (any, error) {
	return func(c filterCall) (any, error) {
		text, err := textMethods[name](c.engine.str(c.in), c.arguments)
		if err != nil {
			return nil, err
		}
		return marked(text.(string), isMarkup(c.in)), nil
	}
}

func (c filterCall) elements() ([]any, error) {
	if !isIterable(c.in) {
		return nil, fmt.Errorf("%s has no elements", typeName(c.in))
	}
	return c.engine.elements(c.in), nil
}

func (c filterCall) element(place func(length int) int) (any, error) {
	elements, err := c.elements()
	if err != nil || len(elements) == 0 {
		return exec.AsValue(nil), err
	}
	return elements[place(len(elements))], nil
}

// key says what of an element counts: the element, or what the argument attribute names, a.b.0.
func (c filterCall) key(place int) func(v *exec.Value) *exec.Value {
	attribute := c.at(place, "attribute")
	if attribute == nil || attribute.IsNil() {
		return func(v *exec.Value) *exec.Value { return v }
	}
	return func(v *exec.Value) *exec.Value { return c.engine.path(v, attribute) }
}

func (e *engine) path(v, path *exec.Value) *exec.Value {
	for part := range strings.SplitSeq(e.str(path), ".") {
		key := exec.AsValue(part)
		if n, err := strconv.Atoi(part); err == nil {
			key = exec.AsValue(n)
		}
		if v = e.item(nil, v, &exec.VarArgs{Args: []*exec.Value{key}}); v.IsError() {
			return exec.AsValue(nil)
		}
	}
	return v
}

// folded ignores case, unless an argument says otherwise.
func (c filterCall) folded(place int, key func(v *exec.Value) *exec.Value) func(v *exec.Value) *exec.Value {
	if c.flag(place, "case_sensitive") {
		return key
	}
	return func(v *exec.Value) *exec.Value {
		if v = key(v); isText(v) {
			return exec.AsValue(strings.ToLower(v.String()))
		}
		return v
	}
}

func items(c filterCall) (any, error) {
	if !isUndefined(c.in) && !c.in.IsDict() {
		return nil, fmt.Errorf("%s has no items", typeName(c.in))
	}
	if isUndefined(c.in) {
		return newList([]any{}), nil
	}
	return newList(c.engine.items(c.in)), nil
}

func reversed(c filterCall) (any, error) {
	elements, err := c.elements()
	slices.Reverse(elements)
	if !isText(c.in) {
		return newList(elements), err
	}
	var text strings.Builder
	for _, character := range elements {
		text.WriteString(character.(string))
	}
	return marked(text.String(), isMarkup(c.in)), nil
}

func join(c filterCall) (any, error) {
	elements, err := c.elements()
	if err != nil {
		return nil, err
	}
	delimiter, key := exec.AsValue(""), c.key(1)
	if given := c.at(0, "d"); given != nil {
		delimiter = given
	}
	parts := make([]*exec.Value, len(elements))
	safe := isMarkup(delimiter)
	for i, element := range elements {
		parts[i] = key(exec.ToValue(element))
		safe = safe || isMarkup(parts[i])
	}
	safe = safe && c.evaluator.Config.AutoEscape
	var text strings.Builder
	for i, part := range parts {
		if i > 0 {
			text.WriteString(c.engine.markupOf(delimiter, safe))
		}
		text.WriteString(c.engine.markupOf(part, safe))
	}
	return marked(text.String(), safe), nil
}

// mapped applies a filter to each element, or takes an attribute of it.
func mapped(c filterCall) (any, error) {
	elements, err := c.elements()
	if err != nil {
		return nil, err
	}
	key := c.key(-1)
	otherwise := c.at(-1, "default")
	for i, element := range elements {
		v := key(exec.ToValue(element))
		if len(c.Args) > 0 {
			v = c.evaluator.ExecuteFilterByName(c.Args[0].String(), v, &exec.VarArgs{Args: c.Args[1:], KwArgs: c.KwArgs})
		} else if isUndefined(v) && otherwise != nil {
			v = otherwise
		}
		if v.IsError() {
			return nil, v
		}
		elements[i] = v.Interface()
	}
	return newList(elements), nil
}

func sum(c filterCall) (any, error) {
	elements, err := c.elements()
	if err != nil {
		return nil, err
	}
	total, key := exec.AsValue(0), c.key(0)
	if start := c.at(1, "start"); start != nil {
		total = start
	}
	for _, element := range elements {
		added, err := c.engine.result(c.evaluator, "+", total, key(exec.ToValue(element)))
		if err != nil {
			return nil, err
		}
		total = exec.ToValue(added)
	}
	return total, nil
}

// sorted orders elements by their keys, equal ones in the order in which they are.
func (e *engine) sorted(elements []any, reverse bool, key func(v *exec.Value) *exec.Value) error {
	var wrong error
	slices.SortStableFunc(elements, func(a, b any) int {
		order, err := e.compare(key(exec.ToValue(a)), key(exec.ToValue(b)))
		if err != nil {
			wrong = err
		}
		if reverse {
			return -order
		}
		return order
	})
	return wrong
}

func sorted(c filterCall) (any, error) {
	elements, err := c.elements()
	if err != nil {
		return nil, err
	}
	keys := []func(v *exec.Value) *exec.Value{c.folded(1, c.key(2))}
	if attributes := c.at(2, "attribute"); attributes != nil && isText(attributes) {
		keys = nil
		for attribute := range strings.SplitSeq(attributes.String(), ",") {
			path := exec.AsValue(attribute)
			keys = append(keys, c.folded(1, func(v *exec.Value) *exec.Value { return c.engine.path(v, path) }))
		}
	}
	for _, key := range slices.Backward(keys) { // the first counts most
		if err := c.engine.sorted(elements, c.flag(0, "reverse"), key); err != nil {
			return nil, err
		}
	}
	return newList(elements), nil
}

func dictSorted(c filterCall) (any, error) {
	if !c.in.IsDict() {
		return nil, fmt.Errorf("%s has no items", typeName(c.in))
	}
	place := 0
	by, err := c.textOr(1, "by", "key")
	if err != nil || by != "key" && by != "value" {
		return nil, errors.New("it sorts by key or value")
	}
	if by == "value" {
		place = 1
	}
	pairs := c.engine.items(c.in)
	err = c.engine.sorted(pairs, c.flag(2, "reverse"), c.folded(0, func(v *exec.Value) *exec.Value { return v.Index(place) }))
	return newList(pairs), err
}

func unique(c filterCall) (any, error) {
	elements, err := c.elements()
	if err != nil {
		return nil, err
	}
	key := c.folded(0, c.key(1))
	var keys []*exec.Value
	texts := map[string]bool{} // most are texts, and many
	kept := []any{}
	for _, element := range elements {
		k := key(exec.ToValue(element))
		if isText(k) {
			if texts[k.String()] {
				continue
			}
			texts[k.String()] = true
		} else {
			if slices.ContainsFunc(keys, func(other *exec.Value) bool { return c.engine.equal(k, other) }) {
				continue
			}
			keys = append(keys, k)
		}
		kept = append(kept, element)
	}
	return newList(kept), nil
}

// extreme is the first of the smallest or largest elements.
func (c filterCall) extreme(wanted int) (any, error) {
	elements, err := c.elements()
	if err != nil || len(elements) == 0 {
		return exec.AsValue(nil), err
	}
	key := c.folded(0, c.key(1))
	best := exec.ToValue(elements[0])
	for _, element := range elements[1:] {
		order, err := c.engine.compare(key(exec.ToValue(element)), key(best))
		if err != nil {
			return nil, err
		}
		if order*wanted > 0 {
			best = exec.ToValue(element)
		}
	}
	return best, nil
}

// formatted applies a printf format, {{ "%s: %d" | format(name, n) }}; the other way round, which people write too,
// {{ price | format("%.2f") }}, it works as well.
func formatted(c filterCall) (any, error) {
	format, values := c.in, c.Args
	if !(isText(format) && strings.Contains(format.String(), "%")) && len(values) == 1 && isText(values[0]) && strings.Contains(values[0].String(), "%") {
		format, values = values[0], []*exec.Value{c.in}
		if parsed, ok := value.ParseNumber(c.in.String()); ok && isText(c.in) {
			values[0] = exec.AsValue(parseNumber(string(parsed)))
		}
	}
	if len(c.KwArgs) > 0 {
		named, err := c.engine.merged(nil, nil, c.KwArgs)
		if err != nil {
			return nil, err
		}
		return c.engine.printf(format, values, exec.AsValue(named))
	}
	return c.engine.printf(format, values, nil)
}

func urlEncoded(c filterCall) (any, error) {
	if isText(c.in) || !isIterable(c.in) || isUndefined(c.in) {
		return percentEncoded(c.engine.str(c.in), "/"), nil
	}
	pairs := c.engine.elements(c.in)
	if c.in.IsDict() {
		pairs = c.engine.items(c.in)
	}
	var parts []string
	for _, element := range pairs {
		pair := c.engine.elements(exec.ToValue(element))
		if len(pair) != 2 {
			return nil, errors.New("it takes pairs")
		}
		var sides [2]string
		for i, side := range pair {
			sides[i] = strings.ReplaceAll(percentEncoded(c.engine.str(exec.ToValue(side)), ""), "%20", "+")
		}
		parts = append(parts, sides[0]+"="+sides[1])
	}
	return strings.Join(parts, "&"), nil
}

func percentEncoded(text, kept string) string {
	var out strings.Builder
	for i := range len(text) {
		c := text[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("_.-~"+kept, c) >= 0 {
			out.WriteByte(c)
			continue
		}
		fmt.Fprintf(&out, "%%%02X", c)
	}
	return out.String()
}
