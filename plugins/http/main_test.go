package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
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

func TestExamples(t *testing.T) {
	t.Parallel()
	web := http.NewServeMux()
	answer := func(kind, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			fmt.Fprint(w, body)
		}
	}
	web.HandleFunc("POST api.example.com/greet", answer("application/json", `{"greeting": "Hello, Ada!"}`))
	web.HandleFunc("GET api.example.com/me", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Key") != "s3cret" {
			w.WriteHeader(http.StatusUnauthorized)
		}
		answer("application/json", `{"name": "Ada"}`)(w, r)
	})
	web.HandleFunc("GET en.wikipedia.org/api/rest_v1/page/summary/Patch_bay", answer("application/json; charset=utf-8", `{"title": "Patch bay", "extract": "A patch bay is a panel of sockets that connect devices."}`))
	web.HandleFunc("GET news.example.com/rss", answer("application/rss+xml", `<rss version="2.0"><channel><title>News</title><item><title>Patch bays</title>
		<link>https://news.example.com/1</link><description>Cables</description><pubDate>Fri, 02 Jan 2026 03:04:05 GMT</pubDate>
		<author>Ada</author><category>music</category></item></channel></rss>`))
	ctx := sdk.WithHost(t.Context(), &blocktest.Host{Transport: direct{web}})
	ctx = sdk.WithSettings(ctx, map[string]string{wikipediaURL: "https://en.wikipedia.org"})
	ctx = sdk.WithCredentials(ctx, blocktest.HostScoped("credentials", "http", "*.example.com", map[string]string{"X-Key": "s3cret"}))
	blocktest.ExamplesContext(ctx, t, plugin.Blocks...)
}

// direct answers requests to any host by a handler.
type direct struct{ handler http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	r = r.Clone(r.Context())
	r.Host = r.URL.Host
	d.handler.ServeHTTP(w, r)
	response := w.Result()
	response.Request = r
	return response, nil
}

// run runs a block that reaches the network of this machine.
func run(t *testing.T, host *blocktest.Host, block sdk.Definition, input string) ([]sdk.Value, error) {
	t.Helper()
	host.Transport = http.DefaultTransport
	return blocktest.RunContext(sdk.WithHost(t.Context(), host), t, block, input)
}

func serve(t *testing.T, handler http.HandlerFunc) (address string) {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s.URL
}
