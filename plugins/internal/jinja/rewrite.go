package jinja

import (
	"reflect"
	"strings"
	"unsafe"

	controls "github.com/nikolalohinski/gonja/v2/builtins/control_structures"
	"github.com/nikolalohinski/gonja/v2/nodes"
	"github.com/nikolalohinski/gonja/v2/tokens"
)

// The engine's own filters. No template can spell their names.
const (
	printFilter   = "\x00print"   // what is printed
	eachFilter    = "\x00each"    // what is looped over
	nullFilter    = "\x00null"    // none
	listFilter    = "\x00list"    // [1, 2]
	tupleFilter   = "\x00tuple"   // (1, 2)
	dictFilter    = "\x00dict"    // {"a": 1}
	operateFilter = "\x00operate" // a + b
	signFilter    = "\x00sign"    // -a
	truthFilter   = "\x00truth"   // if a
	notFilter     = "\x00not"     // not a
	itemFilter    = "\x00item"    // a[b]
	dotFilter     = "\x00dot"     // a.b
	sliceFilter   = "\x00slice"   // a[b:c]
	methodFilter  = "\x00method"  // a.b(c)
)

// rewriter puts the engine's own filters in the place of expressions that the library evaluates otherwise than Python.
// The library's nodes are reached by reflection: its tags keep their expressions in unexported fields.
type rewriter struct {
	source string // of the template
	seen   map[uintptr]bool
}

func rewrite(source string, list []nodes.Node) {
	r := &rewriter{source: source, seen: map[uintptr]bool{}}
	r.walk(reflect.ValueOf(list))
}

var (
	tokenType  = reflect.TypeFor[*tokens.Token]()
	outputType = reflect.TypeFor[*nodes.Output]()
	ifType     = reflect.TypeFor[*controls.IfControlStructure]()
	loopType   = reflect.TypeFor[*controls.ForControlStructure]()
)

func (r *rewriter) walk(v reflect.Value) {
	switch v.Kind() {
	case reflect.Interface:
		if v.IsNil() {
			return
		}
		r.walk(v.Elem())
		if !v.CanSet() {
			return
		}
		if expression, ok := v.Elem().Interface().(nodes.Expression); ok {
			if replacement := r.replaced(expression); replacement != nil {
				v.Set(reflect.ValueOf(replacement))
			}
		}
	case reflect.Pointer:
		if v.IsNil() || v.Type() == tokenType || r.seen[v.Pointer()] {
			return
		}
		r.seen[v.Pointer()] = true
		r.walk(v.Elem())
		switch v.Type() {
		case outputType:
			output := v.Interface().(*nodes.Output)
			output.Expression = filtered(output.Expression, printFilter)
			if output.Alternative != nil {
				output.Alternative = filtered(output.Alternative, printFilter)
			}
		case ifType:
			tag := v.Interface().(*controls.IfControlStructure)
			for i, condition := range tag.Conditions {
				tag.Conditions[i] = filtered(condition, truthFilter)
			}
		case loopType:
			loop := v.Interface().(*controls.ForControlStructure)
			loop.ObjectEvaluator = filtered(loop.ObjectEvaluator, eachFilter, &nodes.Bool{Val: loop.Value != ""})
		}
	case reflect.Struct:
		for i := range v.NumField() {
			field := v.Field(i)
			if !field.CanSet() && field.CanAddr() {
				field = reflect.NewAt(field.Type(), unsafe.Pointer(field.UnsafeAddr())).Elem()
			}
			r.walk(field)
		}
	case reflect.Slice:
		for i := range v.Len() {
			r.walk(v.Index(i))
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			element := reflect.New(v.Type().Elem()).Elem()
			element.Set(v.MapIndex(key))
			r.walk(element)
			v.SetMapIndex(key, element)
		}
	}
}

