package sdk

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/patchbay-io/patchbay/sdk/proto"
)

// Execute runs a block outside of a session, as blocktest does: pins are checked, out gets every value as
// json.RawMessage, and a panic becomes an error.
func Execute(ctx context.Context, block Definition, input json.RawMessage, out Emitter) error {
	description, err := block.Describe()
	if err != nil {
		return err
	}
	b, err := bind(block, description)
	if err != nil {
		return err
	}
	s := scopeOf(ctx)
	s.run.Input, s.block, s.nth = input, b.name, &nth{} // each run counts for itself
	return b.execute(context.WithValue(ctx, scopeKey{}, s), input, checked{b, out})
}

type checked struct {
	block bound
	to    Emitter
}

func (c checked) Emit(pin string, value any) error {
	raw, err := c.block.output(pin, value)
	if err != nil {
		return err
	}
	return c.to.Emit(pin, raw)
}

func (c checked) Progress(p Progress) { c.to.Progress(p) }

// bound is a block that knows its output pins.
type bound struct {
	Definition
	name string
	pins map[string]bool
}

func bind(block Definition, description *proto.BlockDescription) (bound, error) {
	var outputs struct {
		Properties map[string]json.RawMessage `json:"properties"`
	}
	if err := json.Unmarshal(description.OutputSchema, &outputs); err != nil {
		return bound{}, fmt.Errorf("block %q: output schema: %w", description.Name, err)
	}
	pins := make(map[string]bool, len(outputs.Properties))
	for pin := range outputs.Properties {
		pins[pin] = true
	}
	return bound{Definition: block, name: description.Name, pins: pins}, nil
}

// output checks a pin and makes its value's bytes.
func (b bound) output(pin string, value any) (json.RawMessage, error) {
	if !b.pins[pin] && !b.pins[pinBase(pin)] {
		return nil, fmt.Errorf("block %q has no output pin %q", b.name, pin)
	}
	raw, err := encode(value)
	if err != nil {
		return nil, fmt.Errorf("output pin %q: %w", pin, err)
	}
	if len(raw) > proto.MaxValue {
		return nil, fmt.Errorf("output pin %q: a value of %d bytes, at most %d are taken", pin, len(raw), proto.MaxValue)
	}
	return raw, nil
}

// execute runs the block; a panic becomes its error.
func (b bound) execute(ctx context.Context, input json.RawMessage, out Emitter) (err error) {
	returned := false
	defer func() {
		if !returned {
			err = newPanicError(recover())
		}
	}()
	err = b.Execute(ctx, input, out)
	returned = true
	return err
}
