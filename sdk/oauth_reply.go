package sdk

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/oauth2"

	"github.com/patchbay-io/patchbay/sdk/proto"
)

// headers adds a provider's own headers to every request.
type headers struct {
	add  map[string]string
	next http.RoundTripper
}

func (h headers) RoundTrip(r *http.Request) (*http.Response, error) {
	if len(h.add) > 0 {
		r = r.Clone(r.Context())
		for name, value := range h.add {
			r.Header.Set(name, value)
		}
	}
	return h.next.RoundTrip(r)
}

// tokenReply keeps what a token endpoint answered, and asks in the form that the provider wants.
type tokenReply struct {
	json  bool // the request's body, too
	media string
	body  []byte
	next  http.RoundTripper
}

// tokenContext lets oauth2 ask by the run's client.
func (o *operation) tokenContext(ctx context.Context) (context.Context, *tokenReply) {
	client := *o.service.Client
	reply := &tokenReply{json: o.oauth.ClientAuth == InJSON, next: client.Transport}
	client.Transport = reply
	return context.WithValue(ctx, oauth2.HTTPClient, &client), reply
}

func (t *tokenReply) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Accept", "application/json")
	if t.json && r.Body != nil {
		if err := jsonBody(r); err != nil {
			return nil, err
		}
	}
	response, err := t.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	if t.body, err = io.ReadAll(io.LimitReader(response.Body, maxReply)); err != nil {
		return nil, err
	}
	t.media, _, _ = mime.ParseMediaType(response.Header.Get("Content-Type"))
	response.Body = io.NopCloser(bytes.NewReader(t.body))
	return response, nil
}

func jsonBody(r *http.Request) error {
	form, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	values, err := url.ParseQuery(string(form))
	if err != nil {
		return err
	}
	object := make(map[string]string, len(values))
	for name := range values {
		object[name] = values.Get(name)
	}
	body, err := json.Marshal(object)
	if err != nil {
		return err
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	r.GetBody = nil
	r.Header.Set("Content-Type", "application/json")
	return nil
}

// replyValues are the values of an answer.
type replyValues map[string]any

func decodeValues(body []byte) replyValues {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var values replyValues
	_ = d.Decode(&values) // what is no object has no values
	return values
}

func decodeReply(r *tokenReply) replyValues {
	if r.media != "application/x-www-form-urlencoded" && r.media != "text/plain" {
		return decodeValues(r.body)
	}
	form, _ := url.ParseQuery(string(r.body)) // oauth2 has read it
	values := replyValues{}
	for name := range form {
		values[name] = form.Get(name)
	}
	return values
}

// find follows a path, a.b.c.
func (v replyValues) find(path string) any {
	var at any = map[string]any(v)
	for name := range strings.SplitSeq(path, ".") {
		object, ok := at.(map[string]any)
		if !ok {
			return nil
		}
		at = object[name]
	}
	return at
}

// text gives the text or number at the first path that leads to one.
func (v replyValues) text(paths string) string {
	for path := range strings.FieldsSeq(paths) {
		switch found := v.find(path).(type) {
		case string:
			if found != "" {
				return found
			}
		case json.Number:
			return found.String()
		}
	}
	return ""
}

func (v replyValues) seconds(path string) int64 {
	seconds, err := json.Number(v.text(path)).Int64()
	if err != nil || seconds > 100*365*24*3600 {
		return 0
	}
	return seconds
}

// What providers call it when this server's own registration is wrong, and when they are in trouble themselves.
var (
	clientErrors = []string{
		"invalid_client", "unauthorized_client", "unsupported_grant_type", "redirect_uri_mismatch", "invalid_redirect_uri",
		"incorrect_client_credentials", "application_suspended", // GitHub
		"invalid_client_id", "bad_client_secret", "bad_redirect_uri", // Slack
		"incorrect_application_credentials", "appid_redirect_uri_mismatch", // Todoist, LinkedIn
	}
	passingErrors = []string{"server_error", "temporarily_unavailable", "slow_down", "ratelimited", "internal_error", "service_unavailable"}
)

// explain makes the error of an operation one whose kind tells what to do: AUTHENTICATION for a code or token that the
// provider refuses, PERMANENT for a server that is set up wrongly, others for a provider that cannot be asked.
func (o *operation) explain(what string, err error) error {
	if err == nil {
		return nil
	}
	name := o.provider.DisplayName
	var known *Error
	var retrieve *oauth2.RetrieveError
	var status *statusError
	switch {
	case errors.As(err, &retrieve):
		return o.refusal(what, retrieve.Response.StatusCode, retrieve.ErrorCode, retrieve.ErrorDescription)
	case errors.As(err, &status):
		return o.refusal(what, status.status, "", "")
	case errors.As(err, &known):
		if known.Kind == proto.ErrorKind_ERROR_KIND_INVALID_INPUT { // the server refuses the address
			return &Error{Kind: proto.ErrorKind_ERROR_KIND_PERMANENT, Message: o.clean(name + " cannot be asked: " + known.Message)}
		}
		return &Error{Kind: known.Kind, Message: o.clean(name + " " + what + ": " + known.Message), RetryAfter: known.RetryAfter}
	}
	if failed, ok := errors.AsType[*url.Error](err); ok {
		err = failed.Err // without the address, which may have secrets in it
	}
	return &Error{Kind: proto.ErrorKind_ERROR_KIND_TEMPORARY, Message: o.clean(name + " " + what + ": " + err.Error())}
}

func (o *operation) refusal(what string, status int, code, description string) error {
	said := code
	if description != "" {
		said = strings.TrimPrefix(code+": ", ": ") + description
	}
	if said == "" {
		said = (&statusError{status}).Error()
	}
	kind := proto.ErrorKind_ERROR_KIND_AUTHENTICATION
	message := o.provider.DisplayName + " " + what + " and refused: " + said
	switch {
	case status == http.StatusTooManyRequests:
		kind = proto.ErrorKind_ERROR_KIND_RATE_LIMITED
	case slices.Contains(passingErrors, code), status >= 500, status >= 300 && status < 400:
		kind = proto.ErrorKind_ERROR_KIND_TEMPORARY
		message = o.provider.DisplayName + " " + what + " and failed: " + said
	case slices.Contains(clientErrors, code), code == "" && status == http.StatusUnauthorized && what != lookedUp:
		kind = proto.ErrorKind_ERROR_KIND_PERMANENT
		message = o.provider.DisplayName + " does not accept how this server is registered there: " + said
	}
	return &Error{Kind: kind, Message: o.clean(message)}
}

// maxSaid bounds in bytes what of a provider's words is told.
const maxSaid = 1 << 10

// clean takes secrets out of a text.
func (o *operation) clean(text string) string {
	for _, secret := range o.secrets {
		text = strings.ReplaceAll(text, secret, "…")
	}
	if len(text) > maxSaid {
		text = text[:maxSaid] + "…"
	}
	return validText(text)
}
