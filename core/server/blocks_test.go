package server_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/sdk/blocktest"
)

// allBlocks is how many blocks agents find on every server beside those of the plugins that reach out.
const allBlocks = 57

// reachOut are the plugins whose examples talk to services: their own tests play these.
var reachOut = []string{"github", "google", "http", "llm"}

// blockExample is a node that runs an example of a block.
type blockExample struct {
	node graphNode
	want map[string][]any
}

func TestEveryBlockIsThereAndItsExamplesRun(t *testing.T) {
	t.Parallel()
	i := startInstance(t)
	served := i.blockNames()
	wanted, others := wantedBlocks(t)
	if len(wanted) != allBlocks {
		t.Errorf("%d blocks are wanted, not %d", len(wanted), allBlocks)
	}
	for _, names := range []map[string]string{wanted, others} {
		for id, name := range names {
			if served[id] != name {
				t.Errorf("block %s is %q, want %q", id, served[id], name)
			}
		}
	}
	child := i.create(document([]graphNode{
		{"in", inputBlock, map[string]any{"name": "topic"}},
		{"out", outputBlock, map[string]any{"name": "answer"}},
	}, graphLink{SourceID: "in", SourceName: "result", SinkID: "out", SinkName: "value"}))
	examples := examplesOf(t, child)
	for id, name := range wanted {
		if len(examples[id]) == 0 {
			t.Errorf("block %s has no example", name)
		}
	}
	var nodes []graphNode
	want := map[string]map[string][]any{}
	for _, ofBlock := range examples {
		for _, e := range ofBlock {
			nodes = append(nodes, e.node)
			want[e.node.ID] = e.want
		}
	}
	ran := i.nodeOutputs(i.run(i.create(document(nodes)), `{}`).ID)
	for id, outputs := range want {
		got, ok := ran[id]
		if strings.HasPrefix(id, "Note ") {
			if ok {
				t.Errorf("the note %q ran", id)
			}
			continue
		}
		if got.Status != "COMPLETED" || !reflect.DeepEqual(got.Outputs, outputs) {
			t.Errorf("example %s: %s %s\n got %v\nwant %v", id, got.Status, got.Error, got.Outputs, outputs)
		}
	}
}

// wantedBlocks are the blocks that the file of facts names, and the structural ones; others are those that reach out.
func wantedBlocks(t *testing.T) (wanted, others map[string]string) {
	t.Helper()
	content, err := os.ReadFile("../../plugins/testdata/blocks-facts.json")
	if err != nil {
		t.Fatal(err)
	}
	var facts []struct{ Plugin, ID, Name string }
	if err := json.Unmarshal(content, &facts); err != nil {
		t.Fatal(err)
	}
	wanted, others = map[string]string{}, map[string]string{}
	for _, f := range facts {
		if slices.Contains(reachOut, f.Plugin) {
			others[f.ID] = f.Name
		} else {
			wanted[f.ID] = f.Name
		}
	}
	for _, b := range block.Structural() {
		wanted[b.ID] = b.Name
	}
	return wanted, others
}

// examplesOf makes a node of every example, of the plugins' blocks as the plugins describe them. The example of the
// nested agent runs a child that the test has made.
func examplesOf(t *testing.T, child string) map[string][]blockExample {
	t.Helper()
	all := map[string][]blockExample{}
	add := func(id, name string, input []byte, outputs []block.ExampleOutput) {
		e := blockExample{node: graphNode{ID: fmt.Sprintf("%s %d", name, len(all[id])+1), BlockID: id}, want: map[string][]any{}}
		text := strings.ReplaceAll(string(input), block.ExampleAgentID, child)
		if err := json.Unmarshal([]byte(text), &e.node.InputDefault); err != nil {
			t.Fatalf("example of %s: %v", name, err)
		}
		for _, output := range outputs {
			var v any
			if err := json.Unmarshal(output.Value, &v); err != nil {
				t.Fatalf("example of %s: %v", name, err)
			}
			e.want[output.Pin] = append(e.want[output.Pin], v)
		}
		all[id] = append(all[id], e)
	}
	binaries, err := filepath.Glob(filepath.Join(plugins, "*", "plugin.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, manifest := range binaries {
		folder := filepath.Dir(manifest)
		if slices.Contains(reachOut, filepath.Base(folder)) {
			continue
		}
		for _, b := range blocktest.Start(t, filepath.Join(folder, filepath.Base(folder)), nil).Description().Blocks {
			for _, e := range b.Examples {
				var outputs []block.ExampleOutput
				for _, output := range e.Outputs {
					outputs = append(outputs, block.ExampleOutput{Pin: output.Pin, Value: output.Value})
				}
				add(b.Id, b.Name, e.Input, outputs)
			}
		}
	}
	for _, b := range block.Structural() {
		if e, ok := block.StructuralExample(b.ID); ok {
			add(b.ID, b.Name, e.Input, e.Outputs)
		}
	}
	return all
}

func (i *instance) blockNames() map[string]string {
	i.t.Helper()
	status, body := i.call(alice, http.MethodGet, "/api/v2/builder/blocks", nil)
	var list struct{ Blocks []struct{ ID, Name string } }
	if err := json.Unmarshal(body, &list); err != nil || status != http.StatusOK {
		i.t.Fatalf("list blocks: %d %.500s", status, body)
	}
	names := map[string]string{}
	for _, b := range list.Blocks {
		names[b.ID] = b.Name
	}
	return names
}

type nodeRun struct {
	NodeID  string           `json:"node_id"`
	Status  string           `json:"status"`
	Error   json.RawMessage  `json:"error"`
	Outputs map[string][]any `json:"output_data"`
}

// nodeOutputs are what the nodes of an execution yielded.
func (i *instance) nodeOutputs(id string) map[string]nodeRun {
	i.t.Helper()
	status, body := i.call(alice, http.MethodGet, "/api/v2/executions/"+id, nil)
	var x struct {
		Nodes []nodeRun `json:"node_executions"`
	}
	if err := json.Unmarshal(body, &x); err != nil || status != http.StatusOK {
		i.t.Fatalf("read execution: %d %.500s", status, body)
	}
	runs := map[string]nodeRun{}
	for _, n := range x.Nodes {
		runs[n.NodeID] = n
	}
	return runs
}
