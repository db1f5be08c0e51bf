package execution

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/go-hclog"
	"github.com/uptrace/bun"

	"github.com/patchbay-io/patchbay/core/budget"
	"github.com/patchbay-io/patchbay/core/credential"
	"github.com/patchbay-io/patchbay/core/graph"
	"github.com/patchbay-io/patchbay/core/hostservice"
	"github.com/patchbay-io/patchbay/core/plugin"
)

// Errors that callers decide by.
var (
	ErrNotFound    = errors.New("execution not found")
	ErrConflict    = errors.New("conflict")
	ErrUnavailable = errors.New("the server takes no executions at the moment")
	ErrNoNode      = errors.New("the graph has no such node")
)

// Graphs finds what is to be executed.
type Graphs interface {
	// ForRun is a version of a graph that the user may run; version 0 is the active one.
	ForRun(ctx context.Context, userID, graphID string, version int) (*graph.Graph, error)
	// Presumed is the active version of a graph of the user's, if nothing has changed since it was last read.
	Presumed(userID, graphID string) (*graph.Graph, bool)
}

// Runner runs blocks; core/plugin's Host is one.
type Runner interface {
	Run(ctx context.Context, r plugin.Run) plugin.Result
}

// Timezones are those of users, by IANA names. They are asked for each execution that begins or is taken up.
type Timezones interface {
	Timezone(ctx context.Context, user string) (string, error)
}

// Bus brings wake-ups and progress to the other servers of the database; core/event's is one. It does not wait.
type Bus interface {
	Changed(executions ...uuid.UUID)
	Stop()
	Work()
	Watch(executions ...uuid.UUID)
	Await(executions ...uuid.UUID)
	Progress(execution uuid.UUID, frame json.RawMessage)
}

// Config is what a Service needs. Blocks, Graphs, Runner, Logger and what stands before them are required.
type Config struct {
	DB          *bun.DB
	ServerID    uuid.UUID // the same for every start on one data folder
	Blocks      graph.Blocks
	Graphs      Graphs
	Runner      Runner
	Credentials Credentials // of users; nil: nobody has any
	// Alone waits until nobody else uses those of the credentials that cannot be shared, and keeps it so until release.
	// release is nil where all can be shared. Without Alone all can.
	Alone       func(ctx context.Context, all []*credential.Credential) (release func(), err error)
	Services    *hostservice.Service // of blocks; nil: none
	Bus         Bus                  // nil: this server is alone on its database
	Logger      hclog.Logger
	Concurrency int // root executions at once; 0: by the number of cores
	// UserConcurrency bounds the executions of one user that run at once on all servers of the database, GraphConcurrency
	// those of one graph and user; 0: no bound. All servers should have the same.
	UserConcurrency, GraphConcurrency int
	Timeout                           time.Duration // of executions for which nobody says another; 0: none
	// Queue bounds the executions that wait, on all servers together, UserQueue those of one user; 0: DefaultQueue. Over
	// it Execute answers *Busy. The counts may be some seconds old.
	Queue, UserQueue int
	// Elsewhere says that this server runs nothing: what it accepts is for others.
	Elsewhere bool
	Timezones Timezones // nil: everybody has UTC
	// Retention is for how many days executions that have ended are kept; 0: for ever.
	Retention int
}

// DefaultQueue is how many executions may wait.
const DefaultQueue = 100_000

// Service accepts executions, runs those of this server, and shows all.
type Service struct {
	config     Config
	db         *bun.DB
	log        hclog.Logger
	blocks     graph.Blocks
	runner     Runner
	hub        *hub
	plans      planCache
	recent     recent
	budget     *budget.Budget // of what is shown whole
	partitions partitions
	// pollEvery is how often the database is asked about an execution that another server runs, in case that nobody tells.
	pollEvery time.Duration
	alone     chan struct{} // holds one for each block that runs alone
	aloneTime time.Duration // that such a block has

	mu       sync.Mutex
	current  *generation // nil while the server has no lease
	closing  bool
	stopped  chan struct{}
	shutdown context.CancelFunc
}

// New makes a service; Start lets it run.
func New(c Config) (*Service, error) {
	if c.Concurrency == 0 {
		c.Concurrency = 32 * runtime.NumCPU()
	}
	if c.Queue == 0 {
		c.Queue = DefaultQueue
	}
	if c.UserQueue == 0 {
		c.UserQueue = DefaultQueue
	}
	return &Service{
		config: c, db: c.DB, log: c.Logger.Named("execution"), blocks: c.Blocks, runner: c.Runner, hub: newHub(), budget: budget.New(maxShownBytes, maxUserShownBytes),
		partitions: partitions{c.DB, c.Logger.Named("history"), daysFor(c.Retention)},
		plans:      planCache{plans: map[planKey]*cachedPlan{}}, pollEvery: 2 * time.Second,
		alone: make(chan struct{}, c.Concurrency), aloneTime: maxAlone,
	}, nil
}

// timezone is that in which a user's executions tell times.
func (s *Service) timezone(ctx context.Context, user string) (string, error) {
	if s.config.Timezones == nil {
		return "UTC", nil
	}
	return s.config.Timezones.Timezone(ctx, user)
}

