package sdk

import (
	"context"
	"encoding/json"
	"testing"
)

// BenchmarkExecute measures what a small run costs besides the stream.
func BenchmarkExecute(b *testing.B) {
	type input struct {
		Value json.RawMessage `json:"value" required:"true"`
		Text  string          `json:"text" default:"x"`
		N     int             `json:"n"`
	}
	block := Block[input]{
		ID: testID + "01", Name: "Echo", Outputs: Outputs{Out("output", Any(""))},
		Run: func(_ context.Context, in input, out Emitter) error { return out.Emit("output", in.Value) },
	}
	description, err := block.Describe()
	if err != nil {
		b.Fatal(err)
	}
	bound, err := bind(block, description)
	if err != nil {
		b.Fatal(err)
	}
	raw := json.RawMessage(`{"value":{"a":[1,2,3],"b":"some text that is passed on"},"n":3}`)
	b.ReportAllocs()
	for b.Loop() {
		if err := bound.execute(b.Context(), raw, checked{bound, &recorder{}}); err != nil {
			b.Fatal(err)
		}
	}
}
