package execution

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/go-hclog"

	"github.com/patchbay-io/patchbay/core/graph"
)

// one makes a graph of a single block whose node has a name.
func (h *harness) one(node string) string {
	return h.add([]string{node + ` Effect {"a":1}`}, nil)
}

func (h *harness) ask(user, graph string, priority int) string {
	h.t.Helper()
	id, err := h.Execute(h.t.Context(), Request{UserID: user, GraphID: graph, Priority: priority})
	if err != nil {
		h.t.Fatal(err)
	}
	return id
}

// begins waits for the next block that begins, and says which.
func (h *harness) begins() string {
	h.t.Helper()
	select {
	case node := <-h.runner.began:
		return node
	case <-time.After(30 * time.Second):
		h.t.Fatal("nothing begins")
		return ""
	}
}

func (h *harness) expectBegins(nodes ...string) {
	h.t.Helper()
	var got []string
	for range nodes {
		got = append(got, h.begins())
	}
	slices.Sort(got)
	slices.Sort(nodes)
	if !slices.Equal(got, nodes) {
		h.t.Fatalf("%v begin, not %v", got, nodes)
	}
}

func (h *harness) nothingBegins() {
	h.t.Helper()
	select {
	case node := <-h.runner.began:
		h.t.Errorf("%s begins", node)
	default:
	}
}

func (h *harness) over(user, id string) *Execution {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 30*time.Second)
	defer cancel()
	if err := h.Wait(ctx, user, id); err != nil {
		h.t.Fatal(err)
	}
	x, err := h.Get(ctx, user, id)
	if err != nil {
		h.t.Fatal(err)
	}
	return x
}

// multiply makes an execution that waits n more.
func (h *harness) multiply(id string, n int) {
	h.t.Helper()
	_, err := h.db.ExecContext(h.t.Context(), `
		INSERT INTO execution (id, root_id, user_id, graph_id, graph_version, plan_id, status, inputs, created_at, max_concurrent)
		SELECT (left(id::text, 14) || right(gen_random_uuid()::text, 22))::uuid, id, user_id, graph_id, graph_version, plan_id, status, inputs, created_at + n * interval '1 microsecond', max_concurrent
		FROM execution, generate_series(1, ?) n WHERE id = ?`, n, id)
	if err != nil {
		h.t.Fatal(err)
	}
	if _, err := h.db.ExecContext(h.t.Context(), `UPDATE execution SET root_id = id WHERE root_id = ?`, id); err != nil {
		h.t.Fatal(err)
	}
}

// However much of one user's waits and however long it takes, another user's execution begins at once, and those who
// have to wait have their turns.
func TestOneUsersQueueHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	h := newHarnessWith(t, func(c *Config) { c.Concurrency = 4 })
	many, first, second, third := h.one("many"), h.one("first"), h.one("second"), h.one("third")
	end := h.runner.holdNode("many")
	for range 4 {
		h.ask("greedy", many, 0)
	}
	h.expectBegins("many", "many", "many", "many")
	h.multiply(h.ask("greedy", many, 0), 10_000)
	h.nothingBegins()

	release := h.runner.holdNode("first") // in the spare seat
	a := h.ask("a", first, 0)
	h.expectBegins("first")
	b, c := h.ask("b", second, 0), h.ask("c", third, 0)
	h.nothingBegins()
	b2 := h.ask("b", second, 0)
	release()
	// The seat goes to the two in turn.
	h.expectBegins("second", "third")
	h.expectBegins("second")
	for user, id := range map[string]string{"a": a, "b": b, "c": c} {
		if x := h.over(user, id); x.Status != Completed {
			t.Errorf("%s's execution ended %s", user, x.Status)
		}
	}
	if x := h.over("b", b2); x.Status != Completed {
		t.Errorf("b's second execution ended %s", x.Status)
	}
	h.nothingBegins()
	end()
}

func TestWaitingOnesRunByPriorityAndAge(t *testing.T) {
	t.Parallel()
	h := newHarnessWith(t, func(c *Config) { c.Concurrency = 1 })
	release := h.runner.holdNode("busy")
	h.ask("u", h.one("busy"), 0)
	h.expectBegins("busy")
	var last string
	for i, priority := range []int{0, -1, 0, 5, 5} {
		last = h.ask("u", h.one(fmt.Sprint("n", i)), priority)
	}
	release()
	for _, node := range []string{"n3", "n4", "n0", "n2", "n1"} {
		h.expectBegins(node)
	}
	h.over("u", last)
}

