// Package client is the REST API for programs in Go. All of it but this file is generated from ../openapi.yaml, of which
// it has every operation but those of earlier versions; an operation's method names its path and says what it does.
// Values stay the JSON that they are. It imports nothing of the server.
package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

// WithToken sends a bearer token: a JWT, or an API key.
func WithToken(token string) ClientOption {
	return WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+token)
		return nil
	})
}

// Problem is an answer that is an error. Code is for programs, Message for people.
type Problem struct {
	Status  int
	Code    string
	Message string
	Details map[string]any
}

func (p *Problem) Error() string { return fmt.Sprintf("%s (%s, %d)", p.Message, p.Code, p.Status) }

// Check says what went wrong by an answer's status and body; nil where nothing did. The error is a *Problem.
//
//	answer, err := c.GetGraphWithResponse(ctx, id, nil)
//	if err == nil {
//		err = client.Check(answer.HTTPResponse, answer.Body)
//	}
func Check(r *http.Response, body []byte) error {
	if r.StatusCode < http.StatusBadRequest {
		return nil
	}
	p := &Problem{Status: r.StatusCode}
	var envelope Error
	if err := json.Unmarshal(body, &envelope); err != nil || envelope.Error.Code == "" { // of something on the way
		p.Code, p.Message = "UNKNOWN", r.Status
		return p
	}
	p.Code, p.Message, p.Details = string(envelope.Error.Code), envelope.Error.Message, envelope.Error.Details
	return p
}
