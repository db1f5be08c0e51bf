// Markplugin has blocks whose effect is a request that a test counts: one that may be repeated, and one that must not.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/patchbay-io/patchbay/sdk"
)

type input struct {
	URL   string          `json:"url" doc:"Where the mark is made" required:"true"`
	Value json.RawMessage `json:"value" doc:"What is passed on" required:"true"`
}

func mark(ctx context.Context, in input, out sdk.Emitter) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, in.URL, strings.NewReader(string(in.Value)))
	if err != nil {
		return err
	}
	run := sdk.RunFrom(ctx)
	request.Header.Set("Idempotency-Key", run.IdempotencyKey)
	request.Header.Set("Execution", run.ExecutionID)
	response, err := sdk.HTTPClient(ctx).Do(request)
	if err != nil {
		return err
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("no mark was made: %s", response.Status)
	}
	return out.Emit("value", in.Value)
}

func block(id, name string, traits sdk.Traits) sdk.Block[input] {
	return sdk.Block[input]{
		ID: id, Name: name, Description: "Makes a mark elsewhere and passes its input on.", Categories: []string{"BASIC"}, Traits: traits,
		Outputs: sdk.Outputs{sdk.Out("value", sdk.Any("The input"))}, Run: mark,
	}
}

func main() {
	sdk.Serve(sdk.Plugin{Name: "markplugin", Version: "0.1.0", Blocks: sdk.Blocks(
		block("c4a05000-0000-4000-8000-000000000001", "Mark", 0),
		block("c4a05000-0000-4000-8000-000000000002", "Mark Once", sdk.Once),
	)})
}
