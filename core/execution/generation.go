package execution

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/patchbay-io/patchbay/core/graph"
	"github.com/patchbay-io/patchbay/core/postgres"
)

// generation is everything that lives as long as one hold of the server's lease: the writer, the trees, the queue.
type generation struct {
	*Service
	ctx     context.Context
	cancel  context.CancelCauseFunc
	writer  *writer
	workers workers
	look    chan struct{} // for executions to stop
	others  atomic.Bool   // other servers live

	mu       sync.Mutex
	entries  map[uuid.UUID]*entry
	queue    []*entry // those without a seat, oldest first
	coming   int      // that are being committed to join them
	seats    seats
	pace     pace
	backlog  backlog
	parked   map[uuid.UUID]*run // some of those that wait for any server: those that this one accepted
	hungry   bool               // something may wait that this server could take
	arrivals uint64             // times that something was found to wait
	draining bool
	idle     *sync.Cond
	trees    sync.WaitGroup
	live     live
	claims   claims
	keys     keyClaims
}

func newGeneration(ctx context.Context, s *Service) *generation {
	g := &generation{
		Service: s, writer: newWriter(s.db, s.config.ServerID, &s.partitions, s.log),
		entries: map[uuid.UUID]*entry{}, parked: map[uuid.UUID]*run{}, live: live{runs: map[uuid.UUID]*run{}},
		seats: newSeats(s.config.Concurrency), backlog: backlog{users: map[string]int{}},
		claims: claims{wake: make(chan struct{}, 1), statement: postgres.NewStatement(s.db, claimStatement)},
	}
	if s.config.Elsewhere {
		g.seats.total = 0
	}
	g.ctx, g.cancel = context.WithCancelCause(ctx)
	g.workers.init()
	g.look = make(chan struct{}, 1)
	g.idle = sync.NewCond(&g.mu)
	return g
}

// start takes the lease, and what this server had or nobody has.
func (g *generation) start() error {
	if err := g.writer.acquire(g.ctx); err != nil {
		return err
	}
	if err := g.partitions.ahead(g.ctx); err != nil {
		return err
	}
	if err := g.disown(g.ctx); err != nil {
		return err
	}
	g.mu.Lock()
	g.crave()
	g.mu.Unlock()
	return g.claimAndStop(g.ctx)
}

// run works until the lease is lost or the service shuts down.
func (g *generation) run() error {
	group, ctx := errgroup.WithContext(g.ctx)
	group.Go(func() error { return g.writer.run(ctx) })
	group.Go(func() error { return g.keepHouse(ctx) })
	group.Go(func() error { return g.claimWork(ctx) })
	group.Go(func() error { return g.keepHistory(ctx) })
	<-ctx.Done()
	g.cancel(context.Cause(ctx))
	err := group.Wait()
	g.trees.Wait()
	g.workers.close()
	g.writer.refuseQueued()
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, e := range g.entries {
		if e.accepted != nil {
			e.accepted(errFenced)
		}
	}
	return err
}

// has says that the end of this root execution of the user's is still to be published.
func (g *generation) has(userID string, id uuid.UUID) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	e := g.entries[id]
	switch {
	case e == nil, g.ctx.Err() != nil: // what it still winds up others publish
		return false
	case e.tree != nil:
		return e.tree.root.userID == userID && !e.tree.ended.Load()
	default:
		return e.root != nil && e.root.userID == userID
	}
}

// drive runs one tree from its acceptance or recovery to its end.
func (g *generation) drive(e *entry) error {
	var t *tree
	if e.root == nil {
		m, careful, err := g.recover(g.ctx, e.id)
		if err != nil || m == nil {
			return err
		}
		timezone, err := g.Service.timezone(g.ctx, m.top.userID)
		if err != nil {
			return err
		}
		g.live.resume(m.runs)
		t = newTree(g, m.top, m, timezone)
		if m.top.begun {
			if m.top.timeout > 0 && !time.Now().Before(m.top.startedAt.Add(m.top.timeout)) {
				t.post(timeoutEvent{})
			}
			t.post(resumeEvent{careful: careful})
		} else {
			starting, err := startingNodes(m.top.plan, m.top.inputs)
			if err != nil {
				return err
			}
			t.post(beginEvent{starting})
		}
	} else {
		timezone, err := g.Service.timezone(g.ctx, e.root.userID)
		var starting []startingNode
		if err == nil {
			starting, err = startingNodes(e.root.plan, e.root.inputs)
		}
		if err == nil && e.root.retry != nil {
			e.root.original, err = g.original(g.ctx, e.root.userID, *e.root.retry, e.root.plan)
		}
		if err != nil {
			if e.accepted == nil {
				return err
			}
			e.accepted(err)
			return nil
		}
		t = newTree(g, e.root, newMachine(e.root), timezone)
		t.told = &told{}
		if e.accepted != nil {
			t.accept(e.accepted, e.awaited)
			e.accepted = nil
		}
		t.post(beginEvent{starting})
	}
	g.mu.Lock()
	e.tree = t
	stops, draining := e.stops, g.draining
	g.mu.Unlock()
	for _, id := range stops {
		t.first(stopEvent{id})
	}
	if draining {
		t.post(drainEvent{})
	}
	err := t.run(g.ctx)
	if t.accepted != nil {
		t.accepted(errFenced)
	}
	return err
}

