package conformance

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/patchbay-io/patchbay/core/block"
)

const nowhere = "00000000-0000-4000-8000-000000000000" // a block that no plugin has

// Validation. By the contract everything that is refused is 422.
var refusals = []scenario{
	{id: "C90pin", nodes: `e ECHO {"in":1}` + "\nf ECHO", links: "e.zzz -> f.in", want: "unsaved e.zzz zzz"},
	{id: "C90sink", nodes: `e ECHO {"in":1}` + "\nf ECHO", links: "e.out -> f.zzz", want: "unsaved f.zzz zzz"},
	{id: "C90node", nodes: "f ECHO", links: "ghost.out -> f.in", want: "unsaved f.in ghost"},
	{id: "C90sinknode", nodes: `e ECHO {"in":1}`, links: "e.out -> ghost.in", want: "unsaved e.out ghost"},
	{id: "C90block", nodes: "u " + nowhere, want: "unsaved u.block_id " + nowhere},
	{id: "C91", nodes: "e ECHO", want: "refused e.in This field is required"},
	{id: "C91name", nodes: "y " + block.OutputID, want: "unsaved y.name This field is required"},
	{id: "C92", nodes: `x IN {"name":"my_credentials"}`, want: "unsaved x.name reserved"},
	{id: "C93", nodes: "x IN\nf ECHO", links: "x.error -> f.in", want: "unsaved x.error error"},
	{id: "C93block", nodes: `e ECHO {"in":1}` + "\nf ECHO", links: "e.error -> f.in", want: "f: none"},
	{
		id: "C101", nodes: `e ECHO {"in":1}` + "\nx IN", links: "e.out -> x.value", want: "refused x.value required",
	},
	{
		id: "C101given", nodes: `e ECHO {"in":1}` + "\nx IN\ny OUT", links: "e.out -> x.value\nx.result => y.value", inputs: `{"x":5}`,
		want: `x: 5 1
			y: *2
			outputs {"y":[5,1]}`,
	},
}

// All errors of a graph come at once, by node and pin.
func TestAllErrorsAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hosts[effectPlugin], 0)
	c := w.client()
	bad := scenario{id: "bad", nodes: "e ECHO\nf ECHO\n" + `x IN {"name":"credentials"}` + "\nu " + nowhere, links: "e.zzz -> f.in\nghost.out -> f.in\ne.out -> f.no"}
	a := c.do(t, http.MethodPost, "/builder/graphs", bad.document(t, nil))
	for _, at := range []string{"e.zzz", "f.in", "f.no", "x.name", "u.block_id"} {
		checkRefusal(t, a, &blame{where: at})
	}
	var list struct {
		Graphs []json.RawMessage `json:"graphs"`
	}
	c.ok(t, http.MethodGet, "/builder/graphs", "", &list)
	if len(list.Graphs) != 0 {
		t.Errorf("refused graphs are stored: %s", list.Graphs)
	}
	lacking := scenario{id: "lacking", nodes: "e ECHO\nf PAIR " + `{"a":1}` + "\nx IN"}
	g := c.create(t, lacking.document(t, nil))
	a = c.do(t, http.MethodPost, "/builder/graphs/"+g.ID+"/execute", "{}")
	for _, at := range []string{"e.in", "f.b", "x.value"} {
		checkRefusal(t, a, &blame{at, "This field is required"})
	}
}

// What lacks a block can be kept, read and exported, and not executed.
func TestMissingBlocks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hosts[effectPlugin], 0)
	c := w.client()
	s := scenario{id: "lacks", nodes: "u " + nowhere + ` {"k":1}` + "\n" + `e ECHO {"in":1}`, links: "u.result -> e.in\ne.zzz -> u.pin"}
	var g struct {
		ID      string `json:"id"`
		Missing []struct {
			Node string `json:"node_id"`
			Pin  string `json:"pin"`
		} `json:"missing"`
	}
	c.ok(t, http.MethodPost, "/builder/graphs?allow_missing_blocks=true", s.document(t, nil), &g)
	if got := fmt.Sprint(g.Missing); got != "[{u block_id} {e zzz}]" && got != "[{e zzz} {u block_id}]" {
		t.Errorf("missing %s", got)
	}
	a := c.do(t, http.MethodPost, "/builder/graphs/"+g.ID+"/execute", "{}")
	checkRefusal(t, a, &blame{"u.block_id", nowhere})
	checkRefusal(t, a, &blame{"e.zzz", "zzz"})
	export := c.do(t, http.MethodGet, "/builder/graphs/"+g.ID+"?for_export=true", "")
	if export.status != 200 || !strings.Contains(string(export.body), nowhere) {
		t.Errorf("%d %s", export.status, export.body)
	}
}

// C35: links of static blocks are static whatever the client says, and others are where it says so.
func TestStaticLinksAreForced(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hosts[effectPlugin], 0)
	c := w.client()
	s := scenario{id: "C35", nodes: `s SECHO {"in":1}` + "\n" + `e ECHO {"in":1}` + "\nt TRIPLE", links: "s.out -> t.a\ne.out => t.b\ne.out -> t.c"}
	g := c.create(t, s.document(t, nil))
	for range 2 {
		for _, l := range g.Links {
			if l.IsStatic != (l.SinkName != "c") || l.ID == "" {
				t.Errorf("%+v", l)
			}
		}
		c.ok(t, http.MethodGet, "/builder/graphs/"+g.ID, "", g)
	}
}

// C41, the second half: merging never changes what is stored.
func TestConstantsStay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hosts[effectPlugin], 0)
	c := w.client()
	s := scenario{id: "C41", nodes: `e ECHO {"in":9}` + "\n" + `l LIST {"items":[1,2]}`, links: "e.out -> l.items_$_1"}
	g := c.create(t, s.document(t, nil))
	for range 2 {
		if d := w.finish(t, c, c.execute(t, g.ID, "")); string(d.of("l")[0].output) != `{"list":[[1,9]]}` {
			t.Errorf("%s", d.of("l")[0].output)
		}
	}
	c.ok(t, http.MethodGet, "/builder/graphs/"+g.ID, "", g)
	if got := compact(g.Nodes[1].InputDefault); got != `{"items":[1,2]}` {
		t.Errorf("constants %s", got)
	}
}
