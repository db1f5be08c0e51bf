package jinja

import (
	"fmt"

	"github.com/nikolalohinski/gonja/v2/exec"
	"github.com/nikolalohinski/gonja/v2/parser"
	"github.com/nikolalohinski/gonja/v2/tokens"
)

// target is what for and set give values: a name, an attribute of a namespace, or several of them.
type target struct {
	name, attribute string
	parts           []target // nil: it is one name
}

// parseTargets reads a, (b, c).
func parseTargets(args *parser.Parser) (target, error) {
	var parts []target
	several := false
	for len(parts) == 0 || several && args.Current(tokens.Name, tokens.LeftParenthesis) != nil {
		part, err := parseTarget(args)
		if err != nil {
			return target{}, err
		}
		parts = append(parts, part)
		if args.Match(tokens.Comma) == nil {
			break
		}
		several = true
	}
	if several {
		return target{parts: parts}, nil
	}
	return parts[0], nil
}

func parseTarget(args *parser.Parser) (target, error) {
	if args.Match(tokens.LeftParenthesis) != nil {
		inner, err := parseTargets(args)
		if err == nil && args.Match(tokens.RightParenthesis) == nil {
			err = args.Error("expected ')'", args.Current())
		}
		return inner, err
	}
	name := args.Match(tokens.Name)
	if name == nil {
		return target{}, args.Error("the name of a variable is expected", nil)
	}
	t := target{name: name.Val}
	if args.Match(tokens.Dot) != nil {
		attribute := args.Match(tokens.Name)
		if attribute == nil {
			return target{}, args.Error("the name of an attribute is expected", nil)
		}
		t.attribute = attribute.Val
	}
	return t, nil
}

// assign gives a target its value.
func (e *engine) assign(r *exec.Renderer, t target, value *exec.Value) error {
	if t.parts != nil {
		elements := e.elements(value)
		if !isIterable(value) || len(elements) != len(t.parts) {
			return fmt.Errorf("there are %d names for %s of %d elements", len(t.parts), typeName(value), len(elements))
		}
		for i, part := range t.parts {
			if err := e.assign(r, part, exec.ToValue(elements[i])); err != nil {
				return err
			}
		}
		return nil
	}
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
