package execution

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/patchbay-io/patchbay/core/graph"
	"github.com/patchbay-io/patchbay/core/plugin"
)

// counter counts the runs of all servers that go on at once.
type counter struct {
	mu    sync.Mutex
	now   map[string]int // by user, and by node
	most  map[string]int
	total int
}

// counting runs blocks and counts them. A run that began while others went on waits for them to be counted.
type counting struct {
	*blockRunner
	counter *counter
}

func (c counting) Run(ctx context.Context, run plugin.Run) plugin.Result {
	keys := []string{run.Context.UserId, run.Context.UserId + " " + run.Context.NodeId}
	c.counter.mu.Lock()
	c.counter.total++
	for _, key := range keys {
		c.counter.now[key]++
		c.counter.most[key] = max(c.counter.most[key], c.counter.now[key])
	}
	c.counter.mu.Unlock()
	result := c.blockRunner.Run(ctx, run)
	c.counter.mu.Lock()
	defer c.counter.mu.Unlock()
	for _, key := range keys {
		c.counter.now[key]--
	}
	return result
}

// Servers that claim at once exceed no bound of a user or a graph together, and reach it.
func TestBoundsHoldOverAllServers(t *testing.T) {
	t.Parallel()
	count := &counter{now: map[string]int{}, most: map[string]int{}}
	adjust := func(c *Config) {
		c.Concurrency, c.UserConcurrency, c.GraphConcurrency = 20, 5, 4
		c.Runner = counting{c.Runner.(*blockRunner), count}
	}
	h := newHarnessWith(t, adjust)
	wide, narrow := h.one("wide"), h.one("narrow")
	h.graphs[narrow].Settings.MaxConcurrent = 2
	servers := []*harness{h, h.beside(adjust), h.beside(adjust)}
	var releases []func()
	for _, s := range servers {
		releases = append(releases, s.runner.holdNode("wide"), s.runner.holdNode("narrow"))
	}
	var all sync.WaitGroup
	ids := make(chan [2]string, 100)
	for i := range 36 {
		all.Go(func() {
			user, g := []string{"a", "b"}[i%2], []string{wide, narrow}[i/2%2]
			id, err := servers[i%3].Execute(t.Context(), Request{UserID: user, GraphID: g})
			if err != nil {
				t.Error(err)
			}
			ids <- [2]string{user, id}
		})
	}
	all.Wait()
	close(ids)
	h.until("as many run as may", func() bool {
		count.mu.Lock()
		defer count.mu.Unlock()
		return count.now["a"] == 5 && count.now["b"] == 5
	})
	for _, release := range releases {
		release()
	}
	for x := range ids {
		if x := h.over(x[0], x[1]); x.Status != Completed {
			t.Errorf("%s", x.Status)
		}
	}
	count.mu.Lock()
	defer count.mu.Unlock()
	for _, user := range []string{"a", "b"} {
		if count.most[user] != 5 || count.most[user+" wide"] > 4 || count.most[user+" narrow"] > 2 {
			t.Errorf("ran at once: %v", count.most)
		}
	}
	if count.total != 36 {
		t.Errorf("%d runs", count.total)
	}
}

// A graph's own bound needs no setting of the server, holds nobody else up, and counts what a dead server had begun.
func TestBoundOfAGraph(t *testing.T) {
	t.Parallel()
	h := newHarnessWith(t, func(c *Config) { c.Concurrency = 10 })
	bounded, free := h.one("bounded"), h.one("free")
	h.graphs[bounded].Settings.MaxConcurrent = 1
	release := h.runner.holdNode("bounded")
	first := h.ask("u", bounded, 0)
	h.expectBegins("bounded")
	h.multiply(h.ask("u", bounded, 0), 200) // more than a claim looks at
	last := h.ask("u", free, 0)
	h.expectBegins("free")
	if x := h.over("u", last); x.Status != Completed {
		t.Errorf("%s", x.Status)
	}
	h.nothingBegins()

	h.kill() // what it had begun goes on first, alone
	release()
	end := h.runner.holdNode("bounded")
	h.start()
	h.expectBegins("bounded")
	other := h.beside(nil)
	free2 := other.one("free")
	if x := other.over("u", other.ask("u", free2, 0)); x.Status != Completed {
		t.Errorf("%s", x.Status)
	}
	if n := h.runs("bounded") + other.runs("bounded"); n != 2 {
		t.Errorf("%d runs began", n)
	}
	if x, err := h.Get(t.Context(), "u", first); err != nil || x.Status != Running {
		t.Errorf("%v %v", x, err)
	}
	end()
	h.until("all have run", func() bool {
		var left int
		if err := h.db.QueryRowContext(t.Context(), `SELECT count(*) FROM execution WHERE ended_at IS NULL`).Scan(&left); err != nil {
			t.Fatal(err)
		}
		return left == 0
	})
}

