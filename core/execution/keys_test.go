package execution

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/go-hclog"

	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/core/exclusive"
	"github.com/patchbay-io/patchbay/core/hostservice"
	"github.com/patchbay-io/patchbay/core/plugin"
	"github.com/patchbay-io/patchbay/sdk/proto"
)

// keyRunner runs what a test says for each node, as a block that has services.
type keyRunner struct {
	mu   sync.Mutex
	does map[string]func(b *keyBlock) *proto.Error
	runs map[string]int
}

// keyBlock is a block at work.
type keyBlock struct {
	ctx   context.Context
	run   plugin.Run
	calls uint64
}

func (r *keyRunner) Run(ctx context.Context, run plugin.Run) plugin.Result {
	node := run.Context.NodeId
	r.mu.Lock()
	r.runs[node]++
	does := r.does[node]
	r.mu.Unlock()
	b := &keyBlock{ctx: ctx, run: run}
	if does == nil {
		b.emit(string(run.Input))
		return plugin.Result{}
	}
	if e := does(b); e != nil {
		if e.Kind == crash {
			return plugin.Result{Crashed: &plugin.Crash{Alone: true}}
		}
		return plugin.Result{Err: e}
	}
	return plugin.Result{}
}

// crash stands for the end of the process.
const crash = proto.ErrorKind(-1)

var keyPlugin = &block.Block{Plugin: block.Plugin{Name: "keys"}}

func (b *keyBlock) call(c *proto.Call) *proto.Reply {
	b.calls++
	c.Number = b.calls
	return b.run.Services.Call(b.ctx, keyPlugin, c)
}

func (b *keyBlock) set(key, value string) {
	if e := b.call(&proto.Call{Service: &proto.Call_SetKey{SetKey: &proto.SetKey{Scope: proto.KeyScope_KEY_SCOPE_USER, Key: key, Value: []byte(value)}}}).GetError(); e != nil && b.ctx.Err() == nil {
		panic(e.GetMessage())
	}
}

func (b *keyBlock) get(key string) string {
	return string(b.call(&proto.Call{Service: &proto.Call_GetKey{GetKey: &proto.GetKey{Scope: proto.KeyScope_KEY_SCOPE_USER, Key: key}}}).GetKeyValue().GetValue())
}

func (b *keyBlock) emit(value string) bool {
	if b.run.Services != nil { // a pure block has none
		b.run.Services.Emitted(b.calls)
	}
	return b.run.Output("p", json.RawMessage(value)) == nil
}

type keyHarness struct {
	*harness
	keys *keyRunner
}

func newKeyHarness(t *testing.T) *keyHarness { return newKeyHarnessWith(t, nil) }

func newKeyHarnessWith(t *testing.T, adjust func(*Config)) *keyHarness {
	h := newHarness(t)
	h.kill()
	h.adjust = adjust
	k := &keyHarness{h, &keyRunner{does: map[string]func(*keyBlock) *proto.Error{}, runs: map[string]int{}}}
	k.start()
	return k
}

