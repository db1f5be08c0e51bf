package execution

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/patchbay-io/patchbay/core/hostservice"
)

// How long executions that have ended are kept counts in whole days of UTC: what ended on a day goes when so many more
// have passed. The server has a number of days, an administrator may give a user another one, and the user less for the
// executions of a graph. Where the server's applies, executions go with the partition that they began in, for nothing
// has to be deleted from journal and value then; that is up to a week later where partitions are of weeks.

// Bounds of what one transaction removes. A tree goes from its leaves, so that it may be larger.
const (
	rootsAtOnce      = 100
	executionsAtOnce = 1000
)

// daysOf is how many days the executions of a user and graph are kept, as d.days, null for ever, and when they must have
// ended and begun for that to be over; ?0 is the server's number and ?1 what counts as the beginning under it.
const daysOf = `
	LEFT JOIN execution_retention g ON g.user_id = r.user_id AND g.graph_id = r.graph_id
	LEFT JOIN execution_retention u ON u.user_id = r.user_id AND u.graph_id = '00000000-0000-0000-0000-000000000000'
	CROSS JOIN LATERAL (SELECT least(nullif(g.days, 0), nullif(coalesce(u.days, ?0), 0)) AS days) d
	CROSS JOIN LATERAL (SELECT date_trunc('day', now(), 'UTC') - d.days * interval '24 hours' AS ended) e
	CROSS JOIN LATERAL (SELECT CASE d.days WHEN ?0 THEN ?1::timestamptz ELSE e.ended END AS began) b`

// beingRetried says of the execution r that another one may still read from it. It uses execution_retrying.
const beingRetried = `EXISTS (SELECT FROM execution y WHERE y.retry_of = r.id AND y.ended_at IS NULL)`

// span is a range of ids, of a partition.
type span struct {
	journal, value string // the tables
	since, until   uuid.UUID
}

func (s *span) has(id uuid.UUID) bool {
	return string(s.since[:]) <= string(id[:]) && string(id[:]) < string(s.until[:])
}

// removeExpired removes what nobody has to keep any more, and says how many executions that were. What lies in
// partitions of which nothing stays is left to them.
func (g *generation) removeExpired(ctx context.Context, renew func() error) (removed int, err error) {
	var any bool
	if err := g.db.QueryRowContext(ctx, `SELECT ? > 0 OR EXISTS (SELECT FROM execution_retention WHERE days > 0)`, g.config.Retention).Scan(&any); err != nil || !any {
		return 0, err
	}
	var began sql.NullTime // when what goes with its partition must have begun
	if err := g.db.QueryRowContext(ctx, `SELECT max(until) FROM history_partition WHERE until <= date_trunc('day', now(), 'UTC') - ? * interval '24 hours'`, g.config.Retention).Scan(&began); err != nil {
		return 0, fmt.Errorf("look for old partitions: %w", err)
	}
	spared, err := g.spared(ctx, began)
	if err != nil {
		return 0, err
	}
	// The days in execution_count are those on which executions were created.
	rows, err := g.db.QueryContext(ctx, `
		SELECT r.user_id, r.graph_id, e.ended, b.began
		FROM (SELECT user_id, graph_id, min(day) AS day FROM execution_count WHERE NOT nested GROUP BY user_id, graph_id) r `+daysOf+`
		WHERE r.graph_id <> '00000000-0000-0000-0000-000000000000' AND r.day < (b.began AT TIME ZONE 'UTC')::date`, g.config.Retention, began)
	if err != nil {
		return 0, fmt.Errorf("look for old executions: %w", err)
	}
	defer rows.Close()
	var all []expired
	for rows.Next() {
		var x expired
		if err := rows.Scan(&x.user, &x.graph, &x.ended, &x.began); err != nil {
			return 0, fmt.Errorf("look for old executions: %w", err)
		}
		all = append(all, x)
	}
	if err := rows.Err(); err != nil {
		return 0, fmt.Errorf("look for old executions: %w", err)
	}
	for _, x := range all {
		for n := rootsAtOnce; n >= rootsAtOnce; { // fewer are all that there are
			begun := time.Now()
			if n, err = g.removeSome(ctx, x, spared); err != nil {
				return removed, err
			}
			removed += n
			if err := renew(); err != nil {
				return removed, err
			}
			select { // what is removed must not hold up what runs
			case <-time.After(time.Since(begun)):
			case <-ctx.Done():
				return removed, ctx.Err()
			}
		}
	}
	return removed, nil
}

// expired are the executions of a user and graph that began before one time and ended before another.
type expired struct {
	user         string
	graph        uuid.UUID
	ended, began time.Time
}

// spared are the partitions in which nothing will be left. It reads their executions by the primary key.
func (g *generation) spared(ctx context.Context, began sql.NullTime) ([]span, error) {
	old, err := g.partitions.old(ctx)
	if err != nil {
		return nil, err
	}
	var spared []span
	for _, s := range old {
		var stays bool
		if err := g.db.QueryRowContext(ctx, `
			SELECT EXISTS (SELECT FROM execution x JOIN execution r ON r.id = x.root_id `+daysOf+`
				WHERE x.id >= ?2 AND x.id < ?3 AND (r.ended_at < e.ended AND r.id < history_id(b.began) AND NOT `+beingRetried+`) IS NOT TRUE)`,
			g.config.Retention, began, s.since, s.until).Scan(&stays); err != nil {
			return nil, fmt.Errorf("look at an old partition: %w", err)
		}
		if !stays {
			spared = append(spared, s)
		}
	}
	return spared, nil
}

