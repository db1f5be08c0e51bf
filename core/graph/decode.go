package graph

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/patchbay-io/patchbay/core/block/jsonscan"
)

// Malformed says which fields of a body have the wrong form.
type Malformed struct {
	Fields map[string]string // path → message
}

// Error lists the fields in the order of their names.
func (e *Malformed) Error() string {
	var parts []string
	for _, path := range slices.Sorted(maps.Keys(e.Fields)) {
		parts = append(parts, path+" "+e.Fields[path])
	}
	return strings.Join(parts, "; ")
}

// Decode reads a graph as clients and files have it: bare, exported, or as the graph of an envelope. What it does not
// know it ignores, and where a graph was forked from is not theirs to say; ids that are missing it makes. Constants and metadata are slices of the body, byte for byte. The id
// and version of the result are those of the file, for binding nested agents. The error is a *Malformed.
func Decode(body []byte) (*Graph, error) {
	d := decoder{fields: map[string]string{}}
	return d.document(body)
}

// decodeStored reads what encodeDocument wrote, which knows where the graph was forked from.
func decodeStored(document string) (*Graph, error) {
	d := decoder{fields: map[string]string{}, stored: true}
	return d.document([]byte(document))
}

func (d *decoder) document(body []byte) (*Graph, error) {
	switch {
	case !utf8.Valid(body):
		return nil, &Malformed{Fields: map[string]string{"body": "is not UTF-8"}}
	case !json.Valid(body):
		return nil, &Malformed{Fields: map[string]string{"body": "is no JSON"}}
	case jsonscan.KindOf(body) != jsonscan.Object:
		return nil, &Malformed{Fields: map[string]string{"body": "must be an object, not " + jsonscan.KindOf(body).String()}}
	}
	path := ""
	if inner, ok := jsonscan.Find(body, "graph"); ok {
		switch kind := jsonscan.KindOf(inner); kind {
		case jsonscan.Null:
		case jsonscan.Object:
			if _, bare := jsonscan.Find(body, "nodes"); !bare {
				body, path = inner, "graph."
			}
		default:
			return nil, &Malformed{Fields: map[string]string{"graph": "must be an object, not " + kind.String()}}
		}
	}
	g := d.graph(body, path, true)
	if len(d.fields) > 0 {
		return nil, &Malformed{Fields: d.fields}
	}
	return g, nil
}

// decoder collects what is wrong.
type decoder struct {
	fields             map[string]string
	stored             bool // the document is one of the store's own
	nodes, links, subs int  // so far
}

func (d *decoder) graph(raw json.RawMessage, path string, top bool) *Graph {
	g := &Graph{Version: 1}
	if jsonscan.KindOf(raw) != jsonscan.Object {
		d.wrong(strings.TrimSuffix(path, "."), "an object", raw)
		return g
	}
	members := membersOf(raw)
	g.Name = d.text(members["name"], path+"name", true)
	if jsonscan.KindOf(members["name"]) == jsonscan.String && strings.TrimSpace(g.Name) == "" {
		d.fields[path+"name"] = "must not be empty"
	}
	g.Description = d.text(members["description"], path+"description", false)
	g.Instructions = d.optional(members["instructions"], path+"instructions")
	g.RecommendedCron = d.optional(members["recommended_schedule_cron"], path+"recommended_schedule_cron")
	g.Settings = d.settings(members["settings"], path+"settings")
	d.bound(path+"name", g.Name, MaxName)
	d.bound(path+"description", g.Description, MaxText)
	for name, text := range map[string]*string{"instructions": g.Instructions, "recommended_schedule_cron": g.RecommendedCron} {
		if text != nil {
			d.bound(path+name, *text, MaxText)
		}
	}
	if d.stored {
		g.ForkedFromID = d.optional(members["forked_from_id"], path+"forked_from_id")
		if n, err := strconv.Atoi(string(members["forked_from_version"])); err == nil {
			g.ForkedFromVersion = &n
		}
	}
	g.ID = jsonscan.Unquote(members["id"])
	if n, err := strconv.Atoi(string(members["version"])); err == nil {
		g.Version = n
	}
	for i, raw := range d.counted(members["nodes"], path+"nodes", "nodes", &d.nodes, MaxNodes) {
		g.Nodes = append(g.Nodes, d.node(raw, fmt.Sprintf("%snodes.%d", path, i)))
	}
	for i, raw := range d.counted(members["links"], path+"links", "links", &d.links, MaxLinks) {
		g.Links = append(g.Links, d.link(raw, fmt.Sprintf("%slinks.%d", path, i)))
	}
	if top {
		for i, raw := range d.counted(members["sub_graphs"], path+"sub_graphs", "sub-graphs", &d.subs, MaxSubGraphs) {
			g.SubGraphs = append(g.SubGraphs, *d.graph(raw, fmt.Sprintf("%ssub_graphs.%d.", path, i), false))
		}
	}
	return g
}

func (d *decoder) node(raw json.RawMessage, path string) Node {
	if jsonscan.KindOf(raw) != jsonscan.Object {
		d.wrong(path, "an object", raw)
		return Node{}
	}
	members := membersOf(raw)
	n := Node{
		ID:           d.id(members["id"], path+".id"),
		BlockID:      d.text(members["block_id"], path+".block_id", true),
		InputDefault: d.object(members["input_default"], path+".input_default"),
		Metadata:     d.object(members["metadata"], path+".metadata"),
	}
	if current, ok := legacyBlocks[n.BlockID]; ok {
		n.BlockID = current
	}
	return n
}

