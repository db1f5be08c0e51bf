package jinja

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"

	"github.com/nikolalohinski/gonja/v2/builtins"
	controls "github.com/nikolalohinski/gonja/v2/builtins/control_structures"
	"github.com/nikolalohinski/gonja/v2/config"
	"github.com/nikolalohinski/gonja/v2/exec"
	"github.com/nikolalohinski/gonja/v2/loaders"
	"github.com/nikolalohinski/gonja/v2/nodes"
	"github.com/nikolalohinski/gonja/v2/parser"
)

// The names under which the engine's own filters stand. No template can spell them.
const (
	printFilter = "\x00print"
	eachFilter  = "\x00each"
)

const templateName = "/template"

// maxOutput bounds in bytes what a template may render.
const maxOutput = 16 << 20

// engine renders one template after another; it is not for several goroutines, and only for the child process.
type engine struct {
	filters  *exec.FilterSet
	tests    *exec.TestSet
	tags     *exec.ControlStructureSet
	methods  exec.Methods
	globals  map[string]any
	keyOrder orders
}

func newEngine() *engine {
	e := &engine{tests: builtins.Tests, methods: builtins.Methods}
	filters := exec.NewFilterSet(map[string]exec.FilterFunction{}).Update(builtins.Filters)
	e.filters = exec.NewFilterSet(e.allowedFilters(filters))
	e.methods.Dict = e.dictMethods()
	e.globals = e.globalFunctions()
	tags := map[string]parser.ControlStructureParser{}
	// Not among them: what loads other templates, and macros, which can call themselves without end.
	for _, name := range []string{"autoescape", "break", "continue", "do", "filter", "for", "if", "raw", "set", "with"} {
		tags[name], _ = controls.All.Get(name)
	}
	e.tags = exec.NewControlStructureSet(tags)
	return e
}

// render fills a template. It takes what memory and time the template wants: the caller bounds both.
func (e *engine) render(format string, values json.RawMessage, escape bool) (text string, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the template cannot be rendered: %v", r)
		}
	}()
	e.keyOrder = orders{}
	variables, err := e.variables(values)
	if err != nil {
		return "", err
	}
	settings := config.New()
	settings.AutoEscape = escape
	loader, err := loaders.NewMemoryLoader(map[string]string{templateName: format})
	if err != nil {
		return "", err
	}
	template, err := exec.NewTemplate(templateName, settings, loader, &exec.Environment{
		Context:           exec.NewContext(e.globals),
		Filters:           e.filters,
		Tests:             e.tests,
		ControlStructures: e.tags,
		Methods:           e.methods,
	})
	if err != nil {
		return "", plain(err)
	}
	rewriteAll(template.Root().Nodes)
	var out output
	if err := template.Execute(&out, exec.NewContext(variables)); err != nil {
		return "", plain(err)
	}
	return out.text.String(), nil
}

// output is where a rendered text collects. It deliberately has no WriteString: an error of that is lost.
type output struct{ text strings.Builder }

var errTooLong = fmt.Errorf("the rendered text is longer than %d MiB", maxOutput>>20)

func (o *output) Write(p []byte) (int, error) {
	if o.text.Len()+len(p) > maxOutput {
		return 0, errTooLong
	}
	return o.text.Write(p)
}

var (
	atLine     = regexp.MustCompile(`at line (\d+)`)
	throughOur = regexp.MustCompile(`(?s)^.*invalid call to filter '\x00(?:print|each)': `)
	noise      = regexp.MustCompile(`(?s)unable to evaluate filter &\{<.*?map\[.*?\]\}: | \(Line: 0 Col: 0, near ''\)`)
)

