package blocktest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"testing"

	"github.com/patchbay-io/patchbay/sdk"
	"github.com/patchbay-io/patchbay/sdk/proto"
)

// Examples runs every example of the blocks and compares the outputs: pin by pin, or, where an example's outputs
// alternate between pins, all in order. Numbers are compared as they are written.
func Examples(t *testing.T, blocks ...sdk.Definition) {
	t.Helper()
	ExamplesContext(t.Context(), t, blocks...)
}

// ExamplesContext is Examples in a context of the caller's, as RunContext is: with a Host that has a Transport, say,
// which plays the service that the blocks call.
func ExamplesContext(ctx context.Context, t *testing.T, blocks ...sdk.Definition) {
	t.Helper()
	for _, block := range blocks {
		description, err := block.Describe()
		if err != nil {
			t.Error(err)
			continue
		}
		for i, example := range description.Examples {
			t.Run(fmt.Sprintf("%s/%d", description.Name, i+1), func(t *testing.T) {
				t.Parallel()
				got, err := RunContext(ctx, t, block, string(example.Input))
				if err != nil {
					t.Fatalf("%s: %v", example.Input, err)
				}
				compare(t, example, got)
			})
		}
	}
}

func compare(t *testing.T, example *proto.Example, got []sdk.Value) {
	t.Helper()
	want := make([]sdk.Value, len(example.Outputs))
	for i, output := range example.Outputs {
		want[i] = sdk.Value{Pin: output.Pin, Value: output.Value}
	}
	equal, err := Equal(want, got)
	if err != nil {
		t.Fatal(err)
	}
	if !equal {
		t.Errorf("input %s\ngot  %s\nwant %s", example.Input, text(got), text(want))
	}
}

// Equal says whether outputs are those that an example wants, as Examples compares them. Its error is a value that is no
// JSON.
func Equal(want, got []sdk.Value) (bool, error) {
	wanted, err := decode(want)
	if err != nil {
		return false, err
	}
	given, err := decode(got)
	if err != nil {
		return false, err
	}
	if alternates(want) {
		return reflect.DeepEqual(wanted, given), nil
	}
	return reflect.DeepEqual(byPin(wanted), byPin(given)), nil
}

// alternates says whether a pin comes again after another one.
func alternates(values []sdk.Value) bool {
	left := map[string]bool{}
	for i, v := range values {
		if i > 0 && values[i-1].Pin != v.Pin {
			left[values[i-1].Pin] = true
			if left[v.Pin] {
				return true
			}
		}
	}
	return false
}

// decoded is an output with its value in Go's types, numbers as they are written.
type decoded struct {
	pin   string
	value any
}

func byPin(values []decoded) map[string][]any {
	pins := map[string][]any{}
	for _, v := range values {
		pins[v.pin] = append(pins[v.pin], v.value)
	}
	return pins
}

func decode(values []sdk.Value) ([]decoded, error) {
	all := make([]decoded, len(values))
	for i, v := range values {
		d := json.NewDecoder(bytes.NewReader(v.Value))
		d.UseNumber()
		all[i].pin = v.Pin
		if err := d.Decode(&all[i].value); err != nil {
			return nil, fmt.Errorf("pin %q: %w", v.Pin, err)
		}
	}
	return all, nil
}

func text(values []sdk.Value) string {
	var b bytes.Buffer
	for _, v := range values {
		fmt.Fprintf(&b, "%s=%s ", v.Pin, v.Value)
	}
	return b.String()
}
