package library

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/patchbay-io/patchbay/core/graph"
)

// A database that has graphs gets the entries that it would have if the library had been there.
func TestMigrationFillsLibraries(t *testing.T) {
	t.Parallel()
	s, graphs := newService(t, nil)
	ctx := t.Context()
	nested := `{"name":"Whole","nodes":[{"id":"n","block_id":"e189baac-8c20-45a1-94a7-55177ea42565","input_default":{"graph_id": "c","graph_version":1}}],` +
		`"sub_graphs":[{"id":"c","version":1,"name":"Part"}]}`
	if _, _, err := graphs.Create(ctx, "u", []byte(nested), graph.Options{AllowMissing: true}); err != nil {
		t.Fatal(err)
	}
	two := create(t, graphs, "u", "Old name")
	if _, _, err := graphs.Update(ctx, "u", two, []byte(`{"name":"New name","description":"d"}`), graph.Options{}); err != nil {
		t.Fatal(err)
	}
	back := create(t, graphs, "v", "First")
	if _, _, err := graphs.Update(ctx, "v", back, []byte(`{"name":"Second"}`), graph.Options{}); err != nil {
		t.Fatal(err)
	}
	if _, err := graphs.SetActive(ctx, "v", back, 1, nil); err != nil {
		t.Fatal(err)
	}
	entries := func() []Agent {
		t.Helper()
		var all []Agent
		for _, user := range []string{"u", "v"} {
			list, _, err := s.List(ctx, user, Filter{Order: ByName, Limit: 10})
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range list {
				a.ID = ""
				all = append(all, *a)
			}
			checkCounts(t, s, graphs, user)
		}
		return all
	}
	before := entries()
	source, err := os.ReadFile("../../migrations/00004_library.sql")
	if err != nil {
		t.Fatal(err)
	}
	up, down, _ := strings.Cut(string(source), "-- +goose Down")
	for _, script := range []string{down, up} {
		if _, err := s.DB.DB.ExecContext(ctx, script); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(before, entries()); diff != "" || len(before) != 3 {
		t.Errorf("%d entries: %s", len(before), diff)
	}
}
