package conformance

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"github.com/hashicorp/go-hclog"
	"github.com/uptrace/bun"

	"github.com/patchbay-io/patchbay/api"
	"github.com/patchbay-io/patchbay/api/auth"
	"github.com/patchbay-io/patchbay/api/ws"
	"github.com/patchbay-io/patchbay/core/account"
	"github.com/patchbay-io/patchbay/core/credential"
	"github.com/patchbay-io/patchbay/core/egress"
	"github.com/patchbay-io/patchbay/core/exclusive"
	"github.com/patchbay-io/patchbay/core/execution"
	"github.com/patchbay-io/patchbay/core/file"
	"github.com/patchbay-io/patchbay/core/graph"
	"github.com/patchbay-io/patchbay/core/hostservice"
	"github.com/patchbay-io/patchbay/core/library"
	"github.com/patchbay-io/patchbay/core/postgres"
	"github.com/patchbay-io/patchbay/core/postgres/postgrestest"
)

var secret = []byte(strings.Repeat("s", 32))

// server has the parts of core/server, wired in the same way, over a host that tests share.
type server struct {
	db        *bun.DB
	execution *execution.Service
	api       *api.API
	accounts  *account.Service
	vault     *credential.Vault
	auth      *auth.Authenticator
}

func startServer(ctx context.Context, dsn string, id uuid.UUID, h *host, concurrency int) (*server, error) {
	s := &server{}
	var err error
	if s.db, err = postgres.Open(dsn, 16); err != nil {
		return nil, err
	}
	log := hclog.New(&hclog.LoggerOptions{Level: hclog.Error, Output: os.Stderr})
	graphs := graph.NewService(graph.NewStore(s.db, library.Follower{}), h, nil)
	keys, err := credential.FixedKeys(base64.StdEncoding.EncodeToString(secret))
	if err != nil {
		return nil, err
	}
	if s.vault, err = credential.New(ctx, s.db, keys, log); err != nil {
		return nil, err
	}
	graphs.CheckWith(s.vault)
	uses, err := exclusive.New(ctx, s.db, id, log)
	if err != nil {
		return nil, err
	}
	services := hostservice.New(hostservice.Config{
		DB: s.db, Uses: uses, Files: file.NewStore(s.db, file.DefaultLimits, log), Logger: log,
		HTTP: egress.New(egress.Config{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}, MaxBody: 1 << 20}),
	})
	s.execution, err = execution.New(execution.Config{
		DB: s.db, ServerID: id, Blocks: h, Graphs: graphs, Runner: h, Credentials: s.vault, Services: services, Logger: log, Concurrency: concurrency,
	})
	if err != nil {
		return nil, err
	}
	if err := s.execution.Start(ctx); err != nil {
		return nil, err
	}
	s.accounts = account.New(s.db, "UTC", log)
	s.auth, err = auth.New(auth.Config{Secret: secret, Audience: "authenticated", Accounts: s.accounts})
	if err != nil {
		return nil, err
	}
	s.api, err = api.New(api.Config{
		Logger: log, Audit: hclog.NewNullLogger(), Authenticator: s.auth, Graphs: graphs,
		Library: library.New(library.Config{DB: s.db, Graphs: graphs, Executions: s.execution}), Blocks: h, Executions: s.execution, Integrations: s.vault, MaxBody: 32 << 20,
		Subscribe: func(ctx context.Context, user, id string, after int64) (ws.Subscription, error) {
			return s.execution.Subscribe(ctx, user, id, after)
		},
	})
	return s, err
}

func (s *server) close() error {
	now, cancel := context.WithCancel(context.Background())
	cancel()
	err := s.execution.Close(now)
	if shut := s.api.Shutdown(context.Background()); err == nil {
		err = shut
	}
	s.auth.Close()
	s.accounts.Close()
	s.vault.Close()
	if closed := s.db.Close(); err == nil {
		err = closed
	}
	return err
}

// world is a server of a test's own.
type world struct {
	*server
	dsn  string
	id   uuid.UUID
	host *host
}

func newWorld(t *testing.T, h *host, concurrency int) *world {
	t.Helper()
	w := &world{dsn: postgrestest.DSN(t), id: uuid.New(), host: h}
	w.start(t, concurrency)
	return w
}

func (w *world) start(t *testing.T, concurrency int) {
	t.Helper()
	s, err := startServer(context.Background(), w.dsn, w.id, w.host, concurrency)
	if err != nil {
		t.Fatal(err)
	}
	w.server = s
	t.Cleanup(func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	})
}

// client is a new user of the world.
func (w *world) client() *client { return newClient(w.api) }

// client speaks REST as one user.
type client struct {
	user    string
	token   string
	handler http.Handler // nil: a process at base
	base    string
}

func newClient(h http.Handler) *client {
	user := uuid.NewString()
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"sub": user, "aud": "authenticated", "exp": time.Now().Add(time.Hour).Unix(),
	}).SignedString(secret)
	if err != nil {
		panic(err)
	}
	return &client{user: user, token: token, handler: h}
}

// answer is what REST answered.
type answer struct {
	status int
	body   []byte
}

func (c *client) request(ctx context.Context, method, path, body string) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, c.base+"/api/v2"+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	r.Header.Set("Authorization", "Bearer "+c.token)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.handler == nil {
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			return answer{}, err
		}
		defer response.Body.Close()
		content, err := io.ReadAll(response.Body)
		return answer{response.StatusCode, content}, err
	}
	r.RequestURI = r.URL.RequestURI()
	w := httptest.NewRecorder()
	c.handler.ServeHTTP(w, r)
	return answer{w.Code, w.Body.Bytes()}, nil
}

