package execution

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// checkCounts compares the kept counts with what is there, at every level.
func (h *harness) checkCounts(when string) {
	h.t.Helper()
	rows := func(query string) []string {
		var list []string
		if err := h.db.NewRaw(query).Scan(h.t.Context(), &list); err != nil {
			h.t.Fatal(err)
		}
		return list
	}
	const levels = `SELECT concat_ws(' ', u, g, nested, day, status, sum(n)) FROM (
		SELECT user_id AS u, graph_id::text AS g, nested, day, status, n FROM d
		UNION ALL SELECT user_id, '00000000-0000-0000-0000-000000000000', nested, day, status, n FROM d %s) l GROUP BY u, g, nested, day, status HAVING sum(n) <> 0 ORDER BY 1`
	// One statement each, and what is there first: meanwhile nothing may change.
	there := rows(`WITH d AS (SELECT user_id, graph_id, parent_id IS NOT NULL AS nested, (created_at AT TIME ZONE 'UTC')::date AS day, status, 1 AS n FROM execution) ` + fmt.Sprintf(levels, ""))
	kept := rows(`WITH d AS (SELECT * FROM execution_delta) ` + fmt.Sprintf(levels, "UNION ALL SELECT user_id, graph_id::text, nested, day, status, n FROM execution_count"))
	if !slices.Equal(there, kept) {
		h.t.Fatalf("%s: there are\n%s\nand counted are\n%s", when, strings.Join(there, "\n"), strings.Join(kept, "\n"))
	}
	last, args := h.LastRuns("u")
	var wrong []string
	if err := h.db.NewRaw(`
		SELECT concat_ws(' ', there.*, told.*)
		FROM (SELECT graph_id, max(created_at) AS at FROM execution WHERE user_id = 'u' AND parent_id IS NULL GROUP BY graph_id) there
		FULL JOIN (SELECT * FROM (`+last+`) l (graph_id, at) WHERE at IS NOT NULL) told USING (graph_id)
		WHERE there.at IS DISTINCT FROM told.at`, args...).Scan(h.t.Context(), &wrong); err != nil {
		h.t.Fatal(err)
	}
	if len(wrong) > 0 {
		h.t.Fatalf("%s: the last executions of graphs, and what is told of them:\n%s", when, strings.Join(wrong, "\n"))
	}
}

// quiet waits until nothing is committed any more.
func (h *harness) quiet(ids []string) {
	h.t.Helper()
	for _, id := range ids {
		ctx, cancel := context.WithTimeout(h.t.Context(), 30*time.Second)
		if err := h.Wait(ctx, "u", id); err != nil {
			h.t.Fatal(err)
		}
		cancel()
	}
}

func TestCountsAreExactWhateverHappens(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	random := rand.New(rand.NewPCG(1, uint64(time.Now().UnixNano())))
	child := h.chain("Effect", 1)
	graphs := []string{
		h.chain("Pure", 3), h.chain("Effect", 3), h.agent(child),
		h.add([]string{`in AgentInput {"name":"x"}`, `f Fails {"b":"xx"}`}, []string{"in.result -> f.a"}),
	}
	var ids []string
	for round := range 4 {
		release := h.runner.holdNode([]string{"b1", "b0", "f"}[random.IntN(3)])
		var fresh []string
		for range 20 {
			id := h.execute(graphs[random.IntN(len(graphs))], `{"x":"y"}`)
			if random.IntN(4) == 0 {
				if _, err := h.Stop(t.Context(), "u", id); err != nil {
					t.Fatal(err)
				}
			}
			fresh = append(fresh, id)
		}
		if round%2 == 0 {
			h.kill()
			h.checkCounts(fmt.Sprint("killed in round ", round))
			h.start()
		}
		release()
		h.quiet(fresh)
		ids = append(ids, fresh...)
		for range 5 {
			i := random.IntN(len(ids))
			if err := h.Delete(t.Context(), "u", ids[i]); err != nil {
				t.Fatal(err)
			}
			ids = slices.Delete(ids, i, i+1)
		}
		h.checkCounts(fmt.Sprint("after round ", round))
		if g, err := h.generation(); err != nil {
			t.Fatal(err)
		} else if _, err := g.foldCounts(t.Context()); err != nil {
			t.Fatal(err)
		}
		h.checkCounts(fmt.Sprint("folded in round ", round))
	}
	id := h.execute(graphs[1], `{"x":1}`)
	g, err := h.generation()
	if err != nil {
		t.Fatal(err)
	}
	h.quiet([]string{id})
	if _, err := h.db.ExecContext(t.Context(), `WITH x AS (UPDATE execution SET ended_at = NULL, status = 'RUNNING' WHERE id = ? RETURNING *)
		INSERT INTO execution_delta SELECT user_id, graph_id, false, (created_at AT TIME ZONE 'UTC')::date, s.* FROM x, (VALUES ('COMPLETED', -1), ('RUNNING', 1)) s`, id); err != nil {
		t.Fatal(err)
	}
	g.giveUp(uuid.MustParse(id), errUnreadable)
	h.checkCounts("given up")
	var stats Stats
	if err := h.db.NewRaw(`SELECT total_nodes, completed_nodes, failed_nodes FROM execution WHERE id = ?`, id).Scan(t.Context(), &stats.TotalNodes, &stats.CompletedNodes, &stats.FailedNodes); err != nil {
		t.Fatal(err)
	}
	if want := (Stats{TotalNodes: 5, CompletedNodes: 5}); stats != want {
		t.Errorf("given up: %+v", stats)
	}
	if x, err := h.Get(t.Context(), "u", id); err != nil || x.Status != Completed && x.Status != Failed {
		t.Errorf("%+v %v", x, err)
	}
}

