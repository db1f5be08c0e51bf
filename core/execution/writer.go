package execution

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/go-hclog"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/driver/pgdriver"
)

// Times of the lease. Another server takes over when it has run out (contract: within 10 s).
const (
	leaseLength    = 8 * time.Second
	heartbeatEvery = 2 * time.Second
	leaseMargin    = 2 * time.Second // nothing is dispatched so shortly before the end
	batchTimeout   = 30 * time.Second
)

// errFenced means that another server, or a newer process of this one, owns the executions now.
var errFenced = errors.New("the lease of this server was taken over")

// errPoison means that the database refuses the rows of one commit and would refuse them again.
var errPoison = errors.New("the database refuses these rows")

// writer commits the work of all trees of a server: it takes what is there, writes it as one statement, and tells
// everybody. The statement moves the server's lease row on, so that a batch commits once or, after the lease was
// lost, never; after a broken connection the row says whether the batch was committed.
type writer struct {
	db     *bun.DB
	log    hclog.Logger
	server uuid.UUID
	epoch  int64
	batch  int64
	in     chan *commit
	// validUntil is the end of the lease on this machine's monotonic clock.
	validUntil atomic.Pointer[time.Time]
}

// commit is what one tree wants committed together. done is called once, from the writer's goroutine.
type commit struct {
	inserts []*executionWrite
	updates []*executionWrite
	rows    []journalRow
	bytes   int
	done    func(error)
}

// executionWrite is the state of an execution's row.
type executionWrite struct {
	id, root   uuid.UUID
	parent     *run
	parentExec uint32
	userID     string
	plan       *Plan
	inputs     string
	createdAt  time.Time
	status     Status
	startedAt  time.Time
	endedAt    time.Time
	total      int
	completed  int
	failed     int
	failure    *Failure
}

// journalRow is a row of the journal as it is stored.
type journalRow struct {
	execution uuid.UUID
	pos       int
	seq       int64
	events    int
	kind      rowKind
	nodeExec  uint32
	status    Status
	isOutput  bool
	at        time.Time
	step      []byte
}

func newWriter(db *bun.DB, server uuid.UUID, log hclog.Logger) *writer {
	return &writer{db: db, server: server, log: log, in: make(chan *commit, 1024)}
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
	select {
	case w.in <- c:
	case <-ctx.Done():
		c.done(ctx.Err())
	}
}

// run commits until ctx ends (nil) or the lease is lost (errFenced).
func (w *writer) run(ctx context.Context) error {
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
			batch = w.drain(c)
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
)

func (w *writer) drain(first *commit) []*commit {
	batch, size := []*commit{first}, first.bytes
	for len(batch) < maxBatchCommits && size < maxBatchBytes {
		select {
		case c := <-w.in:
			batch = append(batch, c)
			size += c.bytes
		default:
			return batch
		}
	}
	return batch
}

// write commits a batch. When the database refuses it for its contents, the halves are tried, so that one bad row
// harms its own tree only.
func (w *writer) write(ctx context.Context, batch []*commit) error {
	err := w.commit(ctx, batch)
	switch {
	case err == nil:
		for _, c := range batch {
			c.done(nil)
		}
		return nil
	case errors.Is(err, errPoison) && len(batch) > 1:
		half := len(batch) / 2
		if err := w.write(ctx, batch[:half]); err != nil {
			refuse(batch[half:], err)
			return err
		}
		return w.write(ctx, batch[half:])
	case errors.Is(err, errPoison):
		refuse(batch, err)
		return nil
	default:
		refuse(batch, err)
		return err
	}
}

func refuse(batch []*commit, err error) {
	for _, c := range batch {
		c.done(err)
	}
}

// commit executes the batch's statement until its fate is known.
func (w *writer) commit(ctx context.Context, batch []*commit) error {
	statement := w.statement(batch)
	for attempt := 0; ; attempt++ {
		before := time.Now()
		taken, err := w.execute(ctx, statement)
		if err == nil && taken {
			w.batch++
			w.extend(before)
			return nil
		}
		if err == nil {
			return errFenced
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

func (w *writer) execute(ctx context.Context, statement string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, batchTimeout)
	defer cancel()
	var n int
	// The statement goes out as it is: bun would look for placeholders in users' values.
	if err := w.db.DB.QueryRowContext(ctx, statement).Scan(&n); err != nil {
		return false, err
	}
	return n == 1, nil
}

// statement is the batch as one implicit transaction, one round trip. It uses the primary keys of lease and execution.
func (w *writer) statement(batch []*commit) string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "WITH l AS (UPDATE lease SET batch = %d, until = now() + interval '%d milliseconds' WHERE server_id = '%s' AND epoch = %d AND batch = %d RETURNING 1)",
		w.batch+1, leaseLength.Milliseconds(), w.server, w.epoch, w.batch)
	inserts, updates := coalesce(batch)
	if len(inserts) > 0 {
		b.WriteString(`, e AS (INSERT INTO execution (id, root_id, parent_id, parent_node_execution, user_id, graph_id, graph_version, plan_id, status, inputs, created_at, started_at, ended_at, total_nodes, completed_nodes, failed_nodes, error_message, error_node_id, owner)
SELECT v.a::uuid, v.b::uuid, v.c::uuid, v.d::integer, v.e, v.f::uuid, v.g::integer, v.h::bytea, v.i, v.j, v.k::timestamptz, v.l::timestamptz, v.m::timestamptz, v.n::integer, v.o::integer, v.p::integer, v.q, v.r, v.s::uuid FROM l, (VALUES `)
		for i, x := range inserts {
			separate(&b, i)
			w.appendInsert(&b, x)
		}
		b.WriteString(") AS v(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s))")
	}
	if len(updates) > 0 {
		b.WriteString(`, u AS (UPDATE execution x SET status = v.b, started_at = coalesce(v.c::timestamptz, x.started_at), ended_at = v.d::timestamptz, total_nodes = v.e::integer, completed_nodes = v.f::integer, failed_nodes = v.g::integer, error_message = v.h, error_node_id = v.i FROM l, (VALUES `)
		for i, x := range updates {
			separate(&b, i)
			b.WriteByte('(')
			appendText(&b, x.id.String())
			b.WriteByte(',')
			appendState(&b, x)
			b.WriteByte(')')
		}
		b.WriteString(") AS v(a, b, c, d, e, f, g, h, i) WHERE x.id = v.a::uuid)")
	}
	w.appendJournal(&b, batch)
	b.WriteString(" SELECT count(*) FROM l")
	return b.String()
}

