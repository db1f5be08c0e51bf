package block

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/dlclark/regexp2"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/patchbay-io/patchbay/core/block/jsonscan"
)

// Mismatch is why a value does not fit a pin. Both texts are phrases: "an integer", "a string".
type Mismatch struct {
	Want, Got string
}

// Error is the whole sentence but for the pin's name.
func (m *Mismatch) Error() string { return fmt.Sprintf("expects %s, got %s", m.Want, m.Got) }

// Check says whether v is what the pin's schema asks for; the error is a *Mismatch.
func (p *Pin) Check(v json.RawMessage) error {
	if p.shape == anyShape {
		return nil
	}
	got := jsonscan.KindOf(v)
	if p.shape.exact {
		if p.shape.accepts(v, false) {
			return nil
		}
		if !nested(p.shape) {
			return &Mismatch{Want: p.shape.want(p.Schema), Got: got.String()}
		}
	}
	decoded, err := decodeForCheck(v)
	if err != nil {
		return &Mismatch{Want: "a JSON value", Got: "something else"}
	}
	err = p.shape.schema.Validate(decoded)
	if err == nil {
		return nil
	}
	want := p.shape.want(p.Schema)
	var invalid *jsonschema.ValidationError
	if errors.As(err, &invalid) && len(invalid.InstanceLocation) == 0 {
		if reasons := leaves(invalid); len(reasons) > 0 {
			want += " (" + strings.Join(reasons, "; ") + ")"
		}
	}
	return &Mismatch{Want: want, Got: got.String()}
}

// nested says whether an error may lie inside a value of the right kind, so that its place has to be told.
func nested(sh *shape) bool {
	switch sh.kind {
	case shapeList, shapeMap:
		return sh.elem != nil
	case shapeUnion:
		return slices.ContainsFunc(sh.members, nested)
	}
	return false
}

// want describes what a shape expects.
func (sh *shape) want(schema json.RawMessage) string {
	switch sh.kind {
	case shapeNull:
		return "null"
	case shapeString:
		return "a string"
	case shapeInteger:
		return "an integer"
	case shapeNumber:
		return "a number"
	case shapeBoolean:
		return "a boolean"
	case shapeList:
		if sh.elem != nil {
			return "a list whose elements are each " + sh.elem.want(nil)
		}
		return "a list"
	case shapeMap:
		if sh.elem != nil {
			return "an object whose values are each " + sh.elem.want(nil)
		}
		return "an object"
	case shapeUnion:
		var parts []string
		for _, m := range sh.members {
			if part := m.want(nil); !slices.Contains(parts, part) {
				parts = append(parts, part)
			}
		}
		return strings.Join(parts, " or ")
	case shapeAny:
		return "another value"
	}
	if sh.schema != nil {
		return describe(sh.schema)
	}
	return "a value of the pin's type"
}

// maxNamedValues bounds how many values of an enum a message lists.
const maxNamedValues = 12

// describe puts an opaque schema in words.
func describe(s *jsonschema.Schema) string {
	for s.Ref != nil {
		s = s.Ref
	}
	switch {
	case s.Enum != nil:
		var names []string
		for _, v := range s.Enum.Values {
			if len(names) == maxNamedValues {
				names = append(names, "…")
				break
			}
			names = append(names, literal(v))
		}
		return "one of " + strings.Join(names, ", ")
	case s.Const != nil:
		return literal(*s.Const)
	case s.Format != nil && s.Format.Name == "date":
		return "a date (YYYY-MM-DD)"
	case s.Format != nil && s.Format.Name == "time":
		return "a time (HH:MM:SS)"
	case s.Format != nil && s.Format.Name == "date-time":
		return "a date and time (YYYY-MM-DDTHH:MM:SS)"
	case len(s.Properties) > 0:
		return "an object with " + strings.Join(slices.Sorted(maps.Keys(s.Properties)), ", ")
	}
	return "a value of the pin's type"
}

func literal(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(v) != nil {
		return fmt.Sprint(v)
	}
	return strings.TrimSpace(b.String())
}

// maxReasons bounds what one message lists.
const maxReasons = 5

var printer = message.NewPrinter(language.English)

