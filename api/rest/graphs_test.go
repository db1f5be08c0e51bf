package rest

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/core/graph"
)

const aGraph = `{"name":"G","nodes":[{"id":"n1","block_id":"b","input_default":{"value":18446744073709551616,"é":"\u0000<&>","b":1e400}}]}`

func TestGraphsLifecycle(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	expect(t, f.do("POST", "/api/v2/builder/graphs", aGraph), 201, `"id":"g1","version":1`, `{"value":18446744073709551616,"é":"\u0000<&>","b":1e400}`)
	expect(t, f.do("POST", "/api/v2/builder/graphs", `{"graph":`+aGraph+`}`), 201, `"id":"g2"`)
	expect(t, f.do("PUT", "/api/v2/builder/graphs/g1", `{"name":"H"}`), 200, `"version":2`)
	expect(t, f.do("GET", "/api/v2/builder/graphs/g1", ""), 200, `"name":"H"`)
	expect(t, f.do("GET", "/api/v2/builder/graphs/g1?version=1", ""), 200, `"name":"G"`, `1e400`)
	expect(t, f.do("GET", "/api/v2/builder/graphs/g1?for_export=true", ""), 200, `"sub_graphs":[]`)
	expect(t, f.do("GET", "/api/v2/builder/graphs/g1?version=3", ""), 404, "NOT_FOUND")
	expect(t, f.do("GET", "/api/v2/builder/graphs/g1/versions", ""), 200, `"total":2`)
	expect(t, f.do("GET", "/api/v2/builder/graphs/g1/versions?page=2&page_size=1", ""), 200, `"version":1`, `"total_pages":2`)
	expect(t, f.do("PUT", "/api/v2/builder/graphs/g1/versions/active", `{"active_graph_version":1}`), 200, `"version":1`)
	expect(t, f.do("PUT", "/api/v2/builder/graphs/g1/versions/active", `{"active_graph_version":9}`), 404)
	expect(t, f.do("GET", "/api/v2/builder/graphs", ""), 200, `"pagination":{"page":1,"page_size":20,"total":2,"total_pages":1}`)
	expect(t, f.do("GET", "/api/v2/builder/graphs?page=7&page_size=1", ""), 200, `"graphs":[]`, `"total":2`)
	expect(t, f.do("GET", "/api/v2/builder/graphs", "", "Authorization", "Bearer bob"), 200, `"graphs":[]`, `"total":0,"total_pages":0`)
	if got := f.do("DELETE", "/api/v2/builder/graphs/g1", ""); got.Code != 204 || got.Body.Len() != 0 || got.Header().Get("X-Deleted-Versions") != "2" {
		t.Errorf("%d %s %v", got.Code, got.Body, got.Header())
	}
	if len(f.stopped) != 1 || f.stopped[0] != "g1" {
		t.Errorf("stopped %v", f.stopped)
	}
	expect(t, f.do("DELETE", "/api/v2/builder/graphs/g1", ""), 404)
}

func TestUpdatesOfWhatHasChangedAreRefusedOnRequest(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	tagged := func(w *httptest.ResponseRecorder, status int, tag string) {
		t.Helper()
		expect(t, w, status)
		if got := w.Header().Get("ETag"); got != tag {
			t.Errorf("tag %s, not %s", got, tag)
		}
	}
	const path = "/api/v2/builder/graphs/g1"
	tagged(f.do("POST", "/api/v2/builder/graphs", aGraph), 201, `"1"`)
	tagged(f.do("GET", path, ""), 200, `"1"`)
	version := 1
	for _, match := range []string{`"1"`, `W/"2"`, `*`, `"7", "4"`, `"5","5"`} {
		version++
		tagged(f.do("PUT", path, aGraph, "If-Match", match), 200, fmt.Sprintf(`"%d"`, version))
	}
	for _, match := range []string{`"1"`, `"5"`, `6`, `"06"`, `"+6"`, `" 6"`, `'6'`, `""6""`, `x`, `,`, `"99999999999999999999"`, `"6`, `"*"`} {
		w := f.do("PUT", path, aGraph, "If-Match", match)
		expect(t, w, 409, `"code":"CONFLICT"`)
		if w.Header().Get("ETag") != "" {
			t.Errorf("a refusal has a tag")
		}
	}
	tagged(f.do("GET", path+"?version=2&for_export=true", ""), 200, `"2"`)
	tagged(f.do("POST", path+"/fork?version=2", ""), 201, `"1"`)
	expect(t, f.do("PUT", "/api/v2/builder/graphs/g9", aGraph, "If-Match", `"1"`), 404)
	for _, at := range []string{path, "/api/v1/graphs/g1"} {
		expect(t, f.do("PUT", at+"/versions/active", `{"active_graph_version":2}`, "If-Match", `"5"`), 409)
		expect(t, f.do("PUT", at+"/versions/active", `{"active_graph_version":2}`, "If-Match", `"6"`), 200)
		expect(t, f.do("DELETE", at, "", "If-Match", `"5"`), 409)
	}
	expect(t, f.do("DELETE", path, "", "If-Match", `"6"`), 204)
}

