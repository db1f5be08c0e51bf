package jinja

import (
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
	target   target
	value    nodes.Expression // of the body, its filters, nil without any
	body     *nodes.Wrapper
}

func (e *engine) parseSet(p *parser.Parser, args *parser.Parser) (nodes.ControlStructure, error) {
	s := &set{engine: e, location: p.Current()}
	var err error
	if s.target, err = parseTargets(args); err != nil {
		return nil, err
	}
	isBody := args.Match(tokens.Assign) == nil
	if !isBody || args.Match(tokens.Pipe) != nil {
		if s.value, err = args.ParseExpression(); err != nil {
			return nil, err
		}
	}
	if !args.End() || isBody && s.target.parts != nil {
		return nil, args.Error("expected '='", args.Current())
	}
	if !isBody {
		return s, nil
	}
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
	return s.engine.assign(r, s.target, value)
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
