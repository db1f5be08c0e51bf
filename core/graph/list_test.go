package graph

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

func TestListsUseIndexes(t *testing.T) {
	t.Parallel()
	s := serviceOf(t)
	_, err := s.db.Exec(`
		INSERT INTO graph (id, user_id, active_version, latest_version, updated_at)
		SELECT gen_random_uuid(), 'user ' || i % 5, 3, 3, now() - i * interval '1 minute' FROM generate_series(1, 10000) i;
		INSERT INTO graph_version (graph_id, version, name, description, document)
		SELECT id, v, 'Agent ' || left(id::text, 4), 'described', '{}' FROM graph, generate_series(1, 3) v`)
	if err == nil {
		_, err = s.db.Exec(`VACUUM ANALYZE graph, graph_version, graph_count`)
	}
	if err != nil {
		t.Fatal(err)
	}
	explain := func(query string, args ...any) string {
		t.Helper()
		var lines []string
		if err := s.db.NewRaw("EXPLAIN "+query, args...).Scan(t.Context(), &lines); err != nil {
			t.Fatal(err)
		}
		return strings.Join(lines, "\n") + "\n"
	}
	total, page, args := listQueries("user 1", "")
	if plan := explain(page, append(args, 20, 40)...); strings.Contains(plan, "Seq Scan") || !strings.Contains(plan, "graph_by_user") || !strings.Contains(plan, "graph_version_pkey") {
		t.Errorf("the page:\n%s", plan)
	}
	if plan := explain(total, args...); strings.Contains(plan, "on graph ") || strings.Contains(plan, "on graph_version") {
		t.Errorf("the total counts graphs:\n%s", plan)
	}
	total, page, args = listQueries("user 1", "agent 1")
	for _, plan := range []string{explain(page, append(args, 20, 0)...), explain(total, args...)} {
		// A fifth of a small table is read in a hash join; graphs of others never are.
		if strings.Contains(plan, "Seq Scan on graph ") || !strings.Contains(plan, "graph_by_user") {
			t.Errorf("a search:\n%s", plan)
		}
	}
	id := "'00000000-0000-4000-8000-000000000000'"
	if plan := explain(`SELECT v.name FROM graph g JOIN graph_version v ON v.graph_id = g.id WHERE g.id = ` + id + ` AND g.user_id = 'user 1' AND v.version <= 3 ORDER BY v.version DESC LIMIT 20`); strings.Contains(plan, "Seq Scan") {
		t.Errorf("versions:\n%s", plan)
	}
	if _, n, err := s.List(t.Context(), "user 1", Filter{Limit: 1}); err != nil || n != 2000 {
		t.Errorf("%d graphs, %v", n, err)
	}
}

func TestTheNumberOfGraphsStaysExact(t *testing.T) {
	t.Parallel()
	s := serviceOf(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 10 {
				g, _, err := s.Create(t.Context(), "u", fmt.Appendf(nil, `{"name":"%d","sub_graphs":[{"name":"part"}]}`, i), Options{})
				if err == nil && n%2 == 0 {
					_, err = s.Delete(t.Context(), "u", g.ID, nil)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if list, n, err := s.List(t.Context(), "u", Filter{Limit: 1000}); err != nil || n != 8*15 || len(list) != n {
		t.Errorf("%d of %d, %v", len(list), n, err)
	}
	if list, n, err := s.List(t.Context(), "nobody", Filter{Limit: 10}); err != nil || n != 0 || len(list) != 0 {
		t.Errorf("%d of %d, %v", len(list), n, err)
	}
}

func TestForkCopiesTheWholeAgent(t *testing.T) {
	t.Parallel()
	s := serviceOf(t)
	ctx := t.Context()
	child := `{"name":"Child","id":"c","version":1,"nodes":[{"id":"n","block_id":"` + testID(0) + `","input_default":{"in":1e400}}]}`
	parent := `{"name":"Parent","nodes":[{"id":"sub","block_id":"` + blockID("AGENT") + `","input_default":{"graph_id":"c","graph_version":1,"input_schema":{},"output_schema":{}}},
		{"id":"gone","block_id":"not installed","input_default":{"api_key":"mine"}}],"links":[],"sub_graphs":[` + child + `]}`
	g, missing, err := s.Create(ctx, "u", []byte(parent), Options{AllowMissing: true})
	if err != nil || len(missing) != 1 {
		t.Fatalf("%v, %v", missing, err)
	}
	origin, err := s.ForRun(ctx, "u", g.ID, 0)
	if err != nil {
		t.Fatal(err)
	}
	before, _ := s.Render(ctx, "u", origin)
	fork, missing, err := s.Fork(ctx, "u", g.ID, 0)
	if err != nil || len(missing) != 1 || missing[0].NodeID != "gone" {
		t.Fatalf("%v, %v", missing, err)
	}
	copied, err := s.ForRun(ctx, "u", fork.ID, 0)
	if err != nil || len(copied.SubGraphs) != 1 {
		t.Fatalf("%+v, %v", copied, err)
	}
	if copied.Name != "Parent (copy)" || copied.Version != 1 || *copied.ForkedFromID != g.ID || *copied.ForkedFromVersion != 1 || copied.Nodes[1].InputDefault == nil {
		t.Errorf("%+v", copied)
	}
	sub := NestedAgent(&copied.Nodes[0])
	if sub.GraphID == NestedAgent(&origin.Nodes[0]).GraphID || sub.GraphID != copied.SubGraphs[0].ID || string(copied.SubGraphs[0].Nodes[0].InputDefault) != `{"in":1e400}` {
		t.Errorf("the copy leads to %+v", sub)
	}
	if string(copied.Nodes[1].InputDefault) != `{"api_key":"mine"}` {
		t.Errorf("one's own copy lost %s", copied.Nodes[1].InputDefault)
	}
	again, err := s.ForRun(ctx, "u", g.ID, 0)
	if err != nil {
		t.Fatal(err)
	}
	if after, _ := s.Render(ctx, "u", again); string(after) != string(before) {
		t.Errorf("the origin changed:\n%s\n%s", before, after)
	}

	// Where it comes from stays with all its versions, whatever bodies say.
	said := `{"name":"Mine","forked_from_id":"elsewhere","forked_from_version":"x","nodes":[]}`
	if again, _, err := s.Update(ctx, "u", fork.ID, []byte(said), Options{}); err != nil || *again.ForkedFromID != g.ID || *again.ForkedFromVersion != 1 {
		t.Errorf("the next version of the fork is %+v, %v", again, err)
	}
	if latest, err := s.Get(ctx, "u", fork.ID, 2); err != nil || *latest.ForkedFromID != g.ID || *latest.ForkedFromVersion != 1 {
		t.Errorf("it is read as %+v, %v", latest, err)
	}
	if fresh, _, err := s.Create(ctx, "u", []byte(said), Options{}); err != nil || fresh.ForkedFromID != nil || fresh.ForkedFromVersion != nil {
		t.Errorf("a new graph is %+v, %v", fresh, err)
	}

	// What executes where no version is named is what is copied then.
	if _, _, err := s.Update(ctx, "u", g.ID, []byte(`{"name":"Newer","nodes":[],"links":[]}`), Options{}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.SetActive(ctx, "u", g.ID, 1, nil); err != nil {
		t.Fatal(err)
	}
	for version, want := range map[int]string{0: "Parent (copy)", 1: "Parent (copy)", 2: "Newer (copy)"} {
		if fork, _, err := s.Fork(ctx, "u", g.ID, version); err != nil || fork.Name != want {
			t.Errorf("the fork of version %d is %+v, %v", version, fork, err)
		}
	}
}