func TestForeignGraphsAreNotFound(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.do("POST", "/api/v2/builder/graphs", aGraph)
	for _, id := range []string{"g1", "g9", "not-an-id", "%00", "a%2Fb", "..%2f..", "%25zz", strings.Repeat("x", 3000)} {
		for _, r := range [][3]string{
			{"GET", "", ""}, {"PUT", "", aGraph}, {"DELETE", "", ""}, {"GET", "/versions", ""},
			{"POST", "/fork", ""}, {"PUT", "/versions/active", `{"active_graph_version":1}`}, {"POST", "/execute", ""},
		} {
			w := f.do(r[0], "/api/v2/builder/graphs/"+id+r[1], r[2], "Authorization", "Bearer bob")
			expect(t, w, 404, `"code":"NOT_FOUND"`)
		}
	}
}

func TestBrokenGraphs(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for body, contains := range map[string]string{
		`{`:                         "not JSON",
		`{"name":"a"} {}`:           "not JSON",
		`{"name":"a"}x`:             "not JSON",
		"{\"name\":\"\xff\"}":       "UTF-8",
		`[]`:                        `"fields"`,
		`"text"`:                    `"fields"`,
		`null`:                      `"fields"`,
		`{}`:                        `"fields"`,
		`{"name":7}`:                `"fields"`,
		`{"name":"a","nodes":{}}`:   `"fields"`,
		`{"name":"a","nodes":[7]}`:  `"fields"`,
		`{"graph":7}`:               `"fields"`,
		strings.Repeat("[", 20_000): "not JSON",
	} {
		expect(t, f.do("POST", "/api/v2/builder/graphs", body), 422, `"code":"VALIDATION_ERROR"`, contains)
	}
	expect(t, f.do("POST", "/api/v2/builder/graphs", ""), 422, `"body":"a body is required"`)
}

func TestGraphsThatLackSomething(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.missing = []graph.Missing{{NodeID: "n1", Pin: "block_id", Message: `block "b" is not installed`}}
	expect(t, f.do("POST", "/api/v2/builder/graphs", aGraph), 422, `"node_errors":{"n":{"block_id":"unknown"}}`)
	expect(t, f.do("POST", "/api/v2/builder/graphs?allow_missing_blocks=true", aGraph), 201,
		`"missing":[{"node_id":"n1","pin":"block_id","message":"block \"b\" is not installed"}]}`)
}

func TestInvalidRunNamesInputs(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.errs["execute"] = fmt.Errorf("accept: %w", &graph.Invalid{
		Message: "Graph validation failed", NodeErrors: map[string]map[string]string{"n": {"value": "required"}}, Fields: map[string]string{"input_data.a": "required"},
	})
	expect(t, f.do("POST", "/api/v2/builder/graphs/g/execute", "{}"), 422, `"fields":{"input_data.a":"required"}`, `"node_errors":{"n":{"value":"required"}}`)
}

func newBlock(t *testing.T, name string) *block.Block {
	t.Helper()
	b, err := block.New(block.Definition{
		ID: uuid.NewString(), Name: name, Description: `with "quotes" & <tags>`, Categories: []string{"TEXT"}, Kind: block.Standard,
		InputSchema:  []byte(`{"type":"object","properties":{"z":{"type":"string"},"a":{"type":"number","maximum":1e400}}}`),
		OutputSchema: []byte(`{"type":"object","properties":{"out":{}}}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBlocks(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	expect(t, f.do("GET", "/api/v2/builder/blocks", ""), 200, `"blocks":[]`, `"total":0,"page":1,"page_size":0,"total_pages":0`)
	for i := range 25 {
		f.blocks = append(f.blocks, newBlock(t, fmt.Sprintf("B%02d", i)))
	}
	first := f.do("GET", "/api/v2/builder/blocks", "")
	body := expect(t, first, 200, `"total":25,"page":1,"page_size":25,"total_pages":1`, `"block_type":"STANDARD"`, `"maximum":1e400`, `with \"quotes\" & <tags>`)
	if strings.Count(body, `"input_schema"`) != 25 {
		t.Errorf("not all are there")
	}
	tag := first.Header().Get("ETag")
	if w := f.do("GET", "/api/v2/builder/blocks", "", "If-None-Match", `"other", `+tag); w.Code != 304 || w.Body.Len() != 0 || w.Header().Get("ETag") != tag {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	expect(t, f.do("GET", "/api/v2/builder/blocks?page=2", ""), 200, `"total":25,"page":2,"page_size":20,"total_pages":2`, "B24")
	expect(t, f.do("GET", "/api/v2/builder/blocks?page=9", ""), 200, `"blocks":[]`, `"total":25`)
	expect(t, f.do("GET", "/api/v2/builder/blocks?page_size=0", ""), 422)

	f.blocks = append([]*block.Block{newBlock(t, "A")}, f.blocks...)
	if w := f.do("GET", "/api/v2/builder/blocks", "", "If-None-Match", tag); w.Code != 200 {
		t.Errorf("%d although there is another block", w.Code)
	}
}

func TestStopsOfADeletedGraphGoOnWithoutTheClient(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.do("POST", "/api/v2/builder/graphs", aGraph)
	ctx, cancel := context.WithCancel(t.Context())
	r := httptest.NewRequest(http.MethodDelete, "/api/v2/builder/graphs/g1", nil).WithContext(ctx)
	r.Header.Set("Authorization", "Bearer ann")
	cancel()
	f.api.ServeHTTP(httptest.NewRecorder(), r)
	if len(f.stopped) != 1 {
		t.Errorf("stopped %v", f.stopped)
	}
}
