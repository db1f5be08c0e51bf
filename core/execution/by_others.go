package execution

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"
)

// maxTaken bounds the notes that are taken at once.
const maxTaken = 10_000

// TakeByOthers counts the executions of each graph by others than its author that were accepted since it was last
// called, and forgets them when tx commits: each is counted once, whatever happens. Executions of nested agents do not
// count. There may be more where it answers with any.
func TakeByOthers(ctx context.Context, tx bun.Tx) (map[string]int, error) {
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
