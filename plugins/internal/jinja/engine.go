package jinja

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"regexp"
	"strings"

	controls "github.com/nikolalohinski/gonja/v2/builtins/control_structures"
	"github.com/nikolalohinski/gonja/v2/config"
	"github.com/nikolalohinski/gonja/v2/exec"
	"github.com/nikolalohinski/gonja/v2/loaders"
	"github.com/nikolalohinski/gonja/v2/nodes"
	"github.com/nikolalohinski/gonja/v2/parser"
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
	blocks   map[string]bool // blocks of the template
	depth    int             // of macros that call each other

	expressions []nodes.Expression // of the template, where references point to
	seed        uint64             // of the template and its values
	chance      *rand.Rand         // nil before it is needed
}

func newEngine() *engine {
	e := &engine{}
	e.filters = exec.NewFilterSet(e.allowedFilters())
	e.tests = exec.NewTestSet(e.allowedTests())
	e.methods = noMethods()
	e.globals = e.globalFunctions()
	tags := map[string]parser.ControlStructureParser{}
	for _, name := range []string{"autoescape", "do", "if", "raw", "with"} {
		tags[name], _ = controls.All.Get(name)
	}
	tags["set"], tags["macro"], tags["call"], tags["block"] = e.parseSet, e.parseMacro, e.parseCall, e.parseBlock
	tags["filter"], tags["for"] = e.parseFilter, e.parseFor
	for name, why := range refusedTags {
		tags[name] = refuse(name, why)
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
	e.keyOrder, e.blocks, e.depth, e.expressions = orders{}, map[string]bool{}, 0, nil
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(format))
	_, _ = hash.Write(values)
	e.seed, e.chance = hash.Sum64(), nil
	variables, err := e.variables(values)
	if err != nil {
		return "", err
	}
	outline, err := e.outlined(format)
	if err != nil {
		return "", plain(err)
	}
	settings := config.New()
	settings.AutoEscape = escape
	loader, err := loaders.NewMemoryLoader(map[string]string{templateName: outline})
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
	e.rewrite(template.Root().Nodes)
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
	throughOur = regexp.MustCompile(`(?s)^.*invalid call to filter '\x00[a-z]+': `)
	noise      = regexp.MustCompile(`(?s)unable to evaluate filter &\{<.*?map\[.*?\]\}: | \(Line: 0 Col: 0, near ''\)|Unable to execute controlStructure at line \d+: [^:]*: `)
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
	} else if lines := atLine.FindAllStringSubmatch(message, -1); lines != nil {
		line := lines[len(lines)-1] // the innermost
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
