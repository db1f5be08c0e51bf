package jinja

import (
	"errors"
	"fmt"
	"math/big"
	"strings"

	"github.com/nikolalohinski/gonja/v2/exec"
)

// operate is a + b and its like: params are the operator and b.
func (e *engine) operate(evaluator *exec.Evaluator, a *exec.Value, params *exec.VarArgs) *exec.Value {
	if a.IsError() {
		return a
	}
	operator, b := params.Args[0].String(), params.Args[1]
	if operator == "~" {
		return e.joined(a, b, evaluator.Config.AutoEscape)
	}
	result, err := e.result(evaluator, operator, a, b)
	if err != nil {
		return exec.AsValue(err)
	}
	if joined, ok := result.(*exec.Value); ok {
		return joined
	}
	return exec.AsValue(result)
}

func (e *engine) result(evaluator *exec.Evaluator, operator string, a, b *exec.Value) (any, error) {
	switch operator {
	case "==":
		return e.equal(a, b), nil
	case "!=":
		return !e.equal(a, b), nil
	case "in":
		return e.contains(b, a)
	}
	for _, v := range []*exec.Value{a, b} {
		if isUndefined(v) {
			return nil, errors.New("one side of " + operator + " is undefined")
		}
	}
	if isComparison(operator) {
		return e.ordered(operator, a, b)
	}
	if operator == "%" && isText(a) {
		text, err := e.printf(a, formatArguments(b), b)
		if err != nil {
			return nil, err
		}
		return text, nil
	}
	x, isNumber := numberOf(a)
	y, areNumbers := numberOf(b)
	switch {
	case isNumber && areNumbers:
		return calculate(operator, x, y)
	case operator == "+" && isText(a) && isText(b):
		return e.joined(a, b, true), nil
	case operator == "+" && a.IsList() && b.IsList() && listKind(a) == listKind(b) && isSequence(a):
		return sequenceLike(a, append(e.elements(a), e.elements(b)...)), nil
	case operator == "*" && isNumber && x.i != nil:
		return e.repeated(b, a, x.i)
	case operator == "*" && areNumbers && y.i != nil:
		return e.repeated(a, b, y.i)
	}
	return nil, unsupported(operator, a, b)
}

// isSequence says whether a list can be added to, repeated and ordered.
func isSequence(v *exec.Value) bool {
	kind := listKind(v)
	return kind == "list" || kind == "tuple"
}

func unsupported(operator string, a, b *exec.Value) error {
	return fmt.Errorf("there is no %s between %s and %s", operator, typeName(a), typeName(b))
}

// joined is a ~ b and, of texts, a + b. If one of them is markup, what is beside it is escaped.
func (e *engine) joined(a, b *exec.Value, safe bool) *exec.Value {
	safe = safe && (isMarkup(a) || isMarkup(b))
	return marked(e.markupOf(a, safe)+e.markupOf(b, safe), safe)
}

// markupOf is a value's text, escaped unless it is markup or nothing shall be.
func (e *engine) markupOf(v *exec.Value, escape bool) string {
	if !escape || isMarkup(v) {
		return e.str(v)
	}
	return escaped(e.str(v))
}

// escaped is a text as HTML shows it.
func escaped(text string) string { return htmlEscapes.Replace(text) }

var htmlEscapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&#34;", "'", "&#39;")

// repeated is a text or list times an integer.
func (e *engine) repeated(v, times *exec.Value, n *big.Int) (any, error) {
	if !isText(v) && !(v.IsList() && isSequence(v)) {
		return nil, unsupported("*", v, times)
	}
	count := 0
	if n.Sign() > 0 {
		const most = 1 << 26
		size := max(1, len(v.String()))
		if v.IsList() {
			size = max(1, v.Len()) * 16
		}
		if !n.IsInt64() || n.Int64() > most*16/int64(size) {
			return nil, errors.New("the repetition needs more memory than a template may have")
		}
		count = int(n.Int64())
	}
	if isText(v) {
		return marked(strings.Repeat(v.String(), count), isMarkup(v)), nil
	}
	elements := e.elements(v)
	all := make([]any, 0, len(elements)*count)
	for range count {
		all = append(all, elements...)
	}
	return sequenceLike(v, all), nil
}

