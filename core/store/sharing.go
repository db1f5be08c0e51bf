package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

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
