package graph

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"
)

// Sharing says what users may do with published versions of other people's graphs. A nested agent was published with
// every version that leads to it, so that each of them may open the way to it.
type Sharing interface {
	// Version is the version of a published graph that a user means who names none; 0: there is none for him.
	Version(ctx context.Context, user, graphID string) (int, error)
	// MayRead says whether the user may look at one of these versions.
	MayRead(ctx context.Context, user string, published []Ref) (bool, error)
	// MayRun says whether the user may run one of these versions.
	MayRun(ctx context.Context, user string, published []Ref) (bool, error)
}

// Publish keeps a version of the user's graph, and all that its nested agents lead to, for other people: what is
// published outlives the graph. Who may use it is for Sharing to say. A version that was published is left as it is.
func (s *Service) Publish(ctx context.Context, user, id string, version int) error {
	if version == 0 { // would be the latest
		return ErrNotFound
	}
	g, err := s.Get(ctx, user, id, version)
	if err != nil {
		return err
	}
	if g, err = s.withSubGraphs(ctx, user, g); err != nil {
		return err
	}
	return s.inTx(ctx, "publish graph", func(ctx context.Context, tx bun.Tx) error {
		root := Ref{g.ID, g.Version}
		for _, part := range append([]Graph{*g}, g.SubGraphs...) {
			if _, err := tx.ExecContext(ctx, `
				INSERT INTO published_graph (graph_id, version, user_id, name, description, document, created_at, updated_at)
				VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
				part.ID, part.Version, part.UserID, part.Name, part.Description, encodeDocument(&part), part.CreatedAt, part.UpdatedAt); err != nil {
				return fmt.Errorf("keep version %d of %s: %w", part.Version, part.ID, err)
			}
			if _, err := tx.ExecContext(ctx, `
				INSERT INTO published_part (graph_id, version, root_id, root_version) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`,
				part.ID, part.Version, root.GraphID, root.Version); err != nil {
				return fmt.Errorf("keep what %s consists of: %w", root.GraphID, err)
			}
		}
		return nil
	})
}

// ofOthers is a published version that the user may use in some way.
func (s *Service) ofOthers(ctx context.Context, user, graphID string, version int, may func(Sharing, context.Context, string, []Ref) (bool, error)) (*Graph, error) {
	id, ok := parseID(graphID)
	if !ok || version < 0 || s.sharing == nil {
		return nil, ErrNotFound
	}
	if version == 0 {
		var err error
		if version, err = s.sharing.Version(ctx, user, id); err != nil {
			return nil, fmt.Errorf("find the version of graph %s: %w", id, err)
		}
	}
	roots, err := s.roots(ctx, Ref{id, version})
	if err != nil {
		return nil, err
	}
	if len(roots) == 0 {
		return nil, ErrNotFound
	}
	allowed, err := may(s.sharing, ctx, user, roots)
	if err != nil {
		return nil, fmt.Errorf("ask who may use graph %s: %w", id, err)
	}
	if !allowed {
		return nil, ErrNotFound
	}
	return s.published(ctx, Ref{id, version})
}

// part is a graph that was published with another one.
func (s *Service) part(ctx context.Context, ref, root Ref) (*Graph, error) {
	id, ok := parseID(ref.GraphID)
	if !ok {
		return nil, ErrNotFound
	}
	var found bool
	err := s.db.QueryRowContext(ctx, `
		SELECT EXISTS (SELECT FROM published_part WHERE graph_id = ? AND version = ? AND root_id = ? AND root_version = ?)`,
		id, ref.Version, root.GraphID, root.Version).Scan(&found)
	if err != nil {
		return nil, fmt.Errorf("find nested agent %s: %w", id, err)
	}
	if !found {
		return nil, ErrNotFound
	}
	return s.published(ctx, Ref{id, ref.Version})
}

// roots are the published versions that a version is part of, itself among them if it was published.
func (s *Store) roots(ctx context.Context, ref Ref) ([]Ref, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT root_id, root_version FROM published_part WHERE graph_id = ? AND version = ?`, ref.GraphID, ref.Version)
	if err != nil {
		return nil, fmt.Errorf("find published graph: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var roots []Ref
	for rows.Next() {
		var r Ref
		if err := rows.Scan(&r.GraphID, &r.Version); err != nil {
			return nil, fmt.Errorf("find published graph: %w", err)
		}
		roots = append(roots, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("find published graph: %w", err)
	}
	return roots, nil
}

// published reads what was kept. It never changes, so that the cache's word is enough.
func (s *Store) published(ctx context.Context, ref Ref) (*Graph, error) {
	if g, ok := s.kept.lasting(ref.GraphID, ref.Version); ok {
		return g, nil
	}
	var user, name, description, document string
	var createdAt, updatedAt time.Time
	err := s.db.QueryRowContext(ctx, `
		SELECT user_id, name, description, document, created_at, updated_at FROM published_graph WHERE graph_id = ? AND version = ?`,
		ref.GraphID, ref.Version).Scan(&user, &name, &description, &document, &createdAt, &updatedAt)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read published graph: %w", err)
	}
	g, err := decodeStored(document)
	if err != nil {
		return nil, fmt.Errorf("read published graph %s, version %d: %w", ref.GraphID, ref.Version, err)
	}
	g.ID, g.Version, g.UserID, g.Name, g.Description = ref.GraphID, ref.Version, user, name, description
	g.IsActive, g.CreatedAt, g.UpdatedAt = true, createdAt, updatedAt
	s.kept.put(s.kept.mark(), g, len(document))
	return g, nil
}
