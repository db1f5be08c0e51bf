package jinja

import (
	"fmt"
	"io"

	"github.com/nikolalohinski/gonja/v2/exec"
	"github.com/nikolalohinski/gonja/v2/nodes"
	"github.com/nikolalohinski/gonja/v2/parser"
	"github.com/nikolalohinski/gonja/v2/tokens"
)

// set is {% set a, b = 1, 2 %} and {% set a | upper %}body{% endset %}.
type set struct {
	engine   *engine
	location *tokens.Token
	targets  []target
	value    nodes.Expression // of the body, its filters, nil without any
	body     *nodes.Wrapper
}

// target is a name, or an attribute of a namespace.
type target struct{ name, attribute string }

func (e *engine) parseSet(p *parser.Parser, args *parser.Parser) (nodes.ControlStructure, error) {
	s := &set{engine: e, location: p.Current()}
	for {
		name := args.Match(tokens.Name)
		if name == nil {
			return nil, args.Error("the name of a variable is expected", nil)
		}
		t := target{name: name.Val}
		if args.Match(tokens.Dot) != nil {
			attribute := args.Match(tokens.Name)
			if attribute == nil {
				return nil, args.Error("the name of an attribute is expected", nil)
			}
			t.attribute = attribute.Val
		}
		s.targets = append(s.targets, t)
		if args.Match(tokens.Comma) == nil {
			break
		}
	}
	isBody := args.Match(tokens.Assign) == nil
	if !isBody || args.Match(tokens.Pipe) != nil {
		var err error
		if s.value, err = args.ParseExpression(); err != nil {
			return nil, err
		}
	}
	if !args.End() || isBody && len(s.targets) > 1 {
		return nil, args.Error("expected '='", args.Current())
	}
	if !isBody {
		return s, nil
	}
	var err error
	s.body, _, err = p.WrapUntil("endset")
	return s, err
}

func (s *set) Position() *tokens.Token { return s.location }
func (s *set) String() string          { return "set" }

// Execute gives the variables their values.
func (s *set) Execute(r *exec.Renderer, _ *nodes.ControlStructureBlock) error {
	value, err := s.evaluated(r)
	if err != nil {
		return err
	}
	if len(s.targets) == 1 {
		return s.targets[0].assign(r, value)
	}
	elements := s.engine.elements(value)
	if !isIterable(value) || len(elements) != len(s.targets) {
		return fmt.Errorf("set has %d names for %s of %d elements", len(s.targets), typeName(value), len(elements))
	}
	for i, t := range s.targets {
		if err := t.assign(r, exec.AsValue(elements[i])); err != nil {
			return err
		}
	}
	return nil
}

func (s *set) evaluated(r *exec.Renderer) (*exec.Value, error) {
	if s.body != nil {
		return rendered(r, s.body, s.value)
	}
	value := r.Eval(s.value)
	if value.IsError() {
		return nil, value
	}
	return value, nil
}

// rendered is a body's text through filters, if there are any.
func rendered(r *exec.Renderer, body *nodes.Wrapper, filters nodes.Expression) (*exec.Value, error) {
	sub := r.Inherit()
	var out output
	sub.Output = &out
	if err := sub.ExecuteWrapper(body); err != nil {
		return nil, err
	}
	value := marked(out.text.String(), r.Config.AutoEscape)
	if filters == nil {
		return value, nil
	}
	sub.Environment.Context.Set(bodySlot, value)
	if value = sub.Eval(filters); value.IsError() {
		return nil, value
	}
	return value, nil
}

// filterTag is {% filter upper %}body{% endfilter %}.
type filterTag struct {
	engine   *engine
	location *tokens.Token
	filters  nodes.Expression
	body     *nodes.Wrapper
}

func (e *engine) parseFilter(p *parser.Parser, args *parser.Parser) (nodes.ControlStructure, error) {
	f := &filterTag{engine: e, location: p.Current()}
	var err error
	if f.filters, err = args.ParseExpression(); err != nil {
		return nil, err
	}
	f.body, _, err = p.WrapUntil("endfilter")
	return f, err
}

func (f *filterTag) Position() *tokens.Token { return f.location }
func (f *filterTag) String() string          { return "filter" }

// Execute writes the filtered body.
func (f *filterTag) Execute(r *exec.Renderer, _ *nodes.ControlStructureBlock) error {
	value, err := rendered(r, f.body, f.filters)
	if err != nil {
		return err
	}
	_, err = io.WriteString(r.Output, f.engine.str(value))
	return err
}

func (t target) assign(r *exec.Renderer, value *exec.Value) error {
	if t.attribute == "" {
		r.Environment.Context.Set(t.name, value.Interface())
		return nil
	}
	found, _ := r.Environment.Context.Get(t.name)
	if err := exec.ToValue(found).Set(exec.AsValue(t.attribute), value.Interface()); err != nil {
		return fmt.Errorf("%s has no attributes that could be set", t.name)
	}
	return nil
}
