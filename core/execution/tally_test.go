package execution

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
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

func TestLastExecutionsAreFoundByTheirIndex(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	graphs := []uuid.UUID{uuid.New(), uuid.New()}
	fill(t, h.db, "u", 20_000, []string{graphs[0].String(), graphs[1].String()})
	if _, err := h.db.ExecContext(t.Context(), `VACUUM ANALYZE execution`); err != nil {
		t.Fatal(err)
	}
	text, args := lastQuery("u", graphs)
	plan := h.explain(text, args...)
	if !strings.Contains(plan, "execution_by_graph") || strings.Contains(plan, "Seq Scan") || strings.Contains(plan, "Bitmap") {
		t.Errorf("%s", plan)
	}
}