// agent is a graph around a nested agent that has the pins x and y.
func (h *harness) agent(child string) string {
	return h.add([]string{
		`in AgentInput {"name":"x"}`, `out AgentOutput {"name":"y"}`,
		fmt.Sprintf(`agent AgentExecutor {"graph_id":%q,"graph_version":1,"inputs":{},"input_schema":{"type":"object","properties":{"x":{}},"required":["x"]},"output_schema":{"type":"object","properties":{"y":{}}}}`, child),
	}, []string{"in.result -> agent.x", "agent.y -> out.value"})
}

// fill adds n executions of a user that have never run, of several graphs, statuses and days.
func fill(t *testing.T, db *bun.DB, user string, n int, graphs []string) {
	t.Helper()
	fillEvery(t, db, "7 minutes", user, n, graphs)
}

func fillEvery(t *testing.T, db *bun.DB, every, user string, n int, graphs []string) {
	t.Helper()
	_, err := db.ExecContext(t.Context(), `
		WITH e AS (
			INSERT INTO execution (id, root_id, parent_id, user_id, graph_id, graph_version, plan_id, status, inputs, created_at, ended_at, owner)
			SELECT id, id, CASE WHEN i % 5 = 0 THEN id END, ?, (ARRAY[?]::uuid[])[1 + i % ?], 1, '\x00',
				(ARRAY['COMPLETED','COMPLETED','COMPLETED','FAILED','TERMINATED','RUNNING','QUEUED'])[1 + i % 7], '{}',
				'2026-01-01T00:00:00Z'::timestamptz + i * ?::interval, CASE WHEN i % 7 < 5 THEN now() END, gen_random_uuid()
			FROM (SELECT gen_random_uuid() AS id, i FROM generate_series(0, ? - 1) i) s RETURNING *)
		INSERT INTO execution_delta SELECT user_id, graph_id, parent_id IS NOT NULL, (created_at AT TIME ZONE 'UTC')::date, status, count(*) FROM e GROUP BY 1, 2, 3, 4, 5`,
		user, bun.List(graphs), len(graphs), every, n)
	if err != nil {
		t.Fatal(err)
	}
}

func day(text string) time.Time {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return at
}

// filters are some of every kind.
func filters(graphs []string, parent string) map[string]Filter {
	return map[string]Filter{
		"all":               {},
		"graph":             {GraphID: graphs[0]},
		"status":            {Statuses: []Status{Failed}},
		"statuses":          {Statuses: []Status{Completed, Queued, Completed}},
		"all statuses":      {Statuses: statusNumbers[:]},
		"graph and status":  {GraphID: graphs[1], Statuses: []Status{Running}},
		"nested too":        {IncludeNested: true},
		"nested of a graph": {IncludeNested: true, GraphID: graphs[0], Statuses: []Status{Completed}},
		"since":             {Since: day("2026-01-03T12:00:00Z")},
		"before":            {Before: day("2026-01-04T00:00:00Z")},
		"whole days":        {Since: day("2026-01-02T00:00:00Z"), Before: day("2026-01-04T00:00:00Z")},
		"within a day":      {Since: day("2026-01-02T03:00:00Z"), Before: day("2026-01-02T11:13:00Z"), IncludeNested: true},
		"over midnight":     {Since: day("2026-01-02T23:00:00Z"), Before: day("2026-01-03T01:00:00+01:00"), Statuses: []Status{Completed}},
		"two parts of days": {Since: day("2026-01-02T23:00:00Z"), Before: day("2026-01-04T01:00:00Z"), GraphID: graphs[1]},
		"most of two days":  {Since: day("2026-01-02T03:00:00Z"), Before: day("2026-01-03T20:30:00Z"), Statuses: []Status{Completed, Failed}},
		"most of a day":     {Since: day("2026-01-02T03:00:00Z"), Before: day("2026-01-02T20:30:00Z"), GraphID: graphs[0]},
		"from noon":         {Since: day("2026-01-02T12:00:00Z"), Before: day("2026-01-04T12:00:00Z")},
		"an early morning":  {Since: day("2026-01-02T00:00:00Z"), Before: day("2026-01-02T00:30:00Z")},
		"a late evening":    {Since: day("2026-01-02T23:00:00Z"), Before: day("2026-01-03T00:00:00Z")},
		"a moment":          {Since: day("2026-01-02T20:00:00Z"), Before: day("2026-01-02T20:00:00Z")},
		"never":             {Since: day("2026-01-04T00:00:00Z"), Before: day("2026-01-02T00:00:00Z")},
		"long ago":          {Before: time.Unix(0, 0)},
		"children":          {ParentID: parent},
		"another's graph":   {GraphID: graphs[2]},
		"no graph at all":   {GraphID: uuid.Nil.String()},
		"an odd id":         {GraphID: "x"},
	}
}

