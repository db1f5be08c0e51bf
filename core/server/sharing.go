package server

import (
	"context"

	"github.com/patchbay-io/patchbay/core/graph"
	"github.com/patchbay-io/patchbay/core/store"
)

// sharing lets users look at what is in the store.
type sharing struct {
	store *store.Service
}

// Version is the one that the store shows.
func (s *sharing) Version(ctx context.Context, _, graphID string) (int, error) {
	return s.store.ListedVersion(ctx, graphID)
}

// MayRead says whether one of the versions is in the store.
func (s *sharing) MayRead(ctx context.Context, _ string, published []graph.Ref) (bool, error) {
	return s.store.AnyListed(ctx, published)
}

// MayRun says no: nobody can add another's agent yet.
func (s *sharing) MayRun(context.Context, string, []graph.Ref) (bool, error) { return false, nil }
