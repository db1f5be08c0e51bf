package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/patchbay-io/patchbay/core/block"
)

// version puts a version of a plugin where an installed one lies.
func version(t testing.TB, dir, name, version string) Installation {
	t.Helper()
	i := Installation{Name: name, Folder: filepath.Join(dir, name, version)}
	if err := os.MkdirAll(i.Folder, 0o755); err != nil {
		t.Fatal(err)
	}
	manifest := fmt.Sprintf(`{"name":%q,"version":%q,"protocol":1}`, name, version)
	if err := os.WriteFile(filepath.Join(i.Folder, manifestName), []byte(manifest), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(filepath.Join(built, "testplugin"), filepath.Join(i.Folder, name)); err != nil {
		t.Fatal(err)
	}
	return i
}

func (h *testHost) load(i Installation) (gone <-chan struct{}) {
	h.t.Helper()
	gone, err := h.Load(context.Background(), i, 0)
	if err != nil {
		h.t.Fatal(err)
	}
	return gone
}

// held begins a run of many outputs that cannot end before release is called.
func (h *testHost) held(r Run) (results <-chan Result, outputs *atomic.Int32, release func()) {
	h.t.Helper()
	running, free, done := make(chan struct{}), make(chan struct{}), make(chan Result, 1)
	outputs = &atomic.Int32{}
	r.Block, r.Input, r.Streaming = blockEmit, json.RawMessage(`{"n":1000}`), true
	r.Output = func(string, json.RawMessage) error {
		if outputs.Add(1) == 1 {
			close(running)
			<-free
		}
		return nil
	}
	go func() {
		result, _ := h.doRun(context.Background(), r)
		done <- result
	}()
	<-running
	return done, outputs, sync.OnceFunc(func() { close(free) })
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestReplacedPluginFinishesWhatItBegan(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var changed atomic.Int32
	h := startHost(t, Config{
		Installed: []Installation{version(t, dir, "good", "1.0.0")}, Changed: func() { changed.Add(1) },
	}, testPace())
	before := h.status("good").PID
	results, outputs, release := h.held(Run{})
	defer release()
	alone, aloneOutputs, releaseAlone := h.held(Run{Isolated: true})
	defer releaseAlone()

	gone := h.load(version(t, dir, "good", "2.0.0"))
	now := h.status("good")
	if now.Version != "2.0.0" || now.State != Ready || now.PID == before || len(now.Outgoing) != 1 || now.Outgoing[0] != before {
		t.Errorf("status %+v, before %d", now, before)
	}
	if b, ok := h.Block(blockEcho); !ok || b.Plugin != (block.Plugin{Name: "good", Version: "2.0.0"}) {
		t.Errorf("block %+v", b)
	}
	if changed.Load() != 1 {
		t.Errorf("told of %d changes", changed.Load())
	}
	if got := h.mustDo(blockReport, `{}`); !strings.Contains(got[0], fmt.Sprintf(`"pid":%d,`, now.PID)) {
		t.Errorf("a new run is in another process than %d: %s", now.PID, got)
	}
	release()
	if r := await(t, results); r.Err != nil || r.Crashed != nil || outputs.Load() != 1000 {
		t.Errorf("the run in the old process: %+v after %d outputs", r, outputs.Load())
	}
	eventually(t, "the old process's end", func() bool { return !alive(before) })
	if isClosed(gone) {
		t.Error("a run alone in a process of the old version is forgotten")
	}
	releaseAlone()
	if r := await(t, alone); r.Err != nil || r.Crashed != nil || aloneOutputs.Load() != 1000 {
		t.Errorf("the run alone: %+v after %d outputs", r, aloneOutputs.Load())
	}
	<-gone
	if got := h.status("good"); len(got.Outgoing) != 0 || got.State != Ready || got.PID != now.PID {
		t.Errorf("status %+v", got)
	}
}

func TestReplacedPluginIsNotWaitedForWithoutEnd(t *testing.T) {
	t.Parallel()
	pace := testPace()
	pace.drain, pace.stop = 100*time.Millisecond, 100*time.Millisecond
	dir := t.TempDir()
	h := startHost(t, Config{Installed: []Installation{version(t, dir, "good", "1.0.0")}}, pace)
	results := h.started(t.Context(), Run{Block: blockWait, Input: json.RawMessage(`{}`)})
	alone := h.started(t.Context(), Run{Block: blockWait, Input: json.RawMessage(`{}`), Isolated: true})
	<-h.load(version(t, dir, "good", "2.0.0"))
	for _, result := range []<-chan Result{results, alone} {
		if r := await(t, result); r.Crashed == nil {
			t.Errorf("a run of the old version: %+v", r)
		}
	}
	h.mustDo(blockEcho, `{"value":1}`)
}

func TestPluginThatIsLoadedAgainHasTheSettingsOfThen(t *testing.T) {
	t.Parallel()
	settings := atomic.Pointer[map[string]string]{}
	settings.Store(&map[string]string{"token": "first"})
	wrong := errors.New("line 3: no such thing")
	good := version(t, t.TempDir(), "good", "1.0.0-needy")
	h := startHost(t, Config{Installed: []Installation{good}, Settings: func(string) (map[string]string, error) {
		if now := settings.Load(); now != nil {
			return *now, nil
		}
		return nil, wrong
	}}, testPace())
	before := h.status("good").PID
	has := func(token string) {
		t.Helper()
		if got := h.mustDo(blockSettings, `{}`); got[0] != `"`+token+` http://default"` {
			t.Errorf("%v, want %s", got, token)
		}
	}
	settings.Store(&map[string]string{"token": "second"})
	has("first")
	gone := h.load(good)
	has("second")
	<-gone
	if now := h.status("good"); now.PID == before {
		t.Errorf("it is in process %d as before", before)
	}
	settings.Store(nil)
	if _, err := h.Load(t.Context(), good, 0); !errors.Is(err, wrong) {
		t.Errorf("settings that cannot be read: %v", err)
	}
	has("second")
}

func TestPluginThatLacksASettingWaitsForIt(t *testing.T) {
	t.Parallel()
	settings := atomic.Pointer[map[string]string]{}
	settings.Store(&map[string]string{})
	dir := t.TempDir()
	h := startHost(t, Config{Settings: func(string) (map[string]string, error) { return *settings.Load(), nil }}, testPace())
	h.load(version(t, dir, "good", "1.0.0-needy"))
	const text = `needs the setting "token": set PATCHBAY_PLUGIN_GOOD_TOKEN`
	if got := h.status("good"); got.State != Failed || !strings.Contains(got.Error, text) {
		t.Errorf("status %+v", got)
	}
	if r, _ := h.do(blockSettings, `{}`); r.Err == nil || !strings.Contains(r.Err.GetMessage(), text) {
		t.Errorf("its block: %+v", r)
	}
	second := version(t, dir, "good", "2.0.0-needy")
	h.load(second) // nothing serves that it could take the place of
	if got := h.status("good"); got.State != Failed || got.Version != "2.0.0-needy" {
		t.Errorf("status %+v", got)
	}
	settings.Store(&map[string]string{"token": "x"})
	h.load(second)
	if got := h.mustDo(blockSettings, `{}`); got[0] != `"x http://default"` {
		t.Errorf("%v", got)
	}
	if advice := h.Advice(blockSettings); advice != "" {
		t.Errorf("%q is told of a block that is there", advice)
	}
}

func TestPluginThatFailsReplacesNone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	h := startHost(t, Config{Dirs: []string{install(t, "raw_a")}, Installed: []Installation{version(t, dir, "good", "1.0.0")}}, testPace())
	before := h.status("good")
	blocks := h.Blocks()
	broken := version(t, dir, "good", "3.0.0")
	if err := os.Remove(filepath.Join(broken.Folder, "good")); err != nil {
		t.Fatal(err)
	}
	for version, want := range map[*Installation]string{
		{Name: "good", Folder: version(t, dir, "good", "2.0.0-crash").Folder}:      "no licence found",
		{Name: "good", Folder: version(t, dir, "good", "2.0.0-needy").Folder}:      `needs the setting "token"`,
		{Name: "good", Folder: version(t, dir, "good", "2.0.0-shortlived").Folder}: "out of luck",
		{Name: "second", Folder: version(t, dir, "second", "2.0.0-twin").Folder}:   "plugin good offers",
		&broken:                              "and there is no ",
		{Name: "other", Folder: before.Path}: "not a directory",
		{Name: "other", Folder: filepath.Dir(before.Path)}: `is not "other"`,
	} {
		probation := time.Duration(0)
		if strings.HasSuffix(version.Folder, "shortlived") {
			probation = time.Minute
		}
		if _, err := h.Load(context.Background(), *version, probation); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v does not tell %q", *version, err, want)
		}
	}
	if got := h.status("good"); got.PID != before.PID || got.State != Ready || got.Version != "1.0.0" || len(got.Outgoing) != 0 {
		t.Errorf("status %+v", got)
	}
	if &blocks[0] != &h.Blocks()[0] {
		t.Error("there are other blocks")
	}
	h.mustDo(blockEcho, `{"value":1}`)
}

