package rest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/core/execution"
)

// old sends a request of an earlier version as a user.
func (f *fixture) old(user, method, path, body string) *httptest.ResponseRecorder {
	f.t.Helper()
	return f.do(method, path, body, "Authorization", map[bool]string{true: "Bearer " + user}[user != ""])
}

// What an earlier version has is open to the same callers as its successor, counted and logged as that, and says so.
func TestLegacyHasSuccessors(t *testing.T) {
	t.Parallel()
	paths := spec(t).Paths
	variable := regexp.MustCompile(`\{\w+\}`)
	filled := func(path string) string { return variable.ReplaceAllString(path, "a%2Fb") }
	f := newFixture(t)
	found := 0
	for path, item := range paths.Map() {
		for method, operation := range item.Operations() {
			old := strings.HasPrefix(path, "/api/v1/") || strings.HasPrefix(path, "/external-api/v1/")
			if successor, named := operation.Extensions["x-successor"]; old != operation.Deprecated || old != named {
				t.Errorf("%s %s: deprecated is %t, and its successor %v", method, path, operation.Deprecated, successor)
			}
			if !old {
				continue
			}
			found++
			successor := operation.Extensions["x-successor"].(string)
			var next *openapi3.Operation
			if item := paths.Value(successor); item != nil {
				other, ok := operation.Extensions["x-successor-method"].(string)
				if !ok {
					other = method
				}
				next = item.GetOperation(other)
			}
			if next == nil {
				t.Errorf("%s %s has no successor %s", method, path, successor)
				continue
			}
			for _, name := range []string{"x-permission", "x-role", "x-limit", "x-needs", "x-audit", "x-body"} {
				if name == "x-body" && next.RequestBody == nil {
					continue
				}
				more := strings.HasPrefix(fmt.Sprint(operation.Extensions[name]), fmt.Sprint(next.Extensions[name], " and "))
				if !more && !reflect.DeepEqual(operation.Extensions[name], next.Extensions[name]) {
					t.Errorf("%s %s: %s is %v, that of its successor %v", method, path, name, operation.Extensions[name], next.Extensions[name])
				}
			}
			if !reflect.DeepEqual(operation.Security, next.Security) {
				t.Errorf("%s %s asks for other credentials than its successor", method, path)
			}
			w := f.old("bad", method, filled(path), "")
			expect(t, w, 401, `"code":"UNAUTHORIZED"`)
			if w.Header().Get("Deprecation") != "true" || w.Header().Get("Link") != "<"+filled(successor)+`>; rel="successor-version"` {
				t.Errorf("%s %s: headers %v", method, path, w.Header())
			}
		}
	}
	if found < 30 {
		t.Errorf("the document has %d operations of earlier versions", found)
	}
	for path, next := range map[string]string{
		"/api/v1/nothing": "/openapi.json", "/external-api/v1/nothing": "/openapi.json", "/api/v1": "/openapi.json", "/api/v2/nothing": "", "/api/v10": "",
	} {
		w := f.old("", "GET", path, "")
		expect(t, w, 404)
		if link, deprecation := w.Header().Get("Link"), w.Header().Get("Deprecation"); (next != "") != (deprecation == "true") || next != "" && link != "<"+next+`>; rel="successor-version"` {
			t.Errorf("%s: %q, %q", path, deprecation, link)
		}
	}
	w := f.old("", "PATCH", "/api/v1/graphs", "")
	expect(t, w, 405)
	wide := f.old("", "PATCH", "/api/v1/graphs/a%2Fb", "")
	expect(t, wide, 405)
	if w.Header().Get("Deprecation") != "true" || wide.Header().Get("Link") != `</api/v2/builder/graphs/a%2Fb>; rel="successor-version"` {
		t.Errorf("%v, %v", w.Header(), wide.Header())
	}
	if w.Header().Get("Allow") != "GET, HEAD, POST" {
		t.Errorf("Allow is %q", w.Header().Get("Allow"))
	}
}

