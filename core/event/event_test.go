package event_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"github.com/patchbay-io/patchbay/core/event"
	"github.com/patchbay-io/patchbay/core/event/natstest"
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
	asked   int
	watched []uuid.UUID
	awaited []uuid.UUID
	frames  []string // of progress, behind their executions
}

func newEar(t *testing.T, dsn, nats string) *ear {
	t.Helper()
	db, err := postgres.Open(dsn, 2)
	if err != nil {
		t.Fatal(err)
	}
	e := &ear{heard: map[uuid.UUID]int{}}
	e.Bus, err = event.Open(t.Context(), event.Config{DB: db, Direct: dsn, NATS: nats, Server: uuid.New(), Logger: hclog.NewNullLogger()})
	if err != nil {
		t.Fatal(err)
	}
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
		Watched: func(ids []uuid.UUID) {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.watched = append(e.watched, ids...)
		},
		Awaited: func(ids []uuid.UUID) {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.awaited = append(e.awaited, ids...)
		},
		Asked: func() {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.asked++
		},
		Progress: func(execution uuid.UUID, frame json.RawMessage) {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.frames = append(e.frames, execution.String()+string(frame))
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
	deadline := time.Now().Add(90 * time.Second)
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

// over runs a test over each carrier.
func over(t *testing.T, test func(t *testing.T, ear func() *ear)) {
	t.Run("Postgres", func(t *testing.T) {
		t.Parallel()
		dsn := postgrestest.DSN(t)
		test(t, func() *ear { return newEar(t, dsn, "") })
	})
	t.Run("NATS", func(t *testing.T) {
		t.Parallel()
		dsn, nats := postgrestest.DSN(t), natstest.URL(natstest.Start(t))
		test(t, func() *ear { return newEar(t, dsn, nats) })
	})
}

func TestOthersHearWhatChanged(t *testing.T) {
	t.Parallel()
	over(t, hearWhatChanged)
}

func hearWhatChanged(t *testing.T, newEar func() *ear) {
	a, b := newEar(), newEar()
	a.until(t, "b asks a what it watches", func() bool { return a.asked > 0 })
	c := newEar()
	a.until(t, "c asks a what it watches", func() bool { return a.asked > 1 })
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

// Progress comes in its order, however much there is, to the servers that asked for it. A frame that is too large is lost.
func TestProgressComesInOrder(t *testing.T) {
	t.Parallel()
	over(t, progressComesInOrder)
}

func progressComesInOrder(t *testing.T, newEar func() *ear) {
	a, b := newEar(), newEar()
	ids := make([]uuid.UUID, 450) // more than one notice holds
	for i := range ids {
		ids[i] = uuid.New()
	}
	b.Watch(ids...)
	b.Await(ids[:3]...)
	a.until(t, "a knows what b watches", func() bool { return len(a.watched) == len(ids) && slices.Equal(a.awaited, ids[:3]) })
	var want []string
	for i := range 300 {
		frame := fmt.Sprintf(`{"type":"node.progress","delta":"%d %s"}`, i, strings.Repeat("x", i))
		a.Progress(ids[i], json.RawMessage(frame))
		want = append(want, ids[i].String()+frame)
		if i == 100 {
			a.Progress(ids[i], json.RawMessage(`"`+strings.Repeat("x", 8000)+`"`))
		}
	}
	b.until(t, "b has heard all progress", func() bool { return len(b.frames) >= len(want) })
	b.mu.Lock()
	defer b.mu.Unlock()
	if !slices.Equal(b.frames, want) {
		t.Errorf("it comes in another order, or something else does: %d frames", len(b.frames))
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.frames) != 0 || len(b.watched) != 0 {
		t.Error("they hear themselves")
	}
}

// A connection that breaks is opened again, and everything is looked at, since something may have been missed.
func TestBrokenConnectionIsReplaced(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.DSN(t)
	a, b := newEar(t, dsn, ""), newEar(t, dsn, "")
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
	over(t, hearThatMuchChanged)
}

func hearThatMuchChanged(t *testing.T, newEar func() *ear) {
	a, b := newEar(), newEar()
	many := make([]uuid.UUID, 50_000)
	for i := range many {
		many[i] = uuid.New()
	}
	a.Changed(many...)
	b.until(t, "b looks at everything", func() bool { return b.all > 1 })
}

// While NATS is away nobody waits for it; when it is back everything is looked at.
func TestNATSMayGoAndComeBack(t *testing.T) {
	t.Parallel()
	dsn, node := postgrestest.DSN(t), natstest.Start(t)
	a, b := newEar(t, dsn, natstest.URL(node)), newEar(t, dsn, natstest.URL(node))
	node.Stop()
	b.until(t, "the problem is known", func() bool { return a.Problem() != nil && b.Problem() != nil })
	a.Changed(uuid.New())
	a.Bus.Stop()
	node.Start()
	b.until(t, "b looks at everything", func() bool { return b.all > 1 && b.stopped > 1 && b.Problem() == nil && a.Problem() == nil })
	id := uuid.New()
	b.until(t, "b hears again", func() bool { a.Changed(id); return b.heard[id] > 0 })
}

// Of a cluster of three nodes, one may be lost.
func TestOneOfThreeNodesMayBeLost(t *testing.T) {
	t.Parallel()
	dsn, nodes := postgrestest.DSN(t), natstest.Cluster(t, 3)
	ears := make([]*ear, len(nodes))
	for i := range nodes { // each on a node of its own first
		ears[i] = newEar(t, dsn, natstest.URL(nodes[i], nodes[(i+1)%3], nodes[(i+2)%3]))
	}
	nodes[1].Stop()
	for i, from := range ears {
		for _, to := range ears[i+1:] {
			id := uuid.New()
			to.until(t, "all hear all", func() bool { from.Changed(id); return to.heard[id] > 0 })
		}
	}
}

// Servers of other databases may use the same NATS.
func TestDatabasesDoNotHearEachOther(t *testing.T) {
	t.Parallel()
	nats := natstest.URL(natstest.Start(t))
	dsn, others := postgrestest.DSN(t), postgrestest.DSN(t)
	db, err := postgres.Open(others, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(`UPDATE cluster SET id = gen_random_uuid()`); err != nil { // databases of tests are copies of one
		t.Fatal(err)
	}
	a, b, other := newEar(t, dsn, nats), newEar(t, dsn, nats), newEar(t, others, nats)
	for range 100 {
		a.Changed(uuid.New())
	}
	b.until(t, "b has heard all", func() bool { return len(b.heard) == 100 })
	other.mu.Lock()
	defer other.mu.Unlock()
	if len(other.heard) != 0 {
		t.Errorf("another database's server heard of %d executions", len(other.heard))
	}
}

func TestBadURLOfNATSIsNotShown(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.DSN(t)
	db, err := postgres.Open(dsn, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	b, err := event.Open(t.Context(), event.Config{DB: db, NATS: "nats://user:canary@ho st:4222", Server: uuid.New(), Logger: hclog.NewNullLogger()})
	if err == nil {
		b.Close()
	}
	if err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("%v", err)
	}
}
