package execution

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/patchbay-io/patchbay/core/postgres"
)

// claimedUsers is how many users a claim chooses from. The next one goes on behind them, so that all have their turn.
const claimedUsers = 64

// claimPause is how long a server waits when others have taken everything that it found.
const claimPause = 10 * time.Millisecond

// claimHolds is how long a claim keeps the free seats from what arrives. One that takes longer hangs, and what it brings in the
// end waits here for seats.
const claimHolds = 500 * time.Millisecond

// drainedFor is how long what arrives goes on to have its turn at once after a claim has seen the end of what waits in the
// database. So long at most it goes before what has been left there since; then everybody gets in line there.
const drainedFor = 200 * time.Millisecond

// claimedOfUser is how many of a user's a claim looks at, by the statement below.
const claimedOfUser = 64

// The conditions of execution_waiting and execution_orphaned.
const (
	waits    = `owner IS NULL AND ended_at IS NULL AND parent_id IS NULL AND status = 'QUEUED'`
	orphaned = `owner IS NULL AND ended_at IS NULL AND parent_id IS NULL AND status = 'RUNNING'`
)

// claimStatement takes what waits, at most as much as this server has room for ($3, and $4 more of users of whom nothing
// runs here): first what has begun already, then by user in turn, those first of whom least runs here ($6), of each
// by priority and age. The turn begins behind the user who was served last ($5). Whether a row has become another
// server's is looked at when it is taken: many choose the same ones, and go on with the next.
//
// At most $7 of a user's and $8 of a graph of his may run at once on all servers, 0 is no bound, and of a graph what its
// version says (max_concurrent). Bounded ones are taken only where $10 is true. Then what runs is counted, and nobody
// else may claim so at the same time: see claimAlone.
//
// It looks at the first entries of $9 users in execution_waiting, however many there are, and at execution_orphaned. The
// collation of the former, the fixed limits, and the CASE of which the planner thinks nothing, keep it from reading all.
// The last row of its answer, without an id, has the last of these users where there may be more.
const claimStatement = `WITH RECURSIVE
after AS (
	(SELECT user_id COLLATE "C" AS user_id, 1 AS turn FROM execution WHERE ` + waits + ` AND user_id COLLATE "C" > $5::text ORDER BY user_id COLLATE "C" LIMIT 1)
	UNION ALL
	SELECT n.user_id, u.turn + 1 FROM after u CROSS JOIN LATERAL (
		SELECT user_id COLLATE "C" AS user_id FROM execution WHERE ` + waits + ` AND user_id COLLATE "C" > u.user_id ORDER BY user_id COLLATE "C" LIMIT 1) n WHERE u.turn < $9::integer),
before AS (
	(SELECT user_id COLLATE "C" AS user_id, 1 AS turn FROM execution WHERE ` + waits + ` AND user_id COLLATE "C" <= $5::text ORDER BY user_id COLLATE "C" LIMIT 1)
	UNION ALL
	SELECT n.user_id, u.turn + 1 FROM before u CROSS JOIN LATERAL (
		SELECT user_id COLLATE "C" AS user_id FROM execution WHERE ` + waits + ` AND user_id COLLATE "C" > u.user_id AND user_id COLLATE "C" <= $5::text ORDER BY user_id COLLATE "C" LIMIT 1) n WHERE u.turn < $9::integer),
running AS MATERIALIZED (
	SELECT user_id COLLATE "C" AS user_id, graph_id, count(*) AS n, max(coalesce(least(max_concurrent, nullif($8::integer, 0)), 2147483647)) AS bound
	FROM (
		SELECT x.user_id, x.graph_id, x.max_concurrent FROM lease l JOIN execution x ON x.owner = l.server_id WHERE x.ended_at IS NULL AND x.parent_id IS NULL
		UNION ALL
		SELECT user_id, graph_id, max_concurrent FROM execution WHERE ` + orphaned + `) x
	WHERE $10::boolean GROUP BY 1, 2),
users AS MATERIALIZED (
	SELECT u.user_id, u.turn, coalesce(b.n, 0) AS n, coalesce(r.n, 0) AS runs, coalesce(r.full_graphs, '{}') AS full_graphs
	FROM (SELECT user_id, turn FROM after UNION ALL SELECT user_id, turn + $9::integer FROM before ORDER BY turn LIMIT $9::integer) u
	LEFT JOIN (SELECT key AS user_id, value::integer AS n FROM json_each_text($6::json)) AS b ON b.user_id COLLATE "C" = u.user_id
	LEFT JOIN (SELECT user_id, sum(n) AS n, array_agg(graph_id) FILTER (WHERE n >= bound) AS full_graphs FROM running GROUP BY 1) r ON r.user_id = u.user_id),
first AS (
	SELECT x.*, u.user_id, u.n, u.turn, u.runs, row_number() OVER (PARTITION BY u.user_id, x.graph_id ORDER BY x.priority DESC, x.created_at, x.id) AS nth
	FROM users u CROSS JOIN LATERAL (
		SELECT id, graph_id, priority, created_at, least(max_concurrent, nullif($8::integer, 0)) AS bound FROM execution WHERE ` + waits + ` AND user_id COLLATE "C" = u.user_id
		AND CASE WHEN u.full_graphs = '{}' THEN true ELSE graph_id <> ALL (u.full_graphs) END
		ORDER BY user_id COLLATE "C", priority DESC, created_at, id LIMIT 64) x
	WHERE NOT ($10::boolean AND $7::integer > 0 AND u.runs >= $7::integer)),
allowed AS (
	SELECT f.id, f.turn, f.n, f.runs, f.bound, row_number() OVER (PARTITION BY f.turn ORDER BY f.priority DESC, f.created_at, f.id) AS nth
	FROM first f LEFT JOIN running r ON r.user_id = f.user_id AND r.graph_id = f.graph_id
	WHERE NOT $10::boolean OR f.bound IS NULL OR f.nth <= f.bound - coalesce(r.n, 0)),
fair AS (
	SELECT id, n + nth AS level, $7::integer > 0 OR bound IS NOT NULL AS bounded, row_number() OVER (ORDER BY n + nth, turn) AS place
	FROM allowed WHERE NOT $10::boolean OR $7::integer = 0 OR nth <= $7::integer - runs),
picked AS (
	(SELECT id, 0::bigint AS place, false AS bounded FROM execution WHERE ` + orphaned + ` ORDER BY created_at LIMIT greatest($3::integer, 0))
	UNION ALL
	SELECT id, place, bounded FROM fair WHERE place <= $3::integer OR place <= $3::integer + $4::integer AND level = 1),
taken AS (
	UPDATE execution SET owner = $1::uuid
	WHERE id IN (SELECT id FROM execution WHERE id = ANY (ARRAY(SELECT id FROM picked WHERE $10::boolean OR NOT bounded)) AND owner IS NULL AND ended_at IS NULL FOR UPDATE SKIP LOCKED)
	AND EXISTS (SELECT FROM lease WHERE server_id = $1::uuid AND epoch = $2::bigint AND until > now())
	RETURNING id, user_id, graph_id, status, stop_requested, max_concurrent)
SELECT p.place, p.bounded, t.id, t.user_id, t.graph_id, t.status, t.stop_requested, t.max_concurrent IS NOT NULL FROM picked p LEFT JOIN taken t USING (id)
UNION ALL
(SELECT NULL, NULL, NULL, user_id, NULL, NULL, NULL, NULL FROM users WHERE (SELECT count(*) FROM users) >= $9::integer ORDER BY turn DESC LIMIT 1)
ORDER BY 1`

