package block

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/patchbay-io/patchbay/core/block/jsonscan"
)

// ErrorPin is the output pin on which a block that fails tells why.
const ErrorPin = "error"

// Block is a compiled Definition. It is immutable.
type Block struct {
	Definition
	Plugin  Plugin // zero for structural blocks
	inputs  []*Pin
	outputs []*Pin
}

// Plugin names the plugin that provides a block.
type Plugin struct {
	Name    string
	Version string
}

// Pin is an input or output of a block. It is immutable.
type Pin struct {
	Name          string
	Required      bool
	Default       json.RawMessage // nil if there is none
	Schema        json.RawMessage
	Secret        bool
	Credentials   bool     // takes a reference to credentials
	DependsOn     []string // sibling pins that must have a value for this one to make sense
	Discriminator string   // sibling pin that narrows the provider down; empty if there is none
	shape         *shape
}

// Input is an input pin by its name.
func (b *Block) Input(pin string) (*Pin, bool) { return find(b.inputs, pin) }

// Output is an output pin by its name.
func (b *Block) Output(pin string) (*Pin, bool) { return find(b.outputs, pin) }

// Inputs are the input pins in the order of the schema. The slice is shared.
func (b *Block) Inputs() []*Pin { return b.inputs }

// Outputs are the output pins in the order of the schema. The slice is shared.
func (b *Block) Outputs() []*Pin { return b.outputs }

// find is linear: blocks have few pins.
func find(pins []*Pin, name string) (*Pin, bool) {
	for _, p := range pins {
		if p.Name == name {
			return p, true
		}
	}
	return nil, false
}

var idForm = regexp.MustCompile(`^[0-9a-z]{8}(-[0-9a-z]{4}){3}-[0-9a-z]{12}$`)

// ValidID says whether an id of a block has the form of a UUID in lower case. Letters past f are taken: agents refer to
// blocks whose ids only look like one.
func ValidID(id string) bool { return idForm.MatchString(id) }

