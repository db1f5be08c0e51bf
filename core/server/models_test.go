package server_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
)

const textGenerator = "1f292d4a-41a4-4977-9684-7c8d560b9f91"

// modelKey is the key of the vendor of models.
const modelKey = "sk-canary-5d1f7c"

// modelVendor speaks as OpenAI does: it says a word, and the rest when it is told to.
type modelVendor struct {
	*httptest.Server
	more   chan struct{}
	closed chan struct{} // the connections that ended before the answer
}

func newModelVendor(t *testing.T) *modelVendor {
	v := &modelVendor{more: make(chan struct{}), closed: make(chan struct{}, 8)}
	v.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/chat/completions" || r.Header.Get("Authorization") != "Bearer "+modelKey {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprintf(w, `{"error":{"message":"Incorrect API key provided: %s"}}`, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		say := func(data string) {
			fmt.Fprintf(w, "data: %s\n\n", data)
			w.(http.Flusher).Flush()
		}
		say(`{"choices":[{"index":0,"delta":{"content":"Hello"}}]}`)
		select {
		case <-v.more:
		case <-r.Context().Done():
			v.closed <- struct{}{}
			return
		}
		say(`{"choices":[{"index":0,"delta":{"content":", Ada"},"finish_reason":"stop"}]}`)
		say(`{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}}`)
		say("[DONE]")
	}))
	t.Cleanup(v.Close)
	return v
}

// storeKey stores a key and gives the reference by which nodes name it.
func (i *instance) storeKey(provider, key string) map[string]any {
	i.t.Helper()
	body := fmt.Sprintf(`{"provider":%q,"type":"api_key","title":"Mine","api_key":%q}`, provider, key)
	status, answer := i.call(alice, http.MethodPost, "/api/v2/integrations", []byte(body))
	var stored struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(answer, &stored); err != nil || status != http.StatusCreated {
		i.t.Fatalf("store a key: %d %s", status, answer)
	}
	return map[string]any{"id": stored.ID, "provider": provider, "type": "api_key", "title": "Mine"}
}

// A model's answer is seen while it grows, its tokens are counted, its key shows nowhere, and stopping closes the
// connection to its vendor.
func TestModelsAreAsked(t *testing.T) {
	t.Parallel()
	v := newModelVendor(t)
	i := startInstance(t, "PATCHBAY_ALLOW_PRIVATE_ADDRESSES=127.0.0.0/8", "PATCHBAY_PLUGIN_LLM_OPENAI_BASE_URL="+v.URL+"/v1")
	ask := func(key string) string {
		return i.create(document([]graphNode{
			{"ask", textGenerator, map[string]any{
				"prompt": "Greet {{name}}", "prompt_values": map[string]any{"name": "Ada"}, "model": "gpt-4o-mini", "retry": 1, "credentials": i.storeKey("openai", key),
			}},
			{"out", outputBlock, map[string]any{"name": "said"}},
		}, graphLink{SourceID: "ask", SourceName: "response", SinkID: "out", SinkName: "value"}))
	}
	graph := ask(modelKey)
	begin := func() string {
		t.Helper()
		id := i.execute(graph, `{}`)
		s := i.subscribe(id, 0)
		for e := s.next(); e.Type != "node.progress"; e = s.next() {
			if e.last() {
				t.Fatalf("it ended before anything was seen: %+v", e)
			}
		}
		return id
	}

	id := begin()
	v.more <- struct{}{}
	if d := i.ended(id); d.Status != "COMPLETED" || string(d.Outputs["said"][0]) != `"Hello, Ada"` {
		t.Fatalf("%+v", d)
	}
	_, body := i.call(alice, http.MethodGet, "/api/v2/executions/"+id, nil)
	var x struct {
		Nodes []struct {
			NodeID string           `json:"node_id"`
			Stats  map[string]int64 `json:"stats"`
		} `json:"node_executions"`
	}
	if err := json.Unmarshal(body, &x); err != nil {
		t.Fatal(err)
	}
	for _, n := range x.Nodes {
		if n.NodeID == "ask" && (n.Stats["input_token_count"] != 7 || n.Stats["output_token_count"] != 3 || n.Stats["llm_call_count"] != 1) {
			t.Errorf("counted %v", n.Stats)
		}
	}

	id = begin()
	stopped := time.Now()
	if status, answer := i.call(alice, http.MethodPost, "/api/v2/executions/"+id+"/stop", nil); status != http.StatusOK {
		t.Fatalf("stop: %d %s", status, answer)
	}
	select {
	case <-v.closed:
		t.Logf("the connection closed after %v", time.Since(stopped))
	case <-time.After(10 * time.Second): // a second, on a machine that does nothing else
		t.Error("the connection to the vendor stays open")
	}
	if d := i.ended(id); d.Status != "TERMINATED" {
		t.Errorf("%+v", d)
	}

	refused := i.run(ask("sk-canary-5d1f7c-wrong"), `{}`)
	if refused.Status != "FAILED" || !strings.Contains(refused.Error.Message, "Incorrect API key") {
		t.Errorf("%+v", refused)
	}
	log, err := os.ReadFile(i.log.Name())
	if err != nil || strings.Contains(string(log), "sk-canary") || strings.Contains(string(body), "sk-canary") || strings.Contains(refused.Error.Message, "sk-canary") {
		t.Errorf("the key shows: %v, %+v", err, refused.Error)
	}
}
