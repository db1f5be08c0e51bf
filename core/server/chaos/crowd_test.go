//go:build linux

package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/patchbay-io/patchbay/core/server/servertest"
)

// crowd are clients who go on over whatever happens to the servers, each time at any of those that serve.
type crowd struct {
	address func() string // that requests go to
	token   string
	client  *http.Client
	child   string // the agent that others nest
	marks   *marks
	seen    atomic.Int64 // events

	mu     sync.Mutex
	runs   []*followed
	silent []silence
}

// silence is when nothing came for so long that a client subscribed anew. That a server is silent while an execution
// that it was asked for gets on is a mistake of it, and none that an execution waits for what is away.
type silence struct {
	id            string
	before, after int // events that had come at the start of the subscription and at its end
}

// followed is an execution that was accepted and followed to its end.
type followed struct {
	agent   *randomAgent
	number  int
	id      string
	details *details
	events  []event
}

type details struct {
	ID      string                       `json:"id"`
	Status  string                       `json:"status"`
	Outputs map[string][]json.RawMessage `json:"outputs"`
	Error   *struct {
		Message string `json:"message"`
		NodeID  string `json:"node_id"`
	} `json:"error"`
}

type event struct {
	Type   string          `json:"type"`
	Seq    int64           `json:"seq"`
	Status string          `json:"status"`
	NodeID string          `json:"node_id"`
	Pin    string          `json:"output_name"`
	Value  json.RawMessage `json:"output_data"`
}

func (e event) last() bool { return e.Type == "execution.completed" || e.Type == "execution.failed" }

// ask asks until it is answered; refusals are errors.
func (c *crowd) ask(ctx context.Context, method, path, body, key string, into any) error {
	for {
		status, answer, err := c.once(ctx, method, path, body, key)
		switch {
		case err == nil && (status == http.StatusOK || status == http.StatusCreated):
			return json.Unmarshal(answer, into)
		case err == nil && status < 500 && status != http.StatusConflict && status != http.StatusTooManyRequests:
			return fmt.Errorf("%s %s: %d %s", method, path, status, answer)
		}
		if err := pause(ctx); err != nil {
			return fmt.Errorf("%s %s: %w, last %d %s", method, path, err, status, answer)
		}
	}
}

func (c *crowd) once(ctx context.Context, method, path, body, key string) (int, []byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://"+c.address()+"/api/v2"+path, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Authorization", "Bearer "+c.token)
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Idempotency-Key", key)
	}
	response, err := c.client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	return response.StatusCode, answer, err
}

// pause is the time between two tries.
func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(20 * time.Millisecond):
		return nil
	}
}

// create stores a graph. It may be stored twice, of which one is used.
func (c *crowd) create(ctx context.Context, document []byte) (string, error) {
	var g struct {
		ID string `json:"id"`
	}
	err := c.ask(ctx, http.MethodPost, "/builder/graphs", string(document), strconv.FormatUint(rand.Uint64(), 36), &g)
	return g.ID, err
}

// execute begins an execution of an agent, as often as it takes to hear of it.
func (c *crowd) execute(ctx context.Context, graph string, n int, inputs string) (string, error) {
	var x struct {
		ID string `json:"execution_id"`
	}
	err := c.ask(ctx, http.MethodPost, "/builder/graphs/"+graph+"/execute", `{"input_data":`+inputs+`}`, graph+strconv.Itoa(n), &x)
	return x.ID, err
}

// runAll executes an agent with each of its inputs, one after another, and checks what comes.
func (c *crowd) runAll(ctx context.Context, a *randomAgent) error {
	graph, err := c.create(ctx, a.document)
	if err != nil {
		return err
	}
	for n, inputs := range a.inputs {
		id, err := c.execute(ctx, graph, n, inputs)
		if err != nil {
			return err
		}
		f := &followed{agent: a, number: n, id: id, details: &details{}}
		c.mu.Lock()
		c.runs = append(c.runs, f)
		c.mu.Unlock()
		if f.events, err = c.follow(ctx, id); err != nil {
			return fmt.Errorf("execution %s: %w", id, err)
		}
		if err := c.ask(ctx, http.MethodGet, "/executions/"+id, "", "", f.details); err != nil {
			return err
		}
		if err := a.check(n, f.details, f.events); err != nil {
			return fmt.Errorf("execution %s: %w", id, err)
		}
	}
	if a.key == "" {
		return nil
	}
	reader, err := c.create(ctx, through(retrieveBlock, "default_value", "value", map[string]any{"key": a.key, "scope": "across_agents"}))
	if err != nil {
		return err
	}
	read := &randomAgent{name: "reader of " + a.name, inputs: []string{`{"Value":"nothing was kept"}`}, runs: map[string]int{"in": 1, "middle": 1, "out": 1}}
	id, err := c.execute(ctx, reader, 0, read.inputs[0])
	if err != nil {
		return err
	}
	f := &followed{agent: read, id: id, details: &details{}}
	c.mu.Lock()
	c.runs = append(c.runs, f)
	c.mu.Unlock()
	if f.events, err = c.follow(ctx, id); err != nil {
		return fmt.Errorf("execution %s: %w", id, err)
	}
	if err := c.ask(ctx, http.MethodGet, "/executions/"+id, "", "", f.details); err != nil {
		return err
	}
	if got := f.details.Outputs["Output"]; len(got) != 1 || !slices.Contains(a.kept, string(got[0])) {
		return fmt.Errorf("%s has kept %s, not one of %v", a.name, got, a.kept)
	}
	read.outputs = [][]string{{string(f.details.Outputs["Output"][0])}}
	return read.check(0, f.details, f.events)
}

