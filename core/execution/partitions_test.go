package execution

import (
	"database/sql"
	"encoding/binary"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/go-hclog"
)

// idAt is what an execution that began at a time may have as its id.
func idAt(at time.Time) uuid.UUID {
	id := uuid.Must(uuid.NewV7())
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(at.UnixMilli()))
	copy(id[:6], ms[2:])
	return id
}

type partition struct {
	parent, name string
	since, until sql.NullTime
}

func (h *harness) parts() []partition {
	h.t.Helper()
	rows, err := h.db.QueryContext(h.t.Context(), `SELECT parent, name, since, until FROM history_partition ORDER BY parent, until`)
	if err != nil {
		h.t.Fatal(err)
	}
	defer rows.Close()
	var all []partition
	for rows.Next() {
		var p partition
		if err := rows.Scan(&p.parent, &p.name, &p.since, &p.until); err != nil {
			h.t.Fatal(err)
		}
		all = append(all, p)
	}
	if err := rows.Err(); err != nil {
		h.t.Fatal(err)
	}
	return all
}

// Whatever the clock of the server that made the id said, rows find a partition, and all partitions are apart.
func TestNoRowLacksAPartition(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	if _, err := h.db.ExecContext(t.Context(), `DROP TABLE journal_first, value_first`); err != nil {
		t.Fatal(err)
	}
	for _, days := range []int{7, 1} {
		p := partitions{h.db, hclog.NewNullLogger(), days}
		var all sync.WaitGroup
		for range 3 { // servers
			all.Go(func() {
				if err := p.ahead(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	}
	now := time.Now()
	for _, at := range []time.Time{now, now.AddDate(0, 0, 6), now.AddDate(0, 1, 0), now.AddDate(-1, 0, 0), now.AddDate(0, 0, -1), time.Unix(3, 0), now.AddDate(3000, 0, 0)} {
		if err := h.storeValue(t.Context(), idAt(at), []byte("digest"), []byte("value")); err != nil {
			t.Errorf("%v: %v", at, err)
		}
	}
	last := partition{}
	for _, p := range h.parts() {
		if p.parent == last.parent && p.since.Time.Before(last.until.Time) || !p.since.Time.Before(p.until.Time) || p.since.Time.UTC().Hour() != 0 {
			t.Errorf("%+v after %+v", p, last)
		}
		last = p
	}
	// An execution's rows too, by the writer.
	if _, err := h.db.ExecContext(t.Context(), `DO $$ DECLARE p text; BEGIN FOR p IN SELECT name FROM history_partition LOOP EXECUTE 'DROP TABLE ' || p; END LOOP; END $$`); err != nil {
		t.Fatal(err)
	}
	if d := h.finished(h.execute(h.chain("Effect", 2), `{"x":1}`)); d.Status != Completed {
		t.Errorf("%+v", d.Execution)
	}
	if got := len(h.parts()); got != 2 {
		t.Errorf("%d partitions", got)
	}
}

// A database that has executions shows them as before, when its tables have become partitions and also when those have
// become tables again.
func TestMigrationKeepsTheHistory(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	source, err := os.ReadFile("../../migrations/00050_partitioned_history.sql")
	if err != nil {
		t.Fatal(err)
	}
	up, down, _ := strings.Cut(string(source), "-- +goose Down")
	migrate := func(script string) {
		t.Helper()
		if _, err := h.db.DB.ExecContext(t.Context(), script); err != nil {
			t.Fatal(err)
		}
	}
	migrate(down)
	// Rows as the version before wrote them, from before partitions, and of a clock that was far ahead.
	large := bytesOf(3*chunkSize, 100, 1)
	ids := []uuid.UUID{idAt(time.Unix(1, 0)), uuid.Must(uuid.NewV7()), idAt(time.Now().AddDate(1, 0, 0))}
	for _, id := range ids {
		if _, err := h.db.ExecContext(t.Context(), `INSERT INTO value (execution_id, digest, data) VALUES (?, 'd', ?)`, id, large); err != nil {
			t.Fatal(err)
		}
		if _, err := h.db.ExecContext(t.Context(), `INSERT INTO journal VALUES (?, 3, 4, 0, 1, 2, 3, true, 'body')`, id); err != nil {
			t.Fatal(err)
		}
	}
	kept := func(when string) {
		t.Helper()
		for _, id := range ids {
			if v, err := h.largeValue(t.Context(), id, []byte("d")); err != nil || string(v) != string(large) {
				t.Errorf("%s: %d bytes, %v", when, len(v), err)
			}
			var row string
			if err := h.db.QueryRowContext(t.Context(), `SELECT journal::text FROM journal WHERE execution_id = ?`, id).Scan(&row); err != nil || row != "("+id.String()+`,3,4,0,1,2,3,t,"\\x626f6479")` {
				t.Errorf("%s: %s, %v", when, row, err)
			}
		}
	}
	migrate(up)
	kept("up")
	if got := h.parts(); len(got) != 2 || got[0].since.Valid || got[0].until.Time.Before(time.Now().AddDate(1, 0, 6)) {
		t.Errorf("partitions: %+v", got)
	}
	d := h.finished(h.execute(h.chain("Effect", 2), `{"x":1}`))
	migrate(down)
	migrate(up)
	kept("down and up")
	if again := h.details(d.ID); len(again.NodeExecutions) != len(d.NodeExecutions) || len(again.Outputs) != 1 {
		t.Errorf("an execution between: %+v", again)
	}
}
