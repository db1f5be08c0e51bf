package execution

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/patchbay-io/patchbay/core/postgres"
)

// claimedUsers is how many users a claim chooses from. The next one goes on behind them, so that all have their turn.
const claimedUsers = 64

// claimPause is how long a server waits when others have taken everything that it found.
const claimPause = 10 * time.Millisecond

// The conditions of execution_waiting and execution_orphaned.
const (
	waits    = `owner IS NULL AND ended_at IS NULL AND parent_id IS NULL AND status = 'QUEUED'`
	orphaned = `owner IS NULL AND ended_at IS NULL AND parent_id IS NULL AND status = 'RUNNING'`
)

// claimStatement takes what waits, at most as much as this server has room for ($3, and $4 more of users of whom nothing
// runs here): first what has begun already, then by user in turn, those first of whom least runs here ($6, $7), of each
// by priority and age. The turn begins behind the user who was served last ($5). At most $8 of a user's run here, and of
// a graph's what $9, $10 and $11 say, or $12 where they say nothing; 0 is no bound. Whether a row has become another
// server's is looked at when it is taken: many choose the same ones, and go on with the next.
//
// It looks at the first entries of $13 users in execution_waiting, however many there are, and at execution_orphaned. The
// collation of the former, the fixed limits, and the CASE of which the planner thinks nothing, keep it from reading all.
const claimStatement = `WITH RECURSIVE
after AS (
	(SELECT user_id COLLATE "C" AS user_id, 1 AS turn FROM execution WHERE ` + waits + ` AND user_id COLLATE "C" > $5::text ORDER BY user_id COLLATE "C" LIMIT 1)
	UNION ALL
	SELECT n.user_id, u.turn + 1 FROM after u CROSS JOIN LATERAL (
		SELECT user_id COLLATE "C" AS user_id FROM execution WHERE ` + waits + ` AND user_id COLLATE "C" > u.user_id ORDER BY user_id COLLATE "C" LIMIT 1) n WHERE u.turn < $13::integer),
before AS (
	(SELECT user_id COLLATE "C" AS user_id, 1 AS turn FROM execution WHERE ` + waits + ` AND user_id COLLATE "C" <= $5::text ORDER BY user_id COLLATE "C" LIMIT 1)
	UNION ALL
	SELECT n.user_id, u.turn + 1 FROM before u CROSS JOIN LATERAL (
		SELECT user_id COLLATE "C" AS user_id FROM execution WHERE ` + waits + ` AND user_id COLLATE "C" > u.user_id AND user_id COLLATE "C" <= $5::text ORDER BY user_id COLLATE "C" LIMIT 1) n WHERE u.turn < $13::integer),
graphs AS (SELECT * FROM unnest($9::text[], $10::uuid[], $11::integer[]) AS g(user_id, graph_id, room)),
users AS (
	SELECT u.user_id, u.turn, coalesce(b.n, 0) AS n, ARRAY(SELECT graph_id FROM graphs g WHERE g.user_id COLLATE "C" = u.user_id AND g.room <= 0) AS full_graphs
	FROM (SELECT user_id, turn FROM after UNION ALL SELECT user_id, turn + $13::integer FROM before ORDER BY turn LIMIT $13::integer) u
	LEFT JOIN unnest($6::text[], $7::integer[]) AS b(user_id, n) ON b.user_id COLLATE "C" = u.user_id),
first AS (
	SELECT x.*, u.n, u.turn, row_number() OVER (PARTITION BY u.user_id, x.graph_id ORDER BY x.priority DESC, x.created_at, x.id) AS nth
	FROM users u CROSS JOIN LATERAL (
		SELECT id, graph_id, priority, created_at FROM execution WHERE ` + waits + ` AND user_id COLLATE "C" = u.user_id
		AND CASE WHEN u.full_graphs = '{}' THEN true ELSE graph_id <> ALL (u.full_graphs) END
		ORDER BY user_id COLLATE "C", priority DESC, created_at, id LIMIT 64) x),
allowed AS (
	SELECT f.id, f.turn, f.n + row_number() OVER (PARTITION BY f.turn ORDER BY f.priority DESC, f.created_at, f.id) AS level
	FROM first f WHERE $12::integer = 0 OR f.nth <= coalesce((SELECT room FROM graphs g JOIN users u ON g.user_id COLLATE "C" = u.user_id WHERE u.turn = f.turn AND g.graph_id = f.graph_id), $12::integer)),
fair AS (
	SELECT id, level, row_number() OVER (ORDER BY level, turn) AS place FROM allowed WHERE $8::integer = 0 OR level <= $8::integer),
picked AS (
	(SELECT id, 0::bigint AS place FROM execution WHERE ` + orphaned + ` ORDER BY created_at LIMIT greatest($3::integer, 0))
	UNION ALL
	SELECT id, place FROM fair WHERE place <= $3::integer OR place <= $3::integer + $4::integer AND level = 1),
taken AS (
	UPDATE execution SET owner = $1::uuid
	WHERE id IN (SELECT id FROM execution WHERE id = ANY (ARRAY(SELECT id FROM picked)) AND owner IS NULL AND ended_at IS NULL FOR UPDATE SKIP LOCKED)
	AND EXISTS (SELECT FROM lease WHERE server_id = $1::uuid AND epoch = $2::bigint AND until > now())
	RETURNING id, user_id, graph_id, status, stop_requested)
SELECT t.id, t.user_id, t.graph_id, t.status, t.stop_requested FROM picked p LEFT JOIN taken t USING (id) ORDER BY p.place`

