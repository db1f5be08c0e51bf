// Benchplugin has a block that passes its input on, once without any effect and once as if it had one. As many_<number>
// it has one block of its own.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

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
	if name := filepath.Base(os.Args[0]); strings.HasPrefix(name, "many_") { // one of many, by its name
		sdk.Serve(sdk.Plugin{Name: name, Version: "0.1.0", Blocks: sdk.Blocks(
			block(fmt.Sprintf("b0000000-0000-4000-9000-%012s", strings.TrimPrefix(name, "many_")), "Pass "+name, sdk.Pure),
		)})
		return
	}
	sdk.Serve(sdk.Plugin{Name: "benchplugin", Version: "0.1.0", Blocks: sdk.Blocks(
		block("b0000000-0000-4000-8000-000000000001", "Pass", sdk.Pure),
		block("b0000000-0000-4000-8000-000000000002", "Pass With Effect", 0),
	)})
}
