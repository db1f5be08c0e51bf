package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/patchbay-io/patchbay/sdk"
	"github.com/patchbay-io/patchbay/sdk/proto"
)

const hello = `{"prompt": "Hi", "sys_prompt": "Be short", "model": "m", "max_tokens": 9, "retry": 2}`

// eachDialect runs a test with a provider of each kind.
func eachDialect(t *testing.T, test func(t *testing.T, provider string)) {
	for _, provider := range []string{providerOpenAI, "groq", providerAnthropic} {
		t.Run(provider, func(t *testing.T) {
			t.Parallel()
			test(t, provider)
		})
	}
}

func TestAnswersStreamOrComeInOnePiece(t *testing.T) {
	t.Parallel()
	eachDialect(t, func(t *testing.T, provider string) {
		for _, whole := range []bool{false, true} {
			v := newVendor(t, func(question, int) reply { return reply{text: "Hello, good <day> é!", whole: whole} })
			ctx := v.context(t.Context(), provider)
			w := &watcher{}
			if err := sdk.Execute(ctx, textGenerator, json.RawMessage(hello), w); err != nil {
				t.Fatal(err)
			}
			want := `response = "Hello, good <day> é!"` + "\n" + `prompt = [{"role":"system","content":"Be short"},{"role":"user","content":"Hi"}]` + "\n"
			if got := text(w.values); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			if w.shown.String() != "Hello, good <day> é!" {
				t.Errorf("who watches has seen %q", w.shown.String())
			}
			counted := sdk.Counted(ctx)
			if counted["input_token_count"] != 10 || counted["output_token_count"] != 5 || counted["llm_call_count"] != 1 || counted["llm_retry_count"] != 0 {
				t.Errorf("counted %v", counted)
			}
			asked := v.asked()[0]
			limit := map[string]string{providerOpenAI: "max_completion_tokens", "groq": "max_tokens", providerAnthropic: "max_tokens"}[provider]
			if string(asked["model"]) != `"m"` || string(asked[limit]) != "9" || string(asked["stream"]) != "true" {
				t.Errorf("asked %s", asked)
			}
			if _, ok := asked["system"]; ok != (provider == providerAnthropic) {
				t.Errorf("asked %s", asked)
			}
		}
	})
}

