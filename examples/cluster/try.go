package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/patchbay-io/patchbay/api/client"
)

const (
	tryUser    = "00000000-0000-4000-8000-000000000001"
	tryWorkers = 6
	// trySeconds is how long blocks of every other execution run: longer than a server that ends waits for them, so that
	// another one takes them up.
	trySeconds = 4
	// tryGraph waits for each item, in a block that is running when its server ends.
	tryGraph = `{"name":"Count","nodes":[
		{"id":"in","block_id":"c0a8e994-ebf1-4a9c-a4d8-89d09c86741b","input_default":{"name":"Items"}},
		{"id":"each","block_id":"f66a3543-28d3-4ab5-8945-9b336371e2ce"},
		{"id":"wait","block_id":"d67a9c52-5e4e-11e2-bcfd-0800200c9a71","input_default":{"seconds":0}},
		{"id":"out","block_id":"363ae599-353e-4804-937e-b2ee3cef3da4","input_default":{"name":"Output"}}],
		"links":[{"source_id":"in","source_name":"result","sink_id":"each","sink_name":"items"},
		{"source_id":"each","source_name":"item","sink_id":"wait","sink_name":"input_message"},
		{"source_id":"wait","source_name":"output_message","sink_id":"out","sink_name":"value"}]}`
	tryItems = 5
	tryPause = 100 * time.Millisecond
	tryLimit = 3 * time.Minute
)

// trial is a load, and what came of it.
type trial struct {
	cluster *cluster
	token   string
	client  *client.ClientWithResponses
	graph   string

	executions, requests, events, reconnects atomic.Int64
}

// try starts each server anew under load, while a WebSocket is open at it. Any request that fails, execution that does not
// complete, and event that is missing, is an error.
func try(ctx context.Context, c *cluster) error {
	ctx, cancel := context.WithTimeout(ctx, tryLimit)
	defer cancel()
	t := &trial{cluster: c}
	if err := t.prepare(ctx); err != nil {
		return err
	}
	var load sync.WaitGroup
	enough := make(chan struct{})
	failures := make(chan error, tryWorkers+len(c.servers))
	for i := range tryWorkers {
		load.Go(func() {
			for {
				if err := t.once(ctx, i%2*trySeconds); err != nil {
					failures <- err
					return
				}
				select {
				case <-enough:
					return
				case <-time.After(tryPause):
				}
			}
		})
	}
	var err error
	for i, p := range c.servers {
		var r *resident
		if r, err = t.settle(ctx, c.balancer.backends[i].address); err != nil {
			break
		}
		load.Go(func() {
			if err := t.stay(ctx, r); err != nil {
				failures <- fmt.Errorf("WebSocket at %s: %w", p.name, err)
			}
		})
		if err = c.renew(ctx, p); err != nil {
			break
		}
	}
	close(enough)
	load.Wait()
	close(failures)
	for failure := range failures {
		err = errors.Join(err, failure)
	}
	fmt.Printf("%d servers were started anew: %d executions, %d requests, %d events, %d WebSockets connected again\n",
		len(c.servers), t.executions.Load(), t.requests.Load(), t.events.Load(), t.reconnects.Load())
	return err
}

func (t *trial) prepare(ctx context.Context) error {
	command := exec.CommandContext(ctx, t.cluster.binary, "token", "--user", tryUser)
	command.Env = append(os.Environ(), "PATCHBAY_JWT_SECRET_FILE="+t.cluster.secret("jwt-secret"))
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil {
		return fmt.Errorf("make a token: %w", err)
	}
	t.token = string(bytes.TrimSpace(out))
	if t.client, err = client.NewClientWithResponses("http://"+t.cluster.addr, client.WithToken(t.token)); err != nil {
		return err
	}
	graph, err := t.client.CreateGraphWithBodyWithResponse(ctx, nil, "application/json", strings.NewReader(tryGraph))
	if err == nil {
		err = client.Check(graph.HTTPResponse, graph.Body)
	}
	if err != nil {
		return fmt.Errorf("store the graph: %w", err)
	}
	t.graph = graph.JSON201.Id
	return nil
}

// once runs an execution, watches it to its end, and looks at what it gave.
func (t *trial) once(ctx context.Context, seconds int) error {
	id, err := t.execute(ctx, seconds)
	if err != nil {
		return err
	}
	return t.finish(ctx, id, 0)
}

