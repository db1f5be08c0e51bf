package jinja

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/nikolalohinski/gonja/v2/nodes"
	"github.com/nikolalohinski/gonja/v2/tokens"
)

// outline makes of a template what the library reads: its texts and tags, with a reference in the place of every
// expression. The library's own grammar of expressions is not Jinja's.
type outline struct {
	scanner
	engine *engine
	open   []string // tags that have not ended
	out    strings.Builder
}

// referenceMark begins the string literals that refer to expressions of the engine. No other string literal comes to
// the library.
const referenceMark = "\x00"

// bodySlot is the name of what is between {% filter %} and its end, or {% set %} and its end.
const bodySlot = "\x00body"

var (
	rawForm    = regexp.MustCompile(`^\{%[-+]?\s*raw\s*-?%\}`)
	rawEndForm = regexp.MustCompile(`\{%[-+]?\s*endraw\s*[-+]?%\}`)
)

// outlined parses the expressions of a template.
func (e *engine) outlined(source string) (outlined string, err error) {
	source = strings.ReplaceAll(strings.ReplaceAll(source, "\r\n", "\n"), "\r", "\n")
	o := &outline{scanner: scanner{source: source, line: 1}, engine: e}
	defer func() {
		if wrong, ok := recover().(error); ok {
			syntax, isSyntax := wrong.(syntaxError)
			if !isSyntax {
				panic(wrong)
			}
			err = syntax
		}
	}()
	for {
		start := o.begin()
		if start < 0 {
			o.out.WriteString(o.rest())
			return o.out.String(), nil
		}
		o.out.WriteString(o.advance(start))
		o.element()
	}
}

// begin is where the next {{, {% or {# is.
func (o *outline) begin() int {
	rest, passed := o.rest(), 0
	for {
		at := strings.IndexByte(rest[passed:], '{')
		if at < 0 || passed+at+1 >= len(rest) {
			return -1
		}
		passed += at
		if strings.IndexByte("{%#", rest[passed+1]) >= 0 {
			return passed
		}
		passed++
	}
}

func (o *outline) element() {
	rest := o.rest()
	if rest[1] == '#' {
		end := strings.Index(rest[2:], "#}")
		if end < 0 {
			o.fail("#} is missing")
		}
		o.out.WriteString(o.advance(end + 4))
		return
	}
	if raw := rawForm.FindString(rest); raw != "" {
		end := rawEndForm.FindStringIndex(rest)
		if end == nil {
			o.fail("endraw is missing")
		}
		o.raw(raw, o.advance(end[1]), end[0])
		return
	}
	opening, closing := rest[:2], "}}"
	if opening == "{%" {
		closing = "%}"
	}
	o.advance(2)
	o.out.WriteString(opening)
	if control := o.rest(); control != "" && (control[0] == '-' || control[0] == '+') {
		o.out.WriteString(strings.TrimPrefix(o.advance(1), "+"))
	}
	line := o.line
	found, trims := o.tokens(closing)
	p := &expressions{engine: o.engine, tokens: found}
	lines := strings.Repeat("\n", o.line-line)
	o.out.WriteByte(' ')
	if opening == "{{" {
		o.out.WriteString(o.reference(p.tuple(true, false), lines))
		p.end()
	} else {
		o.tag(p, lines)
	}
	if p.unknown != nil && !(len(o.open) > 0 && o.open[len(o.open)-1] == "if") {
		panic(p.unknown)
	}
	o.out.WriteByte(' ')
	if trims {
		o.out.WriteByte('-')
	}
	o.out.WriteString(closing)
}

// raw writes a text as it is; only the library's white space is taken away within it here, which it forgets.
func (o *outline) raw(begin, whole string, end int) {
	text, ending := whole[len(begin):end], whole[end:]
	if strings.HasSuffix(begin, "-%}") {
		text = strings.TrimLeft(text, whiteSpace)
	}
	if strings.HasPrefix(ending, "{%-") {
		text = strings.TrimRight(text, whiteSpace)
	}
	o.out.WriteString(strings.TrimSuffix(strings.TrimSuffix(begin, "%}"), "-") + "%}" + text)
	o.out.WriteString("{%" + strings.TrimLeft(ending[2:], "-+"))
}

const whiteSpace = " \t\n\r\v\f"

