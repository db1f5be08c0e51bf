package library

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
	"go.uber.org/goleak"

	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/core/execution"
	"github.com/patchbay-io/patchbay/core/graph"
	"github.com/patchbay-io/patchbay/core/postgres/postgrestest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, postgrestest.IgnoreServer()...) }

type noBlocks struct{}

func (noBlocks) Block(string) (*block.Block, bool) { return nil, false }

type noRuns struct{}

func (noRuns) Tallies(context.Context, string, []string) (map[string]execution.Tally, error) {
	return nil, nil
}

// lastRuns are executions of graphs, the later the further behind.
type lastRuns struct {
	noRuns
	graphs []string
}

func (noRuns) LastRuns(string) (string, []any) { return lastRuns{}.LastRuns("") }

func (l lastRuns) LastRuns(string) (string, []any) {
	return `SELECT id, '2024-01-15'::timestamptz + n * interval '1 hour' FROM unnest(?::uuid[]) WITH ORDINALITY AS l (id, n)`, []any{pgdialect.Array(l.graphs)}
}

func newService(t *testing.T, p Published) (*Service, *graph.Service) {
	t.Helper()
	db := postgrestest.DB(t)
	graphs := graph.NewService(graph.NewStore(db, Follower{}), noBlocks{}, nil)
	return New(Config{DB: db, Graphs: graphs, Executions: noRuns{}, Published: p}), graphs
}