// plain takes the library's words about itself, and copies of the whole template, out of an error.
func plain(err error) error {
	if errors.Is(err, errTooLong) {
		return errTooLong
	}
	message := err.Error()
	if strings.HasPrefix(message, "failed to parse template") {
		if inner := errors.Unwrap(err); inner != nil {
			message = "the template is malformed: " + inner.Error()
		}
	} else if line := atLine.FindStringSubmatch(message); line != nil {
		message = throughOur.ReplaceAllString(strings.TrimPrefix(message, "unable to execute template: "), "")
		message = "line " + line[1] + " of the template: " + message
	}
	message = strings.NewReplacer("\x00", "", "controlStructure", "tag", "ControlStructure", "tag").Replace(noise.ReplaceAllString(message, ""))
	const enough = 1000
	if len(message) > enough {
		message = strings.ToValidUTF8(message[:enough], "") + "…"
	}
	return errors.New(message)
}

// rewriteAll puts the engine's own filters around what is printed and what is looped over, where the library differs
// from Python.
func rewriteAll(list []nodes.Node) {
	for _, node := range list {
		switch n := node.(type) {
		case *nodes.Output:
			n.Expression = printed(n.Expression)
			if n.Alternative != nil {
				n.Alternative = printed(n.Alternative)
			}
		case *nodes.ControlStructureBlock:
			if loop, ok := n.ControlStructure.(*controls.ForControlStructure); ok {
				filter := &nodes.FilterCall{Name: eachFilter, Args: []nodes.Expression{&nodes.Bool{Val: loop.Value != ""}}}
				loop.ObjectEvaluator = filtered(loop.ObjectEvaluator, filter)
			}
			for _, wrapper := range wrappers(n.ControlStructure) {
				rewriteAll(wrapper.Nodes)
			}
		}
	}
}

// wrappers finds the bodies of a tag. Some of the library's tags keep them in unexported fields.
func wrappers(tag nodes.ControlStructure) []*nodes.Wrapper {
	var found []*nodes.Wrapper
	fields := reflect.Indirect(reflect.ValueOf(tag))
	if fields.Kind() != reflect.Struct {
		return nil
	}
	for i := range fields.NumField() {
		field := fields.Field(i)
		switch field.Type() {
		case reflect.TypeFor[*nodes.Wrapper]():
			if !field.IsNil() {
				found = append(found, (*nodes.Wrapper)(field.UnsafePointer()))
			}
		case reflect.TypeFor[[]*nodes.Wrapper]():
			for j := range field.Len() {
				found = append(found, (*nodes.Wrapper)(field.Index(j).UnsafePointer()))
			}
		}
	}
	return found
}

// printed wraps a printed expression. The library has one nothing for null and for what is missing; Python prints
// None for the first and nothing for the second: the filter is told where to look which it is.
func printed(expression nodes.Expression) nodes.Expression {
	filter := &nodes.FilterCall{Name: printFilter}
	inner := expression
	for {
		chain, ok := inner.(*nodes.FilteredExpression)
		if !ok || !onlyMarks(chain.Filters) {
			break
		}
		inner = chain.Expression
	}
	switch n := inner.(type) {
	case *nodes.None:
		filter.Kwargs = map[string]nodes.Expression{"null": &nodes.Bool{Val: true}}
	case *nodes.Name:
		filter.Kwargs = map[string]nodes.Expression{"name": &nodes.String{Val: n.Name.Val}}
	case *nodes.GetAttribute:
		if n.Attribute == "" {
			filter.Kwargs = map[string]nodes.Expression{"of": n.Node, "key": &nodes.Integer{Val: n.Index}}
		} else {
			filter.Kwargs = map[string]nodes.Expression{"of": n.Node, "key": &nodes.String{Val: n.Attribute}}
		}
	case *nodes.GetItem:
		if n.Arg != nil {
			filter.Kwargs = map[string]nodes.Expression{"of": n.Node, "key": n.Arg}
		}
	}
	return filtered(expression, filter)
}

// onlyMarks says whether filters leave a value what it is.
func onlyMarks(filters []*nodes.FilterCall) bool {
	for _, filter := range filters {
		if filter.Name != "safe" && filter.Name != "string" {
			return false
		}
	}
	return true
}

func filtered(expression nodes.Expression, filter *nodes.FilterCall) nodes.Expression {
	return &nodes.FilteredExpression{Expression: expression, Filters: []*nodes.FilterCall{filter}}
}
