package execution

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// past is a database whose history is in partitions of days.
func newPast(t *testing.T, retention int) *harness {
	t.Helper()
	h := newHarnessWith(t, func(c *Config) { c.Retention = retention })
	if _, err := h.db.ExecContext(t.Context(), `DROP TABLE journal_first, value_first`); err != nil {
		t.Fatal(err)
	}
	if err := h.partitions.ahead(t.Context()); err != nil {
		t.Fatal(err)
	}
	return h
}

// age lets an execution, with what is nested in it, have begun and ended so many days earlier, and answers its new id.
func (h *harness) age(id string, days int) string {
	h.t.Helper()
	const older = `(left(history_id(history_time(?) - n.days * interval '24 hours')::text, 14) || right((?)::text, 22))::uuid`
	of := func(column string) string { return column + " = " + strings.ReplaceAll(older, "?", "x."+column) }
	for _, script := range []string{
		`SELECT history_cover(history_time(?1) - ?0 * interval '24 hours', 1)`,
		`UPDATE journal x SET ` + of("execution_id") + ` FROM (SELECT ?0 AS days) n WHERE execution_id IN (SELECT id FROM execution WHERE root_id = ?1)`,
		`UPDATE value x SET ` + of("execution_id") + ` FROM (SELECT ?0 AS days) n WHERE execution_id IN (SELECT id FROM execution WHERE root_id = ?1)`,
		`UPDATE execution x SET ` + of("id") + `, ` + of("root_id") + `, ` + of("parent_id") + `, created_at = created_at - n.days * interval '24 hours', ended_at = ended_at - n.days * interval '24 hours'
			FROM (SELECT ?0 AS days) n WHERE root_id = ?1`,
		`TRUNCATE execution_delta, execution_count`,
		`INSERT INTO execution_delta SELECT user_id, graph_id, parent_id IS NOT NULL, (created_at AT TIME ZONE 'UTC')::date, status, count(*) FROM execution GROUP BY 1, 2, 3, 4, 5`,
	} {
		if _, err := h.db.ExecContext(h.t.Context(), script, days, id); err != nil {
			h.t.Fatalf("%s: %v", script, err)
		}
	}
	return strings.Replace(id, id[:14], idAt(timeOf(id).AddDate(0, 0, -days)).String()[:14], 1)
}

func timeOf(id string) time.Time {
	seconds, nanos := uuid.MustParse(id).Time().UnixTime()
	return time.Unix(seconds, nanos)
}

