package rest

import (
	"context"
	"net/http"

	"github.com/patchbay-io/patchbay/api/auth"
	"github.com/patchbay-io/patchbay/core/execution"
)

// ExecuteBlock is POST /api/v2/builder/blocks/{block_id}/execute.
func (s *server) ExecuteBlock(ctx context.Context, r ExecuteBlockRequestObject) (ExecuteBlockResponseObject, error) {
	return s.runBlock(ctx, r.BlockId)
}

// ExecuteBlockV1 is POST /api/v1/blocks/{block_id}/execute.
func (s *server) ExecuteBlockV1(ctx context.Context, r ExecuteBlockV1RequestObject) (ExecuteBlockV1ResponseObject, error) {
	return s.runBlock(ctx, r.BlockId)
}

// ExecuteBlockExternal is POST /external-api/v1/blocks/{block_id}/execute.
func (s *server) ExecuteBlockExternal(ctx context.Context, r ExecuteBlockExternalRequestObject) (ExecuteBlockExternalResponseObject, error) {
	return s.runBlock(ctx, r.BlockId)
}

// runBlock runs a block with the body as its inputs, until the client leaves or the server stops.
func (s *server) runBlock(ctx context.Context, id string) (blockOutputs, error) {
	e, err := openEnvelope(bodyOf(ctx))
	if err != nil {
		return nil, err
	}
	if err := e.problem(); err != nil { // a name twice
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.closing, cancel)()
	return s.executions.RunBlock(ctx, auth.From(ctx).UserID, id, bodyOf(ctx))
}

// blockOutputs answers with the values of each pin.
type blockOutputs []execution.PinValues

// VisitExecuteBlockResponse implements ExecuteBlockResponseObject.
func (o blockOutputs) VisitExecuteBlockResponse(w http.ResponseWriter) error {
	return answerJSON(w, http.StatusOK, func(j *jsonWriter) { j.pinValues(o) })
}

// VisitExecuteBlockV1Response implements ExecuteBlockV1ResponseObject.
func (o blockOutputs) VisitExecuteBlockV1Response(w http.ResponseWriter) error {
	return o.VisitExecuteBlockResponse(w)
}

// VisitExecuteBlockExternalResponse implements ExecuteBlockExternalResponseObject.
func (o blockOutputs) VisitExecuteBlockExternalResponse(w http.ResponseWriter) error {
	return o.VisitExecuteBlockResponse(w)
}
