package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"github.com/patchbay-io/patchbay/api/apitest"
	"github.com/patchbay-io/patchbay/api/auth"
	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/core/execution"
	"github.com/patchbay-io/patchbay/core/graph"
	"github.com/patchbay-io/patchbay/core/postgres/postgrestest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, postgrestest.IgnoreServer()...) }

var at = time.Date(2024, 1, 15, 10, 30, 0, 0, time.UTC)

// memory holds graphs and executions as the services do, as far as the wire shows it: graphs are what was sent, and
// what is to fail is put into errs.
type memory struct {
	mu       sync.Mutex
	graphs   map[string][]*graph.Graph // versions by user/id
	active   map[string]int            // versions by user/id, where one was set
	runs     map[string]*execution.Details
	requests []execution.Request
	retries  []execution.RetryRequest
	stopped  []string
	waits    chan struct{} // Wait returns when it is closed
	filter   execution.Filter
	errs     map[string]error
	panics   bool
	missing  []graph.Missing
	blocks   []*block.Block
}

func newMemory() *memory {
	return &memory{graphs: map[string][]*graph.Graph{}, active: map[string]int{}, runs: map[string]*execution.Details{}, waits: make(chan struct{}), errs: map[string]error{}}
}

func (m *memory) Create(_ context.Context, user string, body []byte, o graph.Options) (*graph.Graph, []graph.Missing, error) {
	if m.panics {
		panic("boom")
	}
	g, err := graph.Decode(body)
	if err != nil {
		return nil, nil, err
	}
	if len(m.missing) > 0 && !o.AllowMissing {
		return nil, nil, &graph.Invalid{Message: "Graph validation failed", NodeErrors: map[string]map[string]string{"n": {"block_id": "unknown"}}}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	g.ID, g.Version = fmt.Sprintf("g%d", len(m.graphs)+1), 1
	m.graphs[user+"/"+g.ID] = []*graph.Graph{g}
	return g, m.missing, nil
}

func (m *memory) Update(ctx context.Context, user, id string, body []byte, o graph.Options) (*graph.Graph, []graph.Missing, error) {
	g, err := graph.Decode(body)
	if err != nil {
		return nil, nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	versions, ok := m.graphs[user+"/"+id]
	if !ok {
		return nil, nil, graph.ErrNotFound
	}
	if o.ExpectedVersions != nil && !slices.Contains(o.ExpectedVersions, len(versions)) {
		return nil, nil, graph.ErrConflict
	}
	g.ID, g.Version = id, len(versions)+1
	m.graphs[user+"/"+id] = append(versions, g)
	return g, nil, nil
}

func (m *memory) Fork(ctx context.Context, user, id string, version int) (*graph.Graph, []graph.Missing, error) {
	g, err := m.Readable(ctx, user, id, version)
	if err != nil {
		return nil, nil, err
	}
	return &graph.Graph{ID: "fork", Version: 1, Name: g.Name}, m.missing, nil
}

func show(g *graph.Graph) json.RawMessage {
	nodes := []byte{}
	for i, n := range g.Nodes {
		if i > 0 {
			nodes = append(nodes, ',')
		}
		nodes = fmt.Appendf(nodes, `{"id":%q,"block_id":%q,"input_default":%s,"metadata":%s,"input_links":[],"output_links":[],"graph_id":%q,"graph_version":%d,"webhook_id":null}`,
			n.ID, n.BlockID, n.InputDefault, n.Metadata, g.ID, g.Version)
	}
	return fmt.Appendf(nil, `{"id":%q,"version":%d,"name":%q,"description":%q,"is_active":true,"nodes":[%s],"links":[],"input_schema":{},"output_schema":{},`+
		`"instructions":null,"recommended_schedule_cron":null,"forked_from_id":null,"forked_from_version":null,"user_id":"ann","sub_graphs":[],`+
		`"created_at":"2024-01-15T10:30:00Z","updated_at":"2024-01-15T10:30:00Z","has_external_trigger":false,"has_human_in_the_loop":false,`+
		`"has_sensitive_action":false,"trigger_setup_info":null}`,
		g.ID, g.Version, g.Name, g.Description, nodes)
}

func (m *memory) Render(_ context.Context, _ string, g *graph.Graph) (json.RawMessage, error) {
	return show(g), m.errs["render"]
}

func (m *memory) Readable(_ context.Context, user, id string, version int) (*graph.Graph, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	versions := m.graphs[user+"/"+id]
	if version == 0 {
		version = len(versions)
	}
	if version < 1 || version > len(versions) {
		return nil, graph.ErrNotFound
	}
	return versions[version-1], nil
}

func (m *memory) ReadableActive(ctx context.Context, user, id string) (*graph.Graph, error) {
	return m.Readable(ctx, user, id, m.active[user+"/"+id])
}

func (m *memory) ExportForOthers(ctx context.Context, user, id string, version int) (json.RawMessage, error) {
	return m.Export(ctx, user, id, version)
}

func (m *memory) Export(ctx context.Context, user, id string, version int) (json.RawMessage, error) {
	g, err := m.Readable(ctx, user, id, version)
	if err != nil {
		return nil, err
	}
	return show(g), nil
}

func (m *memory) List(_ context.Context, user string, f graph.Filter) ([]graph.Summary, int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []graph.Summary
	for key := range m.graphs {
		if owner, id, _ := strings.Cut(key, "/"); owner == user {
			list = append(list, graph.Summary{ID: id, Version: 1, CreatedAt: at, UpdatedAt: at})
		}
	}
	total := len(list)
	from := min(f.Offset, total)
	return list[from:min(from+f.Limit, total)], total, m.errs["list"]
}

func (m *memory) Versions(_ context.Context, user, id string, offset, limit int) ([]graph.Summary, int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	total := len(m.graphs[user+"/"+id])
	if total == 0 {
		return nil, 0, graph.ErrNotFound
	}
	var list []graph.Summary
	for v := total - offset; v > 0 && len(list) < limit; v-- {
		list = append(list, graph.Summary{ID: id, Version: v, CreatedAt: at, UpdatedAt: at})
	}
	return list, total, nil
}

func (m *memory) SetActive(ctx context.Context, user, id string, version int, expected []int) (*graph.Summary, error) {
	if _, err := m.Readable(ctx, user, id, version); err != nil {
		return nil, err
	}
	if expected != nil && !slices.Contains(expected, len(m.graphs[user+"/"+id])) {
		return nil, graph.ErrConflict
	}
	m.active[user+"/"+id] = version
	return &graph.Summary{ID: id, Version: version, CreatedAt: at, UpdatedAt: at}, nil
}

func (m *memory) Delete(_ context.Context, user, id string, expected []int) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	versions := len(m.graphs[user+"/"+id])
	if versions == 0 {
		return 0, graph.ErrNotFound
	}
	if expected != nil && !slices.Contains(expected, versions) {
		return 0, graph.ErrConflict
	}
	delete(m.graphs, user+"/"+id)
	return versions, nil
}

func (m *memory) Blocks() []*block.Block { return m.blocks }

// runs is the view of memory that executions are: both services have methods List and Delete.
type runs struct{ *memory }

func (r runs) RetentionOf(context.Context, string, string) (execution.Retention, error) {
	return execution.Retention{}, nil
}

func (r runs) DepthOf(context.Context, string) (execution.Depth, error) {
	return execution.Depth{Running: 1, Waiting: 2}, nil
}

func (r runs) Backlog(context.Context) (*execution.Backlog, error) {
	return &execution.Backlog{Running: 1, Waiting: 2, Users: []execution.UserDepth{{UserID: "ann", Running: 1, Waiting: 2}}}, nil
}

func (r runs) SetRetention(context.Context, string, string, *int) error { return nil }

func (m runs) Execute(_ context.Context, r execution.Request) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.errs["execute"]; err != nil {
		return "", err
	}
	if _, ok := m.graphs[r.UserID+"/"+r.GraphID]; !ok {
		return "", graph.ErrNotFound
	}
	m.requests = append(m.requests, r)
	id := fmt.Sprintf("e%d", len(m.requests))
	m.runs[r.UserID+"/"+id] = &execution.Details{
		Execution: execution.Execution{ID: id, GraphID: r.GraphID, GraphVersion: 1, Status: execution.Running, CreatedAt: at, StartedAt: &at},
		Inputs:    taken(r.Inputs),
		Outputs:   []execution.Output{{Name: "out", Values: taken(r.Inputs)}},
		NodeExecutions: taken(&execution.NodeExecution{
			ID: "1", NodeID: "n", BlockID: "b", Status: execution.Completed, Attempt: 1, Input: r.Inputs,
			Outputs:   []execution.PinValues{{Name: "a\"b", Values: []json.RawMessage{r.Inputs, json.RawMessage("null")}}},
			StartedAt: &at, EndedAt: &at, PluginName: "basic", PluginVersion: "1.0.0", Stats: map[string]int64{"tokens": -1, "input_token_count": 12},
		}),
		NodeExecutionsTotal: 1,
		Waiting:             []execution.Waiting{{NodeID: "w", Have: []string{"a"}, Missing: []string{"b"}}},
		WaitingTotal:        1,
	}
	return id, nil
}

