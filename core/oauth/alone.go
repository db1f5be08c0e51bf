package oauth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/patchbay-io/patchbay/core/credential"
	"github.com/patchbay-io/patchbay/core/postgres"
)

// Alone waits until nobody else uses those of the credentials whose provider wants one run at a time, on any server, and
// keeps it so until release is called. Others are shared freely; release is nil where all are.
func (s *Service) Alone(ctx context.Context, all []*credential.Credential) (release func(), err error) {
	var ids []string
	for _, c := range all {
		if p, ok := s.Providers.Provider(c.Provider); ok && p.Serialised {
			ids = append(ids, c.ID)
		}
	}
	slices.SortFunc(ids, cmp.Compare[string]) // so that no two wait for each other
	ids = slices.Compact(ids)
	if len(ids) == 0 {
		return nil, nil
	}
	holder := uuid.New()
	for i, id := range ids {
		if err := s.hold(ctx, id, holder); err != nil {
			s.letGo(ctx, ids[:i], holder)
			return nil, err
		}
	}
	stop := s.renewing(ctx, func(ctx context.Context) { s.keepHolding(ctx, ids, holder) })
	return func() {
		stop()
		s.letGo(ctx, ids, holder)
	}, nil
}

// hold waits for a credential.
func (s *Service) hold(ctx context.Context, id string, holder uuid.UUID) error {
	for pause := firstLook; ; pause = min(2*pause, lastLook) {
		_, err := postgres.Lasting(ctx, func() (uuid.UUID, error) {
			return one[uuid.UUID](ctx, s.DB, `
				INSERT INTO oauth_use AS old (credential_id, server_id, holder, until) VALUES (?, ?, ?, now() + ? * interval '1 second')
				ON CONFLICT (credential_id) DO UPDATE SET server_id = EXCLUDED.server_id, holder = EXCLUDED.holder, until = EXCLUDED.until
				WHERE old.until <= now() OR old.holder = EXCLUDED.holder RETURNING holder`, id, s.ServerID, holder, s.lease.Seconds())
		})
		if err == nil {
			return nil
		}
		if !errors.Is(err, errNone) {
			return fmt.Errorf("wait for the use of a credential: %w", err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// renewing renews what has been claimed, time and again, until stop is called.
func (s *Service) renewing(ctx context.Context, renew func(ctx context.Context)) (stop func()) {
	ctx, end := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(s.lease / 4)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				renew(ctx)
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() {
		end()
		<-done
	}
}

// keepHolding renews the hold of credentials.
func (s *Service) keepHolding(ctx context.Context, ids []string, holder uuid.UUID) {
	for _, id := range ids {
		_, err := s.DB.ExecContext(ctx, `UPDATE oauth_use SET until = now() + ? * interval '1 second' WHERE credential_id = ? AND holder = ?`, s.lease.Seconds(), id, holder)
		if err != nil && ctx.Err() == nil {
			s.log.Warn("the use of a credential could not be kept; another run may begin to use it", "credential", id, "error", err)
		}
	}
}

// letGo leaves credentials to others. If it fails they wait for the end of the time.
func (s *Service) letGo(ctx context.Context, ids []string, holder uuid.UUID) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storing)
	defer cancel()
	for _, id := range ids {
		if _, err := s.DB.ExecContext(ctx, `DELETE FROM oauth_use WHERE credential_id = ? AND holder = ?`, id, holder); err != nil {
			s.log.Warn("a credential could not be left to others at once", "credential", id, "error", err)
		}
	}
}
