package execution

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/patchbay-io/patchbay/core/graph"
	"github.com/patchbay-io/patchbay/core/hostservice"
)

// versions are graphs in the database, of which every version is the same. They presume what was last read.
type versions struct {
	graphMap
	db    *bun.DB
	asked atomic.Int32 // the database
	known sync.Map     // active versions by graph

	meanwhile func() // what happens after the database was asked
}

func (v *versions) ForRun(ctx context.Context, user, id string, version int) (*graph.Graph, error) {
	v.asked.Add(1)
	var active int
	err := v.db.QueryRowContext(ctx, "SELECT active_version FROM graph WHERE id = ? AND user_id = ?", id, user).Scan(&active)
	if errors.Is(err, sql.ErrNoRows) {
		v.known.Delete(id)
		return nil, graph.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	v.known.Store(id, active)
	if v.meanwhile != nil {
		v.meanwhile()
	}
	return v.version(id, cmp.Or(version, active)), nil
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
	g.Version, g.UserID = version, "u"
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
			if _, err := h.Execute(t.Context(), Request{UserID: "u", GraphID: id, Version: 1, Inputs: json.RawMessage(`{"x":1}`)}); !errors.Is(err, graph.ErrNotFound) {
				t.Errorf("a version of a graph that another server has deleted: %v", err)
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

// What happens between the answer of the database and the acceptance counts too.
func TestChangesBeforeTheAcceptanceCount(t *testing.T) {
	t.Parallel()
	for name, version := range map[string]int{"the active version": 0, "a named one": 1} {
		t.Run(name, func(t *testing.T) {
			h, v := newVersions(t)
			id := h.chain("Effect", 1)
			v.activate(t, id, "u", 1)
			v.meanwhile = func() {
				v.meanwhile = nil
				v.activate(t, id, "u", 2)
			}
			x, err := h.Execute(t.Context(), Request{UserID: "u", GraphID: id, Version: version, Inputs: json.RawMessage(`{"x":1}`)})
			if err != nil {
				t.Fatal(err)
			}
			if d := h.finished(x); d.GraphVersion != cmp.Or(version, 2) {
				t.Errorf("version %d ran", d.GraphVersion)
			}
			v.meanwhile = func() {
				if _, err := v.db.ExecContext(context.Background(), "DELETE FROM graph WHERE id = ?", id); err != nil {
					t.Error(err)
				}
			}
			v.known.Clear()
			if _, err := h.Execute(t.Context(), Request{UserID: "u", GraphID: id, Version: version, Inputs: json.RawMessage(`{"x":1}`)}); !errors.Is(err, graph.ErrNotFound) {
				t.Errorf("deleted meanwhile: %v", err)
			}
		})
	}
}

// A key stays what it was for, whatever happens to the graph.
func TestKeysOfPresumedExecutions(t *testing.T) {
	t.Parallel()
	h, v := newVersions(t)
	id := h.chain("Effect", 1)
	v.activate(t, id, "u", 1)
	v.meanwhile = func() {
		v.meanwhile = nil
		v.activate(t, id, "u", 2)
	}
	request := Request{UserID: "u", GraphID: id, Inputs: json.RawMessage(`{"x":1}`), IdempotencyKey: "k", Body: []byte("b")}
	x, err := h.Execute(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	if d := h.finished(x); d.GraphVersion != 2 {
		t.Errorf("version %d ran", d.GraphVersion)
	}
	if again, err := h.Execute(t.Context(), request); again != x || err != nil {
		t.Errorf("again: %s, %v, want %s", again, err, x)
	}
}

// A batch may presume something and change keys.
func TestPresumingStatementsTakeKeys(t *testing.T) {
	t.Parallel()
	h, v := newVersions(t)
	g := uuid.NewString()
	ask := func() (became int) {
		x := &executionWrite{fresh: true, presumes: presumesActive, userID: "u", status: Queued, plan: &Plan{Graph: &graph.Graph{ID: g, Version: 2}}}
		w := &writer{server: uuid.New()}
		statement, args := w.statementOf([]*commit{{states: []*executionWrite{x}, writes: []hostservice.Write{{User: "u", Value: json.RawMessage("1")}}}})
		if err := h.db.DB.QueryRowContext(t.Context(), statement, args...).Scan(&became); err != nil {
			t.Fatal(err)
		}
		return became
	}
	if got := ask(); got != batchPresumed {
		t.Errorf("no graph: %d", got)
	}
	v.activate(t, g, "u", 1)
	if got := ask(); got != batchPresumed {
		t.Errorf("another version: %d", got)
	}
	v.activate(t, g, "u", 2)
	if got := ask(); got != 0 {
		t.Errorf("no lease: %d", got)
	}
}

// When the deletion of a graph has been answered, nothing of it runs any more, whatever was accepted while it went.
func TestDeletedGraphsRunNoMore(t *testing.T) {
	t.Parallel()
	h, v := newVersions(t)
	release := h.runner.holdNode("b0") // until they are stopped
	defer release()
	for range 20 {
		id := h.chain("Effect", 1)
		v.activate(t, id, "u", 1)
		accepted := make(chan struct{}, 1000)
		var calling sync.WaitGroup
		for range 4 {
			calling.Go(func() {
				for {
					_, err := h.Execute(context.Background(), Request{UserID: "u", GraphID: id, Inputs: json.RawMessage(`{"x":1}`)})
					if errors.Is(err, graph.ErrNotFound) {
						return
					}
					if err != nil {
						t.Error(err)
						return
					}
					accepted <- struct{}{}
				}
			})
		}
		<-accepted
		if _, err := v.db.ExecContext(t.Context(), "DELETE FROM graph WHERE id = ?", id); err != nil {
			t.Fatal(err)
		}
		if err := h.StopGraph(t.Context(), "u", id); err != nil {
			t.Fatal(err)
		}
		var left int
		if err := v.db.QueryRowContext(t.Context(), "SELECT count(*) FROM execution WHERE graph_id = ? AND ended_at IS NULL", id).Scan(&left); err != nil || left != 0 {
			t.Fatalf("%d go on, %v", left, err)
		}
		calling.Wait()
		if err := v.db.QueryRowContext(t.Context(), "SELECT count(*) FROM execution WHERE graph_id = ? AND ended_at IS NULL", id).Scan(&left); err != nil || left != 0 {
			t.Fatalf("%d began later, %v", left, err)
		}
	}
}
