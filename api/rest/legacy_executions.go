package rest

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/patchbay-io/patchbay/api/auth"
	"github.com/patchbay-io/patchbay/core/block/jsonscan"
	"github.com/patchbay-io/patchbay/core/execution"
)

// legacyPageSize is that of lists of one graph's executions.
const legacyPageSize = 25

// ExecuteGraphV1 is POST /api/v1/graphs/{graph_id}/execute/{version}.
func (s *server) ExecuteGraphV1(ctx context.Context, r ExecuteGraphV1RequestObject) (ExecuteGraphV1ResponseObject, error) {
	a, err := s.legacyExecute(ctx, r.GraphId, r.Version, "inputs", r.Params.IdempotencyKey)
	return ExecuteGraphV1200JSONResponse(a), err
}

// ExecuteGraphExternal is POST /external-api/v1/graphs/{graph_id}/execute/{version}.
func (s *server) ExecuteGraphExternal(ctx context.Context, r ExecuteGraphExternalRequestObject) (ExecuteGraphExternalResponseObject, error) {
	a, err := s.legacyExecute(ctx, r.GraphId, r.Version, "node_input", r.Params.IdempotencyKey)
	return ExecuteGraphExternal200JSONResponse(a), err
}

// legacyExecute executes a version of a graph. Inputs are the member of the body of that name, or the whole body.
func (s *server) legacyExecute(ctx context.Context, graphID string, version int, inputs string, key *IdempotencyKey) (AcceptedExecutionV1, error) {
	request := execution.Request{UserID: auth.From(ctx).UserID, GraphID: graphID, Version: version, Inputs: json.RawMessage("{}")}
	if body := bodyOf(ctx); len(body) > 0 {
		e, err := openEnvelope(body)
		if err != nil {
			return AcceptedExecutionV1{}, err
		}
		if err := e.problem(); err != nil { // a name twice
			return AcceptedExecutionV1{}, err
		}
		request.Inputs = body
		if named, ok := e.members[inputs]; ok && jsonscan.KindOf(named) == jsonscan.Object {
			request.Inputs = named
			e.refuseDryRun()
		}
		request.Credentials = e.credentials()
		if err := e.problem(); err != nil {
			return AcceptedExecutionV1{}, err
		}
	}
	if key != nil {
		// The version is of the path here: without it one key would stand for executions of several.
		request.IdempotencyKey = *key
		request.Body = append([]byte(graphID+"@"+strconv.Itoa(version)+"\n"), bodyOf(ctx)...)
	}
	id, err := s.executions.Execute(ctx, request)
	if err != nil {
		return AcceptedExecutionV1{}, err
	}
	d, err := s.executions.Details(context.WithoutCancel(ctx), request.UserID, id)
	if err != nil {
		return AcceptedExecutionV1{}, err
	}
	x := summary(&d.Execution)
	return AcceptedExecutionV1{
		Id: x.Id, GraphExecId: x.Id, GraphId: x.GraphId, GraphVersion: x.GraphVersion, Status: x.Status, CreatedAt: x.CreatedAt,
		StartedAt: x.StartedAt, EndedAt: x.EndedAt, ParentExecutionId: x.ParentExecutionId, RetryOf: x.RetryOf, Stats: x.Stats, Error: x.Error,
	}, nil
}

// ListExecutionsV1 is GET /api/v1/executions.
func (s *server) ListExecutionsV1(ctx context.Context, r ListExecutionsV1RequestObject) (ListExecutionsV1ResponseObject, error) {
	list, total, err := s.legacyExecutions(ctx, "", legacyPage(r.Params.Page, r.Params.PageSize))
	return ListExecutionsV1200JSONResponse{Body: list, Headers: ListExecutionsV1200ResponseHeaders{XTotalCount: &total}}, err
}

// ListGraphExecutionsV1 is GET /api/v1/graphs/{graph_id}/executions.
func (s *server) ListGraphExecutionsV1(ctx context.Context, r ListGraphExecutionsV1RequestObject) (ListGraphExecutionsV1ResponseObject, error) {
	p := pageOf(r.Params.Page, r.Params.PageSize)
	if r.Params.PageSize == nil {
		p.size = legacyPageSize
	}
	list, total, err := s.legacyExecutions(ctx, r.GraphId, p)
	answer, of := ListGraphExecutionsV1200JSONResponse{Executions: list}, p.of(total)
	answer.Pagination.TotalItems, answer.Pagination.TotalPages = of.Total, of.TotalPages
	answer.Pagination.CurrentPage, answer.Pagination.PageSize = of.Page, of.PageSize
	return answer, err
}

func (s *server) legacyExecutions(ctx context.Context, graphID string, p page) ([]Execution, int, error) {
	found, total, err := s.executions.List(ctx, auth.From(ctx).UserID, execution.Filter{GraphID: graphID, Offset: p.offset(), Limit: p.size})
	list := make([]Execution, len(found))
	for i := range found {
		list[i] = summary(&found[i])
	}
	return list, total, err
}

