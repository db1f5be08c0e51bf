package jinja

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/nikolalohinski/gonja/v2/builtins"
	"github.com/nikolalohinski/gonja/v2/exec"
)

// maxRange is how far range() counts: the bound of Jinja's own sandbox.
const maxRange = 100_000

// allowedFilters are the library's without those that the sandbox takes away (pprint, tojson, urlize, xmlattr) and
// random, which would make templates give different texts, and with our own in their place where Python differs.
func (e *engine) allowedFilters(library *exec.FilterSet) map[string]exec.FilterFunction {
	filters := map[string]exec.FilterFunction{
		printFilter: e.print,
		eachFilter:  e.each,
		"format":    formatNumber,
		"items":     func(_ *exec.Evaluator, in *exec.Value, _ *exec.VarArgs) *exec.Value { return e.items(in) },
		"string":    func(_ *exec.Evaluator, in *exec.Value, _ *exec.VarArgs) *exec.Value { return e.asString(in) },
		"list": func(_ *exec.Evaluator, in *exec.Value, _ *exec.VarArgs) *exec.Value {
			if in.IsError() {
				return in
			}
			return exec.AsValue(e.elements(in))
		},
	}
	for _, name := range []string{
		"abs", "attr", "batch", "capitalize", "center", "count", "d", "default", "dictsort", "e", "escape",
		"filesizeformat", "first", "float", "forceescape", "groupby", "indent", "int", "join", "last", "length",
		"lower", "map", "max", "min", "reject", "rejectattr", "replace", "reverse", "round", "safe", "select",
		"selectattr", "slice", "sort", "striptags", "sum", "title", "trim", "truncate", "unique", "upper",
		"urlencode", "wordcount", "wordwrap",
	} {
		if filter, ok := library.Get(name); ok {
			filters[name] = filter
		}
	}
	return filters
}

// print turns what is printed into the text that Python prints.
func (e *engine) print(evaluator *exec.Evaluator, in *exec.Value, params *exec.VarArgs) *exec.Value {
	if in.IsError() {
		return in
	}
	if in.IsNil() {
		if isNull(evaluator, params) {
			return exec.AsValue("None")
		}
		return exec.AsValue("")
	}
	if in.IsString() {
		return in
	}
	return &exec.Value{Val: reflect.ValueOf(e.str(in)), Safe: in.Safe}
}

// isNull tells null from what is missing.
func isNull(evaluator *exec.Evaluator, params *exec.VarArgs) bool {
	if _, ok := params.KwArgs["null"]; ok {
		return true
	}
	if name, ok := params.KwArgs["name"]; ok {
		return evaluator.Environment.Context.Has(name.String())
	}
	of, ok := params.KwArgs["of"]
	if !ok || of.IsError() || of.IsNil() {
		return false
	}
	_, found := of.GetItem(params.KwArgs["key"].Interface())
	return found
}

// each makes a list of what is looped over: keys of dictionaries in their order, characters of strings.
func (e *engine) each(_ *exec.Evaluator, in *exec.Value, params *exec.VarArgs) *exec.Value {
	switch {
	case in.IsError():
		return in
	case in.IsDict() && params.First().IsTrue():
		return e.items(in)
	case in.IsDict() || in.IsString():
		return exec.AsValue(e.elements(in))
	default:
		return in
	}
}

// elements are what a Python loop over a value goes through.
func (e *engine) elements(in *exec.Value) []any {
	elements := []any{}
	resolved := reflect.Indirect(in.Val)
	switch {
	case in.IsNil():
	case in.IsString():
		for _, r := range in.String() {
			elements = append(elements, string(r))
		}
	case resolved.Kind() == reflect.Map && resolved.Type().Key().Kind() == reflect.String:
		for _, key := range e.keyOrder.keys(resolved) {
			elements = append(elements, key)
		}
	default:
		in.Iterate(func(_, _ int, key, _ *exec.Value) bool {
			elements = append(elements, key.Interface())
			return true
		}, func() {})
	}
	return elements
}

