package plugin

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	protobuf "google.golang.org/protobuf/proto"

	"github.com/patchbay-io/patchbay/sdk/proto"
)

// notes are a Memory.
type notes struct {
	mu   sync.Mutex
	kept map[string][]byte
}

func (n *notes) Remember(plugin string, what []byte) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.kept == nil {
		n.kept = map[string][]byte{}
	}
	n.kept[plugin] = what
	return nil
}

func (n *notes) Recall(plugin string) ([]byte, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.kept[plugin], nil
}

func (n *notes) known() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.kept)
}

// sleepy is the pace of a host of which all plugins are many.
func sleepy() pace {
	p := testPace()
	p.few, p.unused = 0, time.Hour
	return p
}

// installAlone makes a plugins folder that shares no file with other tests: links would touch them.
func installAlone(t *testing.T, names ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "plugins")
	var first string
	for _, name := range names {
		put(t, dir, name, fmt.Sprintf(`{"name":%q,"version":"1.0.0","protocol":1}`, name))
		path := filepath.Join(dir, name, name)
		if first != "" {
			if err := os.Link(first, path); err != nil {
				t.Fatal(err)
			}
			continue
		}
		first = path
		copyProgram(t, path)
	}
	return dir
}

func copyProgram(t *testing.T, to string) {
	t.Helper()
	from, err := os.Open(filepath.Join(built, "testplugin"))
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	into, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(into, from); err != nil {
		t.Fatal(err)
	}
	if err := into.Close(); err != nil {
		t.Fatal(err)
	}
}

// learn starts the plugins of a folder once.
func learn(t *testing.T, dir string, n int) *notes {
	t.Helper()
	kept := &notes{}
	h := startHost(t, Config{Dirs: []string{dir}, Memory: kept}, sleepy())
	for _, st := range h.Plugins() {
		if st.State != Ready {
			t.Errorf("status %+v", st)
		}
	}
	eventually(t, "the memory", func() bool { return kept.known() == n })
	h.Close()
	return kept
}

func TestRememberedPluginsSleepUntilTheyAreUsed(t *testing.T) {
	t.Parallel()
	var names []string
	for i := range 8 {
		names = append(names, fmt.Sprint("one_", i))
	}
	dir := installAlone(t, append(names, "idp")...)
	kept := learn(t, dir, 9)
	h := startHost(t, Config{Dirs: []string{dir}, Memory: kept}, sleepy())
	for _, st := range h.Plugins() {
		if st.State != Asleep || st.PID != 0 || st.Version != "1.0.0" || st.Description != "Misbehaves on demand" {
			t.Errorf("status %+v", st)
		}
	}
	if got := len(h.Blocks()); got != 8 {
		t.Errorf("%d blocks", got)
	}
	if p, ok := h.Provider("idp"); !ok || p.OAuth == nil || len(h.Descriptions()) != 9 {
		t.Errorf("provider %+v, %d descriptions", p, len(h.Descriptions()))
	}
	block := func(i int) string { return fmt.Sprintf("eeeeeeee-0000-4000-8000-%012d", i) }
	var runs sync.WaitGroup
	for range 5 { // one process for all
		runs.Go(func() {
			if r, outputs := h.do(block(3), `{"value":7}`); r.Err != nil || len(outputs) != 1 || outputs[0] != "7" {
				t.Errorf("%+v %v", r, outputs)
			}
		})
	}
	runs.Go(func() {
		_, err := h.Provide(context.Background(), ProviderCall{Call: &proto.ProviderCall{
			Provider: "idp", Operation: &proto.ProviderCall_AuthorizationUrl{AuthorizationUrl: &proto.AuthorizationUrl{State: "s", RedirectUri: "https://here.example/callback"}},
		}})
		if err != nil {
			t.Error(err)
		}
	})
	runs.Wait()
	for _, st := range h.Plugins() {
		used := st.Name == "one_3" || st.Name == "idp"
		if used != (st.State == Ready) || used != (st.PID != 0) || st.Restarts != 0 {
			t.Errorf("status %+v", st)
		}
	}
	if n := strings.Count(h.log.String(), "plugin is ready"); n != 2 {
		t.Errorf("%d processes were started", n)
	}
	if r, outputs := h.doRun(context.Background(), Run{Block: block(5), Input: json.RawMessage(`{"value":1}`), Isolated: true}); r.Err != nil || len(outputs) != 1 {
		t.Errorf("%+v %v", r, outputs)
	}
	if got := h.status("one_5"); got.State != Asleep {
		t.Errorf("a process for one run woke the plugin: %+v", got)
	}
}

