package execution

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun/dialect/pgdialect"
)

// lastStatuses is how many of a graph's last executions Tally.Last has.
const lastStatuses = 5

// Tally is how a user's executions of one graph went. Those of nested agents are not among them.
type Tally struct {
	Counts
	LastAt time.Time // when the last one was accepted
	Last   []Status  // of the last ones, newest first
}

// Tallies says how the user's executions of each of the graphs went; one that is missing was never executed.
func (s *Service) Tallies(ctx context.Context, userID string, graphIDs []string) (map[string]Tally, error) {
	counts, err := s.CountsOf(ctx, userID, graphIDs)
	if err != nil {
		return nil, err
	}
	var executed []uuid.UUID
	for id := range counts {
		executed = append(executed, uuid.MustParse(id))
	}
	if len(executed) == 0 {
		return nil, nil
	}
	text, args := lastQuery(userID, executed)
	rows, err := s.db.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, fmt.Errorf("read last executions: %w", err)
	}
	defer rows.Close()
	tallies := map[string]Tally{}
	for rows.Next() {
		var id string
		var at time.Time
		var status Status
		if err := rows.Scan(&id, &at, &status); err != nil {
			return nil, fmt.Errorf("read last executions: %w", err)
		}
		t, known := tallies[id]
		if !known {
			t.Counts, t.LastAt = counts[id], at.UTC()
		}
		t.Last = append(t.Last, status)
		tallies[id] = t
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read last executions: %w", err)
	}
	return tallies, nil
}

// newest is when the last execution of the graph t.graph_id of the user t.user_id was accepted, nested ones aside: the
// last one of any status. Argument 0 are the statuses.
const newest = `SELECT max(created_at) AS at FROM last_executions(t.user_id, t.graph_id, ?0, 1)`

// LastRuns is a query: the graphs that the user has executed, each with the time of its last execution, null where it has
// none any more. What is kept in execution_last holds for graphs of which nothing waits to be counted.
func (s *Service) LastRuns(userID string) (query string, args []any) {
	return `
		WITH fresh AS (SELECT DISTINCT user_id, graph_id FROM execution_delta WHERE user_id = ?1 AND NOT nested)
		SELECT graph_id, at FROM execution_last WHERE user_id = ?1 AND graph_id NOT IN (SELECT graph_id FROM fresh)
		UNION ALL
		SELECT t.graph_id, e.at FROM fresh AS t CROSS JOIN LATERAL (` + newest + `) AS e`, []any{pgdialect.Array(statusNumbers[:]), userID}
}

// lastQuery finds the last executions of each graph, newest first, among the last ones of each status.
func lastQuery(userID string, graphs []uuid.UUID) (string, []any) {
	return `
		SELECT g.id, e.created_at, e.status FROM unnest(?0::uuid[]) AS g (id) CROSS JOIN LATERAL (
			SELECT created_at, id, status FROM last_executions(?2, g.id, ?1, ?3) ORDER BY created_at DESC, id DESC LIMIT ?3) AS e
		ORDER BY g.id, e.created_at DESC, e.id DESC`, []any{pgdialect.Array(graphs), pgdialect.Array(statusNumbers[:]), userID, lastStatuses}
}
