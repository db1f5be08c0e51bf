package server

import (
	"context"

	"github.com/patchbay-io/patchbay/core/graph"
	"github.com/patchbay-io/patchbay/core/library"
	"github.com/patchbay-io/patchbay/core/store"
)

// sharing lets users look at what is in the store, and run what they added to their libraries: that stays theirs
// whatever becomes of the listing.
type sharing struct {
	store   *store.Service
	library *library.Service
}

// Version is the one in the user's library, else the one that the store shows.
func (s *sharing) Version(ctx context.Context, user, graphID string) (int, error) {
	if held, err := s.library.Version(ctx, user, graphID); err != nil || held != 0 {
		return held, err
	}
	return s.store.ListedVersion(ctx, graphID)
}

// MayRead says whether one of the versions is in the store or in the user's library.
func (s *sharing) MayRead(ctx context.Context, user string, published []graph.Ref) (bool, error) {
	if held, err := s.library.Holds(ctx, user, published); err != nil || held {
		return held, err
	}
	return s.store.AnyListed(ctx, published)
}

// MayRun says whether one of the versions is in the user's library.
func (s *sharing) MayRun(ctx context.Context, user string, published []graph.Ref) (bool, error) {
	return s.library.Holds(ctx, user, published)
}
