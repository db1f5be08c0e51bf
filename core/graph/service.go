package graph

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/patchbay-io/patchbay/core/block"
)

// Service is what clients do with graphs: everything is validated before it is stored.
type Service struct {
	*Store
	blocks      Blocks
	sharing     Sharing
	credentials Credentials // nil: whatever constants name is saved
}

// NewService returns a service over a store and the blocks that there are. Users see the graphs of others as far as
// sharing lets them; without one they see none.
func NewService(store *Store, blocks Blocks, sharing Sharing) *Service {
	return &Service{Store: store, blocks: blocks, sharing: sharing}
}

// Options are how strict saving is.
type Options struct {
	AllowMissing     bool  // store a graph although blocks, pins, nested agents or credentials are missing
	ExpectedVersions []int // update: the latest version must be one of these; nil takes any
}

// Create stores a body (see Decode) as a new graph of the user, its sub-graphs as further ones. It tells what is
// missing where that is allowed. Errors: *Malformed, *Invalid.
func (s *Service) Create(ctx context.Context, user string, body []byte, o Options) (*Graph, []Missing, error) {
	g, err := Decode(body)
	if err != nil {
		return nil, nil, err
	}
	id := uuid.NewString()
	missing, err := s.prepare(ctx, user, g, id, o)
	if err != nil {
		return nil, nil, err
	}
	g.ID = id
	if err := s.Store.Create(ctx, user, g); err != nil {
		return nil, nil, err
	}
	return g, missing, nil
}

// Update stores a body as the next version of a graph and makes it the active one. Errors: those of Create,
// ErrNotFound, ErrConflict.
func (s *Service) Update(ctx context.Context, user, id string, body []byte, o Options) (*Graph, []Missing, error) {
	before, err := s.Get(ctx, user, id, 0)
	if err != nil {
		return nil, nil, err
	}
	g, err := Decode(body)
	if err != nil {
		return nil, nil, err
	}
	g.ForkedFromID, g.ForkedFromVersion = before.ForkedFromID, before.ForkedFromVersion
	missing, err := s.prepare(ctx, user, g, "", o)
	if err != nil {
		return nil, nil, err
	}
	g.ID = id
	if err := s.Store.Update(ctx, user, g, o.ExpectedVersions); err != nil {
		return nil, nil, err
	}
	return g, missing, nil
}

// ForRun is a version of a graph for ValidateForRun and for a run; version 0 is the active one. It comes with its
// sub-graphs, and knows which of them are missing. A graph of somebody else's is a published version that the user may
// run, with its secrets: UserID tells whose it is.
func (s *Service) ForRun(ctx context.Context, user, id string, version int) (*Graph, error) {
	var g *Graph
	var err error
	if version == 0 {
		g, err = s.Active(ctx, user, id)
	} else {
		g, err = s.Get(ctx, user, id, version)
	}
	if errors.Is(err, ErrNotFound) {
		g, err = s.ofOthers(ctx, user, id, version, Sharing.MayRun)
	}
	if err != nil {
		return nil, err
	}
	return s.withSubGraphs(ctx, user, g)
}

// Presumed is what ForRun would answer of the active version of a graph of the user's own, were everything as it was when
// it was last read; it nests no other. It asks nobody, so that who runs it makes sure, with the commit of the run, that
// the version is still the active one.
func (s *Service) Presumed(user, id string) (*Graph, bool) {
	id, ok := parseID(id)
	if !ok {
		return nil, false
	}
	version := s.states.presumed(user, id)
	if version == 0 {
		return nil, false
	}
	g, ok := s.cache.lasting(id, version)
	if !ok || g.UserID != user || !g.IsActive || slices.ContainsFunc(g.Nodes, func(n Node) bool { return n.BlockID == block.AgentID }) {
		return nil, false
	}
	return g, true
}

// Readable is a version of a graph that the user may look at, the latest one for version 0.
func (s *Service) Readable(ctx context.Context, user, id string, version int) (*Graph, error) {
	g, err := s.Get(ctx, user, id, version)
	if errors.Is(err, ErrNotFound) {
		g, err = s.ofOthers(ctx, user, id, version, Sharing.MayRead)
	}
	return g, err
}

// ReadableActive is the version of a graph that executes where none is named, as far as the user may look at it.
func (s *Service) ReadableActive(ctx context.Context, user, id string) (*Graph, error) {
	g, err := s.Active(ctx, user, id)
	if errors.Is(err, ErrNotFound) {
		g, err = s.ofOthers(ctx, user, id, 0, Sharing.MayRead)
	}
	return g, err
}

// Render is a graph as the API shows it.
func (s *Service) Render(ctx context.Context, user string, g *Graph) (json.RawMessage, error) {
	g, err := s.withSubGraphs(ctx, user, g)
	if err != nil {
		return nil, err
	}
	if g.UserID != user {
		return renderForOthers(g, s.blocks, user), nil
	}
	return render(g, s.blocks), nil
}

// Export is a version of a graph as a file, with its sub-graphs and without secrets; the latest one for version 0.
// From what is not the user's own goes all that looks like a secret.
func (s *Service) Export(ctx context.Context, user, id string, version int) (json.RawMessage, error) {
	return s.export(ctx, user, id, version, user)
}

// ExportForOthers is Export of one of the user's graphs for those who are to judge it.
func (s *Service) ExportForOthers(ctx context.Context, user, id string, version int) (json.RawMessage, error) {
	return s.export(ctx, user, id, version, stranger)
}

