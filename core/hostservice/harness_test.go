package hostservice

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"github.com/google/uuid"
	"github.com/hashicorp/go-hclog"
	"github.com/uptrace/bun"
	"go.uber.org/goleak"

	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/core/exclusive"
	"github.com/patchbay-io/patchbay/core/file"
	"github.com/patchbay-io/patchbay/core/postgres/postgrestest"
	"github.com/patchbay-io/patchbay/sdk/proto"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, postgrestest.IgnoreServer()...) }

type harness struct {
	*Service
	t    *testing.T
	from *block.Block
}

func newHarness(t *testing.T) *harness {
	t.Helper()
	db := postgrestest.DB(t)
	transport := &http.Transport{DisableKeepAlives: true}
	uses, err := exclusive.New(t.Context(), db, uuid.New(), hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	return &harness{
		t: t, from: &block.Block{Plugin: block.Plugin{Name: "p"}},
		Service: New(Config{DB: db, Files: file.NewStore(db, file.DefaultLimits, hclog.NewNullLogger()), HTTP: transport, Uses: uses, Logger: hclog.NewNullLogger()}),
	}
}

// execution makes a row of an execution and gives the context of its first node execution.
func (h *harness) execution(user string) *proto.RunContext {
	h.t.Helper()
	id, graph := uuid.NewString(), uuid.NewString()
	_, err := h.DB.ExecContext(h.t.Context(), `
		INSERT INTO execution (id, root_id, user_id, graph_id, graph_version, plan_id, status, inputs, created_at)
		VALUES (?0, ?0, ?1, ?2, 1, '', 'RUNNING', '{}', now())`, id, user, graph)
	if err != nil {
		h.t.Fatal(err)
	}
	return &proto.RunContext{UserId: user, GraphId: graph, ExecutionId: id, NodeId: "n", NodeExecutionId: id + ".1"}
}

// attempt is one whose calls are numbered.
type attempt struct {
	*Attempt
	h    *harness
	last uint64
}

func (h *harness) attempt(run *proto.RunContext, streaming bool) *attempt {
	return &attempt{Attempt: h.Open(h.t.Context(), run, streaming), h: h}
}

// next answers a call of the block.
func (a *attempt) next(ctx context.Context, c *proto.Call) *proto.Reply {
	a.last++
	c.Number = a.last
	return a.Call(ctx, a.h.from, c)
}

// must is next for calls that have to succeed.
func (a *attempt) must(c *proto.Call) *proto.Reply {
	a.h.t.Helper()
	reply := a.next(a.h.t.Context(), c)
	if reply.GetError() != nil {
		a.h.t.Fatalf("%v: %v", c.GetService(), reply.GetError())
	}
	return reply
}

func (a *attempt) set(scope proto.KeyScope, key, value string) *proto.Reply {
	return a.next(a.h.t.Context(), &proto.Call{Service: &proto.Call_SetKey{SetKey: &proto.SetKey{Scope: scope, Key: key, Value: []byte(value)}}})
}

func (a *attempt) delete(scope proto.KeyScope, key string) {
	a.h.t.Helper()
	a.must(&proto.Call{Service: &proto.Call_DeleteKey{DeleteKey: &proto.DeleteKey{Scope: scope, Key: key}}})
}

// get gives a value, empty where there is none.
func (a *attempt) get(scope proto.KeyScope, key string) string {
	a.h.t.Helper()
	v := a.must(&proto.Call{Service: &proto.Call_GetKey{GetKey: &proto.GetKey{Scope: scope, Key: key}}}).GetKeyValue()
	if v.GetFound() != (len(v.GetValue()) > 0) {
		a.h.t.Errorf("found %t, and %q", v.GetFound(), v.GetValue())
	}
	return string(v.GetValue())
}

func (a *attempt) remember(nth uint32, value string) *proto.Reply {
	return a.next(a.h.t.Context(), &proto.Call{Service: &proto.Call_Remember{Remember: &proto.Remember{Nth: nth, Value: []byte(value)}}})
}

// commit makes writes true, as the scheduler does.
func (h *harness) commit(writes []Write) {
	h.t.Helper()
	commit(h.t, h.DB, writes, true)
}

func commit(t *testing.T, db *bun.DB, writes []Write, leased bool) {
	t.Helper()
	var n int
	statement := fmt.Sprintf("WITH lease AS (SELECT 1 WHERE %t),%s SELECT count(*) FROM lease", leased, Statement("lease", 1))
	if err := db.DB.QueryRowContext(t.Context(), statement, Parameter(writes)).Scan(&n); err != nil {
		t.Fatal(err)
	}
}

func quoted(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}
