// Benchplugin has a block that passes its input on, once without any effect and once as if it had one.
package main

import (
	"context"
	"encoding/json"

	"github.com/patchbay-io/patchbay/sdk"
)

type input struct {
	In json.RawMessage `json:"in" doc:"What is passed on" required:"true"`
}

func pass(_ context.Context, in input, out sdk.Emitter) error { return out.Emit("out", in.In) }

func block(id, name string, traits sdk.Traits) sdk.Block[input] {
	return sdk.Block[input]{
		ID: id, Name: name, Description: "Passes its input on.", Categories: []string{"BASIC"}, Traits: traits,
		Outputs: sdk.Outputs{sdk.Out("out", sdk.Any("The input"))}, Run: pass,
	}
}

func main() {
	sdk.Serve(sdk.Plugin{Name: "benchplugin", Version: "0.1.0", Blocks: sdk.Blocks(
		block("b0000000-0000-4000-8000-000000000001", "Pass", sdk.Pure),
		block("b0000000-0000-4000-8000-000000000002", "Pass With Effect", 0),
	)})
}