func TestFewPluginsAreStartedBehindTheStart(t *testing.T) {
	t.Parallel()
	dir := installAlone(t, "good")
	kept := learn(t, dir, 1)
	h := startHost(t, Config{Dirs: []string{dir}, Memory: kept}, testPace())
	if _, ok := h.Block(blockEcho); !ok {
		t.Error("its blocks are not known")
	}
	eventually(t, "its start", func() bool { return h.status("good").State == Ready })
}

func TestWhatIsRememberedOfAnotherPluginIsNotTrusted(t *testing.T) {
	t.Parallel()
	edit := func(change func(*memorised)) func(*testing.T, string, *notes) {
		return func(t *testing.T, _ string, n *notes) {
			var m memorised
			if err := json.Unmarshal(n.kept["good"], &m); err != nil {
				t.Fatal(err)
			}
			change(&m)
			n.kept["good"], _ = json.Marshal(m)
		}
	}
	for name, change := range map[string]func(*testing.T, string, *notes){
		"touched": func(t *testing.T, dir string, _ *notes) {
			later := time.Now().Add(time.Minute)
			if err := os.Chtimes(filepath.Join(dir, "good", "good"), later, later); err != nil {
				t.Fatal(err)
			}
		},
		"same content, other file": func(t *testing.T, dir string, _ *notes) {
			path := filepath.Join(dir, "good", "good")
			copyProgram(t, path+"_")
			if err := os.Rename(path+"_", path); err != nil {
				t.Fatal(err)
			}
		},
		"another file": func(t *testing.T, dir string, _ *notes) {
			if err := os.WriteFile(filepath.Join(dir, "good", "data"), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		},
		"manifest": func(t *testing.T, dir string, _ *notes) {
			put(t, dir, "good", `{"name":"good","version":"1.0.0","protocol":1 }`)
		},
		"another host":     edit(func(m *memorised) { m.Host += "2" }),
		"another protocol": edit(func(m *memorised) { m.Protocol++ }),
		"garbled":          edit(func(m *memorised) { m.Description = m.Description[:len(m.Description)/2] }),
		"not allowed":      edit(func(m *memorised) { m.Description, _ = protobuf.Marshal(&proto.DescribeResponse{Name: "good"}) }),
		"no memory":        func(_ *testing.T, _ string, n *notes) { n.kept["good"] = []byte("{") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := installAlone(t, "good")
			kept := learn(t, dir, 1)
			change(t, dir, kept)
			h := startHost(t, Config{Dirs: []string{dir}, Memory: kept}, sleepy())
			if got := h.status("good"); got.State != Ready {
				t.Errorf("status %+v", got)
			}
			h.mustDo(blockEcho, `{"value":1}`)
		})
	}
}

