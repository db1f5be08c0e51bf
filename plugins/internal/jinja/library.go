package jinja

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/nikolalohinski/gonja/v2/builtins"
	"github.com/nikolalohinski/gonja/v2/exec"
)

// maxRange is how far range() counts: the bound of Jinja's own sandbox.
const maxRange = 100_000

// allowedFilters are the library's without those that the sandbox takes away (pprint, tojson, urlize, xmlattr) and
// random, which would make templates give different texts, and with our own in their place where Python differs.
func (e *engine) allowedFilters() map[string]exec.FilterFunction {
	filters := map[string]exec.FilterFunction{
		printFilter: e.print, listFilter: e.listOf, tupleFilter: e.tupleOf, dictFilter: e.dictOf,
		operateFilter: e.operate, signFilter: e.sign, notFilter: e.not,
		itemFilter: e.item, dotFilter: e.attributeOf, sliceFilter: e.slice, methodFilter: e.method,
		truthFilter: truth, loopFilter: callLoop, onlyFilter: only,
		numberFilter: func(_ *exec.Evaluator, in *exec.Value, _ *exec.VarArgs) *exec.Value {
			return exec.AsValue(parseNumber(in.String()))
		},
		nullFilter: func(*exec.Evaluator, *exec.Value, *exec.VarArgs) *exec.Value { return exec.AsValue((*null)(nil)) },
	}
	for name, filter := range ownFilters {
		filters[name] = func(evaluator *exec.Evaluator, in *exec.Value, params *exec.VarArgs) *exec.Value {
			if in.IsError() {
				return in
			}
			result, err := filter(filterCall{arguments{VarArgs: params, engine: e}, in, evaluator})
			if err != nil {
				return exec.AsValue(err)
			}
			if v, ok := result.(*exec.Value); ok {
				return v
			}
			return exec.AsValue(result)
		}
	}
	for _, name := range []string{
		"attr", "batch", "filesizeformat", "groupby", "indent", "reject", "rejectattr", "select", "selectattr", "slice", "striptags",
		"truncate",
	} {
		filter, _ := builtins.Filters.Get(name)
		keepsMarkup := name == "indent" || name == "truncate"
		filters[name] = func(evaluator *exec.Evaluator, in *exec.Value, params *exec.VarArgs) *exec.Value {
			result := filter(evaluator, in, params)
			if isText(result) {
				return marked(result.String(), keepsMarkup && isMarkup(in))
			}
			return result
		}
	}
	return filters
}

// allowedTests are the library's, with our own in their place where Python differs.
func (e *engine) allowedTests() map[string]exec.TestFunction {
	tests := map[string]exec.TestFunction{}
	for _, name := range []string{"boolean", "callable", "false", "lower", "mapping", "sameas", "true", "upper"} {
		tests[name], _ = builtins.Tests.Get(name)
	}
	tests["filter"] = func(_ *exec.Context, in *exec.Value, _ *exec.VarArgs) (bool, error) {
		return e.filters.Exists(in.String()), nil
	}
	tests["test"] = func(_ *exec.Context, in *exec.Value, _ *exec.VarArgs) (bool, error) {
		return e.tests.Exists(in.String()), nil
	}
	is := func(holds func(v *exec.Value) bool) exec.TestFunction {
		return func(_ *exec.Context, in *exec.Value, _ *exec.VarArgs) (bool, error) {
			if in.IsError() {
				return false, in
			}
			return holds(in), nil
		}
	}
	tests["defined"] = is(func(v *exec.Value) bool { return !isUndefined(v) })
	tests["escaped"] = is(isMarkup)
	tests["undefined"] = is(isUndefined)
	tests["none"] = is(func(v *exec.Value) bool { return v.IsNil() && !isUndefined(v) })
	tests["string"] = is(isText)
	tests["iterable"] = is(isIterable)
	tests["sequence"] = is(func(v *exec.Value) bool { return isIterable(v) })
	tests["number"] = is(func(v *exec.Value) bool { _, ok := numberOf(v); return ok })
	tests["integer"] = is(func(v *exec.Value) bool { n, ok := numberOf(v); return ok && n.i != nil && !v.IsBool() })
	tests["float"] = is(func(v *exec.Value) bool { n, ok := numberOf(v); return ok && n.i == nil })
	tests["odd"], tests["even"] = e.remainder(1), e.remainder(0)
	tests["divisibleby"] = func(_ *exec.Context, in *exec.Value, params *exec.VarArgs) (bool, error) {
		rest, err := e.result(nil, "%", in, params.First())
		return err == nil && e.equal(exec.AsValue(rest), exec.AsValue(0)), err
	}
	for operator, names := range map[string][]string{
		"==": {"eq", "equalto", "=="}, "!=": {"ne", "!="}, "<": {"lt", "lessthan", "<"}, "<=": {"le", "<="},
		">": {"gt", "greaterthan", ">"}, ">=": {"ge", ">="}, "in": {"in"},
	} {
		for _, name := range names {
			tests[name] = func(_ *exec.Context, in *exec.Value, params *exec.VarArgs) (bool, error) {
				result, err := e.result(nil, operator, in, params.First())
				holds, _ := result.(bool)
				return holds, err
			}
		}
	}
	return tests
}