func TestBoundsOfAUserAndOfAGraph(t *testing.T) {
	t.Parallel()
	h := newHarnessWith(t, func(c *Config) { c.Concurrency, c.UserConcurrency, c.GraphConcurrency = 10, 3, 2 })
	releaseA, releaseB, releaseC := h.runner.holdNode("a"), h.runner.holdNode("b"), h.runner.holdNode("c")
	a, b, c := h.one("a"), h.one("b"), h.one("c")
	var ids []string
	for range 4 {
		ids = append(ids, h.ask("u", a, 0))
	}
	h.expectBegins("a", "a")
	for range 2 {
		ids = append(ids, h.ask("u", b, 0))
	}
	h.expectBegins("b") // though older ones wait
	ids = append(ids, h.ask("u", c, 9))
	other := h.ask("v", a, 0)
	h.expectBegins("a")
	h.nothingBegins()
	releaseB()
	h.expectBegins("c") // in the one seat that the user has
	h.nothingBegins()
	releaseC()
	h.expectBegins("b") // the graph of those before runs as often as it may
	h.nothingBegins()
	releaseA()
	h.expectBegins("a", "a")
	for _, id := range ids {
		if x := h.over("u", id); x.Status != Completed {
			t.Errorf("%s", x.Status)
		}
	}
	h.over("v", other)
}

func TestQueueIsBounded(t *testing.T) {
	t.Parallel()
	h := newHarnessWith(t, func(c *Config) { c.Concurrency, c.Queue, c.UserQueue = 1, 3, 2 })
	release := h.runner.holdNode("n")
	g := h.one("n")
	first := h.ask("u", g, 0)
	h.expectBegins("n")
	spare := h.ask("v", g, 0)
	h.expectBegins("n")
	waiting := []string{h.ask("u", g, 0), h.ask("u", g, 0)}
	r := Request{UserID: "u", GraphID: g, IdempotencyKey: "key", Body: []byte("body")}
	var busy *Busy
	if _, err := h.Execute(t.Context(), r); !errors.As(err, &busy) || !busy.User || busy.After <= 0 {
		t.Errorf("a third one of the user's: %v", err)
	}
	last := h.ask("w", g, 0)
	if _, err := h.Execute(t.Context(), Request{UserID: "x", GraphID: g}); !errors.As(err, &busy) || busy.User {
		t.Errorf("a fourth one that waits: %v", err)
	}
	if load := h.Load(); load != (Load{Running: 2, Seats: 1, Waiting: 3, Users: 2}) {
		t.Errorf("%+v", load)
	}
	// What is stopped ends without a seat, and makes room.
	if x, err := h.Stop(t.Context(), "u", waiting[0]); err != nil || x.Status != Terminated {
		t.Errorf("%v %v", x, err)
	}
	id, err := h.Execute(t.Context(), r) // the refusal has not used the key up
	if err != nil {
		t.Fatal(err)
	}
	h.nothingBegins()
	release()
	for id, user := range map[string]string{first: "u", spare: "v", waiting[1]: "u", last: "w", id: "u"} {
		if x := h.over(user, id); x.Status != Completed {
			t.Errorf("%s's execution ended %s", user, x.Status)
		}
	}
	if load := h.Load(); load.Waiting != 0 || load.Users != 0 {
		t.Errorf("%+v", load)
	}
}

// beside starts another server on the database.
func (h *harness) beside(adjust func(*Config)) *harness {
	h.t.Helper()
	other := &harness{t: h.t, db: h.db, server: uuid.New(), graphs: h.graphs, runner: newBlockRunner(), adjust: adjust}
	other.start()
	h.t.Cleanup(other.kill)
	return other
}

