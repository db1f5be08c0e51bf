package graph

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/patchbay-io/patchbay/core/block"
)

// told flattens node errors: "node.pin: message".
func told(err error) []string {
	var invalid *Invalid
	if !errors.As(err, &invalid) {
		return nil
	}
	var list []string
	for node, pins := range invalid.NodeErrors {
		for pin, message := range pins {
			list = append(list, fmt.Sprintf("%s.%s: %s", node, pin, message))
		}
	}
	for name, message := range invalid.Fields {
		list = append(list, name+": "+message)
	}
	if len(list) == 0 {
		list = append(list, invalid.Message)
	}
	slices.Sort(list)
	return list
}

// expect compares what was told with the beginnings of what should be.
func expect(t *testing.T, got []string, want ...string) {
	t.Helper()
	slices.Sort(want)
	ok := len(got) == len(want)
	for i := range min(len(got), len(want)) {
		ok = ok && strings.HasPrefix(got[i], want[i])
	}
	if !ok {
		t.Errorf("told\n  %s\nnot\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func TestValidateAtSave(t *testing.T) {
	t.Parallel()
	blocks := blocksOf(t)
	for _, c := range []struct {
		name  string
		graph []string
		want  []string
	}{
		{"an empty graph", nil, nil},
		{"C90: unknown pins, nodes and blocks, all at once", []string{
			"a ECHO", "b ECHO", "c 5ebe6768-8e5d-41e3-9134-1c7bd89a8d52", "a.nope -> b.in", "a.out -> b.nope_#_x", "a.out -> gone.in", "gone.out -> b.in",
		}, []string{
			`a.nope: block "ECHO" has no output "nope" (it has out, error)`,
			`b.nope_#_x: block "ECHO" has no input "nope" (it has in)`,
			`a.out: link a.out -> gone.in leads to node "gone"`,
			`b.in: link gone.out -> b.in comes from node "gone"`,
			`c.block_id: no installed plugin provides block "`,
		}},
		{"C91: what an ordinary block lacks can be saved", []string{"a ECHO"}, nil},
		{"C91: an output without a name cannot", []string{"o OUT", `p OUT {"name":5}`}, []string{"o.name: This field is required", "p.name: expects a string, got a number"}},
		{"C92: reserved names", []string{`i IN {"name":"my_credentials"}`, `o OUT {"name":"my_credentials"}`, `j IN {"name":"credentials"}`},
			[]string{`i.name: "my_credentials" is a reserved input name`, `j.name: "credentials" is a reserved`}},
		{"C93: input nodes have no error pin", []string{`i IN {"name":"x"}`, "e ECHO", "f ECHO", "i.error -> f.in", "e.error -> f.in"},
			[]string{`i.error: block "Agent Input" has no output "error"`}},
		{"dynamic pins go by their bases", []string{"l LIST", "e ECHO", "e.out_#_x -> l.items_$_0"}, nil},
		{"tool pins are always there", []string{"e ECHO", "f ECHO", "e.tools -> f.in", "e.tools_^_x -> f.in"}, nil},
		{"nested agent: pins are those of its child", []string{
			`n AGENT {"user_id":"u","graph_id":"g","graph_version":1,"inputs":{},"input_schema":{"properties":{"text":{}}},"output_schema":{"properties":{"sum":{}}}}`,
			"e ECHO", "e.out -> n.text", "n.sum -> e.in", "n.error -> e.in", "n.nope -> e.in", "e.out -> n.graph_id",
		}, []string{`n.nope: block "Agent Executor" has no output "nope" (it has sum, error)`, `n.graph_id: block "Agent Executor" has no input "graph_id" (it has text)`}},
		{"nested agent: what it needs", []string{`n AGENT {"input_schema":5}`},
			[]string{"n.graph_id: This field is required", "n.graph_version: This", "n.input_schema: expects an object", "n.output_schema: This"}},
		{"a discriminator must have a value", []string{"m MODEL", `k MODEL {"model":" "}`, `o MODEL {"model":"gpt"}`},
			[]string{"m.credentials: Requires model to be set", "k.credentials: Requires model to be set"}},
		{"node and link ids are unique", []string{"a ECHO", "a ECHO", "b ECHO", "a.out -> b.in", "a.out -> b.in"},
			[]string{`a.id: is the id of more than one node`, `b.in: more than one link has the id`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g := graphOf(t, c.graph...)
			missing, err := Validate(g, blocks)
			expect(t, told(withMissing(err, "x", missing)), c.want...)
		})
	}
}

func TestMissingIsNoError(t *testing.T) {
	t.Parallel()
	g := graphOf(t, "a ECHO", "b 5ebe6768-8e5d-41e3-9134-1c7bd89a8d52", "a.out -> b.anything", "a.nope -> a.in")
	missing, err := Validate(g, blocksOf(t))
	if err != nil || len(missing) != 2 {
		t.Fatalf("%v, %v", missing, err)
	}
	if missing[1].NodeID != "b" {
		t.Errorf("%+v", missing[1])
	}
}

// advised has no blocks, and knows how to get them.
type advised struct{}

func (advised) Block(string) (*block.Block, bool) { return nil, false }

func (advised) Advice(string) string { return "enable it" }

func TestMissingBlocksAreToldByNameAndPlugin(t *testing.T) {
	t.Parallel()
	if got := unknownBlock(&Node{BlockID: "b1ab9b19-67a6-406d-abf5-2dba76d00c79"}, advised{}); !strings.HasSuffix(got, "; enable it") || strings.Contains(got, "logic") {
		t.Error(got)
	}
	const custom = `{"customized_name":"mine"}`
	for _, c := range []struct{ id, metadata, want string }{
		{"00000000-aaaa-4000-8000-000000000000", "{}", "no installed plugin provides block 00000000-aaaa-4000-8000-000000000000"},
		{"5ebe6768-8e5d-41e3-9134-1c7bd89a8d52", "{}", `no installed plugin provides block "Read RSS Feed" (5ebe6768-8e5d-41e3-9134-1c7bd89a8d52)`},
		{"b1ab9b19-67a6-406d-abf5-2dba76d00c79", "{}", `no installed plugin provides block "Calculator" (b1ab9b19-67a6-406d-abf5-2dba76d00c79); the plugin "logic" brings it`},
		{"b1ab9b19-67a6-406d-abf5-2dba76d00c79", custom, `no installed plugin provides block "Calculator" (b1ab9b19-67a6-406d-abf5-2dba76d00c79) of node "mine"; the plugin "logic" brings it`},
	} {
		if got := unknownBlock(&Node{BlockID: c.id, Metadata: json.RawMessage(c.metadata)}, nil); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s\nwant %s", got, c.want)
		}
	}
	for id, known := range knownBlocks() {
		if len(id) != 36 || known.name == "" || strings.ContainsAny(known.plugin, " \t") {
			t.Errorf("%q: %+v", id, known)
		}
	}
}

func TestValidateForRun(t *testing.T) {
	t.Parallel()
	blocks := blocksOf(t)
	for _, c := range []struct {
		name   string
		graph  []string
		inputs string
		want   []string
	}{
		{"C01", []string{`i IN {"name":"x"}`, `o OUT {"name":"y"}`, "i.result => o.value"}, `{"x":"hi"}`, nil},
		{"C02 as the contract changes it", []string{`i IN {"name":"x"}`, `o OUT {"name":"y"}`, "i.result => o.value"}, `{}`,
			[]string{"i.value: This field is required", "input_data.x: This field is required"}},
		{"C03: a default serves", []string{`i IN {"name":"x","value":"d"}`}, `{}`, nil},
		{"C04: unknown names are ignored", []string{`i IN {"name":"x"}`}, `{"x":"hi","zzz":1}`, nil},
		{"a null is given", []string{`i IN {"name":"x"}`}, `{"x":null}`, nil},
		{"a toggle always has a value", []string{`i cbf36ab5-df4a-43b6-8a7f-f7ed8652116e {"name":"x"}`}, `{}`, nil},
		{"a typed input", []string{`i 7e198b09-4994-47db-8b4d-952d98241817 {"name":"x"}`}, `{"x":"soon"}`, []string{"i.value: expects a date (YYYY-MM-DD) or null, got a string"}},
		{"C08: a constant suffices", []string{`e ECHO {"in":1}`}, `{}`, nil},
		{"C10: notes do not start", []string{"n NOTE"}, `{}`, []string{"nothing to start with"}},
		{"C10: notes beside others", []string{"n NOTE", `e ECHO {"in":1}`}, `{}`, nil},
		{"C11: a cycle without an entry", []string{"a ECHO", "b ECHO", "a.out -> b.in", "b.out -> a.in"}, `{}`, []string{"nothing to start with"}},
		{"C44: a dynamic constant that cannot be merged", []string{`l LIST {"items_$_x":1}`}, `{}`, []string{`l.items_$_x: expects a whole number from 0`}},
		{"C53: a constant outside its enum", []string{`m MODE {"m":"z"}`, `k MODE {"m":"z"}`, `e ECHO {"in":1}`, "e.out -> k.m"}, `{}`,
			[]string{`m.m: expects one of "x", "y", got a string`}},
		{"C84: a nested agent's required input", []string{
			`n AGENT {"graph_id":"g","graph_version":1,"inputs":{"a":1},"input_schema":{"properties":{"a":{},"b":{},"c":{}},"required":["a","b","c"]},"output_schema":{}}`,
			`e ECHO {"in":1}`, "e.out -> n.c",
		}, `{}`, []string{"n.b: This field is required"}},
		{"C90: all at once, what is missing too", []string{"a ECHO", "b 5ebe6768-8e5d-41e3-9134-1c7bd89a8d52", "a.nope -> b.x", `m MODE {"m":5}`}, `{}`,
			[]string{"a.in: This field is required", `a.nope: block "ECHO"`, "b.block_id: no installed", "m.m: expects one of"}},
		{"C91: required at run", []string{"n1 ECHO"}, `{}`, []string{"n1.in: This field is required"}},
		{"a null constant on a required pin of a starting node", []string{`e ECHO {"in":null}`}, `{}`, []string{"e.in: This field is required"}},
		{"C101: a linked input node must be given its value", []string{`i IN {"name":"x","value":1}`, `e ECHO {"in":1}`, "e.out -> i.value"}, `{}`,
			[]string{"i.value: This field is required"}},
		{"C101: and runs with it", []string{`i IN {"name":"x"}`, `e ECHO {"in":1}`, "e.out -> i.value"}, `{"x":5}`, nil},
		{"siblings that a pin depends on", []string{`m MODEL {"model":"gpt","region":"eu"}`, `k MODEL {"region":"eu"}`}, `{}`,
			[]string{"k.credentials: Requires model to be set", "k.region: Requires model to be set"}},
		{"webhooks are not started by hand", []string{`w HOOK {"repo":"r"}`}, `{}`, []string{"w.payload: the agent is started by an external event"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			expect(t, told(ValidateForRun(graphOf(t, c.graph...), blocks, json.RawMessage(c.inputs), nil)), c.want...)
		})
	}
}

func TestStarting(t *testing.T) {
	t.Parallel()
	g := graphOf(t, `i IN {"name":"x"}`, `j IN {"name":"x","value":7}`, "e ECHO", `k IN {"name":"y"}`, "n NOTE", "u unknown", `f ECHO {"in":1}`,
		"i.result => e.in", "f.out -> k.value")
	starts := Starting(g, blocksOf(t), json.RawMessage(`{"x": {"big":12345678901234567890} ,"z":1}`))
	var got []string
	for _, s := range starts {
		text := g.Nodes[s.Node].ID
		for _, d := range s.Data {
			text += " " + d.Pin + "=" + string(d.Value)
		}
		got = append(got, text)
	}
	want := []string{`i value={"big":12345678901234567890}`, `j value={"big":12345678901234567890}`, "k", "f"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestStaticIsForcedAndNeverTakenBack(t *testing.T) {
	t.Parallel()
	g := graphOf(t, "s SECHO", "e ECHO", "f ECHO", "s.out -> f.in", "e.out => f.in", "e.error -> f.in")
	ForceStatic(g, blocksOf(t))
	if !g.Links[0].IsStatic || !g.Links[1].IsStatic || g.Links[2].IsStatic {
		t.Errorf("%+v", g.Links)
	}
}

func TestDerivedSchemas(t *testing.T) {
	t.Parallel()
	blocks := blocksOf(t)
	for _, c := range []struct{ name, node, want string }{
		{"required", `IN {"name":"who","secret":false,"advanced":false}`, `{"title":"who","secret":false,"advanced":false} required`},
		{"never advanced when required", `IN {"name":"who","advanced":true,"secret":true}`, `{"title":"who","secret":true,"advanced":false} required`},
		{"with a default", `IN {"name":"who","value":{"b":1e400},"advanced":true,"title":"Who","description":"D"}`,
			`{"title":"Who","secret":false,"advanced":true,"description":"D","default":{"b":1e400}}`},
		{"short text", `7fcd3bcb-8e1b-4e69-903d-32d3d4a92158 {"name":"t","value":"cats","title":"Topic","advanced":true}`,
			`{"title":"Topic","anyOf":[{"type":"string","format":"short-text"},{"type":"null"}],"advanced":true,"secret":false,"default":"cats"}`},
		{"toggle", `cbf36ab5-df4a-43b6-8a7f-f7ed8652116e {"name":"t"}`, `{"title":"t","type":"boolean","advanced":false,"secret":false,"default":false}`},
		{"dropdown", `655d6fdf-a334-421c-b733-520549c07cd1 {"name":"t","placeholder_values":["a","b"]}`,
			`{"title":"t","anyOf":[{"type":"string"},{"type":"null"}],"advanced":false,"secret":false,"enum":["a","b"]} required`},
		{"dropdown of an old file", `655d6fdf-a334-421c-b733-520549c07cd1 {"name":"t","options":["a"]}`,
			`{"title":"t","anyOf":[{"type":"string"},{"type":"null"}],"advanced":false,"secret":false,"enum":["a"]} required`},
		{"table", `5603b273-f41e-4020-af7d-fbc9c6a8d928 {"name":"t","column_headers":["A","B"]}`,
			`{"format":"table","title":"t","advanced":false,"secret":false,"type":"array","items":{"type":"object","properties":{"A":{"type":"string"},"B":{"type":"string"}}},"default":[]} required`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			schema := membersOf(InputSchema(graphOf(t, "n "+c.node), blocks))
			got := ""
			for _, property := range membersOf(schema["properties"]) {
				got = string(property)
			}
			if string(schema["required"]) != "[]" {
				got += " required"
			}
			if got != c.want {
				t.Errorf("got %s\nwant %s", got, c.want)
			}
		})
	}
	out := OutputSchema(graphOf(t, `o OUT {"name":"greeting"}`), blocks)
	if want := `{"type":"object","properties":{"greeting":{"title":"greeting","advanced":false,"secret":false}},"required":["greeting"]}`; string(out) != want {
		t.Errorf("%s", out)
	}
}

func TestCredentialsSchema(t *testing.T) {
	t.Parallel()
	g := graphOf(t, `a MODEL {"model":"gpt"}`, `b MODEL {"model":"gpt"}`, "c MODEL")
	sub := graphOf(t, `d MODEL {"model":"claude"}`)
	sub.Nodes[0].Metadata = json.RawMessage(`{"credentials_optional":true}`)
	g.SubGraphs = []Graph{*sub}
	schema := membersOf(CredentialsSchema(g, blocksOf(t)))
	groups := membersOf(schema["properties"])
	names := slices.Sorted(maps.Keys(groups))
	if want := []string{"anthropic-openai_api_key_credentials", "anthropic_api_key_credentials", "openai_api_key_credentials"}; !slices.Equal(names, want) {
		t.Errorf("%q", names)
	}
	if want := `["anthropic-openai_api_key_credentials","openai_api_key_credentials"]`; string(schema["required"]) != want {
		t.Errorf("required %s", schema["required"])
	}
	if got := string(membersOf(groups["openai_api_key_credentials"])["discriminator_values"]); got != `["gpt"]` {
		t.Errorf("discriminator values %s", got)
	}
}