func TestPluginsComeAndGoWhileRunsGoOn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	versions := []Installation{version(t, dir, "good", "1.0.0"), version(t, dir, "good", "2.0.0")}
	h := startHost(t, Config{Installed: versions[:1]}, testPace())
	var callers sync.WaitGroup
	stop := make(chan struct{})
	var runs atomic.Int32
	for i := range 4 {
		callers.Go(func() {
			for !isClosed(stop) {
				result, outputs := h.doRun(context.Background(), Run{Block: blockEcho, Input: json.RawMessage(`{"value":7}`), Isolated: i == 0})
				if result.Err != nil || result.Crashed != nil || len(outputs) != 1 {
					t.Errorf("run failed: %v %+v %v", result.Err, result.Crashed, outputs)
					return
				}
				runs.Add(1)
			}
		})
	}
	for i := range 4 {
		seen := runs.Load()
		h.load(versions[(i+1)%2])
		eventually(t, "runs in the new process", func() bool { return runs.Load() > seen+20 || t.Failed() })
	}
	close(stop)
	callers.Wait()
}

func TestRunsThatWaitForAReplacedPluginGoToTheNewOne(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := testPace()
	p.backoffMin, p.backoffMax = p.restart, p.restart // it will not be back in time
	h := startHost(t, Config{Installed: []Installation{version(t, dir, "good", "1.0.0")}}, p)
	if r, _ := h.do(blockExit, `{"n":5}`); r.Crashed == nil {
		t.Fatalf("%+v", r)
	}
	eventually(t, "its end", func() bool { return h.status("good").State == Restarting })
	results := make(chan Result, 1)
	go func() {
		r, _ := h.do(blockEcho, `{"value":1}`)
		results <- r
	}()
	h.load(version(t, dir, "good", "2.0.0"))
	if r := await(t, results); r.Err != nil || r.Crashed != nil {
		t.Errorf("%+v", r)
	}
}

