package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/patchbay-io/patchbay/plugins/internal/plugintest"
	"github.com/patchbay-io/patchbay/sdk"
	"github.com/patchbay-io/patchbay/sdk/blocktest"
	"github.com/patchbay-io/patchbay/sdk/proto"
)

func TestMain(m *testing.M) { plugintest.Main(m) }

func TestBlocksAreAsAgentsExpectThem(t *testing.T) {
	t.Parallel()
	plugintest.Facts(t, plugin)
}

func TestExamples(t *testing.T) {
	t.Parallel()
	blocktest.ExamplesContext(newGoogle(t).context(t.Context()), t, plugin.Blocks...)
}

// secret is the access token of the tests.
const secret = "ya29.s3cret-of-the-test"

// google speaks as Google's services do, to whoever has the token.
type google struct {
	url string
	mux *http.ServeMux

	mu   sync.Mutex
	seen []seen
}

// seen is a request that came.
type seen struct {
	call  string // method and path
	query string
	body  string
}

// newGoogle serves what the examples want, and before it what a test wants.
func newGoogle(t *testing.T, special ...map[string]string) *google {
	t.Helper()
	g := &google{mux: http.NewServeMux()}
	routes := map[string]string{}
	for _, more := range append([]map[string]string{mailRoutes, calendarRoutes, sheetRoutes}, special...) {
		for pattern, body := range more {
			routes[pattern] = body
		}
	}
	for pattern, body := range routes {
		g.mux.HandleFunc(pattern, func(w http.ResponseWriter, _ *http.Request) { say(w, body) })
	}
	s := httptest.NewServer(g)
	t.Cleanup(s.Close)
	g.url = s.URL
	return g
}

// say answers with a body, or with an error that is written as a status before a body.
func say(w http.ResponseWriter, body string) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	var status int
	if n, _ := fmt.Sscanf(body, "%d ", &status); n == 1 {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(status)
		body = body[4:]
	}
	_, _ = io.WriteString(w, body)
}

func (g *google) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	if r.Header.Get("Authorization") != "Bearer "+secret {
		say(w, `401 {"error": {"code": 401, "message": "Request had invalid authentication credentials.", "status": "UNAUTHENTICATED"}}`)
		return
	}
	query := r.URL.Query()
	query.Del("alt")
	query.Del("prettyPrint")
	g.mu.Lock()
	g.seen = append(g.seen, seen{r.Method + " " + r.URL.Path, query.Encode(), string(body)})
	g.mu.Unlock()
	if _, pattern := g.mux.Handler(r); pattern == "" {
		say(w, `404 {"error": {"code": 404, "message": "Requested entity was not found.", "status": "NOT_FOUND"}}`)
		return
	}
	g.mux.ServeHTTP(w, r)
}

// last is the last request that came.
func (g *google) last(t *testing.T) seen {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.seen) == 0 {
		t.Fatal("no request came")
	}
	return g.seen[len(g.seen)-1]
}

// context is that of a run that may reach the server.
func (g *google) context(ctx context.Context) context.Context {
	ctx = sdk.WithHost(ctx, &blocktest.Host{Transport: http.DefaultTransport})
	set := map[string]string{}
	for _, s := range settings {
		set[s.Name] = g.url
	}
	ctx = sdk.WithSettings(ctx, set)
	return sdk.WithCredentials(ctx, blocktest.OAuth2("credentials", "google", secret))
}

// run runs a block by its name.
func (g *google) run(t *testing.T, name, input string) ([]sdk.Value, error) {
	t.Helper()
	return blocktest.RunContext(g.context(t.Context()), t, named(t, name), input)
}

func named(t *testing.T, name string) sdk.Definition {
	t.Helper()
	for _, b := range plugin.Blocks {
		if d, err := b.Describe(); err == nil && d.Name == name {
			return b
		}
	}
	t.Fatalf("there is no block %q", name)
	return nil
}