func TestLegacyGraphs(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.blocks = []*block.Block{{Definition: block.Definition{ID: "b", Name: "B", Kind: block.Standard, Categories: []string{"BASIC"}, InputSchema: []byte(`{"x":1.00e2}`), OutputSchema: []byte("{}")}}}
	for _, prefix := range []string{"/api/v1", "/external-api/v1"} {
		expect(t, f.old("ann", "GET", prefix+"/blocks", ""), 200, `[{"id":"b"`, `"inputSchema":{"x":1.00e2}`, `"categories":[{"category":"BASIC"`, `"costs":[]`)
	}
	expect(t, f.old("ann", "POST", "/api/v1/graphs", `{"graph":{"name":"G","nodes":[],"links":[]}}`), 201, `"name":"G"`)
	expect(t, f.old("ann", "PUT", "/api/v1/graphs/g1", `{"name":"H","nodes":[],"links":[]}`), 200, `"version":2`)
	expect(t, f.old("ann", "PUT", "/api/v1/graphs/g1/versions/active", `{"active_graph_version":1}`), 200, `"version":1`)
	expect(t, f.old("ann", "GET", "/api/v1/graphs/g1", ""), 200, `"name":"G"`) // the active version
	expect(t, f.old("ann", "GET", "/api/v1/graphs/g1?version=2&for_export=true", ""), 200, `"name":"H"`, `"sub_graphs":[]`)
	expect(t, f.old("ann", "POST", "/external-api/v1/graphs", `{"name":"E","nodes":[],"links":[]}`), 201, `"name":"E"`)
	for path, total := range map[string]string{"/api/v1/graphs": "2", "/api/v1/graphs/g1/versions": "2"} {
		w := f.old("ann", "GET", path+"?page_size=1&page=2", "")
		if body := expect(t, w, 200); !strings.HasPrefix(body, "[{") || w.Header().Get("X-Total-Count") != total {
			t.Errorf("%s: %v %s", path, w.Header(), body)
		}
		expect(t, f.old("ann", "GET", path+"?page_size=250", ""), 200)
		expect(t, f.old("ann", "GET", path+"?page_size=251", ""), 422, "page_size")
	}
	expect(t, f.old("ann", "GET", "/api/v1/graphs/g1/versions/1", ""), 200, `"name":"G"`)
	expect(t, f.old("ann", "GET", "/api/v1/graphs/g1/versions/x", ""), 422, `"version"`)
	for _, r := range [][2]string{{"GET", "/api/v1/graphs/g1"}, {"GET", "/api/v1/graphs/g1/versions"}, {"DELETE", "/api/v1/graphs/g1"}} {
		expect(t, f.old("bob", r[0], r[1], ""), 404)
	}
	expect(t, f.old("ann", "DELETE", "/api/v1/graphs/g1", ""), 200, `{"version_counts":2}`)
}

func TestExecuteBlock(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, prefix := range []string{"/api/v2/builder", "/api/v1", "/external-api/v1"} {
		expect(t, f.old("ann", "POST", prefix+"/blocks/b/execute", `{"a": 1.00e2}`), 200, `{"out":[{"a": 1.00e2},"ann"]}`)
		expect(t, f.old("ann", "POST", prefix+"/blocks/c/execute", `{}`), 404, "block not found")
		expect(t, f.old("ann", "POST", prefix+"/blocks/in/execute", `{}`), 403, "it is an input of a graph")
		expect(t, f.old("ann", "POST", prefix+"/blocks/b/execute", `[]`), 422, `"body"`)
		expect(t, f.old("ann", "POST", prefix+"/blocks/b/execute", ``), 422, `"body"`)
		expect(t, f.old("ann", "POST", prefix+"/blocks/b/execute", `{"a":1,"a":2}`), 422, `"a"`)
	}
}

