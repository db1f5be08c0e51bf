package conformance

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/patchbay-io/patchbay/core/block"
)

// greeter is an exported file: a graph with a nested agent, with all that exports carry along and importers ignore.
const greeter = `{
	"id": "11111111-1111-4111-8111-111111111111", "version": 3, "is_active": true,
	"name": "Greeter", "description": "Greets", "instructions": "Say who", "recommended_schedule_cron": null,
	"forked_from_id": null, "forked_from_version": null, "user_id": "", "created_at": "2026-01-02T03:04:05Z",
	"is_template": false, "subgraphs": {"odd": 1}, "has_webhook_trigger": false,
	"nodes": [
		{"id": "n1", "block_id": "` + block.InputID + `", "input_default": {"name": "who", "secret": true, "advanced": false, "unheard": {"of": [1e400]}},
		 "metadata": {"position": {"x": 0, "y": 0.50}, "unheard": 1}, "webhook": null, "unheard": 1,
		 "input_links": [{"id": "l9", "source_id": "n3", "sink_id": "n1", "source_name": "result", "sink_name": "value"}],
		 "output_links": [], "graph_id": "11111111-1111-4111-8111-111111111111", "graph_version": 3, "webhook_id": null},
		{"id": "n2", "block_id": "` + block.AgentID + `", "input_default": {"user_id": "somebody", "graph_id": "22222222-2222-4222-8222-222222222222",
		 "graph_version": 7, "inputs": {}, "input_schema": {"type": "object", "properties": {"text": {}}, "required": ["text"]},
		 "output_schema": {"type": "object", "properties": {"summary": {}}, "required": ["summary"]}}, "metadata": {}, "input_links": [], "output_links": []},
		{"id": "n3", "block_id": "` + block.OutputID + `", "input_default": {"name": "greeting", "api_key": "sk-123"}, "metadata": {}}
	],
	"links": [
		{"id": "l1", "source_id": "n1", "sink_id": "n2", "source_name": "result", "sink_name": "text", "is_static": false, "unheard": 1},
		{"id": "l2", "source_id": "n2", "sink_id": "n3", "source_name": "summary", "sink_name": "value"}
	],
	"sub_graphs": [{
		"id": "22222222-2222-4222-8222-222222222222", "version": 7, "is_active": true, "name": "Inner", "description": "", "unheard": {},
		"nodes": [
			{"id": "n1", "block_id": "` + block.InputID + `", "input_default": {"name": "text"}, "metadata": {}, "unheard": 1},
			{"id": "n2", "block_id": "` + block.OutputID + `", "input_default": {"name": "summary"}, "metadata": {}}
		],
		"links": [{"id": "l1", "source_id": "n1", "sink_id": "n2", "source_name": "result", "sink_name": "value", "is_static": true}]
	}],
	"input_schema": {"wrong": true}, "output_schema": 5, "has_external_trigger": "no",
	"credentials_input_schema": {"type": "object", "properties": {}, "required": []}
}`

// graphFile is what of a file must come back from an export, read as a client would.
type graphFile struct {
	ID           string      `json:"id"`
	Version      int         `json:"version"`
	Name         string      `json:"name"`
	Description  string      `json:"description"`
	Instructions *string     `json:"instructions"`
	Nodes        []fileNode  `json:"nodes"`
	Links        []jsonLink  `json:"links"`
	SubGraphs    []graphFile `json:"sub_graphs"`
}

type fileNode struct {
	ID       string                     `json:"id"`
	Block    string                     `json:"block_id"`
	Default  map[string]json.RawMessage `json:"input_default"`
	Metadata json.RawMessage            `json:"metadata"`
}

func readFile(t *testing.T, raw []byte) *graphFile {
	t.Helper()
	var f graphFile
	if err := json.Unmarshal(raw, &f); err != nil {
		t.Fatalf("%v in %s", err, raw)
	}
	return &f
}

// comparable forgets what an import changes: ids and versions of graphs, whom nested agents belong to, secrets.
func (f *graphFile) comparable() {
	f.ID, f.Version = "", 0
	for i := range f.Nodes {
		n := &f.Nodes[i]
		n.Metadata = json.RawMessage(compact(n.Metadata))
		delete(n.Default, "api_key")
		for k, v := range n.Default {
			n.Default[k] = json.RawMessage(compact(v))
		}
		if n.Block == block.AgentID {
			for _, k := range []string{"user_id", "graph_id", "graph_version"} {
				delete(n.Default, k)
			}
		}
	}
	for i := range f.Links {
		l := &f.Links[i]
		l.Static = l.Source == "n1" // as the input node's block has it
	}
	for i := range f.SubGraphs {
		f.SubGraphs[i].comparable()
	}
	if len(f.SubGraphs) == 0 {
		f.SubGraphs = nil
	}
}