func (m runs) Retry(ctx context.Context, r execution.RetryRequest) (string, error) {
	d, err := m.Details(ctx, r.UserID, r.ID)
	if err != nil {
		return "", err
	}
	if err := m.errs["retry"]; err != nil {
		return "", err
	}
	m.retries = append(m.retries, r)
	var inputs json.RawMessage
	for inputs = range d.Inputs {
	}
	id, err := m.Execute(ctx, execution.Request{UserID: r.UserID, GraphID: d.GraphID, Inputs: inputs})
	m.runs[r.UserID+"/"+id].RetryOf = r.ID
	return id, err
}

func (m runs) Wait(ctx context.Context, _, _ string) error {
	select {
	case <-m.waits:
		return m.errs["wait"]
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (m runs) AwaitedDetails(ctx context.Context, user, id string) (*execution.Details, error) {
	return m.Details(ctx, user, id)
}

func (m runs) Details(_ context.Context, user, id string) (*execution.Details, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, ok := m.runs[user+"/"+id]
	if !ok {
		return nil, fmt.Errorf("read: %w", execution.ErrNotFound)
	}
	return d, nil
}

// taken are values that are there.
func taken[V any](values ...V) iter.Seq2[V, error] {
	return func(yield func(V, error) bool) {
		for _, v := range values {
			if !yield(v, nil) {
				return
			}
		}
	}
}

func (m runs) Nodes(ctx context.Context, user, id string, offset, _ int) (iter.Seq2[*execution.NodeExecution, error], int, error) {
	d, err := m.Details(ctx, user, id)
	if err != nil {
		return nil, 0, err
	}
	if offset > 0 {
		return taken[*execution.NodeExecution](), 1, nil
	}
	return d.NodeExecutions, 1, nil
}

func (m runs) List(_ context.Context, user string, f execution.Filter) ([]execution.Execution, int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.filter = f
	var list []execution.Execution
	for key, d := range m.runs {
		if strings.HasPrefix(key, user+"/") {
			list = append(list, d.Execution)
		}
	}
	return list, len(list), nil
}

func (m runs) Stop(ctx context.Context, user, id string) (*execution.Execution, error) {
	d, err := m.Details(ctx, user, id)
	if err != nil {
		return nil, err
	}
	stopped := d.Execution
	stopped.Status, stopped.EndedAt = execution.Terminated, &at
	return &stopped, nil
}

func (m runs) Delete(ctx context.Context, user, id string) error {
	if _, err := m.Details(ctx, user, id); err != nil {
		return err
	}
	return m.errs["delete"]
}

func (m runs) RunBlock(_ context.Context, user, id string, inputs json.RawMessage) ([]execution.PinValues, error) {
	switch id {
	case "b":
		return []execution.PinValues{{Name: "out", Values: []json.RawMessage{inputs, quoted(user)}}}, nil
	case "in":
		return nil, &execution.NotAlone{Block: "Input", Why: "it is an input of a graph"}
	}
	return nil, execution.ErrNoBlock
}

func quoted(s string) json.RawMessage { return json.RawMessage(strconv.Quote(s)) }

func (m runs) StopGraph(_ context.Context, _, id string) error {
	m.stopped = append(m.stopped, id)
	return nil
}

// fixture is the API over memory. Tokens are the names of users. Every answer is checked against the document.
type fixture struct {
	*memory
	t       *testing.T
	api     *API
	checker *apitest.Checker
	log     *bytes.Buffer
}

func newFixture(t *testing.T, changes ...func(*Config)) *fixture {
	t.Helper()
	m := newMemory()
	log := &bytes.Buffer{}
	c := Config{
		Document: document(t), Audit: hclog.NewNullLogger(), Logger: hclog.New(&hclog.LoggerOptions{Output: log, Level: hclog.Debug}), Graphs: m, Blocks: m, Executions: runs{m}, MaxBody: 32 << 20,
		Authenticate: func(r *http.Request) (auth.Principal, error) {
			token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
			switch {
			case !ok:
				return auth.Principal{}, auth.ErrMissing
			case token == "bad":
				return auth.Principal{}, auth.ErrInvalid
			}
			return auth.Principal{UserID: token}, nil
		},
	}
	for _, change := range changes {
		change(&c)
	}
	api, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(api.Close)
	return &fixture{memory: m, t: t, api: api, checker: checker(t), log: log}
}

// do sends a request of ann's, with a JSON body where there is one.
func (f *fixture) do(method, path, body string, headers ...string) *httptest.ResponseRecorder {
	f.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer ann")
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i+1] == "" {
			r.Header.Del(headers[i])
			continue
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	return f.send(r)
}

func (f *fixture) send(r *http.Request) *httptest.ResponseRecorder {
	f.t.Helper()
	w := httptest.NewRecorder()
	f.api.ServeHTTP(w, r)
	f.check(r, w)
	return w
}

// check holds an answer against the document, and against what holds for all.
func (f *fixture) check(r *http.Request, w *httptest.ResponseRecorder) {
	f.t.Helper()
	if w.Header().Get("X-Request-Id") == "" || w.Header().Get("X-Content-Type-Options") != "nosniff" {
		f.t.Errorf("%s %s: headers %v", r.Method, r.URL, w.Header())
	}
	if w.Code >= 400 {
		checkEnvelope(f.t, w)
	}
	for name := range w.Header() {
		if !forPages(name) {
			f.t.Errorf("%s %s: pages of other origins cannot read %s: it is not in exposedHeaders", r.Method, r.URL, name)
		}
	}
	switch err := f.checker.Check(r, w.Code, w.Header(), w.Body.Bytes()); {
	case errors.Is(err, apitest.ErrUnknown):
		if w.Code != http.StatusTooManyRequests && w.Code != http.StatusNotFound && w.Code != http.StatusMethodNotAllowed && r.URL.Path != "/openapi.json" && !strings.HasPrefix(r.URL.Path, "/docs") {
			f.t.Errorf("%s %s is not in the document and answered %d", r.Method, r.URL, w.Code)
		}
	case err != nil:
		f.t.Errorf("%s %s: %d does not fit the document: %v\n%.500s", r.Method, r.URL, w.Code, err, w.Body)
	}
}

// forPages says whether pages of other origins can read a header, or have no use for it.
func forPages(name string) bool {
	equals := func(other string) bool { return strings.EqualFold(name, other) }
	return strings.HasPrefix(name, "Access-Control-") || slices.ContainsFunc(exposedHeaders, equals) || slices.ContainsFunc([]string{
		"Cache-Control", "Content-Length", "Content-Type", "Last-Modified", // every page may read these
		"Connection", "Content-Security-Policy", "Permissions-Policy", "Referrer-Policy", "Set-Cookie", "Vary", "X-Content-Type-Options", "X-Frame-Options",
	}, equals)
}

func checkEnvelope(t *testing.T, w *httptest.ResponseRecorder) {
	t.Helper()
	var body map[string]struct {
		Code, Message string
		Details       map[string]any
	}
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || len(body) != 1 || body["error"].Code == "" || body["error"].Message == "" || body["error"].Details == nil {
		t.Errorf("%d without the envelope: %v %s", w.Code, err, w.Body)
	}
	if w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("%d with the type %q", w.Code, w.Header().Get("Content-Type"))
	}
}

// expect checks status, code and parts of the body; it gives the body.
func expect(t *testing.T, w *httptest.ResponseRecorder, status int, contains ...string) string {
	t.Helper()
	if w.Code != status {
		t.Fatalf("got %d, want %d: %.500s", w.Code, status, w.Body)
	}
	for _, c := range contains {
		if !strings.Contains(w.Body.String(), c) {
			t.Errorf("%q is not in %.1000s", c, w.Body)
		}
	}
	return w.Body.String()
}

var errBroken = errors.New("secret cause")

// The document is read once for all tests.
var (
	parsed = sync.OnceValues(func() (*Document, error) {
		source, err := os.ReadFile("../openapi.yaml")
		if err != nil {
			return nil, err
		}
		return ParseDocument(source)
	})
	checked = sync.OnceValues(func() (*apitest.Checker, error) {
		source, err := os.ReadFile("../openapi.yaml")
		if err != nil {
			return nil, err
		}
		return apitest.New(source)
	})
)

func document(t *testing.T) *Document {
	t.Helper()
	d, err := parsed()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func checker(t *testing.T) *apitest.Checker {
	t.Helper()
	c, err := checked()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func mustRead(t *testing.T) []byte {
	t.Helper()
	source, err := os.ReadFile("../openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return source
}
