package graph

import (
	"strings"
	"testing"
)

// Settings are stored, shown and exported with their version.
func TestSettingsAreKept(t *testing.T) {
	t.Parallel()
	s := serviceOf(t)
	const settings = `"settings":{"max_concurrent_executions":2,"execution_timeout":1.5}`
	g := create(t, s, "u", `{"name":"One",`+settings+`,"nodes":[]}`)
	got, err := NewStore(s.db, nil).Get(t.Context(), "u", g.ID, 1)
	if err != nil || got.Settings != g.Settings || got.Settings.MaxConcurrent != 2 {
		t.Fatalf("%+v %v", got, err)
	}
	shown, err := s.Render(t.Context(), "u", got)
	if err != nil || !strings.Contains(string(shown), settings) {
		t.Errorf("%s %v", shown, err)
	}
}
