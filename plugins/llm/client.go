package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/patchbay-io/patchbay/sdk"
)

// Bounds in bytes of what a provider sends.
const (
	maxWhole   = 32 << 20 // an answer that does not stream
	maxProblem = 64 << 10 // an answer that says what is wrong
)

// client makes the requests of a vendor's library, and judges the answers before the library does: libraries give up
// what the status says where the body is not what they expect.
type client struct{ http *http.Client }

func newClient(ctx context.Context) client { return client{sdk.HTTPClient(ctx)} }

// Do makes a request whose answer is to stream.
func (c client) Do(r *http.Request) (*http.Response, error) {
	response, err := c.http.Do(r)
	if err != nil {
		return nil, err
	}
	if response.StatusCode/100 == 2 {
		if kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type")); kind == "application/json" {
			return nil, whole(response)
		}
		response.Body = &ending{ReadCloser: response.Body}
		return response, nil
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(io.LimitReader(response.Body, maxProblem))
	if err != nil && len(content) == 0 {
		sdk.Logger(r.Context()).Debug("a refusal cannot be read", "error", err)
	}
	refused := readRefusal(content)
	refused.status = response.StatusCode
	refused.after, refused.asked = retryAfter(response.Header, time.Now())
	return nil, refused
}

// unstreamed is an answer that came in one piece, although it was to stream.
type unstreamed struct{ content []byte }

func (*unstreamed) Error() string { return "the answer does not stream" }

func whole(response *http.Response) error {
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(io.LimitReader(response.Body, maxWhole+1))
	switch {
	case err != nil:
		return err
	case len(content) > maxWhole:
		return fmt.Errorf("the answer is larger than %d MiB", maxWhole>>20)
	}
	return &unstreamed{content}
}

// ending watches for the mark with which streams of OpenAI's kind end: without it they were cut off.
type ending struct {
	io.ReadCloser
	last []byte
	met  bool
}

var endMark = []byte("[DONE]")

func (e *ending) Read(p []byte) (int, error) {
	n, err := e.ReadCloser.Read(p)
	e.last = append(e.last, p[:n]...)
	e.met = e.met || bytes.Contains(e.last, endMark)
	e.last = e.last[max(0, len(e.last)-len(endMark)+1):]
	return n, err
}

// refusal is what a provider says that it will not answer with.
type refusal struct {
	status  int    // 0: it was said in a stream
	kind    string // the provider's word for it
	param   string // that is to blame
	message string
	asked   bool
	after   time.Duration
}

func (r *refusal) Error() string { return r.message }

// readRefusal reads the bodies that providers send: {"error": {"message", "type", "code", "param"}} of OpenAI,
// {"type": "error", "error": {"type", "message"}} of Anthropic, {"error": "text"} of Ollama, and what others say.
func readRefusal(content []byte) *refusal {
	var body struct {
		Error   json.RawMessage `json:"error"`
		Message string          `json:"message"`
		Detail  json.RawMessage `json:"detail"`
	}
	var inner struct {
		Message string          `json:"message"`
		Type    string          `json:"type"`
		Code    json.RawMessage `json:"code"` // text or a number
		Param   string          `json:"param"`
	}
	_ = json.Unmarshal(content, &body)
	r := &refusal{message: body.Message}
	if err := json.Unmarshal(body.Error, &inner); err == nil {
		r.message, r.kind, r.param = inner.Message, inner.Type, inner.Param
		if code := strings.Trim(string(inner.Code), `"`); code != "" && code != "null" {
			r.kind = code
		}
	} else {
		_ = json.Unmarshal(body.Error, &r.message)
	}
	if r.message == "" && len(body.Detail) > 0 {
		if json.Unmarshal(body.Detail, &r.message) != nil {
			r.message = string(body.Detail)
		}
	}
	r.message = brief(strings.ToValidUTF8(strings.TrimSpace(r.message), "\uFFFD"))
	return r
}

// brief is as much of a message as helps.
func brief(text string) string {
	const most = 2000
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}

// problem says what the refusal means for the run.
func (r *refusal) problem(provider string, hide func(string) string) problem {
	text := provider
	if r.status != 0 {
		text += fmt.Sprintf(" answers %d %s", r.status, http.StatusText(r.status))
	}
	if r.message != "" {
		text += ": " + hide(r.message)
	} else if r.status == 0 {
		text += " broke its answer off"
	}
	p := problem{asked: r.asked, after: r.after}
	switch {
	case r.kind == "insufficient_quota" || r.status == http.StatusPaymentRequired: // waiting does not help
		p.error = errors.New(text)
	case r.status == http.StatusUnauthorized || r.status == http.StatusForbidden || r.kind == "authentication_error":
		p.error = sdk.Authentication("%s", text)
	case r.status == http.StatusTooManyRequests || r.kind == "rate_limit_error" || r.kind == "rate_limit_exceeded":
		p.error, p.again = sdk.RateLimited(r.after, "%s", text), true
	case r.status >= 500 || r.status == http.StatusRequestTimeout || r.status == http.StatusConflict ||
		r.status == 0 && r.kind != "invalid_request_error":
		p.error, p.again = sdk.Temporary("%s", text), true
	default:
		p.error = sdk.InvalidInput("%s", text)
	}
	return p
}

// retryAfter reads when to come again: in milliseconds as OpenAI says it, in seconds, or as a date.
func retryAfter(header http.Header, now time.Time) (time.Duration, bool) {
	if ms, err := strconv.ParseFloat(header.Get("Retry-After-Ms"), 64); err == nil && ms >= 0 && ms < 1e12 {
		return time.Duration(ms * float64(time.Millisecond)), true
	}
	text := header.Get("Retry-After")
	if seconds, err := strconv.ParseFloat(text, 64); err == nil && seconds >= 0 && seconds < 1e9 {
		return time.Duration(seconds * float64(time.Second)), true
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(at.Sub(now), 0), true
	}
	return 0, false
}
