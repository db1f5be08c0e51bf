package jinja

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"

	controls "github.com/nikolalohinski/gonja/v2/builtins/control_structures"
	"github.com/nikolalohinski/gonja/v2/exec"
	"github.com/nikolalohinski/gonja/v2/nodes"
	"github.com/nikolalohinski/gonja/v2/parser"
	"github.com/nikolalohinski/gonja/v2/tokens"
)

// maxDepth bounds how deep macros call each other. Python gives up at about as many.
const maxDepth = 300

// Names that a macro finds beside its parameters.
const (
	callerName    = "caller"  // what {% call %} gives it
	extraName     = "varargs" // further arguments
	extraKeysName = "kwargs"  // further named arguments
	callerSlot    = "\x00caller"
)

// macro is {% macro name(a, b=1) %}, or what {% call(a) name() %} gives to another macro.
type macro struct {
	*nodes.Macro
	engine *engine
	uses   map[string]bool // which of the names above occur in its body
}

// parseMacro reads the head as the library does. A parameter without a default is left without a value.
func (e *engine) parseMacro(p *parser.Parser, args *parser.Parser) (nodes.ControlStructure, error) {
	parse, _ := controls.All.Get("macro")
	parsed, err := parse(p, args)
	if err != nil {
		return nil, err
	}
	m := &macro{Macro: parsed.(*controls.MacroControlStructure).Macro, engine: e}
	if m.VarArgsName != "" || m.KwArgsName != "" {
		return nil, fmt.Errorf("the parameters of a macro are names; further arguments are in %s and %s", extraName, extraKeysName)
	}
	m.finish()
	return m, nil
}

func (m *macro) finish() {
	for _, parameter := range m.Kwargs {
		if none, ok := parameter.Value.(*nodes.None); ok && none.Location == parameter.Key.Position() {
			parameter.Value = nil
		}
	}
	m.uses = map[string]bool{}
	m.engine.mentions(reflect.ValueOf(m.Wrapper.Nodes), m.uses, map[uintptr]bool{})
}

// mentions collects the names that a part of a template mentions.
func (e *engine) mentions(v reflect.Value, found map[string]bool, seen map[uintptr]bool) {
	switch v.Kind() {
	case reflect.Interface:
		e.mentions(v.Elem(), found, seen)
	case reflect.Pointer:
		if v.IsNil() || v.Type() == tokenType || v.Type() == engineType || seen[v.Pointer()] {
			return
		}
		seen[v.Pointer()] = true
		if v.Type() == nameType {
			found[v.Elem().FieldByName("Name").Elem().FieldByName("Val").String()] = true
		}
		if v.Type() == literalType {
			if expression, ok := e.referred(v.Elem().FieldByName("Val").String()); ok {
				e.mentions(reflect.ValueOf(expression), found, seen)
			}
		}
		e.mentions(v.Elem(), found, seen)
	case reflect.Struct:
		for i := range v.NumField() {
			e.mentions(v.Field(i), found, seen)
		}
	case reflect.Slice:
		for i := range v.Len() {
			e.mentions(v.Index(i), found, seen)
		}
	case reflect.Map:
		for _, element := range v.Seq2() {
			e.mentions(element, found, seen)
		}
	}
}

var nameType = reflect.TypeFor[*nodes.Name]()

// Execute defines the macro.
func (m *macro) Execute(r *exec.Renderer, _ *nodes.ControlStructureBlock) error {
	r.Environment.Context.Set(m.Name, m.function(r))
	return nil
}

// function is what templates call. The macro sees what is around its definition.
func (m *macro) function(r *exec.Renderer) func(*exec.VarArgs) *exec.Value {
	return func(given *exec.VarArgs) *exec.Value {
		text, err := m.call(r, given)
		if err != nil {
			return exec.AsValue(err)
		}
		return marked(text, r.Config.AutoEscape)
	}
}

func (m *macro) call(r *exec.Renderer, given *exec.VarArgs) (string, error) {
	m.engine.depth++
	defer func() { m.engine.depth-- }()
	if m.engine.depth > maxDepth {
		return "", fmt.Errorf("macro %s: macros call each other deeper than %d levels", m.Name, maxDepth)
	}
	sub := r.Inherit()
	var out output
	sub.Output = &out
	if err := m.bind(sub, given); err != nil {
		return "", fmt.Errorf("macro %s: %w", m.Name, err)
	}
	if err := sub.ExecuteWrapper(m.Wrapper); err != nil {
		return "", fmt.Errorf("macro %s: %w", m.Name, err)
	}
	return out.text.String(), nil
}

// bind gives the macro its arguments.
func (m *macro) bind(r *exec.Renderer, given *exec.VarArgs) error {
	values := r.Environment.Context
	named := maps.Clone(given.KwArgs)
	for i, parameter := range m.Kwargs {
		name := parameter.Key.(*nodes.String).Val
		value, ok := named[name]
		delete(named, name)
		switch {
		case ok && i < len(given.Args):
			return fmt.Errorf("the argument %s is given twice", name)
		case i < len(given.Args):
			value = given.Args[i]
		case !ok && parameter.Value != nil:
			if value = r.Eval(parameter.Value); value.IsError() {
				return value
			}
		}
		if value == nil || !value.Val.IsValid() {
			values.Set(name, nil)
		} else {
			values.Set(name, value)
		}
	}
	if caller, ok := named[callerName]; ok && m.uses[callerName] {
		values.Set(callerName, caller)
		delete(named, callerName)
	} else if m.uses[callerName] {
		values.Set(callerName, nil)
	}
	extra := tuple{}
	for i := len(m.Kwargs); i < len(given.Args); i++ {
		extra = append(extra, given.Args[i].Interface())
	}
	switch {
	case len(extra) > 0 && !m.uses[extraName]:
		return fmt.Errorf("it takes no more than %d arguments", len(m.Kwargs))
	case len(named) > 0 && !m.uses[extraKeysName]:
		return fmt.Errorf("it takes no argument %s", slices.Min(slices.Collect(maps.Keys(named))))
	}
	values.Set(extraName, extra)
	if m.uses[extraKeysName] {
		members, err := m.engine.merged(nil, nil, named)
		if err != nil {
			return err
		}
		values.Set(extraKeysName, members)
	}
	return nil
}