// leaves are the innermost reasons, with their places inside the value. Those at its top that only repeat the type
// are left out, as are whole values of the user's.
func leaves(e *jsonschema.ValidationError) []string {
	var out []string
	var walk func(*jsonschema.ValidationError)
	walk = func(e *jsonschema.ValidationError) {
		if len(out) >= maxReasons {
			return
		}
		if len(e.Causes) > 0 {
			for _, c := range e.Causes {
				walk(c)
			}
			return
		}
		switch k := e.ErrorKind.(type) {
		case *kind.Type, *kind.Enum, *kind.Const, *kind.Format:
			if len(e.InstanceLocation) == 0 {
				return
			}
			if t, ok := k.(*kind.Type); ok {
				out = append(out, fmt.Sprintf("at %s: %s, not %s", place(e), strings.Join(t.Want, " or "), t.Got))
			} else {
				out = append(out, fmt.Sprintf("at %s: another value", place(e)))
			}
			return
		case *kind.Pattern:
			out = append(out, fmt.Sprintf("at %s: matching %s", place(e), k.Want))
			return
		}
		text := e.ErrorKind.LocalizedString(printer)
		if len(e.InstanceLocation) > 0 {
			text = "at " + place(e) + ": " + text
		}
		out = append(out, text)
	}
	walk(e)
	return out
}

func place(e *jsonschema.ValidationError) string {
	if len(e.InstanceLocation) == 0 {
		return "the top"
	}
	return strings.Join(e.InstanceLocation, ".")
}

// decodeForCheck decodes v for the schema library. Numbers with large exponents are clamped there, since the library
// would write them out; no schema's bound lies beyond.
func decodeForCheck(v []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(v))
	d.UseNumber()
	var decoded any
	if err := d.Decode(&decoded); err != nil {
		return nil, fmt.Errorf("decode value: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("decode value: something follows it")
	}
	return clamp(decoded), nil
}

func clamp(v any) any {
	switch v := v.(type) {
	case json.Number:
		if plainInteger([]byte(v)) {
			return v
		}
		d, ok := parseDecimal(string(v))
		sign := ""
		if d.negative {
			sign = "-"
		}
		switch {
		case ok && !d.zero() && d.point > maxExpanded:
			return json.Number(sign + "1e400")
		case ok && !d.zero() && d.point < -maxExpanded:
			return json.Number(sign + "1e-400")
		case ok && d.zero():
			return json.Number("0")
		}
	case []any:
		for i := range v {
			v[i] = clamp(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = clamp(v[k])
		}
	}
	return v
}

// schemaCompiler compiles the schemas of one block. It opens no file and no connection.
func schemaCompiler() *jsonschema.Compiler {
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.UseLoader(noLoader{})
	c.UseRegexpEngine(compilePattern)
	for _, name := range []string{
		"regex", "uuid", "ipv4", "ipv6", "hostname", "email", "duration", "json-pointer", "relative-json-pointer",
		"uri", "uri-reference", "iri", "iri-reference", "uri-template", "period", "semver",
	} {
		c.RegisterFormat(&jsonschema.Format{Name: name, Validate: func(any) error { return nil }})
	}
	for name, layouts := range dateLayouts {
		c.RegisterFormat(&jsonschema.Format{Name: name, Validate: func(v any) error { return checkDate(v, layouts) }})
	}
	c.AssertFormat()
	return c
}

// dateLayouts are what Python reads and prints: zones are optional, unlike in RFC 3339.
var dateLayouts = map[string][]string{
	"date":      {time.DateOnly},
	"time":      {time.TimeOnly, "15:04", "15:04:05Z07:00"},
	"date-time": {time.RFC3339, "2006-01-02T15:04:05", time.DateTime, "2006-01-02 15:04:05Z07:00", time.DateOnly},
}

func checkDate(v any, layouts []string) error {
	text, ok := v.(string)
	if !ok {
		return nil
	}
	for _, layout := range layouts {
		if _, err := time.Parse(layout, text); err == nil {
			return nil
		}
	}
	return errors.New("is in no known form")
}

type noLoader struct{}

func (noLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("reference to %s leads out of the block", url)
}

// patternTimeout bounds one match of a pattern that the standard library cannot do.
const patternTimeout = 100 * time.Millisecond

// compilePattern takes the standard library's linear engine where that understands the pattern, else one that knows
// look-ahead and back-references and is stopped by the clock.
func compilePattern(pattern string) (jsonschema.Regexp, error) {
	if re, err := regexp.Compile(pattern); err == nil {
		return re, nil
	}
	re, err := regexp2.Compile(pattern, regexp2.ECMAScript)
	if err != nil {
		return nil, fmt.Errorf("compile pattern: %w", err)
	}
	re.MatchTimeout = patternTimeout
	return backtracking{re}, nil
}

type backtracking struct{ *regexp2.Regexp }

// MatchString says no where the match takes too long.
func (b backtracking) MatchString(s string) bool {
	ok, err := b.Regexp.MatchString(s)
	return err == nil && ok
}
