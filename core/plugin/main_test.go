package plugin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"github.com/patchbay-io/patchbay/core/plugin/isolation"
	"github.com/patchbay-io/patchbay/sdk/proto"
)

// hostProcess makes the test binary a host that starts one plugin and waits to be killed.
const hostProcess = "PATCHBAY_TEST_HOST"

// unprivileged is set for a test binary that runs as an ordinary user: the folder of the test plugins.
const unprivileged = "PATCHBAY_TEST_UNPRIVILEGED"

// built is the folder of the test plugins' executables.
var built string

func TestMain(m *testing.M) {
	if dirs := os.Getenv(hostProcess); dirs != "" {
		beHost(strings.Split(dirs, ":"))
		return
	}
	if built = os.Getenv(unprivileged); built != "" { // made by another user
		os.Exit(m.Run())
	}
	var err error
	if built, err = os.MkdirTemp("", "testplugins"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	build := exec.Command("go", "build", "-o", built, "./testdata/testplugin", "./testdata/rawplugin")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the test plugins: %v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(built)
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// Ids of the test plugin's blocks.
const (
	blockEcho        = "aaaaaaaa-0000-4000-8000-000000000001"
	blockEmit        = "aaaaaaaa-0000-4000-8000-000000000002"
	blockWait        = "aaaaaaaa-0000-4000-8000-000000000003"
	blockStubborn    = "aaaaaaaa-0000-4000-8000-000000000004"
	blockExit        = "aaaaaaaa-0000-4000-8000-000000000005"
	blockPanic       = "aaaaaaaa-0000-4000-8000-000000000006"
	blockPrint       = "aaaaaaaa-0000-4000-8000-000000000007"
	blockGrandchild  = "aaaaaaaa-0000-4000-8000-000000000008"
	blockReport      = "aaaaaaaa-0000-4000-8000-000000000009"
	blockFail        = "aaaaaaaa-0000-4000-8000-000000000010"
	blockNothing     = "aaaaaaaa-0000-4000-8000-000000000011"
	blockSettings    = "aaaaaaaa-0000-4000-8000-000000000012"
	blockContext     = "aaaaaaaa-0000-4000-8000-000000000013"
	blockKeys        = "aaaaaaaa-0000-4000-8000-000000000014"
	blockCredentials = "aaaaaaaa-0000-4000-8000-000000000015"
	blockLeak        = "aaaaaaaa-0000-4000-8000-000000000016"
	blockAttack      = "aaaaaaaa-0000-4000-8000-000000000017"
	blockBreed       = "aaaaaaaa-0000-4000-8000-000000000018"
	blockDevour      = "aaaaaaaa-0000-4000-8000-000000000019"
	blockShortlived  = "cccccccc-0000-4000-8000-000000000001"
	blockRaw         = "bbbbbbbb-0000-4000-8000-000000000001"
)

// install makes a plugins folder with plugins of the given names: the raw one if they begin so.
func install(t testing.TB, names ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "plugins")
	for _, name := range names {
		put(t, dir, name, fmt.Sprintf(`{"name":%q,"version":"1.0.0","protocol":1,"auto_mtls":%t}`, name, strings.HasSuffix(name, "_mtls")))
		program := "testplugin"
		if strings.HasPrefix(name, "raw") {
			program = "rawplugin"
		}
		if err := os.Link(filepath.Join(built, program), filepath.Join(dir, name, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// put writes a manifest.
func put(t testing.TB, dir, name, manifest string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name, manifestName), []byte(manifest), 0o644); err != nil {
		t.Fatal(err)
	}
}

// logs is what a host logged.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

type testHost struct {
	*Host
	t   testing.TB
	log *logs
}

// runtimeFolder is short enough for sockets, and gone after the test.
func runtimeFolder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pbrun")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func testPace() pace {
	p := defaultPace
	p.backoffMin = 10 * time.Millisecond
	p.cancel = 300 * time.Millisecond
	return p
}

func startHost(t testing.TB, config Config, p pace) *testHost {
	t.Helper()
	out := &logs{}
	config.Logger = hclog.New(&hclog.LoggerOptions{Level: hclog.Debug, Output: out})
	if config.RuntimeDir == "" {
		config.RuntimeDir = runtimeFolder(t)
	}
	h, err := newHost(config, p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		pids := h.pids()
		h.Close()
		for _, pid := range pids {
			if alive(pid) {
				t.Errorf("process %d is left", pid)
			}
		}
		if left, _ := filepath.Glob(filepath.Join(config.RuntimeDir, "*")); len(left) > 0 {
			t.Errorf("left in the runtime folder: %v", left)
		}
		if t.Failed() {
			t.Log(out.String())
		}
	})
	if err := h.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	return &testHost{h, t, out}
}

func start(t testing.TB, names ...string) *testHost {
	t.Helper()
	return startHost(t, Config{Dirs: []string{install(t, names...)}}, testPace())
}

func (h *Host) pids() (pids []int) {
	for _, st := range h.Plugins() {
		if st.PID != 0 {
			pids = append(pids, st.PID)
		}
		pids = append(pids, st.Outgoing...)
	}
	return pids
}

func (h *testHost) status(name string) Status {
	h.t.Helper()
	for _, st := range h.Plugins() {
		if st.Name == name {
			return st
		}
	}
	h.t.Fatalf("there is no plugin %q", name)
	return Status{}
}

// do runs a block and gives the outputs too.
func (h *testHost) do(block, input string) (Result, []string) {
	h.t.Helper()
	return h.doRun(context.Background(), Run{Block: block, Input: json.RawMessage(input)})
}

func (h *testHost) doRun(ctx context.Context, r Run) (Result, []string) {
	var outputs []string
	r.Context = &proto.RunContext{NodeExecutionId: "node-execution-1", Attempt: 2}
	if r.Output == nil {
		r.Output = func(_ string, v json.RawMessage) error {
			outputs = append(outputs, string(v))
			return nil
		}
	}
	result := h.Run(ctx, r)
	return result, outputs
}

func (h *testHost) mustDo(block, input string) []string {
	h.t.Helper()
	result, outputs := h.do(block, input)
	if result.Err != nil || result.Crashed != nil {
		h.t.Fatalf("run failed: %v %+v", result.Err, result.Crashed)
	}
	return outputs
}

// started runs a block, as a streaming one, in the background and returns when its first output has come.
func (h *testHost) started(ctx context.Context, r Run) (result <-chan Result) {
	h.t.Helper()
	results := make(chan Result, 1)
	running := make(chan struct{}, 1)
	r.Streaming = true
	r.Output = func(string, json.RawMessage) error {
		running <- struct{}{}
		return nil
	}
	go func() {
		res, _ := h.doRun(ctx, r)
		results <- res
	}()
	select {
	case <-running:
	case res := <-results:
		h.t.Fatalf("the run ended before it began: %v %+v", res.Err, res.Crashed)
	case <-time.After(20 * time.Second):
		h.t.Fatal("the run does not begin")
	}
	return results
}

func await(t testing.TB, results <-chan Result) Result {
	t.Helper()
	select {
	case r := <-results:
		return r
	case <-time.After(20 * time.Second):
		t.Fatal("the run does not end")
		return Result{}
	}
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

// alive says whether a process runs; one that is dead and not reaped does not.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return !errors.Is(err, os.ErrNotExist) && syscall.Kill(pid, 0) == nil
	}
	_, rest, _ := bytes.Cut(stat, []byte(") "))
	return len(rest) > 0 && rest[0] != 'Z'
}

// takesAlong says whether the system ends what a plugin has started with it, whoever ends that.
func takesAlong(t testing.TB) bool {
	t.Helper()
	launcher, err := NewLauncher(Config{RuntimeDir: runtimeFolder(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer launcher.Close()
	return slices.ContainsFunc(launcher.Isolation(), func(f isolation.Feature) bool { return f.Have && f.Name == "what plugins start" })
}

// beHost is the main function of a host process: it prints the ids of its plugins' processes, and of
// one that a plugin has started.
func beHost(dirs []string) {
	h, err := New(Config{Dirs: dirs[:1], RuntimeDir: dirs[1]})
	if err == nil {
		err = h.Start(context.Background())
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for _, pid := range h.pids() {
		fmt.Println(pid)
	}
	h.Run(context.Background(), Run{Block: blockGrandchild, Input: json.RawMessage(`{"text":"escape"}`), Output: func(_ string, v json.RawMessage) error {
		fmt.Println(string(v))
		return nil
	}})
	_, _ = io.Copy(io.Discard, os.Stdin)
}
