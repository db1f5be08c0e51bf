package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/patchbay-io/patchbay/core/server/servertest"
)

// The tests of this file's package are those of the whole: the real binary with its plugins and its own Postgres, over
// REST and WebSocket.

const (
	secret = servertest.Secret
	alice  = servertest.Alice
	bob    = "00000000-0000-4000-8000-00000000000b"
)

var (
	binary  string
	plugins string
)

func TestMain(m *testing.M) { os.Exit(withBinaries(m)) }

// withBinaries builds what make build does.
func withBinaries(m *testing.M) int {
	dir, err := os.MkdirTemp("", "patchbay-e2e-")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if binary, plugins, err = servertest.Build(dir); err != nil {
		log.Print(err)
		return 1
	}
	return m.Run()
}

func build(output, target string) error { return servertest.Go("../..", "-o", output, target) }

// instance is a server on a data folder. It can be killed and started again.
type instance struct {
	t    *testing.T
	data string
	env  []string
	cmd  *exec.Cmd
	log  *os.File
	base string
}

// newInstance makes a data folder that an unprivileged Postgres can reach, also if the tests run as root.
func newInstance(t *testing.T, env ...string) *instance {
	t.Helper()
	dir, err := os.MkdirTemp("", "patchbay-data-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	i := &instance{t: t, data: filepath.Join(dir, "data")}
	i.env = servertest.Environment(dir, i.data, plugins, env...)
	if i.log, err = os.Create(filepath.Join(dir, "log")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		i.kill()
		eventually(t, "the processes of the server are gone", func() bool { return len(i.processes()) == 0 })
		if t.Failed() {
			text, _ := os.ReadFile(i.log.Name())
			t.Logf("log of the server:\n%s", text[max(0, len(text)-8000):])
		}
		_ = i.log.Close()
		_ = os.RemoveAll(dir)
	})
	return i
}

func startInstance(t *testing.T, env ...string) *instance {
	t.Helper()
	i := newInstance(t, env...)
	i.start()
	return i
}

func (i *instance) command(args ...string) *exec.Cmd {
	cmd := exec.Command(binary, args...)
	cmd.Env, cmd.Dir = i.env, filepath.Dir(i.data)
	return cmd
}

// start starts the server and waits for its readiness, which it returns the time of.
func (i *instance) start() time.Duration {
	i.t.Helper()
	address := filepath.Join(i.data, "server", "address")
	_ = os.Remove(address)
	i.cmd = i.command("serve")
	i.cmd.Stdout, i.cmd.Stderr = i.log, i.log
	began := time.Now()
	if err := i.cmd.Start(); err != nil {
		i.t.Fatal(err)
	}
	eventually(i.t, "the server is ready", func() bool {
		raw, err := os.ReadFile(address)
		if err != nil {
			return false
		}
		i.base = "http://" + strings.TrimSpace(string(raw))
		response, err := http.Get(i.base + "/readyz")
		if err != nil {
			return false
		}
		_ = response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
	return time.Since(began)
}

func (i *instance) kill() {
	if i.cmd != nil {
		_ = i.cmd.Process.Kill()
		_ = i.cmd.Wait()
		i.cmd = nil
	}
}

// terminate asks the server to stop and returns its exit code.
func (i *instance) terminate() int {
	i.t.Helper()
	if err := i.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		i.t.Fatal(err)
	}
	err := i.cmd.Wait()
	i.cmd = nil
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		i.t.Fatal(err)
	}
	if exit != nil {
		return exit.ExitCode()
	}
	return 0
}

// processes are those that work in the data folder, by their command lines: Postgres and plugins.
func (i *instance) processes() map[int]string { return servertest.Processes(i.data) }

// killAll kills the processes whose command line holds a text, and says how many those were.
func (i *instance) killAll(part string) int { return servertest.KillAll(i.data, part) }

func token(t *testing.T, user string) string { return servertest.Token(t, user) }

// call sends a request as a user, as nobody for "", and returns the status and the body.
func (i *instance) call(user, method, path string, body []byte, headers ...string) (int, []byte) {
	i.t.Helper()
	status, answer, err := i.try(user, method, path, body, headers...)
	if err != nil {
		i.t.Fatal(err)
	}
	return status, answer
}