// A server that accepts and runs nothing leaves that to those that do, and knows what becomes of it.
func TestServerThatOnlyAccepts(t *testing.T) {
	t.Parallel()
	_, accepts, works := newWires()
	h := newHarnessWith(t, func(c *Config) { c.Elsewhere, c.Bus = true, accepts })
	accepts.join(h.Service)
	g := h.one("n")
	ids := []string{h.ask("u", g, 0), h.ask("u", g, 0)}
	for _, id := range ids {
		if x, err := h.Get(t.Context(), "u", id); err != nil || x.Status != Queued {
			t.Fatalf("%v %v", x, err)
		}
	}
	if x, err := h.Stop(t.Context(), "u", ids[0]); err != nil || x.Status != Terminated {
		t.Fatalf("%v %v", x, err)
	}
	worker := h.beside(func(c *Config) { c.Concurrency, c.Bus = 2, works })
	works.join(worker.Service)
	worker.expectBegins("n")
	if x := h.over("u", ids[1]); x.Status != Completed {
		t.Errorf("%s", x.Status)
	}
	release := worker.runner.holdNode("n")
	for range 3 {
		ids = append(ids, h.ask("u", g, 0))
	}
	worker.expectBegins("n", "n")
	// Stopping reaches what runs, and what waits for a seat.
	for _, id := range ids[2:4] {
		if x, err := h.Stop(t.Context(), "u", id); err != nil || x.Status != Terminated {
			t.Errorf("%v %v", x, err)
		}
	}
	release()
	if x := h.over("u", ids[4]); x.Status != Completed {
		t.Errorf("%s", x.Status)
	}
	h.runner.mu.Lock()
	defer h.runner.mu.Unlock()
	if len(h.runner.calls) != 0 {
		t.Errorf("it ran %v", h.runner.calls)
	}
}

// What waits on a server that is full is run by another one, what an execution needs being read anew.
func TestServersWithRoomTakeWhatWaits(t *testing.T) {
	t.Parallel()
	h := newHarnessWith(t, func(c *Config) { c.Concurrency = 1 })
	release := h.runner.holdNode("n")
	g := h.add([]string{`in AgentInput {"name":"x"}`, `n Effect {}`, `out AgentOutput {"name":"y"}`}, []string{"in.result -> n.a", "n.p -> out.value"})
	ids := []string{h.execute(g, `{"x":0}`)}
	h.expectBegins("n")
	for i := range 20 {
		ids = append(ids, h.execute(g, fmt.Sprintf(`{"x":%d}`, i+1)))
	}
	other := h.beside(func(c *Config) { c.Concurrency = 3 })
	for i, id := range ids[1:] {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		if err := other.Wait(ctx, "u", id); err != nil {
			t.Fatal(err)
		}
		cancel()
		if got := output1(t, h.details(id)); got != fmt.Sprintf(`{"a":%d}`, i+1) {
			t.Errorf("execution %d gives %s", i+1, got)
		}
	}
	if len(h.runner.began) != 0 {
		t.Error("the server that is full ran them")
	}
	release()
	if d := h.finished(ids[0]); d.Status != Completed {
		t.Errorf("%s", d.Status)
	}
}

// What a server has taken for seats that it believed to become free soon goes to one that has room.
func TestWhatIsTakenAheadIsGivenBack(t *testing.T) {
	t.Parallel()
	h := newHarnessWith(t, func(c *Config) { c.Concurrency = 1 })
	quick := h.one("m")
	gen, err := h.generation()
	if err != nil {
		t.Fatal(err)
	}
	ahead := func() int {
		gen.mu.Lock()
		defer gen.mu.Unlock()
		return gen.pace.ahead(time.Now(), aheadFor)
	}
	for deadline := time.Now().Add(30 * time.Second); ahead() < 2; {
		if h.finished(h.execute(quick, `{"x":0}`)); time.Now().After(deadline) {
			t.Fatal("many executions end, and none is expected to end soon")
		}
	}
	for len(h.runner.began) > 0 {
		<-h.runner.began
	}
	h.drained()
	release := h.runner.holdNode("n")
	g := h.one("n")
	ids := []string{h.execute(g, `{"x":0}`)}
	h.expectBegins("n")
	gen.mu.Lock()
	gen.hurry()
	gen.mu.Unlock()
	for i := range 5 {
		ids = append(ids, h.execute(g, fmt.Sprintf(`{"x":%d}`, i+1)))
	}
	owned := 0
	if err := h.db.QueryRowContext(t.Context(), `SELECT count(*) FROM execution WHERE owner IS NOT NULL AND status = 'QUEUED'`).Scan(&owned); err != nil {
		t.Fatal(err)
	}
	if owned != 5 {
		t.Errorf("the server took %d of 5", owned)
	}
	other := h.beside(func(c *Config) { c.Concurrency = 3 })
	for _, id := range ids[1:] {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		if err := other.Wait(ctx, "u", id); err != nil {
			t.Fatal(err)
		}
		cancel()
	}
	release()
	if d := h.finished(ids[0]); d.Status != Completed {
		t.Errorf("%s", d.Status)
	}
}

