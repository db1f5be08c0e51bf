package graph

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/patchbay-io/patchbay/core/block"
)

// catalogue is what tests have for a plugin host.
type catalogue map[string]*block.Block

func (c catalogue) Block(id string) (*block.Block, bool) {
	b, ok := c[id]
	return b, ok
}

// blocksOf are the structural blocks and some of tests' own.
func blocksOf(t testing.TB) catalogue {
	t.Helper()
	c := catalogue{}
	for _, b := range block.Structural() {
		c[b.ID] = b
	}
	for i, d := range []struct{ name, in, required, out, extra string }{
		{"ECHO", `"in":{}`, `"in"`, `"out":{}`, ""},
		{"SECHO", `"in":{}`, `"in"`, `"out":{}`, "static"},
		{"EMIT", `"script":{"type":"array"},"t":{}`, `"script"`, `"p":{},"q":{}`, ""},
		{"PAIR", `"a":{},"b":{}`, `"a","b"`, `"pair":{}`, ""},
		{"OPT", `"a":{},"b":{"default":10}`, `"a"`, `"pair":{}`, ""},
		{"ADD", `"a":{"type":"number"},"b":{"type":"number"}`, `"a","b"`, `"sum":{}`, ""},
		{"LIST", `"items":{"type":"array"}`, `"items"`, `"list":{}`, ""},
		{"DICT", `"values":{"type":"object","additionalProperties":true}`, `"values"`, `"dict":{}`, ""},
		{"MODE", `"m":{"enum":["x","y"]}`, `"m"`, `"out":{}`, ""},
		{"MODEL", `"model":{"type":"string"},"prompt":{"type":"string"},"region":{"type":"string","depends_on":["model"]},` +
			`"credentials":{"discriminator":"model","discriminator_mapping":{"gpt":"openai","claude":"anthropic"},"secret":true},"api_key":{"type":"string","secret":true},"hush":{"secret":true}`,
			`"credentials"`, `"out":{}`, "credentials"},
		{"HOOK", `"payload":{},"repo":{}`, `"repo"`, `"event":{}`, "webhook"},
	} {
		def := block.Definition{
			ID: testID(i), Name: d.name, Kind: block.Standard, StaticOutput: d.extra == "static",
			InputSchema:  json.RawMessage(`{"type":"object","properties":{` + d.in + `},"required":[` + d.required + `]}`),
			OutputSchema: json.RawMessage(`{"type":"object","properties":{` + d.out + `}}`),
		}
		switch d.extra {
		case "credentials":
			def.Credentials = []block.CredentialsField{{Pin: "credentials", Providers: []string{"openai", "anthropic"}, Types: []string{"api_key"}, Scopes: []string{"s"}}}
		case "webhook":
			def.Kind = block.Webhook
		}
		b, err := block.New(def)
		if err != nil {
			t.Fatal(err)
		}
		c[b.ID] = b
	}
	return c
}

func testID(i int) string {
	return "00000000-0000-4000-8000-0000000000" + string(rune('a'+i/10)) + string(rune('0'+i%10))
}

// blockID is the id of a block by its short name in execution.md 8.
func blockID(name string) string {
	for i, n := range []string{"ECHO", "SECHO", "EMIT", "PAIR", "OPT", "ADD", "LIST", "DICT", "MODE", "MODEL", "HOOK"} {
		if n == name {
			return testID(i)
		}
	}
	switch name {
	case "IN":
		return block.InputID
	case "OUT":
		return block.OutputID
	case "AGENT":
		return block.AgentID
	case "NOTE":
		return block.NoteID
	}
	return name
}

// graphOf writes a graph down: nodes as "id BLOCK {constants}", links as "a.p -> b.q", static ones with "=>".
func graphOf(t testing.TB, lines ...string) *Graph {
	t.Helper()
	g := &Graph{ID: "11111111-1111-4111-8111-111111111111", Version: 1, Name: "test"}
	for _, line := range lines {
		for arrow, static := range map[string]bool{" -> ": false, " => ": true} {
			if from, to, ok := strings.Cut(line, arrow); ok {
				l := Link{ID: line, IsStatic: static}
				l.SourceID, l.SourceName, _ = strings.Cut(from, ".")
				l.SinkID, l.SinkName, _ = strings.Cut(to, ".")
				g.Links = append(g.Links, l)
			}
		}
		if strings.Contains(line, " -> ") || strings.Contains(line, " => ") {
			continue
		}
		parts := strings.SplitN(line, " ", 3)
		n := Node{ID: parts[0], BlockID: blockID(parts[1]), InputDefault: json.RawMessage("{}"), Metadata: json.RawMessage("{}")}
		if len(parts) == 3 {
			n.InputDefault = json.RawMessage(parts[2])
		}
		g.Nodes = append(g.Nodes, n)
	}
	return g
}