func (i *instance) try(user, method, path string, body []byte, headers ...string) (int, []byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, i.base+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	if user != "" {
		request.Header.Set("Authorization", "Bearer "+token(i.t, user))
	}
	request.Header.Set("Content-Type", "application/json")
	for n := 0; n+1 < len(headers); n += 2 {
		request.Header.Set(headers[n], headers[n+1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	return response.StatusCode, answer, err
}

// create stores a graph and returns its id.
func (i *instance) create(document []byte) string {
	i.t.Helper()
	status, body := i.call(alice, http.MethodPost, "/api/v2/builder/graphs", document)
	var g struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(body, &g); err != nil || status != http.StatusCreated {
		i.t.Fatalf("create graph: %d %s", status, body)
	}
	return g.ID
}

type details struct {
	ID      string                       `json:"id"`
	Status  string                       `json:"status"`
	Outputs map[string][]json.RawMessage `json:"outputs"`
	Error   *struct {
		Message string `json:"message"`
		NodeID  string `json:"node_id"`
	} `json:"error"`
	Stats struct {
		Completed int `json:"completed_nodes"`
	} `json:"stats"`
}

// execute starts an execution and returns its id.
func (i *instance) execute(graph, inputs string) string {
	i.t.Helper()
	status, body := i.call(alice, http.MethodPost, "/api/v2/builder/graphs/"+graph+"/execute", []byte(`{"input_data":`+inputs+`}`))
	var x struct {
		ID string `json:"execution_id"`
	}
	if err := json.Unmarshal(body, &x); err != nil || status != http.StatusOK {
		i.t.Fatalf("execute: %d %s", status, body)
	}
	return x.ID
}

// run executes and waits for the end within the same request.
func (i *instance) run(graph, inputs string) details {
	i.t.Helper()
	status, body := i.call(alice, http.MethodPost, "/api/v2/builder/graphs/"+graph+"/execute", []byte(`{"input_data":`+inputs+`}`), "Prefer", "wait=60")
	var d details
	if err := json.Unmarshal(body, &d); err != nil || status != http.StatusOK {
		i.t.Fatalf("run: %d %.2000s", status, body)
	}
	return d
}

// ended waits for the end of an execution, over whatever happens to the server meanwhile, for as long as it gets on.
func (i *instance) ended(id string) details {
	i.t.Helper()
	for completed := 0; ; {
		var d details
		over := false
		eventually(i.t, "execution "+id+" ends, or gets on", func() bool {
			status, body, err := i.try(alice, http.MethodGet, "/api/v2/executions/"+id, nil)
			if err != nil || status != http.StatusOK || json.Unmarshal(body, &d) != nil {
				return false
			}
			over = d.Status != "QUEUED" && d.Status != "RUNNING"
			return over || d.Stats.Completed > completed
		})
		if over {
			return d
		}
		completed = d.Stats.Completed
	}
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

// socket is a subscription to one execution.
type socket struct {
	t    *testing.T
	conn *websocket.Conn
}

func (i *instance) subscribe(id string, after int64) *socket {
	i.t.Helper()
	address := "ws" + strings.TrimPrefix(i.base, "http") + "/ws?user_id=" + alice + "&token=" + token(i.t, alice)
	conn, _, err := websocket.DefaultDialer.Dial(address, nil)
	if err != nil {
		i.t.Fatal(err)
	}
	i.t.Cleanup(func() { _ = conn.Close() })
	s := &socket{t: i.t, conn: conn}
	if err := conn.WriteJSON(map[string]any{"type": "subscribe", "execution_id": id, "after_seq": after}); err != nil {
		i.t.Fatal(err)
	}
	if first := s.next(); first.Type != "subscribed" {
		i.t.Fatalf("the answer to a subscription is %+v", first)
	}
	return s
}

func (s *socket) next() event {
	s.t.Helper()
	if err := s.conn.SetReadDeadline(time.Now().Add(60 * time.Second)); err != nil {
		s.t.Fatal(err)
	}
	var e event
	if err := s.conn.ReadJSON(&e); err != nil {
		s.t.Fatal(err)
	}
	return e
}

// until reads events up to the first one that meets a condition, that one included.
func (s *socket) until(met func(event) bool) []event {
	s.t.Helper()
	var events []event
	for {
		e := s.next()
		if e.Seq == 0 {
			continue // progress
		}
		events = append(events, e)
		if met(e) {
			return events
		}
	}
}

// story reads all events of an execution that has ended, and checks their numbers.
func (i *instance) story(id string) []event {
	i.t.Helper()
	events := i.subscribe(id, 0).until(event.last)
	for n, e := range events {
		if e.Seq != int64(n+1) {
			i.t.Fatalf("event %d of %s has the number %d", n+1, id, e.Seq)
		}
	}
	return events
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.NewTimer(60 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-deadline.C:
			t.Fatalf("did not happen: %s", what)
		case <-tick.C:
		}
	}
}