func TestPace(t *testing.T) {
	t.Parallel()
	start := time.Now()
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	var p pace
	if n := p.ahead(at(0), 100*time.Millisecond); n != 0 {
		t.Errorf("%d before anything ended", n)
	}
	for ms := range 600 { // one in 10 ms
		if ms%10 == 0 {
			p.end(at(ms))
		}
	}
	if n := p.ahead(at(599), 100*time.Millisecond); n < 8 || n > 10 {
		t.Errorf("%d, of ten in 100 ms", n)
	}
	if n := p.ahead(at(800), 100*time.Millisecond); n < 3 || n > 6 {
		t.Errorf("%d when nothing has ended for 200 ms", n)
	}
	if n := p.ahead(at(1300), 100*time.Millisecond); n != 0 {
		t.Errorf("%d when nothing has ended for 700 ms", n)
	}
	for range 10_000 {
		p.end(at(1301))
	}
	if n := p.ahead(at(1302), 100*time.Millisecond); n != maxQueue {
		t.Errorf("%d at most", n)
	}
}

// hurry lets a server believe that as many seats will be free in a moment as may wait for them. The lock is held.
func (g *generation) hurry() {
	for range maxQueue * int(paceSpan/aheadFor) * 2 { // so that it does not depend on how fast this machine is
		g.pace.end(time.Now())
	}
}

// More waits on a server where no other one lives that may have room sooner.
func TestMoreWaitsOnAServerThatIsAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &generation{}
		for range 25 {
			g.pace.end(time.Now())
		}
		alone := g.ahead()
		g.others.Store(true)
		if among := g.ahead(); among != 25 || alone != 50 {
			t.Errorf("%d wait where it is alone, %d beside others", alone, among)
		}
	})
}

// While little is left in the database, what arrives waits here for seats that will be free in a moment; where a claim has
// not seen the end of it, everybody gets in line there, and so does what would wait for longer or is bounded.
func TestArrivalsGetInLine(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		hungry  bool
		drained time.Duration // ago
		waiting int
		bounded int
		busy    bool // a claim goes on, for the one seat
		here    bool
	}{
		{name: "nothing is left there", drained: time.Hour, here: true},
		{name: "something may be there again", hungry: true, drained: drainedFor / 2, here: true},
		{name: "much may be left there", hungry: true, drained: time.Hour},
		{name: "it would wait for long", waiting: 50},
		{name: "it would wait for less", waiting: 49, here: true},
		{name: "it is bounded", bounded: 1},
		{name: "the free seat is claimed for", hungry: true, busy: true, here: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, err := New(Config{Concurrency: 1, Logger: hclog.NewNullLogger()})
				if err != nil {
					t.Fatal(err)
				}
				g := newGeneration(t.Context(), s)
				g.mu.Lock()
				g.hungry, g.claims.drained = c.hungry, time.Now().Add(-c.drained)
				if g.claims.busy, g.claims.at = c.busy, time.Now(); !c.busy {
					g.seats.take(userGraph{user: "u"})
				}
				g.queue = make([]*entry, c.waiting)
				for range 25 {
					g.pace.end(time.Now())
				}
				g.mu.Unlock()
				root := newRun(uuid.New(), "u", &Plan{Graph: &graph.Graph{}}, nil, nil)
				root.maxConcurrent = c.bounded
				g.enqueue(&entry{id: root.id, who: userGraph{user: "u"}, root: root}) // what it commits nobody writes
				g.trees.Wait()
				g.mu.Lock()
				defer g.mu.Unlock()
				if here, left := g.coming == 1, g.backlog.total == 1; here != c.here || left == c.here {
					t.Errorf("it waits here: %t, it is left in the database: %t", here, left)
				}
			})
		})
	}
}

