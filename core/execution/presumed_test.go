package execution

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/uptrace/bun"

	"github.com/patchbay-io/patchbay/core/graph"
)

// versions are graphs in the database, of which every version is the same. They presume what was last read.
type versions struct {
	graphMap
	db    *bun.DB
	asked atomic.Int32 // the database
	known sync.Map     // active versions by graph
}

func (v *versions) ForRun(ctx context.Context, user, id string, version int) (*graph.Graph, error) {
	v.asked.Add(1)
	if version == 0 {
		err := v.db.QueryRowContext(ctx, "SELECT active_version FROM graph WHERE id = ? AND user_id = ?", id, user).Scan(&version)
		if errors.Is(err, sql.ErrNoRows) {
			v.known.Delete(id)
			return nil, graph.ErrNotFound
		}
		if err != nil {
			return nil, err
		}
		v.known.Store(id, version)
	}
	return v.version(id, version), nil
}

func (v *versions) Presumed(_, id string) (*graph.Graph, bool) {
	version, ok := v.known.Load(id)
	if !ok {
		return nil, false
	}
	return v.version(id, version.(int)), true
}

func (v *versions) version(id string, version int) *graph.Graph {
	g := *v.graphMap[id]
	g.Version = version
	return &g
}

// activate is what another server does.
func (v *versions) activate(t *testing.T, id, user string, version int) {
	t.Helper()
	if _, err := v.db.ExecContext(context.Background(), `
		INSERT INTO graph (id, user_id, active_version, latest_version) VALUES (?0, ?1, ?2, ?2)
		ON CONFLICT (id) DO UPDATE SET active_version = excluded.active_version, latest_version = excluded.latest_version`, id, user, version); err != nil {
		t.Error(err)
	}
}

func (v *versions) active(t *testing.T, id string) (version int) {
	t.Helper()
	if err := v.db.QueryRowContext(t.Context(), "SELECT active_version FROM graph WHERE id = ?", id).Scan(&version); err != nil {
		t.Error(err)
	}
	return version
}

func newVersions(t *testing.T) (*harness, *versions) {
	v := &versions{}
	h := newHarnessWith(t, func(c *Config) {
		v.graphMap, v.db, c.Graphs = c.Graphs.(graphMap), c.DB, v
	})
	return h, v
}

func TestPresumedVersionIsTheActiveOne(t *testing.T) {
	t.Parallel()
	h, v := newVersions(t)
	for _, block := range []string{"Pure", "Effect"} {
		t.Run(block, func(t *testing.T) {
			id := h.chain(block, 2)
			v.asked.Store(0)
			expect := func(version, asked int) {
				t.Helper()
				for _, awaited := range []bool{true, false} {
					x, err := h.Execute(t.Context(), Request{UserID: `u`, GraphID: id, Inputs: json.RawMessage(`{"x":1}`), Awaited: awaited})
					if err != nil {
						t.Fatal(err)
					}
					if d := h.finished(x); d.Status != Completed || d.GraphVersion != version {
						t.Fatalf("version %d ended %s, want %d", d.GraphVersion, d.Status, version)
					}
				}
				if got := int(v.asked.Load()); got != asked {
					t.Errorf("asked the database %d times, want %d", got, asked)
				}
			}
			v.activate(t, id, "u", 1)
			expect(1, 1)
			expect(1, 1)
			v.activate(t, id, "u", 3)
			expect(3, 2)
			v.activate(t, id, "u", 2)
			expect(2, 3)
			if _, err := h.Execute(t.Context(), Request{UserID: "u", GraphID: id, Version: 1, Inputs: json.RawMessage(`{"x":1}`)}); err != nil {
				t.Error(err)
			}
			if _, err := v.db.ExecContext(t.Context(), "DELETE FROM graph WHERE id = ?", id); err != nil {
				t.Fatal(err)
			}
			if _, err := h.Execute(t.Context(), Request{UserID: "u", GraphID: id, Inputs: json.RawMessage(`{"x":1}`)}); !errors.Is(err, graph.ErrNotFound) {
				t.Errorf("a graph that another server has deleted: %v", err)
			}
			v.activate(t, id, `an"other\`, 2)
			if _, err := h.Execute(t.Context(), Request{UserID: "u", GraphID: id, Inputs: json.RawMessage(`{"x":1}`)}); !errors.Is(err, graph.ErrNotFound) {
				t.Errorf("a graph that is somebody else's by now: %v", err)
			}
		})
	}
}

// What was accepted after a version was activated runs that one or a newer one, whoever else is in its batch.
func TestPresumptionsHarmNobodyElse(t *testing.T) {
	t.Parallel()
	h, v := newVersions(t)
	graphs := []string{h.chain("Pure", 3), h.chain("Effect", 2), h.chain("Effect", 0)}
	for _, id := range graphs {
		v.activate(t, id, "u", 1)
	}
	const callers, each = 8, 30
	var changing, calling sync.WaitGroup
	done := make(chan struct{})
	changing.Go(func() {
		for version := 2; ; version++ {
			for _, id := range graphs[:2] {
				select {
				case <-done:
					return
				default:
					v.activate(t, id, "u", version)
				}
			}
		}
	})
	accepted := make(chan string, callers*each)
	for c := range callers {
		calling.Go(func() {
			for i := range each {
				id := graphs[(c+i)%len(graphs)]
				before := v.active(t, id)
				x, err := h.Execute(t.Context(), Request{UserID: "u", GraphID: id, Inputs: json.RawMessage(fmt.Sprintf(`{"x":%d}`, i)), Awaited: c%2 == 0})
				if err != nil {
					t.Error(err)
					continue
				}
				after := v.active(t, id)
				got, err := h.Get(t.Context(), "u", x)
				if err != nil || got.GraphVersion < before || got.GraphVersion > after {
					t.Errorf("%v: version %d was executed; %d was active before, and %d after", err, got.GraphVersion, before, after)
				}
				accepted <- x
			}
		})
	}
	calling.Wait()
	close(done)
	changing.Wait()
	close(accepted)
	n := 0
	for x := range accepted {
		n++
		if d := h.finished(x); d.Status != Completed {
			t.Errorf("%s ended %s: %v", x, d.Status, d.Error)
		}
	}
	var stored, stories int
	if err := h.db.QueryRowContext(t.Context(), "SELECT (SELECT count(*) FROM execution), (SELECT count(DISTINCT execution_id) FROM journal)").Scan(&stored, &stories); err != nil {
		t.Fatal(err)
	}
	if stored != n || stories != n {
		t.Errorf("%d were accepted; there are %d executions and the stories of %d", n, stored, stories)
	}
}