// items are a dictionary's keys and values.
func (e *engine) items(in *exec.Value) *exec.Value {
	if in.IsError() {
		return in
	}
	items := []any{}
	if !in.IsDict() {
		return exec.AsValue(items)
	}
	for _, key := range e.elements(in) {
		member, _ := in.GetItem(key)
		items = append(items, tuple{key, member.Interface()})
	}
	return exec.AsValue(items)
}

func (e *engine) asString(in *exec.Value) *exec.Value {
	if in.IsError() || in.IsNil() || in.IsString() {
		return in
	}
	return exec.AsValue(e.str(in))
}

// dictMethods are those that read. The library's others change a copy, which would mislead silently.
func (e *engine) dictMethods() *exec.MethodSet[map[string]any] {
	get, _ := builtins.Methods.Dict.Get("get")
	type method = exec.Method[map[string]any]
	reading := func(give func(self *exec.Value) any) method {
		return func(_ map[string]any, self *exec.Value, arguments *exec.VarArgs) (any, error) {
			if err := arguments.Take(); err != nil {
				return nil, exec.ErrInvalidCall(err)
			}
			return give(self), nil
		}
	}
	return exec.NewMethodSet(map[string]method{
		"get":   get,
		"keys":  reading(func(self *exec.Value) any { return e.elements(self) }),
		"items": reading(func(self *exec.Value) any { return e.items(self).Interface() }),
		"values": reading(func(self *exec.Value) any {
			values := []any{}
			for _, key := range e.elements(self) {
				member, _ := self.GetItem(key)
				values = append(values, member.Interface())
			}
			return values
		}),
	})
}

// globalFunctions leaves out lipsum, which is random.
func (e *engine) globalFunctions() map[string]any {
	globals := map[string]any{"range": countTo, "dict": e.newDict}
	for _, name := range []string{"cycler", "joiner", "namespace"} {
		globals[name], _ = builtins.GlobalFunctions.Get(name)
	}
	return globals
}

func countTo(_ *exec.Evaluator, params *exec.VarArgs) (*exec.Value, error) {
	limits := []int{0, 0, 1}
	switch n := len(params.Args); n {
	case 1:
		limits[1] = params.Args[0].Integer()
	case 2, 3:
		for i, argument := range params.Args {
			limits[i] = argument.Integer()
		}
	default:
		return nil, errors.New("range() takes one to three numbers")
	}
	start, stop, step := limits[0], limits[1], limits[2]
	if step == 0 {
		return nil, errors.New("the step of range() must not be 0")
	}
	numbers := []any{}
	for i := start; step > 0 && i < stop || step < 0 && i > stop; i += step {
		if len(numbers) == maxRange {
			return nil, fmt.Errorf("range() counts to at most %d numbers", maxRange)
		}
		numbers = append(numbers, i)
	}
	return exec.AsValue(numbers), nil
}

// newDict orders its keys, since the library hands named arguments over without their order.
func (e *engine) newDict(_ *exec.Evaluator, params *exec.VarArgs) *exec.Value {
	names := make([]string, 0, len(params.KwArgs))
	for name := range params.KwArgs {
		names = append(names, name)
	}
	slices.Sort(names)
	dict := exec.NewDict()
	for _, name := range names {
		dict.Pairs = append(dict.Pairs, &exec.Pair{Key: exec.AsValue(name), Value: params.KwArgs[name]})
	}
	return exec.AsValue(dict)
}

// formatNumber applies a printf format to a number, {{ price | format("%.2f") }}; the other way round, as Jinja has
// it, {{ "%s: %d" | format(name, n) }}, works too.
func formatNumber(_ *exec.Evaluator, in *exec.Value, params *exec.VarArgs) *exec.Value {
	if in.IsError() {
		return in
	}
	if in.IsString() && strings.Contains(in.String(), "%") {
		arguments := make([]any, len(params.Args))
		for i, argument := range params.Args {
			arguments[i] = argument.Interface()
		}
		return exec.AsValue(fmt.Sprintf(in.String(), arguments...))
	}
	if len(params.Args) == 0 {
		return in
	}
	text, err := printf(params.First().String(), in)
	if err != nil {
		return exec.AsValue(fmt.Errorf("filter format: %w", err))
	}
	return exec.AsValue(text)
}
