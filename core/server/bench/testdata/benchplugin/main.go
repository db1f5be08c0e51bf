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
	"time"

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

// ticking emits its input again and again.
func ticking() sdk.Block[ticks] {
	b := sdk.Block[ticks]{
		ID: "b0000000-0000-4000-8000-000000000003", Name: "Tick", Description: "Emits a value in even time.", Categories: []string{"BASIC"}, Traits: sdk.Streaming,
		Outputs: sdk.Outputs{sdk.Out("out", sdk.Any("The input"))},
	}
	b.Run = func(ctx context.Context, in ticks, out sdk.Emitter) error {
		tick := time.NewTicker(time.Duration(in.Every) * time.Millisecond)
		defer tick.Stop()
		for range in.Count {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return ctx.Err()
			}
			if err := out.Emit("out", in.In); err != nil {
				return err
			}
		}
		return nil
	}
	return b
}

type ticks struct {
	In    json.RawMessage `json:"in" doc:"What is emitted" required:"true"`
	Count int             `json:"count" doc:"How often"`
	Every int             `json:"every" doc:"Milliseconds between"`
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
		ticking(),
	)})
}
