package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/core/execution"
	"github.com/patchbay-io/patchbay/core/graph"
	"github.com/patchbay-io/patchbay/core/library"
	"github.com/patchbay-io/patchbay/core/postgres/postgrestest"
)

// tallies are executions as tests want them.
type tallies map[string]execution.Tally

func (t tallies) Tallies(context.Context, string, []string) (map[string]execution.Tally, error) {
	return t, nil
}

func (tallies) LastRuns(string) (string, []any) {
	return `SELECT NULL::uuid, NULL::timestamptz WHERE false`, nil
}

type structural struct{}

func (structural) Block(id string) (*block.Block, bool) {
	for _, b := range block.Structural() {
		if b.ID == id {
			return b, true
		}
	}
	return nil, false
}

// withLibrary is the API over real graphs and libraries.
func withLibrary(t *testing.T, runs tallies) *fixture {
	t.Helper()
	db := postgrestest.DB(t)
	graphs := graph.NewService(graph.NewStore(db, library.Follower{}), structural{}, nil)
	return newFixture(t, func(c *Config) {
		c.Graphs = graphs
		c.Library = library.New(library.Config{DB: db, Graphs: graphs, Executions: runs})
	})
}

const agentsPath = "/api/v2/library/agents"

type shownAgent struct {
	ID        string  `json:"id"`
	GraphID   string  `json:"agent_id"`
	Version   int     `json:"agent_version"`
	Name      string  `json:"name"`
	Latest    bool    `json:"is_latest_version"`
	Favorite  bool    `json:"is_favorite"`
	Archived  bool    `json:"is_archived"`
	Created   bool    `json:"is_created_by_user"`
	Status    string  `json:"status"`
	UpdatedAt string  `json:"updated_at"`
	Preset    *string `json:"preset_id"`
}

func shown[T any](t *testing.T, w *httptest.ResponseRecorder, status int) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(expect(t, w, status)), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// graph creates one and gives its id.
func (f *fixture) graph(name, description string) string {
	f.t.Helper()
	body, _ := json.Marshal(map[string]string{"name": name, "description": description})
	return shown[struct{ ID string }](f.t, f.do("POST", "/api/v2/builder/graphs", string(body)), 201).ID
}

func (f *fixture) entry(graphID string) shownAgent {
	f.t.Helper()
	return shown[shownAgent](f.t, f.do("GET", agentsPath+"/by-graph/"+graphID, ""), 200)
}

func (f *fixture) names(query string, headers ...string) string {
	f.t.Helper()
	list := shown[struct {
		Agents     []shownAgent
		Pagination struct{ Total int }
	}](f.t, f.do("GET", agentsPath+query, "", headers...), 200)
	text := fmt.Sprint(list.Pagination.Total, ":")
	for _, a := range list.Agents {
		text += " " + a.Name
	}
	return text
}

// Cases 20 to 28 of the conformance.
func TestLibraryList(t *testing.T) {
	t.Parallel()
	f := withLibrary(t, nil)
	expect(t, f.do("GET", agentsPath, ""), 200, `"agents":[]`, `"pagination":{"page":1,"page_size":15,"total":0,"total_pages":0}`)
	for i := range 17 {
		f.graph(fmt.Sprintf("A%02d", i), "")
	}
	seen := map[string]bool{}
	for page, want := range map[int]int{1: 15, 2: 2, 3: 0, 2147483647: 0} {
		list := shown[struct {
			Agents     []shownAgent
			Pagination Pagination
		}](t, f.do("GET", fmt.Sprintf("%s?page=%d", agentsPath, page), ""), 200)
		if len(list.Agents) != want || list.Pagination.Total != 17 || list.Pagination.TotalPages != 2 || list.Pagination.PageSize != 15 {
			t.Errorf("page %d: %d agents, %+v", page, len(list.Agents), list.Pagination)
		}
		for _, a := range list.Agents {
			seen[a.ID] = true
		}
	}
	if len(seen) != 17 {
		t.Errorf("%d agents on all pages", len(seen))
	}
	for query, field := range map[string]string{
		"page=0": "page", "page=-1": "page", "page=x": "page", "page_size=0": "page_size", "page_size=101": "page_size", "page_size=1000": "page_size",
		"sort_by=bogus": "sort_by", "sort_by=": "sort_by", "sort_by=name;drop%20table": "query", "sort_by=name,id": "sort_by", "archived=perhaps": "archived",
		"is_favorite=1.5": "is_favorite", "search_term=" + strings.Repeat("x", 101): "search_term",
	} {
		expect(t, f.do("GET", agentsPath+"?"+query, ""), 422, `"code":"VALIDATION_ERROR"`, `"`+field+`":"`)
	}
	expect(t, f.do("GET", agentsPath+"?search_term="+strings.Repeat("%C3%A4", 100), ""), 200, `"total":0`)
}