// drained waits until the server has seen that nothing is left in the database, and runs nothing.
func (h *harness) drained() *generation {
	h.t.Helper()
	g, err := h.generation()
	if err != nil {
		h.t.Fatal(err)
	}
	h.until("nothing is left", func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return !g.hungry && g.seats.taken == 0
	})
	return g
}

// askNow asks for an execution that must not be left in the database.
func (h *harness) askNow(gen *generation, user, graph string) string {
	h.t.Helper()
	arrivals := func() uint64 {
		gen.mu.Lock()
		defer gen.mu.Unlock()
		return gen.arrivals
	}
	before := arrivals()
	id := h.ask(user, graph, 0)
	if arrivals() > before {
		h.t.Error("it is left in the database")
	}
	return id
}

// However much may be left in the database, a spare seat is for who comes new.
func TestWhoComesNewHasASpareSeat(t *testing.T) {
	t.Parallel()
	h := newHarnessWith(t, func(c *Config) { c.Concurrency = 1 })
	gen := h.drained()
	release := h.runner.holdNode("n")
	n := h.one("n")
	first := h.ask("u", n, 0)
	h.expectBegins("n")
	gen.mu.Lock()
	gen.hungry = true
	gen.mu.Unlock()
	second := h.askNow(gen, "v", n)
	h.expectBegins("n")
	release()
	h.over("u", first)
	h.over("v", second)
}

// What ends in a spare seat makes no room for what waits: claimed for that, it would be in the way of who may have the seat.
func TestSpareSeatsMakeNoRoom(t *testing.T) {
	t.Parallel()
	h := newHarnessWith(t, func(c *Config) { c.Concurrency = 1 })
	gen := h.drained()
	release := h.runner.holdNode("n")
	long := h.ask("u", h.one("n"), 0)
	h.expectBegins("n")
	quick := h.one("quick")
	ahead := func() int {
		gen.mu.Lock()
		defer gen.mu.Unlock()
		return gen.pace.ahead(time.Now(), time.Minute)
	}
	for range 3 {
		h.over("v", h.ask("v", quick, 0))
	}
	if n := ahead(); n != 0 {
		t.Errorf("the server takes %d executions ahead, though its seat is taken", n)
	}
	release()
	h.over("u", long)
	for ahead() == 0 { // its seat is free in a moment
		runtime.Gosched()
	}
}

// A claim that hangs does not keep who comes new from the seats that are free.
func TestHangingClaimHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	gen := h.drained()
	release := h.runner.holdNode("n") // its end would let the server claim again
	gen.mu.Lock()
	gen.hungry, gen.claims.busy, gen.claims.at = true, true, time.Now().Add(-claimHolds)
	gen.mu.Unlock()
	id := h.askNow(gen, "u", h.one("n"))
	h.expectBegins("n")
	release()
	h.over("u", id)
}

func TestWhoIsNew(t *testing.T) {
	t.Parallel()
	g := &generation{seats: newSeats(1), backlog: backlog{users: map[string]int{}}}
	g.seats.take(userGraph{user: "runs"})
	g.backlog.add("waits", 1)
	for user, want := range map[string]bool{"runs": false, "waits": false, "u": true} {
		if got := g.isNew(user); got != want {
			t.Errorf("%s: %t", user, got)
		}
	}
}

// Seats go to those users first of whom least runs, also of what waits here, and of a user's by priority and age.
func TestSeatsAreSharedByWhatWaitsHere(t *testing.T) {
	t.Parallel()
	g := &generation{seats: newSeats(4)}
	running := []string{"a", "a", "a", "b"}
	for _, user := range running {
		g.seats.take(userGraph{user: user})
	}
	names := map[*entry]string{}
	for _, w := range []struct {
		user, name string
		priority   int
	}{{"a", "a1", 0}, {"b", "b1", 0}, {"a", "a2", 0}, {"a", "urgent", 5}} {
		e := &entry{who: userGraph{user: w.user}, root: &run{priority: w.priority}}
		names[e] = w.name
		g.line(e)
	}
	if e := g.next(); e != nil {
		t.Errorf("%s has a seat, and none is free", names[e])
	}
	for i, want := range []string{"b1", "urgent", "a1", "a2"} {
		g.seats.leave(userGraph{user: running[i]})
		e := g.next()
		if e == nil || names[e] != want {
			t.Fatalf("%s has the seat, not %s", names[e], want)
		}
		g.seats.take(e.who)
	}
}