func TestUnloadedPluginTakesItsBlocksAlong(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	good := version(t, dir, "good", "1.0.0")
	h := startHost(t, Config{Dirs: []string{install(t, "raw_a", "idp")}, Installed: []Installation{good}}, testPace())
	if _, ok := h.Unload("nobody"); ok {
		t.Error("somebody was unloaded")
	}
	results, outputs, release := h.held(Run{})
	defer release()
	gone, ok := h.Unload("good")
	if !ok {
		t.Fatal("it is not there")
	}
	if _, ok := h.Block(blockEcho); ok || len(h.Blocks()) != 1 {
		t.Errorf("blocks are left: %v", h.Blocks())
	}
	if r, _ := h.do(blockEcho, `{}`); r.Err == nil || !strings.Contains(r.Err.GetMessage(), "no installed plugin") {
		t.Errorf("a run after it: %+v", r)
	}
	if isClosed(gone) {
		t.Error("its run was not waited for")
	}
	release()
	if r := await(t, results); r.Err != nil || r.Crashed != nil || outputs.Load() != 1000 {
		t.Errorf("its last run: %+v", r)
	}
	<-gone
	providers := len(h.Providers())
	if _, ok := h.Unload("idp"); !ok || len(h.Providers()) >= providers {
		t.Errorf("%d providers of %d are left", len(h.Providers()), providers)
	}
	h.load(good)
	h.mustDo(blockEcho, `{"value":1}`)
}

func TestBrokenPluginIsMendedByAnotherVersion(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	h := startHost(t, Config{Installed: []Installation{version(t, dir, "good", "1.0.0-crash"), {Name: "lost", Folder: dir}}}, testPace())
	if got := h.status("good"); got.State == Ready {
		t.Errorf("status %+v", got)
	}
	h.load(version(t, dir, "good", "2.0.0"))
	h.load(version(t, dir, "lost", "2.0.0-shortlived"))
	if got := h.Plugins(); len(got) != 2 || got[0].State != Ready {
		t.Errorf("%+v", got)
	}
	h.mustDo(blockEcho, `{"value":1}`)
}

func TestHostThatDoesNotRunLoadsNothing(t *testing.T) {
	t.Parallel()
	good := version(t, t.TempDir(), "good", "1.0.0-needy")
	h, err := New(Config{RuntimeDir: runtimeFolder(t)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Load(context.Background(), good, 0); err == nil {
		t.Error("loaded before the start")
	}
	h.Close()
	if _, err := h.Load(context.Background(), good, 0); err == nil {
		t.Error("loaded after the end")
	}
}

func TestClosedHostCutsOffWhatAReplacedPluginRuns(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	h := startHost(t, Config{Installed: []Installation{version(t, dir, "good", "1.0.0")}}, testPace())
	results := h.started(context.Background(), Run{Block: blockWait, Input: json.RawMessage(`{}`)})
	h.load(version(t, dir, "good", "2.0.0"))
	h.Close()
	if r := await(t, results); r.Crashed == nil || r.Crashed.Alone {
		t.Errorf("%+v", r)
	}
}