// ofGraph is an execution whose path names its graph too.
func (s *server) ofGraph(ctx context.Context, graphID, id string) (*execution.Details, error) {
	d, err := s.executions.Details(ctx, auth.From(ctx).UserID, id)
	if err != nil {
		return nil, err
	}
	if d.GraphID != graphID {
		return nil, execution.ErrNotFound
	}
	return d, nil
}

// GetExecutionV1 is GET /api/v1/graphs/{graph_id}/executions/{execution_id}.
func (s *server) GetExecutionV1(ctx context.Context, r GetExecutionV1RequestObject) (GetExecutionV1ResponseObject, error) {
	d, err := s.ofGraph(ctx, r.GraphId, r.ExecutionId)
	return legacyDetails{d}, err
}

// StopExecutionV1 is POST /api/v1/graphs/{graph_id}/executions/{execution_id}/stop.
func (s *server) StopExecutionV1(ctx context.Context, r StopExecutionV1RequestObject) (StopExecutionV1ResponseObject, error) {
	if _, err := s.ofGraph(ctx, r.GraphId, r.ExecutionId); err != nil {
		return nil, err
	}
	stopped, err := s.executions.Stop(ctx, auth.From(ctx).UserID, r.ExecutionId)
	if err != nil {
		return nil, err
	}
	return StopExecutionV1200JSONResponse(summary(stopped)), nil
}

// DeleteExecutionV1 is DELETE /api/v1/executions/{execution_id}.
func (s *server) DeleteExecutionV1(ctx context.Context, r DeleteExecutionV1RequestObject) (DeleteExecutionV1ResponseObject, error) {
	return DeleteExecutionV1204Response{}, s.executions.Delete(ctx, auth.From(ctx).UserID, r.ExecutionId)
}

// GetExecutionResultsExternal is GET /external-api/v1/graphs/{graph_id}/executions/{execution_id}/results.
func (s *server) GetExecutionResultsExternal(ctx context.Context, r GetExecutionResultsExternalRequestObject) (GetExecutionResultsExternalResponseObject, error) {
	d, err := s.ofGraph(ctx, r.GraphId, r.ExecutionId)
	return executionResults{d}, err
}

// legacyDetails answers with an execution.
type legacyDetails struct{ *execution.Details }

// VisitGetExecutionV1Response implements GetExecutionV1ResponseObject.
func (d legacyDetails) VisitGetExecutionV1Response(w http.ResponseWriter) error {
	return answerJSON(w, http.StatusOK, func(j *jsonWriter) { j.object(func() { j.legacyDetails(d.Details) }) })
}

func (j *jsonWriter) legacyDetails(d *execution.Details) {
	j.detailsHead(d)
	j.key("inputs")
	j.inputs(d.Inputs)
	j.key("outputs")
	j.outputs(d.Outputs)
	j.key("node_executions")
	j.open('[')
	for n, err := range d.NodeExecutions {
		if !j.still(err) {
			return
		}
		j.object(func() {
			j.key("node_exec_id")
			j.string(n.ID)
			j.key("node_id")
			j.string(n.NodeID)
			j.key("block_id")
			j.string(n.BlockID)
			j.key("status")
			j.string(string(n.Status))
			j.key("input_data")
			j.valueOrEmpty(n.Input)
			j.key("output_data")
			j.pinValues(n.Outputs)
			for _, name := range []string{"add_time", "queue_time", "start_time"} { // one moment here
				j.key(name)
				j.timeOrNull(n.StartedAt)
			}
			j.key("end_time")
			j.timeOrNull(n.EndedAt)
		})
	}
	j.close(']')
}

// executionResults answers with what the nodes of an execution took and gave.
type executionResults struct{ *execution.Details }

// VisitGetExecutionResultsExternalResponse implements GetExecutionResultsExternalResponseObject.
func (d executionResults) VisitGetExecutionResultsExternalResponse(w http.ResponseWriter) error {
	return answerJSON(w, http.StatusOK, func(j *jsonWriter) { j.object(func() { j.executionResults(d.Details) }) })
}

func (j *jsonWriter) executionResults(d *execution.Details) {
	j.key("execution_id")
	j.string(d.ID)
	j.key("status")
	j.string(string(d.Status))
	j.key("nodes")
	j.open('[')
	for n, err := range d.NodeExecutions {
		if !j.still(err) {
			return
		}
		j.object(func() {
			j.key("node_id")
			j.string(n.NodeID)
			j.key("input")
			j.valueOrEmpty(n.Input)
			j.key("output")
			j.pinValues(n.Outputs)
		})
	}
	j.close(']')
	j.key("output")
	if d.Status != execution.Completed {
		j.null()
		return
	}
	j.open('[')
	for _, pin := range d.Outputs {
		for v, err := range pin.Values {
			if !j.still(err) {
				return
			}
			j.object(func() {
				j.key(pin.Name)
				j.value(v)
			})
		}
	}
	j.close(']')
}