// claims takes what waits in the database.
type claims struct {
	wake      chan struct{}
	statement *postgres.Statement
	last      string // user who was served last
}

// claimWork takes what waits whenever there is room and something may wait, until ctx ends.
func (g *generation) claimWork(ctx context.Context) error {
	defer g.claims.statement.Close()
	for {
		select {
		case <-g.claims.wake:
		case <-ctx.Done():
			return nil
		}
		if err := g.claimAll(ctx); err != nil && ctx.Err() == nil {
			g.log.Warn("could not claim executions, trying again", "error", err) // with the next round of the house
		}
	}
}

// claimAll claims until there is no room or nothing to claim.
func (g *generation) claimAll(ctx context.Context) error {
	for {
		g.mu.Lock()
		free, spare, arrivals := g.seats.free()-len(g.queue), g.seats.spare(), g.arrivals
		wanted := g.hungry && free+spare > 0 && !g.draining
		args := g.claimArguments(free, spare)
		g.mu.Unlock()
		if !wanted {
			return nil
		}
		found, taken, err := g.claim(ctx, args)
		if err != nil {
			return err
		}
		if found > 0 {
			if taken == 0 { // another server is about to have them, or this one's lease is over
				select {
				case <-time.After(claimPause):
				case <-ctx.Done():
				}
			}
			continue
		}
		g.mu.Lock()
		if free > 0 && g.arrivals == arrivals {
			g.hungry = false
		}
		g.mu.Unlock()
		return nil
	}
}

// claimArguments are those of claimStatement. The lock is held.
func (g *generation) claimArguments(free, spare int) []any {
	var users, counts, owners, graphs, rooms column
	for user, n := range g.seats.users {
		users.text(user)
		counts.int(int64(n))
	}
	for who, n := range g.seats.graphs {
		owners.text(who.user)
		graphs.text(who.graph)
		rooms.int(int64(g.seats.perGraph - n))
	}
	return []any{
		g.config.ServerID.String(), g.writer.epoch, free, spare, g.claims.last, users.array(), counts.array(), g.seats.perUser,
		owners.array(), graphs.array(), rooms.array(), g.seats.perGraph, claimedUsers,
	}
}