func TestProvidersThatMayNotStream(t *testing.T) {
	t.Parallel()
	v := newVendor(t, func(_ question, n int) reply {
		if n == 1 {
			return reply{status: 400, body: `{"error":{"message":"Your organization must be verified to stream this model.","type":"invalid_request_error","param":"stream","code":"unsupported_value"}}`}
		}
		return reply{text: "ok"}
	})
	got, err := v.run(t, providerOpenAI, textGenerator, hello)
	if err != nil || !strings.Contains(text(got), `"ok"`) || len(v.asked()) != 2 || v.asked()[1]["stream"] != nil {
		t.Errorf("%s, %v", text(got), err)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	const (
		invalid   = proto.ErrorKind_ERROR_KIND_INVALID_INPUT
		auth      = proto.ErrorKind_ERROR_KIND_AUTHENTICATION
		limited   = proto.ErrorKind_ERROR_KIND_RATE_LIMITED
		temporary = proto.ErrorKind_ERROR_KIND_TEMPORARY
		permanent = proto.ErrorKind_ERROR_KIND_UNSPECIFIED
	)
	soon := map[string]string{"Retry-After": "0"}
	eachDialect(t, func(t *testing.T, provider string) {
		for name, test := range map[string]struct {
			reply reply
			kind  proto.ErrorKind
			text  string
			asked int
			after time.Duration
		}{
			"wrong key":     {reply{status: 401, body: `{"error":{"message":"Incorrect API key provided: ` + secret + `","type":"invalid_request_error","code":"invalid_api_key"}}`}, auth, "Incorrect API key provided: ***", 1, 0},
			"forbidden":     {reply{status: 403, body: `{"type":"error","error":{"type":"permission_error","message":"no"}}`}, auth, "no", 1, 0},
			"limited":       {reply{status: 429, headers: soon, body: `{"error":{"message":"slow down"}}`}, limited, "slow down", 2, 0},
			"limited long":  {reply{status: 429, headers: map[string]string{"Retry-After": "3600"}}, limited, "429", 1, time.Hour},
			"no quota":      {reply{status: 429, headers: soon, body: `{"error":{"message":"pay","code":"insufficient_quota"}}`}, permanent, "pay", 1, 0},
			"overloaded":    {reply{status: 529, headers: soon, body: `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`}, temporary, "Overloaded", 2, 0},
			"broken":        {reply{status: 500, headers: soon, body: `<html>oops`}, temporary, "500 Internal Server Error", 2, 0},
			"bad gateway":   {reply{status: 502, headers: map[string]string{"Retry-After-Ms": "1"}}, temporary, "502 Bad Gateway", 2, 0},
			"bad request":   {reply{status: 400, body: `{"error":"model not found"}`}, invalid, "model not found", 1, 0},
			"too long":      {reply{status: 400, body: `{"error":{"message":"This model's maximum context length is 8192 tokens","code":"context_length_exceeded"}}`}, invalid, "maximum context length", 1, 0},
			"not found":     {reply{status: 404, body: `{"detail":"Not Found"}`}, invalid, "Not Found", 1, 0},
			"in the stream": {reply{text: "a b", event: `{"type":"error","error":{"type":"invalid_request_error","message":"never"}}`}, invalid, "never", 1, 0},
			"one of 200":    {reply{whole: true, body: `{"error":{"message":"no such model","type":"invalid_request_error"}}`}, invalid, "no such model", 1, 0},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				v := newVendor(t, func(question, int) reply { return test.reply })
				got, err := v.run(t, provider, textGenerator, hello)
				var known *sdk.Error
				kind := permanent
				if errors.As(err, &known) {
					kind = known.Kind
				}
				if err == nil || kind != test.kind || !strings.Contains(err.Error(), test.text) || strings.Contains(err.Error(), secret) {
					t.Errorf("%s %v: %v", text(got), kind, err)
				}
				if known != nil && known.RetryAfter != test.after || len(v.asked()) != test.asked {
					t.Errorf("asked %d times, retry after %v", len(v.asked()), known.RetryAfter)
				}
			})
		}
	})
}

// What breaks in the middle is asked again, and who watches learns it.
func TestBrokenAnswersAreAskedForAgain(t *testing.T) {
	t.Parallel()
	eachDialect(t, func(t *testing.T, provider string) {
		for name, first := range map[string]reply{
			"cut off":    {text: "a b", cutOff: true},
			"not ended":  {raw: "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n"},
			"no JSON":    {raw: "event: message_start\ndata: {\"choices\n\n"},
			"overloaded": {text: "a b", event: `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`},
			"half":       {whole: true, body: `{"id":"m","choices":[`},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				v := newVendor(t, func(_ question, n int) reply {
					if n == 1 {
						return first
					}
					return reply{text: "whole"}
				})
				ctx := v.context(t.Context(), provider)
				w := &watcher{}
				if err := sdk.Execute(ctx, textGenerator, json.RawMessage(hello), w); err != nil || !strings.HasPrefix(text(w.values), `response = "whole"`) {
					t.Errorf("%s, %v", text(w.values), err)
				}
				if counted := sdk.Counted(ctx); counted["llm_call_count"] != 2 || counted["llm_retry_count"] != 1 {
					t.Errorf("counted %v", counted)
				}
			})
		}
	})
}

func TestStopClosesTheProvidersConnection(t *testing.T) {
	t.Parallel()
	eachDialect(t, func(t *testing.T, provider string) {
		v := newVendor(t, func(question, int) reply { return reply{text: "a b", hang: true} })
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		w := &watcher{seen: func(shown string) {
			if strings.HasPrefix(shown, "a") {
				cancel()
			}
		}}
		if err := sdk.Execute(v.context(ctx, provider), textGenerator, json.RawMessage(hello), w); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		select {
		case <-v.closed:
		case <-time.After(time.Second):
			t.Error("the connection is open after a second")
		}
		if len(v.asked()) != 1 {
			t.Errorf("asked %d times", len(v.asked()))
		}
	})
}

