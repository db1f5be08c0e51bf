package cli

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreTopFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreTopFunction("net/http.(*persistConn).writeLoop"))
}

// The whole server in this process, so that the race detector and the leak detector see it: it starts without any
// plugin, answers, stops and leaves its folder to the next one.
func TestServeStartsAndStops(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "patchbay-serve-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil { // Postgres may run as another user
		t.Fatal(err)
	}
	data := filepath.Join(dir, "data")
	environ := []string{"PATCHBAY_DATA_DIR=" + data, "PATCHBAY_ADDR=0.0.0.0:0", "PATCHBAY_WS_ADDR=127.0.0.1:0",
		"PATCHBAY_PLUGIN_DIRS=" + filepath.Join(dir, "none"), "PATCHBAY_LOG_FORMAT=text"}
	for range 2 {
		serveOnce(t, environ, data)
	}
	code, out, problems := call(t, environ, "migrate", "status")
	if code != 0 || !strings.Contains(out, "applied 2") || strings.Contains(out, "pending") {
		t.Errorf("migrate status: %d %s %s", code, out, problems)
	}
	if code, out, problems := call(t, environ, "migrate", "down"); code != 0 || !strings.Contains(out, "took back") {
		t.Errorf("migrate down: %d %s %s", code, out, problems)
	}
	if code, out, problems := call(t, environ, "migrate", "up"); code != 0 || !strings.Contains(out, "applied 1") {
		t.Errorf("migrate up: %d %s %s", code, out, problems)
	}
}

func serveOnce(t *testing.T, environ []string, data string) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var out, log bytes.Buffer
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"patchbay", "serve"}, environ, terminal{out: &out, err: &log, program: "bin/patchbay"})
	}()
	deadline := time.After(time.Minute)
	for !ready(data) {
		select {
		case code := <-ended:
			t.Fatalf("it ended with %d:\n%s", code, log.String())
		case <-deadline:
			t.Fatal("it does not become ready")
		case <-time.After(20 * time.Millisecond):
		}
	}
	stop()
	if code := <-ended; code != 0 {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{"bin/patchbay --data-dir " + data + " token --user ", "/api/v2/builder/blocks", "ws://127.0.0.1:"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the greeting lacks %q:\n%s", want, out.String())
		}
	}
	for _, want := range []string{"other machines can reach this server", "no plugin runs", "stopped"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, log.String())
		}
	}
}

func ready(data string) bool {
	address, err := os.ReadFile(filepath.Join(data, "server", "address"))
	if err != nil {
		return false
	}
	response, err := http.Get("http://" + strings.TrimSpace(string(address)) + "/readyz")
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode == http.StatusOK
}
