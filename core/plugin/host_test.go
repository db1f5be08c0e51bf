package plugin

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/patchbay-io/patchbay/core/block"
)

func TestPluginsAreStartedAndStoppedWhole(t *testing.T) {
	t.Parallel()
	h := start(t, "good", "raw_other", "shy_mtls")
	// good and shy_mtls offer the same blocks: the first name wins
	if got := h.status("good"); got.State != Ready || got.PID == 0 || got.Version != "1.0.0" {
		t.Errorf("status %+v", got)
	}
	if got := h.status("raw_other"); got.State != Ready {
		t.Errorf("status %+v", got)
	}
	if got := h.status("shy_mtls"); got.State != Failed || !strings.Contains(got.Error, "plugin good offers") {
		t.Errorf("status %+v", got)
	}
	b, ok := h.Block(blockEcho)
	if !ok || b.Name != "Echo" || b.Plugin != (block.Plugin{Name: "good", Version: "1.0.0"}) {
		t.Errorf("block %+v", b)
	}
	names := []string{}
	for _, b := range h.Blocks() {
		names = append(names, b.Name)
	}
	if !slices.IsSorted(names) || len(names) != 19 {
		t.Errorf("blocks %v", names)
	}
	h.Close() // twice is well
	if result, _ := h.do(blockEcho, `{"value":1}`); result.Crashed == nil || result.Crashed.Alone {
		t.Errorf("run on a closed host: %+v", result)
	}
}

func TestMutualTLSIsUsedWhereTheManifestDeclaresIt(t *testing.T) {
	t.Parallel()
	h := start(t, "good_mtls")
	if got := h.mustDo(blockEcho, `{"value":7}`); !slices.Equal(got, []string{"7"}) {
		t.Errorf("outputs %v", got)
	}
}

func TestBrokenPluginsAreNamedAndDoNoHarm(t *testing.T) {
	t.Parallel()
	dir := install(t, "good", "crash", "raw_stray", "raw_liar", "needy", "renamed")
	second := install(t, "good")
	put(t, dir, "nobinary", `{"name":"nobinary","version":"1.0.0","protocol":1}`)
	put(t, dir, "future", `{"name":"future","version":"1.0.0","protocol":2}`)
	put(t, dir, "garbage", `{"name":`)
	put(t, dir, "renamed", `{"name":"other","version":"1.0.0","protocol":1}`)
	if err := os.MkdirAll(filepath.Join(dir, "empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	h := startHost(t, Config{Dirs: []string{dir, second, filepath.Join(dir, "nowhere")}}, testPace())
	for name, want := range map[string][]string{
		"crash":     {"it ended before it answered: exit status 3", "no licence found"},
		"raw_stray": {"welcome to my plugin"},
		"raw_liar":  {"somebody_else", "2.0.0", "protocol version 7", "no-uuid", "Bad Name"},
		"needy":     {`needs the setting "token"`},
		"nobinary":  {"no file nobinary", "must be the same"},
		"future":    {"protocol 2"},
		"garbage":   {"plugin.json"},
		"renamed":   {`"other"`},
		"empty":     {"plugin.json"},
	} {
		got := h.status(name)
		for _, w := range want {
			if !strings.Contains(got.Error, w) {
				t.Errorf("%s: %s %q does not tell %q", name, got.State, got.Error, w)
			}
		}
		if got.State == Ready {
			t.Errorf("%s is ready", name)
		}
	}
	all := h.Plugins()
	if i := slices.IndexFunc(all, func(s Status) bool { return s.Name == "good" && strings.Contains(s.Error, "already in "+dir) }); i < 0 {
		t.Errorf("the second plugin of the same name is not told of: %+v", all)
	}
	if got := h.mustDo(blockEcho, `{"value":1}`); len(got) != 1 {
		t.Errorf("outputs %v", got)
	}
}

func TestHangingPluginIsKilledWhenItsStartTimeIsOver(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"hang", "raw_slow"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := testPace()
			p.start = p.start / 20
			h := startHost(t, Config{Dirs: []string{install(t, name)}}, p)
			if got := h.status(name); got.State == Ready || !strings.Contains(got.Error, "did not answer within 500ms") || got.PID != 0 {
				t.Errorf("status %+v", got)
			}
		})
	}
}

func TestSettingsReachThePlugin(t *testing.T) {
	t.Parallel()
	dir := install(t, "needy")
	h := startHost(t, Config{Dirs: []string{dir}, Settings: func(name string) (map[string]string, error) {
		return map[string]string{"token": name + "-secret", "colour": "red"}, nil
	}}, testPace())
	if got := h.status("needy"); got.State != Ready {
		t.Fatalf("status %+v", got)
	}
	if got := h.mustDo(blockSettings, `{}`); !slices.Equal(got, []string{`"needy-secret http://default"`}) {
		t.Errorf("the plugin got %v", got)
	}
	if !strings.Contains(h.log.String(), "colour") {
		t.Error("a setting that the plugin does not declare is not told of")
	}
}

func TestBuiltinBlocksAreListedAndTheirIdsAreReserved(t *testing.T) {
	t.Parallel()
	schema := json.RawMessage(`{"type":"object","properties":{}}`)
	own, err := block.New(block.Definition{ID: blockEcho, Name: "Own", Kind: block.Standard, InputSchema: schema, OutputSchema: schema})
	if err != nil {
		t.Fatal(err)
	}
	h := startHost(t, Config{Dirs: []string{install(t, "twin", "raw_a")}, Builtin: []*block.Block{own}}, testPace())
	if got := h.status("twin"); got.State != Failed || !strings.Contains(got.Error, "the core") {
		t.Errorf("status %+v", got)
	}
	if b, ok := h.Block(blockEcho); !ok || b != own || len(h.Blocks()) != 2 {
		t.Errorf("block %+v of %d", b, len(h.Blocks()))
	}
	if result, _ := h.do(blockEcho, `{}`); result.Err == nil {
		t.Error("a block of the core ran in a plugin")
	}
}

