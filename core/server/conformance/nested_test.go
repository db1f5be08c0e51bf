package conformance

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/patchbay-io/patchbay/core/block"
)

// Nested agents.
var nested = []scenario{
	{
		id: "C79", nodes: "t IN\na AGENT:child\ns OUT",
		links: `t.result => a.text
			a.summary -> s.value`,
		inputs: `{"t":"hi"}`,
		children: map[string]scenario{"child": {nodes: "text IN\ne ECHO\nsummary OUT", links: `text.result => e.in
			e.out -> summary.value`}},
		want: `a: "hi"
			outputs {"s":["hi"]}`,
	},
	{
		id: "C79constant", nodes: `t IN
			a AGENT:child {"inputs":{"lang":"en","text":"gone"}}
			s OUT`,
		links: `t.result => a.text
			a.pair -> s.value`,
		inputs: `{"t":"hi"}`,
		children: map[string]scenario{"child": {nodes: "text IN\nlang IN\np PAIR\npair OUT", links: `text.result => p.a
			lang.result => p.b
			p.pair -> pair.value`}},
		want: `outputs {"s":[["hi","en"]]}`,
	},
	{ // the agent's links are not static: each value starts it again
		id: "C79again", nodes: `e EMIT {"script":[["p",1],["p",2],["p",3]]}
			a AGENT:child
			s OUT`,
		links: `e.p -> a.text
			a.summary -> s.value`,
		children: map[string]scenario{"child": {nodes: "text IN\nsummary OUT", links: "text.result => summary.value"}},
		want: `a: 1 2 3
			s: *3
			outputs {"s":[1,2,3]}`,
	},
	{
		id: "C79deep", nodes: "t IN\na AGENT:middle\ns OUT",
		links: `t.result => a.text
			a.summary -> s.value`,
		inputs: `{"t":18446744073709551617}`,
		children: map[string]scenario{"middle": {
			nodes: "text IN\nb AGENT:inner\nsummary OUT",
			links: `text.result => b.text
				b.summary -> summary.value`,
			children: map[string]scenario{"inner": {nodes: "text IN\nsummary OUT", links: "text.result => summary.value"}},
		}},
		want: `outputs {"s":[18446744073709551617]}`,
	},
	{
		id: "C79dynamic", nodes: `e ECHO {"in":1}
			a AGENT:child {"inputs":{"text":{"j":0}}}
			s OUT`,
		links: `e.out -> a.text_#_k
			a.summary -> s.value`,
		children: map[string]scenario{"child": {nodes: "text IN\nsummary OUT", links: "text.result => summary.value"}},
		want:     `outputs {"s":[{"j":0,"k":1}]}`,
	},
	{ // null is a value: the child has it, and its input node says nothing
		id: "C79null", nodes: `n NULL {"in":1}
			a AGENT:child
			s OUT`,
		links: `n.out -> a.text
			a.summary -> s.value`,
		children: map[string]scenario{"child": {nodes: "text IN\nsummary OUT", links: "text.result => summary.value"}},
		want:     "a: -\ns: none",
	},
	{
		id: "C79typed", nodes: `e EMIT {"script":[["p","7"],["p",true]]}
			a AGENT:child
			s OUT`,
		links: `e.p -> a.text
			a.summary -> s.value`,
		children: map[string]scenario{"child": {nodes: "text " + numberInput + ` {"name":"text"}` + "\nsummary OUT", links: "text.result => summary.value"}},
		want: `a: 7 !integer
			outputs {"s":[7]}
			failed a boolean`,
	},
	{
		id: "C80", nodes: "a AGENT:child\ns OUT", links: "a.summary -> s.value",
		children: map[string]scenario{"child": {
			nodes: `e EMIT {"script":[["p",1],["p",2]]}` + "\nsummary OUT", links: "e.p -> summary.value",
		}},
		want: `a: @{"summary":[1,2]}
			s: *2
			outputs {"s":[1,2]}`,
	},
	{ // C81 by the contract: a child that failed fails its node
		id: "C81", nodes: "a AGENT:child\ns OUT", links: "a.summary -> s.value",
		children: map[string]scenario{"child": {
			nodes: `f FAIL {"in":1}` + "\nsummary OUT", links: "f.out -> summary.value",
		}},
		want: `a: !boom
			s: none
			failed a boom`,
	},
	{
		id: "C81kept", nodes: "a AGENT:child\ns OUT", links: "a.summary -> s.value",
		children: map[string]scenario{"child": {
			nodes: `e EMIT {"script":[["p",1],["q",2]]}` + "\nf FAIL\nsummary OUT",
			links: `e.p -> summary.value
				e.q -> f.in`,
		}},
		want: `a: !boom@{"summary":[1]}
			failed a boom
			outputs {"s":[1]}`,
	},
	{
		id: "C81linked", nodes: "a AGENT:child\ne ECHO", links: "a.error -> e.in",
		children: map[string]scenario{"child": {
			nodes: `f FAIL {"in":1}` + "\nsummary OUT", links: "f.out -> summary.value",
		}},
		want: `a: !boom`,
	},
	{
		id: "C81handled", nodes: "a AGENT:child\ns OUT", links: "a.summary -> s.value",
		children: map[string]scenario{"child": {
			nodes: `f FAIL {"in":1}` + "\ne ECHO\nsummary OUT", links: "f.error -> e.in\nf.out -> summary.value",
		}},
		want: "a: -\ns: none",
	},
	{
		id: "C82", nodes: "a AGENT:child\ne ECHO", links: "a.error -> e.in",
		children: map[string]scenario{"child": {nodes: `error OUT {"value":"no way"}`}},
		want:     "a: !no_way",
	},
	{
		id: "C82unhandled", nodes: "a AGENT:child",
		children: map[string]scenario{"child": {nodes: `error OUT {"value":"no way"}`}},
		want: `a: !no_way
			failed a no way`,
	},
	{
		id: "C83", nodes: "a AGENT:child\ns OUT", links: "a.summary -> s.value",
		children: map[string]scenario{"child": {nodes: `summary OUT {"value":"hi","format":"<{{ summary }}>"}`}},
		want:     `outputs {"s":["<hi>"]}`,
	},
	{
		id: "C84", nodes: "a AGENT:child",
		children: map[string]scenario{"child": {nodes: "text IN\nsummary OUT", links: "text.result => summary.value"}},
		want:     "refused a.text This field is required",
	},
}