func (c *client) do(t *testing.T, method, path, body string) answer {
	t.Helper()
	a, err := c.request(t.Context(), method, path, body)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// ok expects success and reads the answer.
func (c *client) ok(t *testing.T, method, path, body string, into any) {
	t.Helper()
	a := c.do(t, method, path, body)
	if a.status < 200 || a.status > 299 {
		t.Fatalf("%s %s: %d %s", method, path, a.status, a.body)
	}
	if into == nil {
		return
	}
	if err := json.Unmarshal(a.body, into); err != nil {
		t.Fatalf("%s %s: %v in %s", method, path, err, a.body)
	}
}

// created is what clients need of a stored graph.
type created struct {
	ID           string          `json:"id"`
	Version      int             `json:"version"`
	InputSchema  json.RawMessage `json:"input_schema"`
	OutputSchema json.RawMessage `json:"output_schema"`
	Nodes        []struct {
		ID           string          `json:"id"`
		InputDefault json.RawMessage `json:"input_default"`
	} `json:"nodes"`
	Links []struct {
		ID       string `json:"id"`
		SinkName string `json:"sink_name"`
		IsStatic bool   `json:"is_static"`
	} `json:"links"`
}

func (c *client) create(t *testing.T, document string) *created {
	t.Helper()
	var g created
	c.ok(t, http.MethodPost, "/builder/graphs", document, &g)
	return &g
}

// start starts an execution and gives its id.
func (c *client) start(ctx context.Context, graphID, inputs string) (string, error) {
	if inputs == "" {
		inputs = "{}"
	}
	path := "/builder/graphs/" + graphID + "/execute"
	a, err := c.request(ctx, http.MethodPost, path, `{"input_data":`+inputs+`}`)
	if err != nil {
		return "", err
	}
	var x struct {
		ID string `json:"execution_id"`
	}
	if err := json.Unmarshal(a.body, &x); err != nil || x.ID == "" {
		return "", fmt.Errorf("%s: %d %s", path, a.status, a.body)
	}
	return x.ID, nil
}

func (c *client) execute(t *testing.T, graphID, inputs string) string {
	t.Helper()
	id, err := c.start(t.Context(), graphID, inputs)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (c *client) stop(t *testing.T, id string) *details {
	t.Helper()
	var d details
	c.ok(t, http.MethodPost, "/executions/"+id+"/stop", "", &d)
	return &d
}

func (c *client) details(t *testing.T, id string) *details {
	t.Helper()
	var d details
	c.ok(t, http.MethodGet, "/executions/"+id, "", &d)
	return &d
}

// children are the executions of nested agents.
func (c *client) children(t *testing.T, parent string) []details {
	t.Helper()
	var list struct {
		Executions []details `json:"executions"`
	}
	c.ok(t, http.MethodGet, "/executions?parent_execution_id="+parent, "", &list)
	return list.Executions
}

// details are an execution as REST shows it.
type details struct {
	ID        string     `json:"id"`
	GraphID   string     `json:"graph_id"`
	Status    string     `json:"status"`
	ParentID  *string    `json:"parent_execution_id"`
	RetryOf   *string    `json:"retry_of"`
	StartedAt *time.Time `json:"started_at"`
	EndedAt   *time.Time `json:"ended_at"`
	Stats     struct {
		Total     int `json:"total_nodes"`
		Completed int `json:"completed_nodes"`
		Failed    int `json:"failed_nodes"`
	} `json:"stats"`
	Error *struct {
		Message string  `json:"message"`
		NodeID  *string `json:"node_id"`
	} `json:"error"`
	Inputs  json.RawMessage            `json:"inputs"`
	Outputs map[string]json.RawMessage `json:"outputs"`
	Nodes   []nodeExecution            `json:"node_executions"`
	Waiting []struct {
		Node    string   `json:"node_id"`
		Have    []string `json:"have"`
		Missing []string `json:"missing"`
	} `json:"waiting"`
}

type nodeExecution struct {
	ID        string                       `json:"id"`
	Node      string                       `json:"node_id"`
	Status    string                       `json:"status"`
	Attempt   int                          `json:"attempt"`
	Taken     bool                         `json:"taken_over"`
	Input     json.RawMessage              `json:"input_data"`
	Output    map[string][]json.RawMessage `json:"output_data"`
	StartedAt *time.Time                   `json:"started_at"`
	EndedAt   *time.Time                   `json:"ended_at"`
	Error     *string                      `json:"error"`
	output    json.RawMessage
}

// UnmarshalJSON keeps the outputs as they were sent too.
func (n *nodeExecution) UnmarshalJSON(b []byte) error {
	type plain nodeExecution
	if err := json.Unmarshal(b, (*plain)(n)); err != nil {
		return err
	}
	var raw struct {
		Output json.RawMessage `json:"output_data"`
	}
	err := json.Unmarshal(b, &raw)
	n.output = raw.Output
	return err
}

// of are the executions of one node, in the order in which they were queued.
func (d *details) of(node string) []nodeExecution {
	var list []nodeExecution
	for _, n := range d.Nodes {
		if n.Node == node {
			list = append(list, n)
		}
	}
	return list
}

// finish waits for the end of an execution, checks its story, and gives its details.
func (w *world) finish(t *testing.T, c *client, id string) *details {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	if err := w.execution.Wait(ctx, c.user, id); err != nil {
		t.Fatalf("wait for execution %s: %v", id, err)
	}
	d := c.details(t, id)
	w.checkStory(t, c, d)
	return d
}

func compact(raw []byte) string {
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		return fmt.Sprintf("%s (%v)", raw, err)
	}
	return b.String()
}
