package graph

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/core/block/jsonscan"
)

// nothing is the catalogue of a user who has no agents yet.
func nothing(Ref) (bool, error) { return false, nil }

func TestNestedAgentsFollowTheirGraphs(t *testing.T) {
	t.Parallel()
	agent := func(id string, version, in string) string {
		return `{"graph_id":"` + id + `","graph_version":` + version + `,"input_schema":{"properties":{` + in + `}},"output_schema":{"properties":{"sum":{}}}}`
	}
	sub := func(id string, version int, input string) Graph {
		g := graphOf(t, `i IN {"name":"`+input+`"}`, `o OUT {"name":"sum"}`)
		g.ID, g.Version, g.Name = id, version, id
		return *g
	}
	g := graphOf(t,
		"named AGENT "+agent("s1", "9", `"zzz":{}`),       // its id is in the file
		"mine AGENT "+agent("m", "4", `"text":{}`),        // the user's own
		"alike AGENT "+agent("gone", "7", `"text":{}`),    // one sub-graph has its version and pins
		"unlike AGENT "+agent("gone", "8", `"text":{}`),   // none has
		"twofold AGENT "+agent("gone", "5", `"other":{}`), // two have
		"self AGENT "+agent("11111111-1111-4111-8111-111111111111", "3", ""),
	)
	g.SubGraphs = []Graph{sub("s1", 2, "text"), sub("s2", 7, "text"), sub("s3", 5, "other"), sub("s4", 5, "other")}
	g.SubGraphs[0].Nodes = append(g.SubGraphs[0].Nodes, Node{ID: "deep", BlockID: block.AgentID, InputDefault: json.RawMessage(agent("s2", "1", ""))})
	missing, err := bind(g, "me", "own", blocksOf(t), func(n Ref) (bool, error) { return n == Ref{"m", 4}, nil })
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range missing {
		names = append(names, m.NodeID)
	}
	if !slices.Equal(names, []string{"unlike", "twofold"}) {
		t.Errorf("missing: %+v", missing)
	}
	for node, want := range map[string]Ref{
		"named": {g.SubGraphs[0].ID, 1}, "mine": {"m", 4}, "alike": {g.SubGraphs[1].ID, 1}, "unlike": {"gone", 8}, "twofold": {"gone", 5}, "self": {"own", 1},
	} {
		n, _ := g.Node(node)
		if got := NestedAgent(n); got != want {
			t.Errorf("%s runs %v, not %v", node, got, want)
		}
		if user, _ := jsonscan.Find(n.InputDefault, "user_id"); string(user) != `"me"` {
			t.Errorf("%s belongs to %s", node, user)
		}
		if inputs, _ := jsonscan.Find(n.InputDefault, "inputs"); string(inputs) != `{}` {
			t.Errorf("%s has inputs %s", node, inputs)
		}
	}
	if got := NestedAgent(&g.SubGraphs[0].Nodes[2]); got != (Ref{g.SubGraphs[1].ID, 1}) {
		t.Errorf("the nested one runs %v", got)
	}
	if slices.Contains([]string{"s1", "s2", "s3", "s4"}, g.SubGraphs[3].ID) || g.SubGraphs[3].Version != 1 {
		t.Errorf("a sub-graph kept its id")
	}
}

func TestExportStripsSecrets(t *testing.T) {
	t.Parallel()
	g := graphOf(t,
		`i IN {"name":"key","value":"sk-1","secret":true}`,
		`j IN {"name":"open","value":"seen","secret":false}`,
		`m MODEL {"model":"gpt","credentials":{"id":"c"},"hush":"h","hush_#_x":1,"prompt":"p","api_key":"sk-2"}`,
		`e ECHO {"in":{"a":[{"Access_Token":"t","is_secret":true,"n":1e400}],"b":1},"password":"x","big":12345678901234567890}`,
		`n AGENT {"graph_id":"g","inputs":{"API_KEY_x":1,"text":"t"},"input_schema":{"properties":{"api_key":{"secret":true,"default":"sk-3","title":"K"},"text":{"default":"d"}}}}`,
		`u unknown-block {"secret":true,"value":"sk-4","x":1}`,
	)
	g.UserID = "owner"
	before := encodeDocument(g)
	file := renderExport(g, blocksOf(t), g.UserID)
	for _, secret := range []string{"sk-1", "sk-2", "sk-3", "sk-4", `"t","is`, "owner"} {
		if strings.Contains(string(file), secret) {
			t.Errorf("the file has %s", secret)
		}
	}
	out, err := Decode(file)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{
		`{"name":"key","secret":true}`,
		`{"name":"open","value":"seen","secret":false}`,
		`{"model":"gpt","prompt":"p"}`,
		`{"in":{"a":[{"is_secret":true,"n":1e400}],"b":1},"big":12345678901234567890}`,
		`{"graph_id":"g","inputs":{"text":"t"},"input_schema":{"properties":{"api_key":{"secret":true,"title":"K"},"text":{"default":"d"}}}}`,
		`{"secret":true,"x":1}`,
	} {
		if got := string(out.Nodes[i].InputDefault); got != want {
			t.Errorf("%s\nnot %s", got, want)
		}
	}
	if encodeDocument(g) != before {
		t.Error("the export changed the graph")
	}
}

