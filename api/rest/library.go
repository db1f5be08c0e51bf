package rest

import (
	"context"
	"slices"

	"github.com/patchbay-io/patchbay/api/auth"
	"github.com/patchbay-io/patchbay/api/problem"
	"github.com/patchbay-io/patchbay/core/execution"
	"github.com/patchbay-io/patchbay/core/graph"
	"github.com/patchbay-io/patchbay/core/library"
)

// libraryPageSize is the page size of the library unless one is asked for.
const libraryPageSize = 15

// Library keeps users' libraries. Every method sees that of the user alone; version 0 is any.
type Library interface {
	List(ctx context.Context, user string, f library.Filter) ([]*library.Agent, int, error)
	Get(ctx context.Context, user, id string) (*library.Agent, error)
	ByGraph(ctx context.Context, user, graphID string, version int) (*library.Agent, error)
	Add(ctx context.Context, user, graphID string, version int) (a *library.Agent, created bool, err error)
	Update(ctx context.Context, user, id string, c library.Change) (*library.Agent, error)
	Delete(ctx context.Context, user, id string) error
	// Fork copies an entry's graph and gives the entry of the copy.
	Fork(ctx context.Context, user, id string) (*library.Agent, error)
}

var libraryOrders = map[LibraryOrder]library.Order{
	"updated_at": library.ByUpdate, "updatedAt": library.ByUpdate,
	"created_at": library.ByCreation, "createdAt": library.ByCreation,
	"name": library.ByName, "last_run_at": library.ByLastRun, "lastRunAt": library.ByLastRun,
}

// ListLibraryAgents is GET /api/v2/library/agents.
func (s *server) ListLibraryAgents(ctx context.Context, r ListLibraryAgentsRequestObject) (ListLibraryAgentsResponseObject, error) {
	p := pageOf(r.Params.Page, r.Params.PageSize)
	if r.Params.PageSize == nil {
		p.size = libraryPageSize
	}
	f := library.Filter{
		Search: firstOf(r.Params.SearchTerm, r.Params.Search), Archived: firstOf(r.Params.Archived, r.Params.IsArchived),
		Favorite: r.Params.IsFavorite, Order: libraryOrders[firstOf(r.Params.SortBy, r.Params.SortedBy)], Offset: p.offset(), Limit: p.size,
	}
	found, total, err := s.library.List(ctx, auth.From(ctx).UserID, f)
	if err != nil {
		return nil, err
	}
	list := make([]LibraryAgent, len(found))
	for i, a := range found {
		list[i] = libraryAgent(a)
	}
	return ListLibraryAgents200JSONResponse{Agents: list, Pagination: p.of(total)}, nil
}

// AddLibraryAgent is POST /api/v2/library/agents.
func (s *server) AddLibraryAgent(ctx context.Context, r AddLibraryAgentRequestObject) (AddLibraryAgentResponseObject, error) {
	ref := graph.Ref{Version: versionOf(r.Body.AgentVersion)}
	switch listed := r.Body.StoreListingVersionId; {
	case r.Body.AgentId != nil:
		ref.GraphID = *r.Body.AgentId
	case listed == nil:
		return nil, problem.Field("agent_id", "a value is required")
	default:
		var err error
		if ref, err = s.store.VersionGraph(ctx, *listed); err != nil {
			return nil, err
		}
	}
	a, created, err := s.library.Add(ctx, auth.From(ctx).UserID, ref.GraphID, ref.Version)
	if err != nil {
		return nil, err
	}
	if created {
		return AddLibraryAgent201JSONResponse(libraryAgent(a)), nil
	}
	return AddLibraryAgent200JSONResponse(libraryAgent(a)), nil
}

// GetLibraryAgent is GET /api/v2/library/agents/{library_agent_id}.
func (s *server) GetLibraryAgent(ctx context.Context, r GetLibraryAgentRequestObject) (GetLibraryAgentResponseObject, error) {
	a, err := s.library.Get(ctx, auth.From(ctx).UserID, r.LibraryAgentId)
	if err != nil {
		return nil, err
	}
	return GetLibraryAgent200JSONResponse(libraryAgent(a)), nil
}

