package rest

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/hashicorp/go-hclog"

	"github.com/patchbay-io/patchbay/core/execution"
)

func TestEveryOperationDemandsACredentialFirst(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *Config) { c.MaxBody = 10 })
	doc := document(t)
	if len(doc.routes) < 14 {
		t.Fatalf("%d operations", len(doc.routes))
	}
	for key := range doc.routes {
		if doc.access[key].public {
			continue
		}
		path := strings.NewReplacer("{graph_id}", "x", "{execution_id}", "x", "{library_agent_id}", "x").Replace(key.path) + "?page=%zz&version=x"
		for _, token := range []string{"", "Bearer bad"} {
			// Whatever else is wrong with the request, nothing is said about it.
			w := f.do(key.method, path, strings.Repeat("{", 100), "Authorization", token, "Content-Type", "text/plain")
			expect(t, w, 401, `"code":"UNAUTHORIZED"`)
			if !strings.HasPrefix(w.Header().Get("WWW-Authenticate"), "Bearer") {
				t.Errorf("%v", w.Header())
			}
		}
	}
}

func TestWhatMatchesNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, token := range []string{"", "Bearer ann"} {
		for _, path := range []string{"/", "/api", "/api/v2/nope", "/api/v2/builder/graphs/", "//api/v2/builder/graphs", "/api/v2/../v2/builder/graphs", "/api/v2/builder%2fgraphs", "/API/v2/builder/graphs", "/openapi.yaml"} {
			r := httptest.NewRequest("GET", "/", nil)
			r.URL.Path, r.RequestURI = path, path
			if strings.Contains(path, "%") {
				r.URL.Path, r.URL.RawPath = "/api/v2/builder/graphs", path
			}
			if token != "" {
				r.Header.Set("Authorization", token)
			}
			w := httptest.NewRecorder()
			f.api.ServeHTTP(w, r)
			if w.Code != 404 {
				t.Errorf("%s: %d", path, w.Code)
			}
			checkEnvelope(t, w)
		}
		for path, allow := range map[string]string{
			"/api/v2/builder/graphs": "GET, HEAD, POST", "/api/v2/builder/graphs/x": "GET, HEAD, PUT, DELETE", "/api/v2/executions/x/stop": "POST", "/openapi.json": "GET, HEAD",
		} {
			for _, method := range []string{"PATCH", "OPTIONS", "TRACE", "BREW"} {
				w := f.do(method, path, "", "Authorization", token)
				expect(t, w, 405, `"code":"METHOD_NOT_ALLOWED"`)
				if w.Header().Get("Allow") != allow {
					t.Errorf("%s %s allows %q", method, path, w.Header().Get("Allow"))
				}
			}
		}
	}
}

func TestParametersAreChecked(t *testing.T) {
	t.Parallel()
	f := withGraph(t)
	for query, field := range map[string]string{
		"page=0": "page", "page=-1": "page", "page=x": "page", "page=1.5": "page", "page=": "page", "page=99999999999999999999": "page", "page=1&page=2": "page",
		"page_size=0": "page_size", "page_size=101": "page_size", "page_size=1000": "page_size", "status=DONE": "status", "status=COMPLETED&status=x": "status",
		"include_nested=maybe": "include_nested", "page=%zz": "query", "page=1;page=2": "query",
	} {
		expect(t, f.do("GET", "/api/v2/executions?"+query, ""), 422, `"code":"VALIDATION_ERROR"`, `"fields":{"`+field+`":"`)
	}
	expect(t, f.do("GET", "/api/v2/executions?page=0&page_size=x", ""), 422, `"page":"`, `"page_size":"`)
	expect(t, f.do("GET", "/api/v2/executions?page=2147483648&page_size=0", ""), 422, `"page":"must be at most 2147483647"`, `"page_size":"must be at least 1"`)
	expect(t, f.do("GET", "/api/v2/executions?created_after=yesterday&created_before=2024-01-01", ""), 422, `"created_after":"`, `"created_before":"`)
	expect(t, f.do("GET", "/api/v2/executions?created_after=0000-01-01T00:00:00Z&created_before=2024-01-01T00:00:00.5%2B02:00", ""), 200)
	if want := time.Date(2023, 12, 31, 22, 0, 0, 5e8, time.UTC); !f.filter.Since.Equal(time.Unix(0, 0)) || !f.filter.Before.Equal(want) {
		t.Errorf("%+v", f.filter)
	}
	expect(t, f.do("GET", "/api/v2/executions?unknown=%20&page=1", ""), 200)
	expect(t, f.do("GET", "/api/v2/builder/graphs/g1?version=0", ""), 422, `"version":`)
	expect(t, f.do("GET", "/api/v2/builder/graphs/g1?version=abc", ""), 422, `"version":`)
	expect(t, f.do("POST", "/api/v2/builder/graphs?allow_missing_blocks=7", aGraph), 422, `"allow_missing_blocks":`)
	for body, field := range map[string]string{
		`{}`: "active_graph_version", `{"active_graph_version":"1"}`: "active_graph_version", `{"active_graph_version":0}`: "active_graph_version",
		`{"active_graph_version":1.5}`: "active_graph_version", `[]`: "body", `null`: "body",
	} {
		expect(t, f.do("PUT", "/api/v2/builder/graphs/g1/versions/active", body), 422, `"fields":{"`+field+`":"`)
	}
}

