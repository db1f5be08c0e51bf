package library

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/uptrace/bun"

	"github.com/patchbay-io/patchbay/core/graph"
)

// Holds says whether the user has one of these versions, archived or not. It uses library_agent_by_graph.
func (s *Service) Holds(ctx context.Context, user string, versions []graph.Ref) (bool, error) {
	for _, v := range versions {
		key, ok := parseID(v.GraphID)
		if !ok {
			continue
		}
		var held bool
		err := s.DB.QueryRowContext(ctx, `SELECT EXISTS (SELECT FROM library_agent WHERE user_id = ? AND graph_id = ? AND version = ?)`, user, key, v.Version).Scan(&held)
		if err != nil {
			return false, fmt.Errorf("look into the library: %w", err)
		}
		if held {
			return true, nil
		}
	}
	return false, nil
}

// Version is the highest version of a graph that the user has; 0 where there is none.
func (s *Service) Version(ctx context.Context, user, graphID string) (int, error) {
	key, ok := parseID(graphID)
	if !ok {
		return 0, nil
	}
	var version sql.NullInt64
	err := s.DB.QueryRowContext(ctx, `SELECT max(version) FROM library_agent WHERE user_id = ? AND graph_id = ?`, user, key).Scan(&version)
	if err != nil {
		return 0, fmt.Errorf("look into the library: %w", err)
	}
	return int(version.Int64), nil
}

// GraphPublished tells the entries of others which version of a graph is the latest that they can have. It uses
// library_agent_of_others.
func (Follower) GraphPublished(ctx context.Context, tx bun.Tx, graphID string, latest int) error {
	if _, err := tx.ExecContext(ctx, `UPDATE library_agent SET latest_version = ? WHERE graph_id = ? AND NOT is_owner`, latest, graphID); err != nil {
		return fmt.Errorf("tell libraries of a published version: %w", err)
	}
	return nil
}