// check says what an execution did that its agent does not do.
func (a *randomAgent) check(n int, d *details, events []event) error {
	if a.once != "" && d.Status == "FAILED" && d.Error != nil && d.Error.NodeID == a.once && strings.HasPrefix(d.Error.Message, "interrupted: ") {
		return nil
	}
	var got []string
	for _, v := range d.Outputs["Output"] {
		got = append(got, string(v))
	}
	slices.Sort(got)
	if d.Status != "COMPLETED" || !slices.Equal(got, a.outputs[n]) {
		return fmt.Errorf("ended %s (%+v) with %v, not %v", d.Status, d.Error, got, a.outputs[n])
	}
	started, completed := map[string]int{}, map[string]int{}
	for _, e := range events {
		switch e.Type {
		case "node.started":
			started[e.NodeID]++
		case "node.completed":
			completed[e.NodeID]++
		case "node.failed":
			return fmt.Errorf("node %s failed", e.NodeID)
		}
	}
	for node, runs := range a.runs {
		if runs < 0 {
			runs = len(a.outputs[n])
		}
		if started[node] != runs || completed[node] != runs {
			return fmt.Errorf("node %s started %d times and completed %d times, not %d: an output was routed twice or lost", node, started[node], completed[node], runs)
		}
	}
	return nil
}

// checkMarks looks at the effects of an agent that has ended.
func (a *randomAgent) checkMarks(m *marks, failed map[string]bool) error {
	for _, value := range a.marked {
		keys := m.of(value)
		switch {
		case len(keys) == 0 && !failed[value]:
			return fmt.Errorf("%s: nothing was done for %s", a.name, value)
		case a.once != "" && len(keys) > 1:
			return fmt.Errorf("%s: what must not be repeated was done %d times for %s", a.name, len(keys), value)
		}
		for _, key := range keys {
			if key == "" || key != keys[0] {
				return fmt.Errorf("%s: what was repeated for %s had other idempotency keys: %q", a.name, value, keys)
			}
		}
	}
	return nil
}

// follow reads an execution's events to its end, going on after the last one when the connection breaks.
func (c *crowd) follow(ctx context.Context, id string) ([]event, error) {
	var events []event
	for {
		before := len(events)
		err := c.listen(ctx, id, &events)
		if silent := (net.Error)(nil); errors.As(err, &silent) && silent.Timeout() && ctx.Err() == nil {
			c.mu.Lock()
			c.silent = append(c.silent, silence{id, before, len(events)})
			c.mu.Unlock()
		}
		if wrong := (*storyError)(nil); err == nil || errors.As(err, &wrong) {
			return events, err
		}
		if paused := pause(ctx); paused != nil {
			return nil, fmt.Errorf("%w after %d events: %w", paused, len(events), err)
		}
	}
}

// storyError is what must not be, rather than a broken connection.
type storyError struct{ got, after int64 }

func (e *storyError) Error() string { return fmt.Sprintf("event %d comes after %d", e.got, e.after) }

func (c *crowd) listen(ctx context.Context, id string, events *[]event) error {
	conn, _, err := websocket.DefaultDialer.DialContext(ctx, "ws://"+c.address()+"/ws?user_id="+servertest.Alice+"&token="+c.token, nil)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if err := conn.WriteJSON(map[string]any{"type": "subscribe", "execution_id": id, "after_seq": len(*events)}); err != nil {
		return err
	}
	for {
		var e event
		if err := conn.SetReadDeadline(time.Now().Add(patience / 2)); err != nil {
			return err
		}
		if err := conn.ReadJSON(&e); err != nil {
			return err
		}
		if e.Type == "error" { // the socket stays open, but nothing will come
			return errors.New("the subscription was refused")
		}
		if e.Seq == 0 || e.Type == "subscribed" { // or progress
			continue
		}
		if last := int64(len(*events)); e.Seq != last+1 {
			return &storyError{e.Seq, last}
		}
		*events = append(*events, e)
		c.seen.Add(1)
		if e.last() {
			return nil
		}
	}
}
