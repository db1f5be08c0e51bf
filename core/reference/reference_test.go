package reference

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/core/plugin"
)

func TestKindsAreNamed(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		`{}`:                                 "any",
		`{"type":"string","format":"file"}`:  "string (file)",
		`{"type":["integer","null"]}`:        "integer or null",
		`{"anyOf":[{"type":"integer"},{}]}`:  "integer or any",
		`{"oneOf":[{"type":"boolean"}]}`:     "boolean",
		`{"type":"string","enum":["a|b",1]}`: "one of `\"a\\|b\"`, `1`",
		`{"type":"array","items":{}}`:        "list",
		`{"type":"array","items":{"type":"array","items":{"type":"number"}}}`: "list of list of number",
		`{"type":"object","additionalProperties":true}`:                       "dictionary",
		`{"type":"object","additionalProperties":{"type":"string"}}`:          "dictionary of string",
		`true`:        "any",
		`{"type":17}`: "17",
	} {
		if got := describe(json.RawMessage(raw)).kind(); got != want {
			t.Errorf("%s: %s, want %s", raw, got, want)
		}
	}
}

// What authors write breaks neither a table nor a fence, and is not taken for HTML.
func TestPageHoldsWhateverAuthorsWrite(t *testing.T) {
	t.Parallel()
	b, err := block.New(block.Definition{
		ID: "0f0c6f1e-52a5-4a7c-9d0d-4d9d5b6a9c01", Name: "A\n| B `c`", Description: "one\n\n# two", Kind: block.Standard,
		InputSchema:  json.RawMessage(`{"type":"object","properties":{"p|q":{"type":"string","default":"` + "``" + `|","description":"<b>|\nx"}}}`),
		OutputSchema: json.RawMessage(`{"type":"object","properties":{}}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	d := plugin.Description{
		Name: "odd", Settings: []plugin.Setting{{Name: "key", Text: "a|b", Required: true, Secret: true}},
		Providers: []*plugin.Provider{{Name: "forge", DisplayName: "For|ge", APIKey: true, OAuth: &plugin.OAuth{DefaultScopes: []string{"a", "b"}}}},
		Blocks: []plugin.DescribedBlock{{Block: b, Examples: []block.Example{{
			Input: json.RawMessage("{\"p|q\":\"```\"}"), Outputs: []block.ExampleOutput{{Pin: "o", Value: json.RawMessage(`1e400`)}},
		}}}, {Block: b}},
	}
	page := string(Page(d))
	for _, want := range []string{
		"## A | B `c`\n", "one # two.\n", "| `p\\|q` | string | ``` \"``\\|\" ``` | &lt;b>\\| x |\n",
		"````json\n{\n  \"p|q\": \"```\"\n}\n````\n", "```\no = 1e400\n```\n",
		"| `PATCHBAY_PLUGIN_ODD_KEY` |  | a\\|b (required) (secret) |\n", "| `error` | string |",
		"| `forge` | For\\|ge | OAuth, API key | a b |\n",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	if index := string(Index([]plugin.Description{d})); strings.Count(index, "\n") != 6 || !strings.Contains(index, "(odd.md#a--b-c-1)") {
		t.Errorf("the index is\n%s", index)
	}
}
