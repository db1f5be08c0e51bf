package exclusive

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/go-hclog"
	"github.com/uptrace/bun"
	"go.uber.org/goleak"

	"github.com/patchbay-io/patchbay/core/postgres/postgrestest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, postgrestest.IgnoreServer()...) }

func usesOf(t *testing.T, db *bun.DB, server uuid.UUID) *Uses {
	t.Helper()
	u, err := New(t.Context(), db, server, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestOneAtATimeOverAllServers(t *testing.T) {
	t.Parallel()
	db := postgrestest.DB(t)
	servers := []*Uses{usesOf(t, db, uuid.New()), usesOf(t, db, uuid.New())}
	a, b := uuid.New(), uuid.New()
	var using, most atomic.Int32
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			ids := []uuid.UUID{a, b, a} // the other way round too: nobody waits for ever
			if i%3 == 0 {
				ids = []uuid.UUID{b, a}
			}
			release, err := servers[i%2].Hold(t.Context(), ids...)
			if err != nil {
				t.Error(err)
				return
			}
			if n := using.Add(1); n > most.Load() {
				most.Store(n)
			}
			time.Sleep(time.Millisecond) // the use
			using.Add(-1)
			release()
		})
	}
	wait.Wait()
	if most.Load() != 1 {
		t.Errorf("%d used it at once", most.Load())
	}
}

func TestTurnsAreRenewedAndEndWithTheirServer(t *testing.T) {
	t.Parallel()
	db := postgrestest.DB(t)
	u, other := usesOf(t, db, uuid.New()), usesOf(t, db, uuid.New())
	u.lease = 3 * time.Second
	id := uuid.New()
	release, err := u.Hold(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	until := func() (at time.Time) {
		if err := db.QueryRow(`SELECT until FROM exclusive_use WHERE id = ?`, id).Scan(&at); err != nil {
			t.Fatal(err)
		}
		return at
	}
	for began := until(); !until().After(began); { // it is renewed
		if time.Now().After(began.Add(time.Minute)) {
			t.Fatal("the turn is not renewed")
		}
	}
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := other.Hold(short, id); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("it was taken from who holds it: %v", err)
	}
	release()
	if release, err = other.Hold(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	release()
	// One that a dead server holds is free when that starts again.
	dead := uuid.New()
	other.lease = time.Hour
	if _, err := db.Exec(`INSERT INTO exclusive_use (id, server_id, holder, until) VALUES (?, ?, ?, now() + interval '1 hour')`, id, dead, uuid.New()); err != nil {
		t.Fatal(err)
	}
	usesOf(t, db, dead)
	if release, err = other.Hold(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	release()
}

// What would go on for longer than any turn does is from before the database's clock was put back.
func TestTurnsOfBeforeTheClockWasPutBackAreOver(t *testing.T) {
	t.Parallel()
	db := postgrestest.DB(t)
	u, id := usesOf(t, db, uuid.New()), uuid.New()
	if _, err := db.Exec(`INSERT INTO exclusive_use (id, server_id, holder, until) VALUES (?, ?, ?, now() + interval '1 hour')`, id, uuid.New(), uuid.New()); err != nil {
		t.Fatal(err)
	}
	release, err := u.Hold(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	release()
}
