package graph

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
)

func TestDecodeAcceptsThreeBodies(t *testing.T) {
	t.Parallel()
	const bare = `{"name":"n","description":"d","nodes":[{"id":"a","block_id":"b","input_default":{ "x" : 1e400, "a":"\u0000" },"metadata":{"position":{"x":1.0}}}],` +
		`"links":[{"id":"l","source_id":"a","sink_id":"a","source_name":"o","sink_name":"i","is_static":true}]}`
	exported := strings.Replace(bare, `{"name"`, `{"id":"g","version":3,"user_id":"","created_at":"2026-01-02T03:04:05Z","sub_graphs":[],"input_schema":{},"name"`, 1)
	for _, body := range []string{bare, exported, `{"graph":` + bare + `}`, ` { "source" : "upload", "graph" : ` + exported + ` } `} {
		g, err := Decode([]byte(body))
		if err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		n := g.Nodes[0]
		if g.Name != "n" || g.Description != "d" || n.ID != "a" || n.BlockID != "b" || string(n.InputDefault) != `{ "x" : 1e400, "a":"\u0000" }` ||
			string(n.Metadata) != `{"position":{"x":1.0}}` || g.Links[0] != (Link{"l", "a", "a", "o", "i", true}) {
			t.Errorf("%+v", g)
		}
	}
}

// C100, and what an importer must fill in (execution.md 1.7).
func TestDecodeIsLenient(t *testing.T) {
	t.Parallel()
	g, err := Decode([]byte(`{"name":"n","is_template":true,"subgraphs":{"x":1},"description":null,"zzz":[{}],
		"nodes":[{"block_id":"h1i2j3k4-5l6m-7n8o-9p0q-r1s2t3u4v5w6","webhook":{},"input_links":5,"qqq":1},{"id":"","block_id":"x","input_default":null}],
		"links":[{"source_id":"s","sink_id":"t","source_name":"o","sink_name":"i","color":"red"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if g.Nodes[0].BlockID != "d0822ab5-9f8a-44a3-8971-531dd0178b6b" {
		t.Errorf("the old block id became %s", g.Nodes[0].BlockID)
	}
	if g.Nodes[0].ID == "" || g.Nodes[1].ID == "" || g.Nodes[0].ID == g.Nodes[1].ID || g.Links[0].ID == "" {
		t.Error("ids were not made")
	}
	if string(g.Nodes[1].InputDefault) != "{}" || string(g.Nodes[0].Metadata) != "{}" || g.Links[0].IsStatic {
		t.Errorf("%+v", g)
	}
}

func TestDecodeNamesEveryField(t *testing.T) {
	t.Parallel()
	for body, want := range map[string][]string{
		`[]`:                           {"body"},
		`{"name":`:                     {"body"},
		"\"\xff\"":                     {"body"},
		`{}`:                           {"name"},
		`{"graph":5}`:                  {"graph"},
		`{"graph":"","nodes":[]}`:      {"graph"},
		`{"graph":null}`:               {"name"},
		`{"graph":{"nodes":[{}]}}`:     {"graph.name", "graph.nodes.0.block_id"},
		`{"name":"\u0000","nodes":{}}`: {"name", "nodes"},
		`{"name":"\ud83d","nodes":[{"id":"\ud83d\ude00","block_id":"b","input_default":{"kept":"\ud800"}}]}`: {"name"},
		`{"name":5,"description":5,"instructions":5,"forked_from_version":"x","nodes":[5,{"id":5,"block_id":null,"input_default":[],"metadata":"x"}],
		  "links":[{"source_id":"a","is_static":1}],"sub_graphs":[{"name":"x","nodes":[{}]}]}`: {
			"name", "description", "instructions", "nodes.0", "nodes.1.id", "nodes.1.block_id", "nodes.1.input_default", "nodes.1.metadata",
			"links.0.sink_id", "links.0.source_name", "links.0.sink_name", "links.0.is_static", "sub_graphs.0.nodes.0.block_id",
		},
	} {
		_, err := Decode([]byte(body))
		var malformed *Malformed
		if !errors.As(err, &malformed) {
			t.Fatalf("%s: %v", body, err)
		}
		slices.Sort(want)
		if got := slices.Sorted(maps.Keys(malformed.Fields)); !slices.Equal(got, want) {
			t.Errorf("%s: %q, not %q", body, got, want)
		}
	}
}

// What was decoded and stored is read back the same, and everything that can be asked of it is answered.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"name":"n","nodes":[{"id":"a","block_id":"` + blockID("DICT") + `","input_default":{"values_#_a":1}}],"links":[{"source_id":"a","sink_id":"a","source_name":"dict_#_x","sink_name":"values"}]}`))
	f.Add([]byte(`{"graph":{"name":"n","nodes":[{"block_id":"` + blockID("AGENT") + `","input_default":{"graph_id":"s","input_schema":{"properties":{"a":{}}}}}],"sub_graphs":[{"id":"s","name":"s","nodes":[]}]}}`))
	f.Add([]byte(`{"name":"n","nodes":[{"block_id":"` + blockID("IN") + `","input_default":{"name":"x","value":[1,{"token":"s"}],"secret":true}}]}`))
	blocks := blocksOf(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		g, err := Decode(body)
		if err != nil {
			return
		}
		text := encodeDocument(g)
		again, err := Decode([]byte(text))
		if err != nil {
			t.Fatalf("%s cannot be read back: %v", text, err)
		}
		if encodeDocument(again) != text {
			t.Fatalf("%s became %s", text, encodeDocument(again))
		}
		ForceStatic(g, blocks)
		_, _ = Validate(g, blocks)
		_ = ValidateForRun(g, blocks, json.RawMessage(`{"x":1}`), nil)
		if _, err := bind(g, "u", "new", blocks, func(Ref) (bool, error) { return false, nil }); err != nil {
			t.Fatal(err)
		}
		for _, out := range []json.RawMessage{render(g, blocks), renderExport(g, blocks, g.UserID)} {
			if !json.Valid(out) {
				t.Fatalf("%s is rendered as %s", body, out)
			}
		}
	})
}
