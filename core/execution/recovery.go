package execution

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/patchbay-io/patchbay/core/execution/journal"
)

// errUnreadable means that what the database holds of an execution cannot be followed.
var errUnreadable = errors.New("the journal of the execution cannot be followed")

// houseEvery is how often a server looks for executions without an owner, dead owners and requests to stop.
const houseEvery = 1 * time.Second

// maxClaims is how often a server may die with a tree in its hands, without a step committed, before the tree's node
// executions run one at a time (contract: durability 5).
const maxClaims = 3

// keepHouse claims what nobody runs and stops what somebody wants stopped.
func (g *generation) keepHouse(ctx context.Context) error {
	tick := time.NewTicker(houseEvery)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-tick.C:
		case <-g.look:
			if err := g.claimAndStop(ctx); err != nil && ctx.Err() == nil {
				g.log.Warn("could not look for executions to stop, trying again", "error", err)
			}
			n--
			continue
		case <-ctx.Done():
			return nil
		}
		if err := g.houseRound(ctx, n); err != nil && ctx.Err() == nil {
			g.log.Warn("housekeeping failed, trying again", "error", err)
		}
	}
}

func (g *generation) houseRound(ctx context.Context, n int) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	g.giveBackQueued()
	if n%30 == 0 {
		if err := g.adopt(ctx); err != nil {
			return err
		}
	}
	if g.writer.counted.Swap(false) || n%60 == 0 { // the latter for what a dead server left
		for more := true; more; {
			var err error
			if more, err = g.foldCounts(ctx); err != nil {
				return err
			}
		}
	}
	if err := g.giveBackKeys(ctx); err != nil {
		return err
	}
	if n%int(watchEvery/houseEvery) == 0 {
		g.askOthers(g.runsElsewhere)
	}
	if n%3600 == 0 {
		if _, err := g.db.ExecContext(ctx, `DELETE FROM idempotency_key WHERE created_at < now() - interval '24 hours'`); err != nil {
			return fmt.Errorf("forget old idempotency keys: %w", err)
		}
		if _, err := g.db.ExecContext(ctx, `
			DELETE FROM lease WHERE until < now() - interval '1 day'
			AND NOT EXISTS (SELECT FROM execution WHERE owner = server_id AND ended_at IS NULL AND parent_id IS NULL)`); err != nil {
			return fmt.Errorf("forget servers that are gone: %w", err)
		}
	}
	return g.claimAndStop(ctx)
}

