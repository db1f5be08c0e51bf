package jinja

import (
	"errors"
	"fmt"

	"github.com/nikolalohinski/gonja/v2/exec"
	"github.com/nikolalohinski/gonja/v2/nodes"
	"github.com/nikolalohinski/gonja/v2/parser"
	"github.com/nikolalohinski/gonja/v2/tokens"
)

// loopTag is {% for a, (b, c) in d if e recursive %}body{% else %}nothing{% endfor %}.
type loopTag struct {
	engine    *engine
	location  *tokens.Token
	target    target
	over      nodes.Expression
	condition nodes.Expression // nil: none
	recursive bool
	body      *nodes.Wrapper
	nothing   *nodes.Wrapper // nil: none
}

// loopName is what the body finds its loop by.
const loopName = "loop"

func (e *engine) parseFor(p *parser.Parser, args *parser.Parser) (nodes.ControlStructure, error) {
	l := &loopTag{engine: e, location: p.Current()}
	var err error
	if l.target, err = parseTargets(args); err != nil {
		return nil, err
	}
	if args.Match(tokens.In) == nil {
		return nil, args.Error("expected 'in'", nil)
	}
	if l.over, err = args.ParseExpression(); err != nil {
		return nil, err
	}
	if args.MatchName("if") != nil {
		if l.condition, err = args.ParseExpression(); err != nil {
			return nil, err
		}
	}
	l.recursive = args.MatchName("recursive") != nil
	if !args.End() {
		return nil, args.Error("the loop is malformed", nil)
	}
	if l.body, _, err = p.WrapUntil("else", "endfor"); err == nil && l.body.EndTag == "else" {
		l.nothing, _, err = p.WrapUntil("endfor")
	}
	return l, err
}

func (l *loopTag) Position() *tokens.Token { return l.location }
func (l *loopTag) String() string          { return "for" }

// Execute writes the body for each element.
func (l *loopTag) Execute(r *exec.Renderer, _ *nodes.ControlStructureBlock) error {
	over := r.Eval(l.over)
	if over.IsError() {
		return over
	}
	return l.run(r, over, 0)
}

func (l *loopTag) run(r *exec.Renderer, over *exec.Value, depth int) error {
	if !isIterable(over) {
		return fmt.Errorf("%s cannot be looped over", typeName(over))
	}
	elements, err := l.chosen(r, l.engine.elements(over))
	if err != nil {
		return err
	}
	if len(elements) == 0 {
		if l.nothing == nil {
			return nil
		}
		return r.ExecuteWrapper(l.nothing)
	}
	state := &loop{tag: l, renderer: r, elements: elements, depth: depth}
	for i, element := range elements {
		state.at = i
		sub := r.Inherit()
		if err := l.engine.assign(sub, l.target, exec.ToValue(element)); err != nil {
			return err
		}
		sub.Environment.Context.Set(loopName, state)
		if err := sub.ExecuteWrapper(l.body); err != nil {
			return err
		}
	}
	return nil
}

// chosen are the elements for which the condition holds.
func (l *loopTag) chosen(r *exec.Renderer, elements []any) ([]any, error) {
	if l.condition == nil {
		return elements, nil
	}
	var chosen []any
	for _, element := range elements {
		sub := r.Inherit()
		if err := l.engine.assign(sub, l.target, exec.ToValue(element)); err != nil {
			return nil, err
		}
		holds := sub.Eval(filtered(l.condition, truthFilter))
		if holds.IsError() {
			return nil, holds
		}
		if holds.IsTrue() {
			chosen = append(chosen, element)
		}
	}
	return chosen, nil
}

// loop is what a body sees of its loop.
type loop struct {
	tag      *loopTag
	renderer *exec.Renderer // of what is around it
	elements []any
	at       int
	depth    int   // of the recursion
	last     tuple // what changed() was asked for before
}

// String is how Python prints it.
func (l *loop) String() string { return fmt.Sprintf("<LoopContext %d/%d>", l.at+1, len(l.elements)) }

// GetAttribute gives loop.index and its like.
func (l *loop) GetAttribute(name string) (*exec.Value, bool) {
	length := len(l.elements)
	switch name {
	case "index":
		return exec.AsValue(l.at + 1), true
	case "index0":
		return exec.AsValue(l.at), true
	case "revindex":
		return exec.AsValue(length - l.at), true
	case "revindex0":
		return exec.AsValue(length - l.at - 1), true
	case "first":
		return exec.AsValue(l.at == 0), true
	case "last":
		return exec.AsValue(l.at == length-1), true
	case "length":
		return exec.AsValue(length), true
	case "depth":
		return exec.AsValue(l.depth + 1), true
	case "depth0":
		return exec.AsValue(l.depth), true
	case "previtem":
		return l.element(l.at - 1), true
	case "nextitem":
		return l.element(l.at + 1), true
	case "cycle":
		return exec.AsValue(l.cycle), true
	case "changed":
		return exec.AsValue(l.changed), true
	default:
		return nil, false
	}
}

// element is one of the others; undefined where there is none.
func (l *loop) element(at int) *exec.Value {
	if at < 0 || at >= len(l.elements) {
		return exec.AsValue(nil)
	}
	return exec.ToValue(l.elements[at])
}

func (l *loop) cycle(given *exec.VarArgs) *exec.Value {
	if len(given.Args) == 0 {
		return exec.AsValue(errors.New("cycle() takes values"))
	}
	return given.Args[l.at%len(given.Args)]
}

func (l *loop) changed(given *exec.VarArgs) *exec.Value {
	values := tuple{}
	for _, v := range given.Args {
		values = append(values, v.Interface())
	}
	same := l.last != nil && l.tag.engine.equal(exec.AsValue(l.last), exec.AsValue(values))
	l.last = values
	return exec.AsValue(!same)
}

// again is loop(…) in a recursive loop: the text of the loop over something else.
func (l *loop) again(over *exec.Value) (*exec.Value, error) {
	e := l.tag.engine
	if !l.tag.recursive {
		return nil, errors.New("the loop is not recursive")
	}
	e.depth++
	defer func() { e.depth-- }()
	if e.depth > maxDepth {
		return nil, fmt.Errorf("loops and macros call each other deeper than %d levels", maxDepth)
	}
	sub := l.renderer.Inherit()
	var out output
	sub.Output = &out
	if err := l.tag.run(sub, over, l.depth+1); err != nil {
		return nil, err
	}
	return marked(out.text.String(), sub.Config.AutoEscape), nil
}

// callLoop is loop(x): params are what is called with.
func callLoop(_ *exec.Evaluator, in *exec.Value, params *exec.VarArgs) *exec.Value {
	switch called := in.Interface().(type) {
	case *loop:
		if len(params.Args) != 1 {
			return exec.AsValue(errors.New("loop() takes what to loop over"))
		}
		text, err := called.again(params.Args[0])
		if err != nil {
			return exec.AsValue(err)
		}
		return text
	case func(*exec.VarArgs) *exec.Value: // a macro of that name
		return called(params)
	default:
		return exec.AsValue(fmt.Errorf("%s is not callable", loopName))
	}
}
