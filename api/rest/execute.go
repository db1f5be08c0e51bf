package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/patchbay-io/patchbay/api/auth"
	"github.com/patchbay-io/patchbay/api/problem"
	"github.com/patchbay-io/patchbay/core/block/jsonscan"
	"github.com/patchbay-io/patchbay/core/execution"
	"github.com/patchbay-io/patchbay/core/graph"
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
	request.Awaited = awaited(r.Params.Prefer)
	id, err := s.executions.Execute(ctx, request)
	if err != nil {
		return nil, err
	}
	return s.executed(ctx, user, accepted{id: id}, r.Params.Prefer)
}

// RetryExecution is POST /api/v2/executions/{execution_id}/retry.
func (s *server) RetryExecution(ctx context.Context, r RetryExecutionRequestObject) (RetryExecutionResponseObject, error) {
	user := auth.From(ctx).UserID
	request, err := retryRequest(bodyOf(ctx))
	if err != nil {
		return nil, err
	}
	request.UserID, request.ID = user, r.ExecutionId
	if r.Params.IdempotencyKey != nil {
		request.IdempotencyKey = *r.Params.IdempotencyKey
		request.Body = bodyOf(ctx)
	}
	id, err := s.executions.Retry(ctx, request)
	if errors.Is(err, execution.ErrNoNode) {
		return nil, problem.Field("from", "must be failure, start or the id of a node of the graph")
	}
	if err != nil {
		return nil, err
	}
	return s.executed(ctx, user, accepted{id: id, retryOf: r.ExecutionId}, r.Params.Prefer)
}

// retryRequest reads {"from", "version", "credentials_inputs", "timeout"}.
func retryRequest(body []byte) (execution.RetryRequest, error) {
	var r execution.RetryRequest
	if len(body) == 0 {
		return r, nil
	}
	e, err := openEnvelope(body)
	if err != nil {
		return r, err
	}
	r.From, r.Version, r.Credentials, r.Timeout = e.text("from"), e.number("version"), e.credentials(), e.timeout()
	return r, e.problem()
}

// executionRequest reads {"input_data" or "inputs", "nodes_input_masks", "version", "priority", "credentials_inputs",
// "timeout"}; no body is no inputs.
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
	e.refuseDryRun()
	if inputs := e.object("input_data"); inputs != nil {
		r.Inputs = inputs
		e.refuse("is another name of input_data; one of them is enough", "inputs")
	} else if inputs := e.object("inputs"); inputs != nil {
		r.Inputs = inputs
	}
	const masks = "nodes_input_masks"
	if v, ok := e.members[masks]; ok && jsonscan.KindOf(v) != jsonscan.Null {
		r.Masks = e.object(masks)
	}
	for node, pins := range jsonscan.Members(r.Masks) {
		if jsonscan.KindOf(pins) != jsonscan.Object {
			e.wrong[masks+"."+jsonscan.Unquote(node)] = "must be an object, not " + jsonscan.KindOf(pins).String()
		}
	}
	r.Version, r.Priority, r.Credentials = e.number("version"), e.between("priority", -10, 10), e.credentials()
	r.Timeout = e.timeout()
	return r, e.problem()
}

// timeout is how long an execution may run.
func (e *envelope) timeout() time.Duration {
	return e.seconds("timeout", graph.MinExecutionTimeout, graph.MaxExecutionTimeout)
}

// refuseDryRun refuses to do for real what was asked for without effects.
func (e *envelope) refuseDryRun() {
	if jsonscan.KindOf(e.members["dry_run"]) == jsonscan.Bool && string(e.members["dry_run"]) == "true" {
		e.wrong["dry_run"] = "this server makes no executions without effects"
	}
}

// credentials are references by their names in the graph's credentials_input_schema. What they name is for the core to
// find; a secret here would be one too much.
func (e *envelope) credentials() map[string]json.RawMessage {
	const name = "credentials_inputs"
	if jsonscan.KindOf(e.members[name]) == jsonscan.Null {
		return nil
	}
	var given map[string]json.RawMessage
	for quoted, value := range jsonscan.Members(e.object(name)) {
		if given == nil {
			given = map[string]json.RawMessage{}
		}
		given[jsonscan.Unquote(quoted)] = value
		e.reference(name+"."+jsonscan.Unquote(quoted), value)
	}
	return given
}

// reference looks at the form of what names credentials, also where nothing asks for it.
func (e *envelope) reference(path string, v json.RawMessage) {
	switch jsonscan.KindOf(v) {
	case jsonscan.Null:
		return
	case jsonscan.Object:
	default:
		e.wrong[path] = "must be an object, not " + jsonscan.KindOf(v).String()
		return
	}
	for quoted, value := range jsonscan.Members(v) {
		name, kind := jsonscan.Unquote(quoted), jsonscan.KindOf(value)
		known := name == "id" || name == "provider" || name == "type" || name == "title" && kind != jsonscan.Null
		if known && kind != jsonscan.String {
			e.wrong[path+"."+name] = "must be a string, not " + kind.String()
		}
	}
}

// awaited says that the client wants to hear of the execution's end and of nothing before.
func awaited(prefer *Prefer) bool {
	if prefer == nil {
		return false
	}
	wait, ok := preferredWait(*prefer)
	return ok && wait > 0
}

// started is the answer to what begins an execution.
type started interface {
	ExecuteGraphResponseObject
	RetryExecutionResponseObject
}

// executed waits for the end of an execution where the client wants it. Whatever ends the waiting, the execution goes
// on.
func (s *server) executed(ctx context.Context, user string, a accepted, prefer *Prefer) (started, error) {
	if prefer == nil {
		return a, nil
	}
	wait, ok := preferredWait(*prefer)
	if !ok {
		return a, nil
	}
	waiting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	defer context.AfterFunc(s.closing, cancel)()
	if err := s.executions.Wait(waiting, user, a.id); err != nil && waiting.Err() == nil {
		return nil, fmt.Errorf("wait for execution %s: %w", a.id, err)
	}
	if ctx.Err() != nil {
		return nil, errors.New("the client left while it waited")
	}
	d, err := s.executions.AwaitedDetails(ctx, user, a.id)
	if err != nil {
		return nil, err
	}
	return ended{Details: d, wait: wait}, nil
}

// accepted answers with the execution's id alone.
type accepted struct{ id, retryOf string }

// VisitExecuteGraphResponse implements ExecuteGraphResponseObject.
func (a accepted) VisitExecuteGraphResponse(w http.ResponseWriter) error {
	return answerJSON(w, http.StatusOK, func(j *jsonWriter) {
		j.object(func() {
			j.key("execution_id")
			j.string(a.id)
			if a.retryOf != "" {
				j.key("retry_of")
				j.string(a.retryOf)
			}
		})
	})
}

// VisitRetryExecutionResponse implements RetryExecutionResponseObject.
func (a accepted) VisitRetryExecutionResponse(w http.ResponseWriter) error {
	return a.VisitExecuteGraphResponse(w)
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

// VisitRetryExecutionResponse implements RetryExecutionResponseObject.
func (e ended) VisitRetryExecutionResponse(w http.ResponseWriter) error {
	return e.VisitExecuteGraphResponse(w)
}
