// Package plugintest tests the first-party plugins: their blocks' faces against a file of facts, their behaviour
// against files of vectors. It is for tests only.
package plugintest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/patchbay-io/patchbay/sdk"
	"github.com/patchbay-io/patchbay/sdk/proto"
)

// fact is what agents rely on in a block: its id, its name and its pins.
type fact struct {
	Plugin       string   `json:"plugin"`
	ID           string   `json:"id"`
	Name         string   `json:"name"`
	Categories   []string `json:"categories"`
	StaticOutput bool     `json:"static_output"`
	Inputs       []pin    `json:"inputs"`
	Outputs      []pin    `json:"outputs"`
}

type pin struct {
	Name        string          `json:"name"`
	Type        string          `json:"type"`
	Required    bool            `json:"required,omitempty"`
	Default     json.RawMessage `json:"default,omitempty"`
	Enum        []string        `json:"enum,omitempty"`
	Advanced    *bool           `json:"advanced,omitempty"`
	Secret      bool            `json:"secret,omitempty"`
	Placeholder string          `json:"placeholder,omitempty"`
	Title       string          `json:"title,omitempty"`
}

// Facts compares the blocks of a plugin with those that the file of facts has for it.
func Facts(t *testing.T, plugin sdk.Plugin) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", "testdata", "blocks-facts.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all []fact
	if err := json.Unmarshal(content, &all); err != nil {
		t.Fatal(err)
	}
	description, err := plugin.Describe()
	if err != nil {
		t.Fatal(err)
	}
	described := map[string]*proto.BlockDescription{}
	for _, block := range description.Blocks {
		described[block.Id] = block
	}
	for _, want := range all {
		if want.Plugin != plugin.Name {
			continue
		}
		block, ok := described[want.ID]
		if !ok {
			t.Errorf("%s: the plugin lacks it", want.Name)
			continue
		}
		delete(described, want.ID)
		got := fact{
			Plugin: plugin.Name, ID: block.Id, Name: block.Name, Categories: block.Categories, StaticOutput: block.StaticOutput,
			Inputs: pins(t, block.InputSchema), Outputs: pins(t, block.OutputSchema),
		}
		if block.Description == "" || len(block.Examples) == 0 {
			t.Errorf("%s: it has no description or no example", want.Name)
		}
		compare(t, want, got)
	}
	for _, block := range described {
		t.Errorf("%s: the file of facts lacks it", block.Name)
	}
}

func compare(t *testing.T, want, got fact) {
	t.Helper()
	if len(want.Categories) == 0 {
		want.Categories = got.Categories[:0]
	}
	for _, pair := range [][2][]pin{{want.Inputs, got.Inputs}, {want.Outputs, got.Outputs}} {
		for i := range pair[0] {
			if i < len(pair[1]) && encoded(t, pair[0][i]) != encoded(t, pair[1][i]) {
				t.Errorf("%s: pin %s\n got %s\nwant %s", want.Name, pair[0][i].Name, encoded(t, pair[1][i]), encoded(t, pair[0][i]))
			}
		}
		if len(pair[0]) != len(pair[1]) {
			t.Errorf("%s: %d pins, want %d", want.Name, len(pair[1]), len(pair[0]))
		}
	}
	want.Inputs, want.Outputs, got.Inputs, got.Outputs = nil, nil, nil, nil
	if encoded(t, want) != encoded(t, got) {
		t.Errorf("%s:\n got %s\nwant %s", want.Name, encoded(t, got), encoded(t, want))
	}
}

func encoded(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// pins reads the pins of a schema in their order.
func pins(t *testing.T, schema []byte) []pin {
	t.Helper()
	var object struct {
		Properties json.RawMessage `json:"properties"`
		Required   []string        `json:"required"`
	}
	if err := json.Unmarshal(schema, &object); err != nil {
		t.Fatal(err)
	}
	required := map[string]bool{}
	for _, name := range object.Required {
		required[name] = true
	}
	d := json.NewDecoder(strings.NewReader(string(object.Properties)))
	if _, err := d.Token(); err != nil {
		t.Fatal(err)
	}
	var found []pin
	for d.More() {
		name, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			t.Fatal(err)
		}
		var property struct {
			pin
			Required json.RawMessage `json:"required"` // of an object's members: another thing
		}
		if err := json.Unmarshal(raw, &property); err != nil {
			t.Fatalf("pin %s: %v", name, err)
		}
		p := property.pin
		var branches struct {
			AnyOf []pin `json:"anyOf"`
		}
		if err := json.Unmarshal(raw, &branches); err != nil {
			t.Fatal(err)
		}
		for i, branch := range branches.AnyOf {
			if i > 0 {
				p.Type += "|"
			}
			p.Type += branch.Type
			p.Enum = append(p.Enum, branch.Enum...)
		}
		p.Name, p.Required = name.(string), required[name.(string)]
		found = append(found, p)
	}
	return found
}
