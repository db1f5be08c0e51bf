package execution

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"
)

// Times of tidying the history up, which one server does at a time.
const (
	tidyLook  = time.Minute     // how often a server looks whether it is its turn
	tidyEvery = time.Hour       // from the end of a turn
	tidyTurn  = 5 * time.Minute // without a sign of life
	// dropWait bounds how long those who write wait behind the drop of a partition, which itself waits for those who
	// read, such as a backup.
	dropWait = 50 * time.Millisecond
)

var errTurnOver = errors.New("another server tidies the history up")

// keepHistory makes partitions ahead, removes what need not be kept, and drops partitions of which nothing is left.
func (g *generation) keepHistory(ctx context.Context) error {
	tick := time.NewTicker(tidyLook)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		if err := g.tidyInTurn(ctx); err != nil && ctx.Err() == nil {
			g.log.Warn("could not tidy the history up, trying again later", "error", err)
		}
	}
}

// tidyInTurn tidies up, if nobody else does or has done so within the hour.
func (g *generation) tidyInTurn(ctx context.Context) error {
	const take = `UPDATE history_turn SET server_id = ?0, until = now() + ?1 * interval '1 second' WHERE sole AND `
	turn := func(where string, length time.Duration) (bool, error) {
		res, err := g.db.ExecContext(ctx, take+where, g.config.ServerID, length.Seconds())
		if err != nil {
			return false, fmt.Errorf("take the turn to tidy up: %w", err)
		}
		n, err := res.RowsAffected()
		return n == 1, err
	}
	if mine, err := turn("until <= now()", tidyTurn); err != nil || !mine {
		return err
	}
	renewed := time.Now()
	err := g.tidy(ctx, func() error {
		if time.Since(renewed) < tidyTurn/5 {
			return nil
		}
		mine, err := turn("server_id = ?0", tidyTurn)
		if err == nil && !mine {
			err = errTurnOver
		}
		renewed = time.Now()
		return err
	})
	if err != nil {
		return err // the turn ends, and whoever looks next goes on
	}
	_, err = turn("server_id = ?0", tidyEvery)
	return err
}

// tidy does it all. It calls renew now and then, and ends when that fails.
func (g *generation) tidy(ctx context.Context, renew func() error) error {
	if err := g.partitions.ahead(ctx); err != nil {
		return err
	}
	removed, err := g.removeExpired(ctx, renew)
	if removed > 0 {
		g.log.Info("removed executions that need not be kept", "executions", removed)
	}
	if err != nil {
		return err
	}
	old, err := g.partitions.old(ctx)
	if err != nil {
		return err
	}
	for _, s := range old {
		if err := g.partitions.drop(ctx, s); err != nil {
			return err
		}
		if err := renew(); err != nil {
			return err
		}
	}
	plans, err := g.removePlans(ctx)
	if plans > 0 {
		g.log.Info("removed plans that no execution has any more", "plans", plans)
	}
	return err
}

// old are the partitions to which nothing is added any more, unless a clock stands back.
func (p *partitions) old(ctx context.Context) ([]span, error) {
	rows, err := p.db.QueryContext(ctx, `
		SELECT j.name, v.name, coalesce(history_id(j.since), '00000000-0000-0000-0000-000000000000'), history_id(j.until)
		FROM history_partition j JOIN history_partition v ON v.parent = 'value' AND v.since IS NOT DISTINCT FROM j.since AND v.until = j.until
		WHERE j.parent = 'journal' AND j.until < now() - interval '1 day' ORDER BY j.until`)
	if err != nil {
		return nil, fmt.Errorf("list old partitions: %w", err)
	}
	defer rows.Close()
	var all []span
	for rows.Next() {
		var s span
		if err := rows.Scan(&s.journal, &s.value, &s.since, &s.until); err != nil {
			return nil, fmt.Errorf("list old partitions: %w", err)
		}
		all = append(all, s)
	}
	return all, rows.Err()
}

// drop drops a partition unless there is an execution that began in it. It waits a moment at most for those who read, and
// leaves it to the next time then.
func (p *partitions) drop(ctx context.Context, s span) error {
	// By the primary key: of EXISTS the planner takes that the next row of the table is a hit, and reads it all where none
	// is, in the end with the lock in hand.
	const used = `SELECT (SELECT id FROM execution WHERE id >= ? AND id < ? ORDER BY id LIMIT 1) IS NOT NULL`
	var kept bool
	if err := p.db.QueryRowContext(ctx, used, s.since, s.until).Scan(&kept); err != nil || kept {
		return err
	}
	begun := time.Now()
	err := p.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if _, err := tx.ExecContext(ctx, `SET LOCAL lock_timeout = ?`, dropWait.Milliseconds()); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `LOCK TABLE ONLY journal, ONLY value IN ACCESS EXCLUSIVE MODE`); err != nil {
			return err
		}
		// Nobody adds to it now. One that has been accepted since, by a server whose clock stands back, is kept, and
		// what comes later finds its partition missing and makes it anew.
		if err := tx.QueryRowContext(ctx, used, s.since, s.until).Scan(&kept); err != nil || kept {
			return err
		}
		_, err := tx.ExecContext(ctx, `DROP TABLE ?, ?`, bun.Ident(s.journal), bun.Ident(s.value))
		return err
	})
	switch {
	case locked(err):
		p.log.Info("a partition of the history is in use and is dropped later", "partition", s.journal)
		return nil
	case err != nil:
		return fmt.Errorf("drop the partition %s: %w", s.journal, err)
	case !kept:
		p.log.Info("dropped a partition of the history in which nothing was left", "partition", s.journal, "took", time.Since(begun).Round(time.Millisecond))
	}
	return nil
}
