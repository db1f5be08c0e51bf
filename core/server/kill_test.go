package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/sync/errgroup"
)

// TestRandomAgentsSurviveRandomKills makes random agents, kills random processes at random moments of their executions,
// and expects what would have come without. PATCHBAY_LONG lets it do many rounds, and PATCHBAY_SEED repeats one.
func TestRandomAgentsSurviveRandomKills(t *testing.T) {
	t.Parallel()
	seed, rounds := rand.Uint64(), 2
	if s := os.Getenv("PATCHBAY_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
		rounds = 1
	} else if os.Getenv("PATCHBAY_LONG") != "" {
		rounds = 20
	}
	for round := range rounds {
		seed := seed + uint64(round)
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Logf("PATCHBAY_SEED=%d repeats this", seed)
			surviveKills(t, rand.New(rand.NewPCG(seed, 0)))
		})
	}
}

func surviveKills(t *testing.T, r *rand.Rand) {
	i := startInstance(t)
	child := i.create(nesting())
	agents := []*randomAgent{pipeline(r, 0, child), pipeline(r, 1, child), pipeline(r, 2, child), counter(r, 0), counter(r, 1), collector(r, 0)}
	c := &crowd{data: i.data, token: token(t, alice)}
	whole, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	g, ctx := errgroup.WithContext(whole)
	var left sync.WaitGroup
	over := make(chan struct{})
	readers := make([]string, len(agents)) // of what an agent has kept
	for n, a := range agents {
		readers[n] = i.create(through(retrieveBlock, "default_value", "value", map[string]any{"key": a.key, "scope": "across_agents"}))
		graph := i.create(a.document)
		left.Add(1)
		g.Go(func() error {
			defer left.Done()
			if err := c.runAll(ctx, graph, a); err != nil {
				return fmt.Errorf("%s: %w\n%s", a.name, err, a.document)
			}
			return nil
		})
	}
	go func() { left.Wait(); close(over) }()
	k := killer{instance: i, Rand: r, plugins: map[string]int{}}
	kills := 2 + r.IntN(3)
	server := r.IntN(kills) // is always among the dead
	for n := range kills {
		want := c.seen.Load() + int64(1+r.IntN(400))
		eventually(t, "the executions get on", func() bool {
			select {
			case <-over:
				return true
			default:
				return c.seen.Load() >= want
			}
		})
		if n == server {
			k.killServer()
		} else {
			k.kill()
		}
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	for n, a := range agents {
		if a.key == "" {
			continue
		}
		var x struct {
			ID string `json:"execution_id"`
		}
		if err := c.ask(whole, http.MethodPost, "/builder/graphs/"+readers[n]+"/execute", `{"input_data":{"Value":"nothing was kept"}}`, readers[n], &x); err != nil {
			t.Fatal(err) // the last kill may still be felt
		}
		if got := i.ended(x.ID).Outputs["Output"]; len(got) != 1 || !slices.Contains(a.kept, string(got[0])) {
			t.Errorf("%s has kept %s, not one of %v", a.name, got, a.kept)
		}
	}
	for _, status := range []string{"QUEUED", "RUNNING"} {
		if code, body := i.call(alice, http.MethodGet, "/api/v2/executions?include_nested=true&status="+status, nil); code != http.StatusOK || !bytes.Contains(body, []byte(`"executions":[]`)) {
			t.Errorf("%s are left: %d %.500s", status, code, body)
		}
	}
	if code := i.terminate(); code != 0 || len(i.processes()) != 0 {
		t.Errorf("exit code %d, and %v are left", code, i.processes())
	}
}

// killer chooses whom to kill. No plugin dies so often that its blocks would be blamed, or the plugin given up.
type killer struct {
	*instance
	*rand.Rand
	plugins map[string]int
	servers int
}

func (k *killer) kill() {
	switch roll := k.IntN(6); {
	case roll < 2 && k.servers < 2:
		k.killServer()
	case roll == 2:
		k.t.Log("kill Postgres: ", k.killAll("/bin/postgres -D "))
	default:
		name := []string{"logic", "data", "time"}[k.IntN(3)]
		if k.plugins[name]++; k.plugins[name] <= 2 {
			k.t.Log("kill plugin ", name, ": ", k.killAll("/plugins/"+name+"/"+name))
		}
	}
}

func (k *killer) killServer() {
	k.servers++
	k.t.Log("kill the server")
	if k.IntN(2) == 0 {
		k.killAll("/bin/postgres -D ")
		k.t.Log("and Postgres just before")
	}
	k.instance.kill()
	if k.IntN(2) == 0 { // else it meets those that are about to go
		eventually(k.t, "nothing outlives the server", func() bool { return len(k.processes()) == 0 })
	}
	k.start()
}

// crowd are clients who go on over whatever happens to the server.
type crowd struct {
	data  string
	token string
	seen  atomic.Int64 // events
}

func (c *crowd) address() string {
	raw, _ := os.ReadFile(filepath.Join(c.data, "server", "address"))
	return strings.TrimSpace(string(raw))
}

// ask asks until it is answered; refusals are errors.
func (c *crowd) ask(ctx context.Context, method, path, body, key string, into any) error {
	for {
		status, answer, err := c.once(ctx, method, path, body, key)
		switch {
		case err == nil && status == http.StatusOK:
			return json.Unmarshal(answer, into)
		case err == nil && status < 500 && status != http.StatusConflict:
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
	response, err := http.DefaultClient.Do(request)
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

// runAll executes an agent with each of its inputs, one after another, and checks what comes.
func (c *crowd) runAll(ctx context.Context, graph string, a *randomAgent) error {
	for n, inputs := range a.inputs {
		var x struct {
			ID string `json:"execution_id"`
		}
		key := graph + strconv.Itoa(n)
		if err := c.ask(ctx, http.MethodPost, "/builder/graphs/"+graph+"/execute", `{"input_data":`+inputs+`}`, key, &x); err != nil {
			return err
		}
		events, err := c.follow(ctx, x.ID)
		if err != nil {
			return fmt.Errorf("execution %s: %w", x.ID, err)
		}
		var d details
		if err := c.ask(ctx, http.MethodGet, "/executions/"+x.ID, "", "", &d); err != nil {
			return err
		}
		if err := a.check(n, &d, events); err != nil {
			return fmt.Errorf("execution %s: %w", x.ID, err)
		}
	}
	return nil
}

func (a *randomAgent) check(n int, d *details, events []event) error {
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

// follow reads an execution's events to its end, going on after the last one when the connection breaks.
func (c *crowd) follow(ctx context.Context, id string) ([]event, error) {
	var events []event
	for {
		err := c.listen(ctx, id, &events)
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
	conn, _, err := websocket.DefaultDialer.DialContext(ctx, "ws://"+c.address()+"/ws?user_id="+alice+"&token="+c.token, nil)
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
