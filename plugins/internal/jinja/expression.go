package jinja

import (
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/nikolalohinski/gonja/v2/nodes"
	"github.com/nikolalohinski/gonja/v2/tokens"
)

// expressions parses the tokens of a tag by the grammar of Jinja's expressions. What it makes are nodes of the library,
// with the engine's own filters where the library evaluates otherwise than Python. It panics with a syntaxError.
type expressions struct {
	engine  *engine
	tokens  []token // the last is the end
	at      int
	unknown error // a filter or test that does not exist, where it is used without a condition
}

func (p *expressions) current() token { return p.tokens[p.at] }

func (p *expressions) next() token {
	t := p.tokens[p.at]
	p.at = min(p.at+1, len(p.tokens)-1)
	return t
}

func (p *expressions) look() token { return p.tokens[min(p.at+1, len(p.tokens)-1)] }

func (t token) is(operator string) bool { return t.kind == operatorToken && t.text == operator }
func (t token) isName(names ...string) bool {
	return t.kind == nameToken && slices.Contains(names, t.text)
}

func (p *expressions) accept(operator string) bool {
	if p.current().is(operator) {
		p.next()
		return true
	}
	return false
}

func (p *expressions) acceptName(name string) bool {
	if p.current().isName(name) {
		p.next()
		return true
	}
	return false
}

func (p *expressions) expect(operator string) {
	if !p.accept(operator) {
		p.fail("expected %q instead of %s", operator, p.current())
	}
}

func (p *expressions) name() token {
	if p.current().kind != nameToken {
		p.fail("expected a name instead of %s", p.current())
	}
	return p.next()
}

func (p *expressions) fail(format string, arguments ...any) {
	panic(syntaxError{p.current().line, fmt.Sprintf(format, arguments...)})
}

// end is where a tag's expressions must have ended.
func (p *expressions) end() {
	if p.current().kind != endToken {
		p.fail("unexpected %s", p.current())
	}
}

// expression is one with or without a condition.
func (p *expressions) expression() nodes.Expression {
	before := p.unknown
	p.unknown = nil
	expression := p.or()
	for p.acceptName("if") {
		condition := p.or()
		var otherwise nodes.Expression = &nodes.Name{Name: &tokens.Token{Type: tokens.Name, Val: undefinedSlot}}
		if p.acceptName("else") {
			otherwise = p.expression()
		}
		expression = choice(condition, expression, otherwise)
		p.unknown = nil // only what is evaluated is looked up
	}
	if before != nil {
		p.unknown = before
	}
	return expression
}

// undefinedSlot is a name that nothing has.
const undefinedSlot = "\x00undefined"

// choice is one if condition else the other. The library evaluates the sides of and and or only where they count.
func choice(condition, one, other nodes.Expression) nodes.Expression {
	list := func(n nodes.Expression) nodes.Expression {
		return &nodes.List{Location: n.Position(), Val: []nodes.Expression{n}}
	}
	chosen := logical(tokens.And, filtered(condition, truthFilter), list(one))
	return filtered(logical(tokens.Or, chosen, list(other)), onlyFilter)
}

func logical(operator tokens.Type, left, right nodes.Expression) nodes.Expression {
	name := map[tokens.Type]string{tokens.And: "and", tokens.Or: "or"}[operator]
	return &nodes.BinaryExpression{Left: left, Operator: &nodes.BinOperator{Token: &tokens.Token{Type: operator, Val: name}}, Right: right}
}

// tuple is an expression, or several with commas. Without conditions, an if stands behind it.
func (p *expressions) tuple(conditions, parentheses bool, ends ...string) nodes.Expression {
	first, isTuple := p.current(), false
	var elements []nodes.Expression
	for p.current().kind != endToken && !p.current().is(")") && !p.current().isName(ends...) {
		if conditions {
			elements = append(elements, p.expression())
		} else {
			elements = append(elements, p.or())
		}
		if !p.accept(",") {
			break
		}
		isTuple = true
	}
	if !isTuple && len(elements) == 1 {
		return elements[0]
	}
	if !isTuple && !parentheses {
		p.fail("expected an expression instead of %s", p.current())
	}
	return filtered(&nodes.List{Location: first.located(), Val: elements}, tupleFilter)
}

func (p *expressions) or() nodes.Expression {
	left := p.and()
	for p.acceptName("or") {
		left = logical(tokens.Or, left, p.and())
	}
	return left
}

func (p *expressions) and() nodes.Expression {
	left := p.not()
	for p.acceptName("and") {
		left = logical(tokens.And, left, p.not())
	}
	return left
}

func (p *expressions) not() nodes.Expression {
	if p.acceptName("not") {
		return filtered(p.not(), notFilter)
	}
	return p.comparison()
}

