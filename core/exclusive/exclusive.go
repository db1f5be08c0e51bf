// Package exclusive keeps what one run at a time may use to itself, over all servers of a database.
package exclusive

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/go-hclog"
	"github.com/uptrace/bun"

	"github.com/patchbay-io/patchbay/core/postgres"
)

// Uses lets runs use things in turn. Who has the turn renews it, so that one ends with its server.
type Uses struct {
	db     *bun.DB
	server uuid.UUID
	log    hclog.Logger
	lease  time.Duration
}

// Times of a use. The lease is what others wait for of a server that was killed: as long as for its executions.
const (
	lease     = 8 * time.Second
	firstLook = 50 * time.Millisecond
	lastLook  = 500 * time.Millisecond
	letting   = 5 * time.Second
)

// New makes the uses of a server. What an earlier life of it has held is free.
func New(ctx context.Context, db *bun.DB, server uuid.UUID, log hclog.Logger) (*Uses, error) {
	if _, err := db.ExecContext(ctx, `UPDATE exclusive_use SET until = now() WHERE server_id = ?`, server); err != nil {
		return nil, fmt.Errorf("end what an earlier life has used: %w", err)
	}
	return &Uses{db: db, server: server, log: log.Named("exclusive"), lease: lease}, nil
}

// Hold waits until nobody else uses any of the ids, on any server, and keeps it so until release is called.
func (u *Uses) Hold(ctx context.Context, ids ...uuid.UUID) (release func(), err error) {
	ids = slices.Clone(ids)
	slices.SortFunc(ids, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) }) // so that no two wait for each other
	ids = slices.Compact(ids)
	holder := uuid.New()
	for i, id := range ids {
		if err := u.take(ctx, id, holder); err != nil {
			u.letGo(ctx, ids[:i], holder)
			return nil, err
		}
	}
	held, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		u.keep(held, ids, holder)
	}()
	return func() {
		stop()
		<-done
		u.letGo(ctx, ids, holder)
	}, nil
}

func (u *Uses) take(ctx context.Context, id, holder uuid.UUID) error {
	for pause := firstLook; ; pause = min(2*pause, lastLook) {
		_, err := postgres.Lasting(ctx, func() (struct{}, error) {
			var got uuid.UUID
			return struct{}{}, u.db.QueryRowContext(ctx, `
				INSERT INTO exclusive_use AS old (id, server_id, holder, until) VALUES (?, ?, ?, now() + ? * interval '1 second')
				ON CONFLICT (id) DO UPDATE SET server_id = EXCLUDED.server_id, holder = EXCLUDED.holder, until = EXCLUDED.until
				WHERE old.until <= now() OR old.until > EXCLUDED.until + (EXCLUDED.until - now()) -- from before the clock was put back
					OR old.holder = EXCLUDED.holder RETURNING holder`, id, u.server, holder, u.lease.Seconds()).Scan(&got)
		})
		if err == nil {
			return nil
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("wait for a turn: %w", err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// keep renews until ctx ends.
func (u *Uses) keep(ctx context.Context, ids []uuid.UUID, holder uuid.UUID) {
	tick := time.NewTicker(u.lease / 3)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		for _, id := range ids {
			_, err := u.db.ExecContext(ctx, `UPDATE exclusive_use SET until = now() + ? * interval '1 second' WHERE id = ? AND holder = ?`, u.lease.Seconds(), id, holder)
			if err != nil && ctx.Err() == nil {
				u.log.Warn("a turn could not be kept; another run may begin its own", "id", id, "error", err)
			}
		}
	}
}

// letGo gives others their turn. If it fails they wait for the end of the time.
func (u *Uses) letGo(ctx context.Context, ids []uuid.UUID, holder uuid.UUID) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), letting)
	defer cancel()
	for _, id := range ids {
		if _, err := u.db.ExecContext(ctx, `DELETE FROM exclusive_use WHERE id = ? AND holder = ?`, id, holder); err != nil {
			u.log.Warn("a turn could not be left to others at once", "id", id, "error", err)
		}
	}
}