// claim takes executions and says how many it found; some of them may have been taken by others.
func (g *generation) claim(ctx context.Context, args []any) (found, taken int, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var entries []*entry
	err = g.claims.statement.Rows(ctx, args, func(rows *sql.Rows) error {
		var id, graph uuid.NullUUID
		var user, status sql.NullString
		var stop sql.NullBool
		if err := rows.Scan(&id, &user, &graph, &status, &stop); err != nil {
			return err
		}
		found++
		if !id.Valid {
			return nil
		}
		e := &entry{id: id.UUID, who: userGraph{user.String, graph.UUID.String()}}
		if stop.Bool {
			e.stops = append(e.stops, e.id)
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		if status.String == string(Queued) { // else another server has begun what this one knows the acceptance of
			e.root = g.parked[e.id]
			g.backlog.add(user.String, -1)
			g.claims.last = user.String
		}
		delete(g.parked, e.id)
		entries = append(entries, e)
		return nil
	})
	if err != nil {
		return 0, 0, fmt.Errorf("claim executions: %w", err)
	}
	for _, e := range entries {
		g.own(e)
	}
	return found, len(entries), nil
}

// disown leaves everything to whoever claims it first: what an earlier process had, or a lost lease.
func (g *generation) disown(ctx context.Context) error {
	_, err := g.db.ExecContext(ctx, `UPDATE execution SET owner = NULL WHERE owner = ? AND ended_at IS NULL AND parent_id IS NULL`, g.config.ServerID)
	if err != nil {
		return fmt.Errorf("take up the executions of this server: %w", err)
	}
	return nil
}

// adopt takes up what this server owns without knowing it: a claim whose answer got lost. One
// that runs nothing has claimed only to stop. It uses execution_owned.
func (g *generation) adopt(ctx context.Context) error {
	rows, err := g.db.QueryContext(ctx, `SELECT id, user_id, graph_id FROM execution WHERE owner = ? AND ended_at IS NULL AND parent_id IS NULL`, g.config.ServerID)
	if err != nil {
		return fmt.Errorf("find the executions of this server: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var e entry
		if err := rows.Scan(&e.id, &e.who.user, &e.who.graph); err != nil {
			return fmt.Errorf("read an execution of this server: %w", err)
		}
		if g.config.Elsewhere {
			e.stops = append(e.stops, e.id)
		}
		g.own(&e)
	}
	return rows.Err()
}

// endWaiting takes a root that waits, to stop an execution of its tree. A server that runs nothing takes none of which
// anything would go on.
func (g *generation) endWaiting(ctx context.Context, root, id uuid.UUID) (taken bool, err error) {
	if g.config.Elsewhere && root != id {
		return false, nil
	}
	e := &entry{id: root, stops: []uuid.UUID{id}}
	var status Status
	err = g.db.QueryRowContext(ctx, `
		UPDATE execution SET owner = ?0 WHERE id = ?1 AND owner IS NULL AND ended_at IS NULL
		AND EXISTS (SELECT FROM lease WHERE server_id = ?0 AND epoch = ?2 AND until > now())
		RETURNING user_id, graph_id, status`, g.config.ServerID, root, g.writer.epoch).Scan(&e.who.user, &e.who.graph, &status)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("take an execution to stop it: %w", err)
	}
	if status == Queued {
		g.mu.Lock()
		g.backlog.add(e.who.user, -1)
		delete(g.parked, root)
		g.mu.Unlock()
	}
	g.own(e)
	g.stopExecution(root, id) // if it was adopted meanwhile
	return true, nil
}

// giveBack leaves an execution to other servers. One that is to be stopped says so.
func (g *generation) giveBack(id uuid.UUID) {
	ctx, cancel := context.WithTimeout(g.ctx, 5*time.Second)
	defer cancel()
	if _, err := g.db.ExecContext(ctx, `UPDATE execution SET owner = NULL WHERE id = ? AND owner = ? AND ended_at IS NULL`, id, g.config.ServerID); err != nil {
		g.log.Warn("could not give an execution back", "execution", id, "error", err) // it is, when the lease ends
	}
}