func (d *decoder) link(raw json.RawMessage, path string) Link {
	if jsonscan.KindOf(raw) != jsonscan.Object {
		d.wrong(path, "an object", raw)
		return Link{}
	}
	members := membersOf(raw)
	l := Link{
		ID:         d.id(members["id"], path+".id"),
		SourceID:   d.text(members["source_id"], path+".source_id", true),
		SinkID:     d.text(members["sink_id"], path+".sink_id", true),
		SourceName: d.text(members["source_name"], path+".source_name", true),
		SinkName:   d.text(members["sink_name"], path+".sink_name", true),
	}
	if v := members["is_static"]; !absent(v) {
		if jsonscan.KindOf(v) != jsonscan.Bool {
			d.wrong(path+".is_static", "a boolean", v)
		}
		l.IsStatic = string(v) == "true"
	}
	return l
}

func membersOf(object json.RawMessage) map[string]json.RawMessage {
	members := map[string]json.RawMessage{}
	for k, v := range jsonscan.Members(object) {
		members[jsonscan.Unquote(k)] = v
	}
	return members
}

// absent says whether a member is missing or null, which is the same here.
func absent(v json.RawMessage) bool { return v == nil || jsonscan.KindOf(v) == jsonscan.Null }

func (d *decoder) wrong(path, want string, got json.RawMessage) {
	d.fields[path] = fmt.Sprintf("must be %s, not %s", want, jsonscan.KindOf(got))
}

func (d *decoder) text(v json.RawMessage, path string, needed bool) string {
	if absent(v) && !needed {
		return ""
	}
	if v == nil {
		d.fields[path] = "is required"
		return ""
	}
	if jsonscan.KindOf(v) != jsonscan.String {
		d.wrong(path, "a string", v)
		return ""
	}
	s := jsonscan.Unquote(v)
	switch { // the database keeps names as text
	case strings.ContainsRune(s, 0):
		d.fields[path] = "must not contain U+0000"
	case jsonscan.HasLoneSurrogate(v):
		d.fields[path] = "must not contain half of a surrogate pair"
	}
	return s
}

func (d *decoder) optional(v json.RawMessage, path string) *string {
	if absent(v) {
		return nil
	}
	s := d.text(v, path, false)
	return &s
}

func (d *decoder) id(v json.RawMessage, path string) string {
	if s := d.text(v, path, false); s != "" {
		return s
	}
	return uuid.NewString()
}

func (d *decoder) object(v json.RawMessage, path string) json.RawMessage {
	if absent(v) {
		return json.RawMessage("{}")
	}
	if jsonscan.KindOf(v) != jsonscan.Object {
		d.wrong(path, "an object", v)
	}
	return v
}

func (d *decoder) list(v json.RawMessage, path string) []json.RawMessage {
	if absent(v) {
		return nil
	}
	if jsonscan.KindOf(v) != jsonscan.Array {
		d.wrong(path, "a list", v)
	}
	var list []json.RawMessage
	for e := range jsonscan.Elements(v) {
		list = append(list, e)
	}
	return list
}

// legacyBlocks are ids that very old exports use (execution.md 1.7).
var legacyBlocks = map[string]string{
	"a1b2c3d4-5e6f-7g8h-9i0j-k1l2m3n4o5p6": "436c3984-57fd-4b85-8e9a-459b356883bd",
	"b2g2c3d4-5e6f-7g8h-9i0j-k1l2m3n4o5p6": "0e50422c-6dee-4145-83d6-3a5a392f65de",
	"c3d4e5f6-7g8h-9i0j-1k2l-m3n4o5p6q7r8": "a0a69be1-4528-491c-a85a-a4ab6873e3f0",
	"c3d4e5f6-g7h8-i9j0-k1l2-m3n4o5p6q7r8": "32a87eab-381e-4dd4-bdb8-4c47151be35a",
	"b2c3d4e5-6f7g-8h9i-0j1k-l2m3n4o5p6q7": "87840993-2053-44b7-8da4-187ad4ee518c",
	"h1i2j3k4-5l6m-7n8o-9p0q-r1s2t3u4v5w6": "d0822ab5-9f8a-44a3-8971-531dd0178b6b",
	"d3f4g5h6-1i2j-3k4l-5m6n-7o8p9q0r1s2t": "df06086a-d5ac-4abb-9996-2ad0acb2eff7",
	"h5e7f8g9-1b2c-3d4e-5f6g-7h8i9j0k1l2m": "f5b0f5d0-1862-4d61-94be-3ad0fa772760",
	"a1234567-89ab-cdef-0123-456789abcdef": "4335878a-394e-4e67-adf2-919877ff49ae",
	"f8e7d6c5-b4a3-2c1d-0e9f-8g7h6i5j4k3l": "f66a3543-28d3-4ab5-8945-9b336371e2ce",
	"b29c1b50-5d0e-4d9f-8f9d-1b0e6fcbf0h2": "716a67b3-6760-42e7-86dc-18645c6e00fc",
	"31d1064e-7446-4693-o7d4-65e5ca9110d1": "cc10ff7b-7753-4ff2-9af6-9399b1a7eddc",
	"c6731acb-4105-4zp1-bc9b-03d0036h370g": "5ebe6768-8e5d-41e3-9134-1c7bd89a8d52",
}
