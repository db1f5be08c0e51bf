package execution

import (
	"testing"
	"time"
)

// A plan goes when nobody needs it any more and no execution has it, whatever the clock of who ran it.
func TestPlansGoAfterTheLastOfTheirExecutions(t *testing.T) {
	t.Parallel()
	h := newPast(t, 0)
	ctx := t.Context()
	change := func(script string, args ...any) {
		t.Helper()
		if _, err := h.db.ExecContext(ctx, script, args...); err != nil {
			t.Fatal(err)
		}
	}
	const over = `UPDATE execution_plan SET made_at = now() - interval '30 days', needed_until = now() - interval '20 days' WHERE id = ?`
	type plan struct {
		name, graph string
		id          []byte
		stays       bool
		later       bool // until when it is needed
	}
	var all []*plan
	ran := func(name string, length int, stays, later bool, left func(execution string, plan []byte)) *plan {
		p := &plan{name: name, graph: h.chain("Effect", length), stays: stays, later: later}
		execution := h.finished(h.execute(p.graph, `{"x":1}`)).ID
		if err := h.db.QueryRowContext(ctx, `SELECT plan_id FROM execution WHERE id = ?`, execution).Scan(&p.id); err != nil {
			t.Fatal(err)
		}
		left(execution, p.id)
		all = append(all, p)
		return p
	}
	remove := func(execution string) {
		if err := h.Delete(ctx, "u", execution); err != nil {
			t.Fatal(err)
		}
	}
	gone := ran("of one that was deleted", 1, false, false, func(x string, plan []byte) { remove(x); change(over, plan) })
	ran("of one that is there", 2, true, false, func(x string, plan []byte) {
		h.age(x, 55)
		change(`UPDATE execution_plan SET made_at = now() - interval '60 days', needed_until = now() - interval '50 days' WHERE id = ?`, plan)
	})
	ran("of one whose server had another clock", 3, true, true, func(_ string, plan []byte) { change(over, plan) })
	ran("that others may begin by", 4, true, true, func(x string, _ []byte) { remove(x) })
	ran("from before it was known when plans are made", 5, true, false, func(_ string, plan []byte) {
		change(over, plan)
		change(`UPDATE execution_plan SET made_at = 'epoch' WHERE id = ?`, plan)
	})
	h.tidyUp()
	for _, p := range all {
		var there, later bool
		if err := h.db.QueryRowContext(ctx, `SELECT count(*) > 0, coalesce(bool_or(needed_until > now() + interval '6 days'), false) FROM execution_plan WHERE id = ?`, p.id).Scan(&there, &later); err != nil {
			t.Fatal(err)
		}
		if there != p.stays || later != p.later {
			t.Errorf("the plan %s: there %v, needed for days %v", p.name, there, later)
		}
	}
	h.kill()
	h.start()
	if d := h.finished(h.execute(gone.graph, `{"x":1}`)); d.Status != Completed {
		t.Errorf("by a plan that was removed: %s, %v", d.Status, d.Error)
	}
	h.kill()
	h.start() // it reads the plan
	if d := h.finished(h.execute(gone.graph, `{"x":1}`)); d.Status != Completed {
		t.Errorf("%s, %v", d.Status, d.Error)
	}
}

// Who goes on beginning executions by a plan says so long before others may remove it.
func TestPlansThatAreUsedStay(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	graph := h.chain("Effect", 1)
	needed := func() (left time.Duration) {
		t.Helper()
		var seconds float64
		if err := h.db.QueryRowContext(t.Context(), `SELECT extract(epoch FROM needed_until - now()) FROM execution_plan`).Scan(&seconds); err != nil {
			t.Fatal(err)
		}
		return time.Duration(seconds * float64(time.Second)).Round(time.Hour)
	}
	pass := func(d time.Duration) { // as if it were so much later
		t.Helper()
		if _, err := h.db.ExecContext(t.Context(), `UPDATE execution_plan SET needed_until = needed_until - ? * interval '1 second'`, d.Seconds()); err != nil {
			t.Fatal(err)
		}
		h.plans.mu.Lock()
		defer h.plans.mu.Unlock()
		for _, c := range h.plans.plans {
			c.needed = c.needed.Add(-d)
		}
	}
	const day = 24 * time.Hour
	h.finished(h.execute(graph, `{"x":1}`))
	if left := needed(); left != 7*day {
		t.Errorf("it is needed for %s", left)
	}
	pass(3 * day)
	h.finished(h.execute(graph, `{"x":1}`))
	if left := needed(); left != 4*day {
		t.Errorf("after three days it is needed for %s", left)
	}
	pass(day)
	h.finished(h.execute(graph, `{"x":1}`))
	if left := needed(); left != 7*day {
		t.Errorf("after four days it is needed for %s", left)
	}
}