func TestDigestsOfSleepingPluginsAreVerifiedWhenTheyAreStarted(t *testing.T) {
	t.Parallel()
	dir := installAlone(t, "good")
	i := Installation{Name: "good", Folder: filepath.Join(dir, "good"), Digests: map[string]string{}}
	for _, name := range []string{"good", manifestName} {
		f, err := os.Open(filepath.Join(i.Folder, name))
		if err != nil {
			t.Fatal(err)
		}
		if i.Digests[name], err = Digest(f); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	kept := &notes{}
	h := startHost(t, Config{Installed: []Installation{i}, Memory: kept}, sleepy())
	eventually(t, "the memory", func() bool { return kept.known() == 1 })
	h.Close()
	h = startHost(t, Config{Installed: []Installation{i}, Memory: kept}, sleepy())
	if got := h.status("good"); got.State != Asleep {
		t.Errorf("status %+v", got)
	}
	if err := os.WriteFile(filepath.Join(i.Folder, "data"), nil, 0o644); err != nil { // behind its back
		t.Fatal(err)
	}
	if r, _ := h.do(blockEcho, `{"value":1}`); !strings.Contains(r.Err.GetMessage(), "not among the files that were installed") {
		t.Errorf("%+v", r)
	}
	if got := h.status("good"); got.State != Failed || got.PID != 0 {
		t.Errorf("status %+v", got)
	}
	h.Close()
	other := i
	other.Digests = maps.Clone(i.Digests)
	other.Digests[manifestName] = strings.Replace(i.Digests[manifestName], "sha256:", "sha256:0", 1)
	if err := os.Remove(filepath.Join(i.Folder, "data")); err != nil {
		t.Fatal(err)
	}
	h = startHost(t, Config{Installed: []Installation{other}, Memory: kept}, sleepy())
	if got := h.status("good"); got.State != Failed || !strings.Contains(got.Error, "not what was installed") {
		t.Errorf("a changed digest is not noticed at the start: %+v", got)
	}
}

func TestWhatAPluginSaysCountsMoreThanWhatIsRemembered(t *testing.T) {
	t.Parallel()
	dir := installAlone(t, "good")
	kept := learn(t, dir, 1)
	var m memorised
	var d proto.DescribeResponse
	if json.Unmarshal(kept.kept["good"], &m) != nil || protobuf.Unmarshal(m.Description, &d) != nil {
		t.Fatal("the memory cannot be read")
	}
	for _, b := range d.GetBlocks() {
		b.Name = "Old " + b.GetName()
	}
	m.Description, _ = protobuf.Marshal(&d)
	kept.kept["good"], _ = json.Marshal(m)
	changed := make(chan struct{}, 1)
	h := startHost(t, Config{Dirs: []string{dir}, Memory: kept, Changed: func() { changed <- struct{}{} }}, sleepy())
	if b, ok := h.Block(blockEcho); !ok || b.Name != "Old Echo" {
		t.Errorf("block %+v", b)
	}
	h.mustDo(blockEcho, `{"value":1}`)
	<-changed
	if b, ok := h.Block(blockEcho); !ok || b.Name != "Echo" {
		t.Errorf("block %+v", b)
	}
	if !strings.Contains(h.log.String(), "describes itself otherwise") {
		t.Error("nobody is told")
	}
	eventually(t, "the new memory", func() bool {
		raw, _ := kept.Recall("good")
		return json.Unmarshal(raw, &m) == nil && protobuf.Unmarshal(m.Description, &d) == nil && d.GetBlocks()[0].GetName() == "Echo"
	})
}

func TestIdlePluginsFallAsleepAndNoRunIsLost(t *testing.T) {
	t.Parallel()
	p := sleepy()
	p.unused, p.idle = time.Millisecond, time.Millisecond
	h := startHost(t, Config{Dirs: []string{install(t, "good")}}, p)
	eventually(t, "its rest", func() bool { return h.status("good").State == Asleep })
	long := h.started(context.Background(), Run{Block: blockWait, Input: json.RawMessage(`{}`)})
	pid := h.status("good").PID
	h.mustDo(blockEcho, `{"value":1}`)
	if got := h.status("good"); got.PID != pid || pid == 0 {
		t.Errorf("status %+v, want process %d", got, pid)
	}
	r, _ := h.do(blockExit, `{"n":1}`)
	if await(t, long); r.Crashed == nil {
		t.Errorf("%+v", r)
	}
	var runs sync.WaitGroup
	for range 3 {
		runs.Go(func() {
			for range 5 { // between them it falls asleep, or is about to
				if r, outputs := h.do(blockEcho, `{"value":1}`); r.Err != nil || r.Crashed != nil || len(outputs) != 1 {
					t.Errorf("%+v %v", r, outputs)
				}
			}
		})
	}
	runs.Wait()
	if got := h.status("good"); got.Restarts > 1 {
		t.Errorf("rests count as deaths: %+v", got)
	}
}

func TestSessionRestsOnlyWhenNobodyHasUsedIt(t *testing.T) {
	t.Parallel()
	h := start(t, "good")
	session, seen := h.plugins[0].current.Load(), uint64(0)
	long := h.started(context.Background(), Run{Block: blockWait, Input: json.RawMessage(`{}`)})
	for range 2 {
		if session.rest(&seen) {
			t.Fatal("it rests though a run goes on")
		}
	}
	if r, _ := h.do(blockExit, `{"n":1}`); r.Crashed == nil {
		t.Errorf("%+v", r)
	}
	await(t, long)
	h.mustDo(blockEcho, `{"value":1}`)
	session, seen = h.plugins[0].current.Load(), 0
	if session.rest(&seen) {
		t.Error("it rests though it was used")
	}
	h.mustDo(blockEcho, `{"value":1}`)
	if session.rest(&seen) {
		t.Error("it rests though it was used again")
	}
	if !session.rest(&seen) || session.rest(&seen) || session.enter() {
		t.Error("it does not rest")
	}
}

func TestSleepingPluginThatCannotStartIsJudgedAsOthersAre(t *testing.T) {
	t.Parallel()
	dir := installAlone(t, "shortlived")
	kept := learn(t, dir, 1)
	p := sleepy()
	p.backoffMax = 200 * time.Millisecond
	h := startHost(t, Config{Dirs: []string{dir}, Memory: kept}, p)
	if got := h.status("shortlived"); got.State != Asleep {
		t.Fatalf("status %+v", got)
	}
	h.mustDo(blockShortlived, `{"value":1}`)
	eventually(t, "the verdict", func() bool { return h.status("shortlived").State == Unavailable })
}
