package execution

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/uptrace/bun/dialect/pgdialect"

	"github.com/patchbay-io/patchbay/core/postgres/postgrestest"
)

func TestTallies(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	graphs := []string{uuid.NewString(), uuid.NewString(), uuid.NewString()}
	fill(t, h.db, "u", 700, graphs[:2])
	fill(t, h.db, "v", 350, graphs[1:])
	tallies, err := h.Tallies(t.Context(), "u", append([]string{"x", ""}, graphs...))
	if err != nil || len(tallies) != 2 {
		t.Fatalf("%+v, %v", tallies, err)
	}
	for _, id := range graphs[:2] {
		last, _, err := h.List(t.Context(), "u", Filter{GraphID: id, Limit: lastStatuses})
		if err != nil {
			t.Fatal(err)
		}
		var statuses []Status
		for _, x := range last {
			statuses = append(statuses, x.Status)
		}
		got := tallies[id]
		if want := (Counts{Total: 280, Completed: 120, Failed: 40, Terminated: 40}); got.Counts != want || !got.LastAt.Equal(last[0].CreatedAt) || !slices.Equal(got.Last, statuses) {
			t.Errorf("%+v, not %v at %s", got, statuses, last[0].CreatedAt)
		}
	}
	if none, err := h.Tallies(t.Context(), "w", graphs); err != nil || len(none) != 0 {
		t.Errorf("somebody else has %+v, %v", none, err)
	}
	if none, err := h.Tallies(t.Context(), "u", nil); err != nil || len(none) != 0 {
		t.Errorf("of no graph: %+v, %v", none, err)
	}
}

// The last executions of a graph are found by the index that is there for it, whatever the database knows of the table:
// otherwise all of the user's are read for each of his graphs.
func TestLastExecutionsAreFoundByTheirIndex(t *testing.T) {
	t.Parallel()
	fill := func(h *harness, n, graphs int) {
		h.exec(`
			INSERT INTO execution (id, root_id, user_id, graph_id, graph_version, plan_id, status, inputs, created_at, ended_at)
			SELECT gen_random_uuid(), gen_random_uuid(), 'u', ('00000000-0000-4000-8000-' || lpad(to_hex(i % ?), 12, '0'))::uuid, 1, '\x00', 'COMPLETED', '{}', now() + i * interval '1 ms', now()
			FROM generate_series(1, ?) i`, graphs, n)
	}
	for name, known := range map[string]func(h *harness){
		"nothing":             func(*harness) {},
		"that it was empty":   func(h *harness) { h.exec(`ANALYZE execution`) },
		"when it had a graph": func(h *harness) { fill(h, 100, 1); h.exec(`ANALYZE execution`) },
		"all":                 func(h *harness) { fill(h, 24_000, 3000); h.exec(`ANALYZE execution`) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := &harness{t: t, db: postgrestest.DB(t)}
			h.exec(`ALTER TABLE execution SET (autovacuum_enabled = off)`)
			known(h)
			fill(h, 24_000, 3000) // of the indexes that of graphs alone has a level more
			h.exec(`INSERT INTO execution_delta SELECT DISTINCT user_id, graph_id, false, (created_at AT TIME ZONE 'UTC')::date, status, 1 FROM execution WHERE graph_id < '00000000-0000-4000-8000-000000000014'`)
			var graphs []uuid.UUID
			if err := h.db.NewRaw(`SELECT DISTINCT graph_id FROM execution_delta`).Scan(t.Context(), &graphs); err != nil || len(graphs) != 20 {
				t.Fatal(graphs, err)
			}
			text, args := lastQuery("u", graphs)
			last := h.db.NewRaw(text, args...).String()
			text, args = h.LastRuns("u")
			runs := h.db.NewRaw(text, args...).String()
			fold := h.db.NewRaw(foldStatement, pgdialect.Array(statusNumbers[:]), foldMost).String()
			conn, err := h.db.DB.Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			for _, query := range []string{last, runs, fold} {
				lines := explain(t, conn, query, nil)
				if n := blocks(lines); n == 0 || n > 1000 {
					t.Errorf("it reads %d blocks\n%s\n%s", n, query, strings.Join(lines, "\n"))
				}
			}
		})
	}
}

func (h *harness) exec(query string, args ...any) {
	h.t.Helper()
	if _, err := h.db.ExecContext(h.t.Context(), query, args...); err != nil {
		h.t.Fatal(err)
	}
}
