package hostservice

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/uptrace/bun"

	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/sdk/proto"
)

const (
	nodeScope  = proto.KeyScope_KEY_SCOPE_NODE
	agentScope = proto.KeyScope_KEY_SCOPE_AGENT
	userScope  = proto.KeyScope_KEY_SCOPE_USER
)

func TestValuesComeBackAsTheyWent(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	run := h.execution("u")
	values := map[string]string{
		"number": `12345678901234567890`, "exponent": `1e400`, "zero": `-0.0`, "nul": `"\u0000"`, "surrogate": `"\ud800"`, "null": `null`,
		"order": `{"b":1, "a" : [ 2 ],"b":3}`, "text": `"<&> é \" ' \\ ?0 $1 ` + "\u2028" + `"`, "é\t'\"\\{},?": `1`, "large": quoted(strings.Repeat("x", maxValue-2)),
		strings.Repeat("ü", maxKey): `[]`,
	}
	a := h.attempt(run, false)
	for key, value := range values {
		if reply := a.set(agentScope, key, value); reply.GetError() != nil {
			t.Errorf("%.20q: %v", key, reply.GetError())
		}
	}
	h.commit(a.End())
	b := h.attempt(run, false)
	for key, value := range values {
		if got := b.get(agentScope, key); got != value {
			t.Errorf("%.20q is %.80s", key, got)
		}
	}
	b.End()
}

func TestAttemptSeesItsWritesAndNobodyElseDoesBeforeTheCommit(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	run := h.execution("u")
	first := h.attempt(run, false)
	first.set(userScope, "a", `1`)
	first.set(userScope, "a", `2`)
	first.set(userScope, "b", `1`)
	first.delete(userScope, "b")
	first.delete(userScope, "never there")
	other := h.attempt(run, false)
	if a, b := first.get(userScope, "a"), first.get(userScope, "b"); a != `2` || b != "" {
		t.Errorf("the attempt itself sees %q and %q", a, b)
	}
	if got := other.get(userScope, "a"); got != "" {
		t.Errorf("another sees %q before the commit", got)
	}
	writes := first.End()
	if len(writes) != 3 {
		t.Errorf("%d writes of three keys", len(writes))
	}
	commit(t, h.DB, writes, false)
	if got := other.get(userScope, "a"); got != "" {
		t.Errorf("a server without a lease wrote %q", got)
	}
	h.commit(writes)
	if got := other.get(userScope, "a"); got != `2` {
		t.Errorf("after the commit it is %q", got)
	}
	other.delete(userScope, "a")
	h.commit(other.End())
	if got := h.attempt(run, false).get(userScope, "a"); got != "" {
		t.Errorf("deleted, it is %q", got)
	}
	if len(h.reserved) != 0 {
		t.Errorf("left reserved: %v", h.reserved)
	}
}

// The writes of a streaming block go with the outputs that come after them.
func TestWritesOfAStreamGoWithTheNextOutput(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	a := h.attempt(h.execution("u"), true)
	a.set(nodeScope, "k", `1`) // call 1
	a.set(nodeScope, "k", `2`) // 2
	a.set(nodeScope, "k", `3`) // 3, made after the output that is told of now
	a.Emitted(2)
	if got := values(a.Ready()); !slices.Equal(got, []string{`1`, `2`}) {
		t.Errorf("with the first output go %v", got)
	}
	if got := a.get(nodeScope, "k"); got != `3` {
		t.Errorf("the attempt sees %s", got)
	}
	a.Emitted(2)
	if got := a.Ready(); len(got) != 0 {
		t.Errorf("with the second output go %v", values(got))
	}
	a.Emitted(4)
	a.set(nodeScope, "k", `4`) // an output that nobody took keeps its writes for the end
	if got := values(a.End()); !slices.Equal(got, []string{`3`, `4`}) {
		t.Errorf("with the end go %v", got)
	}
}

func values(writes []Write) (list []string) {
	for _, w := range writes {
		list = append(list, string(w.Value))
	}
	return list
}

