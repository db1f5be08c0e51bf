package jinja

import (
	"github.com/nikolalohinski/gonja/v2/nodes"
)

// postfix is what stands directly behind a value: attributes, elements, calls.
func (p *expressions) postfix(expression nodes.Expression) nodes.Expression {
	for {
		switch t := p.current(); {
		case t.is("."):
			p.next()
			expression = p.attribute(expression, p.next())
		case t.is("["):
			p.next()
			expression = p.subscript(expression, t)
		case t.is("("):
			expression = p.call(expression)
		default:
			return expression
		}
	}
}

func (p *expressions) attribute(expression nodes.Expression, name token) nodes.Expression {
	switch {
	case name.kind == integerToken:
		return filtered(expression, itemFilter, literalNumber(name))
	case name.kind != nameToken:
		panic(syntaxError{name.line, "expected a name instead of " + name.String()})
	}
	text := &nodes.String{Location: name.located(), Val: name.text}
	if !p.current().is("(") || !isMethod(name.text) {
		return filtered(expression, dotFilter, text)
	}
	args, kwargs := p.arguments()
	call := filtered(expression, methodFilter, append([]nodes.Expression{text}, args...)...)
	call.Filters[0].Kwargs = kwargs
	return call
}

func (p *expressions) subscript(expression nodes.Expression, open token) nodes.Expression {
	var keys []nodes.Expression
	for !p.accept("]") {
		if len(keys) > 0 {
			p.expect(",")
		}
		var bounds [3]nodes.Expression
		if !p.current().is(":") {
			bounds[0] = p.expression()
		}
		if p.current().is(":") {
			for i := 1; i < len(bounds) && p.accept(":"); i++ {
				if !p.current().is(":") && !p.current().is("]") {
					bounds[i] = p.expression()
				}
			}
			for i := range bounds {
				if bounds[i] == nil {
					bounds[i] = filtered(&nodes.None{Location: open.located()}, nullFilter)
				}
			}
			p.expect("]")
			return filtered(expression, sliceFilter, bounds[:]...)
		}
		keys = append(keys, bounds[0])
	}
	if len(keys) == 1 {
		return filtered(expression, itemFilter, keys[0])
	}
	return filtered(expression, itemFilter, filtered(&nodes.List{Location: open.located(), Val: keys}, tupleFilter))
}

func (p *expressions) call(function nodes.Expression) nodes.Expression {
	location := p.current().located()
	args, kwargs := p.arguments()
	if name, ok := function.(*nodes.Name); ok && name.Name.Val == loopName {
		call := filtered(function, loopFilter, args...)
		call.Filters[0].Kwargs = kwargs
		return call
	}
	return &nodes.Call{Location: location, Func: function, Args: args, Kwargs: kwargs}
}

func (p *expressions) arguments() ([]nodes.Expression, map[string]nodes.Expression) {
	args, kwargs := []nodes.Expression{}, map[string]nodes.Expression{}
	p.expect("(")
	for !p.accept(")") {
		if len(args)+len(kwargs) > 0 {
			if p.expect(","); p.accept(")") {
				break
			}
		}
		switch {
		case p.current().is("*"), p.current().is("**"):
			p.fail("the arguments of a call are given one by one, not with %s", p.current())
		case p.current().kind == nameToken && p.look().is("="):
			key := p.next().text
			p.next()
			kwargs[key] = p.expression()
		case len(kwargs) > 0:
			p.fail("an argument without a name follows one with a name")
		default:
			args = append(args, p.expression())
		}
	}
	return args, kwargs
}

// filter is what stands behind |.
func (p *expressions) filter(expression nodes.Expression) nodes.Expression {
	name := p.name()
	call := &nodes.FilterCall{Token: name.located(), Name: name.text + p.dotted()}
	if !p.engine.filters.Exists(call.Name) && p.unknown == nil {
		p.unknown = syntaxError{name.line, "filter '" + call.Name + "' not found"}
	}
	if p.current().is("(") {
		call.Args, call.Kwargs = p.arguments()
	}
	return &nodes.FilteredExpression{Expression: expression, Filters: []*nodes.FilterCall{call}}
}

// filters is a chain of them, of which the first has no | before it.
func (p *expressions) filters(expression nodes.Expression) nodes.Expression {
	expression = p.filter(expression)
	for p.accept("|") {
		expression = p.filter(expression)
	}
	return expression
}

func (p *expressions) dotted() string {
	name := ""
	for p.accept(".") {
		name += "." + p.name().text
	}
	return name
}

// test is what begins with is. Its one argument may stand without parentheses.
func (p *expressions) test(expression nodes.Expression) nodes.Expression {
	p.next()
	negated := p.acceptName("not")
	name := p.name()
	call := &nodes.TestCall{Token: name.located(), Name: name.text + p.dotted(), Args: []nodes.Expression{}}
	if !p.engine.tests.Exists(call.Name) && p.unknown == nil {
		p.unknown = syntaxError{name.line, "test '" + call.Name + "' not found"}
	}
	switch t := p.current(); {
	case t.is("("):
		call.Args, call.Kwargs = p.arguments()
	case t.isName("is"):
		p.fail("a test cannot follow a test")
	case t.isName("else", "or", "and", "if", "in", "not"):
	case t.kind == nameToken, t.kind == textToken, t.kind == integerToken, t.kind == floatToken, t.is("["), t.is("{"):
		call.Args = []nodes.Expression{p.postfix(p.primary())}
	}
	var test nodes.Expression = &nodes.TestExpression{Expression: expression, Test: call}
	if negated {
		test = filtered(test, notFilter)
	}
	return test
}
