package limit

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/go-hclog"
	"github.com/uptrace/bun"
	"go.uber.org/goleak"

	"github.com/patchbay-io/patchbay/core/postgres/postgrestest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, postgrestest.IgnoreServer()...) }

// clock is a time that stands still until it is moved.
type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time       { return time.Unix(0, c.at.Load()) }
func (c *clock) move(d time.Duration) { c.at.Add(int64(d)) }

func newClock() *clock {
	c := &clock{}
	c.at.Store(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).UnixNano())
	return c
}

// server is a limiter of a server whose lease is good.
func server(t *testing.T, db *bun.DB, c *clock) *Limiter {
	t.Helper()
	id := uuid.New()
	if _, err := db.ExecContext(t.Context(), `INSERT INTO lease (server_id, epoch, batch, until) VALUES (?, 1, 0, now() + interval '1 hour')`, id); err != nil {
		t.Fatal(err)
	}
	l := start(t.Context(), newStore(db, id), hclog.NewNullLogger(), c.now)
	t.Cleanup(l.Close)
	return l
}

func take(t *testing.T, l *Limiter, subject string, buckets ...Bucket) Decision {
	t.Helper()
	d, ok := l.Take(t.Context(), subject, buckets...)
	if !ok {
		t.Fatal("nothing was counted")
	}
	return d
}

func TestLimitIsExactWithinAWindow(t *testing.T) {
	t.Parallel()
	c := newClock()
	l := server(t, postgrestest.DB(t), c)
	general := Bucket{"general", 3}
	reset := time.Date(2026, 1, 2, 3, 5, 0, 0, time.UTC)
	for i := range 5 {
		want := Decision{Allowed: i < 3, Limit: 3, Remaining: max(0, 2-i), Reset: reset}
		if got := take(t, l, "a", general); !got.Reset.Equal(reset) || got.Allowed != want.Allowed || got.Remaining != want.Remaining || got.Limit != 3 {
			t.Errorf("request %d: %+v, want %+v", i+1, got, want)
		}
	}
	if got := take(t, l, "b", general); !got.Allowed || got.Remaining != 2 {
		t.Errorf("somebody else: %+v", got)
	}
	c.move(time.Minute)
	if got := take(t, l, "a", general); !got.Allowed || got.Remaining != 2 {
		t.Errorf("in the next window: %+v", got)
	}
}

func TestTightestBucketIsShownAndARefusalCountsNowhereElse(t *testing.T) {
	t.Parallel()
	l := server(t, postgrestest.DB(t), newClock())
	execution, general := Bucket{"execution", 2}, Bucket{"general", 5}
	for i := range 4 {
		got := take(t, l, "a", execution, general)
		if got.Limit != 2 || got.Allowed != (i < 2) {
			t.Errorf("execution %d: %+v", i+1, got)
		}
	}
	if got := take(t, l, "a", general); got.Limit != 5 || got.Remaining != 2 {
		t.Errorf("after two executions and two refusals: %+v", got)
	}
	if _, ok := l.Take(t.Context(), "a", Bucket{"off", 0}); ok {
		t.Error("a bucket without a limit is counted")
	}
}

func TestServersCountTogether(t *testing.T) {
	t.Parallel()
	db, c := postgrestest.DB(t), newClock()
	first := server(t, db, c)
	general := Bucket{"general", 100}
	for range 10 {
		take(t, first, "a", general) // it is alone
	}
	if !first.alone.Load() {
		t.Fatal("a single server asks the database")
	}
	second := server(t, db, c)
	first.synchronise(t.Context())
	if first.alone.Load() || second.alone.Load() {
		t.Fatal("servers do not see each other")
	}
	var allowed atomic.Int64
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for range 25 {
				if d, ok := []*Limiter{first, second}[i%2].Take(context.Background(), "a", general); ok && d.Allowed {
					allowed.Add(1)
				}
			}
		})
	}
	all.Wait()
	if n := allowed.Load(); n != 90 {
		t.Errorf("%d requests were allowed after 10 of 100", n)
	}
	if d := take(t, second, "a", general); d.Allowed || d.Remaining != 0 {
		t.Errorf("after all: %+v", d)
	}
}

// looks counts the times that it was looked for other servers.
type looks struct{ n atomic.Int64 }

func (h *looks) BeforeQuery(ctx context.Context, _ *bun.QueryEvent) context.Context { return ctx }
func (h *looks) AfterQuery(_ context.Context, e *bun.QueryEvent) {
	if strings.Contains(e.Query, "FROM lease") {
		h.n.Add(1)
	}
}

// A server of which nobody wants anything asks the database nothing, and is exact with those that came meanwhile.
func TestIdleServerDoesNotLookForOthers(t *testing.T) {
	t.Parallel()
	seen := &looks{}
	db, c := postgrestest.DB(t).WithQueryHook(seen), newClock()
	first := server(t, db, c)
	first.cancel() // only the test synchronises
	<-first.done
	first.synchronise(t.Context()) // which forgets what came before
	seen.n.Store(0)
	for range 5 {
		first.synchronise(t.Context())
	}
	if n := seen.n.Load(); n != 0 {
		t.Errorf("an idle server looked for others %d times", n)
	}
	second, general := server(t, db, c), Bucket{"general", 10}
	second.cancel()
	<-second.done
	for range 4 {
		take(t, second, "a", general)
	}
	if d := take(t, first, "a", general); d.Remaining != 5 {
		t.Errorf("the first request after a while does not count with the others': %+v", d)
	}
	before := seen.n.Load()
	first.synchronise(t.Context())
	if first.alone.Load() || seen.n.Load() != before+1 {
		t.Error("a server that is used does not look for others")
	}
}

func TestRestartForgetsNothing(t *testing.T) {
	t.Parallel()
	db, c := postgrestest.DB(t), newClock()
	l := server(t, db, c)
	general := Bucket{"general", 10}
	for range 4 {
		take(t, l, "a", general)
	}
	l.Close()
	again := start(t.Context(), l.store, hclog.NewNullLogger(), c.now)
	defer again.Close()
	if d := take(t, again, "a", general); d.Remaining != 5 {
		t.Errorf("after a restart: %+v", d)
	}
	c.move(5 * time.Minute)
	again.synchronise(t.Context())
	var rows int
	if err := db.QueryRowContext(t.Context(), `SELECT count(*) FROM rate_limit`).Scan(&rows); err != nil || rows != 0 {
		t.Errorf("%d old counts are kept, %v", rows, err)
	}
}

func TestWithoutDatabaseNobodyIsRefused(t *testing.T) {
	t.Parallel()
	db := postgrestest.DB(t)
	l := server(t, db, newClock())
	_ = db.Close()
	if d, ok := l.Take(t.Context(), "a", Bucket{"general", 1}); ok {
		t.Errorf("counted without a database: %+v", d)
	}
}

func BenchmarkTakeAlone(b *testing.B) {
	l := start(b.Context(), newStore(postgrestest.DB(b), uuid.New()), hclog.NewNullLogger(), time.Now)
	defer l.Close()
	for b.Loop() {
		l.Take(b.Context(), "a", Bucket{"execution", 1 << 30}, Bucket{"general", 1 << 30})
	}
}
