package rest

import (
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"time"

	"github.com/patchbay-io/patchbay/api/auth"
	"github.com/patchbay-io/patchbay/core/execution"
)

// Executions accepts and shows executions. Every method sees those of the user alone.
type Executions interface {
	Execute(ctx context.Context, r execution.Request) (id string, err error)
	Retry(ctx context.Context, r execution.RetryRequest) (id string, err error)
	// Wait returns when the execution has ended, or with the context's error.
	Wait(ctx context.Context, user, id string) error
	Details(ctx context.Context, user, id string) (*execution.Details, error)
	AwaitedDetails(ctx context.Context, user, id string) (*execution.Details, error)
	Nodes(ctx context.Context, user, id string, offset, limit int) (iter.Seq2[*execution.NodeExecution, error], int, error)
	List(ctx context.Context, user string, f execution.Filter) ([]execution.Execution, int, error)
	Stop(ctx context.Context, user, id string) (*execution.Execution, error)
	Delete(ctx context.Context, user, id string) error
	// StopGraph stops all executions of a graph.
	StopGraph(ctx context.Context, user, graphID string) error
	// RetentionOf says for how long a user's executions of a graph, or without one all of them, are kept; SetRetention sets it.
	RetentionOf(ctx context.Context, user, graphID string) (execution.Retention, error)
	SetRetention(ctx context.Context, user, graphID string, days *int) error
	// DepthOf is how many of a user's run and wait, Backlog what all servers have to do.
	DepthOf(ctx context.Context, user string) (execution.Depth, error)
	Backlog(ctx context.Context) (*execution.Backlog, error)
	// RunBlock runs one block without a graph, and gives its outputs.
	RunBlock(ctx context.Context, user, id string, inputs json.RawMessage) ([]execution.PinValues, error)
}

// ListExecutions is GET /api/v2/executions.
func (s *server) ListExecutions(ctx context.Context, r ListExecutionsRequestObject) (ListExecutionsResponseObject, error) {
	p := pageOf(r.Params.Page, r.Params.PageSize)
	filter := execution.Filter{Offset: p.offset(), Limit: p.size}
	if r.Params.GraphId != nil {
		filter.GraphID = *r.Params.GraphId
	}
	if r.Params.ParentExecutionId != nil {
		filter.ParentID = *r.Params.ParentExecutionId
	}
	if r.Params.IncludeNested != nil {
		filter.IncludeNested = *r.Params.IncludeNested
	}
	filter.Since, filter.Before = fromEpoch(r.Params.CreatedAfter), fromEpoch(r.Params.CreatedBefore)
	if r.Params.Status != nil {
		for _, status := range *r.Params.Status {
			filter.Statuses = append(filter.Statuses, execution.Status(status))
		}
	}
	found, total, err := s.executions.List(ctx, auth.From(ctx).UserID, filter)
	if err != nil {
		return nil, err
	}
	list := make([]Execution, len(found))
	for i := range found {
		list[i] = summary(&found[i])
	}
	return ListExecutions200JSONResponse{Executions: list, Pagination: p.of(total)}, nil
}

// GetExecution is GET /api/v2/executions/{execution_id}.
func (s *server) GetExecution(ctx context.Context, r GetExecutionRequestObject) (GetExecutionResponseObject, error) {
	d, err := s.executions.Details(ctx, auth.From(ctx).UserID, r.ExecutionId)
	if err != nil {
		return nil, err
	}
	if include := r.Params.IncludeNodeExecutions; include != nil && !*include {
		without := *d
		without.NodeExecutions = func(func(*execution.NodeExecution, error) bool) {} // they are read as they are taken
		d = &without
	}
	return details{Details: d}, nil
}

// ListNodeExecutions is GET /api/v2/executions/{execution_id}/nodes.
func (s *server) ListNodeExecutions(ctx context.Context, r ListNodeExecutionsRequestObject) (ListNodeExecutionsResponseObject, error) {
	p := pageOf(r.Params.Page, r.Params.PageSize)
	list, total, err := s.executions.Nodes(ctx, auth.From(ctx).UserID, r.ExecutionId, p.offset(), p.size)
	if err != nil {
		return nil, err
	}
	return nodeExecutions{list: list, pagination: p.of(total)}, nil
}

// StopExecution is POST /api/v2/executions/{execution_id}/stop.
func (s *server) StopExecution(ctx context.Context, r StopExecutionRequestObject) (StopExecutionResponseObject, error) {
	stopped, err := s.executions.Stop(ctx, auth.From(ctx).UserID, r.ExecutionId)
	if err != nil {
		return nil, err
	}
	return StopExecution200JSONResponse(summary(stopped)), nil
}

// DeleteExecution is DELETE /api/v2/executions/{execution_id}.
func (s *server) DeleteExecution(ctx context.Context, r DeleteExecutionRequestObject) (DeleteExecutionResponseObject, error) {
	if err := s.executions.Delete(ctx, auth.From(ctx).UserID, r.ExecutionId); err != nil {
		return nil, err
	}
	return DeleteExecution204Response{}, nil
}

// fromEpoch is a time of a filter, the zero time where there is none. Nothing was created before 1970, and a database
// need not know such times.
func fromEpoch(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	if epoch := time.Unix(0, 0); t.Before(epoch) {
		return epoch
	}
	return *t
}

func summary(e *execution.Execution) Execution {
	out := Execution{
		Id: e.ID, GraphId: e.GraphID, GraphVersion: e.GraphVersion, Status: Status(e.Status),
		CreatedAt: e.CreatedAt.UTC(), StartedAt: utc(e.StartedAt), EndedAt: utc(e.EndedAt),
		Stats: Stats{
			TotalNodes: e.Stats.TotalNodes, CompletedNodes: e.Stats.CompletedNodes,
			FailedNodes: e.Stats.FailedNodes, TotalRunTime: e.Stats.TotalRunTime,
		},
	}
	if e.ParentID != "" {
		out.ParentExecutionId = &e.ParentID
	}
	if e.RetryOf != "" {
		out.RetryOf = &e.RetryOf
	}
	if e.Error != nil {
		out.Error = &Failure{Message: e.Error.Message}
		if e.Error.NodeID != "" {
			out.Error.NodeId = &e.Error.NodeID
		}
	}
	return out
}

func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := t.UTC()
	return &u
}

// details answers with an execution and the values in it.
type details struct {
	*execution.Details
}

// VisitGetExecutionResponse implements GetExecutionResponseObject.
func (d details) VisitGetExecutionResponse(w http.ResponseWriter) error {
	return answerJSON(w, http.StatusOK, func(j *jsonWriter) { j.object(func() { j.details(d.Details) }) })
}

// nodeExecutions answers with a page of them.
type nodeExecutions struct {
	list       iter.Seq2[*execution.NodeExecution, error]
	pagination Pagination
}

// VisitListNodeExecutionsResponse implements ListNodeExecutionsResponseObject.
func (n nodeExecutions) VisitListNodeExecutionsResponse(w http.ResponseWriter) error {
	return answerJSON(w, http.StatusOK, func(j *jsonWriter) {
		j.object(func() {
			j.nodeExecutions(n.list)
			j.pagination(n.pagination)
		})
	})
}
