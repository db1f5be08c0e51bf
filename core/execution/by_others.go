package execution

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"
)

// maxTaken bounds the notes that are taken at once.
const maxTaken = 10_000

// ByOthers are the executions of graphs by others than their authors that were accepted and that nobody has counted.
// Those of nested agents are not among them.
type ByOthers struct{ DB *bun.DB }

// Any says whether there are some.
func (o ByOthers) Any(ctx context.Context) (bool, error) {
	var any bool
	if err := o.DB.QueryRowContext(ctx, `SELECT EXISTS (SELECT FROM execution_by_other)`).Scan(&any); err != nil {
		return false, fmt.Errorf("look for executions by others: %w", err)
	}
	return any, nil
}

// Take counts them by graph, and forgets them when tx commits: each is counted once, whatever happens.
func (o ByOthers) Take(ctx context.Context, tx bun.Tx) (map[string]int, error) {
	rows, err := tx.QueryContext(ctx, `
		WITH taken AS (
			DELETE FROM execution_by_other WHERE execution_id IN (
				SELECT execution_id FROM execution_by_other LIMIT ? FOR UPDATE SKIP LOCKED)
			RETURNING graph_id)
		SELECT graph_id, count(*) FROM taken GROUP BY graph_id`, maxTaken)
	if err != nil {
		return nil, fmt.Errorf("count executions by others: %w", err)
	}
	defer func() { _ = rows.Close() }()
	counts := map[string]int{}
	for rows.Next() {
		var id string
		var n int
		if err := rows.Scan(&id, &n); err != nil {
			return nil, fmt.Errorf("count executions by others: %w", err)
		}
		counts[id] = n
	}
	return counts, rows.Err()
}