// New validates and compiles a definition. The error names everything that is wrong, each problem with its place.
func New(d Definition) (*Block, error) {
	var p problems
	if !ValidID(d.ID) {
		p.add("id", "%q is no UUID", d.ID)
	}
	if strings.TrimSpace(d.Name) == "" {
		p.add("name", "is missing")
	}
	if !slices.Contains(kinds, d.Kind) {
		p.add("kind", "%q is unknown", d.Kind)
	}
	if d.Traits.Pure && d.Traits.Once {
		p.add("traits", "pure and once exclude each other")
	}
	b := &Block{Definition: d}
	b.OutputSchema = withErrorPin(d)
	b.inputs = compilePins(b.InputSchema, "input_schema", &p)
	b.outputs = compilePins(b.OutputSchema, "output_schema", &p)
	b.Credentials = compileCredentials(d.Credentials, b.inputs, &p)
	for _, pin := range b.inputs {
		for _, sibling := range pin.siblings() {
			if _, ok := b.Input(sibling); !ok {
				p.add("input_schema.properties."+pin.Name, "refers to %q, which is no pin", sibling)
			}
		}
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	return b, nil
}

var kinds = []Kind{Standard, Input, Output, Note, Webhook, WebhookManual, Agent, AI, HumanInTheLoop}

// problems collects what is wrong with a definition.
type problems []error

func (p *problems) add(where, format string, args ...any) {
	*p = append(*p, fmt.Errorf("%s: %s", where, fmt.Sprintf(format, args...)))
}

func (p *problems) err() error { return errors.Join(*p...) }

func (p *Pin) siblings() []string {
	if p.Discriminator == "" {
		return p.DependsOn
	}
	return append(slices.Clone(p.DependsOn), p.Discriminator)
}

// compilePins compiles a schema's properties.
func compilePins(schema json.RawMessage, where string, p *problems) []*Pin {
	if !json.Valid(schema) || jsonscan.KindOf(schema) != jsonscan.Object {
		p.add(where, "is no JSON object")
		return nil
	}
	if t, ok := jsonscan.Find(schema, "type"); ok && jsonscan.Unquote(t) != "object" {
		p.add(where, `type must be "object", since pins are its properties`)
		return nil
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		p.add(where, "%v", err)
		return nil
	}
	const url = "block:///schema.json"
	compiler := schemaCompiler()
	if err := compiler.AddResource(url, document); err != nil {
		p.add(where, "%v", err)
		return nil
	}
	if _, err := compiler.Compile(url); err != nil {
		p.addFlaws(where, err)
		return nil
	}
	shapes := shaper{root: schema, compile: func(pointer string) (*jsonschema.Schema, error) {
		return compiler.Compile(url + "#" + fragment(pointer))
	}}
	properties, _ := jsonscan.Find(schema, "properties")
	if properties != nil && jsonscan.KindOf(properties) != jsonscan.Object {
		p.add(where+".properties", "is no object")
		return nil
	}
	var pins []*Pin
	for k, property := range jsonscan.Members(properties) {
		name := jsonscan.Unquote(k)
		at := where + ".properties." + name
		if _, twice := find(pins, name); twice {
			p.add(at, "is there twice")
			continue
		}
		if problem := nameProblem(name); problem != "" {
			p.add(at, "%s", problem)
			continue
		}
		pin := newPin(name, property)
		sh, err := shapes.shape(property, "/properties/"+escapePointer(name), 0)
		if err != nil {
			p.add(at, "%v", err)
			continue
		}
		pin.shape = sh
		pins = append(pins, pin)
		checkDefault(pin, at, p)
	}
	required, _ := jsonscan.Find(schema, "required")
	for r := range jsonscan.Elements(required) {
		name := jsonscan.Unquote(r)
		pin, ok := find(pins, name)
		if !ok {
			p.add(where+".required", "%q is no pin", name)
			continue
		}
		pin.Required = true
	}
	return pins
}

func newPin(name string, property json.RawMessage) *Pin {
	pin := &Pin{Name: name, Schema: property}
	for k, v := range jsonscan.Members(property) {
		switch jsonscan.Unquote(k) {
		case "default":
			pin.Default = v
		case "secret":
			pin.Secret = string(v) == "true"
		case "depends_on":
			for d := range jsonscan.Elements(v) {
				pin.DependsOn = append(pin.DependsOn, jsonscan.Unquote(d))
			}
		case "discriminator":
			pin.Discriminator = jsonscan.Unquote(v) // an object there is OpenAPI's, of no meaning here
		}
	}
	return pin
}

// checkDefault refuses a default that its own pin would refuse. Null stands for none.
func checkDefault(pin *Pin, at string, p *problems) {
	if pin.Default == nil || jsonscan.KindOf(pin.Default) == jsonscan.Null {
		return
	}
	v, err := pin.Coerce(pin.Default)
	if err == nil {
		err = pin.Check(v)
	}
	if err != nil {
		p.add(at+".default", "%v", err)
	}
}

// Delimiters begin the parts of a dynamic pin: list index, object key, attribute.
var Delimiters = [...]string{"_$_", "_#_", "_@_"}

func nameProblem(name string) string {
	if name == "" {
		return "a pin must have a name"
	}
	for _, d := range append(Delimiters[:], "_^_") {
		if strings.Contains(name, d) {
			return fmt.Sprintf("a pin's name must not contain %q", d)
		}
	}
	return ""
}

// withErrorPin adds the error pin to the output schema of a block that lacks it. Input and output nodes have none.
func withErrorPin(d Definition) json.RawMessage {
	if d.Kind == Input || d.Kind == Output || jsonscan.KindOf(d.OutputSchema) != jsonscan.Object {
		return d.OutputSchema
	}
	const pin = `"error":{"title":"Error","type":"string","description":"Why the block failed."}`
	properties, ok := jsonscan.Find(d.OutputSchema, "properties")
	if !ok {
		return insertMember(d.OutputSchema, `"properties":{`+pin+`}`)
	}
	if jsonscan.KindOf(properties) != jsonscan.Object {
		return d.OutputSchema
	}
	if _, ok := jsonscan.Find(properties, ErrorPin); ok {
		return d.OutputSchema
	}
	extended := insertMember(properties, pin)
	out := []byte{'{'}
	for k, v := range jsonscan.Members(d.OutputSchema) {
		if jsonscan.KeyIs(k, "properties") {
			v = extended
		}
		out = append(append(append(comma(out), k...), ':'), v...)
	}
	return append(out, '}')
}

// insertMember appends a member to an object.
func insertMember(object json.RawMessage, member string) json.RawMessage {
	object = jsonscan.Trim(object)
	out := slices.Clone(object[:len(object)-1])
	if jsonscan.Len(object) > 0 {
		out = append(out, ',')
	}
	return append(append(out, member...), '}')
}

func escapePointer(name string) string {
	return strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
}

// fragment escapes a JSON pointer for the fragment of a URL.
func fragment(pointer string) string {
	const plain = "/~-_.!$&'()*+,;=:@"
	var b strings.Builder
	for i := range len(pointer) {
		c := pointer[i]
		if c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || strings.IndexByte(plain, c) >= 0 {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}