// removeSome removes some executions with what is nested in them, by execution_by_graph and execution_by_parent.
func (g *generation) removeSome(ctx context.Context, x expired, spared []span) (removed int, err error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	err = g.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		var gone []uuid.UUID
		if err := tx.NewRaw(`
			WITH RECURSIVE roots AS (
				SELECT id FROM execution r WHERE user_id = ?0 AND graph_id = ?1 AND status IN ('COMPLETED', 'FAILED', 'TERMINATED') AND parent_id IS NULL
					AND created_at < ?2::timestamptz + interval '1 day' AND id < history_id(?2) AND ended_at < ?3 AND NOT `+beingRetried+` LIMIT ?4),
			t AS (SELECT id, 0 AS depth FROM roots UNION ALL SELECT e.id, t.depth + 1 FROM execution e JOIN t ON e.parent_id = t.id),
			gone AS (DELETE FROM execution WHERE id = ANY (ARRAY(SELECT id FROM t ORDER BY depth DESC LIMIT ?5)) RETURNING *),
			counted AS (`+countGone+`)
			SELECT id FROM gone`, x.user, x.graph, x.began, x.ended, rootsAtOnce, executionsAtOnce).Scan(ctx, &gone); err != nil {
			return fmt.Errorf("remove old executions: %w", err)
		}
		if removed = len(gone); removed == 0 {
			// The counts of days of which nothing is left; what was removed now may not be folded in before the next time.
			_, err := tx.ExecContext(ctx, `DELETE FROM execution_count WHERE user_id = ? AND graph_id IN (?, ?) AND day < (?::timestamptz AT TIME ZONE 'UTC')::date AND n = 0`, x.user, x.graph, uuid.Nil, x.began)
			return err
		}
		g.writer.counted.Store(true)
		return removeHistory(ctx, tx, gone, spared)
	})
	return removed, err
}

// removeHistory removes what happened in executions, unless it goes with its partition.
func removeHistory(ctx context.Context, tx bun.Tx, executions []uuid.UUID, spared []span) error {
	var ids []uuid.UUID
	for _, id := range executions {
		lies := false
		for i := range spared {
			lies = lies || spared[i].has(id)
		}
		if !lies {
			ids = append(ids, id)
		}
	}
	for _, from := range []struct {
		table string
		ids   []uuid.UUID
	}{{"journal", ids}, {"value", ids}, {hostservice.Remembered, executions}} {
		if len(from.ids) == 0 {
			continue
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM ? WHERE execution_id IN (?)`, bun.Ident(from.table), bun.List(from.ids)); err != nil {
			return fmt.Errorf("delete from %s: %w", from.table, err)
		}
	}
	return nil
}

// maxUserID bounds the ids of users that something is set for, in bytes.
const maxUserID = 1000

// ErrRetention means that a number of days cannot be.
var ErrRetention = errors.New("executions are kept for 0 to 36,500 days")

// Retention is for how many days executions of a user that have ended are kept; 0: for ever. Days is what was set, nil
// for nothing, and Effective what counts.
type Retention struct {
	Days      *int
	Effective int
}

// RetentionOf is that of a user's executions of a graph, or, without one, of all.
func (s *Service) RetentionOf(ctx context.Context, user, graph string) (Retention, error) {
	id, err := retentionKey(user, graph)
	if err != nil {
		return Retention{}, err
	}
	var r Retention
	var days sql.NullInt64
	if err := s.db.QueryRowContext(ctx, `
		SELECT s.days, coalesce(d.days, 0) FROM (VALUES (?2, ?3::uuid)) AS r (user_id, graph_id) `+daysOf+`
		LEFT JOIN execution_retention s ON s.user_id = r.user_id AND s.graph_id = r.graph_id`, s.config.Retention, nil, user, id).Scan(&days, &r.Effective); err != nil {
		return Retention{}, fmt.Errorf("read retention: %w", err)
	}
	if days.Valid {
		n := int(days.Int64)
		r.Days = &n
	}
	return r, nil
}

// SetRetention sets it, or, for nil, sets nothing any more. It may answer ErrRetention.
func (s *Service) SetRetention(ctx context.Context, user, graph string, days *int) error {
	id, err := retentionKey(user, graph)
	if err != nil {
		return err
	}
	if days == nil {
		_, err = s.db.ExecContext(ctx, `DELETE FROM execution_retention WHERE user_id = ? AND graph_id = ?`, user, id)
	} else if *days < 0 || *days > 36500 {
		return ErrRetention
	} else {
		_, err = s.db.ExecContext(ctx, `
			INSERT INTO execution_retention (user_id, graph_id, days) VALUES (?, ?, ?)
			ON CONFLICT (user_id, graph_id) DO UPDATE SET days = excluded.days`, user, id, *days)
	}
	if err != nil {
		return fmt.Errorf("set retention: %w", err)
	}
	return nil
}

func retentionKey(user, graph string) (uuid.UUID, error) {
	if user == "" || len(user) > maxUserID || !utf8.ValidString(user) || strings.ContainsRune(user, 0) {
		return uuid.Nil, ErrNotFound // nobody can have it
	}
	if graph == "" {
		return uuid.Nil, nil
	}
	id, err := cleanID(graph)
	if err == nil && id == uuid.Nil {
		err = ErrNotFound
	}
	return id, err
}