// replaced is what stands for an expression, nil for itself. What is inside of it has been replaced already.
func (r *rewriter) replaced(expression nodes.Expression) nodes.Expression {
	switch n := expression.(type) {
	case *nodes.None:
		return filtered(n, nullFilter)
	case *nodes.List:
		return filtered(n, listFilter)
	case *nodes.Tuple:
		return filtered(&nodes.List{Location: n.Location, Val: n.Val}, tupleFilter)
	case *nodes.Dict:
		return filtered(n, dictFilter)
	case *nodes.BinaryExpression:
		return r.operation(n)
	case *nodes.UnaryExpression:
		return filtered(n.Term, signFilter, &nodes.Bool{Val: n.Negative})
	case *nodes.Negation:
		return filtered(n.Term, notFilter)
	case *nodes.GetItem:
		if n.Arg != nil {
			return filtered(n.Node, itemFilter, n.Arg)
		}
	case *nodes.GetAttribute:
		if n.Attribute == "" {
			return filtered(n.Node, itemFilter, &nodes.Integer{Val: n.Index})
		}
		return filtered(n.Node, dotFilter, &nodes.String{Val: n.Attribute})
	case *nodes.GetSlice:
		return filtered(n.Node, sliceFilter, bound(n.Start), bound(n.End), bound(n.Step))
	case *nodes.FilteredExpression:
		// The library takes a in b | c for (a in b) | c.
		inner := n.Expression
		if not, ok := inner.(*nodes.FilteredExpression); ok && not.Filters[0].Name == notFilter {
			inner = not.Expression
		}
		test, ok := inner.(*nodes.TestExpression)
		if ok && test.Test.Name == "in" && len(test.Test.Args) == 1 && !r.inParentheses(test.Test.Token, r.pipe(n.Filters[0].Token)) {
			test.Test.Args[0] = &nodes.FilteredExpression{Expression: test.Test.Args[0], Filters: n.Filters}
			return n.Expression
		}
	case *nodes.Call:
		dot, ok := n.Func.(*nodes.FilteredExpression)
		if !ok || len(dot.Filters) != 1 || dot.Filters[0].Name != dotFilter {
			return nil
		}
		name := dot.Filters[0].Args[0]
		if isMethod(name.(*nodes.String).Val) {
			call := filtered(dot.Expression, methodFilter, append([]nodes.Expression{name}, n.Args...)...)
			call.Filters[0].Kwargs = n.Kwargs
			return call
		}
	}
	return nil
}

func (r *rewriter) operation(n *nodes.BinaryExpression) nodes.Expression {
	operator := n.Operator.Token
	if operator.Type == tokens.And || operator.Type == tokens.Or {
		return nil
	}
	if isComparison(operator.Val) {
		// a < b < c is a < b and b < c.
		if before := lastComparison(n.Left); before != nil && !r.inParentheses(before.Token, operator) {
			and := &nodes.BinOperator{Token: &tokens.Token{Type: tokens.And, Val: "and"}}
			return &nodes.BinaryExpression{Left: n.Left, Operator: and, Right: operate(before.Args[1], operator, n.Right)}
		}
	}
	return operate(n.Left, operator, n.Right)
}

func operate(left nodes.Expression, operator *tokens.Token, right nodes.Expression) nodes.Expression {
	expression := filtered(left, operateFilter, &nodes.String{Val: operator.Val}, right)
	expression.Filters[0].Token = operator
	return expression
}

func isComparison(operator string) bool {
	switch operator {
	case "==", "!=", "<", "<=", ">", ">=":
		return true
	}
	return false
}

// lastComparison is an expression that compares, or the last of those that it is a chain of; nil of others.
func lastComparison(expression nodes.Expression) *nodes.FilterCall {
	switch n := expression.(type) {
	case *nodes.BinaryExpression:
		return lastComparison(n.Right)
	case *nodes.FilteredExpression:
		if f := n.Filters[0]; len(n.Filters) == 1 && f.Name == operateFilter && isComparison(f.Token.Val) {
			return f
		}
	}
	return nil
}

// inParentheses says whether an operation before another operator stands in parentheses, which the library forgets.
func (r *rewriter) inParentheses(operation, before *tokens.Token) bool {
	if before.Pos > len(r.source) || !strings.HasSuffix(strings.TrimRight(r.source[:before.Pos], " \t\r\n"), ")") {
		return false
	}
	open := 0
	for i := before.Pos - 1; i >= 0; i-- {
		switch r.source[i] {
		case ')':
			open++
		case '(':
			if open--; open == 0 {
				return i < operation.Pos
			}
		}
	}
	return false
}

// pipe is the | before a filter's name.
func (r *rewriter) pipe(filter *tokens.Token) *tokens.Token {
	if filter == nil || filter.Pos > len(r.source) {
		return &tokens.Token{}
	}
	return &tokens.Token{Pos: max(strings.LastIndexByte(r.source[:filter.Pos], '|'), 0)}
}

// bound is a side of a slice; null where there is none.
func bound(n nodes.Node) nodes.Expression {
	if n == nil {
		return filtered(&nodes.None{}, nullFilter)
	}
	return n
}

func filtered(expression nodes.Expression, name string, arguments ...nodes.Expression) *nodes.FilteredExpression {
	return &nodes.FilteredExpression{Expression: expression, Filters: []*nodes.FilterCall{{Name: name, Args: arguments}}}
}
