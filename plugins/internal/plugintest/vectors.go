package plugintest

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/patchbay-io/patchbay/sdk"
	"github.com/patchbay-io/patchbay/sdk/blocktest"
)

// vector is one or more runs of a block and the outputs of all of them one after the other, or a part of the error
// that the last run ends with.
type vector struct {
	Block   string               `json:"block"`
	Runs    []json.RawMessage    `json:"runs"`
	Outputs [][2]json.RawMessage `json:"outputs"`
	Error   string               `json:"error"`
}

// Vectors runs the vectors of all files in testdata. Values are compared by their bytes, white space aside.
func Vectors(t *testing.T, plugin sdk.Plugin) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no vectors: %v", err)
	}
	blocks := map[string]sdk.Definition{}
	for _, block := range plugin.Blocks {
		description, err := block.Describe()
		if err != nil {
			t.Fatal(err)
		}
		blocks[description.Name] = block
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var vectors []vector
		if err := json.Unmarshal(content, &vectors); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, v := range vectors {
			t.Run(filepath.Base(file), func(t *testing.T) {
				t.Parallel()
				block, ok := blocks[v.Block]
				if !ok {
					t.Fatalf("there is no block %q", v.Block)
				}
				v.check(t, block)
			})
		}
	}
}

func (v vector) check(t *testing.T, block sdk.Definition) {
	t.Helper()
	var got strings.Builder
	var failure error
	host := sdk.WithHost(t.Context(), &blocktest.Host{}) // the runs are of one node, one after the other
	for i, run := range v.Runs {
		var values []sdk.Value
		ctx := sdk.WithRun(host, sdk.Run{NodeExecutionID: strconv.Itoa(i)})
		values, failure = blocktest.RunContext(ctx, t, block, string(run))
		for _, value := range values {
			got.WriteString(value.Pin + " = " + compact(t, value.Value) + "\n")
		}
	}
	var want strings.Builder
	for _, output := range v.Outputs {
		want.WriteString(strings.Trim(string(output[0]), `"`) + " = " + compact(t, output[1]) + "\n")
	}
	if got.String() != want.String() {
		t.Errorf("%s\n got %s\nwant %s", v.Runs, got.String(), want.String())
	}
	switch {
	case v.Error == "" && failure != nil:
		t.Errorf("%s: %v", v.Runs, failure)
	case v.Error != "" && (failure == nil || !strings.Contains(failure.Error(), v.Error)):
		t.Errorf("%s: got error %v, want one with %q", v.Runs, failure, v.Error)
	}
}

func compact(t *testing.T, raw json.RawMessage) string {
	t.Helper()
	var out bytes.Buffer
	if err := json.Compact(&out, raw); err != nil {
		t.Fatalf("%.100s: %v", raw, err)
	}
	return out.String()
}