// Start takes the server's lease, takes over the executions that an earlier process left, and begins to accept.
func (s *Service) Start(ctx context.Context) error {
	ctx, s.shutdown = context.WithCancel(context.WithoutCancel(ctx))
	g, err := s.lead(ctx)
	if err != nil {
		s.shutdown()
		return err
	}
	s.stopped = make(chan struct{})
	go s.main(ctx, g)
	return nil
}

// main keeps a generation going: when the lease was lost, everything in memory is thrown away and read again.
func (s *Service) main(ctx context.Context, g *generation) {
	defer close(s.stopped)
	for {
		err := g.run()
		s.mu.Lock()
		s.current = nil
		closing := s.closing
		s.mu.Unlock()
		if closing || ctx.Err() != nil {
			return
		}
		s.log.Error("lost the executions, taking them up again", "error", err)
		for {
			if g, err = s.lead(ctx); err == nil {
				break
			}
			s.log.Error("could not take the lease, trying again", "error", err)
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
				return
			}
		}
	}
}

func (s *Service) lead(ctx context.Context) (*generation, error) {
	g := newGeneration(ctx, s)
	if err := g.start(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = g
	return g, nil
}

// Close accepts nothing more, lets running node executions end until ctx does, cuts off the rest, and hands what has
// not ended back to the queue.
func (s *Service) Close(ctx context.Context) error {
	s.mu.Lock()
	s.closing = true
	g := s.current
	s.mu.Unlock()
	if g != nil {
		g.drain(ctx)
	}
	s.shutdown()
	<-s.stopped
	if g == nil {
		return nil
	}
	return g.release(context.WithoutCancel(ctx))
}

func (s *Service) generation() (*generation, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == nil || s.closing {
		return nil, ErrUnavailable
	}
	return s.current, nil
}

// Woken says that another server has committed rows of executions; of any, where the list is nil.
func (s *Service) Woken(executions []uuid.UUID) { s.hub.wake(executions) }

// StopWanted says that another server wants executions to be stopped.
func (s *Service) StopWanted() {
	if g, err := s.generation(); err == nil {
		select {
		case g.look <- struct{}{}:
		default:
		}
	}
}

// Watched says that another server wants to be told of all that happens in executions, for a minute.
func (s *Service) Watched(executions []uuid.UUID) { s.heed(executions, true) }

// Awaited says that another server wants to be told of the ends of executions, for a minute.
func (s *Service) Awaited(executions []uuid.UUID) { s.heed(executions, false) }

// Asked says that another server has not heard what is watched and awaited here: it lives, and is told at once.
func (s *Service) Asked() {
	if g, err := s.generation(); err == nil {
		g.others.Store(true)
		g.askOthers(g.runsElsewhere)
	}
}

func (s *Service) heed(executions []uuid.UUID, whole bool) {
	g, err := s.generation()
	told := s.hub.heed(executions, whole, func(id uuid.UUID) bool { return err == nil && g.live.has(id) })
	if len(told) > 0 {
		s.config.Bus.Changed(told...)
	}
}

// beside is the bus where other servers may hear it, else nil.
func (s *Service) beside() Bus {
	if g, err := s.generation(); err == nil && !s.config.Elsewhere && !g.others.Load() {
		return nil
	}
	return s.config.Bus
}

// ProgressElsewhere is progress of an execution that another server runs, as a frame of the API.
func (s *Service) ProgressElsewhere(execution uuid.UUID, frame json.RawMessage) {
	s.hub.passOn(execution, frame)
}

// WorkWaits says that another server has committed executions that nobody runs.
func (s *Service) WorkWaits() {
	if g, err := s.generation(); err == nil {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.crave()
	}
}

// Wait returns when the execution has ended, or with ctx's error.
func (s *Service) Wait(ctx context.Context, userID, id string) error {
	key, err := cleanID(id)
	if err != nil {
		return err
	}
	w := s.hub.watch(key, false)
	defer s.hub.unwatch(key, w)
	came := make(chan struct{}, 1)
	s.hub.follow(w, func() {
		select {
		case came <- struct{}{}:
		default:
		}
	}, nil)
	again := time.NewTicker(s.pollEvery)
	defer again.Stop()
	for asked := false; ; {
		if !s.live(userID, key) {
			if s.recent.get(userID, key.String()) != nil {
				return nil
			}
			x, err := s.Get(ctx, userID, id)
			if err != nil {
				return err
			}
			if x.Status.Ended() {
				return nil
			}
			if bus := s.beside(); bus != nil && !asked {
				bus.Await(key)
				asked = true
			}
		}
		for waiting := true; waiting; {
			select {
			case <-came:
				if w.ended() {
					return nil
				}
				waiting = false // something was lost
			case <-again.C:
				waiting = false
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
}

// live says that the execution is a root of the user's that this server runs or is about to; its end will be published
// here.
func (s *Service) live(userID string, id uuid.UUID) bool {
	g, err := s.generation()
	return err == nil && g.has(userID, id)
}

// Stop ends an execution and what is nested in it, and answers when they have ended, after 15 s at the latest. An
// execution that has ended is left as it is.
func (s *Service) Stop(ctx context.Context, userID, id string) (*Execution, error) {
	x, err := s.Get(ctx, userID, id)
	if err != nil || x.Status.Ended() {
		return x, err
	}
	var root uuid.UUID
	var waits bool
	err = s.db.QueryRowContext(ctx, `
		UPDATE execution x SET stop_requested = true WHERE id = ? AND user_id = ? AND ended_at IS NULL
		RETURNING root_id, EXISTS (SELECT FROM execution r WHERE r.id = x.root_id AND r.owner IS NULL)`, id, userID).Scan(&root, &waits)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return s.Get(ctx, userID, id)
	case err != nil:
		return nil, fmt.Errorf("request stop: %w", err)
	}
	if g, err := s.generation(); err == nil {
		if err := g.requestStop(ctx, root, uuid.MustParse(x.ID), waits); err != nil {
			return nil, err
		}
	}
	wctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	if err := s.Wait(wctx, userID, id); err != nil && ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return s.Get(ctx, userID, id)
}

// StopGraph stops all executions of a graph that was deleted. It uses execution_by_graph.
func (s *Service) StopGraph(ctx context.Context, userID, graphID string) error {
	if _, err := uuid.Parse(graphID); err != nil {
		return nil
	}
	tried := map[string]bool{}
	for again := true; again; {
		if err := s.awaitBatches(ctx); err != nil {
			return err
		}
		var ids []string
		if err := s.db.NewRaw(`SELECT id FROM execution WHERE user_id = ? AND graph_id = ? AND status IN ('QUEUED', 'RUNNING') AND parent_id IS NULL`, userID, graphID).Scan(ctx, &ids); err != nil {
			return fmt.Errorf("find executions of graph %s: %w", graphID, err)
		}
		again = false
		for _, id := range ids {
			if tried[id] { // it takes its time to end
				continue
			}
			tried[id], again = true, true
			if _, err := s.Stop(ctx, userID, id); err != nil && !errors.Is(err, ErrNotFound) {
				return err
			}
		}
	}
	return nil
}

// awaitBatches returns when the batches that were on their way have ended: each holds the row of its server's lease. One
// row is looked at after the other, so that nobody who wants several waits for this.
func (s *Service) awaitBatches(ctx context.Context) error {
	var servers []uuid.UUID
	err := s.db.NewRaw(`SELECT server_id FROM lease`).Scan(ctx, &servers)
	for _, server := range servers {
		if err == nil {
			_, err = s.db.ExecContext(ctx, `SELECT FROM lease WHERE server_id = ? FOR SHARE`, server)
		}
	}
	if err != nil {
		return fmt.Errorf("wait for what is being accepted: %w", err)
	}
	return nil
}

// Delete removes an execution that has ended, with what is nested in it. One that runs is ErrConflict.
func (s *Service) Delete(ctx context.Context, userID, id string) error {
	x, err := s.Get(ctx, userID, id)
	if err != nil {
		return err
	}
	if !x.Status.Ended() {
		return fmt.Errorf("%w: the execution has not ended; stop it first", ErrConflict)
	}
	s.recent.drop(x.ID)
	if g, err := s.generation(); err == nil {
		defer g.writer.counted.Store(true)
	}
	return s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		const nested = `WITH RECURSIVE t AS (SELECT id FROM execution WHERE id = ? AND user_id = ? UNION ALL SELECT e.id FROM execution e JOIN t ON e.parent_id = t.id) `
		var read bool
		if err := tx.QueryRowContext(ctx, nested+`SELECT EXISTS (SELECT FROM execution WHERE retry_of IN (SELECT id FROM t) AND ended_at IS NULL)`, id, userID).Scan(&read); err != nil {
			return fmt.Errorf("look for retries: %w", err)
		}
		if read {
			return fmt.Errorf("%w: a retry of the execution has not ended", ErrConflict)
		}
		var gone []uuid.UUID
		if err := tx.NewRaw(nested+`, gone AS (DELETE FROM execution WHERE id IN (SELECT id FROM t) RETURNING *), counted AS (`+countGone+`) SELECT id FROM gone`, id, userID).Scan(ctx, &gone); err != nil {
			return fmt.Errorf("delete execution: %w", err)
		}
		if len(gone) == 0 { // somebody else has deleted it since
			return ErrNotFound
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM idempotency_key WHERE user_id = ? AND execution_id IN (?)`, userID, bun.List(gone)); err != nil {
			return fmt.Errorf("release the keys of a deleted execution: %w", err)
		}
		return removeHistory(ctx, tx, gone, nil)
	})
}

func cleanID(id string) (uuid.UUID, error) {
	if strings.ContainsAny(id, "{}") || len(id) != 36 {
		return uuid.UUID{}, ErrNotFound
	}
	u, err := uuid.Parse(id)
	if err != nil {
		return uuid.UUID{}, ErrNotFound
	}
	return u, nil
}
