package execution

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync"

	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/core/graph"
)

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
}

// plan is what an execution of g that is accepted now runs by. It is stored when it returns.
func (s *Service) plan(ctx context.Context, g *graph.Graph) (*Plan, error) {
	key := planKey{graph: g.ID, version: g.Version}
	if len(g.Masks) > 0 {
		key.id = sha256.Sum256(g.Masks)
	}
	s.plans.mu.Lock()
	c := s.plans.plans[key]
	s.plans.mu.Unlock()
	if c != nil && c.current(s.blocks) {
		return c.plan, nil
	}
	p, err := newPlan(g, s.blocks)
	if err != nil {
		return nil, &graph.Invalid{Message: err.Error()}
	}
	if _, err := s.db.ExecContext(ctx, `INSERT INTO execution_plan (id, plan) VALUES (?, ?) ON CONFLICT DO NOTHING`, p.ID[:], p.Document); err != nil {
		return nil, fmt.Errorf("store plan: %w", err)
	}
	c = &cachedPlan{plan: p, blocks: p.blocks}
	s.plans.keep(key, c)
	return p, nil
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
