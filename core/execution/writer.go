package execution

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/go-hclog"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/driver/pgdriver"

	"github.com/patchbay-io/patchbay/core/postgres"
)

// Times of the lease. Another server takes over when it has run out (contract: within 10 s).
const (
	leaseLength    = 8 * time.Second
	heartbeatEvery = 2 * time.Second
	leaseMargin    = 2 * time.Second // nothing is dispatched so shortly before the end
	batchTimeout   = 30 * time.Second
)

// leaseOver is the condition of a lease that has ended. One that would go on for longer than any lease is from before the
// database's clock was put back. Its holder may have died since; if it lives it is fenced, and takes another.
var leaseOver = fmt.Sprintf(`(until < now() OR until > now() + interval '%d milliseconds')`, 2*leaseLength.Milliseconds())

// errFenced means that another server, or a newer process of this one, owns the executions now.
var errFenced = errors.New("the lease of this server was taken over")

// errPoison means that the database refuses the rows of one commit and would refuse them again.
var errPoison = errors.New("the database refuses these rows")

// errPresumed means that a graph has changed, or is gone, against what was presumed, so that its execution is not accepted.
var errPresumed = errors.New("the graph has changed meanwhile")

// writer commits the work of all trees of a server: it takes what is there, writes it as one statement, and tells
// everybody. The statement moves the server's lease row on, so that a batch commits once or, after the lease was
// lost, never; after a broken connection the row says whether the batch was committed.
type writer struct {
	db      *bun.DB
	log     hclog.Logger
	server  uuid.UUID
	history *partitions
	epoch   int64
	batch   int64
	in      chan *commit
	wanted  atomic.Int32  // how many commits of in the writer waits for
	enough  chan struct{} // told when they are there
	fates   chan fate
	cadence cadence
	// counted says that executions were counted since the counts were folded.
	counted  atomic.Bool
	prepared map[string]*postgres.Statement // without the keys of withKeys
	// validUntil is the end of the lease on this machine's monotonic clock.
	validUntil atomic.Pointer[time.Time]
}

func newWriter(db *bun.DB, server uuid.UUID, history *partitions, log hclog.Logger) *writer {
	w := &writer{db: db, server: server, history: history, log: log, in: make(chan *commit, 1024), enough: make(chan struct{}, 1), prepared: map[string]*postgres.Statement{}}
	for _, statement := range []string{stepsStatement, statesStatement, presumedStatement, byOthersStatement} {
		w.prepared[statement] = postgres.NewStatement(db, statement)
	}
	return w
}

// acquire takes the server's lease, whoever of its processes had it before.
func (w *writer) acquire(ctx context.Context) error {
	before := time.Now()
	w.batch = 0
	err := w.db.QueryRowContext(ctx, `
		INSERT INTO lease (server_id, epoch, batch, until) VALUES (?, 1, 0, now() + ? * interval '1 millisecond')
		ON CONFLICT (server_id) DO UPDATE SET epoch = lease.epoch + 1, batch = 0, until = excluded.until
		RETURNING epoch`, w.server, leaseLength.Milliseconds()).Scan(&w.epoch)
	if err != nil {
		return fmt.Errorf("acquire lease: %w", err)
	}
	w.extend(before)
	return nil
}

func (w *writer) extend(from time.Time) {
	until := from.Add(leaseLength - leaseMargin)
	w.validUntil.Store(&until)
}

// leased says whether this server may start work outside.
func (w *writer) leased() bool {
	until := w.validUntil.Load()
	return until != nil && time.Now().Before(*until)
}

// submit queues c; a full queue is the brake on everything before it.
func (w *writer) submit(ctx context.Context, c *commit) {
	select { // mostly there is room, and one case costs less than two
	case w.in <- c:
		if wanted := int(w.wanted.Load()); wanted > 0 && len(w.in) >= wanted {
			select {
			case w.enough <- struct{}{}:
			default:
			}
		}
		return
	default:
	}
	select {
	case w.in <- c:
	case <-ctx.Done():
		c.done(ctx.Err())
	}
}

// fate is what became of commits.
type fate struct {
	commits []*commit
	err     error
}

// run commits until ctx ends (nil) or the lease is lost (errFenced).
func (w *writer) run(ctx context.Context) error {
	// Who waits is told beside the next batch, in the order of the batches.
	w.fates = make(chan fate, 16)
	var telling sync.WaitGroup
	telling.Go(func() {
		for f := range w.fates {
			for _, c := range f.commits {
				c.done(f.err)
			}
		}
	})
	defer telling.Wait()
	defer close(w.fates)
	defer func() {
		for _, statement := range w.prepared {
			statement.Close()
		}
	}()
	heartbeat := time.NewTicker(heartbeatEvery)
	defer heartbeat.Stop()
	var err error
	for err == nil {
		var batch []*commit
		select {
		case <-ctx.Done():
			err = context.Cause(ctx)
		case <-heartbeat.C:
			err = w.write(ctx, nil)
		case c := <-w.in:
			batch = w.drain(ctx, c)
			heartbeat.Reset(heartbeatEvery)
			err = w.write(ctx, batch)
		}
	}
	if ctx.Err() != nil && !errors.Is(err, errFenced) {
		return nil
	}
	return err
}

// refuseQueued answers what was submitted to a writer that runs no more. Nobody may submit any longer.
func (w *writer) refuseQueued() {
	for {
		select {
		case c := <-w.in:
			c.done(errFenced)
		default:
			return
		}
	}
}

