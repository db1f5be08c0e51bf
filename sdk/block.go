// Package sdk is what an author needs to write a Patchbay plugin: blocks with typed inputs, and Serve, which makes a
// process of them that a Patchbay server starts and runs. It must never import anything of the server.
package sdk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/patchbay-io/patchbay/sdk/proto"
)

// Block is one block. In is a struct whose fields are the input pins; README.md lists the tags that describe them.
type Block[In any] struct {
	ID          string // a UUID in lower case, the same for ever
	Name        string
	Description string
	Categories  []string
	Type        BlockType
	Outputs     Outputs
	Traits      Traits
	// StaticOutput: the last value of each output pin is kept and used again by what is linked to it.
	StaticOutput bool
	// InputSchema replaces the schema made of In: the JSON Schema of an object whose properties are the pins.
	InputSchema json.RawMessage
	// Run does the work. It may emit any number of outputs in any order; the error that it returns is what comes out
	// of the pin "error". It ends soon after ctx is cancelled.
	Run      func(ctx context.Context, in In, out Emitter) error
	Examples []Example
}

// Example documents a block and is a test of it (blocktest.Examples).
type Example struct {
	Input string // JSON object
	// Output is either an object of pins to lists of their values, {"output": ["HI"]}, or, where the order among pins
	// matters, a list of pairs: [["item", 1], ["key", 0]].
	Output string
}

// BlockType is what kind of block it is; most are Standard.
type BlockType int32

// The types of blocks.
const (
	Standard       = BlockType(proto.BlockType_BLOCK_TYPE_UNSPECIFIED)
	AI             = BlockType(proto.BlockType_BLOCK_TYPE_AI)
	Webhook        = BlockType(proto.BlockType_BLOCK_TYPE_WEBHOOK)
	WebhookManual  = BlockType(proto.BlockType_BLOCK_TYPE_WEBHOOK_MANUAL)
	HumanInTheLoop = BlockType(proto.BlockType_BLOCK_TYPE_HUMAN_IN_THE_LOOP)
)

// Traits are a block's promises to the scheduler, joined with |.
type Traits uint8

const (
	// Pure blocks have no effect outside and give the same outputs for the same input. They may run again, and early.
	Pure Traits = 1 << iota
	// Streaming blocks have their outputs recorded and delivered as they come, not at the end of the run. After an
	// interruption such a block runs again, and repeats what earlier attempts left: Run.Recorded.
	Streaming
	// Once blocks are never repeated unless somebody says so: a run that was cut off fails.
	Once
)

// Definition is a block of any input type. Block implements it; a plugin that makes its blocks at start (of a remote
// catalogue, say) may implement it itself.
type Definition interface {
	// Describe gives what the host is told, or says what is wrong with the block.
	Describe() (*proto.BlockDescription, error)
	// Execute runs the block on a JSON object.
	Execute(ctx context.Context, input json.RawMessage, out Emitter) error
}

// Blocks makes one list of blocks of different input types.
func Blocks(blocks ...Definition) []Definition { return blocks }

// Execute decodes the input, applying the defaults of absent pins, and calls Run.
func (b Block[In]) Execute(ctx context.Context, input json.RawMessage, out Emitter) error {
	p, err := inputOf(reflect.TypeFor[In]())
	if err != nil {
		return fmt.Errorf("block %q: %w", b.Name, err)
	}
	var in In
	if err := p.decode(input, scopeOf(ctx).credentials, reflect.ValueOf(&in).Elem()); err != nil {
		return err
	}
	return b.Run(ctx, in, out)
}

// idForm takes letters past f too: a block that is there already may have an id that only looks like a UUID.
var idForm = regexp.MustCompile(`^[0-9a-z]{8}(-[0-9a-z]{4}){3}-[0-9a-z]{12}$`)

// Describe checks the block and tells the host about it.
func (b Block[In]) Describe() (*proto.BlockDescription, error) {
	description, err := b.describe()
	if err != nil {
		return nil, fmt.Errorf("block %q: %w", b.Name, err)
	}
	return description, nil
}

