package main

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/patchbay-io/patchbay/plugins/internal/jinja"
	"github.com/patchbay-io/patchbay/plugins/internal/plugintest"
	"github.com/patchbay-io/patchbay/sdk"
	"github.com/patchbay-io/patchbay/sdk/blocktest"
)

func TestMain(m *testing.M) {
	jinja.ServeChild()
	firstPause = time.Millisecond
	plugintest.Main(m, templates.Close)
}

func TestBlocksAreAsAgentsExpectThem(t *testing.T) {
	t.Parallel()
	plugintest.Facts(t, plugin)
}

func TestExamples(t *testing.T) {
	t.Parallel()
	says := map[string]string{
		"Greet Ada": "Hello!", "capital": `{"capital": "Paris"}`, "my name": "Ada.", "Condition:": "true", "Make a list": `["Mars", "Venus"]`,
		"patch bay": "A patch bay connects devices by cables.",
	}
	vendor := newVendor(t, func(asked question, n int) reply {
		for part, text := range says {
			if strings.Contains(asked.messages[len(asked.messages)-1].Content, part) {
				return reply{text: text}
			}
		}
		return reply{text: "pardon?"}
	})
	blocktest.ExamplesContext(vendor.context(t.Context(), providerOpenAI), t, plugin.Blocks...)
}

func TestCatalog(t *testing.T) {
	t.Parallel()
	providers, models := map[string]bool{}, map[string]bool{}
	for _, p := range catalog.Providers {
		if p.Name == "" || providers[p.Name] {
			t.Errorf("provider %q", p.Name)
		}
		providers[p.Name] = true
	}
	for _, m := range catalog.Models {
		if m.ID == "" || models[m.ID] || !providers[m.Provider] || m.Context <= 0 || m.MaxOutput > m.Context {
			t.Errorf("model %+v", m)
		}
		models[m.ID] = true
	}
	if !models["gpt-4o"] {
		t.Error("the default model is not known")
	}
	for _, test := range []struct{ provider, set, host, want string }{
		{"openai", "https://a.example/v1/", "", "https://a.example/v1"},
		{"vllm", "", "", ""},
		{"ollama", "", "", "http://localhost:11434/v1"},
		{"ollama", "", "box:1", "http://box:1/v1"},
		{"ollama", "https://o.example/v1", "box:1", "http://box:1/v1"},
		{"ollama", "https://o.example/v1", ollamaHost, "https://o.example/v1"},
		{"ollama", "", "https://o.example/v1/", "https://o.example/v1"},
	} {
		if got, err := address(test.provider, test.set, test.host); got != test.want || (err == nil) != (test.want != "") {
			t.Errorf("%+v: %q, %v", test, got, err)
		}
	}
}

// run runs a block with a vendor's credentials.
func (v *vendor) run(t *testing.T, provider string, block sdk.Definition, input string) ([]sdk.Value, error) {
	t.Helper()
	return blocktest.RunContext(v.context(t.Context(), provider), t, block, input)
}

// secret is the key of the tests.
const secret = "sk-s3cret-of-the-test"

// context is that of a run that may reach the vendor.
func (v *vendor) context(ctx context.Context, provider string) context.Context {
	settings := map[string]string{}
	for _, p := range catalog.Providers {
		if p.Name != providerOllama {
			settings[baseURLSetting(p.Name)] = v.url + "/v1"
		}
	}
	settings[baseURLSetting(providerAnthropic)] = v.url
	ctx = sdk.WithHost(ctx, &blocktest.Host{Transport: http.DefaultTransport})
	ctx = sdk.WithSettings(ctx, settings)
	return sdk.WithCounts(sdk.WithCredentials(ctx, blocktest.APIKey("credentials", provider, secret)))
}

// watcher takes what a block puts out, and what it shows meanwhile.
type watcher struct {
	mu     sync.Mutex
	values []sdk.Value
	shown  strings.Builder
	seen   func(shown string)
}

func (w *watcher) Emit(pin string, v any) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.values = append(w.values, sdk.Value{Pin: pin, Value: v.(json.RawMessage)})
	return nil
}

func (w *watcher) Progress(p sdk.Progress) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.shown.WriteString(p.Delta)
	if w.seen != nil {
		w.seen(w.shown.String())
	}
}

func text(values []sdk.Value) (s string) {
	for _, v := range values {
		s += v.Pin + " = " + string(v.Value) + "\n"
	}
	return s
}