func (e *engine) ordered(operator string, a, b *exec.Value) (bool, error) {
	order, err := e.compare(a, b)
	if err != nil {
		return false, err
	}
	switch operator {
	case "<":
		return order < 0, nil
	case "<=":
		return order <= 0, nil
	case ">":
		return order > 0, nil
	default:
		return order >= 0, nil
	}
}

// compare orders numbers, texts, and lists of them.
func (e *engine) compare(a, b *exec.Value) (int, error) {
	x, isNumber := numberOf(a)
	y, areNumbers := numberOf(b)
	switch {
	case isNumber && areNumbers:
		return x.compare(y), nil
	case isText(a) && isText(b):
		return strings.Compare(a.String(), b.String()), nil
	case a.IsList() && b.IsList() && listKind(a) == listKind(b) && isSequence(a):
		left, right := e.elements(a), e.elements(b)
		for i := range min(len(left), len(right)) {
			l, r := exec.ToValue(left[i]), exec.ToValue(right[i])
			if !e.equal(l, r) {
				return e.compare(l, r)
			}
		}
		return len(left) - len(right), nil
	default:
		return 0, fmt.Errorf("there is no order between %s and %s", typeName(a), typeName(b))
	}
}

// equal is Python's ==.
func (e *engine) equal(a, b *exec.Value) bool {
	x, isNumber := numberOf(a)
	y, areNumbers := numberOf(b)
	switch {
	case isNumber || areNumbers:
		return isNumber && areNumbers && x.compare(y) == 0
	case a.IsNil() || b.IsNil():
		return a.IsNil() && b.IsNil() && isUndefined(a) == isUndefined(b)
	case isText(a) && isText(b):
		return a.String() == b.String()
	case a.IsList() && b.IsList():
		left, right := e.elements(a), e.elements(b)
		if len(left) != len(right) || listKind(a) != listKind(b) {
			return false
		}
		for i := range left {
			if !e.equal(exec.ToValue(left[i]), exec.ToValue(right[i])) {
				return false
			}
		}
		return true
	case a.IsDict() && b.IsDict():
		left, right := e.pairs(a), e.pairs(b)
		if len(left) != len(right) {
			return false
		}
		for _, pair := range left {
			other, ok := e.member(b, pair[0])
			if !ok || !e.equal(pair[1], other) {
				return false
			}
		}
		return true
	default:
		return a.IsCallable() && b.IsCallable() && a.Val.Pointer() == b.Val.Pointer()
	}
}

// contains is item in container.
func (e *engine) contains(container, item *exec.Value) (bool, error) {
	switch {
	case isUndefined(container):
		return false, nil
	case isText(container):
		if !isText(item) {
			return false, fmt.Errorf("%s cannot be in a string", typeName(item))
		}
		return strings.Contains(container.String(), item.String()), nil
	case container.IsList():
		for _, element := range e.elements(container) {
			if e.equal(exec.ToValue(element), item) {
				return true, nil
			}
		}
		return false, nil
	case container.IsDict():
		_, ok := e.member(container, item)
		return ok, nil
	default:
		return false, fmt.Errorf("nothing can be in %s", typeName(container))
	}
}

// sign is -a or +a.
func (e *engine) sign(_ *exec.Evaluator, a *exec.Value, params *exec.VarArgs) *exec.Value {
	if a.IsError() {
		return a
	}
	n, ok := numberOf(a)
	if !ok {
		return exec.AsValue(fmt.Errorf("%s has no sign", typeName(a)))
	}
	if n.i == nil && params.First().Bool() {
		return exec.AsValue(-n.f)
	}
	if n.i == nil {
		return exec.AsValue(n.f)
	}
	if params.First().Bool() {
		n.i = new(big.Int).Neg(n.i)
	}
	result, err := integerValue(n.i)
	if err != nil {
		return exec.AsValue(err)
	}
	return exec.AsValue(result)
}

func (e *engine) not(_ *exec.Evaluator, a *exec.Value, _ *exec.VarArgs) *exec.Value {
	if a.IsError() {
		return a
	}
	return exec.AsValue(!a.IsTrue())
}