func (p *expressions) comparison() nodes.Expression {
	left := p.sum()
	var all nodes.Expression
	for {
		operator, negated := p.current(), false
		switch {
		case operator.kind == operatorToken && isComparison(operator.text), operator.isName("in"):
			p.next()
		case operator.isName("not") && p.look().isName("in"):
			p.next()
			operator, negated = p.next(), true
		case all == nil:
			return left
		default:
			return all
		}
		right := p.sum()
		comparison := operate(left, operator.located(), right)
		if negated {
			comparison = filtered(comparison, notFilter)
		}
		if left = right; all == nil {
			all = comparison
		} else { // a < b < c is a < b and b < c
			all = logical(tokens.And, all, comparison)
		}
	}
}

func (p *expressions) sum() nodes.Expression    { return p.binary(p.joined, "+", "-") }
func (p *expressions) joined() nodes.Expression { return p.binary(p.product, "~") }
func (p *expressions) product() nodes.Expression {
	return p.binary(p.power, "*", "/", "//", "%")
}

func (p *expressions) power() nodes.Expression {
	return p.binary(func() nodes.Expression { return p.unary(true) }, "**")
}

func (p *expressions) binary(operand func() nodes.Expression, operators ...string) nodes.Expression {
	left := operand()
	for t := p.current(); t.kind == operatorToken && slices.Contains(operators, t.text); t = p.current() {
		p.next()
		left = operate(left, t.located(), operand())
	}
	return left
}

func operate(left nodes.Expression, operator *tokens.Token, right nodes.Expression) nodes.Expression {
	expression := filtered(left, operateFilter, &nodes.String{Location: operator, Val: operator.Val}, right)
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

func (p *expressions) unary(filters bool) nodes.Expression {
	var expression nodes.Expression
	switch t := p.current(); {
	case t.is("-"), t.is("+"):
		p.next()
		expression = filtered(p.unary(false), signFilter, &nodes.Bool{Location: t.located(), Val: t.text == "-"})
	default:
		expression = p.primary()
	}
	expression = p.postfix(expression)
	for filters {
		switch t := p.current(); {
		case t.is("|"):
			p.next()
			expression = p.filter(expression)
		case t.isName("is"):
			expression = p.test(expression)
		case t.is("("):
			expression = p.call(expression)
		default:
			filters = false
		}
	}
	return expression
}

func (p *expressions) primary() nodes.Expression {
	t := p.next()
	switch {
	case t.isName("true", "True", "false", "False"):
		return &nodes.Bool{Location: t.located(), Val: strings.EqualFold(t.text, "true")}
	case t.isName("none", "None"):
		return filtered(&nodes.None{Location: t.located()}, nullFilter)
	case t.kind == nameToken:
		return &nodes.Name{Name: t.located()}
	case t.kind == textToken:
		text := &nodes.String{Location: t.located(), Val: t.text}
		for p.current().kind == textToken {
			text.Val += p.next().text
		}
		return text
	case t.kind == integerToken, t.kind == floatToken:
		return literalNumber(t)
	case t.is("("):
		inner := p.tuple(true, true)
		p.expect(")")
		return inner
	case t.is("["):
		list := &nodes.List{Location: t.located()}
		for !p.accept("]") {
			if len(list.Val) > 0 {
				if p.expect(","); p.accept("]") {
					break
				}
			}
			list.Val = append(list.Val, p.expression())
		}
		return filtered(list, listFilter)
	case t.is("{"):
		dict := &nodes.Dict{Token: t.located(), Pairs: []*nodes.Pair{}}
		for !p.accept("}") {
			if len(dict.Pairs) > 0 {
				if p.expect(","); p.accept("}") {
					break
				}
			}
			key := p.expression()
			p.expect(":")
			dict.Pairs = append(dict.Pairs, &nodes.Pair{Key: key, Value: p.expression()})
		}
		return filtered(dict, dictFilter)
	default:
		panic(syntaxError{t.line, "unexpected " + t.String()})
	}
}

// literalNumber is a literal number.
func literalNumber(t token) nodes.Expression {
	text := strings.ReplaceAll(t.text, "_", "")
	if t.kind == floatToken {
		f, _ := strconv.ParseFloat(text, 64) // infinite, as in Python
		return &nodes.Float{Location: t.located(), Val: f}
	}
	if n, err := strconv.ParseInt(text, 0, strconv.IntSize); err == nil {
		return &nodes.Integer{Location: t.located(), Val: int(n)}
	}
	n, _ := new(big.Int).SetString(text, 0)
	if n == nil || n.BitLen() > maxBits {
		panic(syntaxError{t.line, errTooLarge.Error()})
	}
	return filtered(&nodes.String{Location: t.located(), Val: n.String()}, numberFilter)
}