func (h *keyHarness) start() {
	h.t.Helper()
	uses, err := exclusive.New(h.t.Context(), h.db, h.server, hclog.NewNullLogger())
	if err != nil {
		h.t.Fatal(err)
	}
	services := hostservice.New(hostservice.Config{DB: h.db, HTTP: http.DefaultTransport, Uses: uses, Logger: hclog.NewNullLogger()})
	c := Config{DB: h.db, ServerID: h.server, Blocks: catalogue(testBlocks), Graphs: h.graphs, Runner: h.keys, Services: services, Logger: hclog.NewNullLogger()}
	if h.adjust != nil {
		h.adjust(&c)
	}
	s, err := New(c)
	if err != nil {
		h.t.Fatal(err)
	}
	if err := s.Start(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
	h.Service = s
}

func (h *keyHarness) does(node string, f func(b *keyBlock) *proto.Error) {
	h.keys.mu.Lock()
	defer h.keys.mu.Unlock()
	h.keys.does[node] = f
}

// stored is what is committed.
func (h *keyHarness) stored() map[string]string {
	h.t.Helper()
	rows, err := h.db.QueryContext(context.Background(), `SELECT key, value FROM stored_key ORDER BY key`)
	if err != nil {
		h.t.Fatal(err)
	}
	defer rows.Close()
	found := map[string]string{}
	for rows.Next() {
		var key, value string
		if err := rows.Scan(&key, &value); err != nil {
			h.t.Fatal(err)
		}
		found[key] = value
	}
	if err := rows.Err(); err != nil {
		h.t.Fatal(err)
	}
	return found
}

func (h *keyHarness) until(what string, is func() bool) {
	for deadline := time.Now().Add(20 * time.Second); !is(); {
		if time.Now().After(deadline) {
			h.t.Errorf("waited in vain until %s", what)
			return
		}
	}
}

func (h *keyHarness) expect(when, want string) {
	h.t.Helper()
	if got := fmt.Sprint(h.stored()); got != "map["+want+"]" {
		h.t.Errorf("%s the keys are %s, not %s", when, got, want)
	}
}

func TestWritesCommitWithTheEndOfTheirAttempt(t *testing.T) {
	t.Parallel()
	h := newKeyHarness(t)
	g := h.chain("Effect", 2)
	h.does("b0", func(b *keyBlock) *proto.Error {
		b.set("a", `{"b":1, "a":1e400}`)
		b.set("n", `1`)
		b.set("n", `2`)
		h.expect("during the run", "")
		b.emit(b.get("n"))
		h.expect("after an output", "")
		return nil
	})
	h.does("b1", func(b *keyBlock) *proto.Error {
		h.expect("when the next block starts", `a:{"b":1, "a":1e400} n:2`)
		b.set("n", `3`)
		return &proto.Error{Message: "boom"}
	})
	if d := h.finished(h.execute(g, `{"x":1}`)); d.Status != Failed || d.Error.NodeID != "b1" {
		t.Errorf("%s %v", d.Status, d.Error)
	}
	h.expect("after a failure", `a:{"b":1, "a":1e400} n:3`)
}

func TestAttemptThatIsCutOffWritesNothing(t *testing.T) {
	t.Parallel()
	h := newKeyHarness(t)
	held := make(chan struct{}, 1)
	h.does("b0", func(b *keyBlock) *proto.Error {
		before := b.get("n")
		if before == "" {
			before = "0"
		}
		b.set("n", "1"+before)
		switch b.run.Context.Attempt {
		case 1: // the plugin dies
			return &proto.Error{Kind: crash}
		case 2: // the server dies
			held <- struct{}{}
			<-b.ctx.Done() // what the attempt does from here on, it does in a dead server
		}
		b.emit(before)
		return nil
	})
	id := h.execute(h.chain("Effect", 1), `{"x":1}`)
	<-held
	h.expect("after the plugin died", "")
	h.kill()
	h.expect("after the server died", "")
	h.start()
	d := h.finished(id)
	if d.Status != Completed || output1(t, d) != "0" {
		t.Errorf("%s %v", d.Status, d.Outputs)
	}
	h.expect("in the end", "n:10")
	if n := h.ran("b0"); n != 3 {
		t.Errorf("%d attempts", n)
	}
}

func TestStoppedAttemptWritesNothing(t *testing.T) {
	t.Parallel()
	h := newKeyHarness(t)
	running := make(chan struct{})
	h.does("b0", func(b *keyBlock) *proto.Error {
		b.set("n", `1`)
		close(running)
		<-b.ctx.Done()
		return nil
	})
	id := h.execute(h.chain("Effect", 1), `{"x":1}`)
	<-running
	if x, err := h.Stop(t.Context(), "u", id); err != nil || x.Status != Terminated {
		t.Fatalf("%+v %v", x, err)
	}
	h.expect("after the stop", "")
}

// A stream's writes commit with the output that follows them, and a repetition of the output brings none again.
func TestWritesOfAStreamCommitWithItsOutputs(t *testing.T) {
	t.Parallel()
	h := newKeyHarness(t)
	seen := func(n int) { h.until("the output is committed", func() bool { return len(h.stored()) == n }) }
	h.does("s", func(b *keyBlock) *proto.Error {
		first := b.run.Context.Attempt == 1
		b.set("one", fmt.Sprint(b.run.Context.Attempt))
		b.emit(`1`)
		b.set("two", fmt.Sprint(b.run.Context.Attempt))
		if first {
			seen(1)
			h.expect("with the first output", "one:1")
			return &proto.Error{Kind: crash}
		}
		h.expect("before the second attempt's second output", "one:1")
		b.emit(`2`)
		seen(2)
		h.expect("with the second output", "one:1 two:2")
		b.set("three", `2`)
		if b.get("one") != `2` {
			t.Errorf("the attempt does not see its own write: %s", b.get("one"))
		}
		return nil
	})
	g := h.add([]string{`in AgentInput {"name":"x"}`, `s Stream {}`, `out AgentOutput {"name":"y"}`}, []string{"in.result -> s.a", "s.p -> out.value"})
	if d := h.finished(h.execute(g, `{"x":1}`)); d.Status != Completed || output1(t, d) != `1 2` {
		t.Errorf("%s %v %v", d.Status, d.Outputs, d.Error)
	}
	h.expect("in the end", "one:1 three:2 two:2")
}

func TestRepetitionThatDiffersWritesNothing(t *testing.T) {
	t.Parallel()
	h := newKeyHarness(t)
	h.does("s", func(b *keyBlock) *proto.Error {
		if b.run.Context.Attempt == 1 {
			b.emit(`1`)
			h.until("the output is committed", func() bool { return len(b.recorded(h)) > 0 })
			return &proto.Error{Kind: crash}
		}
		b.set("k", `1`)
		b.emit(`3`)
		b.set("l", `1`)
		return nil
	})
	g := h.add([]string{`in AgentInput {"name":"x"}`, `s Stream {}`, `out AgentOutput {"name":"y"}`}, []string{"in.result -> s.a", "s.p -> out.value"})
	if d := h.finished(h.execute(g, `{"x":1}`)); d.Status != Failed || !strings.Contains(d.Error.Message, "another value") {
		t.Errorf("%s %v", d.Status, d.Error)
	}
	h.expect("in the end", "")
}

// recorded are the committed rows of the block's node execution.
func (b *keyBlock) recorded(h *keyHarness) []int {
	var rows []int
	if err := readRows(context.Background(), h.db, uuid.MustParse(b.run.Context.ExecutionId), 0, func(w storedRow) error {
		if w.nodeExec == 2 {
			rows = append(rows, w.pos)
		}
		return nil
	}); err != nil {
		panic(err)
	}
	return rows
}

// committed counts the committed outputs of the block's node execution.
func (b *keyBlock) committed(h *keyHarness) (n int) {
	if err := readRows(context.Background(), h.db, uuid.MustParse(b.run.Context.ExecutionId), 0, func(w storedRow) error {
		if w.nodeExec == 2 {
			n += len(w.step.Outputs)
		}
		return nil
	}); err != nil {
		panic(err)
	}
	return n
}

// A server whose lease was taken over has written nothing of what it does afterwards.
func TestZombieWritesNoKeys(t *testing.T) {
	t.Parallel()
	h := newKeyHarness(t)
	held, release := make(chan struct{}, 2), make(chan struct{})
	h.does("b0", func(b *keyBlock) *proto.Error {
		b.set("by", fmt.Sprint(b.run.Context.Attempt))
		b.emit(`1`)
		held <- struct{}{}
		if b.run.Context.Attempt == 1 {
			<-release
		}
		return nil
	})
	id := h.execute(h.chain("Effect", 1), `{"x":1}`)
	<-held
	zombie := h.Service
	zombie.mu.Lock()
	zombie.closing = true // it must not take the lease back
	zombie.mu.Unlock()
	h.start() // another process on the same data folder takes the lease
	d := h.finished(id)
	if d.Status != Completed || output1(t, d) != `1` {
		t.Errorf("%s %v", d.Status, d.Outputs)
	}
	close(release) // the zombie's attempt ends now, and what it has set goes to its writer
	<-zombie.stopped
	h.expect("in the end", "by:2")
	zombie.shutdown()
}

func TestKeysOfManyExecutions(t *testing.T) {
	t.Parallel()
	h := newKeyHarness(t)
	h.does("b0", func(b *keyBlock) *proto.Error {
		key := string(b.run.Input)
		b.set(key, `1`)
		b.set("shared", key[5:len(key)-1])
		if len(key)%2 == 0 {
			b.call(&proto.Call{Service: &proto.Call_DeleteKey{DeleteKey: &proto.DeleteKey{Scope: proto.KeyScope_KEY_SCOPE_USER, Key: key}}})
		}
		b.emit(`1`)
		return nil
	})
	g := h.chain("Effect", 1)
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() { h.finished(h.execute(g, fmt.Sprintf(`{"x":%d}`, i))) })
	}
	all.Wait()
	found := h.stored()
	if len(found) != 1+10+100 || found["shared"] == "" { // {"a":0} to {"a":9} have 7 bytes, {"a":100} and so on 9
		t.Errorf("%d keys", len(found))
	}
}