// tidyUp does what a server does in its turn.
func (h *harness) tidyUp() {
	h.t.Helper()
	g, err := h.generation()
	if err != nil {
		h.t.Fatal(err)
	}
	if _, err := g.foldCounts(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
	if err := g.tidy(h.t.Context(), func() error { return nil }); err != nil {
		h.t.Fatal(err)
	}
}

func TestExecutionsGoWhenTheirTimeIsOver(t *testing.T) {
	t.Parallel()
	h := newPast(t, 10)
	ctx := t.Context()
	plain, brief, nested := h.chain("Effect", 2), h.chain("Effect", 1), h.agent(h.chain("Effect", 1))
	days := func(n int) *int { return &n }
	for _, set := range []struct {
		user, graph string
		days        *int
	}{{"u", brief, days(3)}, {"long", "", days(100)}, {"ever", "", days(0)}, {"ever", brief, days(3)}, {"short", "", days(2)}, {"short", plain, days(50)}} {
		if err := h.SetRetention(ctx, set.user, set.graph, set.days); err != nil {
			t.Fatal(err)
		}
	}
	large := `{"x":"` + strings.Repeat("large ", 20000) + `"}`
	type past struct {
		user, id string
		stays    bool
	}
	var all []past
	for _, c := range []struct {
		user, graph string
		days        int
		stays       bool
	}{
		{"u", plain, 5, true}, {"u", plain, 12, false}, {"u", nested, 12, false}, {"u", nested, 8, true},
		{"u", brief, 2, true}, {"u", brief, 5, false},
		{"long", plain, 40, true}, {"long", plain, 102, false},
		{"ever", plain, 400, true}, {"ever", brief, 5, false},
		{"short", plain, 4, false}, {"short", brief, 1, true},
	} {
		id, err := h.Execute(ctx, Request{UserID: c.user, GraphID: c.graph, Inputs: []byte(large)})
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Wait(ctx, c.user, id); err != nil {
			t.Fatal(err)
		}
		all = append(all, past{c.user, h.age(id, c.days), c.stays})
	}
	// Old ones that are not to go: one that another server runs, one that such a one retries, and one that has just ended.
	elsewhere := h.age(h.finished(h.execute(plain, large)).ID, 12)
	retried := h.age(h.finished(h.execute(plain, large)).ID, 12)
	late := h.age(h.finished(h.execute(plain, large)).ID, 12)
	for script, id := range map[string]string{
		`UPDATE execution SET status = 'RUNNING', ended_at = NULL, owner = gen_random_uuid(), retry_of = '` + retried + `' WHERE id = ?`: elsewhere,
		`UPDATE execution SET ended_at = now() WHERE id = ?`:                                                                             late,
	} {
		if _, err := h.db.ExecContext(ctx, script, id); err != nil {
			t.Fatal(err)
		}
	}
	now := h.age(h.finished(h.execute(plain, large)).ID, 0)
	all = append(all, past{"u", elsewhere, true}, past{"u", retried, true}, past{"u", late, true}, past{"u", now, true})
	before := len(h.parts())

	h.tidyUp()
	h.checkCounts("tidied up")
	totals := map[string]int{}
	for _, x := range all {
		_, err := h.Details(ctx, x.user, x.id)
		if x.stays && err != nil || !x.stays && !errors.Is(err, ErrNotFound) {
			t.Errorf("%s's of %v (stays: %t): %v", x.user, timeOf(x.id), x.stays, err)
		}
		var rows, values int
		if err := h.db.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM journal WHERE execution_id = ?0), (SELECT count(*) FROM value WHERE execution_id = ?0)`, x.id).Scan(&rows, &values); err != nil {
			t.Fatal(err)
		}
		if (rows > 0) != x.stays || (values > 0) != x.stays {
			t.Errorf("%s's of %v (stays: %t) has %d rows and %d values", x.user, timeOf(x.id), x.stays, rows, values)
		}
		if x.stays {
			totals[x.user]++
		}
	}
	for user, want := range totals {
		if list, total, err := h.List(ctx, user, Filter{Limit: 100}); err != nil || total != want || len(list) != want {
			t.Errorf("%s has %d executions in a list of %d, not %d: %v", user, total, len(list), want, err)
		}
	}
	var left int
	if err := h.db.QueryRowContext(ctx, `SELECT count(*) FROM execution WHERE parent_id IS NOT NULL`).Scan(&left); err != nil || left != 1 {
		t.Errorf("%d nested executions are left: %v", left, err)
	}
	// Days of which nothing is left are gone, in both tables: 102 and 4 and 5 stay or go by what else began on them.
	for _, p := range h.parts() {
		used := p.until.Time.After(time.Now().AddDate(0, 0, -2)) // not old yet
		for _, x := range all {
			used = used || x.stays && !timeOf(x.id).Before(p.since.Time) && timeOf(x.id).Before(p.until.Time)
		}
		if !used {
			t.Errorf("%s is still there", p.name)
		}
	}
	if after := len(h.parts()); after >= before {
		t.Errorf("%d partitions of %d are left", after, before)
	}
	h.tidyUp() // nothing to do
	h.checkCounts("again")
}

// Where nobody keeps anything longer, no row is deleted from the history: it is dropped.
func TestHistoryIsDroppedWithItsPartition(t *testing.T) {
	t.Parallel()
	h := newPast(t, 10)
	g := h.chain("Effect", 2)
	for range 3 {
		h.age(h.finished(h.execute(g, `{"x":1}`)).ID, 12)
	}
	if _, err := h.db.ExecContext(t.Context(), `
		CREATE FUNCTION kept() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'a row is deleted'; END $$;
		CREATE TRIGGER kept BEFORE DELETE ON journal FOR EACH ROW EXECUTE FUNCTION kept()`); err != nil {
		t.Fatal(err)
	}
	// Somebody reads for long: what holds them up is left for later.
	tx, err := h.db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var rows int
	if err := tx.QueryRowContext(t.Context(), `SELECT count(*) FROM journal`).Scan(&rows); err != nil || rows == 0 {
		t.Fatalf("%d rows: %v", rows, err)
	}
	before := len(h.parts())
	h.tidyUp()
	if now := len(h.parts()); now != before {
		t.Errorf("%d partitions of %d beside a reader", now, before)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	h.tidyUp()
	if now := len(h.parts()); now != before-2 {
		t.Errorf("%d partitions of %d", now, before)
	}
	h.checkCounts("dropped")
}

// A tree of more executions than go at once goes whole.
func TestLargeTreesGo(t *testing.T) {
	t.Parallel()
	h := newPast(t, 1)
	id := h.age(h.finished(h.execute(h.agent(h.chain("Effect", 1)), `{"x":1}`)).ID, 5)
	if _, err := h.db.ExecContext(t.Context(), `
		INSERT INTO execution (id, root_id, parent_id, user_id, graph_id, graph_version, plan_id, status, inputs, created_at, ended_at)
		SELECT (left(id::text, 14) || right(gen_random_uuid()::text, 22))::uuid, root_id, ?0, user_id, graph_id, graph_version, plan_id, status, inputs, created_at, ended_at
		FROM execution, generate_series(1, ?1) WHERE parent_id = ?0;
		TRUNCATE execution_delta, execution_count;
		INSERT INTO execution_delta SELECT user_id, graph_id, parent_id IS NOT NULL, (created_at AT TIME ZONE 'UTC')::date, status, count(*) FROM execution GROUP BY 1, 2, 3, 4, 5`, id, 2*executionsAtOnce); err != nil {
		t.Fatal(err)
	}
	h.tidyUp()
	var left int
	if err := h.db.QueryRowContext(t.Context(), `SELECT count(*) FROM execution`).Scan(&left); err != nil || left != 0 {
		t.Errorf("%d are left: %v", left, err)
	}
	h.checkCounts("gone")
}

func TestOneServerTidiesUpAtATime(t *testing.T) {
	t.Parallel()
	h := newPast(t, 1)
	g, err := h.generation()
	if err != nil {
		t.Fatal(err)
	}
	h.age(h.finished(h.execute(h.chain("Effect", 1), `{"x":1}`)).ID, 5)
	left := func() (n int) {
		t.Helper()
		if _, err := g.foldCounts(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := g.tidyInTurn(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := h.db.QueryRowContext(t.Context(), `SELECT count(*) FROM execution`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if _, err := h.db.ExecContext(t.Context(), `UPDATE history_turn SET server_id = gen_random_uuid(), until = now() + interval '5 minutes'`); err != nil {
		t.Fatal(err)
	}
	if n := left(); n != 1 {
		t.Error("it is another server's turn")
	}
	if _, err := h.db.ExecContext(t.Context(), `UPDATE history_turn SET until = now()`); err != nil {
		t.Fatal(err)
	}
	if n := left(); n != 0 {
		t.Error("a server that died keeps its turn")
	}
	h.age(h.finished(h.execute(h.chain("Effect", 1), `{"x":1}`)).ID, 5)
	if n := left(); n != 1 {
		t.Error("it was tidied up a moment ago")
	}
}

func TestRetentionIsTheLeastThatIsSet(t *testing.T) {
	t.Parallel()
	h := newHarnessWith(t, func(c *Config) { c.Retention = 10 })
	graph := uuid.NewString()
	days := func(n int) *int { return &n }
	for _, c := range []struct {
		user, graph   *int
		everything    int
		executionsOfG int
	}{
		{nil, nil, 10, 10}, {days(0), nil, 0, 0}, {days(30), nil, 30, 30}, {nil, days(3), 10, 3}, {nil, days(30), 10, 10}, {nil, days(0), 10, 10},
		{days(0), days(30), 0, 30}, {days(5), days(7), 5, 5}, {days(5), nil, 5, 5},
	} {
		for of, n := range map[string]*int{"": c.user, graph: c.graph} {
			if err := h.SetRetention(t.Context(), "u", of, n); err != nil {
				t.Fatal(err)
			}
		}
		all, err := h.RetentionOf(t.Context(), "u", "")
		one, err2 := h.RetentionOf(t.Context(), "u", graph)
		if err = errors.Join(err, err2); err != nil || all.Effective != c.everything || one.Effective != c.executionsOfG || (all.Days == nil) != (c.user == nil) || (one.Days == nil) != (c.graph == nil) {
			t.Errorf("%+v: %+v and %+v, %v", c, all, one, err)
		}
	}
	if err := h.SetRetention(t.Context(), "u", "", days(-1)); !errors.Is(err, ErrRetention) {
		t.Error(err)
	}
	if err := h.SetRetention(t.Context(), "u", "x", days(1)); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}