func TestStopEndsAPauseBetweenAttempts(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	v := newVendor(t, func(question, int) reply {
		cancel()
		return reply{status: 503, headers: map[string]string{"Retry-After": "50"}}
	})
	begun := time.Now()
	if err := sdk.Execute(v.context(ctx, providerOpenAI), textGenerator, json.RawMessage(hello), &watcher{}); !errors.Is(err, context.Canceled) || time.Since(begun) > 10*time.Second {
		t.Errorf("%v after %v", err, time.Since(begun))
	}
}

func TestAnswersWithoutText(t *testing.T) {
	t.Parallel()
	for reason, want := range map[string]string{"length": "max_tokens", "content_filter": "withholds"} {
		v := newVendor(t, func(question, int) reply { return reply{reason: reason} })
		if got, err := v.run(t, providerOpenAI, textGenerator, hello); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %s, %v", reason, text(got), err)
		}
	}
	v := newVendor(t, func(question, int) reply { return reply{} })
	if got, err := v.run(t, providerAnthropic, textGenerator, hello); err != nil || !strings.HasPrefix(text(got), `response = ""`) {
		t.Errorf("%s, %v", text(got), err)
	}
}

func TestInputsThatCannotBeAsked(t *testing.T) {
	t.Parallel()
	v := newVendor(t, func(question, int) reply { return reply{text: "?"} })
	for input, want := range map[string]string{
		`{"prompt": "", "model": "m"}`:                                  "prompt is empty",
		`{"prompt": "x", "model": " "}`:                                 "no model",
		`{"prompt": "{{ x", "prompt_values": {"x": "1"}, "model": "m"}`: "cannot be filled",
	} {
		if _, err := v.run(t, providerOpenAI, textGenerator, input); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", input, err)
		}
	}
	if _, err := v.run(t, "vllm", conversation, `{"messages": [1], "model": "m"}`); err == nil || !strings.Contains(err.Error(), "message 1") {
		t.Error(err)
	}
	if _, err := v.run(t, "vllm", conversation, `{"messages": [null, {}], "model": "m"}`); err == nil || !strings.Contains(err.Error(), "neither") {
		t.Error(err)
	}
	if len(v.asked()) != 0 {
		t.Errorf("asked %d times", len(v.asked()))
	}
	got, err := v.run(t, providerOpenAI, textGenerator, `{"prompt": "{{ not a template", "model": "m"}`)
	if err != nil || !strings.Contains(text(got), "{{ not a template") {
		t.Errorf("%s, %v", text(got), err)
	}
}

func TestConversationsOfAnyForm(t *testing.T) {
	t.Parallel()
	v := newVendor(t, func(q question, _ int) reply { return reply{text: fmt.Sprint(q.messages)} })
	const input = `{"model": "m", "prompt": "now", "messages": ["bare", {"role": "developer", "content": "sys"}, {"role": "Assistant", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
		{"role": "user", "content": {"k": 1}}, {"role": "user", "content": null}]}`
	got, err := v.run(t, "open_router", conversation, input)
	want := `response = "[{user bare} {system sys} {assistant a\nb} {user {\"k\": 1}} {user now}]"`
	if err != nil || !strings.HasPrefix(text(got), want) {
		t.Errorf("%s, %v\nwant %s", text(got), err, want)
	}
	got, err = v.run(t, providerAnthropic, conversation, `{"model": "claude-sonnet-4-5-20250929", "messages": [{"role": "assistant", "content": "a"}, {"role": "system", "content": "s"}, "b", "c"]}`)
	want = `response = "[{user (The conversation begins.)} {assistant a} {user b\nc}]"`
	if err != nil || !strings.HasPrefix(text(got), want) {
		t.Errorf("%s, %v\nwant %s", text(got), err, want)
	}
	if asked := v.asked()[1]; string(asked["max_tokens"]) != "64000" || !strings.Contains(string(asked["system"]), `"s"`) {
		t.Errorf("asked %s", asked)
	}
}

func kindOf(err error) proto.ErrorKind {
	if known, ok := errors.AsType[*sdk.Error](err); ok {
		return known.Kind
	}
	return proto.ErrorKind_ERROR_KIND_UNSPECIFIED
}