// settle runs an execution, and opens a WebSocket for it at one server. Those that go by the balancer are at a server that
// ends only by chance: it sends them elsewhere in time.
func (t *trial) settle(ctx context.Context, server string) (*resident, error) {
	id, err := t.execute(ctx, trySeconds)
	if err != nil {
		return nil, err
	}
	conn, err := t.subscribe(ctx, server, id, 0)
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w", id, err)
	}
	return &resident{id, conn}, nil
}

// resident is a WebSocket that stays where it is until its server ends.
type resident struct {
	execution string
	conn      *websocket.Conn
}

// stay reads a WebSocket until its server closes it, and goes on at another one.
func (t *trial) stay(ctx context.Context, r *resident) error {
	defer func() { _ = r.conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = r.conn.Close() })()
	last, err := t.read(r.conn, 0)
	if err == nil {
		_, _, err = r.conn.ReadMessage() // nothing comes but the end
	}
	if !websocket.IsCloseError(err, websocket.CloseServiceRestart) {
		return fmt.Errorf("it was to be closed with %d, and not: %w", websocket.CloseServiceRestart, err)
	}
	t.reconnects.Add(1)
	return t.finish(ctx, r.execution, last)
}

func (t *trial) execute(ctx context.Context, seconds int) (id string, err error) {
	body := fmt.Sprintf(`{"input_data":{"Items":[1,2,3,4,5]},"nodes_input_masks":{"wait":{"seconds":%d}}}`, seconds)
	accepted, err := t.client.ExecuteGraphWithBodyWithResponse(ctx, t.graph, nil, "application/json", strings.NewReader(body))
	if err == nil {
		err = client.Check(accepted.HTTPResponse, accepted.Body)
	}
	if err != nil {
		return "", fmt.Errorf("execute: %w", err)
	}
	t.requests.Add(1)
	return accepted.JSON200.ExecutionId, nil
}

// finish watches an execution to its end, and looks at what it gave.
func (t *trial) finish(ctx context.Context, id string, last int64) error {
	if err := t.watch(ctx, id, last); err != nil {
		return fmt.Errorf("watch %s: %w", id, err)
	}
	shown, err := t.client.GetExecutionWithResponse(ctx, id, nil)
	if err == nil {
		err = client.Check(shown.HTTPResponse, shown.Body)
	}
	if err != nil {
		return fmt.Errorf("get %s: %w", id, err)
	}
	t.requests.Add(1)
	t.executions.Add(1)
	if x := shown.JSON200; x.Status != client.StatusCOMPLETED || len(x.Outputs["Output"]) != tryItems {
		return fmt.Errorf("%s ended %s with %d outputs", id, x.Status, len(x.Outputs["Output"]))
	}
	return nil
}

// watch reads the events of an execution behind the last one. Where the connection ends, another one goes on.
func (t *trial) watch(ctx context.Context, id string, last int64) error {
	for {
		err := t.listen(ctx, id, &last)
		if !websocket.IsCloseError(err, websocket.CloseServiceRestart) {
			return err
		}
		t.reconnects.Add(1)
	}
}

func (t *trial) listen(ctx context.Context, id string, last *int64) error {
	conn, err := t.subscribe(ctx, t.cluster.addr, id, *last)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	*last, err = t.read(conn, *last)
	return err
}

func (t *trial) subscribe(ctx context.Context, addr, id string, last int64) (*websocket.Conn, error) {
	conn, _, err := websocket.DefaultDialer.DialContext(ctx, "ws://"+addr+"/ws?token="+t.token, nil) //nolint:bodyclose // there is nothing to close (Dialer's documentation)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	t.requests.Add(1)
	if err := conn.WriteJSON(map[string]any{"type": "subscribe", "execution_id": id, "after_seq": last}); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// read reads events to the terminal one, and gives the number of the last.
func (t *trial) read(conn *websocket.Conn, last int64) (int64, error) {
	for {
		var event struct {
			Type  string `json:"type"`
			Seq   int64  `json:"seq"`
			Error any    `json:"error"`
		}
		if err := conn.ReadJSON(&event); err != nil {
			return last, err
		}
		switch {
		case event.Type == "error":
			return last, fmt.Errorf("%v", event.Error)
		case event.Seq == 0:
			continue
		case event.Seq != last+1:
			return last, fmt.Errorf("event %d comes after %d", event.Seq, last)
		}
		last = event.Seq
		t.events.Add(1)
		if event.Type == "execution.completed" || event.Type == "execution.failed" {
			return last, nil
		}
	}
}
