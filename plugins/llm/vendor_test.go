package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// vendor is a provider on this machine: it speaks the dialects of OpenAI and of Anthropic.
type vendor struct {
	t      *testing.T
	url    string
	answer func(asked question, n int) reply // n counts from 1

	mu       sync.Mutex
	requests []map[string]json.RawMessage
	closed   chan struct{} // gets one for each connection that ended under an answer
}

// reply is what a vendor does.
type reply struct {
	text    string
	whole   bool // does not stream
	status  int
	body    string // with a status, in place of a text
	headers map[string]string
	cutOff  bool   // ends the connection in the middle
	event   string // an error in the middle of the stream: JSON
	raw     string // the stream's bytes
	hang    bool   // waits in the middle until the client goes
	reason  string // finish reason; empty: the usual one
}

func newVendor(t *testing.T, answer func(asked question, n int) reply) *vendor {
	t.Helper()
	v := &vendor{t: t, answer: answer, closed: make(chan struct{}, 16)}
	s := httptest.NewServer(v)
	v.url = s.URL
	t.Cleanup(s.Close)
	return v
}

// asked are the requests so far.
func (v *vendor) asked() []map[string]json.RawMessage {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.requests
}

func (v *vendor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	content, _ := io.ReadAll(r.Body)
	var body struct {
		Messages []struct {
			Role    string          `json:"role"`
			Content json.RawMessage `json:"content"`
		} `json:"messages"`
		Stream bool `json:"stream"`
	}
	request := map[string]json.RawMessage{}
	if json.Unmarshal(content, &body) != nil || json.Unmarshal(content, &request) != nil {
		v.t.Errorf("the request is %s", content)
	}
	claude := r.URL.Path == "/v1/messages"
	switch {
	case claude && (r.Header.Get("X-Api-Key") != secret || r.Header.Get("Anthropic-Version") == ""):
		v.t.Errorf("the request has the headers %v", r.Header)
	case !claude && (r.URL.Path != "/v1/chat/completions" || r.Header.Get("Authorization") != "Bearer "+secret):
		v.t.Errorf("%s has the headers %v", r.URL.Path, r.Header)
	}
	var q question
	for _, m := range body.Messages {
		q.messages = append(q.messages, message{m.Role, contentOf(json.RawMessage(`{"content":` + string(m.Content) + `}`))})
	}
	v.mu.Lock()
	v.requests = append(v.requests, request)
	n := len(v.requests)
	v.mu.Unlock()
	a := v.answer(q, n)
	for name, value := range a.headers {
		w.Header().Set(name, value)
	}
	switch {
	case a.status != 0:
		w.WriteHeader(a.status)
		fmt.Fprint(w, a.body)
	case a.whole || !body.Stream:
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		fmt.Fprint(w, a.inOne(claude))
	default:
		w.Header().Set("Content-Type", "text/event-stream")
		v.stream(w, r, a, claude)
	}
}

func (a reply) inOne(claude bool) string {
	if a.body != "" {
		return a.body
	}
	if claude {
		return `{"id":"m","type":"message","role":"assistant","content":[{"type":"text","text":` + quoted(a.text) + `}],"stop_reason":"end_turn","usage":{"input_tokens":10,"output_tokens":5}}`
	}
	return `{"id":"c","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":` + quoted(a.text) +
		`},"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}}`
}

// stream sends an answer word by word.
func (v *vendor) stream(w http.ResponseWriter, r *http.Request, a reply, claude bool) {
	send := func(event, data string) {
		if claude {
			fmt.Fprintf(w, "event: %s\n", event)
		}
		fmt.Fprintf(w, "data: %s\n\n", data)
		w.(http.Flusher).Flush()
	}
	if a.raw != "" {
		fmt.Fprint(w, a.raw)
		return
	}
	if claude {
		send("message_start", `{"type":"message_start","message":{"id":"m","type":"message","role":"assistant","content":[],"usage":{"input_tokens":7,"cache_read_input_tokens":3,"output_tokens":1}}}`)
		send("content_block_start", `{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`)
		send("ping", `{"type":"ping"}`)
	}
	for i, word := range strings.SplitAfter(a.text, " ") {
		if i > 0 && (a.cutOff || a.hang || a.event != "") {
			break
		}
		if claude {
			send("content_block_delta", `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":`+quoted(word)+`}}`)
		} else {
			send("", `{"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":`+quoted(word)+`},"finish_reason":null}]}`)
		}
	}
	switch {
	case a.cutOff:
		panic(http.ErrAbortHandler)
	case a.event != "":
		send("error", a.event)
		return
	case a.hang:
		select {
		case <-r.Context().Done():
			v.closed <- struct{}{}
		case <-time.After(30 * time.Second):
		}
		return
	}
	if claude {
		send("content_block_stop", `{"type":"content_block_stop","index":0}`)
		send("message_delta", `{"type":"message_delta","delta":{"stop_reason":`+quoted(or(a.reason, "end_turn"))+`},"usage":{"output_tokens":5}}`)
		send("message_stop", `{"type":"message_stop"}`)
		return
	}
	send("", `{"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{},"finish_reason":`+quoted(or(a.reason, "stop"))+`}]}`)
	send("", `{"id":"c","object":"chat.completion.chunk","choices":[],"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}}`)
	send("", "[DONE]")
}

func or(text, otherwise string) string {
	if text != "" {
		return text
	}
	return otherwise
}

func quoted(text string) string {
	raw, _ := json.Marshal(text)
	return string(raw)
}
