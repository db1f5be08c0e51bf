package server

import (
	"context"

	"github.com/uptrace/bun"

	"github.com/patchbay-io/patchbay/core/hostservice"
	"github.com/patchbay-io/patchbay/core/library"
)

// followers are all that depends on graphs: the library, and what agents keep by key.
type followers struct{ library.Follower }

// GraphDeleted is told in the transaction that deletes a graph.
func (f followers) GraphDeleted(ctx context.Context, tx bun.Tx, user, graphID string) error {
	if err := f.Follower.GraphDeleted(ctx, tx, user, graphID); err != nil {
		return err
	}
	return hostservice.ForgetAgent(ctx, tx, user, graphID)
}