func TestLibraryOrdersAndSearch(t *testing.T) {
	t.Parallel()
	f := withLibrary(t, nil)
	oldest := f.graph("beta", "Ölpreis 100% _A_ of 'all' \\ things")
	f.graph("Alpha", "second")
	f.graph("gamma"+strings.Repeat("😀", 900), "") // longer than an index takes
	f.graph("alpha", "fourth")
	short := func(query string) string {
		return strings.ReplaceAll(f.names(query), strings.Repeat("😀", 900), "")
	}
	for query, want := range map[string]string{
		"":                          "4: alpha gamma Alpha beta",
		"?sort_by=updatedAt":        "4: alpha gamma Alpha beta",
		"?sort_by=createdAt":        "4: alpha gamma Alpha beta",
		"?search_term=ALPHA":        "2: alpha Alpha",
		"?search_term=%20second%20": "1: Alpha",
		"?search_term=%C3%96LPREIS": "1: beta",
		"?search_term=%25":          "1: beta",
		"?search_term=_a_":          "1: beta",
		"?search_term=%5C":          "1: beta",
		"?search_term=__":           "0:",
		"?search_term=a%25a":        "0:",
		"?search_term=.*":           "0:",
		"?search_term=%27%20OR%201%3D1--&sort_by=name":   "0:",
		"?search_term=%27all%27":                         "1: beta",
		"?search_term=%00":                               "0:",
		"?search_term=%FF":                               "0:",
		"?search_term=%3F0":                              "0:",
		"?search_term=alpha&page=2&page_size=1":          "2: Alpha",
		"?search_term=alpha&page=3&page_size=1":          "2:",
		"?search_term=":                                  "4: alpha gamma Alpha beta",
		"?user_id=bob&unknown=x&search_term=fourth":      "1: alpha",
		"?search_term=alpha&archived=true&sort_by=name":  "0:",
		"?search_term=alpha&is_favorite=false&page=1":    "2: alpha Alpha",
		"?search_term=alpha&is_favorite=true&archived=0": "0:",
	} {
		if got := strings.TrimSpace(short(query)); got != want {
			t.Errorf("%s: %s, not %s", query, got, want)
		}
	}
	// Equal names come in the order of their ids.
	if got := strings.ToLower(short("?sort_by=name")); got != "4: alpha alpha beta gamma" {
		t.Errorf("by name: %s", got)
	}
	expect(t, f.do("PUT", "/api/v2/builder/graphs/"+oldest, `{"name":"Beta 2"}`), 200)
	if got := short(""); got != "4: Beta 2 alpha gamma Alpha" {
		t.Errorf("an updated agent is not on top: %s", got)
	}
	if got := short("?sort_by=created_at"); got != "4: alpha gamma Alpha Beta 2" {
		t.Errorf("by creation: %s", got)
	}
}

