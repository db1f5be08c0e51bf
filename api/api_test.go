package api

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/gorilla/websocket"
	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"github.com/patchbay-io/patchbay/api/auth"
	"github.com/patchbay-io/patchbay/api/rest"
	"github.com/patchbay-io/patchbay/api/ws"
	"github.com/patchbay-io/patchbay/core/account"
	"github.com/patchbay-io/patchbay/core/execution"
	"github.com/patchbay-io/patchbay/core/graph"
	"github.com/patchbay-io/patchbay/core/limit"
	"github.com/patchbay-io/patchbay/core/plugin"
)

// What the core offers is what the API asks for.
var (
	_ rest.Graphs     = (*graph.Service)(nil)
	_ rest.Executions = (*execution.Service)(nil)
	_ rest.Blocks     = (*plugin.Host)(nil)
	_ rest.Keys       = (*account.Service)(nil)
	_ rest.Logins     = (*account.Logins)(nil)
	_ auth.Accounts   = (*account.Service)(nil)
	_ ws.Subscription = (*execution.Subscription)(nil)
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const ann = "00000000-0000-4000-8000-00000000000a"

var secret = []byte(strings.Repeat("s", 32))

// ended is a subscription to an execution whose only event is its last.
type ended struct{ sent bool }

func (*ended) Status() execution.Status                            { return execution.Completed }
func (*ended) LastSeq() int64                                      { return 1 }
func (*ended) Follow(chan struct{}, func(), func(json.RawMessage)) {}
func (*ended) Close()                                              {}
func (e *ended) Next(context.Context) (execution.Event, bool, error) {
	if e.sent {
		return execution.Event{}, false, io.EOF
	}
	e.sent = true
	return execution.Event{Seq: 1, Last: true, Payload: json.RawMessage(`{"type":"execution.completed","seq":1}`)}, true, nil
}

// nobody is accounts without keys.
type nobody struct{}

func (nobody) VerifyKey(context.Context, string) (*account.Key, error) {
	return nil, account.ErrRefused
}
func (nobody) CheckSession(context.Context, string) error { return account.ErrRefused }
func (nobody) Seen(context.Context, string, string) error { return nil }
func (nobody) VerifyDigest(context.Context, account.Digest) (*account.Key, error) {
	return nil, account.ErrRefused
}

func newAPI(t *testing.T) *API { t.Helper(); return newLimitedAPI(t, nil, rest.Limits{}) }

func newLimitedAPI(t *testing.T, limiter rest.Limiter, limits rest.Limits) *API {
	t.Helper()
	authenticator, err := auth.New(auth.Config{Secret: secret, Audience: "authenticated", Accounts: nobody{}})
	if err != nil {
		t.Fatal(err)
	}
	a, err := New(Config{
		Logger: hclog.NewNullLogger(), Authenticator: authenticator, MaxBody: 1 << 20, Limiter: limiter, Limits: limits,
		Subscribe: func(_ context.Context, user, id string, _ int64) (ws.Subscription, error) {
			if user != ann || id != "e" {
				return nil, execution.ErrNotFound
			}
			return &ended{}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func tokenOf(t *testing.T, user string) string {
	t.Helper()
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"sub": user, "aud": "authenticated", "exp": time.Now().Add(time.Hour).Unix()}).SignedString(secret)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestBothPortsServeTheWebSocket(t *testing.T) {
	t.Parallel()
	a, token := newAPI(t), tokenOf(t, ann)
	for name, handler := range map[string]http.Handler{"rest": a, "ws": a.WebSocket()} {
		server := httptest.NewServer(handler)
		defer server.Close()
		c, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(server.URL, "http")+"/ws?user_id="+ann+"&token="+token, nil)
		if err != nil {
			t.Fatal(name, err)
		}
		defer c.Close()
		if err := c.WriteMessage(websocket.TextMessage, []byte(`{"type":"subscribe","execution_id":"e"}`)); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{`{"type":"subscribed","execution_id":"e","status":"COMPLETED","last_seq":1}`, `{"type":"execution.completed","seq":1}`} {
			if _, got, err := c.ReadMessage(); err != nil || string(got) != want {
				t.Errorf("%s: %s, %v", name, got, err)
			}
		}
		for path, status := range map[string]int{"/nope": 404, "/ws/": 404, "/ws": 422} {
			response, err := http.Get(server.URL + path)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(response.Body)
			response.Body.Close()
			if response.StatusCode != status || !strings.HasPrefix(string(body), `{"error":{`) || response.Header.Get("X-Request-Id") == "" {
				t.Errorf("%s %s: %d %s", name, path, response.StatusCode, body)
			}
		}
	}
	if err := a.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	http.DefaultClient.CloseIdleConnections()
}

// oneWindow is a limiter whose one window never ends.
type oneWindow struct {
	mu     sync.Mutex
	counts map[string]int
}

func (e *oneWindow) Take(_ context.Context, subject string, buckets ...limit.Bucket) (limit.Decision, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	b := buckets[0]
	e.counts[b.Name+" "+subject]++
	n := e.counts[b.Name+" "+subject]
	return limit.Decision{Allowed: n <= b.Max, Limit: b.Max, Remaining: max(0, b.Max-n), Reset: time.Now().Add(time.Minute)}, true
}

// Handshakes count as requests of their user, on both ports and together with REST; those of nobody count by address.
func TestHandshakesAreLimited(t *testing.T) {
	t.Parallel()
	limiter := &oneWindow{counts: map[string]int{}}
	a := newLimitedAPI(t, limiter, rest.Limits{General: 3, Anonymous: 2})
	onREST, onWS := httptest.NewServer(a), httptest.NewServer(a.WebSocket())
	defer onREST.Close()
	defer onWS.Close()
	const bob = "00000000-0000-4000-8000-00000000000b"
	for i, step := range []struct {
		server    *httptest.Server
		query     string
		status    int
		remaining string
	}{
		{onREST, "?token=" + tokenOf(t, ann), http.StatusSwitchingProtocols, "2"},
		{onWS, "?token=" + tokenOf(t, ann), http.StatusSwitchingProtocols, "1"},
		{onWS, "?user_id=" + bob + "&token=" + tokenOf(t, ann), http.StatusSwitchingProtocols, "0"}, // which is closed with 4004
		{onWS, "?token=" + tokenOf(t, ann), http.StatusTooManyRequests, "0"},
		{onREST, "?token=" + tokenOf(t, ann), http.StatusTooManyRequests, "0"},
		{onREST, "?token=" + tokenOf(t, bob), http.StatusSwitchingProtocols, "2"},
		{onREST, "", http.StatusSwitchingProtocols, "1"}, // which is closed with 4001
		{onWS, "?token=bad", http.StatusSwitchingProtocols, "0"},
		{onREST, "?token=bad", http.StatusTooManyRequests, "0"},
	} {
		c, response, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(step.server.URL, "http")+"/ws"+step.query, nil)
		if c != nil {
			defer c.Close()
		}
		if response == nil {
			t.Fatal(i, err)
		}
		if response.StatusCode != step.status || response.Header.Get("X-RateLimit-Remaining") != step.remaining {
			t.Errorf("%d: %d with %v", i, response.StatusCode, response.Header)
		}
		refused := step.status == http.StatusTooManyRequests
		if body, _ := io.ReadAll(response.Body); refused != strings.HasPrefix(string(body), `{"error":{"code":"RATE_LIMITED"`) || refused == (response.Header.Get("Retry-After") == "") {
			t.Errorf("%d: Retry-After %q and %s", i, response.Header.Get("Retry-After"), body)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "/api/v2/executions", nil)
	r.Header.Set("Authorization", "Bearer "+tokenOf(t, ann))
	w := httptest.NewRecorder()
	if a.ServeHTTP(w, r); w.Code != http.StatusTooManyRequests {
		t.Errorf("REST answers %d where handshakes have used up the limit", w.Code)
	}
	if err := a.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestDocumentNeedsNoToken(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for path, status := range map[string]int{"/openapi.json": 200, "/api/v2/executions": 401, "/": 404} {
		w := httptest.NewRecorder()
		a.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != status {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	if err := a.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}
