package rest

import (
	"bytes"
	"context"
	"net/http"

	"github.com/patchbay-io/patchbay/api/auth"
	"github.com/patchbay-io/patchbay/core/graph"
)

// ListBlocksV1 is GET /api/v1/blocks.
func (s *server) ListBlocksV1(context.Context, ListBlocksV1RequestObject) (ListBlocksV1ResponseObject, error) {
	return s.legacyBlocks(), nil
}

// ListBlocksExternal is GET /external-api/v1/blocks.
func (s *server) ListBlocksExternal(context.Context, ListBlocksExternalRequestObject) (ListBlocksExternalResponseObject, error) {
	return s.legacyBlocks(), nil
}

// legacyBlocks are all blocks as a bare array.
type legacyBlocks []byte

// VisitListBlocksV1Response implements ListBlocksV1ResponseObject.
func (b legacyBlocks) VisitListBlocksV1Response(w http.ResponseWriter) error {
	return answerJSON(w, http.StatusOK, func(j *jsonWriter) { j.value([]byte(b)) })
}

// VisitListBlocksExternalResponse implements ListBlocksExternalResponseObject.
func (b legacyBlocks) VisitListBlocksExternalResponse(w http.ResponseWriter) error {
	return b.VisitListBlocksV1Response(w)
}

func (s *server) legacyBlocks() legacyBlocks {
	var b bytes.Buffer
	j := &jsonWriter{to: &b}
	j.open('[')
	for _, one := range s.blocks.source.Blocks() {
		d := &one.Definition
		j.object(func() {
			j.key("id")
			j.string(d.ID)
			j.key("name")
			j.string(d.Name)
			j.key("description")
			j.string(d.Description)
			j.key("inputSchema")
			j.value(d.InputSchema)
			j.key("outputSchema")
			j.value(d.OutputSchema)
			j.key("staticOutput")
			j.bool(d.StaticOutput)
			j.key("uiType")
			j.string(string(d.Kind))
			j.key("categories")
			j.open('[')
			for _, category := range d.Categories {
				j.object(func() {
					j.key("category")
					j.string(category)
					j.key("description")
					j.string("")
				})
			}
			j.close(']')
			j.key("costs")
			j.strings(nil)
		})
	}
	j.close(']')
	j.flush() // into memory: no error
	return b.Bytes()
}

// ListGraphsV1 is GET /api/v1/graphs.
func (s *server) ListGraphsV1(ctx context.Context, r ListGraphsV1RequestObject) (ListGraphsV1ResponseObject, error) {
	p := legacyPage(r.Params.Page, r.Params.PageSize)
	list, total, err := s.graphs.List(ctx, auth.From(ctx).UserID, graph.Filter{Offset: p.offset(), Limit: p.size})
	if err != nil {
		return nil, err
	}
	return ListGraphsV1200JSONResponse{Body: graphSummaries(list), Headers: ListGraphsV1200ResponseHeaders{XTotalCount: &total}}, nil
}

// CreateGraphV1 is POST /api/v1/graphs.
func (s *server) CreateGraphV1(ctx context.Context, r CreateGraphV1RequestObject) (CreateGraphV1ResponseObject, error) {
	return s.createGraph(ctx, r.Params.AllowMissingBlocks)
}

// CreateGraphExternal is POST /external-api/v1/graphs.
func (s *server) CreateGraphExternal(ctx context.Context, r CreateGraphExternalRequestObject) (CreateGraphExternalResponseObject, error) {
	return s.createGraph(ctx, r.Params.AllowMissingBlocks)
}

// GetGraphV1 is GET /api/v1/graphs/{graph_id}.
func (s *server) GetGraphV1(ctx context.Context, r GetGraphV1RequestObject) (GetGraphV1ResponseObject, error) {
	if version := versionOf(r.Params.Version); version != 0 {
		return s.readGraph(ctx, r.GraphId, version, r.Params.ForExport)
	}
	g, err := s.graphs.ReadableActive(ctx, auth.From(ctx).UserID, r.GraphId)
	if err != nil {
		return nil, err
	}
	return s.showGraph(ctx, g, r.Params.ForExport)
}

// GetGraphVersionV1 is GET /api/v1/graphs/{graph_id}/versions/{version}.
func (s *server) GetGraphVersionV1(ctx context.Context, r GetGraphVersionV1RequestObject) (GetGraphVersionV1ResponseObject, error) {
	return s.readGraph(ctx, r.GraphId, r.Version, r.Params.ForExport)
}

// UpdateGraphV1 is PUT /api/v1/graphs/{graph_id}.
func (s *server) UpdateGraphV1(ctx context.Context, r UpdateGraphV1RequestObject) (UpdateGraphV1ResponseObject, error) {
	return s.updateGraph(ctx, r.GraphId, r.Params.AllowMissingBlocks, r.Params.IfMatch)
}

// DeleteGraphV1 is DELETE /api/v1/graphs/{graph_id}, which tells how many versions went.
func (s *server) DeleteGraphV1(ctx context.Context, r DeleteGraphV1RequestObject) (DeleteGraphV1ResponseObject, error) {
	count, err := s.deleteGraph(ctx, r.GraphId, r.Params.IfMatch)
	return DeleteGraphV1200JSONResponse{VersionCounts: count}, err
}

// ListGraphVersionsV1 is GET /api/v1/graphs/{graph_id}/versions.
func (s *server) ListGraphVersionsV1(ctx context.Context, r ListGraphVersionsV1RequestObject) (ListGraphVersionsV1ResponseObject, error) {
	p := legacyPage(r.Params.Page, r.Params.PageSize)
	list, total, err := s.graphs.Versions(ctx, auth.From(ctx).UserID, r.GraphId, p.offset(), p.size)
	if err != nil {
		return nil, err
	}
	return ListGraphVersionsV1200JSONResponse{Body: graphSummaries(list), Headers: ListGraphVersionsV1200ResponseHeaders{XTotalCount: &total}}, nil
}

// SetActiveGraphVersionV1 is PUT /api/v1/graphs/{graph_id}/versions/active.
func (s *server) SetActiveGraphVersionV1(ctx context.Context, r SetActiveGraphVersionV1RequestObject) (SetActiveGraphVersionV1ResponseObject, error) {
	active, err := s.graphs.SetActive(ctx, auth.From(ctx).UserID, r.GraphId, r.Body.ActiveGraphVersion, expectedVersions(r.Params.IfMatch))
	if err != nil {
		return nil, err
	}
	return SetActiveGraphVersionV1200JSONResponse(graphSummary(active)), nil
}

// VisitCreateGraphV1Response implements CreateGraphV1ResponseObject.
func (a graphAnswer) VisitCreateGraphV1Response(w http.ResponseWriter) error { return a.send(w) }

// VisitCreateGraphExternalResponse implements CreateGraphExternalResponseObject.
func (a graphAnswer) VisitCreateGraphExternalResponse(w http.ResponseWriter) error { return a.send(w) }

// VisitGetGraphV1Response implements GetGraphV1ResponseObject.
func (a graphAnswer) VisitGetGraphV1Response(w http.ResponseWriter) error { return a.send(w) }

// VisitGetGraphVersionV1Response implements GetGraphVersionV1ResponseObject.
func (a graphAnswer) VisitGetGraphVersionV1Response(w http.ResponseWriter) error { return a.send(w) }

// VisitUpdateGraphV1Response implements UpdateGraphV1ResponseObject.
func (a graphAnswer) VisitUpdateGraphV1Response(w http.ResponseWriter) error { return a.send(w) }