// GetLibraryAgentByGraph is GET /api/v2/library/agents/by-graph/{graph_id}.
func (s *server) GetLibraryAgentByGraph(ctx context.Context, r GetLibraryAgentByGraphRequestObject) (GetLibraryAgentByGraphResponseObject, error) {
	a, err := s.library.ByGraph(ctx, auth.From(ctx).UserID, r.GraphId, versionOf(r.Params.Version))
	if err != nil {
		return nil, err
	}
	return GetLibraryAgentByGraph200JSONResponse(libraryAgent(a)), nil
}

// UpdateLibraryAgent is PUT /api/v2/library/agents/{library_agent_id}.
func (s *server) UpdateLibraryAgent(ctx context.Context, r UpdateLibraryAgentRequestObject) (UpdateLibraryAgentResponseObject, error) {
	a, err := s.changeLibraryAgent(ctx, r.LibraryAgentId, r.Body)
	return UpdateLibraryAgent200JSONResponse(a), err
}

// PatchLibraryAgent is PATCH /api/v2/library/agents/{library_agent_id}.
func (s *server) PatchLibraryAgent(ctx context.Context, r PatchLibraryAgentRequestObject) (PatchLibraryAgentResponseObject, error) {
	a, err := s.changeLibraryAgent(ctx, r.LibraryAgentId, r.Body)
	return PatchLibraryAgent200JSONResponse(a), err
}

func (s *server) changeLibraryAgent(ctx context.Context, id string, c *LibraryAgentChange) (LibraryAgent, error) {
	a, err := s.library.Update(ctx, auth.From(ctx).UserID, id, library.Change{Favorite: c.IsFavorite, Archived: c.IsArchived})
	if err != nil {
		return LibraryAgent{}, err
	}
	return libraryAgent(a), nil
}

// DeleteLibraryAgent is DELETE /api/v2/library/agents/{library_agent_id}.
func (s *server) DeleteLibraryAgent(ctx context.Context, r DeleteLibraryAgentRequestObject) (DeleteLibraryAgentResponseObject, error) {
	if err := s.library.Delete(ctx, auth.From(ctx).UserID, r.LibraryAgentId); err != nil {
		return nil, err
	}
	return DeleteLibraryAgent204Response{}, nil
}

// ForkLibraryAgent is POST /api/v2/library/agents/{library_agent_id}/fork.
func (s *server) ForkLibraryAgent(ctx context.Context, r ForkLibraryAgentRequestObject) (ForkLibraryAgentResponseObject, error) {
	a, err := s.library.Fork(ctx, auth.From(ctx).UserID, r.LibraryAgentId)
	if err != nil {
		return nil, err
	}
	return ForkLibraryAgent201JSONResponse(libraryAgent(a)), nil
}

func libraryAgent(a *library.Agent) LibraryAgent {
	out := LibraryAgent{
		Id: a.ID, Name: a.Name, Description: a.Description, IsFavorite: a.IsFavorite, IsArchived: a.IsArchived,
		IsCreatedByUser: a.IsOwner, IsLatestVersion: a.Version == a.LatestVersion,
		AgentId: a.GraphID, AgentVersion: a.Version, GraphId: a.GraphID, GraphVersion: a.Version,
		Status: LibraryAgentStatus(health(a.Runs.Last)), ExecutionCount: a.Runs.Total,
		CreatedAt: a.CreatedAt.UTC(), UpdatedAt: a.UpdatedAt.UTC(),
	}
	if a.Runs.Total > 0 {
		last := a.Runs.LastAt.UTC()
		out.LastRunAt = &last
	}
	if ended := a.Runs.Completed + a.Runs.Failed + a.Runs.Terminated; ended > 0 {
		rate := 100 * float64(a.Runs.Completed) / float64(ended)
		out.SuccessRate = &rate
	}
	return out
}

// health is an agent's status by its last executions.
func health(last []execution.Status) string {
	switch {
	case slices.Contains(last, execution.Failed):
		return "ERROR"
	case slices.Contains(last, execution.Queued):
		return "WAITING"
	case slices.Contains(last, execution.Running):
		return "HEALTHY"
	}
	return "COMPLETED"
}
