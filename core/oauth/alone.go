package oauth

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/patchbay-io/patchbay/core/credential"
)

// Alone waits until nobody else uses those of the credentials whose provider wants one run at a time, on any server, and
// keeps it so until release is called. Others are shared freely; release is nil where all are.
func (s *Service) Alone(ctx context.Context, all []*credential.Credential) (release func(), err error) {
	var ids []uuid.UUID
	for _, c := range all {
		if p, ok := s.Providers.Provider(c.Provider); ok && p.Serialised {
			id, err := uuid.Parse(c.ID)
			if err != nil {
				return nil, fmt.Errorf("use a credential alone: %w", err)
			}
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	return s.Uses.Hold(ctx, ids...)
}