// Cases 29 to 39.
func TestLibraryEntries(t *testing.T) {
	t.Parallel()
	f := withLibrary(t, nil)
	id := f.graph("Agent", "of mine")
	a := f.entry(id)
	if a.GraphID != id || a.Version != 1 || !a.Created || !a.Latest || a.Favorite || a.Archived || a.Preset != nil || a.Status != "COMPLETED" {
		t.Errorf("%+v", a)
	}
	path := agentsPath + "/" + a.ID
	body := expect(t, f.do("GET", path, ""), 200, `"execution_count":0`, `"last_run_at":null`, `"success_rate":null`, `"preset_id":null`, `"graph_id":"`+id+`"`)
	if again := f.do("POST", agentsPath, `{"agent_id":"`+id+`","agent_version":1}`); again.Code != 200 || again.Body.String() != body {
		t.Errorf("added again: %d %s, not %s", again.Code, again.Body, body)
	}
	expect(t, f.do("POST", agentsPath, `{"agent_id":"`+id+`"}`), 200, a.ID)
	for body, field := range map[string]string{
		`{}`: "agent_id", `{"agent_id":7}`: "agent_id", `{"agent_id":null}`: "agent_id", `[]`: "body", `null`: "body", `"x"`: "body",
		`{"agent_id":"x","agent_version":0}`: "agent_version", `{"agent_id":"x","agent_version":"1"}`: "agent_version",
		`{"agent_id":"x","agent_version":1.5}`: "agent_version", `{"agent_id":"x","agent_version":1e30}`: "agent_version",
	} {
		expect(t, f.do("POST", agentsPath, body), 422, `"`+field+`":"`)
	}
	expect(t, f.do("POST", agentsPath, `{"agent_id":"`+id+`","agent_version":2}`), 404)

	expect(t, f.do("GET", agentsPath+"/by-graph/"+id+"?version=1", ""), 200, a.ID)
	expect(t, f.do("GET", agentsPath+"/by-graph/"+id+"?version=99", ""), 404)
	for _, version := range []string{"abc", "0", "-1", "1.5", "2147483648"} {
		expect(t, f.do("GET", agentsPath+"/by-graph/"+id+"?version="+version, ""), 422, `"version":`)
	}

	if got := expect(t, f.do("PUT", path, `{}`), 200); got != body {
		t.Errorf("nothing changed: %s", got)
	}
	changed := shown[shownAgent](t, f.do("PUT", path, `{"is_favorite":true}`), 200)
	if changed.UpdatedAt == a.UpdatedAt {
		t.Error("the change has no time")
	}
	a.Favorite, a.UpdatedAt = true, changed.UpdatedAt
	if changed != a {
		t.Errorf("%+v, not %+v", changed, a)
	}
	if again := shown[shownAgent](t, f.do("PATCH", path, `{"is_favorite":true}`), 200); again != a {
		t.Errorf("what is so already: %+v", again)
	}
	for query, want := range map[string]string{"?is_favorite=true": "1: Agent", "?is_favorite=false": "0:", "?archived=true": "0:", "?archived=false": "1: Agent"} {
		if got := f.names(query); got != want {
			t.Errorf("%s: %s", query, got)
		}
	}
	expect(t, f.do("PATCH", path, `{"is_archived":true}`), 200, `"is_archived":true`, `"is_favorite":true`)
	for query, want := range map[string]string{"": "0:", "?archived=true": "1: Agent", "?archived=true&is_favorite=true": "1: Agent", "?archived=true&is_favorite=false": "0:"} {
		if got := f.names(query); got != want {
			t.Errorf("archived, %s: %s", query, got)
		}
	}
	expect(t, f.do("GET", path, ""), 200)
	expect(t, f.do("PUT", path, `{"is_archived":false}`), 200, `"is_archived":false`)
	f.do("PUT", path, `{"is_archived":true}`)
	expect(t, f.do("POST", agentsPath, `{"agent_id":"`+id+`"}`), 200, a.ID, `"is_archived":false`)
	for _, method := range []string{"PUT", "PATCH"} {
		for body, field := range map[string]string{`{"is_favorite":"yes"}`: "is_favorite", `{"is_archived":1}`: "is_archived", `[]`: "body", `{"is_favorite":null}`: "is_favorite"} {
			expect(t, f.do(method, path, body), 422, `"`+field+`":"`)
		}
	}

	if w := f.do("DELETE", path, ""); w.Code != 204 || w.Body.Len() != 0 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	expect(t, f.do("DELETE", path, ""), 404)
	expect(t, f.do("GET", path, ""), 404)
	expect(t, f.do("PUT", path, `{}`), 404)
	expect(t, f.do("GET", agentsPath+"/by-graph/"+id, ""), 404)
	expect(t, f.do("GET", "/api/v2/builder/graphs/"+id, ""), 200)
	expect(t, f.do("POST", agentsPath, `{"agent_id":"`+id+`","agent_version":1}`), 201, `"is_created_by_user":true`)
}