// value is what came out of a pin.
func value(t *testing.T, values []sdk.Value, pin string) (got any) {
	t.Helper()
	for _, v := range values {
		if v.Pin == pin {
			if err := json.Unmarshal(v.Value, &got); err != nil {
				t.Fatal(err)
			}
			return got
		}
	}
	t.Fatalf("nothing came out of %s: %v", pin, values)
	return nil
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		answer string
		kind   proto.ErrorKind
		after  int // seconds
		want   string
	}{
		{`401 {"error": {"code": 401, "message": "Bad token ` + secret + `", "status": "UNAUTHENTICATED"}}`, proto.ErrorKind_ERROR_KIND_AUTHENTICATION, 0, "Google answers 401 Unauthorized: Bad token ***"},
		{`403 {"error": {"code": 403, "message": "No scope", "errors": [{"reason": "insufficientPermissions"}]}}`, proto.ErrorKind_ERROR_KIND_AUTHENTICATION, 0, "Google answers 403 Forbidden: No scope"},
		{`403 {"error": {"code": 403, "message": "Slow", "errors": [{"reason": "rateLimitExceeded"}]}}`, proto.ErrorKind_ERROR_KIND_RATE_LIMITED, 7, "Google answers 403 Forbidden: Slow"},
		{`429 {"error": {"code": 429, "message": "Quota", "status": "RESOURCE_EXHAUSTED"}}`, proto.ErrorKind_ERROR_KIND_RATE_LIMITED, 7, "Google answers 429 Too Many Requests: Quota"},
		{`404 {"error": {"code": 404, "message": "Gone", "status": "NOT_FOUND"}}`, proto.ErrorKind_ERROR_KIND_PERMANENT, 0, "Google answers 404 Not Found: Gone"},
		{`400 {"error": {"code": 400, "message": "Bad", "status": "INVALID_ARGUMENT"}}`, proto.ErrorKind_ERROR_KIND_INVALID_INPUT, 0, "Google answers 400 Bad Request: Bad"},
		{`503 <html>no</html>`, proto.ErrorKind_ERROR_KIND_TEMPORARY, 0, "Google answers 503 Service Unavailable"},
	} {
		t.Run(test.answer[:3], func(t *testing.T) {
			t.Parallel()
			g := newGoogle(t, map[string]string{"GET /gmail/v1/users/me/profile": test.answer})
			_, err := g.run(t, "Gmail Get Profile", `{}`)
			kind, after := proto.ErrorKind_ERROR_KIND_PERMANENT, 0
			var known *sdk.Error
			if errors.As(err, &known) {
				kind, after = known.Kind, int(known.RetryAfter.Seconds())
			}
			if err == nil || err.Error() != test.want || kind != test.kind || after != test.after {
				t.Errorf("got %v, %v after %d s", err, kind, after)
			}
		})
	}
}

func TestNoTokenGoesElsewhere(t *testing.T) {
	t.Parallel()
	var got string
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Get("Authorization")
		say(w, `{"emailAddress": "eve@example.com"}`)
	}))
	t.Cleanup(elsewhere.Close)
	g := newGoogle(t)
	g.mux.Handle("GET /away/", http.RedirectHandler(elsewhere.URL, http.StatusFound))
	ctx := sdk.WithSettings(g.context(t.Context()), map[string]string{gmailURL: g.url + "/away"})
	values, err := blocktest.RunContext(ctx, t, named(t, "Gmail Get Profile"), `{}`)
	if err != nil || !strings.Contains(fmt.Sprint(value(t, values, "profile")), "eve@example.com") {
		t.Fatalf("the redirect was not followed: %v, %v", values, err)
	}
	if got != "" {
		t.Errorf("the other server got %q", got)
	}
}

func TestThroughAProcess(t *testing.T) {
	t.Parallel()
	g := newGoogle(t)
	set := map[string]string{}
	for _, s := range settings {
		set[s.Name] = g.url
	}
	p := blocktest.Start(t, blocktest.Build(t, "."), set)
	p.Host().Transport = http.DefaultTransport
	for _, test := range []struct{ block, input, pin string }{
		{"Gmail Send", `{"to": ["ada@example.com"], "subject": "s", "body": "` + strings.Repeat("long ", 1<<16) + `"}`, "result"},
		{"Google Sheets Read", `{"spreadsheet": {"id": "s1", "_credentials_id": "c1"}, "range": "A1:B3"}`, "result"},
		{"Google Calendar Read Events", `{}`, "events"},
	} {
		call, err := p.Call(t.Context(), blocktest.Request{
			Block: test.block, Input: []byte(test.input), Credentials: []*proto.Credential{blocktest.OAuth2("credentials", "google", secret)},
		})
		if err != nil {
			t.Fatal(err)
		}
		if v, err := call.Next(t.Context()); err != nil || v.Pin != test.pin {
			t.Errorf("%s: %v, %v", test.block, v, err)
		}
	}
}
