package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/uptrace/bun"

	"github.com/patchbay-io/patchbay/core/graph"
)

// ListedVersion is the version of a graph that its listing shows; 0 where none is listed.
func (s *Service) ListedVersion(ctx context.Context, graphID string) (int, error) {
	if !isID(graphID) {
		return 0, nil
	}
	var version int
	err := s.DB.QueryRowContext(ctx, `SELECT graph_version FROM store_listing l WHERE l.listed AND l.graph_id = ?`, graphID).Scan(&version)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("find the listed version: %w", err)
	}
	return version, nil
}

// Published describes a listed version of a graph for those who add it to their libraries, for version 0 the one that is
// shown, and keeps it listed until tx ends.
func (s *Service) Published(ctx context.Context, tx bun.Tx, _, graphID string, version int) (*graph.Head, error) {
	if !isID(graphID) {
		return nil, graph.ErrNotFound
	}
	h := &graph.Head{GraphID: graphID}
	err := tx.QueryRowContext(ctx, `
		SELECT l.user_id, l.graph_version, v.graph_version, v.name, v.description, l.created_at, l.updated_at
		FROM store_listing l JOIN store_submission v ON v.listing_id = l.id AND v.status = 'APPROVED'
		WHERE l.listed AND l.graph_id = ?0 AND CASE ?1 WHEN 0 THEN v.id = l.active ELSE v.graph_version = ?1 END
		ORDER BY v.version DESC LIMIT 1 FOR SHARE OF l`, graphID, version).
		Scan(&h.UserID, &h.Latest, &h.Version, &h.Name, &h.Description, &h.CreatedAt, &h.UpdatedAt)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, graph.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("find the published version: %w", err)
	}
	h.Active = h.Latest
	return h, nil
}

// AnyListed says whether one of these graph versions is in the store: approved, of a listing that is there. It uses the
// keys of store_listing's graphs and store_submission's listings.
func (s *Service) AnyListed(ctx context.Context, versions []graph.Ref) (bool, error) {
	for _, v := range versions {
		if !isID(v.GraphID) {
			continue
		}
		var listed bool
		err := s.DB.QueryRowContext(ctx, `
			SELECT EXISTS (SELECT FROM store_listing l JOIN store_submission v ON v.listing_id = l.id
				WHERE l.listed AND l.graph_id = ? AND v.graph_version = ? AND v.status = 'APPROVED')`, v.GraphID, v.Version).Scan(&listed)
		if err != nil {
			return false, fmt.Errorf("look for graph %s in the store: %w", v.GraphID, err)
		}
		if listed {
			return true, nil
		}
	}
	return false, nil
}

// VersionGraph is the graph version of an approved version of a listed agent.
func (s *Service) VersionGraph(ctx context.Context, versionID string) (graph.Ref, error) {
	if !isID(versionID) {
		return graph.Ref{}, ErrNotFound
	}
	var ref graph.Ref
	err := s.DB.QueryRowContext(ctx, `
		SELECT v.graph_id, v.graph_version FROM store_submission v JOIN store_listing l ON l.id = v.listing_id
		WHERE v.id = ? AND v.status = 'APPROVED' AND l.listed`, versionID).Scan(&ref.GraphID, &ref.Version)
	if errors.Is(err, sql.ErrNoRows) {
		return graph.Ref{}, ErrNotFound
	}
	if err != nil {
		return graph.Ref{}, fmt.Errorf("find approved version: %w", err)
	}
	return ref, nil
}
