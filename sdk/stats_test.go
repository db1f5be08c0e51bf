package sdk_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/patchbay-io/patchbay/sdk"
	"github.com/patchbay-io/patchbay/sdk/blocktest"
)

func TestWhatABlockCounts(t *testing.T) {
	t.Parallel()
	block := sdk.Block[json.RawMessage]{
		ID: "aaaaaaaa-0000-4000-8000-000000000001", Name: "Counter",
		Run: func(ctx context.Context, _ json.RawMessage, _ sdk.Emitter) error {
			sdk.Count(ctx, "tokens", 3)
			sdk.Count(ctx, "tokens", -1)
			for _, name := range []string{"", "A", "a b", "1a", "a\x00"} {
				sdk.Count(ctx, name, 1)
			}
			for i := range 100 {
				sdk.Count(ctx, fmt.Sprint("n", i), 1)
			}
			return nil
		},
	}
	ctx := sdk.WithCounts(t.Context())
	if _, err := blocktest.RunContext(ctx, t, block, `{}`); err != nil {
		t.Fatal(err)
	}
	got := sdk.Counted(ctx)
	if got["tokens"] != 2 || len(got) != 32 || got["n30"] != 1 {
		t.Errorf("counted %v", got)
	}
	clear(got)
	if len(sdk.Counted(ctx)) != 32 || sdk.Counted(t.Context()) != nil {
		t.Error("what was counted has changed")
	}
}
