package blocktest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
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
	var equal bool
	if alternates(want) {
		equal = slices.EqualFunc(want, got, func(a, b sdk.Value) bool {
			return a.Pin == b.Pin && reflect.DeepEqual(decode(t, a), decode(t, b))
		})
	} else {
		equal = reflect.DeepEqual(byPin(t, want), byPin(t, got))
	}
	if !equal {
		t.Errorf("input %s\ngot  %s\nwant %s", example.Input, text(got), text(want))
	}
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

func byPin(t *testing.T, values []sdk.Value) map[string][]any {
	t.Helper()
	pins := map[string][]any{}
	for _, v := range values {
		pins[v.Pin] = append(pins[v.Pin], decode(t, v))
	}
	return pins
}

func decode(t *testing.T, v sdk.Value) any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(v.Value))
	d.UseNumber()
	var decoded any
	if err := d.Decode(&decoded); err != nil {
		t.Fatalf("pin %q: %v", v.Pin, err)
	}
	return decoded
}

func text(values []sdk.Value) string {
	var b bytes.Buffer
	for _, v := range values {
		fmt.Fprintf(&b, "%s=%s ", v.Pin, v.Value)
	}
	return b.String()
}