// Others see less than what an export file has, which must come back as it was.
func TestOthersSeeNothingThatLooksLikeASecret(t *testing.T) {
	t.Parallel()
	const nodes = 6
	g := graphOf(t,
		`web ECHO {"headers":{"Authorization":"CANARY-1","X-API-Key":"CANARY-2","Cookie":"CANARY-3","Proxy-Authorization":"CANARY-4","apikey":"CANARY-5",`+
			`"private_key":"CANARY-6","passwd":"CANARY-7","bearer":"CANARY-8","Session ID":"CANARY-9","X-Hub-Signature":"CANARY-10","Accept":"text/plain"},`+
			`"url":"https://CANARY-11:CANARY-12@example.com/x?api_key=CANARY-13&page=2&Access%2DToken=CANARY-14&key={{k}}#sig=CANARY-15",`+
			`"list":[{"name":"Authorization","value":"CANARY-16"},{"key":"X-Api-Key","value":"CANARY-17"},{"name":"Accept","value":"all"}],`+
			`"deep":[[{"AccessKey":{"a":["CANARY-18"]},"needs_cookie":true}]],"headers_#_X-Auth-Key":"CANARY-19"}`,
		`s IN {"name":"S","secret":true,"value":"CANARY-20","placeholder_values":["CANARY-21"],"options":["CANARY-22"]}`,
		`k IN {"name":"api_key","value":"CANARY-23","placeholder_values":["CANARY-24"]}`,
		`count IN {"name":"max_tokens","value":1000}`,
		`open IN {"name":"Author","value":"see https://example.com/?page=1 or me@example.com","placeholder_values":["shown"]}`,
		`n AGENT {"graph_id":"g","inputs":{"Bearer":"CANARY-25","at":"ftp://u:CANARY-26@h"},"input_schema":{"properties":{"Bearer":{"default":"CANARY-27"},`+
			`"hush":{"secret":true,"enum":["CANARY-28"]},"text":{"default":"d"}}}}`,
	)
	g.UserID = "owner"
	before := encodeDocument(g)
	for what, text := range map[string]json.RawMessage{"shown": renderForOthers(g, blocksOf(t), "other"), "file": renderExport(g, blocksOf(t), "other")} {
		if strings.Contains(string(text), "CANARY") {
			t.Errorf("%s: %s", what, text)
		}
		out, err := Decode(text)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range [nodes]string{
			`{"headers":{"Accept":"text/plain"},"url":"https://@example.com/x?api_key=&page=2&Access%2DToken=&key={{k}}#sig=",` +
				`"list":[{"name":"Authorization"},{"key":"X-Api-Key"},{"name":"Accept","value":"all"}],"deep":[[{"needs_cookie":true}]]}`,
			`{"name":"S","secret":true}`,
			`{"name":"api_key"}`,
			`{"name":"max_tokens","value":1000}`,
			`{"name":"Author","value":"see https://example.com/?page=1 or me@example.com","placeholder_values":["shown"]}`,
			`{"graph_id":"g","inputs":{"at":"ftp://@h"},"input_schema":{"properties":{"Bearer":{},"hush":{"secret":true},"text":{"default":"d"}}}}`,
		} {
			if got := string(out.Nodes[i].InputDefault); got != want {
				t.Errorf("%s: %s\nnot %s", what, got, want)
			}
		}
	}
	own := string(renderExport(g, blocksOf(t), "owner"))
	for _, kept := range []string{"CANARY-1\"", "CANARY-3", "CANARY-4", "CANARY-5", "CANARY-6", "CANARY-7", "CANARY-8", "CANARY-9", "CANARY-13", "CANARY-23"} {
		if !strings.Contains(own, kept) {
			t.Errorf("the owner's file lacks %s", kept)
		}
	}
	if encodeDocument(g) != before {
		t.Error("the graph changed")
	}

	// What is hidden of runs are the same values, as they are and as they stand in URLs.
	var texts []string
	for i := range g.Nodes {
		b, _ := blocksOf(t).Block(g.Nodes[i].BlockID)
		for _, v := range Secrets(&g.Nodes[i], b) {
			texts = append(texts, jsonscan.Unquote(v))
		}
	}
	for _, want := range []string{"CANARY-1", "CANARY-3", "CANARY-11:CANARY-12", "CANARY-12", "CANARY-13", "CANARY-14", "CANARY-20", "CANARY-23", "CANARY-25", "CANARY-26"} {
		if !slices.Contains(texts, want) {
			t.Errorf("%s is no secret of %q", want, texts)
		}
	}
}