func TestKeysOfOthersAreNotThere(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	run := h.execution("u")
	a := h.attempt(run, false)
	for _, scope := range []proto.KeyScope{nodeScope, agentScope, userScope} {
		a.set(scope, "k", quoted(scope.String()))
	}
	h.commit(a.End())
	with := func(change func(*proto.RunContext)) *proto.RunContext {
		other := &proto.RunContext{UserId: run.UserId, GraphId: run.GraphId, NodeId: run.NodeId, ExecutionId: run.ExecutionId, NodeExecutionId: run.NodeExecutionId}
		change(other)
		return other
	}
	for name, test := range map[string]struct {
		run               *proto.RunContext
		plugin            string
		node, agent, user bool
	}{
		"itself":             {run, "p", true, true, true},
		"another execution":  {with(func(r *proto.RunContext) { r.ExecutionId = "x"; r.NodeExecutionId = "x.1" }), "p", true, true, true},
		"another node":       {with(func(r *proto.RunContext) { r.NodeId = "m" }), "p", false, true, true},
		"another agent":      {with(func(r *proto.RunContext) { r.GraphId = "g" }), "p", false, false, true},
		"another user":       {with(func(r *proto.RunContext) { r.UserId = "v" }), "p", false, false, false},
		"another plugin":     {run, "q", false, false, false},
		"a node of no name":  {with(func(r *proto.RunContext) { r.NodeId = "" }), "p", false, true, true},
		"parts moved around": {with(func(r *proto.RunContext) { r.NodeId = "nk"[:1]; r.GraphId += "n" }), "p", false, false, true},
	} {
		b := h.attempt(test.run, false)
		h.from = &block.Block{Plugin: block.Plugin{Name: test.plugin}}
		for scope, want := range map[proto.KeyScope]bool{nodeScope: test.node, agentScope: test.agent, userScope: test.user} {
			got, expected := b.get(scope, "k"), ""
			if want {
				expected = quoted(scope.String())
			}
			if got != expected {
				t.Errorf("%s, %s: %s", name, scope, got)
			}
		}
		b.End()
	}
}

func TestKeysThatAreRefused(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	a := h.attempt(h.execution("u"), false)
	for name, test := range map[string]struct {
		scope      proto.KeyScope
		key, value string
		want       string
	}{
		"no scope":       {0, "k", `1`, "scope"},
		"unknown scope":  {99, "k", `1`, "scope"},
		"no key":         {userScope, "", `1`, "1 to 512 characters"},
		"long key":       {userScope, strings.Repeat("k", maxKey+1), `1`, "not 513"},
		"NUL":            {userScope, "a\x00b", `1`, "NUL"},
		"large value":    {userScope, "k", quoted(strings.Repeat("x", maxValue)), "at most 1048576"},
		"no value":       {userScope, "k", ``, "JSON"},
		"no JSON":        {userScope, "k", `{"a":`, "JSON"},
		"two values":     {userScope, "k", `1 2`, "JSON"},
		"not UTF-8":      {userScope, "k", "\"\xff\"", "JSON"},
		"deep":           {userScope, "k", strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000), "JSON"},
		"a control sign": {userScope, "k", "\"\x00\"", "JSON"},
	} {
		e := a.set(test.scope, test.key, test.value).GetError()
		if e.GetKind() != proto.ErrorKind_ERROR_KIND_INVALID_INPUT || !strings.Contains(e.GetMessage(), test.want) {
			t.Errorf("%s: %v", name, e)
		}
	}
	if writes := a.End(); len(writes) != 0 {
		t.Errorf("%d writes", len(writes))
	}
}

func TestLimitsOfOneRun(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	a := h.attempt(h.execution("u"), false)
	for i := range maxPending {
		if e := a.set(userScope, fmt.Sprint(i), `1`).GetError(); e != nil {
			t.Fatalf("key %d: %v", i, e)
		}
	}
	if e := a.set(userScope, "0", `2`).GetError(); e != nil {
		t.Errorf("a key that is set already: %v", e)
	}
	if e := a.set(userScope, "one more", `1`).GetError(); !strings.Contains(e.GetMessage(), "at most 1000 keys") {
		t.Errorf("%v", e)
	}
	a.End()
	b := h.attempt(h.execution("u"), false)
	large := quoted(strings.Repeat("x", maxValue-2))
	for i := range 3 {
		if e := b.set(userScope, fmt.Sprint(i), large).GetError(); e != nil {
			t.Errorf("value %d: %v", i, e)
		}
	}
	if e := b.set(userScope, "4", large).GetError(); !strings.Contains(e.GetMessage(), "bytes that are not committed") {
		t.Errorf("%v", e)
	}
	b.End()
	c := h.attempt(h.execution("u"), true)
	for i := 0; ; i++ {
		e := c.set(userScope, fmt.Sprint(i), large).GetError()
		c.Emitted(c.last)
		h.commit(c.Ready())
		if e != nil {
			if i != 16 || !strings.Contains(e.GetMessage(), "at most 16777216 bytes") {
				t.Errorf("value %d: %v", i, e)
			}
			break
		}
	}
	c.End()
}

