package jinja

import (
	"fmt"

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
	values   []choice // with several targets or behind a comma a tuple
	tuple    bool
	body     *nodes.Wrapper
	filters  []*nodes.FilterCall // of the body
}

// target is a name, or an attribute of a namespace.
type target struct{ name, attribute string }

// choice is an expression, or one of two by a condition.
type choice struct{ value, condition, alternative nodes.Expression }

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
	if args.Match(tokens.Assign) != nil {
		return s, s.parseValues(args)
	}
	for args.Match(tokens.Pipe) != nil {
		filter, err := args.ParseFilter()
		if err != nil {
			return nil, err
		}
		s.filters = append(s.filters, filter)
	}
	if !args.End() || len(s.targets) > 1 {
		return nil, args.Error("expected '='", args.Current())
	}
	var err error
	s.body, _, err = p.WrapUntil("endset")
	return s, err
}

func (s *set) parseValues(args *parser.Parser) error {
	for {
		var c choice
		var err error
		if c.value, err = args.ParseExpression(); err != nil {
			return err
		}
		if c.condition, c.alternative, err = args.ParseCondition(); err != nil {
			return err
		}
		s.values = append(s.values, c)
		if args.Match(tokens.Comma) == nil {
			break
		}
		s.tuple = true
		if args.End() {
			break
		}
	}
	if !args.End() {
		return args.Error("the value of set is malformed", args.Current())
	}
	return nil
}

func (s *set) Position() *tokens.Token { return s.location }
func (s *set) String() string          { return "set" }

// Execute gives the variables their values.
func (s *set) Execute(r *exec.Renderer, _ *nodes.ControlStructureBlock) error {
	value, err := s.value(r)
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

func (s *set) value(r *exec.Renderer) (*exec.Value, error) {
	if s.body != nil {
		return s.rendered(r)
	}
	var all tuple
	for _, c := range s.values {
		v := c.eval(r)
		if v.IsError() {
			return nil, v
		}
		if !s.tuple {
			return v, nil
		}
		all = append(all, v.Interface())
	}
	return exec.AsValue(all), nil
}

func (c choice) eval(r *exec.Renderer) *exec.Value {
	if c.condition == nil {
		return r.Eval(c.value)
	}
	condition := r.Eval(c.condition)
	switch {
	case condition.IsError():
		return condition
	case condition.IsTrue():
		return r.Eval(c.value)
	case c.alternative == nil:
		return exec.AsValue(nil)
	default:
		return r.Eval(c.alternative)
	}
}

// rendered is the body's text through the filters.
func (s *set) rendered(r *exec.Renderer) (*exec.Value, error) {
	sub := r.Inherit()
	var out output
	sub.Output = &out
	if err := sub.ExecuteWrapper(s.body); err != nil {
		return nil, err
	}
	value := exec.AsSafeValue(out.text.String())
	for _, filter := range s.filters {
		if value = r.Evaluator().ExecuteFilter(filter, value); value.IsError() {
			return nil, value
		}
	}
	return value, nil
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
