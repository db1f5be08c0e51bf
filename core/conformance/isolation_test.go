package conformance

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/patchbay-io/patchbay/core/plugin"
)

// mustIsolate is set where a system that lacks isolation is a failure.
const mustIsolate = "PATCHBAY_TEST_ISOLATION"

// names is a proxy that knows one host.
type names struct{}

func (names) Serve(ctx context.Context, l net.Listener) {
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Host != "names.example" {
			http.Error(w, "who is that", http.StatusBadGateway)
			return
		}
		_, _ = w.Write([]byte("Ada"))
	})}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	_ = server.Serve(l)
}

// What a plugin needs and has not asked for is missing under test as it is under a server, and the report says what to ask
// for. What it has asked for it has.
func TestPluginsHaveWhatTheyAskForAndNoMore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	launcher, err := plugin.NewLauncher(plugin.Config{RuntimeDir: filepath.Join(dir, "run")})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range launcher.Isolation() {
		if !f.Have && slices.Contains([]string{"files", "network"}, f.Name) {
			if os.Getenv(mustIsolate) != "" {
				t.Fatalf("the system lacks isolation of %s: %s", f.Name, f.Detail)
			}
			t.Skipf("the system lacks isolation of %s: %s", f.Name, f.Detail)
		}
	}
	launcher.Close()
	program := filepath.Join(dir, "curious")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./testdata/curious").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	file := filepath.Join(dir, "names.txt")
	if err := os.WriteFile(file, []byte("Ada"), 0o644); err != nil {
		t.Fatal(err)
	}
	files := fmt.Sprintf(`{"files": [{"path": %q}]}`, file)
	for name, test := range map[string]struct {
		permissions string
		failed      []string // checks
		advice      string   // of all of them
	}{
		"file":            {`{}`, []string{"examples"}, `"permissions": ` + files},
		"file_granted":    {files, nil, ""},
		"start":           {`{}`, []string{"server", "handshake"}, `"permissions": ` + files},
		"start_granted":   {files, nil, ""},
		"network":         {`{}`, []string{"examples"}, `"permissions": {"network": true}`},
		"network_granted": {`{"network": true}`, nil, ""},
		"sullen":          {`{}`, []string{"examples"}, `if that is a connection, it is the network: ask for it with "permissions": {"network": true}`},
		"sullen_granted":  {`{"network": true}`, []string{"examples"}, `if that is a file, ask for it with "permissions": {"files"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			name := "curious_" + name
			put(t, filepath.Join(dir, name), name, program, fmt.Sprintf(`{"name":%q,"version":"1.0.0","protocol":1,"auto_mtls":true,"permissions":%s}`, name, test.permissions))
			var failed []string
			ctx, enough := context.WithCancel(t.Context())
			defer enough()
			_, err := Run(ctx, Config{Folder: filepath.Join(dir, name), Host: plugin.Config{Proxy: names{}}, Report: func(r Result) {
				if r.Outcome == Failed {
					failed = append(failed, r.Check)
					if !strings.Contains(r.Advice, test.advice) {
						t.Errorf("%s: to do: %s, want %q in it\n%s", r.Check, r.Advice, test.advice, r.Detail)
					}
				}
				if r.Check == "examples" {
					enough()
				}
			}})
			if err != nil && !errors.Is(err, context.Canceled) || !slices.Equal(failed, test.failed) {
				t.Errorf("failed: %q, want %q; %v", failed, test.failed, err)
			}
		})
	}
}