// claimLock keeps servers from claiming bounded executions at the same time: each counts what runs before it adds to it.
// One that stands still with the lock in its hands loses it.
const claimLock = `SELECT set_config('lock_timeout', '5s', true), set_config('idle_in_transaction_session_timeout', '2s', true), pg_advisory_xact_lock(hashtext('patchbay claims'))`

// claims takes what waits in the database.
type claims struct {
	wake      chan struct{}
	statement *postgres.Statement
	last      string    // user who was served last
	alone     bool      // something bounded was met
	busy      bool      // one goes on, for the seats that are free
	at        time.Time // of the last one
	drained   time.Time // when one last saw the end of what waits
}

// hold says that the free seats are claimed for.
func (c *claims) hold() bool { return c.busy && time.Since(c.at) < claimHolds }

// maxTurns is how often a claim goes on to the next users where those that it looked at may not run any more.
const maxTurns = 4

// claimed is what a claim brought.
type claimed struct {
	found   int  // entries, of which others may have taken some
	bounded bool // among what it found something is bounded
	entries []*entry
	next    string // user behind whom others may wait whom it did not look at
}

// drained says that nothing is left of what might have been taken, of so much that was asked for.
func (c *claimed) drained(free int, alone bool) bool {
	return c.found < min(free, claimedOfUser) && c.found == len(c.entries) && c.next == "" && (alone || !c.bounded)
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
	for turns := 0; ; {
		g.mu.Lock()
		alone := g.claims.alone || g.bounded(nil)
		ahead := 0 // what is bounded is counted as running from its claim on
		if !alone {
			ahead = g.ahead()
		}
		free, spare, wanted := g.room(ahead)
		arrivals := g.arrivals
		if !wanted {
			g.mu.Unlock()
			return nil
		}
		args := g.claimArguments(free, spare, alone)
		g.claims.busy, g.claims.at = true, time.Now()
		g.mu.Unlock()
		c, err := g.claim(ctx, args, alone)
		if err == nil {
			for _, e := range c.entries {
				g.own(e)
			}
		}
		g.mu.Lock()
		g.claims.busy = false
		if err != nil {
			g.mu.Unlock()
			return err
		}
		g.claims.alone = c.bounded
		again := c.found > 0 || c.bounded && !alone
		switch {
		case !again && c.next != "" && turns < maxTurns:
			g.claims.last = c.next
			turns++
		case c.drained(free, alone):
			g.claims.drained = time.Now()
			fallthrough
		case !again:
			if free > 0 && g.arrivals == arrivals {
				g.hungry = false
			}
			g.mu.Unlock()
			return nil
		}
		g.mu.Unlock()
		if c.found > 0 && len(c.entries) == 0 && (alone || !c.bounded) { // another server is about to have them, or this one's lease is over
			select {
			case <-time.After(claimPause):
			case <-ctx.Done():
			}
		}
	}
}

