package store

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/uptrace/bun"
	"go.uber.org/goleak"

	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/core/graph"
	"github.com/patchbay-io/patchbay/core/postgres/postgrestest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, postgrestest.IgnoreServer()...) }

// world is a store over a real database and real graphs; executions are what a test says.
type world struct {
	t testing.TB
	*Service
	db     *bun.DB
	graphs *graph.Service
	runs   *runs
}

// runs are the executions by others that a test claims there were.
type runs struct {
	mu     sync.Mutex
	counts map[string]int
}

func (r *runs) Any(context.Context) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.counts) > 0, nil
}

func (r *runs) Take(context.Context, bun.Tx) (map[string]int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	taken := r.counts
	r.counts = map[string]int{}
	return taken, nil
}

func (r *runs) add(graphID string, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts[graphID] += n
}

type structural map[string]*block.Block

func (s structural) Block(id string) (*block.Block, bool) {
	b, ok := s[id]
	return b, ok
}

func newWorld(t testing.TB) *world {
	t.Helper()
	blocks := structural{}
	for _, b := range block.Structural() {
		blocks[b.ID] = b
	}
	w := &world{t: t, db: postgrestest.DB(t), runs: &runs{counts: map[string]int{}}}
	w.graphs = graph.NewService(graph.NewStore(w.db, nil), blocks, nil)
	var err error
	w.Service, err = New(t.Context(), Config{DB: w.db, Logger: hclog.New(&hclog.LoggerOptions{Output: os.Stderr, Level: hclog.Error}), Graphs: w.graphs, Runs: w.runs, Follower: w})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// GraphPublished checks what followers are told.
func (w *world) GraphPublished(ctx context.Context, tx bun.Tx, graphID string, latest int) error {
	var shown int
	err := tx.QueryRowContext(ctx, `SELECT graph_version FROM store_listing WHERE graph_id = ?`, graphID).Scan(&shown)
	if err == nil && shown != latest {
		err = fmt.Errorf("told of version %d, shown is %d", latest, shown)
	}
	return err
}

// graph makes an agent with one input.
func (w *world) graph(user, name string) *graph.Graph {
	w.t.Helper()
	g, _, err := w.graphs.Create(w.t.Context(), user, fmt.Appendf(nil, `{"name":%q}`, name), graph.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	return g
}

func (w *world) submit(user string, d Draft) *Submission {
	w.t.Helper()
	if d.GraphID == "" {
		d.GraphID = w.graph(user, d.Name).ID
	}
	if d.GraphVersion == 0 {
		d.GraphVersion = 1
	}
	v, err := w.Submit(w.t.Context(), user, user+"@example.com", d)
	if err != nil {
		w.t.Fatalf("submit %q: %v", d.Name, err)
	}
	return v
}

func (w *world) decide(id string, approved bool) *Submission {
	w.t.Helper()
	v, err := w.Decide(w.t.Context(), "admin", id, Decision{Approved: approved, Comments: "because"})
	if err != nil {
		w.t.Fatalf("decide: %v", err)
	}
	return v
}

// publish submits and approves.
func (w *world) publish(user string, d Draft) *Submission {
	w.t.Helper()
	return w.decide(w.submit(user, d).ID, true)
}

// names lists what a filter finds, in order, and checks the total against all pages.
func (w *world) names(f Filter) string {
	w.t.Helper()
	f.Limit = 2
	var names []string
	for {
		list, total, err := w.List(w.t.Context(), f)
		if err != nil {
			w.t.Fatalf("list %+v: %v", f, err)
		}
		for _, a := range list {
			names = append(names, a.Name)
		}
		if len(list) == 0 {
			if total != len(names) {
				w.t.Errorf("%+v: the total is %d of %d", f, total, len(names))
			}
			return strings.Join(names, ", ")
		}
		f.Offset += len(list)
	}
}
