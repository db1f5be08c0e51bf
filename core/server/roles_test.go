package server_test

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/patchbay-io/patchbay/core/postgres/postgrestest"
)

// metric is the value of a metric without labels; -1 where the server does not answer.
func (i *instance) metric(name string) float64 {
	response, err := http.Get(i.base + "/metrics")
	if err != nil {
		return -1
	}
	defer func() { _ = response.Body.Close() }()
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		if value, found := strings.CutPrefix(lines.Text(), name+" "); found {
			if n, err := strconv.ParseFloat(value, 64); err == nil {
				return n
			}
		}
	}
	return -1
}

func (i *instance) running() float64 { return i.metric("patchbay_executions_running") }

func (i *instance) logged(text string) bool {
	log, _ := os.ReadFile(i.log.Name())
	return bytes.Contains(log, []byte(text))
}

// One server accepts, two others run. One of those is paused until the other has taken over what it ran, and goes on
// then: everything has ended once.
func TestRolesSurviveAWorkerThatIsPaused(t *testing.T) {
	t.Parallel()
	dsn := "PATCHBAY_DATABASE_URL=" + postgrestest.DSN(t)
	var a, b, c *instance
	var all sync.WaitGroup
	a = startInstance(t, dsn, "PATCHBAY_ROLE=api")
	b = startInstance(t, dsn, "PATCHBAY_ROLE=worker", "PATCHBAY_EXECUTION_CONCURRENCY=4")
	c = startInstance(t, dsn, "PATCHBAY_ROLE=worker", "PATCHBAY_EXECUTION_CONCURRENCY=4")
	if status, body := b.call(alice, http.MethodGet, "/api/v2/executions", nil); status != http.StatusServiceUnavailable || !bytes.Contains(body, []byte("UNAVAILABLE")) {
		t.Errorf("a worker answers %d %s", status, body)
	}
	graph := a.create(fmt.Appendf(nil, `{"name":"Wait","nodes":[{"id":"in","block_id":%q,"input_default":{"name":"Items"}},`+
		`{"id":"each","block_id":"f66a3543-28d3-4ab5-8945-9b336371e2ce","input_default":{}},{"id":"wait","block_id":"d67a9c52-5e4e-11e2-bcfd-0800200c9a71","input_default":{"seconds":1}},`+
		`{"id":"out","block_id":%q,"input_default":{"name":"Output"}}],"links":[{"source_id":"in","source_name":"result","sink_id":"each","sink_name":"items"},`+
		`{"source_id":"each","source_name":"item","sink_id":"wait","sink_name":"input_message"},{"source_id":"wait","source_name":"output_message","sink_id":"out","sink_name":"value"}]}`, inputBlock, outputBlock))
	if d := a.run(graph, `{"Items":[1]}`); d.Status != "COMPLETED" { // by Prefer: wait
		t.Errorf("waited for on the server that accepted it: %+v", d)
	}
	ids := make([]string, 12)
	for n := range ids {
		ids[n] = a.execute(graph, fmt.Sprintf(`{"Items":[%d,%d,%d]}`, n, n+1, n+2))
	}
	live := make([][]event, len(ids))
	for n, id := range ids {
		s := a.subscribe(id, 0)
		all.Go(func() { live[n] = s.until(event.last) })
	}
	eventually(t, "both workers run some", func() bool { return b.running() > 0 && c.running() > 0 })
	if err := b.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for n, id := range ids {
		if d := a.ended(id); d.Status != "COMPLETED" || len(d.Outputs["Output"]) != 3 {
			t.Errorf("execution %d: %+v", n, d)
		}
	}
	all.Wait()
	if err := b.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the paused worker finds out", func() bool { return b.logged("lost the executions") && b.running() == 0 })
	for n, id := range ids {
		story := a.story(id)
		if len(story) != len(live[n]) {
			t.Errorf("execution %d has %d events, and %d were told as they happened", n, len(story), len(live[n]))
		}
		started, ends := map[string]int{}, 0
		for _, e := range story {
			if e.Type == "node.started" {
				started[e.NodeID]++
			}
			if e.last() {
				ends++
			}
		}
		if ends != 1 || started["wait"] != 3 || started["out"] != 3 {
			t.Errorf("execution %d: %d ends, %v", n, ends, started)
		}
	}
	// It works again, alone if it must.
	if code := c.terminate(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if d := a.run(graph, `{"Items":[1,2]}`); d.Status != "COMPLETED" {
		t.Errorf("on the worker that was paused: %+v", d)
	}
	endless := a.create(fmt.Appendf(nil, `{"name":"Wait","nodes":[{"id":"wait","block_id":"d67a9c52-5e4e-11e2-bcfd-0800200c9a71","input_default":{"input_message":"x","days":1}}]}`))
	for range 6 { // more than it has seats for
		ids = append(ids, a.execute(endless, `{}`))
	}
	eventually(t, "it is full", func() bool { return b.running() >= 4 && a.metric("patchbay_executions_waiting") > 0 })
	for _, id := range ids[len(ids)-6:] {
		if status, body := a.call(alice, http.MethodPost, "/api/v2/executions/"+id+"/stop", nil); status != http.StatusOK || !bytes.Contains(body, []byte("TERMINATED")) {
			t.Errorf("stop: %d %s", status, body)
		}
	}
}

// An execution that is running when its server is asked to stop goes on elsewhere at once.
func TestWorkersHandOverWhatTheyRun(t *testing.T) {
	t.Parallel()
	dsn := "PATCHBAY_DATABASE_URL=" + postgrestest.DSN(t)
	a := startInstance(t, dsn, "PATCHBAY_ROLE=api")
	has, other := startInstance(t, dsn, "PATCHBAY_ROLE=worker", "PATCHBAY_SHUTDOWN_GRACE=0s"), startInstance(t, dsn, "PATCHBAY_ROLE=worker", "PATCHBAY_SHUTDOWN_GRACE=0s")
	graph := a.create(fmt.Appendf(nil, `{"name":"Wait","nodes":[{"id":"wait","block_id":"d67a9c52-5e4e-11e2-bcfd-0800200c9a71","input_default":{"input_message":"x","seconds":3}},`+
		`{"id":"out","block_id":%q,"input_default":{"name":"Output"}}],"links":[{"source_id":"wait","source_name":"output_message","sink_id":"out","sink_name":"value"}]}`, outputBlock))
	id := a.execute(graph, `{}`)
	a.subscribe(id, 0).until(func(e event) bool { return e.Type == "node.started" })
	if other.running() == 1 {
		has, other = other, has
	}
	if code := has.terminate(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	eventually(t, "the other worker goes on", func() bool { return other.running() == 1 })
	if d := a.ended(id); d.Status != "COMPLETED" || len(d.Outputs["Output"]) != 1 {
		t.Errorf("%+v", d)
	}
}
