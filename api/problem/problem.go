// Package problem is the one shape of every error that leaves the server, over HTTP and WebSocket: a code for programs,
// a message for people, details. The table in domain.go says which error of the domain is which code; nobody else
// decides that. It must never show a cause that the client has no business with.
package problem

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// Problem is an error that clients read.
type Problem struct {
	Status  int
	Code    string
	Message string
	Details map[string]any
	// RetryAfter is when the same request may succeed, in whole seconds from now; zero is not known.
	RetryAfter time.Duration
	Cause      error // for the log
}

// Error is for logs.
func (p *Problem) Error() string {
	if p.Cause != nil {
		return fmt.Sprintf("%s: %v", p.Message, p.Cause)
	}
	return p.Message
}

// Unwrap gives the cause.
func (p *Problem) Unwrap() error { return p.Cause }

// Unauthorized is a missing or refused credential.
func Unauthorized(err error) *Problem {
	return &Problem{Status: http.StatusUnauthorized, Code: "UNAUTHORIZED", Message: err.Error()}
}

// Forbidden is something that this client may not do.
func Forbidden(message string) *Problem {
	return &Problem{Status: http.StatusForbidden, Code: "FORBIDDEN", Message: message}
}

// NotFound is what does not exist or belongs to somebody else.
func NotFound(message string) *Problem {
	return &Problem{Status: http.StatusNotFound, Code: "NOT_FOUND", Message: message}
}

// Conflict is what the state of things forbids.
func Conflict(message string) *Problem {
	return &Problem{Status: http.StatusConflict, Code: "CONFLICT", Message: message}
}

// MethodNotAllowed is a path without that method.
func MethodNotAllowed(method string) *Problem {
	return &Problem{Status: http.StatusMethodNotAllowed, Code: "METHOD_NOT_ALLOWED", Message: "the method " + method + " is not allowed here"}
}

// TooLarge is a body of more than limit bytes.
func TooLarge(limit int64) *Problem {
	return &Problem{
		Status: http.StatusRequestEntityTooLarge, Code: "PAYLOAD_TOO_LARGE",
		Message: "the body is larger than " + strconv.FormatInt(limit, 10) + " bytes",
		Details: map[string]any{"max_bytes": limit},
	}
}

// UnsupportedMediaType is a body that is not what it must be.
func UnsupportedMediaType(message string) *Problem {
	return &Problem{Status: http.StatusUnsupportedMediaType, Code: "UNSUPPORTED_MEDIA_TYPE", Message: message}
}

// RateLimited is too much of something.
func RateLimited(message string) *Problem {
	return &Problem{Status: http.StatusTooManyRequests, Code: "RATE_LIMITED", Message: message}
}

// NotConfigured is what the operator has not switched on.
func NotConfigured(message string) *Problem {
	return &Problem{Status: http.StatusNotImplemented, Code: "NOT_CONFIGURED", Message: message}
}

// Upstream is another service's failure.
func Upstream(message string) *Problem {
	return &Problem{Status: http.StatusBadGateway, Code: "UPSTREAM_ERROR", Message: message}
}

// Unavailable is what will work again later. Nobody knows when, but nobody should ask again at once either.
func Unavailable(message string) *Problem {
	return &Problem{Status: http.StatusServiceUnavailable, Code: "UNAVAILABLE", Message: message, RetryAfter: time.Second}
}

// Internal hides a cause that is nobody's fault but ours.
func Internal(cause error) *Problem {
	return &Problem{Status: http.StatusInternalServerError, Code: "INTERNAL_ERROR", Message: "internal error", Cause: cause}
}

// Invalid is data that is wrong as a whole.
func Invalid(message string) *Problem {
	return &Problem{Status: http.StatusUnprocessableEntity, Code: "VALIDATION_ERROR", Message: message}
}

// Field is one field that is wrong; a body that cannot be read at all is the field "body".
func Field(name, message string) *Problem { return Fields(map[string]string{name: message}) }

// Fields are the fields that are wrong, with what is wrong with each.
func Fields(fields map[string]string) *Problem {
	p := Invalid("the request is not valid")
	p.Details = map[string]any{"fields": fields}
	if len(fields) == 1 {
		for name, message := range maps.All(fields) {
			p.Message = name + ": " + message
		}
	}
	return p
}

// Envelope is the problem as JSON.
func (p *Problem) Envelope() json.RawMessage {
	var body struct {
		Error struct {
			Code    string         `json:"code"`
			Message string         `json:"message"`
			Details map[string]any `json:"details"`
		} `json:"error"`
	}
	body.Error.Code, body.Error.Message, body.Error.Details = p.Code, p.Message, p.Details
	if body.Error.Details == nil {
		body.Error.Details = map[string]any{}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(body); err != nil { // details hold plain maps, strings and numbers only
		panic(fmt.Sprintf("problem: encode %s: %v", p.Code, err))
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// Write answers with the problem. The request's id, which 5xx show, is that of the header X-Request-Id.
func Write(w http.ResponseWriter, p *Problem) {
	if p.Status >= 500 {
		shown := *p
		shown.Details = maps.Clone(p.Details)
		if shown.Details == nil {
			shown.Details = map[string]any{}
		}
		shown.Details["request_id"] = w.Header().Get("X-Request-Id")
		p = &shown
	}
	body := p.Envelope()
	h := w.Header()
	for _, name := range bodyHeaders {
		h.Del(name)
	}
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(max(1, int(math.Ceil(p.RetryAfter.Seconds())))))
	}
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(p.Status)
	w.Write(body) // an error here is the client's, who has gone
}

// bodyHeaders describe a body that a handler meant to send before it failed.
var bodyHeaders = []string{"Content-Encoding", "Content-Disposition", "Content-Range", "ETag", "Last-Modified", "Preference-Applied"}

// Of finds what an error is to clients.
func Of(err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	if i := slices.IndexFunc(domain, func(d rule) bool { return d.matches(err) }); i >= 0 {
		return domain[i].problem(err)
	}
	return Internal(err)
}

// OfAway is Of where away, if there is one, tells which errors only mean that the database cannot be asked now.
func OfAway(err error, away func(error) bool) *Problem {
	p := Of(err)
	if p.Status == http.StatusInternalServerError && away != nil && away(err) {
		return Unavailable("the database cannot be reached at the moment; try again")
	}
	return p
}