// stranger is a user who owns no graph.
const stranger = "-"

func (s *Service) export(ctx context.Context, user, id string, version int, reader string) (json.RawMessage, error) {
	g, err := s.Readable(ctx, user, id, version)
	if err != nil {
		return nil, err
	}
	if g, err = s.withSubGraphs(ctx, user, g); err != nil {
		return nil, err
	}
	return renderExport(g, s.blocks, reader), nil
}

// Fork stores a copy of a version of a graph, the active one for version 0, as a new graph of the user, with copies of
// its sub-graphs. One of somebody else's comes without secrets. What the origin lacks the copy lacks too, and it is told.
func (s *Service) Fork(ctx context.Context, user, id string, version int) (*Graph, []Missing, error) {
	read := s.Readable
	if version == 0 {
		read = func(ctx context.Context, user, id string, _ int) (*Graph, error) {
			return s.ReadableActive(ctx, user, id)
		}
	}
	origin, err := read(ctx, user, id, version)
	if err != nil {
		return nil, nil, err
	}
	fork, err := s.copyFor(ctx, user, origin)
	if err != nil {
		return nil, nil, err
	}
	fork.Name += " (copy)"
	fork.ForkedFromID, fork.ForkedFromVersion = &origin.ID, &origin.Version
	newID := uuid.NewString()
	missing, err := s.prepare(ctx, user, fork, newID, Options{AllowMissing: true})
	if err != nil {
		return nil, nil, err
	}
	fork.ID = newID
	if err := s.Store.Create(ctx, user, fork); err != nil {
		return nil, nil, err
	}
	return fork, missing, nil
}

// copyFor is a copy of a graph, with its sub-graphs, of which the user may see everything. Where the user's own graph
// nests somebody else's, the copy nests it too.
func (s *Service) copyFor(ctx context.Context, user string, g *Graph) (*Graph, error) {
	whole, err := s.withSubGraphs(ctx, user, g)
	if err != nil {
		return nil, err
	}
	if g.UserID != user {
		return Decode(renderExport(whole, s.blocks, user))
	}
	c := whole.clone()
	c.SubGraphs = slices.DeleteFunc(c.SubGraphs, func(sub Graph) bool { return sub.UserID != user })
	c.dropCredentials()
	for i := range c.SubGraphs {
		c.SubGraphs[i].dropCredentials()
	}
	return c, nil
}

// prepare binds nested agents, forces static links and validates.
func (s *Service) prepare(ctx context.Context, user string, g *Graph, ownID string, o Options) ([]Missing, error) {
	unbound, err := bind(g, user, ownID, s.blocks, func(ref Ref) (bool, error) { return s.mayRun(ctx, user, ref) })
	if err != nil {
		return nil, err
	}
	ForceStatic(g, s.blocks)
	for i := range g.SubGraphs {
		ForceStatic(&g.SubGraphs[i], s.blocks)
	}
	unusable, err := s.checkCredentials(ctx, user, g)
	if err != nil {
		return nil, err
	}
	missing, err := Validate(g, s.blocks)
	missing = append(append(missing, unbound...), unusable...)
	if !o.AllowMissing {
		return nil, withMissing(err, "Graph validation failed", missing)
	}
	return missing, err
}

func (s *Service) mayRun(ctx context.Context, user string, ref Ref) (bool, error) {
	_, err := s.nested(ctx, user, ref)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// nested is what a nested agent of the user's runs.
func (s *Service) nested(ctx context.Context, user string, ref Ref) (*Graph, error) {
	if ref.Version == 0 { // would be the latest
		return nil, ErrNotFound
	}
	g, err := s.Get(ctx, user, ref.GraphID, ref.Version)
	if errors.Is(err, ErrNotFound) {
		g, err = s.ofOthers(ctx, user, ref.GraphID, ref.Version, Sharing.MayRun)
	}
	return g, err
}

// withSubGraphs is a copy of g with the graphs that its nested agents lead to, breadth first, each once (execution.md
// 1.5); g itself where it has no nested agents. A graph of somebody else's has those that were published with it.
func (s *Service) withSubGraphs(ctx context.Context, user string, g *Graph) (*Graph, error) {
	find := func(ref Ref) (*Graph, error) { return s.nested(ctx, user, ref) }
	if g.UserID != user {
		find = func(ref Ref) (*Graph, error) { return s.part(ctx, ref, Ref{g.ID, g.Version}) }
	}
	whole := *g
	whole.SubGraphs = nil
	seen := map[string]bool{g.ID: true}
	found := false
	for queue := []*Graph{g}; len(queue) > 0; queue = queue[1:] {
		for i := range queue[0].Nodes {
			n := &queue[0].Nodes[i]
			if n.BlockID != block.AgentID {
				continue
			}
			found = true
			ref := NestedAgent(n)
			sub, err := find(ref)
			if errors.Is(err, ErrNotFound) {
				whole.unbound = append(whole.unbound, missingAgent(n, "is not among your agents"))
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("read nested agent %s: %w", ref.GraphID, err)
			}
			if seen[sub.ID] {
				continue
			}
			seen[sub.ID] = true
			whole.SubGraphs = append(whole.SubGraphs, *sub)
			queue = append(queue, sub)
		}
	}
	if !found {
		return g, nil
	}
	return &whole, nil
}
