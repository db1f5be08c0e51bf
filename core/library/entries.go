package library

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/patchbay-io/patchbay/core/graph"
)

// Get is an entry of the user's library, an archived one too.
func (s *Service) Get(ctx context.Context, user, id string) (*Agent, error) {
	key, ok := parseID(id)
	if !ok {
		return nil, ErrNotFound
	}
	return s.one(ctx, user, `SELECT `+columns+` FROM library_agent WHERE id = ? AND user_id = ?`, key, user)
}

// ByGraph is the user's entry of a version of a graph; for version 0 the one with the highest version. It uses
// library_agent_by_graph.
func (s *Service) ByGraph(ctx context.Context, user, graphID string, version int) (*Agent, error) {
	key, ok := parseID(graphID)
	if !ok {
		return nil, ErrNotFound
	}
	return s.one(ctx, user, `
		SELECT `+columns+` FROM library_agent WHERE user_id = ?0 AND graph_id = ?1 AND (version = ?2 OR ?2 = 0)
		ORDER BY version DESC, pinned LIMIT 1`, user, key, version)
}

// Add puts a version of a graph into the user's library: one of the user's own or a published one; for version 0 the
// one that is active or was published last. One that is there already is taken out of the archive, and not created.
// The active version of an own graph is followed, any other stays as it is.
func (s *Service) Add(ctx context.Context, user, graphID string, version int) (a *Agent, created bool, err error) {
	key, ok := parseID(graphID)
	if !ok {
		return nil, false, ErrNotFound
	}
	err = s.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		h, isOwner, err := s.available(ctx, tx, user, key, version)
		if err != nil {
			return err
		}
		const restored = `is_archived = false, updated_at = CASE WHEN library_agent.is_archived THEN clock_timestamp() ELSE library_agent.updated_at END`
		a, err = find(ctx, tx, `
			UPDATE library_agent SET `+restored+` WHERE id = (
				SELECT id FROM library_agent WHERE user_id = ? AND graph_id = ? AND version = ? ORDER BY pinned LIMIT 1 FOR UPDATE)
			RETURNING `+columns, user, key, h.Version)
		if !errors.Is(err, ErrNotFound) {
			return err
		}
		pinned := h.Version
		if isOwner && h.Version == h.Active {
			pinned = 0
		}
		a = &Agent{}
		// Another request may have added it just now; a row that an update made has an xmax.
		return tx.QueryRowContext(ctx, `
			INSERT INTO library_agent (user_id, graph_id, pinned, version, latest_version, is_owner, name, description) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (user_id, graph_id, pinned) DO UPDATE SET `+restored+`
			RETURNING `+columns+`, xmax = 0`, user, key, pinned, h.Version, h.Latest, isOwner, h.Name, h.Description).
			Scan(append(a.fields(), &created)...)
	})
	switch {
	case errors.Is(err, ErrNotFound), errors.Is(err, graph.ErrNotFound):
		return nil, false, err
	case err != nil:
		return nil, false, fmt.Errorf("add to library: %w", err)
	}
	return a, created, s.addRuns(ctx, user, a)
}

// available finds a graph version that the user may have.
func (s *Service) available(ctx context.Context, tx bun.Tx, user, graphID string, version int) (h *graph.Head, isOwner bool, err error) {
	h, err = s.Graphs.Hold(ctx, tx, user, graphID, version)
	if err == nil || !errors.Is(err, graph.ErrNotFound) || s.Published == nil {
		return h, err == nil, err
	}
	h, err = s.Published(ctx, tx, user, graphID, version)
	return h, false, err
}

// Update changes what the user may change of an entry. What is as it should be already counts as no change.
func (s *Service) Update(ctx context.Context, user, id string, c Change) (*Agent, error) {
	key, ok := parseID(id)
	if !ok {
		return nil, ErrNotFound
	}
	return s.one(ctx, user, `
		UPDATE library_agent SET is_favorite = coalesce(?0::boolean, is_favorite), is_archived = coalesce(?1::boolean, is_archived),
			updated_at = CASE WHEN is_favorite <> ?0 OR is_archived <> ?1 THEN greatest(updated_at, clock_timestamp()) ELSE updated_at END
		WHERE id = ?2 AND user_id = ?3 RETURNING `+columns, c.Favorite, c.Archived, key, user)
}

// Delete removes an entry; its graph stays.
func (s *Service) Delete(ctx context.Context, user, id string) error {
	key, ok := parseID(id)
	if !ok {
		return ErrNotFound
	}
	res, err := s.DB.ExecContext(ctx, `DELETE FROM library_agent WHERE id = ? AND user_id = ?`, key, user)
	if err != nil {
		return fmt.Errorf("delete from library: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return errors.Join(ErrNotFound, err)
	}
	return nil
}

// Fork copies the graph of an entry, at its version, and gives the copy's entry.
func (s *Service) Fork(ctx context.Context, user, id string) (*Agent, error) {
	a, err := s.Get(ctx, user, id)
	if err != nil {
		return nil, err
	}
	fork, _, err := s.Graphs.Fork(ctx, user, a.GraphID, a.Version)
	if err != nil {
		return nil, err
	}
	return s.ByGraph(ctx, user, fork.ID, 0)
}

// one is the entry that a query gives, with its executions.
func (s *Service) one(ctx context.Context, user, query string, args ...any) (*Agent, error) {
	a, err := find(ctx, s.DB, query, args...)
	if err != nil {
		return nil, err
	}
	return a, s.addRuns(ctx, user, a)
}

const columns = `id, graph_id, version, latest_version, is_owner, name, description, is_favorite, is_archived, created_at, updated_at`

// fields are what the columns are read into.
func (a *Agent) fields() []any {
	return []any{
		&a.ID, &a.GraphID, &a.Version, &a.LatestVersion, &a.IsOwner, &a.Name, &a.Description, &a.IsFavorite, &a.IsArchived, &a.CreatedAt, &a.UpdatedAt,
	}
}

func find(ctx context.Context, db bun.IDB, query string, args ...any) (*Agent, error) {
	a := &Agent{}
	err := db.QueryRowContext(ctx, query, args...).Scan(a.fields()...)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("query library: %w", err)
	}
	return a, nil
}

// parseID accepts UUIDs in their usual form only; everything else names nothing.
func parseID(id string) (string, bool) {
	parsed, err := uuid.Parse(id)
	return parsed.String(), err == nil && len(id) == 36
}