// C97, C98, and the contract's re-export: a file that was imported and exported equals itself.
func TestRealFilesComeBack(t *testing.T) {
	t.Parallel()
	files, _ := filepath.Glob("testdata/*.json")
	if len(files) < 3 {
		t.Fatal("no files")
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			body, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			roundTrip(t, body)
		})
	}
}

func roundTrip(t *testing.T, body []byte) {
	t.Helper()
	blocks := blocksOf(t)
	g, err := Decode(body)
	if err != nil {
		t.Fatal(err)
	}
	unbound, err := bind(g, "me", "new", blocks, nothing)
	if err != nil || len(unbound) > 0 {
		t.Fatalf("unbound: %+v, %v", unbound, err)
	}
	ForceStatic(g, blocks)
	if _, err := Validate(g, blocks); err != nil {
		t.Fatal(err)
	}
	stored, err := Decode([]byte(encodeDocument(g)))
	if err != nil {
		t.Fatal(err)
	}
	stored.Description, stored.SubGraphs = g.Description, g.SubGraphs
	var sent, back map[string]any
	unmarshal(t, body, &sent)
	unmarshal(t, renderExport(stored, blocks, stored.UserID), &back)
	compareGraphs(t, sent, back)
	for i, sub := range listOf(sent["sub_graphs"]) {
		compareGraphs(t, sub, listOf(back["sub_graphs"])[i])
	}
	for i := range g.SubGraphs {
		for j := range g.SubGraphs[i].Nodes {
			checkBound(t, g, &g.SubGraphs[i].Nodes[j])
		}
	}
	for j := range g.Nodes {
		checkBound(t, g, &g.Nodes[j])
	}
}

func checkBound(t *testing.T, g *Graph, n *Node) {
	t.Helper()
	if n.BlockID != block.AgentID {
		return
	}
	ref := NestedAgent(n)
	if !slices.ContainsFunc(g.SubGraphs, func(s Graph) bool { return s.ID == ref.GraphID && s.Version == ref.Version }) {
		t.Errorf("node %s runs %v, which is not there", n.ID, ref)
	}
}

func compareGraphs(t *testing.T, sent, back any) {
	t.Helper()
	a, b := sent.(map[string]any), back.(map[string]any)
	for _, key := range []string{"name", "description", "instructions"} {
		if a[key] != b[key] {
			t.Errorf("%s: %v, not %v", key, b[key], a[key])
		}
	}
	compareLists(t, "node", a["nodes"], b["nodes"], "id", "block_id", "input_default", "metadata")
	compareLists(t, "link", a["links"], b["links"], "id", "source_id", "sink_id", "source_name", "sink_name")
}

func compareLists(t *testing.T, what string, sent, back any, keys ...string) {
	t.Helper()
	a, b := listOf(sent), listOf(back)
	if len(a) != len(b) {
		t.Fatalf("%d %ss, not %d", len(b), what, len(a))
	}
	for i := range a {
		for _, key := range keys {
			want, got := a[i].(map[string]any)[key], b[i].(map[string]any)[key]
			if key == "input_default" {
				agent := a[i].(map[string]any)["block_id"] == block.AgentID
				want, got = uncounted(want, agent), uncounted(got, agent)
			}
			if !reflect.DeepEqual(want, got) {
				t.Errorf("%s %v, %s: %v, not %v", what, a[i].(map[string]any)["id"], key, got, want)
			}
		}
	}
}

// uncounted drops what a re-export need not keep.
func uncounted(v any, agent bool) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = uncounted(v[i], false)
		}
	case map[string]any:
		if agent {
			for _, key := range []string{"user_id", "graph_id", "graph_version"} {
				delete(v, key)
			}
			if inputs, ok := v["inputs"].(map[string]any); ok && len(inputs) == 0 {
				delete(v, "inputs")
			}
		}
		for key, inner := range v {
			if _, flag := inner.(bool); !flag && secretKey(key, json.RawMessage("0")) {
				delete(v, key)
				continue
			}
			v[key] = uncounted(inner, false)
		}
	}
	return v
}

func listOf(v any) []any {
	list, _ := v.([]any)
	return list
}

func unmarshal(t *testing.T, text []byte, v any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.UseNumber()
	if err := d.Decode(v); err != nil {
		t.Fatal(err)
	}
}