func TestLegacyExecutions(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	expect(t, f.old("ann", "POST", "/api/v1/graphs", `{"name":"G","nodes":[],"links":[]}`), 201)
	for _, c := range []struct{ path, body, inputs string }{
		{"/api/v1/graphs/g1/execute/1", `{"inputs":{"a": 1.00e2},"source":"x"}`, `{"a": 1.00e2}`},
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
		Execution:      execution.Execution{ID: "done", GraphID: "g1", GraphVersion: 1, Status: execution.Completed, CreatedAt: at},
		Inputs:         taken(json.RawMessage(`{"a": 1}`)),
		Outputs:        []execution.Output{{Name: "out", Values: taken(json.RawMessage("1.00e2"), json.RawMessage("2"))}},
		NodeExecutions: taken(&execution.NodeExecution{ID: "n1", NodeID: "n", BlockID: "b", Status: execution.Completed, StartedAt: &at, EndedAt: &at}),
	}
	f.mu.Unlock()
	expect(t, f.old("ann", "GET", "/api/v1/graphs/g1/executions/done", ""), 200,
		`"inputs":{"a": 1}`, `"outputs":{"out":[1.00e2,2]}`, `"node_exec_id":"n1"`, `"input_data":{}`, `"start_time":"2024-01-15T10:30:00Z"`)
	expect(t, f.old("ann", "GET", "/external-api/v1/graphs/g1/executions/done/results", ""), 200,
		`"execution_id":"done"`, `"output":[{"out":1.00e2},{"out":2}]`, `"nodes":[{"node_id":"n"`)
	expect(t, f.old("ann", "GET", "/api/v1/graphs/g1/executions?page_size=2&page=3", ""), 200, `"current_page":3`, `"page_size":2`)
	if f.filter.GraphID != "g1" || f.filter.Offset != 4 {
		t.Errorf("the filter is %+v", f.filter)
	}
	expect(t, f.old("ann", "GET", "/api/v1/graphs/g1/executions?page_size=101", ""), 422, "page_size")
	w := f.old("ann", "GET", "/api/v1/executions", "")
	if body := expect(t, w, 200); !strings.HasPrefix(body, "[") || w.Header().Get("X-Total-Count") == "" || f.filter.Limit != 250 {
		t.Errorf("the list is %v %s", w.Header(), body)
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
	expect(t, f.old("ann", "DELETE", "/api/v1/executions/done", ""), 204)
}

func TestLegacyKeys(t *testing.T) {
	t.Parallel()
	f, log := newKeyFixture(t)
	ann, bob := tokenOf(t, "ann"), tokenOf(t, "bob")
	made := decode[NewAPIKeyV1](t, f.old(ann, "POST", "/api/v1/api-keys", `{"name":"old","permissions":["READ_BLOCK"],"description":"d"}`))
	if !strings.HasPrefix(made.PlainTextKey, "pb_") || made.ApiKey.Description != "d" {
		t.Errorf("made %+v", made)
	}
	expect(t, f.as(made.PlainTextKey, "GET", "/api/v1/blocks", ""), 200, "[")
	expect(t, f.as(made.PlainTextKey, "GET", "/api/v1/graphs", ""), 403, `"missing_permissions":["READ_GRAPH"]`)
	expect(t, f.as(made.PlainTextKey, "GET", "/api/v1/api-keys", ""), 403)
	path := "/api/v1/api-keys/" + made.ApiKey.Id
	if list := decode[[]APIKey](t, f.old(ann, "GET", "/api/v1/api-keys", "")); len(list) != 1 || list[0].Id != made.ApiKey.Id {
		t.Errorf("the list is %+v", list)
	}
	expect(t, f.old(bob, "GET", "/api/v1/api-keys", ""), 200, "[]")
	expect(t, f.old(ann, "PUT", path+"/permissions", `{"permissions":["READ_GRAPH"]}`), 200, `"permissions":["READ_GRAPH"]`, `"name":"old"`)
	expect(t, f.old(ann, "PUT", path+"/permissions", `{"permissions":[]}`), 422, `"permissions"`)
	expect(t, f.as(made.PlainTextKey, "GET", "/api/v1/blocks", ""), 403)
	for _, r := range [][3]string{{"GET", path}, {"DELETE", path}, {"POST", path + "/suspend"}, {"PUT", path + "/permissions", `{"permissions":["READ_GRAPH"]}`}} {
		expect(t, f.old(bob, r[0], r[1], r[2]), 404)
	}
	expect(t, f.old(ann, "POST", path+"/suspend", ""), 200, `"SUSPENDED"`)
	expect(t, f.as(made.PlainTextKey, "GET", "/api/v1/graphs", ""), 401)
	expect(t, f.old(ann, "DELETE", path, ""), 200, `"REVOKED"`)
	expect(t, f.old(ann, "GET", path, ""), 200, `"REVOKED"`)
	for _, event := range []string{"api_key.create", "api_key.update", "api_key.suspend", "api_key.revoke"} {
		if !strings.Contains(log.String(), event) {
			t.Errorf("the audit log lacks %s: %s", event, log)
		}
	}
	if strings.Contains(log.String(), made.PlainTextKey) {
		t.Error("the audit log has the key")
	}
}

func TestLegacyUpload(t *testing.T) {
	t.Parallel()
	f, _ := withFiles(t)
	body, contentType := form(t, "file;a.txt;text/plain;hello")
	r := httptest.NewRequest(http.MethodPost, "/api/v1/files/upload?expiration_hours=3", body)
	r.Header.Set("Authorization", "Bearer ann")
	r.Header.Set("Content-Type", contentType)
	up := decode[UploadedFile](t, f.send(r))
	if up.FileName != "a.txt" || up.Size != 5 || up.ExpiresInHours != 3 || up.FileUri != "workspace://"+up.Id {
		t.Errorf("%+v", up)
	}
	expect(t, f.do("GET", "/api/v2/files/"+up.Id, ""), 200, `"a.txt"`)
	expect(t, f.do("POST", "/api/v1/files/upload", "{}"), 415)
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

// What the external API stores is put into the library, which keys of it have to be allowed by name.
func TestExternalGraphsNeedTheLibraryToo(t *testing.T) {
	t.Parallel()
	f, _ := newKeyFixture(t)
	ann := tokenOf(t, "ann")
	for permissions, missing := range map[string]string{
		`"READ_GRAPH"`: `["WRITE_GRAPH","WRITE_LIBRARY"]`, `"WRITE_GRAPH"`: `["WRITE_LIBRARY"]`, `"WRITE_LIBRARY"`: `["WRITE_GRAPH"]`,
	} {
		k := decode[NewAPIKeyV1](t, f.old(ann, "POST", "/api/v1/api-keys", `{"name":"k","permissions":[`+permissions+`]}`))
		expect(t, f.as(k.PlainTextKey, "POST", "/external-api/v1/graphs", `{"name":"g"}`), 403, `"missing_permissions":`+missing)
	}
	both := decode[NewAPIKeyV1](t, f.old(ann, "POST", "/api/v1/api-keys", `{"name":"k","permissions":["WRITE_GRAPH","WRITE_LIBRARY"]}`))
	expect(t, f.as(both.PlainTextKey, "POST", "/external-api/v1/graphs", `{"name":"g"}`), 201)
}
