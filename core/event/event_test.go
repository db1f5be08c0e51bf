package event_test

import (
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"github.com/patchbay-io/patchbay/core/event"
	"github.com/patchbay-io/patchbay/core/postgres"
	"github.com/patchbay-io/patchbay/core/postgres/postgrestest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, postgrestest.IgnoreServer()...) }

// ear is a server that only listens.
type ear struct {
	*event.Bus
	mu      sync.Mutex
	heard   map[uuid.UUID]int
	all     int // times that it was told to look at everything
	stopped int
	work    int
}

func newEar(t *testing.T, dsn string) *ear {
	t.Helper()
	db, err := postgres.Open(dsn, 2)
	if err != nil {
		t.Fatal(err)
	}
	e := &ear{heard: map[uuid.UUID]int{}}
	e.Bus = event.Open(event.Config{DB: db, Direct: dsn, Server: uuid.New(), Logger: hclog.NewNullLogger()})
	e.Start(t.Context(), event.Handlers{
		Changed: func(ids []uuid.UUID) {
			e.mu.Lock()
			defer e.mu.Unlock()
			if ids == nil {
				e.all++
			}
			for _, id := range ids {
				e.heard[id]++
			}
		},
		Stop: func() {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.stopped++
		},
		Work: func() {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.work++
		},
	})
	t.Cleanup(func() {
		e.Close()
		_ = db.Close()
	})
	e.until(t, "it listens", func() bool { return e.all > 0 })
	return e
}

func (e *ear) until(t *testing.T, what string, met func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		e.mu.Lock()
		ok := met()
		e.mu.Unlock()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("it never comes that %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestOthersHearWhatChanged(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.DSN(t)
	a, b, c := newEar(t, dsn), newEar(t, dsn), newEar(t, dsn)
	ids := make([]uuid.UUID, 1000) // more than one notice holds
	for i := range ids {
		ids[i] = uuid.New()
		a.Changed(ids[i], ids[0])
	}
	for name, e := range map[string]*ear{"b": b, "c": c} {
		e.until(t, name+" has heard all", func() bool { return len(e.heard) == len(ids) })
	}
	b.Stop()
	a.until(t, "a is told of the stop", func() bool { return a.stopped > 1 }) // once when it began to listen
	b.Work()
	a.until(t, "a is told of work", func() bool { return a.work > 1 })
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.heard) != 0 {
		t.Errorf("a hears itself %d times", len(a.heard))
	}
}

// A connection that breaks is opened again, and everything is looked at, since something may have been missed.
func TestBrokenConnectionIsReplaced(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.DSN(t)
	a, b := newEar(t, dsn), newEar(t, dsn)
	db, err := postgres.Open(dsn, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`); err != nil {
		t.Fatal(err)
	}
	b.until(t, "b listens again", func() bool { return b.all > 1 })
	id := uuid.New()
	b.until(t, "b hears again", func() bool { a.Changed(id); return b.heard[id] > 0 })
}

// What is too much to be named is told all the same.
func TestMuchIsToldInShort(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.DSN(t)
	a, b := newEar(t, dsn), newEar(t, dsn)
	many := make([]uuid.UUID, 50_000)
	for i := range many {
		many[i] = uuid.New()
	}
	a.Changed(many...)
	b.until(t, "b looks at everything", func() bool { return b.all > 1 })
}