func TestLimitsOfAUser(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	fill := func(user string, keys, size int) {
		t.Helper()
		_, err := h.DB.ExecContext(t.Context(), `
			INSERT INTO stored_key (user_id, id, plugin, graph_id, node_id, key, value, size, updated_at)
			SELECT ?, decode(md5(i::text), 'hex'), 'p', '', '', i::text, '1', ?, now() FROM generate_series(1, ?) AS i`, user, size, keys)
		if err != nil {
			t.Fatal(err)
		}
	}
	fill("many", maxUserKeys-2, 2)
	fill("large", 64, 1<<20-8)
	many := h.execution("many")
	first, second := h.attempt(many, false), h.attempt(many, false)
	for i, a := range []*attempt{first, second} { // what one of them holds the other cannot have
		if e := a.set(userScope, fmt.Sprint("new", i), `1`).GetError(); e != nil {
			t.Errorf("key %d: %v", i, e)
		}
	}
	for _, a := range []*attempt{first, second} {
		if e := a.set(userScope, "one more", `1`).GetError(); !strings.Contains(e.GetMessage(), "may keep no more") {
			t.Errorf("%v", e)
		}
	}
	h.commit(first.End())
	second.End() // it was cut off
	third := h.attempt(many, false)
	if e := third.set(userScope, "new0", `2`).GetError(); e != nil {
		t.Errorf("a key that is there: %v", e)
	}
	if e := third.set(userScope, "new2", `2`).GetError(); e != nil {
		t.Errorf("the place of what was cut off: %v", e)
	}
	third.End()
	large := h.attempt(h.execution("large"), false)
	if e := large.set(userScope, "k", `"`+strings.Repeat("x", 1000)+`"`).GetError(); !strings.Contains(e.GetMessage(), "64 MiB together") {
		t.Errorf("%v", e)
	}
	if e := large.set(userScope, "k", `1`).GetError(); e != nil {
		t.Errorf("the last bytes: %v", e)
	}
	large.End()
	if e := h.attempt(h.execution("somebody else"), false).set(userScope, "k", `1`).GetError(); e != nil {
		t.Errorf("another user: %v", e)
	}
}

func TestKeysGoWithTheirAgent(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	run, other := h.execution("u"), h.execution("u")
	stranger := &proto.RunContext{UserId: "v", GraphId: run.GraphId, NodeId: "n"} // runs the same agent
	for _, r := range []*proto.RunContext{run, other, stranger} {
		a := h.attempt(r, false)
		for _, scope := range []proto.KeyScope{nodeScope, agentScope, userScope} {
			a.set(scope, "k", `1`)
		}
		h.commit(a.End())
	}
	if err := h.DB.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error { return ForgetAgent(ctx, tx, "u", run.GraphId) }); err != nil {
		t.Fatal(err)
	}
	for r, want := range map[*proto.RunContext]string{run: "", other: "1", stranger: "1"} {
		a := h.attempt(r, false)
		if node, agent, user := a.get(nodeScope, "k"), a.get(agentScope, "k"), a.get(userScope, "k"); node != want || agent != want || user != "1" {
			t.Errorf("the node keeps %q, the agent %q, the user %q", node, agent, user)
		}
		a.End()
	}
}

func TestAThousandCallsAtOnce(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	run := h.execution("u")
	a := h.Open(t.Context(), run, false)
	var all sync.WaitGroup
	for i := range 1000 {
		all.Go(func() {
			value := []byte(fmt.Sprint(i))
			set := &proto.Call{Number: uint64(2*i + 1), Service: &proto.Call_SetKey{SetKey: &proto.SetKey{Scope: userScope, Key: fmt.Sprint("k", i), Value: value}}}
			get := &proto.Call{Number: uint64(2*i + 2), Service: &proto.Call_GetKey{GetKey: &proto.GetKey{Scope: userScope, Key: fmt.Sprint("k", i)}}}
			if e := a.Call(t.Context(), h.from, set).GetError(); e != nil {
				t.Error(e)
			}
			if got := a.Call(t.Context(), h.from, get).GetKeyValue().GetValue(); string(got) != string(value) {
				t.Errorf("key %d is %s", i, got)
			}
		})
	}
	all.Wait()
	h.commit(a.End())
	all1, _, err := h.usage(t.Context(), "u", keyID{})
	if err != nil || all1.keys != 1000 {
		t.Errorf("%+v %v", all1, err)
	}
}

