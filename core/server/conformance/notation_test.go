package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/patchbay-io/patchbay/core/block"
)

// scenario is a case in short:
//
//	nodes   one a line: id, block, constants. IN and OUT are named like their node unless they say otherwise
//	links   one a line: source.pin -> sink.pin, or => for a static one
//	want    what must come of it, one a line (see expectation)
//
// A node of the block AGENT:x runs the agent x of children and has its pins.
type scenario struct {
	id       string // of the specification's case; a letter behind it tells variants apart
	nodes    string
	links    string
	inputs   string // {} where empty
	masks    string // nodes_input_masks; none where empty
	want     string
	children map[string]scenario
	check    func(*testing.T, *details)
}

// blockIDs are the ids behind the names of the specification's table.
var blockIDs = func() map[string]string {
	ids := map[string]string{"IN": block.InputID, "OUT": block.OutputID, "NOTE": block.NoteID, "AGENT": block.AgentID}
	for i, name := range []string{
		"EMIT", "SEMIT", "ECHO", "SECHO", "PAIR", "OPT", "TRIPLE", "ADD", "LT", "LIST", "DICT", "MODE", "FAIL", "HALF", "PANIC", "NULL", "SLEEP",
		"BADOUT", "ODD", "SFAIL", "PREFIX", "GATE", "ONCE", "STR", "INT", "BOOL", "FICKLE", "RESUME", "MIX", "DIE", "SERVE", "STREAM",
		"KEY", "MAYBE", "SCOPED", "MODEL", "SITE", "LEAK", "PICKED",
	} {
		ids[name] = fmt.Sprintf("c0f00000-0000-4000-8000-%012d", i+1)
	}
	return ids
}()

type jsonNode struct {
	ID      string          `json:"id"`
	Block   string          `json:"block_id"`
	Default json.RawMessage `json:"input_default"`
}

type jsonLink struct {
	ID         string `json:"id,omitempty"`
	Source     string `json:"source_id"`
	SourceName string `json:"source_name"`
	Sink       string `json:"sink_id"`
	SinkName   string `json:"sink_name"`
	Static     bool   `json:"is_static"`
}

func lines(text string) []string {
	var list []string
	for _, l := range strings.Split(text, "\n") {
		if l = strings.TrimSpace(l); l != "" {
			list = append(list, l)
		}
	}
	return list
}

// document is the graph that is posted. agents are those that nodes may nest.
func (s *scenario) document(t *testing.T, agents map[string]*created) string {
	t.Helper()
	var nodes []jsonNode
	var links []jsonLink
	for _, l := range lines(s.nodes) {
		f := strings.SplitN(l, " ", 3)
		for len(f) < 3 {
			f = append(f, "{}")
		}
		kind, agent, _ := strings.Cut(f[1], ":")
		id, ok := blockIDs[kind]
		if !ok {
			id = kind
		}
		n := jsonNode{ID: f[0], Block: id, Default: json.RawMessage(f[2])}
		if !json.Valid(n.Default) {
			t.Fatalf("constants of %s: %s", f[0], f[2])
		}
		switch {
		case (kind == "IN" || kind == "OUT") && !strings.Contains(f[2], `"name"`):
			n.Default = with(n.Default, `"name":"`+f[0]+`"`)
		case agent != "":
			a := agents[agent]
			n.Default = with(n.Default, fmt.Sprintf(`"graph_id":%q,"graph_version":%d,"input_schema":%s,"output_schema":%s`, a.ID, a.Version, a.InputSchema, a.OutputSchema))
		}
		nodes = append(nodes, n)
	}
	for _, l := range lines(s.links) {
		var link jsonLink
		from, to, ok := strings.Cut(l, " -> ")
		if !ok {
			from, to, link.Static = strings.Cut(l, " => ")
		}
		link.Source, link.SourceName, _ = strings.Cut(from, ".")
		link.Sink, link.SinkName, _ = strings.Cut(to, ".")
		links = append(links, link)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(map[string]any{"name": s.id, "description": "", "nodes": nodes, "links": links}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// with adds members to an object.
func with(object json.RawMessage, members string) json.RawMessage {
	body := strings.TrimSpace(strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(string(object)), "{"), "}"))
	if body != "" {
		members = body + "," + members
	}
	return json.RawMessage("{" + members + "}")
}

// store creates the scenario's agents, innermost first, and gives its own.
func (s *scenario) store(t *testing.T, c *client) *created {
	t.Helper()
	agents := map[string]*created{}
	for name, child := range s.children {
		child.id = name
		agents[name] = child.store(t, c)
	}
	return c.create(t, s.document(t, agents))
}