func (b Block[In]) describe() (*proto.BlockDescription, error) {
	switch {
	case !idForm.MatchString(b.ID):
		return nil, fmt.Errorf("its ID %q is not a UUID in lower case", b.ID)
	case b.Name == "":
		return nil, errors.New("it has no Name")
	case b.Run == nil:
		return nil, errors.New("it has no Run")
	case b.Traits&Pure != 0 && b.Traits&Once != 0:
		return nil, errors.New("a block cannot be Pure and Once")
	}
	p, err := inputOf(reflect.TypeFor[In]())
	if err != nil {
		return nil, err
	}
	inputSchema := p.schema
	if b.InputSchema != nil {
		if !isObject(b.InputSchema) {
			return nil, errors.New("InputSchema is not a JSON object")
		}
		inputSchema = b.InputSchema
	}
	outputSchema, err := b.Outputs.schema()
	if err != nil {
		return nil, err
	}
	description := &proto.BlockDescription{
		Id:           b.ID,
		Name:         b.Name,
		Description:  b.Description,
		Categories:   b.Categories,
		Type:         proto.BlockType(b.Type),
		InputSchema:  inputSchema,
		OutputSchema: outputSchema,
		StaticOutput: b.StaticOutput,
		Traits: &proto.Traits{
			Pure:      b.Traits&Pure != 0,
			Streaming: b.Traits&Streaming != 0,
			Once:      b.Traits&Once != 0,
		},
	}
	for _, f := range p.fields {
		if f.credentials != nil {
			description.Credentials = append(description.Credentials, f.credentials.proto(f.name))
		}
	}
	for i, example := range b.Examples {
		outputs, err := example.outputs()
		if err != nil {
			return nil, fmt.Errorf("example %d: %w", i+1, err)
		}
		if err := b.knows(p, example, outputs); err != nil {
			return nil, fmt.Errorf("example %d: %w", i+1, err)
		}
		description.Examples = append(description.Examples, &proto.Example{Input: []byte(example.Input), Outputs: outputs})
	}
	return description, nil
}

// knows says which pin of an example the block does not have. Of dynamic pins (list_$_0) it has the first part.
func (b Block[In]) knows(p *inputType, e Example, outputs []*proto.PinValue) error {
	for _, o := range outputs {
		if !slices.ContainsFunc(b.Outputs, func(out Output) bool { return out.Pin == o.Pin || out.Pin == baseOf(o.Pin) }) {
			return fmt.Errorf("there is no output pin %q", o.Pin)
		}
	}
	members, err := membersOf([]byte(e.Input))
	if err != nil || p.whole || b.InputSchema != nil {
		return err
	}
	for _, m := range members {
		if !slices.ContainsFunc(p.fields, func(f field) bool { return f.name == m.key || f.name == baseOf(m.key) }) {
			return fmt.Errorf("there is no input pin %q", m.key)
		}
	}
	return nil
}

// baseOf is a pin's name without what follows a dynamic pin's delimiter.
func baseOf(pin string) string {
	for _, delimiter := range []string{"_$_", "_#_", "_@_", "_^_"} {
		pin, _, _ = strings.Cut(pin, delimiter)
	}
	return pin
}

// outputs lists the example's expected outputs in the order in which they are written.
func (e Example) outputs() ([]*proto.PinValue, error) {
	if !isObject([]byte(e.Input)) {
		return nil, errors.New("Input is not a JSON object")
	}
	if strings.HasPrefix(strings.TrimSpace(e.Output), "[") {
		var pairs [][2]json.RawMessage
		if err := json.Unmarshal([]byte(e.Output), &pairs); err != nil {
			return nil, fmt.Errorf("Output is not a list of pairs of pin and value: %w", err)
		}
		outputs := make([]*proto.PinValue, len(pairs))
		for i, pair := range pairs {
			var pin string
			if err := json.Unmarshal(pair[0], &pin); err != nil {
				return nil, fmt.Errorf("Output: pair %d does not begin with a pin: %w", i+1, err)
			}
			outputs[i] = &proto.PinValue{Pin: pin, Value: pair[1]}
		}
		return outputs, nil
	}
	members, err := membersOf([]byte(e.Output))
	if err != nil {
		return nil, fmt.Errorf("Output: %w", err)
	}
	var outputs []*proto.PinValue
	for _, m := range members {
		var values []json.RawMessage
		if err := json.Unmarshal(m.value, &values); err != nil {
			return nil, fmt.Errorf("Output: pin %q does not have a list of values: %w", m.key, err)
		}
		for _, value := range values {
			outputs = append(outputs, &proto.PinValue{Pin: m.key, Value: value})
		}
	}
	return outputs, nil
}