func (w *writer) appendJournal(b *bytes.Buffer, batch []*commit) {
	n := 0
	for _, c := range batch {
		for _, r := range c.rows {
			if n == 0 {
				b.WriteString(`, j AS (INSERT INTO journal (execution_id, pos, seq, events, kind, node_execution, status, is_output, at, step)
SELECT v.a::uuid, v.b, v.c::bigint, v.d, v.e::smallint, v.f, v.g::smallint, v.h, v.i::timestamptz, v.j::bytea FROM l, (VALUES `)
			}
			separate(b, n)
			n++
			fmt.Fprintf(b, "('%s',%d,%d,%d,%d,%d,%d,%t,'%s','\\x", r.execution, r.pos, r.seq, r.events, r.kind, r.nodeExec, r.status.number(), r.isOutput, r.at.Format(time.RFC3339Nano))
			b.Write(hex.AppendEncode(b.AvailableBuffer(), r.step))
			b.WriteString("')")
		}
	}
	if n > 0 {
		b.WriteString(") AS v(a, b, c, d, e, f, g, h, i, j))")
	}
}

// coalesce leaves one write an execution: a statement does not see the rows that it inserts itself.
func coalesce(batch []*commit) (inserts, updates []*executionWrite) {
	inserted, updated := map[uuid.UUID]int{}, map[uuid.UUID]int{}
	for _, c := range batch {
		for _, x := range c.inserts {
			inserted[x.id] = len(inserts)
			inserts = append(inserts, x)
		}
		for _, x := range c.updates {
			if i, ok := inserted[x.id]; ok {
				inserts[i] = x
			} else if i, ok := updated[x.id]; ok {
				updates[i] = x
			} else {
				updated[x.id] = len(updates)
				updates = append(updates, x)
			}
		}
	}
	return inserts, updates
}

func (w *writer) appendInsert(b *bytes.Buffer, x *executionWrite) {
	b.WriteByte('(')
	appendText(b, x.id.String())
	b.WriteByte(',')
	appendText(b, x.root.String())
	b.WriteByte(',')
	if x.parent != nil {
		appendText(b, x.parent.id.String())
		b.WriteByte(',')
		b.WriteString(strconv.Itoa(int(x.parentExec)))
	} else {
		b.WriteString("NULL,NULL")
	}
	b.WriteByte(',')
	appendText(b, x.userID)
	b.WriteByte(',')
	appendText(b, x.plan.Graph.ID)
	b.WriteByte(',')
	b.WriteString(strconv.Itoa(x.plan.Graph.Version))
	fmt.Fprintf(b, `,'\x%x',`, x.plan.ID)
	appendText(b, string(x.status))
	b.WriteByte(',')
	appendText(b, x.inputs)
	b.WriteByte(',')
	appendTime(b, x.createdAt)
	b.WriteByte(',')
	appendTime(b, x.startedAt)
	b.WriteByte(',')
	appendTime(b, x.endedAt)
	fmt.Fprintf(b, ",%d,%d,%d,", x.total, x.completed, x.failed)
	appendFailure(b, x.failure)
	b.WriteByte(',')
	appendText(b, w.server.String())
	b.WriteByte(')')
}

func appendState(b *bytes.Buffer, x *executionWrite) {
	appendText(b, string(x.status))
	b.WriteByte(',')
	appendTime(b, x.startedAt)
	b.WriteByte(',')
	appendTime(b, x.endedAt)
	fmt.Fprintf(b, ",%d,%d,%d,", x.total, x.completed, x.failed)
	appendFailure(b, x.failure)
}

func appendFailure(b *bytes.Buffer, f *Failure) {
	if f == nil {
		b.WriteString("NULL::text,NULL::text")
		return
	}
	appendText(b, f.Message)
	b.WriteByte(',')
	appendText(b, f.NodeID)
}

func separate(b *bytes.Buffer, i int) {
	if i > 0 {
		b.WriteByte(',')
	}
}

// appendText writes a string literal. Postgres's text holds neither NUL nor invalid UTF-8; JSON values have none, so
// only messages can lose any.
func appendText(b *bytes.Buffer, s string) {
	s = strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), "\uFFFD")
	b.WriteByte('\'')
	b.WriteString(strings.ReplaceAll(s, "'", "''"))
	b.WriteByte('\'')
}

func appendTime(b *bytes.Buffer, t time.Time) {
	if t.IsZero() {
		b.WriteString("NULL::timestamptz")
		return
	}
	b.WriteByte('\'')
	b.WriteString(t.UTC().Format(time.RFC3339Nano))
	b.WriteByte('\'')
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