// TestListsAreWholeAndTheUsersOwn compares every filter with what a plain look at all rows gives.
func TestListsAreWholeAndTheUsersOwn(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	graphs := []string{uuid.NewString(), uuid.NewString(), uuid.NewString()}
	fill(t, h.db, "u", 1500, graphs[:2])
	fill(t, h.db, "stranger", 700, graphs[1:])
	g, err := h.generation()
	if err != nil {
		t.Fatal(err)
	}
	var parent string
	if err := h.db.NewRaw(`SELECT parent_id FROM execution WHERE parent_id IS NOT NULL AND user_id = 'u' LIMIT 1`).Scan(t.Context(), &parent); err != nil {
		t.Fatal(err)
	}
	for _, folded := range []bool{false, true} {
		if folded {
			if _, err := g.foldCounts(t.Context()); err != nil {
				t.Fatal(err)
			}
			fill(t, h.db, "u", 300, graphs[:2])
		}
		h.checkCounts("filled")
		for name, f := range filters(graphs, parent) {
			want := h.plainly(f)
			got := []string{}
			f.Limit = 100
			for {
				page, total, err := h.List(t.Context(), "u", f)
				if err != nil || total != len(want) {
					t.Fatalf("%s: total %d, want %d: %v", name, total, len(want), err)
				}
				for _, x := range page {
					got = append(got, x.ID)
				}
				if f.Offset += f.Limit; f.Offset >= total {
					break
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: the pages have %d executions, or in another order than the %d that are there", name, len(got), len(want))
			}
			f.Offset = 100_000
			if page, total, err := h.List(t.Context(), "u", f); err != nil || len(page) > 0 || total != len(want) {
				t.Errorf("%s: behind the end %d of %d, %v", name, len(page), total, err)
			}
			if page, total, err := h.List(t.Context(), "nobody", f); err != nil || len(page) > 0 || total != 0 {
				t.Errorf("%s: another user sees %d of %d, %v", name, len(page), total, err)
			}
		}
	}
}

// TestFarPages has days with many executions, which are not gone through from their newest.
func TestFarPages(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	graphs := []string{uuid.NewString(), uuid.NewString()}
	fillEvery(t, h.db, "20 seconds", "u", 9000, graphs)
	for name, f := range map[string]Filter{"all": {}, "nested too": {IncludeNested: true}, "status": {Statuses: []Status{Completed}}, "graph": {GraphID: graphs[1]},
		"since": {Since: day("2026-01-01T05:00:00Z")}, "before": {Before: day("2026-01-02T20:00:00Z"), IncludeNested: true},
		"between": {Since: day("2026-01-01T05:00:00Z"), Before: day("2026-01-02T20:00:00Z")}, "days": {Since: day("2026-01-01T00:00:00Z"), Before: day("2026-01-02T00:00:00Z")},
		"within a day": {Since: day("2026-01-02T03:00:00Z"), Before: day("2026-01-02T22:00:00Z"), IncludeNested: true},
	} {
		want := h.plainly(f)
		for f.Offset = 900; f.Offset < len(want); f.Offset += 97 {
			f.Limit = 100
			page, total, err := h.List(t.Context(), "u", f)
			if err != nil || total != len(want) {
				t.Fatal(total, err)
			}
			got := []string{}
			for _, x := range page {
				got = append(got, x.ID)
			}
			if !slices.Equal(got, want[f.Offset:min(f.Offset+f.Limit, len(want))]) {
				t.Fatalf("%s: the page behind %d is not what it should be", name, f.Offset)
			}
		}
	}
}

// plainly looks at all rows.
func (h *harness) plainly(f Filter) []string {
	q := h.db.NewSelect().TableExpr("execution").Column("id").Where("user_id = 'u'").OrderExpr("created_at DESC, id DESC")
	if f.GraphID != "" {
		q.Where("graph_id::text = ?", f.GraphID)
	}
	if len(f.Statuses) > 0 {
		q.Where("status IN (?)", bun.List(f.Statuses))
	}
	if f.ParentID != "" {
		q.Where("parent_id = ?", f.ParentID)
	} else if !f.IncludeNested {
		q.Where("parent_id IS NULL")
	}
	if !f.Since.IsZero() {
		q.Where("created_at >= ?", f.Since)
	}
	if !f.Before.IsZero() {
		q.Where("created_at < ?", f.Before)
	}
	ids := []string{}
	if err := q.Scan(h.t.Context(), &ids); err != nil {
		h.t.Fatal(err)
	}
	return ids
}

func TestCountsOfGraphs(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	graphs := []string{uuid.NewString(), uuid.NewString(), uuid.NewString()}
	fill(t, h.db, "u", 700, graphs[:2])
	fill(t, h.db, "v", 350, graphs[1:])
	fill(t, h.db, "w", 350, graphs[1:])
	for _, folded := range []bool{false, true} {
		if folded {
			g, err := h.generation()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := g.foldCounts(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		counts, err := h.CountsOf(t.Context(), "u", append([]string{"x", uuid.Nil.String()}, graphs...))
		if want := (Counts{Total: 280, Completed: 120, Failed: 40, Terminated: 40}); err != nil || len(counts) != 2 || counts[graphs[0]] != want || counts[graphs[1]] != want {
			t.Errorf("%+v, %v", counts, err)
		}
	}
}

// TestListsUseIndexes looks at Postgres's plans for a table with very many rows.
func TestListsUseIndexes(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	graphs := []string{uuid.NewString(), uuid.NewString(), uuid.NewString()}
	fill(t, h.db, "u", 20_000, graphs[:2])
	fill(t, h.db, "stranger", 20_000, graphs[1:])
	g, err := h.generation()
	if err != nil {
		t.Fatal(err)
	}
	for more := true; more; {
		if more, err = g.foldCounts(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := h.db.ExecContext(t.Context(), `VACUUM ANALYZE execution, execution_count, execution_delta`); err != nil {
		t.Fatal(err)
	}
	for name, f := range filters(graphs, uuid.NewString()) {
		q, ok := queryOf("u", f)
		if !ok {
			continue
		}
		text, args := q.page(place{since: q.since, before: q.before, limit: 20})
		plan := h.explain(text, args...)
		for _, bad := range []string{"Seq Scan", "Sort  (", "Bitmap Heap"} {
			if strings.Contains(plan, bad) {
				t.Errorf("%s: the page has a %s:\n%s", name, bad, plan)
			}
		}
		text, args = q.total()
		if plan = h.explain(text, args...); strings.Contains(plan, "Seq Scan on execution\n") || strings.Contains(plan, "Seq Scan on execution ") {
			t.Errorf("%s: the total has a sequential scan:\n%s", name, plan)
		}
	}
	for _, query := range []string{
		`SELECT id FROM execution WHERE user_id = 'u' AND graph_id = '` + graphs[0] + `' AND status IN ('QUEUED', 'RUNNING') AND parent_id IS NULL`,
		`SELECT id FROM execution x WHERE x.ended_at IS NULL AND (x.id = '` + graphs[0] + `' OR x.root_id = '` + graphs[0] + `' AND x.parent_id IS NOT NULL)`,
		`WITH RECURSIVE t AS (SELECT id FROM execution WHERE id = '` + graphs[0] + `' AND user_id = 'u' UNION ALL SELECT e.id FROM execution e JOIN t ON e.parent_id = t.id)
			SELECT EXISTS (SELECT FROM execution WHERE retry_of IN (SELECT id FROM t) AND ended_at IS NULL)`,
		`SELECT graph_id, status, n FROM execution_count WHERE user_id = 'u' AND graph_id IN ('` + graphs[0] + `') AND NOT nested`,
	} {
		if plan := h.explain(query); strings.Contains(plan, "Seq Scan on execution") {
			t.Errorf("%s:\n%s", query, plan)
		}
	}
}

func (h *harness) explain(query string, args ...any) string {
	h.t.Helper()
	var lines []string
	if err := h.db.NewRaw("EXPLAIN "+query, args...).Scan(h.t.Context(), &lines); err != nil {
		h.t.Fatal(err)
	}
	return strings.Join(lines, "\n") + "\n"
}
