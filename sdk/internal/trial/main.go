// Trial is the plugin of the SDK's tests: blocks that do what blocks should, and what they should not.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/patchbay-io/patchbay/sdk"
)

type raw struct {
	Value json.RawMessage `json:"value" required:"true"`
}

type count struct {
	N int `json:"n" required:"true" minimum:"0"`
}

type nothing struct{}

var output = sdk.Outputs{sdk.Out("output", sdk.Any("What came of it"))}

var echo = sdk.Block[raw]{
	ID: "5d6a36fe-6a64-4c7c-8b9c-000000000001", Name: "Echo", Outputs: output, Traits: sdk.Pure,
	Run: func(_ context.Context, in raw, out sdk.Emitter) error { return out.Emit("output", in.Value) },
}

var counter = sdk.Block[count]{
	ID: "5d6a36fe-6a64-4c7c-8b9c-000000000002", Name: "Count", Outputs: output, Traits: sdk.Streaming,
	Run: func(ctx context.Context, in count, out sdk.Emitter) error {
		recorded := sdk.RunFrom(ctx).Recorded
		for _, v := range recorded {
			if err := out.Emit(v.Pin, v.Value); err != nil {
				return err
			}
		}
		for i := len(recorded); i < in.N; i++ {
			out.Progress(sdk.Progress{Percent: 100 * float64(i) / float64(in.N)})
			if err := out.Emit("output", i); err != nil {
				return err
			}
		}
		return nil
	},
}

// wait says what it knows of its run, and then waits to be cancelled.
var wait = sdk.Block[nothing]{
	ID: "5d6a36fe-6a64-4c7c-8b9c-000000000003", Name: "Wait", Outputs: output,
	Run: func(ctx context.Context, _ nothing, out sdk.Emitter) error {
		run := sdk.RunFrom(ctx)
		if err := out.Emit("output", []any{run.ExecutionID, run.Attempt, run.IdempotencyKey, run.Timezone, sdk.Setting(ctx, "greeting")}); err != nil {
			return err
		}
		<-ctx.Done()
		return ctx.Err()
	},
}

var panics = sdk.Block[nothing]{
	ID: "5d6a36fe-6a64-4c7c-8b9c-000000000004", Name: "Panic", Outputs: output,
	Run: func(context.Context, nothing, sdk.Emitter) error {
		var m map[string]int
		m["a"]++
		return nil
	},
}

// prints writes to standard output in every way there is, and more than a pipe holds.
var prints = sdk.Block[nothing]{
	ID: "5d6a36fe-6a64-4c7c-8b9c-000000000005", Name: "Print", Outputs: output,
	Run: func(ctx context.Context, _ nothing, out sdk.Emitter) error {
		for range 10_000 {
			fmt.Println("stray print")
		}
		if _, err := syscall.Write(1, []byte("stray descriptor\n")); err != nil {
			return err
		}
		child := exec.CommandContext(ctx, "/bin/echo", "stray child")
		child.Stdout = os.Stdout
		if err := child.Run(); err != nil {
			return err
		}
		sdk.Logger(ctx).Info("logged line", "key", "value")
		return out.Emit("output", os.Getenv("PATCHBAY_PLUGIN"))
	},
}

var fails = sdk.Block[raw]{
	ID: "5d6a36fe-6a64-4c7c-8b9c-000000000006", Name: "Fail", Outputs: output,
	Run: func(_ context.Context, in raw, _ sdk.Emitter) error {
		cause := errors.New("cause\xff")
		switch string(in.Value) {
		case `"rate"`:
			return sdk.RateLimited(1500*time.Millisecond, "slow down: %w", cause)
		case `"temporary"`:
			return fmt.Errorf("wrapped: %w", sdk.Temporary("try again"))
		case `"authentication"`:
			return sdk.Authentication("no key")
		}
		return cause
	},
}

func init() { fmt.Println("printed before main") }

func main() {
	fmt.Println("printed by main")
	sdk.Serve(sdk.Plugin{
		Name: "trial", Version: "1.2.3", Description: "For tests",
		Blocks:   sdk.Blocks(echo, counter, wait, panics, prints, fails, services),
		Settings: []sdk.PluginSetting{{Name: "greeting", Default: "hello"}},
	})
}