// What is not the caller's is not there, whatever the verb; what may not be set is ignored.
func TestForeignLibrariesAreNotThere(t *testing.T) {
	t.Parallel()
	f := withLibrary(t, nil)
	id := f.graph("Mine", "")
	a := f.entry(id)
	bob := []string{"Authorization", "Bearer bob"}
	for _, entry := range []string{a.ID, uuid.NewString(), "not-a-uuid", "favorites", "%00", "%FF", "a%2Fb", "..%2f" + a.ID, "{" + a.ID + "}", strings.ReplaceAll(a.ID, "-", ""), "'; DROP TABLE library_agent; --", strings.Repeat("x", 3000)} {
		path := agentsPath + "/" + strings.NewReplacer(" ", "%20").Replace(entry)
		for _, r := range [][3]string{
			{"GET", "", ""}, {"PUT", "", `{"is_favorite":true}`}, {"PATCH", "", `{"is_archived":true}`}, {"PUT", "", `{}`}, {"DELETE", "", ""}, {"POST", "/fork", ""},
		} {
			expect(t, f.do(r[0], path+r[1], r[2], bob...), 404, `"code":"NOT_FOUND"`)
		}
	}
	for _, graphID := range []string{id, uuid.NewString(), "x", "%00"} {
		expect(t, f.do("GET", agentsPath+"/by-graph/"+graphID, "", bob...), 404)
		expect(t, f.do("GET", agentsPath+"/by-graph/"+graphID+"?version=1", "", bob...), 404)
		expect(t, f.do("GET", agentsPath+"/by-graph/"+graphID+"?user_id=ann", "", bob...), 404)
	}
	for _, graphID := range []string{id, a.ID, uuid.NewString(), "node-1", "", `\u0000`, strings.ToUpper(id)} {
		expect(t, f.do("POST", agentsPath, `{"agent_id":"`+graphID+`","agent_version":1,"user_id":"ann","is_created_by_user":true}`, bob...), 404, `"code":"NOT_FOUND"`)
	}
	for _, query := range []string{"", "?search_term=Mine", "?archived=true", "?is_favorite=false", "?user_id=ann", "?sort_by=name", "?graph_id=" + id} {
		if got := f.names(query, bob...); got != "0:" {
			t.Errorf("%s: %s", query, got)
		}
	}
	if got := f.entry(id); got != a {
		t.Errorf("somebody else changed it: %+v", got)
	}

	hostile := `{"id":"` + uuid.NewString() + `","user_id":"bob","agent_id":"x","graph_id":"x","agent_version":7,"version":7,"name":"Other","is_created_by_user":false,` +
		`"is_latest_version":false,"execution_count":9,"status":"ERROR","created_at":"2001-01-01T00:00:00Z"}`
	for _, method := range []string{"PUT", "PATCH"} {
		if got := shown[shownAgent](t, f.do(method, agentsPath+"/"+a.ID, hostile), 200); got != a {
			t.Errorf("%s changed what nobody may: %+v", method, got)
		}
	}
}