// Bounds of one batch.
const (
	maxBatchCommits = 512
	maxBatchBytes   = 8 << 20
	// yields is how often the writer lets others run before it takes that nobody has anything more to commit: what is
	// about to be submitted joins this batch, and a batch costs more than what is in it. Where nothing else runs they
	// cost nothing.
	yields = 4
)

func (w *writer) drain(ctx context.Context, first *commit) []*commit {
	batch, size := []*commit{first}, first.bytes
	w.cadence.came(first)
	for yielded := 0; len(batch) < maxBatchCommits && size < maxBatchBytes; {
		select {
		case c := <-w.in:
			batch = append(batch, c)
			size += c.bytes
			w.cadence.came(c)
		default:
			if yielded == yields && !w.await(ctx, len(batch)) {
				return batch
			}
			yielded = min(yields, yielded+1)
			runtime.Gosched()
		}
	}
	return batch
}

// await waits for more than the n commits that are there, if it is worth it, and says whether there are any.
func (w *writer) await(ctx context.Context, n int) bool {
	more, atMost := w.cadence.worth(n)
	if atMost <= 0 {
		return false
	}
	w.wanted.Store(int32(more))
	defer w.wanted.Store(0)
	select {
	case <-w.enough: // of an earlier wait
	default:
	}
	if len(w.in) < more {
		timer := time.NewTimer(atMost)
		defer timer.Stop()
		select {
		case <-w.enough:
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	return len(w.in) > 0
}

// write commits a batch. When the database refuses it for its contents, or for what was presumed, the halves are tried, so
// that one bad row harms its own tree only.
func (w *writer) write(ctx context.Context, batch []*commit) error {
	before := time.Now()
	err := w.commit(ctx, batch)
	switch {
	case err == nil:
		w.cadence.committed(batch, time.Since(before))
		w.fates <- fate{batch, nil}
		return nil
	case refusedRows(err) && len(batch) > 1:
		half := len(batch) / 2
		if err := w.write(ctx, batch[:half]); err != nil {
			w.fates <- fate{batch[half:], err}
			return err
		}
		return w.write(ctx, batch[half:])
	case refusedRows(err):
		w.fates <- fate{batch, err}
		return nil
	default:
		w.fates <- fate{batch, err}
		return err
	}
}

func refusedRows(err error) bool { return errors.Is(err, errPoison) || errors.Is(err, errPresumed) }

// commit executes the batch's statement until its fate is known.
func (w *writer) commit(ctx context.Context, batch []*commit) error {
	statement, args := w.statementOf(batch)
	for attempt := 0; ; attempt++ {
		before := time.Now()
		became, err := w.execute(ctx, statement, args)
		switch {
		case err == nil && became == batchTaken:
			w.batch++
			w.extend(before)
			return nil
		case err == nil && became == batchPresumed:
			return errPresumed
		case err == nil:
			return errFenced
		}
		if attempt == 0 && w.history.made(ctx, err, executionsOf(batch)...) {
			continue
		}
		var refused pgdriver.Error
		if errors.As(err, &refused) {
			if class := refused.Field('C'); strings.HasPrefix(class, "22") || strings.HasPrefix(class, "23") {
				return fmt.Errorf("%w: %w", errPoison, err)
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		w.log.Warn("the database did not take a batch, trying again", "error", err, "attempt", attempt+1)
		committed, err := w.settled(ctx)
		if err != nil {
			return err
		}
		if committed {
			w.batch++
			w.extend(before)
			return nil
		}
	}
}

func executionsOf(batch []*commit) []uuid.UUID {
	var ids []uuid.UUID
	for _, c := range batch {
		for i := range c.segments {
			ids = append(ids, c.segments[i].execution)
		}
	}
	return ids
}

// settled waits for the database and says whether the batch that failed was committed all the same.
func (w *writer) settled(ctx context.Context) (bool, error) {
	delay := 20 * time.Millisecond
	for {
		var epoch, batch int64
		tctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := w.db.QueryRowContext(tctx, "SELECT epoch, batch FROM lease WHERE server_id = ?", w.server).Scan(&epoch, &batch)
		cancel()
		switch {
		case err == nil && epoch != w.epoch, errors.Is(err, sql.ErrNoRows):
			return false, errFenced
		case err == nil:
			return batch == w.batch+1, nil
		case ctx.Err() != nil:
			return false, ctx.Err()
		}
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return false, ctx.Err()
		}
		delay = min(2*delay, time.Second)
	}
}

// What a batch's statement says of it; else the lease is lost.
const (
	batchTaken    = 1
	batchPresumed = 2 // nothing was committed, since a graph is not as it was presumed to be
)

func (w *writer) execute(ctx context.Context, statement string, args []any) (became int, err error) {
	ctx, cancel := context.WithTimeout(ctx, batchTimeout)
	defer cancel()
	if prepared := w.prepared[statement]; prepared != nil {
		err = prepared.Row(ctx, args, &became)
	} else { // one that changes keys, of which there are few
		err = w.db.DB.QueryRowContext(ctx, statement, args...).Scan(&became)
	}
	return became, err
}

var statusNumbers = [...]Status{Queued, Running, Completed, Failed, Terminated}

// number is how the journal stores a status.
func (s Status) number() int {
	for i, known := range statusNumbers {
		if s == known {
			return i
		}
	}
	return 0
}
