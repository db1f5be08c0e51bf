// Package blocktest tests blocks: alone, by their examples, and through a real plugin process. It is for tests only.
package blocktest

import (
	"context"
	"encoding/json"
	"sync"
	"testing"

	"github.com/patchbay-io/patchbay/sdk"
)

// Run runs a block on a JSON object and gives its outputs in order, and the error that the block returned.
func Run(t testing.TB, block sdk.Definition, input string) ([]sdk.Value, error) {
	t.Helper()
	return RunContext(t.Context(), t, block, input)
}

// RunContext is Run in a context of the caller's: with sdk.WithRun, sdk.WithSettings,
// sdk.WithCredentials or a deadline. A context without
// sdk.WithHost gets a Host that is empty.
func RunContext(ctx context.Context, t testing.TB, block sdk.Definition, input string) ([]sdk.Value, error) {
	t.Helper()
	if _, err := block.Describe(); err != nil {
		t.Fatal(err)
	}
	if sdk.HostFrom(ctx) == nil {
		ctx = sdk.WithHost(ctx, &Host{})
	}
	out := &collector{ctx: ctx}
	err := sdk.Execute(ctx, block, json.RawMessage(input), out)
	out.mu.Lock()
	defer out.mu.Unlock()
	return out.values, err
}

type collector struct {
	ctx    context.Context
	mu     sync.Mutex
	values []sdk.Value
}

func (c *collector) Emit(pin string, value any) error {
	if err := c.ctx.Err(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.values = append(c.values, sdk.Value{Pin: pin, Value: value.(json.RawMessage)}) // Execute encodes
	return nil
}

func (c *collector) Progress(sdk.Progress) {}
