package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/patchbay-io/patchbay/api/auth"
	"github.com/patchbay-io/patchbay/core/graph"
)

// Graphs keeps graphs. Every method sees those of the user alone; version 0 is the latest one, for Fork the active one.
type Graphs interface {
	Create(ctx context.Context, user string, body []byte, o graph.Options) (*graph.Graph, []graph.Missing, error)
	Update(ctx context.Context, user, id string, body []byte, o graph.Options) (*graph.Graph, []graph.Missing, error)
	// Fork stores a copy as a new graph.
	Fork(ctx context.Context, user, id string, version int) (*graph.Graph, []graph.Missing, error)
	// Readable is a version that the user may look at.
	Readable(ctx context.Context, user, id string, version int) (*graph.Graph, error)
	// ReadableActive is the version that executes where none is named.
	ReadableActive(ctx context.Context, user, id string) (*graph.Graph, error)
	// Render is a graph as clients see it, Export a version of one as a file, ExportForOthers as who does not own it sees it.
	Render(ctx context.Context, user string, g *graph.Graph) (json.RawMessage, error)
	Export(ctx context.Context, user, id string, version int) (json.RawMessage, error)
	ExportForOthers(ctx context.Context, user, id string, version int) (json.RawMessage, error)
	List(ctx context.Context, user string, f graph.Filter) ([]graph.Summary, int, error)
	// Versions are those of a graph, newest first, and how many there are.
	Versions(ctx context.Context, user, id string, offset, limit int) ([]graph.Summary, int, error)
	// SetActive and Delete change nothing unless the latest version is one of expected; nil takes any.
	SetActive(ctx context.Context, user, id string, version int, expected []int) (*graph.Summary, error)
	// Delete tells how many versions the graph had.
	Delete(ctx context.Context, user, id string, expected []int) (versions int, err error)
}

// ListGraphs is GET /api/v2/builder/graphs.
func (s *server) ListGraphs(ctx context.Context, r ListGraphsRequestObject) (ListGraphsResponseObject, error) {
	p := pageOf(r.Params.Page, r.Params.PageSize)
	f := graph.Filter{Offset: p.offset(), Limit: p.size}
	if r.Params.Search != nil {
		f.Search = strings.TrimSpace(*r.Params.Search)
	}
	list, total, err := s.graphs.List(ctx, auth.From(ctx).UserID, f)
	if err != nil {
		return nil, err
	}
	return ListGraphs200JSONResponse{Graphs: graphSummaries(list), Pagination: p.of(total)}, nil
}

// CreateGraph is POST /api/v2/builder/graphs.
func (s *server) CreateGraph(ctx context.Context, r CreateGraphRequestObject) (CreateGraphResponseObject, error) {
	return s.createGraph(ctx, r.Params.AllowMissingBlocks)
}

func (s *server) createGraph(ctx context.Context, allowMissing *AllowMissingBlocks) (graphAnswer, error) {
	user, options := auth.From(ctx).UserID, saving(allowMissing)
	g, missing, err := s.graphs.Create(ctx, user, bodyOf(ctx), options)
	if err != nil {
		return graphAnswer{}, err
	}
	return s.graph(ctx, user, http.StatusCreated, g, missing)
}

// GetGraph is GET /api/v2/builder/graphs/{graph_id}.
func (s *server) GetGraph(ctx context.Context, r GetGraphRequestObject) (GetGraphResponseObject, error) {
	return s.readGraph(ctx, r.GraphId, versionOf(r.Params.Version), r.Params.ForExport)
}

func (s *server) readGraph(ctx context.Context, id string, version int, forExport *ForExport) (graphAnswer, error) {
	g, err := s.graphs.Readable(ctx, auth.From(ctx).UserID, id, version)
	if err != nil {
		return graphAnswer{}, err
	}
	return s.showGraph(ctx, g, forExport)
}

func (s *server) showGraph(ctx context.Context, g *graph.Graph, forExport *ForExport) (graphAnswer, error) {
	user := auth.From(ctx).UserID
	if forExport == nil || !*forExport {
		return s.graph(ctx, user, http.StatusOK, g, nil)
	}
	text, err := s.graphs.Export(ctx, user, g.ID, g.Version)
	return graphAnswer{status: http.StatusOK, version: g.Version, text: text}, err
}

// UpdateGraph is PUT /api/v2/builder/graphs/{graph_id}.
func (s *server) UpdateGraph(ctx context.Context, r UpdateGraphRequestObject) (UpdateGraphResponseObject, error) {
	return s.updateGraph(ctx, r.GraphId, r.Params.AllowMissingBlocks, r.Params.IfMatch)
}

func (s *server) updateGraph(ctx context.Context, id string, allowMissing *AllowMissingBlocks, match *IfMatch) (graphAnswer, error) {
	user, options := auth.From(ctx).UserID, saving(allowMissing)
	options.ExpectedVersions = expectedVersions(match)
	g, missing, err := s.graphs.Update(ctx, user, id, bodyOf(ctx), options)
	if err != nil {
		return graphAnswer{}, err
	}
	return s.graph(ctx, user, http.StatusOK, g, missing)
}

// DeleteGraph is DELETE /api/v2/builder/graphs/{graph_id}. The graph goes first, so that nothing new starts while what
// runs is stopped.
func (s *server) DeleteGraph(ctx context.Context, r DeleteGraphRequestObject) (DeleteGraphResponseObject, error) {
	versions, err := s.deleteGraph(ctx, r.GraphId, r.Params.IfMatch)
	return DeleteGraph204Response{Headers: DeleteGraph204ResponseHeaders{XDeletedVersions: &versions}}, err
}

