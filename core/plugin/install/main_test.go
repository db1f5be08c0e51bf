package install

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"github.com/patchbay-io/patchbay/core/plugin"
	"github.com/patchbay-io/patchbay/sdk/proto"
)

// program is the test plugin of the host's tests: it takes its name and version from where it lies.
var program string

const (
	blockEcho = "aaaaaaaa-0000-4000-8000-000000000001"
	blockEmit = "aaaaaaaa-0000-4000-8000-000000000002"
	blockWait = "aaaaaaaa-0000-4000-8000-000000000003"
)

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "testplugins")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	program = filepath.Join(dir, "testplugin")
	if out, err := exec.Command("go", "build", "-ldflags", "-s -w", "-o", program, "../testdata/testplugin").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the test plugin: %v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// folder makes a folder with a plugin.
func folder(t testing.TB, name, version, more string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "source")
	if err := os.MkdirAll(filepath.Join(dir, "data"), 0o755); err != nil {
		t.Fatal(err)
	}
	manifest := fmt.Sprintf(`{"name":%q,"version":%q,"protocol":1%s}`, name, version, more)
	for file, text := range map[string]string{plugin.ManifestName: manifest, "data/words.txt": "one\ntwo\n"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("data/words.txt", filepath.Join(dir, "words")); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(program, filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// archive packs such a folder.
func archive(t testing.TB, name, version, more string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name+".tar.gz")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := pack(folder(t, name, version, more), file); err != nil {
		t.Fatal(err)
	}
	return path
}

// fixture is a server's part: a host and what installs for it.
type fixture struct {
	*Service
	t    testing.TB
	data string
	host *plugin.Host
}

func start(t testing.TB, data string, own ...string) *fixture {
	t.Helper()
	f := &fixture{t: t, data: data}
	store, err := Open(data)
	if err != nil {
		t.Fatal(err)
	}
	run, err := os.MkdirTemp("", "pbrun")
	if err != nil {
		t.Fatal(err)
	}
	log := hclog.New(&hclog.LoggerOptions{Level: hclog.Info, Output: testLog{t}})
	f.host, err = plugin.New(plugin.Config{
		Dirs: own, Disabled: store.Disabled(), Installed: store.Enabled(), Advice: store.Advice, Memory: store, RuntimeDir: run, Logger: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.host.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	f.Service = New(Config{Store: store, Host: f.host, Own: own, Logger: log})
	t.Cleanup(func() { f.stop(); _ = os.RemoveAll(run) })
	return f
}

type testLog struct{ testing.TB }

func (l testLog) Write(b []byte) (int, error) {
	l.Logf("%s", b)
	return len(b), nil
}

func (f *fixture) stop() {
	if f.Service != nil {
		f.Service.Close()
		f.host.Close()
		f.Service = nil
	}
}

func (f *fixture) stage(text string) *Package {
	f.t.Helper()
	source, err := ParseSource(text, "")
	if err != nil {
		f.t.Fatal(err)
	}
	p, err := f.Stage(context.Background(), source, Fetch{})
	if err != nil {
		f.t.Fatal(err)
	}
	return p
}

func (f *fixture) install(text string) *Plugin {
	f.t.Helper()
	p, err := f.Install(context.Background(), f.stage(text), true)
	if err != nil {
		f.t.Fatal(err)
	}
	return p
}

func (f *fixture) run(ctx context.Context, block, input string) (plugin.Result, int) {
	outputs := 0
	result := f.host.Run(ctx, plugin.Run{
		Block: block, Input: json.RawMessage(input), Context: &proto.RunContext{NodeExecutionId: "n"},
		Output: func(string, json.RawMessage) error { outputs++; return nil },
	})
	return result, outputs
}

func (f *fixture) mustRun() {
	f.t.Helper()
	if result, outputs := f.run(context.Background(), blockEcho, `{"value":1}`); result.Err != nil || result.Crashed != nil || outputs != 1 {
		f.t.Fatalf("run: %+v", result)
	}
}

// files are the names in the folder of plugins, two levels deep.
func (f *fixture) files() []string {
	f.t.Helper()
	return list(f.t, filepath.Join(f.data, "plugins"))
}

func list(t testing.TB, dir string) (names []string) {
	t.Helper()
	for _, pattern := range []string{"*", "*/*", ".*"} {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range found {
			name, _ := filepath.Rel(dir, path)
			names = append(names, name)
		}
	}
	return names
}

func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain for: %s", what)
		}
	}
}