// A nested agent's execution is an execution of its own, with a story, under its parent's name.
func TestNestedExecutions(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hosts[effectPlugin], 0)
	c := w.client()
	g := (&nested[0]).store(t, c)
	d := w.finish(t, c, c.execute(t, g.ID, `{"t":"hi"}`))
	if d.Stats.Total != 3 {
		t.Errorf("C79: %d node executions of the parent's own", d.Stats.Total)
	}
	children := c.children(t, d.ID)
	if len(children) != 1 || children[0].ParentID == nil || *children[0].ParentID != d.ID {
		t.Fatalf("C79: children %+v", children)
	}
	child := w.finish(t, c, children[0].ID)
	if child.Status != "COMPLETED" || compact(child.Outputs["summary"]) != `["hi"]` || compact(child.Inputs) != `{"text":"hi"}` || len(child.Nodes) != 3 {
		t.Errorf("C79: child %+v", child)
	}
	var list struct {
		Executions []details `json:"executions"`
	}
	c.ok(t, http.MethodGet, "/executions", "", &list)
	if len(list.Executions) != 1 {
		t.Errorf("%d executions are listed", len(list.Executions))
	}
}

// An agent that nests itself without an end fails where it is too deep, and everything above with it.
func TestEndlessNesting(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hosts[effectPlugin], 0)
	c := w.client()
	g := c.create(t, fmt.Sprintf(`{"id":"self","version":1,"name":"self","description":"","nodes":[{"id":"a","block_id":%q,`+
		`"input_default":{"graph_id":"self","graph_version":1,"input_schema":{},"output_schema":{}}}],"links":[]}`, block.AgentID))
	d := w.finish(t, c, c.execute(t, g.ID, ""))
	if d.Status != "FAILED" || !strings.Contains(d.Error.Message, "deeper than 32") {
		t.Errorf("%s %+v", d.Status, d.Error)
	}
	depth := 1
	for id := d.ID; ; depth++ {
		children := c.children(t, id)
		if len(children) == 0 {
			break
		}
		id = children[0].ID
		w.finish(t, c, id)
	}
	if depth != 1+32 { // beside the root
		t.Errorf("nested %d deep", depth)
	}
}

// One that nests itself twice would be 2^32 agents before it is too deep.
func TestNestingThatFansOutIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hosts[effectPlugin], 0)
	c := w.client()
	node := fmt.Sprintf(`"block_id":%q,"input_default":{"graph_id":"self","graph_version":1,"input_schema":{},"output_schema":{}}`, block.AgentID)
	g := c.create(t, `{"id":"self","version":1,"name":"self","description":"","nodes":[{"id":"a",`+node+`},{"id":"b",`+node+`}],"links":[]}`)
	d := w.finish(t, c, c.execute(t, g.ID, ""))
	if d.Status != "FAILED" {
		t.Errorf("%s %+v", d.Status, d.Error)
	}
	var list struct {
		Pagination struct{ Total int } `json:"pagination"`
	}
	c.ok(t, http.MethodGet, "/executions?include_nested=true&page_size=1", "", &list)
	if n := list.Pagination.Total; n < 100 || n > 1001 {
		t.Errorf("%d executions", n)
	}
}