func TestPluginSeesOnlyWhatItIsGiven(t *testing.T) {
	t.Setenv("PATCHBAY_JWT_SECRET", "sesame")
	t.Setenv("SSL_CERT_DIR", "/etc/certs")
	t.Setenv("TZ", "Asia/Tokyo")
	h := start(t, "good")
	var got struct {
		PID, Stdin int
		Env, Args  []string
		Dir        string
	}
	if err := json.Unmarshal([]byte(h.mustDo(blockReport, `{}`)[0]), &got); err != nil {
		t.Fatal(err)
	}
	if group, err := syscall.Getpgid(got.PID); err != nil || group == syscall.Getpgrp() || got.PID != h.status("good").PID {
		t.Errorf("process %d in group %d: %v", got.PID, group, err)
	}
	if got.Stdin != 0 {
		t.Error("standard input is not empty")
	}
	if len(got.Args) != 1 || !strings.HasSuffix(got.Args[0], "/plugins/good/good") {
		t.Errorf("arguments %v", got.Args)
	}
	if info, err := os.Stat(got.Dir); err != nil || info.Mode().Perm() != 0o700 || !strings.HasPrefix(got.Dir, h.config.RuntimeDir) {
		t.Errorf("working folder %s: %v %v", got.Dir, info, err)
	}
	allowed := []string{"PATH", "HOME", "TMPDIR", "LANG", "TZ", "SSL_CERT_DIR", "SSL_CERT_FILE"}
	for _, v := range got.Env {
		name, value, _ := strings.Cut(v, "=")
		if !slices.Contains(allowed, name) && !strings.HasPrefix(name, "PLUGIN_") {
			t.Errorf("the plugin sees %s", v)
		}
		if (name == "HOME" || name == "TMPDIR") && !strings.HasPrefix(value, got.Dir) {
			t.Errorf("%s is not private", v)
		}
	}
	for _, want := range []string{"SSL_CERT_DIR=/etc/certs", "TZ=Asia/Tokyo"} {
		if !slices.Contains(got.Env, want) {
			t.Errorf("the plugin does not see %s", want)
		}
	}
}

func TestLongRuntimeFolderIsNoObstacle(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("the way round it is Linux's")
	}
	dir := filepath.Join(runtimeFolder(t), strings.Repeat("long", 30))
	h := startHost(t, Config{Dirs: []string{install(t, "good_mtls")}, RuntimeDir: dir}, testPace())
	if got := h.mustDo(blockEcho, `{"value":1}`); len(got) != 1 {
		t.Errorf("outputs %v", got)
	}
}

func TestLeftoversAreSweptAndForeignFilesAreNot(t *testing.T) {
	t.Parallel()
	dir := runtimeFolder(t)
	for _, d := range []string{processDirPrefix + "123", "mine"} {
		if err := os.MkdirAll(filepath.Join(dir, d, "sub"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	h, err := New(Config{RuntimeDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	h.Close()
	if got, _ := filepath.Glob(filepath.Join(dir, "*")); len(got) != 1 || filepath.Base(got[0]) != "mine" {
		t.Errorf("left: %v", got)
	}
}

func TestPluginDiesWithAHostThatIsKilled(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	dir := runtimeFolder(t)
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s:%s", hostProcess, install(t, "good", "raw_a"), dir))
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pids []int
	for lines := bufio.NewScanner(stdout); len(pids) < 3 && lines.Scan(); {
		pid, err := strconv.Atoi(lines.Text())
		if err != nil {
			t.Fatalf("host: %s", lines.Text())
		}
		pids = append(pids, pid)
	}
	if len(pids) != 3 || !alive(pids[0]) || !alive(pids[1]) || !alive(pids[2]) {
		t.Fatalf("plugins %v", pids)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	eventually(t, "the plugins' end", func() bool { return !alive(pids[0]) && !alive(pids[1]) })
	if takesAlong(t) { // without the next host's doing
		eventually(t, "the end of what a plugin had started", func() bool { return !alive(pids[2]) })
	}
	next, err := New(Config{RuntimeDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	if runtime.GOOS == "linux" {
		eventually(t, "the end of what a plugin had started", func() bool { return !alive(pids[2]) })
	}
}

func TestChangedIsCalledWhenALatePluginBringsItsBlocks(t *testing.T) {
	t.Parallel()
	dir := install(t, "crash", "good")
	late := filepath.Join(dir, "crash", "crash")
	var changed atomic.Int32
	h := startHost(t, Config{Dirs: []string{dir}, Changed: func() { changed.Add(1) }}, testPace())
	if changed.Load() != 0 {
		t.Error("called during the start")
	}
	other := filepath.Join(dir, "crash", "1.0.0", "good") // another name than its folder's
	if err := os.Mkdir(filepath.Dir(other), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(filepath.Join(built, "testplugin"), other); err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\nexec " + other + "\n"
	if err := os.WriteFile(late+".new", []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(late+".new", late); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the verdict", func() bool { return h.status("crash").State == Failed })
	if got := h.status("crash"); !strings.Contains(got.Error, "differs from the manifest") {
		t.Errorf("status %+v", got)
	}
}
