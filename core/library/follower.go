package library

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"

	"github.com/patchbay-io/patchbay/core/graph"
)

// Follower keeps the entries of graphs' owners, as a follower of the graph store: an entry for each graph that is
// created, at the active version ever after, and none of a deleted one.
type Follower struct{}

// GraphCreated adds the owner's entry.
func (Follower) GraphCreated(ctx context.Context, tx bun.Tx, h *graph.Head) error {
	_, err := tx.ExecContext(ctx, `
		INSERT INTO library_agent (user_id, graph_id, version, latest_version, is_owner, name, description, created_at, updated_at)
		VALUES (?, ?, ?, ?, true, ?, ?, ?, ?)`,
		h.UserID, h.GraphID, h.Active, h.Latest, h.Name, h.Description, h.CreatedAt, h.UpdatedAt)
	if err != nil {
		return fmt.Errorf("add to library: %w", err)
	}
	return nil
}

// GraphChanged moves the owner's entry to the active version; pinned ones stay and know of the latest version.
func (Follower) GraphChanged(ctx context.Context, tx bun.Tx, h *graph.Head) error {
	_, err := tx.ExecContext(ctx, `
		UPDATE library_agent SET latest_version = ?0, version = CASE pinned WHEN 0 THEN ?1 ELSE version END,
			name = CASE pinned WHEN 0 THEN ?2 ELSE name END, description = CASE pinned WHEN 0 THEN ?3 ELSE description END,
			updated_at = CASE pinned WHEN 0 THEN greatest(updated_at, ?4) ELSE updated_at END
		WHERE user_id = ?5 AND graph_id = ?6`, // library_agent_by_graph
		h.Latest, h.Active, h.Name, h.Description, h.UpdatedAt, h.UserID, h.GraphID)
	if err != nil {
		return fmt.Errorf("follow in library: %w", err)
	}
	return nil
}

// GraphDeleted removes the owner's entries.
func (Follower) GraphDeleted(ctx context.Context, tx bun.Tx, user, graphID string) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM library_agent WHERE user_id = ? AND graph_id = ?`, user, graphID); err != nil {
		return fmt.Errorf("remove from library: %w", err)
	}
	return nil
}
