package graph

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/uptrace/bun"

	"github.com/patchbay-io/patchbay/core/postgres"
)

// state is what changes of a graph.
type state struct {
	active, latest int
	createdAt      time.Time
}

// stateReader reads the states of graphs. Every execution asks for one, and none may be remembered, since another server
// may change it at any moment. So those who come while the database is being asked wait for the next question, which is
// one for all of them: what they are told was read after they had asked.
type stateReader struct {
	one, several *postgres.Statement

	mu     sync.Mutex
	asking bool
	next   *stateQuestion     // takes those who come; nil if there are none
	last   map[ownedGraph]int // active versions, as they were when they were last read
}

// maxLast bounds what is presumed.
const maxLast = 10_000

// stateQuestion is what is asked for at once.
type stateQuestion struct {
	asked map[ownedGraph]bool
	turn  chan struct{} // holds one value once the question may be asked; whoever takes it asks
	done  chan struct{} // closed when found and err are there
	found map[ownedGraph]state
	err   error
}

type ownedGraph struct {
	ID   string `json:"id"`
	User string `json:"user_id"`
}

const stateTimeout = 10 * time.Second

// findState and findStates look graphs up by their keys, whatever the planner thinks of the table.
const findState = `SELECT active_version, latest_version, created_at FROM graph WHERE id = $1::uuid AND user_id = $2`

const findStates = `
	SELECT asked.id, asked.user_id, g.active_version, g.latest_version, g.created_at
	FROM json_to_recordset($1::json) AS asked (id uuid, user_id text), LATERAL (
		SELECT active_version, latest_version, created_at FROM graph WHERE id = asked.id AND user_id = asked.user_id OFFSET 0) g`

func newStateReader(db *bun.DB) *stateReader {
	return &stateReader{one: postgres.NewStatement(db, findState), several: postgres.NewStatement(db, findStates)}
}

// state is that of the user's graph, whose id must be a UUID in its usual form.
func (r *stateReader) state(ctx context.Context, user, id string) (state, error) {
	g := ownedGraph{id, user}
	q := r.join(g)
	select {
	case <-q.done:
	case <-q.turn:
		r.ask(ctx, q)
	case <-ctx.Done():
		return state{}, fmt.Errorf("find graph: %w", ctx.Err())
	}
	if q.err != nil {
		return state{}, fmt.Errorf("find graph: %w", q.err)
	}
	found, ok := q.found[g]
	if !ok {
		return state{}, ErrNotFound
	}
	return found, nil
}

func (r *stateReader) join(g ownedGraph) *stateQuestion {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.next == nil {
		r.next = &stateQuestion{asked: map[ownedGraph]bool{}, turn: make(chan struct{}, 1), done: make(chan struct{})}
	}
	q := r.next
	q.asked[g] = true
	if !r.asking {
		r.asking = true
		q.turn <- struct{}{}
	}
	return q
}

// ask asks for all who wait, so it does not end with the one who asks.
func (r *stateReader) ask(ctx context.Context, q *stateQuestion) {
	r.mu.Lock()
	r.next = nil
	r.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stateTimeout)
	q.found, q.err = r.read(ctx, slices.Collect(maps.Keys(q.asked)))
	cancel()
	close(q.done)
	r.mu.Lock()
	defer r.mu.Unlock()
	if q.err == nil {
		r.learn(q)
	}
	if r.asking = r.next != nil; r.asking {
		r.next.turn <- struct{}{}
	}
}

// learn keeps what was found. The lock is held.
func (r *stateReader) learn(q *stateQuestion) {
	if r.last == nil || len(r.last) > maxLast {
		r.last = map[ownedGraph]int{}
	}
	for g := range q.asked {
		if s, ok := q.found[g]; ok {
			r.last[g] = s.active
		} else {
			delete(r.last, g)
		}
	}
}

// presumed is the active version of the user's graph as it was when it was last read, or 0.
func (r *stateReader) presumed(user, id string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last[ownedGraph{id, user}]
}

func (r *stateReader) read(ctx context.Context, graphs []ownedGraph) (map[ownedGraph]state, error) {
	if len(graphs) == 1 { // mostly, and it costs the database half
		var s state
		switch err := r.one.Row(ctx, []any{graphs[0].ID, graphs[0].User}, &s.active, &s.latest, &s.createdAt); {
		case errors.Is(err, sql.ErrNoRows):
			return nil, nil
		case err != nil:
			return nil, err
		}
		return map[ownedGraph]state{graphs[0]: s}, nil
	}
	asked, err := json.Marshal(graphs)
	if err != nil {
		return nil, err
	}
	found := make(map[ownedGraph]state, len(graphs))
	err = r.several.Rows(ctx, []any{string(asked)}, func(rows *sql.Rows) error {
		var g ownedGraph
		var s state
		if err := rows.Scan(&g.ID, &g.User, &s.active, &s.latest, &s.createdAt); err != nil {
			return err
		}
		found[g] = s
		return nil
	})
	return found, err
}
