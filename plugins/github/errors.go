package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-github/v84/github"

	"github.com/patchbay-io/patchbay/sdk"
	"github.com/patchbay-io/patchbay/sdk/proto"
)

// refusal is an answer of GitHub's that is none of success.
type refusal struct {
	status  int
	message string // with what is wrong in detail
	limited bool
	after   time.Duration // until the limit ends; 0: unknown
}

// explain says what an error means for the run, nil of nil. What was asked for stands in front; the token never
// appears.
func (c *client) explain(err error, what string, args ...any) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	what = fmt.Sprintf(what, args...)
	if r, ok := refusalOf(err); ok {
		return r.error(what, c.hide)
	}
	known, ok := errors.AsType[*sdk.Error](err) // of the server, which could not make the request
	if !ok {
		known = &sdk.Error{Kind: proto.ErrorKind_ERROR_KIND_PERMANENT}
	}
	return &sdk.Error{Kind: known.Kind, RetryAfter: known.RetryAfter, Message: what + ": " + c.hide(err.Error())}
}

// hide takes the token out of a text.
func (c *client) hide(text string) string {
	if len(c.token) < 4 {
		return text
	}
	return strings.ReplaceAll(text, c.token, "***")
}

// refusalOf reads the errors of the library that come from an answer.
func refusalOf(err error) (r *refusal, ok bool) {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r, true
	}
	r = &refusal{}
	var response *http.Response
	var limit *github.RateLimitError
	var secondary *github.AbuseRateLimitError
	var factor *github.TwoFactorAuthError
	var plain *github.ErrorResponse
	switch {
	case errors.As(err, &limit):
		response, r.message, r.limited = limit.Response, limit.Message, true
		r.after = max(time.Until(limit.Rate.Reset.Time), 0)
	case errors.As(err, &secondary):
		response, r.message, r.limited, r.after = secondary.Response, secondary.Message, true, max(secondary.GetRetryAfter(), 0)
	case errors.As(err, &factor):
		response, r.message = factor.Response, factor.Message
	case errors.As(err, &plain):
		response, r.message = plain.Response, plain.Message
		for _, detail := range plain.Errors {
			r.message += "; " + describe(detail)
		}
	default:
		return nil, false
	}
	r.status = response.StatusCode
	if seconds, err := strconv.ParseInt(response.Header.Get("Retry-After"), 10, 32); err == nil && seconds >= 0 {
		r.limited = r.limited || r.status == http.StatusForbidden
		r.after = time.Duration(seconds) * time.Second
	}
	return r, true
}

// describe is what GitHub finds wrong with a field.
func describe(e github.Error) string {
	if e.Message != "" {
		return e.Message
	}
	return strings.Join(strings.Fields(e.Resource+" "+e.Field+" "+e.Code), " ")
}

func (r *refusal) Error() string { return strings.TrimPrefix(r.message, "; ") }

func (r *refusal) error(what string, hide func(string) string) error {
	text := fmt.Sprintf("%s: GitHub answers %d %s", what, r.status, http.StatusText(r.status))
	if message := r.Error(); message != "" {
		text += ": " + hide(message)
	}
	switch {
	case r.limited || r.status == http.StatusTooManyRequests:
		return sdk.RateLimited(r.after, "%s", text)
	case r.status == http.StatusUnauthorized || r.status == http.StatusForbidden:
		return sdk.Authentication("%s", text)
	case r.status == http.StatusNotFound:
		return errors.New(text + " (it is not there, or the credentials do not reach it)")
	case r.status == http.StatusBadRequest || r.status == http.StatusUnprocessableEntity:
		return sdk.InvalidInput("%s", text)
	case r.status >= http.StatusInternalServerError || r.status == http.StatusRequestTimeout:
		return sdk.Temporary("%s", text)
	}
	return errors.New(text)
}