func TestBodies(t *testing.T) {
	t.Parallel()
	f := withGraph(t, func(c *Config) { c.MaxBody = 1 << 10 })
	large := `{"input_data":{"a":"` + strings.Repeat("x", 1<<10) + `"}}`
	expect(t, f.do("POST", executePath, large), 413, `"code":"PAYLOAD_TOO_LARGE"`, `"max_bytes":1024`)
	r := httptest.NewRequest("POST", executePath, io.MultiReader(strings.NewReader(large))) // of unknown length
	r.Header.Set("Authorization", "Bearer ann")
	r.Header.Set("Content-Type", "application/json")
	expect(t, f.send(r), 413)
	exact := `{"input_data":{"a":"` + strings.Repeat("x", 1<<10-len(`{"input_data":{"a":""}}`)) + `"}}`
	expect(t, f.do("POST", executePath, exact), 200)

	for _, media := range []string{"", "text/plain", "application/x-www-form-urlencoded", "application/jsonp", "application/json; charset=latin1", "application/json; ="} {
		expect(t, f.do("POST", executePath, `{}`, "Content-Type", media), 415, `"code":"UNSUPPORTED_MEDIA_TYPE"`)
	}
	expect(t, f.do("POST", executePath, `{}`, "Content-Encoding", "gzip"), 415)
	expect(t, f.do("POST", executePath, `{}`, "Content-Type", "Application/JSON;charset=UTF-8"), 200)
	expect(t, f.do("POST", executePath, "", "Content-Type", "text/plain"), 200) // there is nothing of that type
	expect(t, f.do("POST", "/api/v2/executions/e1/stop", `no body is looked at`), 200)
}

func TestFailuresHideTheirCause(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.errs["list"] = errBroken
	body := expect(t, f.do("GET", "/api/v2/builder/graphs", "", "X-Request-Id", "mine-1"), 500, `"code":"INTERNAL_ERROR"`, `"request_id":"mine-1"`)
	if strings.Contains(body, "secret") {
		t.Error(body)
	}
	f.panics = true
	body = expect(t, f.do("POST", "/api/v2/builder/graphs", aGraph), 500, `"code":"INTERNAL_ERROR"`, `"request_id":"`)
	if strings.Contains(body, "boom") {
		t.Error(body)
	}
	for _, part := range []string{"secret cause", "boom", "request_id=mine-1"} {
		if !strings.Contains(f.log.String(), part) {
			t.Errorf("%q is not in the log", part)
		}
	}
}