func (s *server) deleteGraph(ctx context.Context, id string, match *IfMatch) (versions int, err error) {
	user := auth.From(ctx).UserID
	if versions, err = s.graphs.Delete(ctx, user, id, expectedVersions(match)); err != nil {
		return 0, err
	}
	// The client may leave now; half a stop would be worse than none.
	if err := s.executions.StopGraph(context.WithoutCancel(ctx), user, id); err != nil {
		return 0, fmt.Errorf("stop executions of deleted graph %s: %w", id, err)
	}
	return versions, nil
}

// ListGraphVersions is GET /api/v2/builder/graphs/{graph_id}/versions.
func (s *server) ListGraphVersions(ctx context.Context, r ListGraphVersionsRequestObject) (ListGraphVersionsResponseObject, error) {
	p := pageOf(r.Params.Page, r.Params.PageSize)
	list, total, err := s.graphs.Versions(ctx, auth.From(ctx).UserID, r.GraphId, p.offset(), p.size)
	if err != nil {
		return nil, err
	}
	return ListGraphVersions200JSONResponse{Versions: graphSummaries(list), Pagination: p.of(total)}, nil
}

// SetActiveGraphVersion is PUT /api/v2/builder/graphs/{graph_id}/versions/active.
func (s *server) SetActiveGraphVersion(ctx context.Context, r SetActiveGraphVersionRequestObject) (SetActiveGraphVersionResponseObject, error) {
	active, err := s.graphs.SetActive(ctx, auth.From(ctx).UserID, r.GraphId, r.Body.ActiveGraphVersion, expectedVersions(r.Params.IfMatch))
	if err != nil {
		return nil, err
	}
	return SetActiveGraphVersion200JSONResponse(graphSummary(active)), nil
}

// ForkGraph is POST /api/v2/builder/graphs/{graph_id}/fork.
func (s *server) ForkGraph(ctx context.Context, r ForkGraphRequestObject) (ForkGraphResponseObject, error) {
	user := auth.From(ctx).UserID
	g, missing, err := s.graphs.Fork(ctx, user, r.GraphId, versionOf(r.Params.Version))
	if err != nil {
		return nil, err
	}
	return s.graph(ctx, user, http.StatusCreated, g, missing)
}

// versionOf is the version that was asked for; 0 where none was.
func versionOf(v *int) int {
	if v == nil {
		return 0
	}
	return *v
}

// expectedVersions are the versions that an If-Match names by their tags; nil where any will do. A weak tag names its
// version too: those that compress answers on their way make tags weak.
func expectedVersions(tags *string) []int {
	if tags == nil || strings.TrimSpace(*tags) == "*" {
		return nil
	}
	versions := []int{}
	for tag := range strings.SplitSeq(*tags, ",") {
		tag = strings.TrimPrefix(strings.TrimSpace(tag), "W/")
		if v, err := strconv.Atoi(strings.Trim(tag, `"`)); err == nil && tag == versionTag(v) {
			versions = append(versions, v)
		}
	}
	return versions
}

func versionTag(version int) string { return `"` + strconv.Itoa(version) + `"` }

func saving(allowMissing *AllowMissingBlocks) graph.Options {
	return graph.Options{AllowMissing: allowMissing != nil && *allowMissing}
}

func (s *server) graph(ctx context.Context, user string, status int, g *graph.Graph, missing []graph.Missing) (graphAnswer, error) {
	text, err := s.graphs.Render(ctx, user, g)
	return graphAnswer{status: status, version: g.Version, text: text, missing: missing}, err
}

func graphSummaries(list []graph.Summary) []GraphSummary {
	out := make([]GraphSummary, len(list))
	for i := range list {
		out[i] = graphSummary(&list[i])
	}
	return out
}

func graphSummary(g *graph.Summary) GraphSummary {
	return GraphSummary{
		Id: g.ID, Version: g.Version, Name: g.Name, Description: g.Description, IsActive: g.IsActive,
		CreatedAt: g.CreatedAt.UTC(), UpdatedAt: g.UpdatedAt.UTC(),
	}
}

// graphAnswer answers with a graph, and with what it lacks where it was stored all the same.
type graphAnswer struct {
	status  int
	version int             // 0: without a tag, since no update can name it
	text    json.RawMessage // an object with members
	missing []graph.Missing
}

func (a graphAnswer) send(w http.ResponseWriter) error {
	if a.version != 0 {
		w.Header().Set("ETag", versionTag(a.version))
	}
	return answerJSON(w, a.status, func(j *jsonWriter) {
		if len(a.missing) == 0 {
			j.value(a.text)
			return
		}
		j.value(a.text[:len(a.text)-1])
		j.key("missing")
		j.open('[')
		for _, m := range a.missing {
			j.object(func() {
				j.key("node_id")
				j.string(m.NodeID)
				j.key("pin")
				j.string(m.Pin)
				j.key("message")
				j.string(m.Message)
			})
		}
		j.close(']')
		j.close('}')
	})
}

// VisitCreateGraphResponse implements CreateGraphResponseObject.
func (a graphAnswer) VisitCreateGraphResponse(w http.ResponseWriter) error { return a.send(w) }

// VisitForkGraphResponse implements ForkGraphResponseObject.
func (a graphAnswer) VisitForkGraphResponse(w http.ResponseWriter) error { return a.send(w) }

// VisitGetGraphResponse implements GetGraphResponseObject.
func (a graphAnswer) VisitGetGraphResponse(w http.ResponseWriter) error { return a.send(w) }

// VisitUpdateGraphResponse implements UpdateGraphResponseObject.
func (a graphAnswer) VisitUpdateGraphResponse(w http.ResponseWriter) error { return a.send(w) }
