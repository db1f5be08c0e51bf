package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/patchbay-io/patchbay/api/auth"
	"github.com/patchbay-io/patchbay/core/execution"
)

// ExecuteGraph is POST /api/v2/builder/graphs/{graph_id}/execute.
func (s *server) ExecuteGraph(ctx context.Context, r ExecuteGraphRequestObject) (ExecuteGraphResponseObject, error) {
	user := auth.From(ctx).UserID
	request, err := executionRequest(bodyOf(ctx))
	if err != nil {
		return nil, err
	}
	request.UserID, request.GraphID = user, r.GraphId
	if r.Params.IdempotencyKey != nil {
		request.IdempotencyKey = *r.Params.IdempotencyKey
		request.Body = bodyOf(ctx)
	}
	id, err := s.executions.Execute(ctx, request)
	if err != nil {
		return nil, err
	}
	if r.Params.Prefer != nil {
		if wait, ok := preferredWait(*r.Params.Prefer); ok {
			return s.executed(ctx, user, id, wait)
		}
	}
	return accepted(id), nil
}

// executionRequest reads {"input_data" or "inputs", "version"}; no body is no inputs.
func executionRequest(body []byte) (execution.Request, error) {
	r := execution.Request{Inputs: json.RawMessage("{}")}
	if len(body) == 0 {
		return r, nil
	}
	e, err := openEnvelope(body)
	if err != nil {
		return r, err
	}
	e.refuse("an execution runs a stored graph", "graph", "nodes", "links", "sub_graphs")
	if inputs := e.object("input_data"); inputs != nil {
		r.Inputs = inputs
		e.refuse("is another name of input_data; one of them is enough", "inputs")
	} else if inputs := e.object("inputs"); inputs != nil {
		r.Inputs = inputs
	}
	r.Version = e.number("version")
	return r, e.problem()
}

// executed waits for the end of an execution. Whatever ends the waiting, the execution goes on.
func (s *server) executed(ctx context.Context, user, id string, wait time.Duration) (ExecuteGraphResponseObject, error) {
	waiting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	defer context.AfterFunc(s.closing, cancel)()
	if err := s.executions.Wait(waiting, user, id); err != nil && waiting.Err() == nil {
		return nil, fmt.Errorf("wait for execution %s: %w", id, err)
	}
	if ctx.Err() != nil {
		return nil, errors.New("the client left while it waited")
	}
	d, err := s.executions.Details(ctx, user, id)
	if err != nil {
		return nil, err
	}
	return ended{Details: d, wait: wait}, nil
}

// accepted answers with the execution's id alone.
type accepted string

// VisitExecuteGraphResponse implements ExecuteGraphResponseObject.
func (a accepted) VisitExecuteGraphResponse(w http.ResponseWriter) error {
	return answerJSON(w, http.StatusOK, func(j *jsonWriter) {
		j.object(func() {
			j.key("execution_id")
			j.string(string(a))
		})
	})
}

// ended answers with the details, beside the execution's id as accepted has it.
type ended struct {
	*execution.Details
	wait time.Duration
}

// VisitExecuteGraphResponse implements ExecuteGraphResponseObject.
func (e ended) VisitExecuteGraphResponse(w http.ResponseWriter) error {
	w.Header().Set("Preference-Applied", fmt.Sprintf("wait=%d", int(e.wait/time.Second)))
	return answerJSON(w, http.StatusOK, func(j *jsonWriter) {
		j.object(func() {
			j.key("execution_id")
			j.string(e.ID)
			j.details(e.Details)
		})
	})
}
