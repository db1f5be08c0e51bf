package rest

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/core/execution"
)

// old sends a request of an earlier version as a user.
func (f *fixture) old(user, method, path, body string) *httptest.ResponseRecorder {
	f.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if user != "" {
		r.Header.Set("Authorization", "Bearer "+user)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	w := httptest.NewRecorder()
	f.api.ServeHTTP(w, r)
	if w.Code >= 400 {
		checkEnvelope(f.t, w)
	}
	return w
}

func TestLegacyHasSuccessors(t *testing.T) {
	t.Parallel()
	spec, err := openapi3.NewLoader().LoadFromData(mustRead(t))
	if err != nil {
		t.Fatal(err)
	}
	f := newFixture(t)
	for _, route := range legacyRoutes {
		item := spec.Paths.Value(route.successor)
		if item == nil || item.GetOperation(route.method) == nil {
			t.Errorf("%s %s has no successor %s", route.method, route.path, route.successor)
			continue
		}
		if strings.Contains(route.path, "/store/") {
			continue // may be public
		}
		w := f.old("", route.method, route.path, "")
		expect(t, w, 401, `"code":"UNAUTHORIZED"`)
		link := "<" + route.successor + `>; rel="successor-version"`
		if w.Header().Get("Deprecation") != "true" || strings.NewReplacer("%7B", "{", "%7D", "}").Replace(w.Header().Get("Link")) != link {
			t.Errorf("%s %s: headers %v", route.method, route.path, w.Header())
		}
	}
	expect(t, f.old("", "GET", "/api/v1/nothing", ""), 404)
	w := f.old("", "PATCH", "/api/v1/graphs", "")
	expect(t, w, 405)
	if w.Header().Get("Allow") != "GET, HEAD, POST" {
		t.Errorf("Allow is %q", w.Header().Get("Allow"))
	}
}

func TestLegacyGraphs(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.blocks = []*block.Block{{Definition: block.Definition{ID: "b", Name: "B", Categories: []string{"BASIC"}, InputSchema: []byte(`{"x":1e400}`), OutputSchema: []byte("{}")}}}
	for _, prefix := range []string{"/api/v1", "/external-api/v1"} {
		expect(t, f.old("ann", "GET", prefix+"/blocks", ""), 200, `[{"id":"b"`, `"inputSchema":{"x":1e400}`, `"categories":[{"category":"BASIC"`, `"costs":[]`)
	}
	expect(t, f.old("ann", "POST", "/api/v1/graphs", `{"graph":{"name":"G","nodes":[],"links":[]}}`), 201, `"name":"G"`)
	expect(t, f.old("ann", "PUT", "/api/v1/graphs/g1", `{"name":"H","nodes":[],"links":[]}`), 200, `"version":2`)
	if body := expect(t, f.old("ann", "GET", "/api/v1/graphs", ""), 200); !strings.HasPrefix(body, "[") {
		t.Errorf("the list is %s", body)
	}
	expect(t, f.old("ann", "GET", "/api/v1/graphs/g1/versions/1", ""), 200, `"name":"G"`)
	expect(t, f.old("ann", "GET", "/api/v1/graphs/g1/versions/x", ""), 422, `"version"`)
	for _, r := range [][2]string{{"GET", "/api/v1/graphs/g1"}, {"GET", "/api/v1/graphs/g1/versions"}, {"DELETE", "/api/v1/graphs/g1"}} {
		expect(t, f.old("bob", r[0], r[1], ""), 404)
	}
	expect(t, f.old("ann", "DELETE", "/api/v1/graphs/g1", ""), 200, `{"version_counts":2}`)
}

func TestLegacyExecutions(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	expect(t, f.old("ann", "POST", "/api/v1/graphs", `{"name":"G","nodes":[],"links":[]}`), 201)
	for _, c := range []struct{ path, body, inputs string }{
		{"/api/v1/graphs/g1/execute/1", `{"inputs":{"a": 1e400},"source":"x"}`, `{"a": 1e400}`},
		{"/api/v1/graphs/g1/execute/1", `{"a": 12345678901234567890}`, `{"a": 12345678901234567890}`},
		{"/api/v1/graphs/g1/execute/1", ``, `{}`},
		{"/external-api/v1/graphs/g1/execute/1", `{"node_input":{"a":1}}`, `{"a":1}`},
	} {
		body := expect(t, f.old("ann", "POST", c.path, c.body), 200, `"graph_exec_id":"`, `"id":"`, `"status":"`, `"graph_id":"g1"`)
		last := f.requests[len(f.requests)-1]
		if string(last.Inputs) != c.inputs || last.Version != 1 || last.UserID != "ann" {
			t.Errorf("%s asked for %+v and answered %s", c.body, last, body)
		}
	}
	expect(t, f.old("ann", "POST", "/api/v1/graphs/g1/execute/0", "{}"), 422, `"version"`)
	expect(t, f.old("ann", "POST", "/api/v1/graphs/g1/execute/1", "[]"), 422)

	f.mu.Lock()
	f.runs["ann/done"] = &execution.Details{
		Execution:      execution.Execution{ID: "done", GraphID: "g1", GraphVersion: 1, Status: execution.Completed, CreatedAt: at, Inputs: []byte(`{"a": 1}`)},
		Outputs:        []execution.Output{{Name: "out", Values: taken(json.RawMessage("1e400"), json.RawMessage("2"))}},
		NodeExecutions: taken(&execution.NodeExecution{ID: "n1", NodeID: "n", BlockID: "b", Status: execution.Completed, StartedAt: &at, EndedAt: &at}),
	}
	f.mu.Unlock()
	expect(t, f.old("ann", "GET", "/api/v1/graphs/g1/executions/done", ""), 200,
		`"inputs":{"a": 1}`, `"outputs":{"out":[1e400,2]}`, `"node_exec_id":"n1"`, `"input_data":{}`, `"start_time":"2024-01-15T10:30:00Z"`)
	expect(t, f.old("ann", "GET", "/external-api/v1/graphs/g1/executions/done/results", ""), 200,
		`"execution_id":"done"`, `"output":[{"out":1e400},{"out":2}]`, `"nodes":[{"node_id":"n"`)
	expect(t, f.old("ann", "GET", "/api/v1/graphs/g1/executions?page_size=2&page=3", ""), 200, `"current_page":3`, `"page_size":2`)
	if f.filter.GraphID != "g1" || f.filter.Offset != 4 {
		t.Errorf("the filter is %+v", f.filter)
	}
	expect(t, f.old("ann", "GET", "/api/v1/graphs/g1/executions?page_size=101", ""), 422, "page_size")
	if body := expect(t, f.old("ann", "GET", "/api/v1/executions", ""), 200); !strings.HasPrefix(body, "[") {
		t.Errorf("the list is %s", body)
	}
	for _, r := range [][3]string{
		{"bob", "GET", "/api/v1/graphs/g1/executions/done"},
		{"ann", "GET", "/api/v1/graphs/other/executions/done"},
		{"ann", "POST", "/api/v1/graphs/other/executions/done/stop"},
		{"bob", "GET", "/external-api/v1/graphs/g1/executions/done/results"},
		{"bob", "DELETE", "/api/v1/executions/done"},
	} {
		expect(t, f.old(r[0], r[1], r[2], ""), 404)
	}
	if len(f.stopped) != 0 {
		t.Errorf("stopped %v", f.stopped)
	}
	expect(t, f.old("ann", "POST", "/api/v1/graphs/g1/executions/done/stop", ""), 200, `"id":"done"`)
}

func TestDocs(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	page := expect(t, f.old("", "GET", "/docs", ""), 200)
	for _, path := range []string{"/docs/swagger-ui.css", "/docs/swagger-ui-bundle.js", "/docs/start.js", "/docs/favicon-32x32.png"} {
		if !strings.Contains(page, `"`+path+`"`) {
			t.Errorf("the page does not use %s", path)
		}
		w := f.old("", "GET", path, "")
		expect(t, w, 200)
		if !strings.Contains(w.Header().Get("Content-Security-Policy"), "connect-src 'self'") {
			t.Errorf("%s: %v", path, w.Header())
		}
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Header.Set("If-None-Match", w.Header().Get("ETag"))
		again := httptest.NewRecorder()
		f.api.ServeHTTP(again, r)
		expect(t, again, 304)
	}
	if strings.Contains(page, "//") && strings.Contains(page, "http") {
		t.Error("the page names another host")
	}
	expect(t, f.old("", "GET", "/docs/nothing", ""), 404)
}