// call is {% call macro(x) %}body{% endcall %}: the macro gets the body as caller(), which may have parameters.
type call struct {
	location   *tokens.Token
	expression nodes.Expression
	body       *macro
}

func (e *engine) parseCall(p *parser.Parser, args *parser.Parser) (nodes.ControlStructure, error) {
	c := &call{location: p.Current(), body: &macro{Macro: &nodes.Macro{Location: p.Current(), Name: callerName}, engine: e}}
	if args.Match(tokens.LeftParenthesis) != nil {
		if err := c.parameters(args); err != nil {
			return nil, err
		}
	}
	expression, err := args.ParseExpression()
	if err != nil {
		return nil, err
	}
	if literal, ok := expression.(*nodes.String); ok {
		expression, _ = e.referred(literal.Val)
	}
	called, ok := expression.(*nodes.Call)
	if !ok || !args.End() {
		return nil, args.Error("a call of a macro is expected behind call", nil)
	}
	if called.Kwargs == nil {
		called.Kwargs = map[string]nodes.Expression{}
	}
	called.Kwargs[callerName] = &nodes.Name{Name: &tokens.Token{Type: tokens.Name, Val: callerSlot}}
	c.expression = called
	if c.body.Wrapper, _, err = p.WrapUntil("endcall"); err != nil {
		return nil, err
	}
	c.body.finish()
	return c, nil
}

// parameters reads (a, b=1) of what caller() takes.
func (c *call) parameters(args *parser.Parser) error {
	for args.Match(tokens.RightParenthesis) == nil {
		name := args.Match(tokens.Name)
		if name == nil {
			return args.Error("the name of a parameter is expected", nil)
		}
		parameter := &nodes.Pair{Key: &nodes.String{Location: name, Val: name.Val}}
		if args.Match(tokens.Assign) != nil {
			value, err := args.ParseExpression()
			if err != nil {
				return err
			}
			parameter.Value = value
		}
		c.body.Kwargs = append(c.body.Kwargs, parameter)
		if args.Match(tokens.Comma) == nil && args.Current(tokens.RightParenthesis) == nil {
			return args.Error("expected ',' or ')'", nil)
		}
	}
	return nil
}

func (c *call) Position() *tokens.Token { return c.location }
func (c *call) String() string          { return "call" }

// Execute writes what the macro gives.
func (c *call) Execute(r *exec.Renderer, _ *nodes.ControlStructureBlock) error {
	sub := r.Inherit()
	sub.Environment.Context.Set(callerSlot, c.body.function(r))
	result := sub.Eval(c.expression)
	if result.IsError() {
		return result
	}
	_, err := io.WriteString(r.Output, c.body.engine.str(result))
	return err
}

// namedBlock is {% block name %}: without templates that extend each other it stands for its content.
type namedBlock struct {
	location *tokens.Token
	name     string
	body     *nodes.Wrapper
}

func (e *engine) parseBlock(p *parser.Parser, args *parser.Parser) (nodes.ControlStructure, error) {
	s := &namedBlock{location: p.Current()}
	name := args.Match(tokens.Name)
	if name == nil {
		return nil, args.Error("the name of the block is expected", nil)
	}
	s.name = name.Val
	for args.MatchName("scoped", "required") != nil {
	}
	if !args.End() {
		return nil, args.Error("a block has a name and nothing more", nil)
	}
	if e.blocks[s.name] {
		return nil, fmt.Errorf("there are two blocks %s", s.name)
	}
	e.blocks[s.name] = true
	body, end, err := p.WrapUntil("endblock")
	if err != nil {
		return nil, err
	}
	if again := end.Match(tokens.Name); again != nil && again.Val != s.name {
		return nil, fmt.Errorf("block %s ends as %s", s.name, again.Val)
	}
	s.body = body
	return s, nil
}

func (s *namedBlock) Position() *tokens.Token { return s.location }
func (s *namedBlock) String() string          { return "block " + s.name }

// Execute writes the content.
func (s *namedBlock) Execute(r *exec.Renderer, _ *nodes.ControlStructureBlock) error {
	return r.ExecuteWrapper(s.body)
}

// refusedTags are Jinja's own that templates here cannot have, and why.
var refusedTags = map[string]string{
	"extends": noTemplates, "include": noTemplates, "import": noTemplates, "from": noTemplates,
	"trans": "it takes a catalogue of translations", "debug": "it shows what is not the template's",
}

const noTemplates = "there is no other template that could be loaded"

func refuse(tag, why string) parser.ControlStructureParser {
	return func(*parser.Parser, *parser.Parser) (nodes.ControlStructure, error) {
		return nil, errors.New("the tag " + tag + " is not supported: " + why)
	}
}
