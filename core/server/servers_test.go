package server_test

import (
	"bytes"
	"fmt"
	"net/http"
	"testing"

	"github.com/patchbay-io/patchbay/core/event/natstest"
	"github.com/patchbay-io/patchbay/core/postgres/postgrestest"
)

// Of two servers on one database either shows, streams and stops what the other one runs.
func TestEitherServerKnowsWhatTheOtherRuns(t *testing.T) {
	t.Parallel()
	t.Run("Postgres", func(t *testing.T) {
		t.Parallel()
		eitherKnows(t, "PATCHBAY_DATABASE_URL="+postgrestest.DSN(t))
	})
	t.Run("NATS", func(t *testing.T) {
		t.Parallel()
		eitherKnows(t, "PATCHBAY_DATABASE_URL="+postgrestest.DSN(t), "PATCHBAY_NATS_URL="+natstest.URL(natstest.Cluster(t, 3)...))
	})
}

func eitherKnows(t *testing.T, environ ...string) {
	a, b := startInstance(t, environ...), startInstance(t, environ...)
	graph := a.create(fmt.Appendf(nil, `{"name":"Count","nodes":[{"id":"in","block_id":%q,"input_default":{"name":"Items"}},`+
		`{"id":"each","block_id":"f66a3543-28d3-4ab5-8945-9b336371e2ce","input_default":{}},{"id":"wait","block_id":"d67a9c52-5e4e-11e2-bcfd-0800200c9a71","input_default":{"seconds":0}},`+
		`{"id":"out","block_id":%q,"input_default":{"name":"Output"}}],"links":[{"source_id":"in","source_name":"result","sink_id":"each","sink_name":"items"},`+
		`{"source_id":"each","source_name":"item","sink_id":"wait","sink_name":"input_message"},{"source_id":"wait","source_name":"output_message","sink_id":"out","sink_name":"value"}]}`, inputBlock, outputBlock))
	id := a.execute(graph, `{"Items":[1,2,3,4,5]}`)
	if d := b.ended(id); d.Status != "COMPLETED" || len(d.Outputs["Output"]) != 5 {
		t.Errorf("the other server shows %s %s", d.Status, d.Outputs)
	}
	if x, y := a.story(id), b.story(id); len(x) != len(y) {
		t.Errorf("the servers tell %d and %d events", len(x), len(y))
	}

	endless := b.create(fmt.Appendf(nil, `{"name":"Wait","nodes":[{"id":"wait","block_id":"d67a9c52-5e4e-11e2-bcfd-0800200c9a71","input_default":{"input_message":"x","days":1}}]}`))
	id = b.execute(endless, `{}`)
	watched := a.subscribe(id, 0)
	watched.until(func(e event) bool { return e.Type == "node.started" })
	if status, body := a.call(alice, http.MethodPost, "/api/v2/executions/"+id+"/stop", nil); status != http.StatusOK {
		t.Fatalf("stop: %d %s", status, body)
	}
	if last := watched.until(event.last); last[len(last)-1].Status != "TERMINATED" {
		t.Errorf("the stopped execution ends with %+v", last[len(last)-1])
	}
}

// A server that has lost NATS says so, and goes on: what others run is found by looking.
func TestLostNATSDelaysWorkAndLosesNone(t *testing.T) {
	t.Parallel()
	node := natstest.Start(t)
	environ := []string{"PATCHBAY_DATABASE_URL=" + postgrestest.DSN(t), "PATCHBAY_NATS_URL=" + natstest.URL(node)}
	a, b := startInstance(t, environ...), startInstance(t, environ...)
	graph := a.create(fmt.Appendf(nil, `{"name":"Wait","nodes":[{"id":"wait","block_id":"d67a9c52-5e4e-11e2-bcfd-0800200c9a71","input_default":{"input_message":"x","days":1}}]}`))
	id := a.execute(graph, `{}`)
	watched := b.subscribe(id, 0)
	watched.until(func(e event) bool { return e.Type == "node.started" })
	node.Stop()
	eventually(t, "the server says that it is not ready", func() bool {
		status, body := a.call(alice, http.MethodGet, "/readyz", nil)
		return status == http.StatusServiceUnavailable && bytes.Contains(body, []byte("NATS does not answer"))
	})
	if status, body := b.call(alice, http.MethodPost, "/api/v2/executions/"+id+"/stop", nil); status != http.StatusOK {
		t.Fatalf("stop: %d %s", status, body)
	}
	if last := watched.until(event.last); last[len(last)-1].Status != "TERMINATED" {
		t.Errorf("the stopped execution ends with %+v", last[len(last)-1])
	}
	node.Start()
	eventually(t, "the server is ready again", func() bool {
		status, _ := a.call(alice, http.MethodGet, "/readyz", nil)
		return status == http.StatusOK
	})
}