// A claim knows whether it has seen the end of what it may take.
func TestClaimsKnowWhetherSomethingIsLeft(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		claimed claimed
		lost    int // of what was found, to other servers
		free    int
		alone   bool
		drained bool
	}{
		{name: "less than it asked for", claimed: claimed{found: 3}, free: 10, drained: true},
		{name: "as much as it asked for", claimed: claimed{found: 10}, free: 10},
		{name: "as much of a user as it looks at", claimed: claimed{found: claimedOfUser}, free: 200},
		{name: "it asked for spare seats alone", claimed: claimed{}, free: 0},
		{name: "others have taken some", claimed: claimed{found: 3}, lost: 1, free: 10},
		{name: "there are more users", claimed: claimed{found: 3, next: "u"}, free: 10},
		{name: "bounded ones are left", claimed: claimed{found: 3, bounded: true}, free: 10},
		{name: "bounded ones were counted", claimed: claimed{found: 3, bounded: true}, free: 10, alone: true, drained: true},
	} {
		c.claimed.entries = make([]*entry, c.claimed.found-c.lost)
		if got := c.claimed.drained(c.free, c.alone); got != c.drained {
			t.Errorf("%s: %t", c.name, got)
		}
	}
}

// Room is what will be free soon less what waits for it. However much that is, users of whom nothing runs have spare seats.
func TestRoom(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name                 string
		taken, queued, ahead int
		late                 bool // nothing was claimed for some time
		free, spare          int
		wanted               bool
	}{
		{name: "nothing runs", free: 8, spare: 2, wanted: true},
		{name: "all seats are taken", taken: 8, spare: 2, wanted: true},
		{name: "the spare ones too", taken: 10, late: true},
		{name: "seats will be free soon", taken: 8, ahead: 20, free: 20, spare: 2, wanted: true},
		{name: "enough waits for them", taken: 8, queued: 10, ahead: 20, free: 10, spare: 2},
		{name: "enough waits for them, for some time", taken: 8, queued: 10, ahead: 20, late: true, free: 10, spare: 2, wanted: true},
		{name: "too much waits, and there is a spare seat", taken: 9, queued: 30, spare: 1, wanted: true},
		{name: "too much waits, and there is none", taken: 10, queued: 30, late: true},
		{name: "too much waits, for some time", taken: 8, queued: 30, ahead: 20, late: true, spare: 2, wanted: true},
	} {
		g := &generation{seats: newSeats(8), hungry: true, queue: make([]*entry, c.queued)}
		g.seats.taken = c.taken
		if !c.late {
			g.claims.at = time.Now().Add(time.Hour)
		}
		if free, spare, wanted := g.room(c.ahead); free != c.free || spare != c.spare || wanted != c.wanted {
			t.Errorf("%s: room for %d and %d, wanted: %t", c.name, free, spare, wanted)
		}
	}
}

// Servers that claim at once take each execution once.
func TestServersShareWhatWaits(t *testing.T) {
	t.Parallel()
	h := newHarnessWith(t, func(c *Config) { c.Elsewhere = true })
	g := h.one("n")
	for _, user := range []string{"a", "b", "c"} {
		h.multiply(h.ask(user, g, 0), 100)
	}
	workers := []*harness{h.beside(func(c *Config) { c.Concurrency = 5 }), h.beside(func(c *Config) { c.Concurrency = 7 }), h.beside(func(c *Config) { c.Concurrency = 3 })}
	deadline := time.Now().Add(30 * time.Second)
	for left := -1; left != 0; {
		if err := h.db.QueryRowContext(t.Context(), `SELECT count(*) FROM execution WHERE ended_at IS NULL`).Scan(&left); err != nil {
			t.Fatal(err)
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d are left", left)
		}
	}
	runs := 0
	for _, w := range workers {
		runs += w.runs("n")
	}
	if runs != 303 {
		t.Errorf("%d runs of 303 executions", runs)
	}
	var odd json.RawMessage
	if err := h.db.QueryRowContext(t.Context(), `SELECT coalesce(json_agg(x), '[]') FROM (SELECT status, count(*) FROM execution WHERE status <> 'COMPLETED' GROUP BY 1) x`).Scan(&odd); err != nil || string(odd) != "[]" {
		t.Errorf("%s %v", odd, err)
	}
}