// claimAndStop finds, in one query over execution_waiting, execution_orphaned, execution_stopping and execution_owned,
// whether there is something to claim, what is to be stopped, whether other servers live, and whether one has died that had
// executions. These it leaves to whoever claims them.
func (g *generation) claimAndStop(ctx context.Context) error {
	rows, err := g.db.QueryContext(ctx, `
		SELECT id, root_id, 'stop' FROM execution x WHERE stop_requested AND ended_at IS NULL
			AND EXISTS (SELECT FROM execution r WHERE r.id = x.root_id AND r.owner = ?0)
		UNION ALL
		(SELECT id, root_id, 'claim' FROM execution WHERE `+waits+` ORDER BY user_id COLLATE "C" LIMIT 1)
		UNION ALL
		(SELECT id, root_id, 'claim' FROM execution WHERE `+orphaned+` ORDER BY created_at LIMIT 1)
		UNION ALL
		(SELECT server_id, server_id, 'server' FROM lease WHERE server_id <> ?0 AND until > now() LIMIT 1)
		UNION ALL
		(SELECT server_id, server_id, 'dead' FROM lease WHERE `+dead+` LIMIT 1)`, g.config.ServerID)
	if err != nil {
		return fmt.Errorf("look for executions: %w", err)
	}
	defer rows.Close()
	waiting, others, died := false, false, false
	for rows.Next() {
		var id, root uuid.UUID
		var what string
		if err := rows.Scan(&id, &root, &what); err != nil {
			return fmt.Errorf("read an execution to stop: %w", err)
		}
		switch what {
		case "stop":
			g.stopExecution(root, id)
		case "claim":
			waiting = true
		case "server":
			others = true
		case "dead":
			died = true
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("look for executions: %w", err)
	}
	g.others.Store(others)
	if died {
		taken, err := g.inherit(ctx)
		if err != nil {
			return err
		}
		waiting = waiting || taken
	}
	g.mu.Lock()
	if waiting {
		g.crave()
	}
	waiting = waiting || g.backlog.total > 0
	g.mu.Unlock()
	if waiting {
		return g.lookAtBacklog(ctx)
	}
	return nil
}

// dead is the condition of leases of other servers, ?0 being this one, that have run out over executions. Of EXISTS the
// planner makes a join, for which it reads all of execution_owned, with the entries of what has ended and was not cleared
// away yet: ten thousand after some seconds of work.
var dead = leaseOver + ` AND server_id <> ?0 AND (SELECT id FROM execution WHERE owner = server_id AND ended_at IS NULL AND parent_id IS NULL LIMIT 1) IS NOT NULL`

// inherit leaves the executions of servers whose lease has run out to whoever claims them, and says whether there were any.
func (g *generation) inherit(ctx context.Context) (taken bool, err error) {
	var owners []uuid.UUID
	err = g.db.NewRaw(`
		WITH dead AS (UPDATE lease SET epoch = epoch + 1 WHERE `+dead+` RETURNING server_id)
		UPDATE execution SET owner = NULL FROM dead WHERE owner = dead.server_id AND ended_at IS NULL AND parent_id IS NULL RETURNING dead.server_id`,
		g.config.ServerID).Scan(ctx, &owners)
	if err != nil {
		return false, fmt.Errorf("take over executions of dead servers: %w", err)
	}
	if len(owners) > 0 {
		g.log.Warn("took over executions of a server whose lease had run out", "executions", len(owners), "server", owners[0])
	}
	return len(owners) > 0, nil
}

// recover reads a tree's state from the database. The machine is nil when the tree has ended.
func (g *generation) recover(ctx context.Context, root uuid.UUID) (m *machine, careful bool, err error) {
	runs, claims, err := g.readTree(ctx, root)
	if err != nil || len(runs) == 0 {
		return nil, false, err
	}
	if m, err = refold(runs); err != nil {
		return nil, false, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	values := map[string]json.RawMessage{}
	for _, v := range m.unresolved() {
		if _, ok := values[string(v.digest)]; ok {
			continue
		}
		raw, err := g.readValue(ctx, runs, v.digest)
		if err != nil {
			return nil, false, err
		}
		values[string(v.digest)] = raw
	}
	if err := m.resolve(values); err != nil {
		return nil, false, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	return m, claims >= maxClaims, nil
}

// readTree reads the executions of a tree that have not ended, parents first, and counts the claim: how many claims
// there were since a step of the tree was committed. It uses the primary key and execution_nested_unfinished.
func (g *generation) readTree(ctx context.Context, root uuid.UUID) ([]*run, int, error) {
	rows, err := g.db.QueryContext(ctx, `
		SELECT x.id, x.parent_id, x.user_id, x.plan_id, p.plan, x.inputs, x.created_at, x.status, x.retry_of, x.retry_from, coalesce(x.credentials, ''), coalesce(x.timeout_ms, 0)
		FROM execution x JOIN execution_plan p ON p.id = x.plan_id
		WHERE x.ended_at IS NULL AND (x.id = ?0 OR x.root_id = ?0 AND x.parent_id IS NOT NULL)`, root)
	if err != nil {
		return nil, 0, fmt.Errorf("read executions: %w", err)
	}
	defer rows.Close()
	found := map[uuid.UUID]*run{}
	children := map[uuid.UUID][]*run{}
	for rows.Next() {
		var id uuid.UUID
		var parent uuid.NullUUID
		var user, document, inputs, credentials string
		var planID []byte
		var created time.Time
		var status Status
		var retryOf uuid.NullUUID
		var retryFrom sql.NullString
		var timeout int64
		if err := rows.Scan(&id, &parent, &user, &planID, &document, &inputs, &created, &status, &retryOf, &retryFrom, &credentials, &timeout); err != nil {
			return nil, 0, fmt.Errorf("read an execution: %w", err)
		}
		p, err := g.plans.stored(planID, document)
		if err != nil {
			return nil, 0, fmt.Errorf("%w: %w", errUnreadable, err)
		}
		picked, err := readPicks(credentials)
		if err != nil {
			return nil, 0, err
		}
		r := newRun(id, user, p, json.RawMessage(inputs), picked)
		r.root, r.createdAt, r.shown = root, created.UTC(), status
		r.timeout = time.Duration(timeout) * time.Millisecond
		if retryOf.Valid {
			r.retry = &retry{retryOf.UUID, retryFrom.String}
		}
		found[id] = r
		if parent.Valid {
			children[parent.UUID] = append(children[parent.UUID], r)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, 0, fmt.Errorf("read executions: %w", err)
	}
	if found[root] == nil {
		return nil, 0, nil
	}
	runs := []*run{found[root]}
	for i := 0; i < len(runs); i++ {
		runs = append(runs, children[runs[i].id]...)
	}
	steps := 0
	for _, r := range runs {
		if r.retry != nil {
			if r.original, err = g.original(ctx, r.userID, *r.retry, r.plan); err != nil {
				return nil, 0, err
			}
		}
		if err := readRows(ctx, g.db, r.id, 0, func(w storedRow) error {
			if err := r.apply(w.kind, w.pos, w.seq, w.nodeExec, w.status, w.at, w.step); err != nil {
				return fmt.Errorf("%w: %w", errUnreadable, err)
			}
			if w.kind != rowAttempt { // it says that something was begun again, not that anything got on
				steps++
			}
			return nil
		}); err != nil {
			return nil, 0, err
		}
	}
	if steps == 0 {
		return runs, 0, nil
	}
	var claims int
	err = g.db.QueryRowContext(ctx, `
		UPDATE execution SET claims = CASE WHEN claimed_at_pos = ?0 THEN claims + 1 ELSE 1 END, claimed_at_pos = ?0 WHERE id = ?1 RETURNING claims`, steps, root).Scan(&claims)
	if err != nil {
		return nil, 0, fmt.Errorf("count the claim: %w", err)
	}
	return runs, claims, nil
}

// giveUp ends a tree that cannot go on, so that it does not look as if it ran for ever.
func (g *generation) giveUp(root uuid.UUID, cause error) {
	ctx, cancel := context.WithTimeout(g.ctx, 10*time.Second)
	defer cancel()
	message := "internal error: the execution could not go on"
	end := openSegment{}
	end.add(&journal.Row{}, &row{kind: rowEnd, status: Failed, events: 1, at: time.Now()}, &journal.Step{Error: message})
	err := end.pack()
	if err == nil {
		_, err = g.db.ExecContext(ctx, `
			WITH l AS (SELECT FROM lease WHERE server_id = ?0 AND epoch = ?1 FOR UPDATE),
			x AS (
				UPDATE execution x SET status = 'FAILED', ended_at = now(), error_message = ?3,
					total_nodes = s.total, completed_nodes = s.completed, failed_nodes = s.failed
				FROM l, execution o CROSS JOIN LATERAL (
					SELECT coalesce(sum(queued), 0) AS total, coalesce(sum(completed), 0) AS completed, coalesce(sum(failed), 0) AS failed
					FROM journal WHERE execution_id = o.id) s
				WHERE x.id = o.id AND o.ended_at IS NULL AND (o.id = ?2 OR o.root_id = ?2 AND o.parent_id IS NOT NULL)
				RETURNING x.id, x.user_id, x.graph_id, x.parent_id, x.created_at, o.status),
			c AS (
				INSERT INTO execution_delta (user_id, graph_id, nested, day, status, n)
				SELECT x.user_id, x.graph_id, x.parent_id IS NOT NULL, (x.created_at AT TIME ZONE 'UTC')::date, s.status, s.n
				FROM x CROSS JOIN LATERAL (VALUES (x.status, -1), ('FAILED', 1)) s (status, n))
			INSERT INTO journal (execution_id, pos, seq, page, queued, completed, failed, is_output, body)
			SELECT x.id, coalesce(j.pos, 0) + 1, coalesce(j.seq, 0) + 1, 0, 0, 0, 0, false, ?4
			FROM x LEFT JOIN LATERAL (SELECT pos, seq FROM journal WHERE execution_id = x.id ORDER BY pos DESC LIMIT 1) j ON true`,
			g.config.ServerID, g.writer.epoch, root, message, end.body)
	}
	if err != nil {
		g.log.Error("could not end an execution that cannot go on", "execution", root, "cause", cause, "error", err)
	}
}
