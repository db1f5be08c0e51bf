package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/patchbay-io/patchbay/plugins/internal/plugintest"
	"github.com/patchbay-io/patchbay/sdk"
	"github.com/patchbay-io/patchbay/sdk/blocktest"
)

func TestMain(m *testing.M) { plugintest.Main(m) }

func TestBlocksAreAsAgentsExpectThem(t *testing.T) {
	t.Parallel()
	plugintest.Facts(t, plugin)
}

// token is the credential of the tests.
const token = "gho_s3cret-of-the-test"

// exchange is a request that a block is to make, and GitHub's answer.
type exchange struct {
	request string // method, path and query
	body    string // JSON; empty: none
	status  int    // 0: 200
	header  map[string]string
	answer  string
}

// gitHub answers requests in the order in which it expects them, and no others.
type gitHub struct {
	t    *testing.T
	mu   sync.Mutex
	left []exchange
	url  string
}

// newGitHub starts a GitHub at /api/v3 of this machine. In headers of its answers, URL stands for its address.
func newGitHub(t *testing.T, exchanges ...exchange) *gitHub {
	t.Helper()
	g := &gitHub{t: t, left: exchanges}
	server := httptest.NewServer(g)
	g.url = server.URL
	t.Cleanup(func() {
		server.Close()
		for _, e := range g.left {
			t.Errorf("the block did not ask %s", e.request)
		}
	})
	return g
}

func (g *gitHub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		g.t.Error(err)
	}
	request := r.Method + " " + strings.TrimPrefix(r.URL.RequestURI(), "/api/v3/")
	if len(g.left) == 0 || g.left[0].request != request {
		g.t.Errorf("the block asks %s %s, not %+v", request, body, g.left)
		w.WriteHeader(http.StatusTeapot)
		return
	}
	e := g.left[0]
	g.left = g.left[1:]
	if got := r.Header.Get("Authorization"); got != "Bearer "+token {
		g.t.Errorf("%s: Authorization %q", request, got)
	}
	if got := r.Header.Get("X-GitHub-Api-Version"); got == "" && !strings.Contains(request, "graphql") {
		g.t.Errorf("%s names no version of the API", request)
	}
	if (e.body != "" || len(body) > 0) && !reflect.DeepEqual(decode(g.t, e.body), decode(g.t, string(body))) {
		g.t.Errorf("%s: the body is %s\nwant %s", request, body, e.body)
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	for name, value := range e.header {
		w.Header().Set(name, strings.ReplaceAll(value, "URL", g.url))
	}
	if e.status != 0 {
		w.WriteHeader(e.status)
	}
	_, _ = io.WriteString(w, e.answer)
}

func decode(t *testing.T, text string) (v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Errorf("%q: %v", text, err)
	}
	return v
}

// context is that of a run with a token of the type that the block takes.
func (g *gitHub) context(ctx context.Context) context.Context {
	ctx = sdk.WithHost(ctx, &blocktest.Host{Transport: http.DefaultTransport})
	ctx = sdk.WithSettings(ctx, map[string]string{baseURL: "https://github.com", apiURL: g.url + "/api/v3"})
	return sdk.WithCredentials(ctx, blocktest.APIKey("credentials", "github", token))
}

// run gives a block's outputs, a line each.
func (g *gitHub) run(block sdk.Definition, input string) (string, error) {
	g.t.Helper()
	values, err := blocktest.RunContext(g.context(g.t.Context()), g.t, block, input)
	var text strings.Builder
	for _, v := range values {
		text.WriteString(v.Pin + " = " + string(v.Value) + "\n")
	}
	return text.String(), err
}

// Every block is tried by its example: what it asks of GitHub stands in exchanges, what it gives in the example.
func TestExamples(t *testing.T) {
	t.Parallel()
	for _, block := range plugin.Blocks {
		description, err := block.Describe()
		if err != nil {
			t.Fatal(err)
		}
		t.Run(description.Name, func(t *testing.T) {
			t.Parallel()
			expected, ok := exchanges[description.Name]
			if !ok {
				t.Fatal("there is no exchange for it")
			}
			blocktest.ExamplesContext(newGitHub(t, expected...).context(t.Context()), t, block)
		})
	}
}

func newServer(t *testing.T, handler http.HandlerFunc) (address string) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

// What makes something anew is never repeated by the server itself: GitHub knows no idempotency keys.
func TestWhatMakesSomethingIsDoneOnce(t *testing.T) {
	t.Parallel()
	var once []string
	for _, block := range plugin.Blocks {
		description, err := block.Describe()
		if err != nil {
			t.Fatal(err)
		}
		if description.GetTraits().GetOnce() {
			once = append(once, strings.TrimPrefix(description.Name, "Github "))
		}
	}
	want := []string{
		"Make Issue", "Comment", "Make Pull Request", "Create Repository", "Make Branch", "Create File", "Update File", "Create Check Run",
		"Create PR Review", "Submit Pending Review",
	}
	if !slices.Equal(once, want) {
		t.Errorf("%q", once)
	}
}