// Case 50: entries follow the active version, pinned ones stay.
func TestLibraryFollowsTheActiveVersion(t *testing.T) {
	t.Parallel()
	f := withLibrary(t, nil)
	id := f.graph("One", "")
	graphPath := "/api/v2/builder/graphs/" + id
	entry := f.entry(id).ID
	state := func(id string) string {
		t.Helper()
		a := shown[shownAgent](t, f.do("GET", agentsPath+"/"+id, ""), 200)
		return fmt.Sprintf("%s %d %t", a.Name, a.Version, a.Latest)
	}
	expect(t, f.do("PUT", graphPath, `{"name":"Two"}`), 200)
	if got := state(entry); got != "Two 2 true" {
		t.Errorf("after an update: %s", got)
	}
	pinned := shown[shownAgent](t, f.do("POST", agentsPath, `{"agent_id":"`+id+`","agent_version":1}`), 201)
	if pinned.ID == entry || pinned.Name != "One" || pinned.Version != 1 || pinned.Latest {
		t.Errorf("%+v", pinned)
	}
	expect(t, f.do("POST", agentsPath, `{"agent_id":"`+id+`","agent_version":1}`), 200, pinned.ID)
	expect(t, f.do("POST", agentsPath, `{"agent_id":"`+id+`","agent_version":2}`), 200, entry)
	expect(t, f.do("GET", agentsPath+"/by-graph/"+id+"?version=1", ""), 200, pinned.ID)
	expect(t, f.do("GET", agentsPath+"/by-graph/"+id, ""), 200, entry)
	expect(t, f.do("PUT", graphPath, `{"name":"Three"}`), 200)
	if got := state(entry) + ", " + state(pinned.ID); got != "Three 3 true, One 1 false" {
		t.Errorf("after another update: %s", got)
	}
	expect(t, f.do("PUT", graphPath+"/versions/active", `{"active_graph_version":1}`), 200, `"version":1`, `"name":"One"`)
	if got := state(entry) + ", " + state(pinned.ID); got != "One 1 false, One 1 false" {
		t.Errorf("after going back: %s", got)
	}
	expect(t, f.do("GET", agentsPath+"/by-graph/"+id+"?version=1", ""), 200, entry)
	expect(t, f.do("PUT", graphPath, `{"name":""}`), 422)
	if got := state(entry); got != "One 1 false" {
		t.Errorf("after a refused update: %s", got)
	}
	expect(t, f.do("DELETE", graphPath, ""), 204)
	for _, id := range []string{entry, pinned.ID} {
		expect(t, f.do("GET", agentsPath+"/"+id, ""), 404)
	}
	if got := f.names(""); got != "0:" {
		t.Errorf("after the graph was deleted: %s", got)
	}
}

func TestLibraryTellsHowExecutionsWent(t *testing.T) {
	t.Parallel()
	runs := tallies{}
	f := withLibrary(t, runs)
	id := f.graph("Agent", "")
	last := time.Date(2024, 1, 15, 10, 30, 0, 0, time.FixedZone("", 3600))
	for _, c := range []struct {
		last []execution.Status
		want string
	}{
		{[]execution.Status{execution.Completed, execution.Queued, execution.Failed}, "ERROR"},
		{[]execution.Status{execution.Running, execution.Queued}, "WAITING"},
		{[]execution.Status{execution.Running, execution.Completed}, "HEALTHY"},
		{[]execution.Status{execution.Terminated}, "COMPLETED"},
	} {
		runs[id] = execution.Tally{Counts: execution.Counts{Total: 9, Completed: 6, Failed: 1, Terminated: 1}, LastAt: last, Last: c.last}
		expect(t, f.do("GET", agentsPath, ""), 200, `"execution_count":9`, `"success_rate":75`, `"last_run_at":"2024-01-15T09:30:00Z"`, `"status":"`+c.want+`"`)
	}
}

func TestForks(t *testing.T) {
	t.Parallel()
	f := withLibrary(t, nil)
	id := f.graph("Agent", "v1")
	f.do("PUT", "/api/v2/builder/graphs/"+id, `{"name":"Changed"}`)
	fork := shown[struct {
		ID, Name, Description string
		Version               int
		ForkedID              string `json:"forked_from_id"`
		ForkedVersion         int    `json:"forked_from_version"`
	}](t, f.do("POST", "/api/v2/builder/graphs/"+id+"/fork?version=1", ""), 201)
	if fork.ID == id || fork.Version != 1 || fork.Name != "Agent (copy)" || fork.Description != "v1" || fork.ForkedID != id || fork.ForkedVersion != 1 {
		t.Errorf("%+v", fork)
	}
	if a := f.entry(fork.ID); a.Name != "Agent (copy)" || !a.Created {
		t.Errorf("%+v", a)
	}
	again := shown[shownAgent](t, f.do("POST", agentsPath+"/"+f.entry(id).ID+"/fork", ""), 201)
	if again.Name != "Changed (copy)" || again.GraphID == id || again.Version != 1 {
		t.Errorf("%+v", again)
	}
	expect(t, f.do("POST", "/api/v2/builder/graphs/"+id+"/fork?version=3", ""), 404)
	expect(t, f.do("POST", "/api/v2/builder/graphs/"+id+"/fork?version=0", ""), 422)
}