// until waits for a condition.
func (h *harness) until(what string, met func() bool) {
	h.t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for !met() {
		if time.Now().After(deadline) {
			h.t.Fatalf("it never comes that %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// More users than a claim looks at may all have as many as they may; those behind them have their turn all the same.
func TestBoundedUsersHoldNobodyUp(t *testing.T) {
	t.Parallel()
	h := newHarnessWith(t, func(c *Config) { c.Concurrency, c.UserConcurrency = 300, 1 })
	g := h.one("n")
	release := h.runner.holdNode("n")
	for i := range claimedUsers + 10 {
		h.ask(fmt.Sprintf("user %03d", i), g, 0)
		h.expectBegins("n")
		h.ask(fmt.Sprintf("user %03d", i), g, 0)
	}
	last := h.ask("z", g, 0)
	h.expectBegins("n")
	release()
	if x := h.over("z", last); x.Status != Completed {
		t.Errorf("%s", x.Status)
	}
}

// An execution that runs longer than it may fails, with what is nested in it, also after its server has died.
func TestTimeoutOfAnExecution(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	child := h.one("slow")
	parent := h.add([]string{
		fmt.Sprintf(`nested AgentExecutor {"graph_id":%q,"graph_version":1,"inputs":{},"input_schema":{"type":"object","properties":{}},"output_schema":{"type":"object","properties":{}}}`, child),
		`fast Effect {"a":1}`,
	}, nil)
	h.graphs[child].Settings = graph.Settings{Timeout: 50 * time.Millisecond} // for itself alone
	h.graphs[parent].Settings = graph.Settings{Timeout: time.Hour}
	defer h.runner.holdNode("slow")()
	check := func(id, timeout string, nested int) {
		t.Helper()
		x := h.over("u", id)
		if x.Status != Failed || x.Error == nil || x.Error.Message != "the execution ran longer than its timeout of "+timeout || x.Error.NodeID != "" {
			t.Errorf("%s %+v", x.Status, x.Error)
		}
		list, _, err := h.List(t.Context(), "u", Filter{ParentID: id, Limit: 10})
		if err != nil || len(list) != nested || nested > 0 && list[0].Status != Terminated {
			t.Errorf("nested: %+v %v", list, err)
		}
	}
	check(h.ask("u", child, 0), "50ms", 0)
	id, err := h.Execute(t.Context(), Request{UserID: "u", GraphID: parent, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	check(id, "1s", 1)

	before := h.runs("slow")
	late := h.ask("u", parent, 0)
	h.until("it runs", func() bool { return h.runs("slow") > before })
	h.kill()
	if _, err := h.db.ExecContext(t.Context(), `UPDATE execution SET timeout_ms = 1 WHERE id = ? AND timeout_ms = 3600000`, late); err != nil {
		t.Fatal(err)
	}
	h.start()
	check(late, "1ms", 1)
	if n := h.runs("slow"); n != before+1 {
		t.Errorf("the block began again after the time was over")
	}
	if x := h.over("u", h.ask("u", h.one("fast"), 0)); x.Status != Completed {
		t.Errorf("%s", x.Status)
	}
}

// runs is how often a node began to run.
func (h *harness) runs(node string) int {
	h.runner.mu.Lock()
	defer h.runner.mu.Unlock()
	return h.runner.calls[node]
}