func TestRememberedValuesStay(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	run := h.execution("u")
	first, second := h.attempt(run, false), h.attempt(run, false)
	if got := first.remember(1, `{"b":1, "a":1e400}`).GetRemembered().GetValue(); string(got) != `{"b":1, "a":1e400}` {
		t.Errorf("recorded as %s", got)
	}
	if got := second.remember(1, `2`).GetRemembered().GetValue(); string(got) != `{"b":1, "a":1e400}` {
		t.Errorf("a later attempt gets %s", got)
	}
	if got := second.remember(2, `2`).GetRemembered().GetValue(); string(got) != `2` {
		t.Errorf("the second is %s", got)
	}
	other := h.execution("u")
	if got := h.attempt(other, false).remember(1, `3`).GetRemembered().GetValue(); string(got) != `3` {
		t.Errorf("another execution's is %s", got)
	}
	for name, reply := range map[string]*proto.Reply{
		"number 0": first.remember(0, `1`), "number 257": first.remember(257, `1`), "no JSON": first.remember(3, `{`),
		"large": first.remember(3, quoted(strings.Repeat("x", maxRememberedBytes))),
	} {
		if reply.GetError().GetKind() != proto.ErrorKind_ERROR_KIND_INVALID_INPUT {
			t.Errorf("%s: %v", name, reply)
		}
	}
	if _, err := h.DB.ExecContext(t.Context(), `UPDATE execution SET ended_at = now() WHERE id = ?`, run.ExecutionId); err != nil {
		t.Fatal(err)
	}
	if e := first.remember(4, `1`).GetError(); !strings.Contains(e.GetMessage(), "has ended") {
		t.Errorf("after the end: %v", e)
	}
	if got := first.remember(2, `1`).GetRemembered().GetValue(); string(got) != `2` {
		t.Errorf("what was recorded is %s", got)
	}
}

// Runs that set a key by what they find of it come one after the other, whoever else only looks.
func TestWhoHoldsAKeyFindsWhatOthersLeft(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	run := h.execution("u")
	hold := func(a *attempt) string {
		return string(a.must(&proto.Call{Service: &proto.Call_GetKey{GetKey: &proto.GetKey{Scope: proto.KeyScope_KEY_SCOPE_AGENT, Key: "n", Hold: true}}}).GetKeyValue().GetValue())
	}
	const runs = 20
	var all sync.WaitGroup
	for range runs {
		all.Go(func() {
			a := h.attempt(run, false)
			n, _ := strconv.Atoi(hold(a))
			if again := hold(a); again != "" && again != strconv.Itoa(n) {
				t.Errorf("holding again finds %s, not %d", again, n)
			}
			a.set(proto.KeyScope_KEY_SCOPE_AGENT, "n", strconv.Itoa(n+1))
			h.commit(a.End())
			a.Release()()
		})
	}
	all.Wait()
	a := h.attempt(run, false)
	if got := a.get(proto.KeyScope_KEY_SCOPE_AGENT, "n"); got != strconv.Itoa(runs) {
		t.Errorf("after %d runs the key is %s", runs, got)
	}
	a.End()
	if a.Release() != nil {
		t.Error("a run that only looked holds something")
	}
	if len(h.turns.of) != 0 {
		t.Errorf("%d turns are left", len(h.turns.of))
	}
}

func TestARunHoldsOneKeyOfItsUser(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	get := func(key string) *proto.Call {
		return &proto.Call{Service: &proto.Call_GetKey{GetKey: &proto.GetKey{Scope: proto.KeyScope_KEY_SCOPE_USER, Key: key, Hold: true}}}
	}
	a, other := h.attempt(h.execution("u"), false), h.attempt(h.execution("v"), false)
	a.must(get("n"))
	other.must(get("n")) // another user's key
	if e := a.next(t.Context(), get("m")).GetError(); e.GetKind() != proto.ErrorKind_ERROR_KIND_INVALID_INPUT {
		t.Errorf("a second key: %v", e)
	}
	waiting := h.attempt(h.execution("u"), false)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if e := waiting.next(ctx, get("n")).GetError(); e.GetKind() != proto.ErrorKind_ERROR_KIND_CANCELLED {
		t.Errorf("a run that was stopped while it waited: %v", e)
	}
	for _, a := range []*attempt{a, other} {
		a.End()
		a.Release()()
	}
	if waiting.End(); waiting.Release() != nil {
		t.Error("who waited in vain holds something")
	}
}