// reference writes a literal that stands for an expression. It has the line ends that the expression has, so that the
// library counts lines rightly.
func (o *outline) reference(expression nodes.Expression, lines string) string {
	o.engine.expressions = append(o.engine.expressions, expression)
	return `"` + referenceMark + strconv.Itoa(len(o.engine.expressions)-1) + lines + `"`
}

// referred is the expression that a node refers to.
func (e *engine) referred(text string) (nodes.Expression, bool) {
	place, ok := strings.CutPrefix(text, referenceMark)
	if !ok {
		return nil, false
	}
	n, err := strconv.Atoi(strings.TrimRight(place, "\n"))
	if err != nil || n >= len(e.expressions) {
		return nil, false
	}
	return e.expressions[n], true
}

// tag writes what is between {% and %}.
func (o *outline) tag(p *expressions, lines string) {
	tag := p.name()
	o.out.WriteString(tag.text + " ")
	switch tag.text {
	case "if", "elif":
		o.out.WriteString(o.reference(p.tuple(false, false), lines))
	case "do":
		o.out.WriteString(o.reference(p.tuple(true, false), lines))
	case "for":
		o.verbatim(p, func(t token) bool { return t.isName("in") })
		if p.acceptName("in") {
			o.out.WriteString("in " + o.reference(p.tuple(false, false, "recursive", "if"), lines))
		}
		if p.acceptName("if") {
			o.out.WriteString(" if " + o.reference(p.expression(), ""))
		}
		if p.acceptName("recursive") {
			o.out.WriteString(" recursive")
		}
	case "set":
		o.verbatim(p, func(t token) bool { return t.is("=") || t.is("|") })
		switch {
		case p.accept("="):
			o.out.WriteString("= " + o.reference(p.tuple(true, false), lines))
		case p.accept("|"):
			o.out.WriteString("| " + o.reference(p.filters(body()), lines))
			o.open = append(o.open, tag.text)
		default:
			o.open = append(o.open, tag.text)
		}
	case "filter":
		o.out.WriteString(o.reference(p.filters(body()), lines))
	case "call":
		if p.accept("(") {
			o.out.WriteString("(")
			o.parameters(p)
		}
		o.out.WriteString(o.reference(p.expression(), lines))
	case "macro":
		o.verbatim(p, func(t token) bool { return t.is("(") })
		if p.accept("(") {
			o.out.WriteString("(")
			o.parameters(p)
		}
	case "with":
		for p.current().kind == nameToken {
			o.out.WriteString(p.name().text)
			p.expect("=")
			o.out.WriteString(" = " + o.reference(p.expression(), lines))
			lines = ""
			if !p.accept(",") {
				break
			}
			o.out.WriteString(", ")
		}
	case "block", "autoescape", "endblock", "endmacro", "endcall":
		o.verbatim(p, func(token) bool { return false })
	default:
		if tag.text != "else" && !strings.HasPrefix(tag.text, "end") {
			return // the library knows it, or not
		}
	}
	p.end()
	switch tag.text {
	case "if", "for", "filter", "call", "macro", "with", "block", "autoescape":
		o.open = append(o.open, tag.text)
	}
	if ended, ok := strings.CutPrefix(tag.text, "end"); ok && len(o.open) > 0 && o.open[len(o.open)-1] == ended {
		o.open = o.open[:len(o.open)-1]
	}
}

func body() nodes.Expression {
	return &nodes.Name{Name: &tokens.Token{Type: tokens.Name, Val: bodySlot}}
}

// verbatim writes tokens as they are, up to one.
func (o *outline) verbatim(p *expressions, until func(token) bool) {
	for p.current().kind != endToken && !until(p.current()) {
		if t := p.next(); t.kind == textToken {
			o.out.WriteString(`"" `) // no tag takes it
		} else {
			o.out.WriteString(t.text + " ")
		}
	}
}

// parameters writes those of a macro: names that may have defaults.
func (o *outline) parameters(p *expressions) {
	for !p.accept(")") {
		if p.current().kind == textToken || p.current().kind == endToken {
			p.fail("the name of a parameter is expected")
		}
		o.out.WriteString(p.next().text + " ")
		if p.accept("=") {
			o.out.WriteString("=" + o.reference(p.expression(), ""))
		}
		if p.accept(",") {
			o.out.WriteString(", ")
		}
	}
	o.out.WriteString(") ")
}