func create(t *testing.T, graphs *graph.Service, user, name string) string {
	t.Helper()
	g, _, err := graphs.Create(t.Context(), user, fmt.Appendf(nil, `{"name":%q}`, name), graph.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return g.ID
}

// checkCounts compares what lists say with what is there.
func checkCounts(t *testing.T, s *Service, graphs *graph.Service, user string) {
	t.Helper()
	yes, no := true, false
	for _, f := range []Filter{{}, {Archived: true}, {Favorite: &yes}, {Favorite: &no}, {Archived: true, Favorite: &yes}, {Archived: true, Favorite: &no}} {
		var want int
		if err := s.matching(user, f).ColumnExpr("count(*)").Scan(t.Context(), &want); err != nil {
			t.Fatal(err)
		}
		f.Limit = 1
		if _, got, err := s.List(t.Context(), user, f); err != nil || got != want {
			t.Errorf("%s: %+v has %d, not %d, %v", user, f, got, want, err)
		}
	}
	var want int
	if err := s.DB.QueryRow(`SELECT count(*) FROM graph WHERE user_id = ?`, user).Scan(&want); err != nil {
		t.Fatal(err)
	}
	if _, got, err := graphs.List(t.Context(), user, graph.Filter{Limit: 1}); err != nil || got != want {
		t.Errorf("%s has %d graphs, not %d, %v", user, got, want, err)
	}
}

// Whatever happens at the same time, nothing deadlocks, counts are exact, and entries are at the active version.
func TestCountsStayExactUnderConcurrency(t *testing.T) {
	t.Parallel()
	s, graphs := newService(t, nil)
	users := []string{"u", "v"}
	var mu sync.Mutex
	known := map[string][]string{} // graphs by user, deleted ones too
	for _, user := range users {
		for i := range 4 {
			known[user] = append(known[user], create(t, graphs, user, fmt.Sprint(i)))
		}
	}
	step := func(r *rand.Rand) error {
		ctx, user := t.Context(), users[r.IntN(len(users))]
		mu.Lock()
		id := known[user][r.IntN(len(known[user]))]
		mu.Unlock()
		switch r.IntN(9) {
		case 0:
			g, _, err := graphs.Create(ctx, user, []byte(`{"name":"new","sub_graphs":[{"name":"part","nodes":[]}]}`), graph.Options{})
			if err == nil {
				mu.Lock()
				known[user] = append(known[user], g.ID)
				mu.Unlock()
			}
			return err
		case 1:
			_, err := graphs.Delete(ctx, user, id, nil)
			return err
		case 2, 3:
			_, _, err := graphs.Update(ctx, user, id, []byte(`{"name":"next"}`), graph.Options{})
			return err
		case 4:
			_, err := graphs.SetActive(ctx, user, id, 1, nil)
			return err
		case 5:
			_, _, err := s.Add(ctx, user, id, r.IntN(3))
			return err
		}
		a, err := s.ByGraph(ctx, user, id, 0)
		if err != nil {
			return err
		}
		if r.IntN(4) == 0 {
			return s.Delete(ctx, user, a.ID)
		}
		favorite, archived := r.IntN(2) == 0, r.IntN(2) == 0
		_, err = s.Update(ctx, user, a.ID, Change{Favorite: &favorite, Archived: &archived})
		return err
	}
	var wg sync.WaitGroup
	for worker := range uint64(8) {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(worker, 1))
			for range 60 {
				if err := step(r); err != nil && !errors.Is(err, ErrNotFound) && !errors.Is(err, graph.ErrNotFound) {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	for _, user := range users {
		checkCounts(t, s, graphs, user)
	}
	var wrong int
	err := s.DB.QueryRow(`
		SELECT count(*) FROM library_agent l LEFT JOIN graph g ON g.id = l.graph_id LEFT JOIN graph_version v ON v.graph_id = g.id AND v.version = l.version
		WHERE g.id IS NULL OR v.name <> l.name OR v.name IS NULL OR l.latest_version <> g.latest_version OR l.version <> CASE l.pinned WHEN 0 THEN g.active_version ELSE l.pinned END`).
		Scan(&wrong)
	if err != nil || wrong != 0 {
		t.Errorf("%d entries do not say what their graphs are, %v", wrong, err)
	}
}

// Of requests at the same time one adds, and all get the same entry.
func TestAddingAtTheSameTimeAddsOnce(t *testing.T) {
	t.Parallel()
	shared := uuid.NewString()
	s, graphs := newService(t, func(_ context.Context, _ bun.Tx, _, graphID string, version int) (*graph.Head, error) {
		if graphID != shared || version > 3 {
			return nil, ErrNotFound
		}
		return &graph.Head{UserID: "creator", GraphID: shared, Active: 3, Latest: 3, Version: 3, Name: "Shared"}, nil
	})
	own := create(t, graphs, "u", "Own")
	a, err := s.ByGraph(t.Context(), "u", own, 0)
	if err == nil {
		err = s.Delete(t.Context(), "u", a.ID)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{own, shared} {
		const n = 8
		ids, created := map[string]bool{}, 0
		var mu sync.Mutex
		var wg sync.WaitGroup
		for range n {
			wg.Go(func() {
				a, isNew, err := s.Add(t.Context(), "u", id, 0)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				ids[a.ID] = true
				if isNew {
					created++
				}
			})
		}
		wg.Wait()
		if len(ids) != 1 || created != 1 {
			t.Errorf("%d entries, %d created", len(ids), created)
		}
	}
	checkCounts(t, s, graphs, "u")
}

func TestPublishedAgentsOfOthersStayAtTheirVersion(t *testing.T) {
	t.Parallel()
	var shared string
	s, graphs := newService(t, func(_ context.Context, _ bun.Tx, user, graphID string, version int) (*graph.Head, error) {
		if graphID != shared || version != 1 || user != "u" {
			return nil, ErrNotFound
		}
		return &graph.Head{UserID: "creator", GraphID: shared, Active: 1, Latest: 1, Version: 1, Name: "Shared", Description: "as published"}, nil
	})
	shared = create(t, graphs, "creator", "Private name")
	if _, _, err := graphs.Update(t.Context(), "creator", shared, []byte(`{"name":"Secret plans"}`), graph.Options{}); err != nil {
		t.Fatal(err)
	}
	for user, version := range map[string]int{"u": 2, "v": 1} {
		if _, _, err := s.Add(t.Context(), user, shared, version); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s got version %d: %v", user, version, err)
		}
	}
	a, created, err := s.Add(t.Context(), "u", shared, 1)
	if err != nil || !created || a.IsOwner || a.Version != 1 || a.LatestVersion != 1 || a.Name != "Shared" || a.Description != "as published" {
		t.Fatalf("%+v, %v", a, err)
	}
	if _, _, err := graphs.Update(t.Context(), "creator", shared, []byte(`{"name":"More secret plans"}`), graph.Options{}); err != nil {
		t.Fatal(err)
	}
	if again, err := s.Get(t.Context(), "u", a.ID); err != nil || again.Name != a.Name || again.Version != 1 || again.LatestVersion != 1 {
		t.Errorf("it follows what was not published: %+v, %v", again, err)
	}
	if _, err := graphs.Delete(t.Context(), "creator", shared, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), "u", a.ID); err != nil {
		t.Errorf("it went with the creator's graph: %v", err)
	}
	if _, err := s.ByGraph(t.Context(), "creator", shared, 0); !errors.Is(err, ErrNotFound) {
		t.Errorf("the creator's entry stayed: %v", err)
	}
}

// A failure of the library undoes the graph, and the other way round.
func TestGraphAndEntryAreStoredTogether(t *testing.T) {
	t.Parallel()
	s, graphs := newService(t, nil)
	if _, err := s.DB.Exec(`ALTER TABLE library_agent ADD CHECK (name <> 'refused')`); err != nil {
		t.Fatal(err)
	}
	id := create(t, graphs, "u", "fine")
	if _, _, err := graphs.Create(t.Context(), "u", []byte(`{"name":"refused"}`), graph.Options{}); err == nil {
		t.Error("was created")
	}
	if _, _, err := graphs.Update(t.Context(), "u", id, []byte(`{"name":"refused"}`), graph.Options{}); err == nil {
		t.Error("was updated")
	}
	if g, err := graphs.Get(t.Context(), "u", id, 0); err != nil || g.Version != 1 {
		t.Errorf("%+v, %v", g, err)
	}
	checkCounts(t, s, graphs, "u")
}

func TestWhatWasExecutedLastComesFirst(t *testing.T) {
	t.Parallel()
	s, graphs := newService(t, nil)
	ids := map[string]string{}
	for _, name := range []string{"a", "never", "b", "c", "archived"} {
		ids[name] = create(t, graphs, "u", name)
	}
	entry, err := s.ByGraph(t.Context(), "u", ids["archived"], 0)
	if err == nil {
		yes := true
		_, err = s.Update(t.Context(), "u", entry.ID, Change{Archived: &yes})
	}
	if err != nil {
		t.Fatal(err)
	}
	s.Executions = lastRuns{graphs: []string{ids["b"], ids["archived"], ids["c"], uuid.NewString(), ids["a"]}}
	names := func(f Filter) (names []string) {
		f.Order = ByLastRun
		list, _, err := s.List(t.Context(), "u", f)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range list {
			names = append(names, a.Name)
		}
		return names
	}
	for want, f := range map[string]Filter{
		"[a c b never]": {Limit: 9}, "[c b]": {Offset: 1, Limit: 2}, "[never]": {Offset: 3, Limit: 2}, "[archived]": {Archived: true, Limit: 9},
		"[c]": {Search: "C", Limit: 1, Archived: false},
	} {
		if got := fmt.Sprint(names(f)); got != want {
			t.Errorf("%+v: %s, want %s", f, got, want)
		}
	}
}

func TestListsUseIndexes(t *testing.T) {
	t.Parallel()
	s, _ := newService(t, nil)
	_, err := s.DB.Exec(`
		INSERT INTO graph (id, user_id, active_version, latest_version, updated_at)
		SELECT gen_random_uuid(), 'user ' || i % 5, 1, 1, now() - i * interval '1 minute' FROM generate_series(1, 10000) i;
		INSERT INTO graph_version (graph_id, version, name, description, document) SELECT id, 1, 'Agent ' || left(id::text, 4), 'described', '{}' FROM graph;
		INSERT INTO library_agent (user_id, graph_id, version, latest_version, is_owner, name, description, is_favorite, is_archived, updated_at)
		SELECT g.user_id, g.id, 1, 1, true, v.name, v.description, left(v.name, 7) = 'Agent 0', left(v.name, 7) = 'Agent f', g.updated_at
		FROM graph g JOIN graph_version v ON v.graph_id = g.id`)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.DB.Exec(`VACUUM ANALYZE graph, graph_version, library_agent, graph_count, library_count`); err != nil {
		t.Fatal(err)
	}
	explain := func(query string, args ...any) string {
		t.Helper()
		var lines []string
		if err := s.DB.NewRaw("EXPLAIN "+query, args...).Scan(t.Context(), &lines); err != nil {
			t.Fatal(err)
		}
		return strings.Join(lines, "\n") + "\n"
	}
	yes := true
	for _, search := range []string{"", "agent 1"} {
		for order, index := range map[Order]string{ByUpdate: "library_agent_by_update", ByCreation: "library_agent_by_creation", ByName: "library_agent_by_name"} {
			for name, f := range map[string]Filter{"all": {}, "archive": {Archived: true}, "favourites": {Favorite: &yes}} {
				f.Search, f.Order, f.Limit = search, order, 15
				plan := explain(s.page("user 1", f).String())
				// What a search leaves may be few enough to be sorted.
				if strings.Contains(plan, "Seq Scan") || search == "" && (strings.Contains(plan, "Sort  (") || !strings.Contains(plan, index)) {
					t.Errorf("%s by %s, %q:\n%s", name, order, search, plan)
				}
				if plan := explain(s.matching("user 1", f).ColumnExpr("count(*)").String()); search != "" && strings.Contains(plan, "Seq Scan") {
					t.Errorf("count of %s, %q:\n%s", name, search, plan)
				}
			}
		}
	}
	const id = "'00000000-0000-4000-8000-000000000000'"
	for _, query := range []string{
		`SELECT 1 FROM library_agent WHERE id = ` + id + ` AND user_id = 'user 1'`,
		`SELECT 1 FROM library_agent WHERE user_id = 'user 1' AND graph_id = ` + id + ` AND (version = 0 OR 0 = 0) ORDER BY version DESC, pinned LIMIT 1`,
		`UPDATE library_agent SET latest_version = 1 WHERE user_id = 'user 1' AND graph_id = ` + id,
		`DELETE FROM library_agent WHERE user_id = 'user 1' AND graph_id = ` + id,
	} {
		if plan := explain(query); strings.Contains(plan, "Seq Scan") {
			t.Errorf("%s:\n%s", query, plan)
		}
	}
}
