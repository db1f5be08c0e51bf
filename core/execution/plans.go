package execution

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/uptrace/bun/dialect/pgdialect"

	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/core/graph"
)

// planNeeded is how long a plan is kept for executions that begin by it, from the last time that a server said so. A server
// says so again in good time before, so that a clock which is put back, or a machine that slept, does no harm.
const planNeeded = 7 * 24 * time.Hour

// maxPlans bounds the compiled plans in memory.
const maxPlans = 1000

// planCache keeps compiled plans. One of a graph version serves as long as the version's blocks are the same.
type planCache struct {
	mu    sync.Mutex
	plans map[planKey]*cachedPlan
}

type planKey struct {
	graph   string
	version int
	id      [sha256.Size]byte // of plans read from the database; for those made of a graph version that of its masks, or zero
}

type cachedPlan struct {
	plan   *Plan
	blocks map[string]*block.Block // what it was made from
	needed time.Time               // until when it is kept in the database, by the wall clock
}

// plan is what an execution of g that is accepted now runs by, unless it could not run: then it answers *graph.Invalid. It
// is stored when it returns. problems are those with the credentials that were found, by node and pin.
func (s *Service) plan(ctx context.Context, g *graph.Graph, inputs json.RawMessage, problems map[string]map[string]string) (*Plan, error) {
	key := planKey{graph: g.ID, version: g.Version}
	if len(g.Masks) > 0 {
		key.id = sha256.Sum256(g.Masks)
	}
	s.plans.mu.Lock()
	c := s.plans.plans[key]
	s.plans.mu.Unlock()
	now := time.Now().Round(0) // without the monotonic clock, which stands still while the machine sleeps
	current := c != nil && c.current(s.blocks)
	validate := graph.ValidateForRun
	if current && len(g.SubGraphs) == 0 { // a plan is made of what is valid
		validate = graph.ValidateStart
	}
	if err := validate(g, s.blocks, inputs, problems); err != nil {
		return nil, err
	}
	if current && now.Before(c.needed.Add(-planNeeded/2)) {
		return c.plan, nil
	}
	var p *Plan
	if current {
		p = c.plan
	} else {
		var err error
		if p, err = newPlan(g, s.blocks); err != nil {
			return nil, &graph.Invalid{Message: err.Error()}
		}
	}
	if _, err := s.db.ExecContext(ctx, `
		INSERT INTO execution_plan AS p (id, plan, needed_until) VALUES (?, ?, now() + ? * interval '1 second')
		ON CONFLICT (id) DO UPDATE SET needed_until = greatest(p.needed_until, excluded.needed_until)`, p.ID[:], p.Document, planNeeded.Seconds()); err != nil {
		return nil, fmt.Errorf("store plan: %w", err)
	}
	s.plans.keep(key, &cachedPlan{plan: p, blocks: p.blocks, needed: now.Add(planNeeded)})
	return p, nil
}

// plansAtOnce bounds how many plans are looked for in one reading of all executions.
const plansAtOnce = 10_000

// removePlans removes plans that nobody needs any more, and answers how many. One can only go when no execution is left
// that began while it was in use, which the primary key tells; then all executions are read, lest it be a plan of one whose
// server had another clock. So that this happens once a day at most, plans are looked at when their last day is over.
func (g *generation) removePlans(ctx context.Context) (removed int, err error) {
	ctx, cancel := context.WithTimeout(ctx, tidyTurn/2)
	defer cancel()
	var unused [][]byte
	err = g.db.NewRaw(`
		SELECT p.id FROM execution_plan p WHERE p.needed_until < date_trunc('day', now(), 'UTC')
			AND (SELECT x.id FROM execution x WHERE x.id >= history_id(greatest(p.made_at - interval '1 day', 'epoch')) AND x.id < history_id(p.needed_until) ORDER BY x.id LIMIT 1) IS NULL
		LIMIT ?`, plansAtOnce).Scan(ctx, &unused)
	if err != nil {
		return 0, fmt.Errorf("look for plans that nobody needs: %w", err)
	}
	if len(unused) == 0 {
		return 0, nil
	}
	err = g.db.QueryRowContext(ctx, `
		WITH unused AS (SELECT unnest(?0::bytea[]) AS id),
		used AS (SELECT DISTINCT u.id FROM execution x JOIN unused u ON u.id = x.plan_id),
		later AS (UPDATE execution_plan SET needed_until = now() + ?1 * interval '1 second' WHERE id IN (SELECT id FROM used)),
		gone AS (DELETE FROM execution_plan WHERE id IN (SELECT id FROM unused EXCEPT SELECT id FROM used) AND needed_until < now() RETURNING id)
		SELECT count(*) FROM gone`, pgdialect.Array(unused), planNeeded.Seconds()).Scan(&removed)
	if err != nil {
		return 0, fmt.Errorf("remove plans that nobody needs: %w", err)
	}
	return removed, nil
}

func (c *cachedPlan) current(blocks graph.Blocks) bool {
	for id, b := range c.blocks {
		if now, ok := blocks.Block(id); !ok || now != b {
			return false
		}
	}
	return true
}

// stored compiles a plan that was read from the database.
func (c *planCache) stored(id []byte, document string) (*Plan, error) {
	key := planKey{id: [sha256.Size]byte(id)}
	c.mu.Lock()
	known := c.plans[key]
	c.mu.Unlock()
	if known != nil {
		return known.plan, nil
	}
	p, err := loadPlan(document)
	if err != nil {
		return nil, err
	}
	c.keep(key, &cachedPlan{plan: p})
	return p, nil
}

func (c *planCache) keep(key planKey, p *cachedPlan) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.plans) >= maxPlans {
		clear(c.plans) // rare, and cheap to fill again
	}
	c.plans[key] = p
}
