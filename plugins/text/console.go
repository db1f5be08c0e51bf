package main

import (
	"context"
	"encoding/json"

	"github.com/patchbay-io/patchbay/sdk"
)

// maxLogged bounds in bytes what one run writes to the server's log.
const maxLogged = 4 << 10

type printToConsoleInput struct {
	Text json.RawMessage `json:"text" required:"true" doc:"Value to write to the log"`
}

var printToConsole = sdk.Block[printToConsoleInput]{
	ID:          "f3b1c1b2-4c4f-4f0d-8d2f-4c4f0d8d2f4c",
	Name:        "Print To Console",
	Description: "Writes a value to the server's log and passes it on",
	Categories:  []string{"BASIC"},
	Outputs: sdk.Outputs{
		sdk.Out("output", sdk.Any("The value")),
		sdk.Out("status", sdk.String("printed")),
	},
	Run: func(ctx context.Context, in printToConsoleInput, out sdk.Emitter) error {
		sdk.Logger(ctx).Info("print to console", "text", string(in.Text[:min(len(in.Text), maxLogged)]))
		if err := out.Emit("output", in.Text); err != nil {
			return err
		}
		return out.Emit("status", "printed")
	},
	Examples: []sdk.Example{{Input: `{"text": "Hello"}`, Output: `{"output": ["Hello"], "status": ["printed"]}`}},
}