// remainder tests whether a number leaves a rest when it is divided by 2.
func (e *engine) remainder(wanted int) exec.TestFunction {
	return func(_ *exec.Context, in *exec.Value, _ *exec.VarArgs) (bool, error) {
		rest, err := e.result(nil, "%", in, exec.AsValue(2))
		return err == nil && e.equal(exec.AsValue(rest), exec.AsValue(wanted)), err
	}
}

// print turns what is printed into the text that Python prints.
func (e *engine) print(_ *exec.Evaluator, in *exec.Value, _ *exec.VarArgs) *exec.Value {
	if in.IsError() {
		return in
	}
	return &exec.Value{Val: reflect.ValueOf(e.str(in)), Safe: isMarkup(in)}
}

// truth is what an if sees. To the library functions, such as caller, are false.
func truth(_ *exec.Evaluator, in *exec.Value, _ *exec.VarArgs) *exec.Value {
	if in.IsCallable() {
		return exec.AsValue(true)
	}
	return in
}

// only takes the one element out of a literal list, as it is.
func only(_ *exec.Evaluator, in *exec.Value, _ *exec.VarArgs) *exec.Value {
	if list, ok := in.Interface().(exec.ValuesList); ok && len(list) == 1 {
		return list[0]
	}
	return in
}

// globalFunctions leaves out lipsum, which is random.
func (e *engine) globalFunctions() map[string]any {
	globals := map[string]any{"none": (*null)(nil), "range": countTo, "dict": e.dictFunction}
	for _, name := range []string{"cycler", "joiner", "namespace"} {
		globals[name], _ = builtins.GlobalFunctions.Get(name)
	}
	return globals
}

func countTo(_ *exec.Evaluator, params *exec.VarArgs) (*exec.Value, error) {
	limits := []int{0, 0, 1}
	for i, argument := range params.Args {
		n, ok := numberOf(argument)
		if !ok || n.i == nil {
			return nil, fmt.Errorf("range() takes whole numbers, not %s", typeName(argument))
		}
		if len(params.Args) == 1 {
			limits[1] = clamped(n)
		} else if i < len(limits) {
			limits[i] = clamped(n)
		}
	}
	if len(params.Args) == 0 || len(params.Args) > len(limits) {
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
	of := span(append(numbers, start, stop, step))
	return exec.AsValue(of[:len(numbers)]), nil
}

// dictFunction orders its keys, since the library hands named arguments over without their order.
func (e *engine) dictFunction(_ *exec.Evaluator, params *exec.VarArgs) (*exec.Value, error) {
	var first *exec.Value
	if len(params.Args) == 1 && params.Args[0].IsDict() {
		first = params.Args[0]
	} else if len(params.Args) > 0 {
		return nil, errors.New("dict() takes a dictionary and named values")
	}
	members, err := e.merged(first, nil, params.KwArgs)
	return exec.AsValue(members), err
}

func sortedNames(named map[string]*exec.Value) []string { return slices.Sorted(maps.Keys(named)) }