// A claim reads the few entries that it may take, by the indexes that are there for it, whether the database knows how
// much waits or not.
func TestClaimsReadLittle(t *testing.T) {
	t.Parallel()
	h := newHarnessWith(t, func(c *Config) { c.Elsewhere = true })
	g := h.one("n")
	for _, user := range []string{"a", "b", "c"} {
		h.multiply(h.ask(user, g, 0), 4000)
	}
	if _, err := h.db.ExecContext(t.Context(), `
		INSERT INTO execution (id, root_id, user_id, graph_id, graph_version, plan_id, status, inputs, created_at, ended_at, owner)
		SELECT gen_random_uuid(), id, user_id, graph_id, graph_version, plan_id, 'COMPLETED', inputs, created_at, now(), gen_random_uuid() FROM execution`); err != nil {
		t.Fatal(err)
	}
	gen, err := h.generation()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := h.db.DB.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(t.Context(), `SET plan_cache_mode = force_generic_plan`); err != nil {
		t.Fatal(err)
	}
	allowed := regexp.MustCompile(`using (execution_waiting|execution_orphaned|execution_owned|execution_pkey|lease_pkey) on|Bitmap .*execution`)
	for _, known := range []string{"not known", "known"} {
		if known == "known" {
			if _, err := conn.ExecContext(t.Context(), `ANALYZE execution`); err != nil {
				t.Fatal(err)
			}
		}
		for _, counting := range []bool{false, true} {
			gen.mu.Lock()
			args := gen.claimArguments(8, 2, counting)
			gen.mu.Unlock()
			lines := explain(t, conn, claimStatement, args)
			for _, line := range lines {
				if strings.Contains(line, "Scan") && strings.Contains(line, " on execution") && !allowed.MatchString(line) {
					t.Errorf("where it is %s how much waits: %s", known, line)
				}
			}
			if n := blocks(lines); n == 0 || n > 1000 {
				t.Errorf("it reads %d blocks\n%s", n, strings.Join(lines, "\n"))
			}
		}
	}
}

