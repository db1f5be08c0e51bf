package server_test

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestServerLeavesNothing(t *testing.T) {
	i := newInstance(t) // not parallel, so that the log says how fast it starts
	t.Logf("first readiness after %s", i.start())
	if len(i.processes()) < 2 {
		t.Errorf("processes %v", i.processes())
	}
	if code := i.terminate(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if left := i.processes(); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	t.Logf("second readiness after %s", i.start())
	run := os.FileMode(0o700)
	if os.Geteuid() == 0 { // plugins, as users of their own, must get to what is theirs in it
		run = 0o711
	}
	for path, want := range map[string]os.FileMode{
		"": 0o711, "server": 0o700, "postgres": 0o700, "run": run, "lock": 0o600, "descriptions": 0o700, "descriptions/text": 0o600,
	} {
		info, err := os.Stat(filepath.Join(i.data, path))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v %v, want %v", path, info.Mode().Perm(), err, want)
		}
	}
}

// A running block may end within the grace period; one that takes longer goes on after the next start.
func TestGracefulStopHandsWorkBack(t *testing.T) {
	t.Parallel()
	i := startInstance(t, "PATCHBAY_SHUTDOWN_GRACE=500ms")
	graph := i.create(through(countdownBlock, "input_message", "output_message", map[string]any{"seconds": 3}))
	id := i.execute(graph, `{"Value":"later"}`)
	i.subscribe(id, 0).until(func(e event) bool { return e.Type == "node.started" && e.NodeID == "middle" })
	if code := i.terminate(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if left := i.processes(); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	i.start()
	if d := i.ended(id); d.Status != "COMPLETED" || string(d.Outputs["Output"][0]) != `"later"` {
		t.Errorf("ended %s with %s", d.Status, d.Outputs)
	}
}

func TestServerRefusesToStart(t *testing.T) {
	t.Parallel()
	i := startInstance(t)
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = busy.Close() })
	old := newInstance(t)
	if err := os.MkdirAll(filepath.Join(old.data, "postgres", "cluster"), 0o700); err != nil {
		t.Fatal(err)
	}
	version := filepath.Join(old.data, "postgres", "cluster", "PG_VERSION")
	if err := os.WriteFile(version, []byte("11\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		on   *instance
		env  []string
		want []string
	}{
		"a data folder in use":    {i, nil, []string{"running server (pid ", "PATCHBAY_DATA_DIR"}},
		"a busy port":             {newInstance(t), []string{"PATCHBAY_ADDR=" + busy.Addr().String()}, []string{busy.Addr().String(), "PATCHBAY_ADDR", "--addr"}},
		"a busy second port":      {newInstance(t), []string{"PATCHBAY_WS_ADDR=" + busy.Addr().String()}, []string{"PATCHBAY_WS_ADDR", "--ws-addr"}},
		"another version":         {old, nil, []string{"PostgreSQL 11 is needed", "untouched", "PATCHBAY_DATA_DIR"}},
		"keys that are not there": {newInstance(t), []string{"PATCHBAY_PLUGIN_KEYS=/none.pub"}, []string{"/none.pub"}},
		"a short secret":          {newInstance(t), []string{"PATCHBAY_JWT_SECRET=short"}, []string{"PATCHBAY_JWT_SECRET", "32"}},
		"a misspelt setting":      {newInstance(t), []string{"PATCHBAY_DATADIR=x"}, []string{"PATCHBAY_DATADIR", "PATCHBAY_DATA_DIR"}},
		"no such database":        {newInstance(t), []string{"PATCHBAY_DATABASE_URL=postgres://u:hidden@" + busy.Addr().String() + "/x?host=/nowhere"}, []string{"database"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := test.on.command("serve")
			cmd.Env = append(cmd.Env[:len(cmd.Env):len(cmd.Env)], test.env...)
			out, err := cmd.CombinedOutput()
			if err == nil {
				t.Fatalf("it started:\n%s", out)
			}
			if name == "keys that are not there" && strings.Contains(string(out), "starting Postgres") {
				t.Errorf("it says so after Postgres has started:\n%s", out)
			}
			for _, want := range test.want {
				if !strings.Contains(string(out), want) {
					t.Errorf("it does not say %q:\n%s", want, out)
				}
			}
			if strings.Contains(string(out), "hidden") {
				t.Errorf("it shows the password:\n%s", out)
			}
		})
	}
	if raw, err := os.ReadFile(version); err != nil || string(raw) != "11\n" {
		t.Errorf("the other version's folder was touched: %q %v", raw, err)
	}
	if status, _ := i.call(alice, http.MethodGet, "/readyz", nil); status != http.StatusOK {
		t.Errorf("the running server says %d", status)
	}
}

func TestHealthAndOddPathsHaveTheirEnvelopes(t *testing.T) {
	t.Parallel()
	i := startInstance(t)
	for _, test := range []struct {
		method, path string
		status       int
		code         string
	}{
		{http.MethodGet, "/healthz", 200, ""},
		{http.MethodGet, "/readyz", 200, ""},
		{http.MethodGet, "/openapi.json", 200, ""},
		{http.MethodPost, "/healthz", 405, "METHOD_NOT_ALLOWED"},
		{http.MethodGet, "/nothing", 404, "NOT_FOUND"},
		{http.MethodGet, "//healthz", 404, "NOT_FOUND"},
		{http.MethodGet, "/api/../healthz", 404, "NOT_FOUND"},
		{http.MethodGet, "/", 404, "NOT_FOUND"},
	} {
		status, body := i.call(alice, test.method, test.path, nil)
		var envelope struct {
			Error struct {
				Code string `json:"code"`
			} `json:"error"`
		}
		if err := json.Unmarshal(body, &envelope); err != nil || status != test.status || envelope.Error.Code != test.code {
			t.Errorf("%s %s: %d %s", test.method, test.path, status, body)
		}
	}
	if status, body := i.call(alice, http.MethodGet, "/metrics", nil); status != http.StatusOK ||
		!strings.Contains(string(body), `patchbay_plugin_up{plugin="logic"`) {
		t.Errorf("metrics: %d %.500s", status, body)
	}
}

// A plugin that can't start is named; the others work.
func TestBrokenPluginLeavesTheServerReady(t *testing.T) {
	t.Parallel()
	broken := t.TempDir()
	if err := os.MkdirAll(filepath.Join(broken, "broken"), 0o700); err != nil {
		t.Fatal(err)
	}
	manifest := `{"name":"broken","version":"1.0.0","protocol":1}`
	if err := os.WriteFile(filepath.Join(broken, "broken", "plugin.json"), []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	i := startInstance(t, "PATCHBAY_PLUGIN_DIRS="+plugins+","+broken)
	_, body := i.call(alice, http.MethodGet, "/readyz", nil)
	if !strings.Contains(string(body), `"broken"`) || !strings.Contains(string(body), `"failed"`) {
		t.Errorf("readyz does not name the broken plugin: %s", body)
	}
	graph := i.create(through(calculatorBlock, "a", "result", map[string]any{"operation": "Add", "b": 1}))
	if d := i.run(graph, `{"Value":1}`); d.Status != "COMPLETED" {
		t.Errorf("ended %s", d.Status)
	}
}