// stopExecution stops an execution of a tree that this server owns, also one that waits for a seat.
func (g *generation) stopExecution(root, id uuid.UUID) (ours bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	e := g.entries[root]
	if e == nil {
		return false
	}
	if e.tree != nil {
		e.tree.post(stopEvent{id})
		return true
	}
	e.stops = append(e.stops, id)
	for i, waiting := range g.queue {
		if waiting == e {
			g.queue = append(g.queue[:i:i], g.queue[i+1:]...)
			g.launch(e) // ending it takes no seat's worth of work
			break
		}
	}
	return true
}

// requestStop lets an execution be stopped by whoever runs it, or ends it where it waits.
func (g *generation) requestStop(ctx context.Context, root, id uuid.UUID, waits bool) error {
	if g.stopExecution(root, id) {
		return nil
	}
	if waits {
		if taken, err := g.endWaiting(ctx, root, id); taken || err != nil {
			return err
		}
	}
	if g.config.Bus != nil {
		g.config.Bus.Stop()
	}
	return nil
}

// drain lets running node executions end, until ctx does.
func (g *generation) drain(ctx context.Context) {
	g.mu.Lock()
	g.draining = true
	for _, e := range g.entries {
		if e.tree != nil {
			e.tree.post(drainEvent{})
		}
	}
	g.mu.Unlock()
	stop := context.AfterFunc(ctx, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.idle.Broadcast()
	})
	defer stop()
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.seats.taken > 0 && ctx.Err() == nil && g.ctx.Err() == nil {
		g.idle.Wait()
	}
}

// release hands what has not ended back to the queue, for this server's next start or for another one.
func (g *generation) release(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_, err := g.db.ExecContext(ctx, `
		WITH l AS (UPDATE lease SET until = now() WHERE server_id = ? AND epoch = ? RETURNING server_id)
		UPDATE execution SET owner = NULL FROM l WHERE owner = l.server_id AND ended_at IS NULL AND parent_id IS NULL`, g.config.ServerID, g.writer.epoch)
	if err != nil {
		return fmt.Errorf("hand executions back: %w", err)
	}
	if g.config.Bus != nil {
		g.config.Bus.Work()
	}
	return nil
}

func (g *generation) awaitLease(ctx context.Context) bool {
	for !g.writer.leased() {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return false
		}
	}
	return ctx.Err() == nil
}

func (g *generation) publish(rows []*row) {
	g.live.committed(rows)
	if elsewhere := g.hub.publish(rows); len(elsewhere) > 0 {
		g.config.Bus.Changed(elsewhere...)
	}
}

// runsElsewhere says that an execution does not run here, so that another server may run it.
func (g *generation) runsElsewhere(id uuid.UUID) bool { return !g.live.has(id) }

// askOthers asks other servers to tell what happens in the executions that are watched here and that they may run.
func (g *generation) askOthers(theirs func(uuid.UUID) bool) {
	if bus := g.beside(); bus != nil {
		watched, awaited := g.hub.asked(theirs)
		bus.Watch(watched...)
		bus.Await(awaited...)
	}
}

// loadChild finds the graph of a nested agent and checks that it can run with these inputs.
func (g *generation) loadChild(ctx context.Context, c command, inputs json.RawMessage, node *graph.Node) childEvent {
	ev, _ := postgres.Lasting(ctx, func() (childEvent, error) {
		ev := g.child(ctx, c, inputs, node)
		return ev, ev.err
	})
	return ev
}

func (g *generation) child(ctx context.Context, c command, inputs json.RawMessage, node *graph.Node) childEvent {
	ev := childEvent{run: c.run.id, exec: c.exec.id}
	nested := graph.NestedAgent(node)
	version := nested.Version
	child, err := g.config.Graphs.ForRun(ctx, c.run.userID, nested.GraphID, version)
	if err != nil {
		ev.err = fmt.Errorf("graph %s, version %d, of the nested agent: %w", nested.GraphID, version, err)
		return ev
	}
	child = child.Masked(graph.ChildMasks(node, c.run.plan.Graph.Masks))
	var problems map[string]map[string]string
	if ev.picks, problems, ev.err = g.pick(ctx, c.run.userID, child, c.run.given()); ev.err != nil {
		return ev
	}
	if ev.plan, ev.err = g.plan(ctx, child, inputs, problems); ev.err != nil {
		if _, invalid := errors.AsType[*graph.Invalid](ev.err); invalid {
			ev.err = fmt.Errorf("the nested agent cannot run: %w", ev.err)
		}
		return ev
	}
	if ev.starting, ev.err = startingNodes(ev.plan, inputs); ev.err != nil {
		return ev
	}
	if c.retry != nil {
		ev.retry = c.retry
		if ev.original, ev.err = g.original(ctx, c.run.userID, *c.retry, ev.plan); ev.err != nil {
			return ev
		}
	}
	ev.id, ev.err = uuid.NewV7()
	return ev
}

// startingNodes are the nodes that run because the execution begins.
func startingNodes(p *Plan, inputs json.RawMessage) ([]startingNode, error) {
	var nodes []startingNode
	for _, start := range graph.Starting(p.Graph, p, inputs) {
		nodes = append(nodes, startingNode{node: start.Node, hasValue: len(start.Data) > 0})
	}
	if len(nodes) == 0 {
		return nil, &graph.Invalid{Message: "the graph has no starting node"}
	}
	return nodes, nil
}