// explain runs a statement and gives what Postgres did for it.
func explain(t *testing.T, conn *sql.Conn, statement string, args []any) []string {
	t.Helper()
	rows, err := conn.QueryContext(t.Context(), "EXPLAIN (ANALYZE, BUFFERS) "+statement, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var lines []string
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return lines
}

// blocks is how many blocks Postgres read for what explain tells of: a line counts those below it too, but those of
// statements beside it.
func blocks(lines []string) int {
	most := 0
	for _, hit := range regexp.MustCompile(`shared hit=(\d+)`).FindAllStringSubmatch(strings.Join(lines, "\n"), -1) {
		n, _ := strconv.Atoi(hit[1])
		most = max(most, n)
	}
	return most
}

// The database's clock was ahead while a server renewed its lease, is put back, and the server is dead: nobody waits for
// the end of such a lease.
func TestLeasesOfBeforeTheClockWasPutBackAreOver(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	release := h.runner.holdNode("n")
	id := h.execute(h.one("n"), `{}`)
	h.expectBegins("n")
	h.kill()
	release()
	if _, err := h.db.ExecContext(t.Context(), `UPDATE lease SET until = now() + interval '1 hour' WHERE server_id = ?`, h.server); err != nil {
		t.Fatal(err)
	}
	if d := h.beside(nil).finished(id); d.Status != Completed {
		t.Errorf("%s %v", d.Status, d.Error)
	}
}

// What a dead server ran is taken over with the first look after its lease; nobody touches one that lives, or one that had
// nothing.
func TestDeadServersAreFenced(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	release := h.runner.holdNode("n")
	id := h.execute(h.one("n"), `{}`)
	h.expectBegins("n")
	idle := uuid.New()
	if _, err := h.db.ExecContext(t.Context(), `INSERT INTO lease (server_id, epoch, batch, until) VALUES (?, 1, 0, now() - interval '1 second')`, idle); err != nil {
		t.Fatal(err)
	}
	other := h.beside(nil)
	g, err := other.generation()
	if err != nil {
		t.Fatal(err)
	}
	look := func() (owned bool, epoch, ofIdle int) {
		t.Helper()
		if err := g.claimAndStop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := h.db.QueryRowContext(t.Context(), `
			SELECT owner IS NOT DISTINCT FROM ?0, (SELECT epoch FROM lease WHERE server_id = ?0), (SELECT epoch FROM lease WHERE server_id = ?1)
			FROM execution WHERE id = ?2`, h.server, idle, id).Scan(&owned, &epoch, &ofIdle); err != nil {
			t.Fatal(err)
		}
		return owned, epoch, ofIdle
	}
	if owned, epoch, ofIdle := look(); !owned || epoch != 1 || ofIdle != 1 {
		t.Errorf("beside a server that lives: %t, %d, %d", owned, epoch, ofIdle)
	}
	h.kill()
	release()
	if _, err := h.db.ExecContext(t.Context(), `UPDATE lease SET until = now() - interval '1 second' WHERE server_id = ?`, h.server); err != nil {
		t.Fatal(err)
	}
	if owned, epoch, ofIdle := look(); owned || epoch != 2 || ofIdle != 1 {
		t.Errorf("beside a server that died: %t, %d, %d", owned, epoch, ofIdle)
	}
	if d := other.finished(id); d.Status != Completed {
		t.Errorf("%s %v", d.Status, d.Error)
	}
}

// Looking for dead servers takes as long as there are leases, however much has ended of late.
func TestLookForDeadServersReadsLittle(t *testing.T) {
	t.Parallel()
	h := newHarnessWith(t, func(c *Config) { c.Elsewhere = true })
	h.multiply(h.ask("u", h.one("n"), 0), 4000)
	for _, script := range []string{`UPDATE execution SET owner = (SELECT server_id FROM lease)`, `UPDATE execution SET ended_at = now()`, `ANALYZE execution`} {
		if _, err := h.db.ExecContext(t.Context(), script); err != nil {
			t.Fatal(err)
		}
	}
	conn, err := h.db.DB.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	plan := strings.Join(explain(t, conn, `SELECT server_id FROM lease WHERE `+strings.ReplaceAll(dead, "?0", "$1::uuid")+` LIMIT 1`, []any{uuid.New().String()}), "\n")
	hit := regexp.MustCompile(`shared hit=(\d+)`).FindStringSubmatch(plan) // the first line counts all
	if blocks, err := strconv.Atoi(hit[1]); err != nil || blocks > 20 {
		t.Errorf("it reads %d blocks\n%s", blocks, plan)
	}
}

// What was deleted on one server is gone on all, the one that ran it too.
func TestDeletedExecutionIsGoneEverywhere(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	other := h.beside(nil)
	ctx := t.Context()
	id := h.execute(h.chain("Effect", 1), `{"x":1}`)
	if err := h.Wait(ctx, "u", id); err != nil {
		t.Fatal(err)
	}
	if err := other.Delete(ctx, "u", id); err != nil {
		t.Fatal(err)
	}
	asked := map[string]func() error{
		"get":       func() error { _, err := h.Get(ctx, "u", id); return err },
		"details":   func() error { _, err := h.Details(ctx, "u", id); return err },
		"nodes":     func() error { _, _, err := h.Nodes(ctx, "u", id, 0, 10); return err },
		"retry":     func() error { _, err := h.Retry(ctx, RetryRequest{UserID: "u", ID: id}); return err },
		"stop":      func() error { _, err := h.Stop(ctx, "u", id); return err },
		"delete":    func() error { return h.Delete(ctx, "u", id) },
		"subscribe": func() error { _, err := h.Subscribe(ctx, "u", id, 0); return err },
	}
	for name, ask := range asked {
		if err := ask(); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