func TestValuesThatCannotBeReadBreakTheConnection(t *testing.T) {
	t.Parallel()
	f := withGraph(t)
	f.do("POST", executePath, "")
	for name, breaks := range map[string]func(d *execution.Details, first json.RawMessage){
		"outputs": func(d *execution.Details, first json.RawMessage) {
			d.Outputs = []execution.Output{{Name: "y", Values: func(yield func(json.RawMessage, error) bool) {
				_ = yield(first, nil) && yield(nil, errors.New("gone"))
			}}}
		},
		"node executions": func(d *execution.Details, first json.RawMessage) {
			d.Outputs = []execution.Output{{Name: "y", Values: taken(first)}}
			d.NodeExecutions = func(yield func(*execution.NodeExecution, error) bool) { yield(nil, errors.New("gone")) }
		},
	} {
		whole := f.runs["ann/e1"]
		broken := *whole
		breaks(&broken, json.RawMessage("1"))
		f.runs["ann/e1"] = &broken
		expect(t, f.do("GET", "/api/v2/executions/e1", ""), 500, `"code":"INTERNAL_ERROR"`)
		breaks(&broken, json.RawMessage(`"`+strings.Repeat("x", 100<<10)+`"`))
		r := httptest.NewRequest("GET", "/api/v2/executions/e1", nil)
		r.Header.Set("Authorization", "Bearer ann")
		func() {
			defer func() {
				if got := recover(); got != http.ErrAbortHandler {
					t.Errorf("%s: got %v", name, got)
				}
			}()
			f.api.ServeHTTP(httptest.NewRecorder(), r)
		}()
		f.runs["ann/e1"] = whole
	}
}

func TestAnswersThatBreakOffBreakTheConnection(t *testing.T) {
	t.Parallel()
	f := withGraph(t)
	f.do("POST", executePath, `{"input_data":{"a":"`+strings.Repeat("x", 100<<10)+`"}}`)
	r := httptest.NewRequest("GET", "/api/v2/executions/e1", nil)
	r.Header.Set("Authorization", "Bearer ann")
	defer func() {
		if got := recover(); got != http.ErrAbortHandler {
			t.Errorf("got %v", got)
		}
	}()
	f.api.ServeHTTP(&brokenWriter{header: http.Header{}}, r)
}

type brokenWriter struct{ header http.Header }

