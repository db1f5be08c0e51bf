package execution

import (
	"testing"
)

// Users see their own part of the queue, administrators all of it, whichever server they ask.
func TestDepthOfTheQueue(t *testing.T) {
	t.Parallel()
	h := newHarnessWith(t, func(c *Config) { c.Concurrency = 2 })
	g := h.one("n")
	if d, err := h.DepthOf(t.Context(), "u"); err != nil || d != (Depth{}) {
		t.Errorf("nothing was executed: %+v %v", d, err)
	}
	release := h.runner.holdNode("n")
	defer release()
	for range 2 {
		h.ask("u", g, 0)
	}
	h.expectBegins("n", "n")
	first := h.ask("u", g, 0)
	h.ask("u", g, 5)
	h.ask("v", g, 0)
	h.expectBegins("n") // v's, in the spare seat
	h.ask("w", g, 0)
	x, err := h.Get(t.Context(), "u", first)
	if err != nil {
		t.Fatal(err)
	}
	other := h.beside(func(c *Config) { c.Elsewhere = true })
	h.until("the starts are committed", func() bool {
		d, err := other.DepthOf(t.Context(), "u")
		if err != nil {
			t.Fatal(err)
		}
		return d.Running == 2 && d.Waiting == 2 && d.Oldest != nil && d.Oldest.Equal(x.CreatedAt)
	})
	h.until("the other server has counted", func() bool {
		b, err := other.Backlog(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return b.Running == 3 && b.Waiting == 3 && len(b.Servers) == 2 && b.Servers[0].Running+b.Servers[1].Running == 3 && len(b.Users) == 3 &&
			b.Users[0] == UserDepth{"u", 2, 2} && b.Users[1] == UserDepth{"w", 0, 1} && b.Users[2] == UserDepth{"v", 1, 0}
	})
	// One that waits on a server for its next seat does not run either.
	if _, err := h.db.ExecContext(t.Context(), `UPDATE execution SET owner = ? WHERE id = ?`, h.server, first); err != nil {
		t.Fatal(err)
	}
	if d, err := other.DepthOf(t.Context(), "u"); err != nil || d.Running != 2 || d.Waiting != 2 {
		t.Errorf("%+v %v", d, err)
	}
	if b, err := other.Backlog(t.Context()); err != nil || b.Running != 3 || b.Servers[0].Running+b.Servers[1].Running != 3 {
		t.Errorf("%+v %v", b, err)
	}
}