// room is how much to claim, where so many seats will be free soon, and whether to do so now: not for every seat that
// becomes free, as long as enough waits here. The lock is held.
func (g *generation) room(ahead int) (free, spare int, wanted bool) {
	free = max(0, g.seats.free()-len(g.queue)+ahead)
	spare = g.seats.spare() + min(0, g.seats.free()) // nobody in the queue may have these
	due := ahead == 0 || time.Since(g.claims.at) >= drainedFor
	return free, spare, (free > ahead/2 || due && free+spare > 0) && g.hungry && !g.draining
}

// claimArguments are those of claimStatement. The lock is held.
func (g *generation) claimArguments(free, spare int, alone bool) []any {
	here := maps.Clone(g.seats.users)
	for _, e := range g.queue {
		here[e.who.user]++
	}
	users, _ := json.Marshal(here) // which cannot fail
	return []any{
		g.config.ServerID.String(), g.writer.epoch, free, spare, g.claims.last, string(users),
		g.config.UserConcurrency, g.config.GraphConcurrency, claimedUsers, alone,
	}
}

// claim takes executions; bounded ones only alone.
func (g *generation) claim(ctx context.Context, args []any, alone bool) (*claimed, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	c := &claimed{}
	var begun []*entry // those of which another server knows more
	scan := func(rows *sql.Rows) error {
		var place sql.NullInt64
		var id, graph uuid.NullUUID
		var user, status sql.NullString
		var bounded, stop, ofGraph sql.NullBool
		if err := rows.Scan(&place, &bounded, &id, &user, &graph, &status, &stop, &ofGraph); err != nil {
			return err
		}
		if !place.Valid {
			c.next = user.String
			return nil
		}
		c.found++
		c.bounded = c.bounded || bounded.Bool
		if !id.Valid {
			return nil
		}
		e := &entry{id: id.UUID, who: userGraph{user.String, graph.UUID.String()}, bounded: ofGraph.Bool || g.bounded(nil)}
		if stop.Bool {
			e.stops = append(e.stops, e.id)
		}
		if c.entries = append(c.entries, e); status.String != string(Queued) {
			begun = append(begun, e)
		}
		return nil
	}
	var err error
	if alone {
		err = g.claimAlone(ctx, args, scan)
	} else {
		err = g.claims.statement.Rows(ctx, args, scan)
	}
	if err != nil {
		return nil, fmt.Errorf("claim executions: %w", err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, e := range c.entries {
		if !slices.Contains(begun, e) {
			e.root = g.parked[e.id]
			g.backlog.add(e.who.user, -1)
			g.claims.last = e.who.user
		}
		delete(g.parked, e.id)
	}
	return c, nil
}

// claimAlone claims while no other server does so: what the others have taken before is counted.
func (g *generation) claimAlone(ctx context.Context, args []any, scan func(*sql.Rows) error) error {
	tx, err := g.db.DB.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(ctx, claimLock); err != nil {
		return err
	}
	if err := g.claims.statement.RowsIn(ctx, tx, args, scan); err != nil {
		return err
	}
	return tx.Commit()
}

// disown leaves everything to whoever claims it first: what an earlier process had, or a lost lease.
func (g *generation) disown(ctx context.Context) error {
	_, err := g.db.ExecContext(ctx, `
		UPDATE execution SET owner = NULL WHERE owner = ?0 AND ended_at IS NULL AND parent_id IS NULL
		AND EXISTS (SELECT FROM lease WHERE server_id = ?0 AND epoch = ?1) -- this may arrive when a later generation works`, g.config.ServerID, g.writer.epoch)
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
		e := entry{bounded: true} // for all that is known of it here
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
	e := &entry{id: root, stops: []uuid.UUID{id}, bounded: g.bounded(nil)}
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

// giveBack leaves executions to other servers. One that is to be stopped says so.
func (g *generation) giveBack(ids ...uuid.UUID) {
	ctx, cancel := context.WithTimeout(g.ctx, 5*time.Second)
	defer cancel()
	if _, err := g.db.ExecContext(ctx, `UPDATE execution SET owner = NULL WHERE id IN (?) AND owner = ? AND ended_at IS NULL`, bun.List(ids), g.config.ServerID); err != nil {
		g.log.Warn("could not give executions back", "executions", ids, "error", err) // they are, when the lease ends
	}
}