func (b *brokenWriter) Header() http.Header       { return b.header }
func (b *brokenWriter) WriteHeader(int)           {}
func (b *brokenWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestRequestIDs(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	if got := f.do("GET", "/api/v2/executions", "", "X-Request-Id", "a.b_c-1").Header().Get("X-Request-Id"); got != "a.b_c-1" {
		t.Errorf("got %q", got)
	}
	for _, odd := range []string{"", "a b", "<x>", strings.Repeat("x", 65)} {
		if got := f.do("GET", "/api/v2/executions", "", "X-Request-Id", odd).Header().Get("X-Request-Id"); got == odd || got == "" {
			t.Errorf("%q: %q", odd, got)
		}
	}
}

func TestHead(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	server := httptest.NewServer(f.api)
	defer server.Close()
	r, err := http.NewRequest(http.MethodHead, server.URL+"/openapi.json", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, _ := io.ReadAll(response.Body); response.StatusCode != 200 || len(body) != 0 || response.ContentLength <= 0 {
		t.Errorf("%d, %d bytes, length %d", response.StatusCode, len(body), response.ContentLength)
	}
}

func TestDocument(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	w := f.do("GET", "/openapi.json", "", "Authorization", "")
	var doc struct {
		OpenAPI string `json:"openapi"`
		Paths   map[string]map[string]struct {
			OperationID string                     `json:"operationId"`
			Description string                     `json:"description"`
			Responses   map[string]json.RawMessage `json:"responses"`
		} `json:"-"`
		Raw map[string]map[string]json.RawMessage `json:"paths"`
	}
	if err := json.Unmarshal([]byte(expect(t, w, 200, `"openapi":`)), &doc); err != nil || doc.OpenAPI != "3.0.3" || len(doc.Raw) < 10 {
		t.Errorf("%v %s, %d paths", err, doc.OpenAPI, len(doc.Raw))
	}
	if again := f.do("GET", "/openapi.json", "", "If-None-Match", w.Header().Get("ETag")); again.Code != 304 {
		t.Errorf("%d", again.Code)
	}
}

func TestDocumentDescribesEverything(t *testing.T) {
	t.Parallel()
	doc := document(t)
	for key, route := range doc.routes {
		o := route.Operation
		if o.Description == "" || o.Summary == "" || len(o.Tags) != 1 || o.OperationID == "" {
			t.Errorf("%s %s is not described", key.method, key.path)
		}
		for _, status := range []string{"401", "429", "500"} {
			if o.Responses.Value(status) == nil && !(status == "401" && doc.access[key].public) {
				t.Errorf("%s %s has no %s", key.method, key.path, status)
			}
		}
		if o.RequestBody != nil {
			for _, status := range []string{"413", "415", "422"} {
				if o.Responses.Value(status) == nil {
					t.Errorf("%s %s has no %s", key.method, key.path, status)
				}
			}
			if media := o.RequestBody.Value.Content.Get("application/json"); media != nil && !hasExample(media) {
				t.Errorf("%s %s has no example of a body", key.method, key.path)
			}
		}
		for _, p := range append(slices.Clone(route.PathItem.Parameters), o.Parameters...) {
			if p.Value.Description == "" || p.Value.Schema == nil {
				t.Errorf("%s %s does not describe %s", key.method, key.path, p.Value.Name)
			}
		}
		for status, response := range o.Responses.Map() {
			if media := response.Value.Content.Get("application/json"); media != nil && response.Value.Content["*/*"] == nil && !hasExample(media) {
				t.Errorf("%s %s has no example of a %s", key.method, key.path, status)
			}
		}
	}
}

// Examples are answers as they could be: they have no field that the document does not name.
func TestExamplesAreWhatTheDocumentSays(t *testing.T) {
	t.Parallel()
	found := 0
	check := func(where string, schema *openapi3.SchemaRef, example any) {
		if example == nil {
			return
		}
		found++
		text, err := json.Marshal(example)
		var value any
		if err == nil {
			err = json.Unmarshal(text, &value)
		}
		if err == nil {
			err = schema.Value.VisitJSON(value, openapi3.VisitAsResponse(), openapi3.EnableFormatValidation())
		}
		if err != nil {
			t.Errorf("%s: %v", where, err)
		}
	}
	for path, item := range checker(t).Spec.Paths.Map() {
		for method, o := range item.Operations() {
			for status, response := range o.Responses.Map() {
				media := response.Value.Content.Get("application/json")
				if media == nil || media.Schema == nil {
					continue
				}
				where := method + " " + path + " " + status
				check(where, media.Schema, media.Example)
				for name, e := range media.Examples {
					check(where+" "+name, media.Schema, e.Value.Value)
				}
				check(where, media.Schema, media.Schema.Value.Example)
				for name, p := range media.Schema.Value.Properties {
					if p.Value.Items != nil {
						check(where+" "+name, p.Value.Items, p.Value.Items.Value.Example)
					}
				}
			}
		}
	}
	if found < 100 {
		t.Errorf("%d examples", found)
	}
}

// hasExample says whether the document shows what a body is like: as a whole, or one of those that it lists.
func hasExample(m *openapi3.MediaType) bool {
	if m.Example != nil || len(m.Examples) > 0 {
		return true
	}
	s := m.Schema.Value
	if s.Example != nil || s.Items != nil && s.Items.Value.Example != nil {
		return true
	}
	for _, p := range s.Properties {
		if p.Value.Items != nil && p.Value.Items.Value.Example != nil {
			return true
		}
	}
	return false
}

func TestCompression(t *testing.T) {
	t.Parallel()
	f := withGraph(t)
	f.do("POST", executePath, `{"input_data":{"a":"`+strings.Repeat("x", 100<<10)+`"}}`)
	plain := f.do("GET", "/api/v2/executions/e1", "").Body.String()
	r := httptest.NewRequest("GET", "/api/v2/executions/e1", nil)
	r.Header.Set("Authorization", "Bearer ann")
	r.Header.Set("Accept-Encoding", "gzip")
	w := httptest.NewRecorder()
	f.api.ServeHTTP(w, r)
	if w.Header().Get("Content-Encoding") != "gzip" || w.Body.Len() > len(plain)/10 {
		t.Fatalf("%v, %d bytes", w.Header(), w.Body.Len())
	}
	z, err := gzip.NewReader(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	var unpacked bytes.Buffer
	if _, err := unpacked.ReadFrom(z); err != nil || unpacked.String() != plain {
		t.Errorf("%v, %d bytes", err, unpacked.Len())
	}
	r.URL.Path = "/api/v2/executions"
	small := httptest.NewRecorder()
	f.api.ServeHTTP(small, r)
	if small.Header().Get("Content-Encoding") != "" {
		t.Error("a small answer was compressed")
	}
}

func TestCORS(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(c *Config) { c.Origins = []string{"https://app.example.com"} })
	preflight := func(origin string) http.Header {
		r := httptest.NewRequest(http.MethodOptions, executePath, nil)
		r.Header.Set("Origin", origin)
		r.Header.Set("Access-Control-Request-Method", "POST")
		r.Header.Set("Access-Control-Request-Headers", "authorization,content-type,idempotency-key,prefer")
		w := httptest.NewRecorder()
		f.api.ServeHTTP(w, r)
		return w.Header()
	}
	if h := preflight("https://app.example.com"); h.Get("Access-Control-Allow-Origin") != "https://app.example.com" || h.Get("Access-Control-Allow-Methods") != "POST" {
		t.Errorf("%v", h)
	}
	if h := preflight("https://evil.example.com"); h.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("%v", h)
	}
	if h := f.do("GET", "/api/v2/executions", "", "Origin", "https://app.example.com").Header(); !strings.Contains(strings.ToLower(fmt.Sprint(h.Values("Access-Control-Expose-Headers"))), "x-request-id") {
		t.Errorf("%v", h)
	}
	exposed := f.do("GET", "/api/v2/executions", "", "Origin", "https://app.example.com").Header().Get("Access-Control-Expose-Headers")
	for _, name := range []string{"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "Retry-After", "Link", "Deprecation", "ETag", "X-Request-Id", "X-Total-Count"} {
		if !strings.Contains(strings.ToLower(exposed), strings.ToLower(name)) {
			t.Errorf("%s is not in %q", name, exposed)
		}
	}
	for path, item := range spec(t).Paths.Map() { // what the document names, answered by a test or not
		for method, operation := range item.Operations() {
			for _, p := range operation.Parameters {
				if p.Value.In == "header" && p.Value.Name != "Range" && !slices.ContainsFunc(allowedHeaders, func(h string) bool { return strings.EqualFold(h, p.Value.Name) }) {
					t.Errorf("%s %s takes %s, which is not in allowedHeaders", method, path, p.Value.Name)
				}
			}
			for status, answer := range operation.Responses.Map() {
				for name := range answer.Value.Headers {
					if !forPages(name) {
						t.Errorf("%s %s: %s has %s, which is not in exposedHeaders", method, path, status, name)
					}
				}
			}
		}
	}
	if h := newFixture(t).do("GET", "/api/v2/executions", "", "Origin", "https://app.example.com").Header(); h.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("without origins: %v", h)
	}
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	if _, err := ParseDocument([]byte("openapi: 3.0.3")); err == nil {
		t.Error("a broken document was accepted")
	}
	if _, err := New(Config{MaxBody: 1}); err == nil {
		t.Error("no document was accepted")
	}
	if _, err := New(Config{Document: document(t)}); err == nil {
		t.Error("no limit of bodies was accepted")
	}
}

// A client that takes nothing of its answer is given up, so that what is held for it is free again.
func TestClientsThatDoNotReadAreGivenUp(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 1)
	server := httptest.NewServer(surrounded(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		a := &jsonAnswer{ResponseWriter: w, status: http.StatusOK, stall: 200 * time.Millisecond}
		j := &jsonWriter{to: a}
		value := json.RawMessage(`"` + strings.Repeat("x", 4<<20) + `"`)
		for j.still(nil) {
			j.value(value)
		}
		ended <- j.end()
	}), hclog.NewNullLogger(), nil))
	defer server.Close()
	client, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := io.WriteString(client, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("it is still waited for")
	}
}