// C97, C98, C100: an import gives graphs new ids, keeps those of nodes and links, ignores what it does not know, and
// comes back from an export as it was.
func TestImport(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hosts[effectPlugin], 0)
	c := w.client()
	g := c.create(t, greeter)
	if g.ID == "" || strings.HasPrefix(g.ID, "1111") || g.Version != 1 || len(g.Nodes) != 3 {
		t.Fatalf("%+v", g)
	}
	var agent struct {
		Graph   string `json:"graph_id"`
		Version int    `json:"graph_version"`
		User    string `json:"user_id"`
	}
	if err := json.Unmarshal(g.Nodes[1].InputDefault, &agent); err != nil {
		t.Fatal(err)
	}
	var child created
	c.ok(t, http.MethodGet, "/builder/graphs/"+agent.Graph, "", &child)
	if child.ID != agent.Graph || agent.Version != 1 || child.Version != 1 || agent.User != c.user || strings.HasPrefix(child.ID, "2222") || child.ID == g.ID {
		t.Errorf("the nested agent is %+v, its graph %s", agent, child.ID)
	}
	if len(g.Links) != 2 || g.Links[0].ID != "l1" || !g.Links[0].IsStatic || g.Links[1].IsStatic || !child.Links[0].IsStatic {
		t.Errorf("links %+v, %+v", g.Links, child.Links)
	}
	d := w.finish(t, c, c.execute(t, g.ID, `{"who":"Bo"}`))
	if d.Status != "COMPLETED" || compact(d.Outputs["greeting"]) != `["Bo"]` {
		t.Errorf("%s %+v %v", d.Status, d.Error, d.Outputs)
	}

	first := c.do(t, http.MethodGet, "/builder/graphs/"+g.ID+"?for_export=true", "").body
	for _, secret := range []string{"sk-123", "somebody"} {
		if strings.Contains(string(first), secret) {
			t.Errorf("the export has %s", secret)
		}
	}
	if !strings.Contains(compact(first), `"secret":true`) || !strings.Contains(compact(first), `"unheard":{"of":[1e400]}`) {
		t.Errorf("the export lost something: %s", first)
	}
	again := c.create(t, string(first))
	second := c.do(t, http.MethodGet, "/builder/graphs/"+again.ID+"?for_export=true", "").body
	original, one, two := readFile(t, []byte(greeter)), readFile(t, first), readFile(t, second)
	if one.ID == two.ID || one.SubGraphs[0].ID == two.SubGraphs[0].ID {
		t.Error("two imports share a graph")
	}
	for _, f := range []*graphFile{original, one, two} {
		f.comparable()
	}
	for i, f := range []*graphFile{one, two} {
		if !reflect.DeepEqual(f, original) {
			t.Errorf("export %d: %s\nof %s", i+1, spell(f), spell(original))
		}
	}
	wrapped := c.create(t, `{"graph":`+greeter+`}`)
	if wrapped.ID == g.ID || len(wrapped.Nodes) != 3 {
		t.Errorf("%+v", wrapped)
	}
}

func spell(f *graphFile) string {
	b, _ := json.Marshal(f)
	return string(b)
}

// C99: updates make versions, whose nodes keep their ids; an older one still runs.
func TestVersions(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hosts[effectPlugin], 0)
	c := w.client()
	document := func(value int) string {
		s := scenario{id: "C99", nodes: fmt.Sprintf(`y OUT {"value":%d}`, value)}
		return s.document(t, nil)
	}
	g := c.create(t, document(1))
	for version := 2; version <= 3; version++ {
		var next created
		c.ok(t, http.MethodPut, "/builder/graphs/"+g.ID, document(version), &next)
		if next.ID != g.ID || next.Version != version || next.Nodes[0].ID != "y" {
			t.Errorf("%+v", next)
		}
	}
	for version, want := range []string{"[3]", "[1]", "[2]", "[3]"} { // 0 is the active one
		var x struct {
			ID string `json:"execution_id"`
		}
		body := fmt.Sprintf(`{"input_data":{},"version":%d}`, version)
		if version == 0 {
			body = "{}"
		}
		c.ok(t, http.MethodPost, "/builder/graphs/"+g.ID+"/execute", body, &x)
		if d := w.finish(t, c, x.ID); compact(d.Outputs["y"]) != want {
			t.Errorf("version %d: %v", version, d.Outputs)
		}
	}
	if a := c.do(t, http.MethodPost, "/builder/graphs/"+g.ID+"/execute", `{"version":4}`); a.status != 404 {
		t.Errorf("version 4: %d %s", a.status, a.body)
	}
	stranger := w.client()
	if a := stranger.do(t, http.MethodPost, "/builder/graphs/"+g.ID+"/execute", `{}`); a.status != 404 {
		t.Errorf("a stranger: %d %s", a.status, a.body)
	}
}

// A run keeps the version with which it began, whatever becomes of the graph meanwhile.
func TestRunsKeepTheirVersion(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hosts[effectPlugin], 0)
	c := w.client()
	s := scenario{id: "keeps", nodes: `g GATE {"in":1}` + "\ne ECHO\ny OUT", links: "g.out -> e.in\ne.out -> y.value", want: `outputs {"y":[1]}`}
	other := scenario{id: "keeps", nodes: `y OUT {"value":2}`}
	g := s.store(t, c)
	id := c.execute(t, g.ID, "")
	at := gates.await(t, id, "g", "", 1)
	c.ok(t, http.MethodPut, "/builder/graphs/"+g.ID, other.document(t, nil), nil)
	at.release()
	parseExpectation(t, s.want).check(t, &s, w.finish(t, c, id))

	id = c.execute(t, c.create(t, s.document(t, nil)).ID, "")
	gates.await(t, id, "g", "", 1)
	d := c.details(t, id)
	c.ok(t, http.MethodDelete, "/builder/graphs/"+d.GraphID, "", nil)
	if d = w.finish(t, c, id); d.Status != "TERMINATED" {
		t.Errorf("after its graph was deleted: %s", d.Status)
	}
}