func TestMemoriesGoWithTheirExecution(t *testing.T) {
	t.Parallel()
	h := newKeyHarness(t)
	var got []string
	h.does("b0", func(b *keyBlock) *proto.Error {
		value := fmt.Appendf(nil, `%d`, b.run.Context.Attempt)
		reply := b.call(&proto.Call{Service: &proto.Call_Remember{Remember: &proto.Remember{Nth: 1, Value: value}}})
		got = append(got, string(reply.GetRemembered().GetValue()))
		if b.run.Context.Attempt < 3 {
			return &proto.Error{Kind: crash}
		}
		b.emit(`1`)
		return nil
	})
	id := h.execute(h.chain("Effect", 1), `{"x":1}`)
	h.finished(id)
	if !slices.Equal(got, []string{"1", "1", "1"}) {
		t.Errorf("the attempts got %v", got)
	}
	count := func() (n int) {
		if err := h.db.QueryRowContext(t.Context(), `SELECT count(*) FROM remembered`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := count(); n != 1 {
		t.Errorf("%d memories", n)
	}
	if err := h.Delete(t.Context(), "u", id); err != nil {
		t.Fatal(err)
	}
	if n := count(); n != 0 {
		t.Errorf("%d memories are left", n)
	}
}

func TestPureBlocksHaveNoServices(t *testing.T) {
	t.Parallel()
	h := newKeyHarness(t)
	h.does("b0", func(b *keyBlock) *proto.Error {
		if b.run.Services != nil {
			t.Error("a pure block has services")
		}
		b.emit(`1`)
		return nil
	})
	h.finished(h.execute(h.chain("Pure", 1), `{"x":1}`))
}

// A block that gets nowhere however often the server begins it again fails in the end (contract: durability 5); one that
// gets on a little each time does not, whatever else has happened to it.
func TestDeathsOfTheServerAreCharged(t *testing.T) {
	t.Parallel()
	h := newKeyHarness(t)
	begun := make(chan struct{}, 1)
	h.does("b0", func(b *keyBlock) *proto.Error {
		select {
		case begun <- struct{}{}:
		case <-b.ctx.Done():
		}
		<-b.ctx.Done()
		return nil
	})
	id := h.execute(h.chain("Effect", 1), `{"x":1}`)
	deaths := 0
	for d := h.details(id); !d.Status.Ended(); d = h.details(id) {
		select {
		case <-begun:
			h.kill()
			h.start()
			deaths++
		case <-time.After(time.Millisecond):
		}
		if deaths > 20 {
			t.Fatal("the server dies again and again")
		}
	}
	if d := h.finished(id); d.Status != Failed || d.Error == nil || !strings.Contains(d.Error.Message, "the server died each time") {
		t.Errorf("%s %+v", d.Status, d.Error)
	}
	if want := maxClaims + maxCharges; deaths > want {
		t.Errorf("it took %d deaths, more than %d", deaths, want)
	}
}

func TestWhoGetsOnIsNotCharged(t *testing.T) {
	t.Parallel()
	h := newKeyHarness(t)
	got := make(chan struct{}, 1)
	const rounds = 9
	h.does("b0", func(b *keyBlock) *proto.Error {
		n := int(b.run.Context.Attempt)
		if n == 2 {
			return &proto.Error{Kind: crash}
		}
		for i := range n {
			b.emit(fmt.Sprint(i))
		}
		if n >= rounds {
			return nil
		}
		for b.committed(h) < n {
			if b.ctx.Err() != nil {
				return nil
			}
		}
		select {
		case got <- struct{}{}:
		case <-b.ctx.Done():
		}
		<-b.ctx.Done()
		return nil
	})
	id := h.execute(h.chain("Stream", 1), `{"x":1}`)
	for n := 1; n < rounds; n++ {
		if n == 2 {
			continue // its plugin dies instead
		}
		<-got
		h.kill()
		h.start()
	}
	if d := h.finished(id); d.Status != Completed {
		t.Errorf("%s %+v", d.Status, d.Error)
	}
}

// Node executions that hold a key, in one execution and in others of the same agent, find what those before them have
// committed, and leave it to others however they end.
func TestHeldKeysPassFromAttemptToAttempt(t *testing.T) {
	t.Parallel()
	h := newKeyHarness(t)
	var crashed, failed atomic.Bool
	h.does("b0", func(b *keyBlock) *proto.Error {
		reply := b.call(&proto.Call{Service: &proto.Call_GetKey{GetKey: &proto.GetKey{Scope: proto.KeyScope_KEY_SCOPE_USER, Key: "n", Hold: true}}})
		if e := reply.GetError(); e != nil {
			return e
		}
		n, _ := strconv.Atoi(string(reply.GetKeyValue().GetValue()))
		switch {
		case n == 2 && crashed.CompareAndSwap(false, true):
			return &proto.Error{Kind: crash}
		case n == 4 && failed.CompareAndSwap(false, true):
			b.set("n", `5`)
			return &proto.Error{Message: "boom"}
		}
		b.set("n", strconv.Itoa(n+1))
		b.emit(`1`)
		return nil
	})
	g := h.chain("Effect", 1)
	const executions = 20
	var ids []string
	for range executions {
		ids = append(ids, h.execute(g, `{"x":1}`))
	}
	failures := 0
	for _, id := range ids {
		if d := h.finished(id); d.Status == Failed {
			failures++
		}
	}
	if failures != 1 {
		t.Errorf("%d executions failed", failures)
	}
	h.expect("in the end", fmt.Sprintf("n:%d", executions))
}
