// Hello is a complete plugin with one block.
package main

import (
	"context"

	"github.com/patchbay-io/patchbay/sdk"
)

type input struct {
	Name string `json:"name" doc:"Who is greeted" default:"World"`
}

var hello = sdk.Block[input]{
	ID: "0f0c6f1e-52a5-4a7c-9d0d-4d9d5b6a9c01", Name: "Hello", Categories: []string{"TEXT"}, Traits: sdk.Pure,
	Outputs: sdk.Outputs{sdk.Out("greeting", sdk.String("The greeting"))},
	Run: func(ctx context.Context, in input, out sdk.Emitter) error {
		return out.Emit("greeting", "Hello, "+in.Name+"!")
	},
	Examples: []sdk.Example{{Input: `{"name":"Ada"}`, Output: `{"greeting":["Hello, Ada!"]}`}},
}

func main() {
	sdk.Serve(sdk.Plugin{Name: "hello", Version: "1.0.0", Blocks: sdk.Blocks(hello)})
}
