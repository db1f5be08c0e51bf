package execution

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
)

// Counts says how many executions there are, by how they stand. Those of nested agents are not among them.
type Counts struct {
	Total, Completed, Failed, Terminated int
}

// CountsOf are the counts of the user's executions of each of the graphs; one that is missing was never executed. It
// uses the primary key of execution_count and execution_delta_by_user.
func (s *Service) CountsOf(ctx context.Context, userID string, graphIDs []string) (map[string]Counts, error) {
	var keys []uuid.UUID
	for _, id := range graphIDs {
		if key, err := cleanID(id); err == nil && key != uuid.Nil {
			keys = append(keys, key)
		}
	}
	counts := map[string]Counts{}
	if len(keys) == 0 {
		return counts, nil
	}
	rows, err := s.db.QueryContext(ctx, `
		SELECT graph_id, status, sum(n) FROM (
			SELECT graph_id, status, n FROM execution_count WHERE user_id = ?0 AND graph_id IN (?1) AND NOT nested
			UNION ALL
			SELECT graph_id, status, n FROM execution_delta WHERE user_id = ?0 AND graph_id IN (?1) AND NOT nested) c
		GROUP BY graph_id, status`, userID, bun.List(keys))
	if err != nil {
		return nil, fmt.Errorf("count executions: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var graph string
		var status Status
		var n int
		if err := rows.Scan(&graph, &status, &n); err != nil {
			return nil, fmt.Errorf("count executions: %w", err)
		}
		c := counts[graph]
		c.Total += n
		switch status {
		case Completed:
			c.Completed = n
		case Failed:
			c.Failed = n
		case Terminated:
			c.Terminated = n
		}
		counts[graph] = c
	}
	return counts, rows.Err()
}

// countKey is a place in the counts.
type countKey struct {
	user, graph string
	nested      bool
	day         string
	status      Status
}

func (x *executionWrite) countedAs(status Status) countKey {
	return countKey{x.userID, x.plan.Graph.ID, x.parent != nil, x.createdAt.UTC().Format(time.DateOnly), status}
}

// counts are what a batch adds to the counts, as records of execution_delta.
func (w *writer) counts(states []*executionWrite) string {
	deltas := map[countKey]int{}
	for _, x := range states {
		if !x.fresh {
			deltas[x.countedAs(x.was)]--
		}
		deltas[x.countedAs(x.status)]++
	}
	var r records
	for k, delta := range deltas {
		if delta == 0 {
			continue
		}
		w.counted.Store(true)
		r.begin()
		r.text(k.user)
		r.text(k.graph)
		r.bool(k.nested)
		r.text(k.day)
		r.text(string(k.status))
		r.int(int64(delta))
	}
	return r.array()
}

// foldMost bounds what one statement folds.
const foldMost = 20_000

// foldStatement moves what was appended into the counts, and looks the last execution of each graph up that is named there.
const foldStatement = `
	WITH d AS (DELETE FROM execution_delta WHERE ctid = ANY (ARRAY(SELECT ctid FROM execution_delta LIMIT ?1 FOR UPDATE SKIP LOCKED)) RETURNING *),
	levels AS (
		SELECT * FROM d
		UNION ALL SELECT user_id, '00000000-0000-0000-0000-000000000000', nested, day, status, n FROM d),
	c AS (
		INSERT INTO execution_count AS x (user_id, graph_id, nested, day, status, n)
		SELECT user_id, graph_id, nested, day, status, sum(n) FROM levels
		GROUP BY user_id, graph_id, nested, day, status HAVING sum(n) <> 0 ORDER BY user_id, graph_id, nested, day, status
		ON CONFLICT (user_id, graph_id, nested, day, status) DO UPDATE SET n = x.n + excluded.n),
	t AS (SELECT DISTINCT user_id, graph_id FROM d WHERE NOT nested),
	l AS (
		INSERT INTO execution_last AS x (user_id, graph_id, at)
		SELECT t.user_id, t.graph_id, e.at FROM t CROSS JOIN LATERAL (` + newest + `) AS e ORDER BY t.user_id, t.graph_id
		ON CONFLICT (user_id, graph_id) DO UPDATE SET at = excluded.at WHERE x.at IS DISTINCT FROM excluded.at)
	SELECT count(*) FROM d`

// foldCounts folds, and says whether there may be more. One server does so at a time: what the next one sees, no earlier
// one knows better.
func (g *generation) foldCounts(ctx context.Context) (more bool, err error) {
	var n int
	err = g.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock(?)`, foldLock); err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, foldStatement, pgdialect.Array(statusNumbers[:]), foldMost).Scan(&n)
	})
	if err != nil {
		return false, fmt.Errorf("fold the counts of executions: %w", err)
	}
	return n == foldMost, nil
}

// foldLock is an arbitrary key of Postgres's advisory locks.
const foldLock = 0x70617463_636f756e

// countGone is the end of a statement that deletes executions as "gone".
const countGone = `
	INSERT INTO execution_delta (user_id, graph_id, nested, day, status, n)
	SELECT user_id, graph_id, parent_id IS NOT NULL, (created_at AT TIME ZONE 'UTC')::date, status, -count(*) FROM gone GROUP BY 1, 2, 3, 4, 5`
