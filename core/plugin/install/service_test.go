package install

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/patchbay-io/patchbay/core/plugin"
	"github.com/patchbay-io/patchbay/sdk/proto"
)

func TestInstalledPluginRunsAndIsWrittenDown(t *testing.T) {
	t.Parallel()
	f := start(t, t.TempDir())
	asks := `,"permissions":{"network":true,"memory":2048},"settings":[{"name":"token","required":true}],"credentials":[{"provider":"github","types":["oauth2"]},{"provider":"vendor"},{"provider":"other"}]`
	source := archive(t, "good", "1.2.0", asks)
	_, err := f.Install(context.Background(), f.stage(source), false)
	asked, ok := errors.AsType[*ConsentError](err)
	if !ok || !asked.Asked.Permissions.Network || asked.Asked.Settings[0].Name != "token" || asked.Asked.Credentials[0].Provider != "github" || asked.Asked.Replaces != "" {
		t.Fatalf("%v %+v", err, asked)
	}
	if got := f.files(); len(got) > 0 || len(f.host.Plugins()) > 0 {
		t.Errorf("left without consent: %v %v", got, f.host.Plugins())
	}
	p := f.install(source)
	if p.State != plugin.Ready || p.Version != "1.2.0" || p.Own || !p.Enabled || p.Blocks[blockEcho] != "Echo" || p.Entry.Source != source {
		t.Errorf("%+v", p)
	}
	f.mustRun()
	raw, err := os.ReadFile(filepath.Join(f.data, LockName))
	var written lock
	if err != nil || json.Unmarshal(raw, &written) != nil {
		t.Fatal(err)
	}
	e := written.Plugins["good"]
	if e.Version != "1.2.0" || !e.Enabled || !e.Permissions.Network || !strings.HasPrefix(e.Digest, "sha256:") || len(e.Files) != 4 ||
		!strings.HasPrefix(e.Files["data/words.txt"], "sha256:") || e.SignedBy != "" || e.Previous != nil {
		t.Errorf("written: %s", raw)
	}
	if got := f.files(); !slices.Equal(got, []string{"good", "good/1.2.0"}) {
		t.Errorf("files %v", got)
	}
	f.stop()
	store, err := Read(f.data)
	if err != nil {
		t.Fatal(err)
	}
	if kept, err := store.Recall("good"); err != nil || !json.Valid(kept) {
		t.Errorf("what it described is not kept: %s %v", kept, err)
	}
	f = start(t, f.data)
	f.mustRun()
	if flaws, err := f.Verify(context.Background(), "good"); err != nil || len(flaws) != 0 {
		t.Errorf("%v %v", flaws, err)
	}
}

func TestUpgradeUnderLoadFailsNothingAndGoesBack(t *testing.T) {
	t.Parallel()
	f := start(t, t.TempDir())
	f.install(folder(t, "good", "1.0.0", ""))
	var callers sync.WaitGroup
	var runs atomic.Int32
	ctx, stop := context.WithCancel(context.Background())
	defer callers.Wait()
	defer stop()
	for range 4 {
		callers.Go(func() {
			for ctx.Err() == nil {
				if result, outputs := f.run(context.Background(), blockEmit, `{"n":100}`); result.Err != nil || result.Crashed != nil || outputs != 100 {
					t.Errorf("run: %+v, %d outputs", result, outputs)
					return
				}
				runs.Add(1)
			}
		})
	}
	more := func() {
		t.Helper()
		before := runs.Load()
		eventually(t, "more runs", func() bool { return runs.Load() > before+5 || t.Failed() })
	}
	more()
	if p := f.install(folder(t, "good", "2.0.0", "")); p.Version != "2.0.0" || p.Entry.Previous.Version != "1.0.0" {
		t.Errorf("%+v", p)
	}
	more()
	for _, bad := range []string{"3.0.0-crash", "3.0.0-shortlived"} {
		_, err := f.Install(ctx, f.stage(folder(t, "good", bad, "")), true)
		if failure, ok := errors.AsType[*Failure](err); !ok || !failure.Kept || !strings.Contains(err.Error(), "serves on") {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if p, err := f.Plugin("good"); err != nil || p.Version != "2.0.0" || p.State != plugin.Ready {
		t.Errorf("%+v %v", p, err)
	}
	more()
	if p, err := f.Rollback(ctx, "good"); err != nil || p.Version != "1.0.0" || p.Entry.Previous.Version != "2.0.0" {
		t.Errorf("%+v %v", p, err)
	}
	more()
	if b, _ := f.host.Block(blockEcho); b.Plugin.Version != "1.0.0" {
		t.Errorf("block of %+v", b.Plugin)
	}
	if got := f.files(); !slices.Equal(got, []string{"good", "good/1.0.0", "good/2.0.0"}) {
		t.Errorf("files %v", got)
	}
	f.install(folder(t, "good", "4.0.0", ""))
	more()
	eventually(t, "the end of version 2.0.0", func() bool { return slices.Equal(f.files(), []string{"good", "good/1.0.0", "good/4.0.0"}) })
}

func TestFilesStayAsLongAsAProcessRunsFromThem(t *testing.T) {
	t.Parallel()
	f := start(t, t.TempDir())
	f.install(folder(t, "good", "1.0.0", ""))
	ctx, release := context.WithCancel(context.Background())
	defer release()
	begun, ended := make(chan struct{}, 1), make(chan struct{})
	go func() {
		defer close(ended)
		f.host.Run(ctx, plugin.Run{
			Block: blockWait, Input: json.RawMessage(`{"text":"begun"}`), Context: &proto.RunContext{NodeExecutionId: "n"}, Streaming: true,
			Output: func(string, json.RawMessage) error { begun <- struct{}{}; return nil },
		})
	}()
	<-begun
	f.install(folder(t, "good", "2.0.0", ""))
	f.install(folder(t, "good", "3.0.0", ""))
	eventually(t, "the end of the process of 2.0.0", func() bool { return len(f.host.Plugins()[0].Outgoing) == 1 })
	if got := f.files(); !slices.Equal(got, []string{"good", "good/1.0.0", "good/2.0.0", "good/3.0.0"}) {
		t.Errorf("files %v", got)
	}
	release()
	<-ended
	eventually(t, "the end of its files", func() bool { return slices.Equal(f.files(), []string{"good", "good/2.0.0", "good/3.0.0"}) })
}

func TestPluginThatLacksASettingIsInstalledAndWaits(t *testing.T) {
	t.Parallel()
	f := start(t, t.TempDir())
	p := f.install(folder(t, "good", "1.0.0-needy", ""))
	if p.State != plugin.Failed || !strings.Contains(p.Error, `needs the setting "token"`) || !p.Enabled || len(p.Blocks) != 1 {
		t.Errorf("%+v", p)
	}
	f.stop()
	f = start(t, f.data)
	if p, err := f.Plugin("good"); err != nil || p.State != plugin.Failed || !strings.Contains(p.Error, `needs the setting "token"`) {
		t.Errorf("after a start: %+v %v", p, err)
	}
	f.install(folder(t, "good", "2.0.0", ""))
	f.mustRun()
	_, err := f.Install(context.Background(), f.stage(folder(t, "good", "3.0.0-needy", "")), true)
	if failure, ok := errors.AsType[*Failure](err); !ok || !failure.Kept || !strings.Contains(err.Error(), `needs the setting "token"`) {
		t.Errorf("an upgrade that lacks it: %v", err)
	}
	f.mustRun()
}

func TestRestartedPluginHasAnotherProcess(t *testing.T) {
	t.Parallel()
	own := t.TempDir()
	if err := os.Rename(folder(t, "twin", "1.0.0", ""), filepath.Join(own, "twin")); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	for name, dirs := range map[string][]string{"good": nil, "twin": {own}} {
		f := start(t, t.TempDir(), dirs...)
		if dirs == nil {
			f.install(folder(t, name, "1.0.0", ""))
		}
		before := f.host.Plugins()[0].PID
		if p, err := f.Restart(ctx, name); err != nil || p.State != plugin.Ready || p.Version != "1.0.0" {
			t.Fatalf("%+v %v", p, err)
		}
		if now := f.host.Plugins()[0].PID; now == before {
			t.Errorf("%s is in process %d as before", name, now)
		}
		f.mustRun()
		eventually(t, "the old process is gone", func() bool { return f.host.Plugins()[0].Outgoing == nil })
		if _, err := f.Disable(ctx, name); err != nil {
			t.Fatal(err)
		}
		_, err := f.Restart(ctx, name)
		if _, ok := errors.AsType[*Refusal](err); !ok || !strings.Contains(err.Error(), "is disabled: enable it") {
			t.Errorf("a disabled plugin: %v", err)
		}
		_, err = f.Restart(ctx, "nosuch")
		if _, ok := errors.AsType[*Absent](err); !ok {
			t.Errorf("a plugin that is not there: %v", err)
		}
		f.stop()
	}
}

func TestDisabledPluginsStayAwayAndAreToldOf(t *testing.T) {
	t.Parallel()
	own := t.TempDir()
	if err := os.Rename(folder(t, "twin", "1.0.0", ""), filepath.Join(own, "twin")); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	for name, own := range map[string]string{"good": "", "twin": own} {
		var dirs []string
		if own != "" {
			dirs = []string{own}
		}
		f := start(t, t.TempDir(), dirs...)
		if own == "" {
			f.install(folder(t, "good", "1.0.0", ""))
		}
		f.mustRun()
		if p, err := f.Disable(ctx, name); err != nil || p.Enabled || p.State != Disabled || p.Blocks[blockEcho] != "Echo" {
			t.Fatalf("%+v %v", p, err)
		}
		for range 2 {
			if _, ok := f.host.Block(blockEcho); ok {
				t.Error("its blocks are there")
			}
			if result, _ := f.run(ctx, blockEcho, `{}`); !strings.Contains(result.Err.GetMessage(), "patchbay plugin enable "+name) {
				t.Errorf("%+v", result)
			}
			f.stop()
			f = start(t, f.data, dirs...)
		}
		if p, err := f.Enable(ctx, name); err != nil || !p.Enabled || p.State != plugin.Ready {
			t.Fatalf("%+v %v", p, err)
		}
		f.mustRun()
		f.stop()
		f = start(t, f.data, dirs...)
		f.mustRun()
		f.stop()
	}
}

func TestRemovedPluginLeavesNothingButAdvice(t *testing.T) {
	t.Parallel()
	f := start(t, t.TempDir())
	ctx := context.Background()
	f.install(folder(t, "good", "1.0.0", ""))
	f.install(folder(t, "good", "2.0.0", ""))
	if err := f.Remove(ctx, "good"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the end of its files", func() bool { return len(f.files()) == 0 })
	if left, err := f.Store.Recall("good"); err != nil || left != nil {
		t.Errorf("what it described is left: %.100s %v", left, err)
	}
	if result, _ := f.run(ctx, blockEcho, `{}`); !strings.Contains(result.Err.GetMessage(), `"good" brought it and was removed`) {
		t.Errorf("%+v", result)
	}
	if _, ok := errors.AsType[*Absent](f.Remove(ctx, "good")); !ok {
		t.Error("removed twice")
	}
	f.install(folder(t, "good", "2.0.0", ""))
	f.mustRun()
}

func TestTamperedFileIsNotStarted(t *testing.T) {
	t.Parallel()
	f := start(t, t.TempDir())
	ctx := context.Background()
	source := folder(t, "good", "1.0.0", "")
	f.install(source)
	f.stop()
	at := filepath.Join(f.data, "plugins", "good", "1.0.0")
	for name, tamper := range map[string]func() error{
		"changed":       func() error { return os.WriteFile(filepath.Join(at, "data", "words.txt"), []byte("one\nTWO\n"), 0o644) },
		"not installed": func() error { return os.WriteFile(filepath.Join(at, "extra.so"), nil, 0o644) },
		"missing":       func() error { return os.Remove(filepath.Join(at, "words")) },
	} {
		if err := tamper(); err != nil {
			t.Fatal(err)
		}
		f = start(t, f.data)
		if p, err := f.Plugin("good"); err != nil || p.State == plugin.Ready || !strings.Contains(p.Error, "installed") {
			t.Errorf("%s: %+v %v", name, p, err)
		}
		flaws, err := f.Verify(ctx, "good")
		if err != nil || len(flaws) != 1 || flaws[0].Problem != name {
			t.Errorf("%s: %v %v", name, flaws, err)
		}
		f.install(source) // repairs
		f.mustRun()
		if flaws, err := f.Verify(ctx, "good"); err != nil || len(flaws) != 0 {
			t.Errorf("%s: %v %v", name, flaws, err)
		}
		if p, _ := f.Plugin("good"); p.Entry.Previous != nil {
			t.Errorf("a repair has a version before: %+v", p.Entry.Previous)
		}
		f.stop()
	}
}

func TestMoreThanWasGrantedNeedsConsent(t *testing.T) {
	t.Parallel()
	f := start(t, t.TempDir())
	f.install(folder(t, "good", "1.0.0", `,"permissions":{"environment":["A"]}`))
	ctx := context.Background()
	signed := func(version, more string) *Package {
		p := f.stage(folder(t, "good", version, more))
		p.SignedBy = "sha256:somebody"
		return p
	}
	if _, err := f.Install(ctx, signed("1.1.0", ""), false); err != nil {
		t.Errorf("an upgrade that asks for less: %v", err)
	}
	_, err := f.Install(ctx, signed("1.2.0", `,"permissions":{"network":true}`), false)
	if asked, ok := errors.AsType[*ConsentError](err); !ok || asked.Asked.Replaces != "1.1.0" || asked.Asked.Granted == nil {
		t.Errorf("%v", err)
	}
}

func TestNamesOfTheServersOwnPluginsAreTaken(t *testing.T) {
	t.Parallel()
	own := t.TempDir()
	if err := os.Rename(folder(t, "twin", "1.0.0", ""), filepath.Join(own, "twin")); err != nil {
		t.Fatal(err)
	}
	f := start(t, t.TempDir(), own)
	ctx := context.Background()
	_, err := f.Install(ctx, f.stage(folder(t, "twin", "2.0.0", "")), true)
	_, back := f.Rollback(ctx, "twin")
	for _, err := range []error{err, back, f.Remove(ctx, "twin")} {
		if _, ok := errors.AsType[*Refusal](err); !ok || !strings.Contains(err.Error(), "belongs to the server") {
			t.Errorf("%v", err)
		}
	}
	if _, err := f.Install(ctx, f.stage(folder(t, "good", "2.0.0", "")), true); err == nil || !strings.Contains(err.Error(), "plugin twin offers") {
		t.Errorf("blocks of another plugin: %v", err)
	}
	if got := f.files(); len(got) > 0 {
		t.Errorf("left: %v", got)
	}
}

func TestPluginThatTakesMoreCredentialsThanItSaysIsRefused(t *testing.T) {
	t.Parallel()
	f := start(t, t.TempDir())
	_, err := f.Install(context.Background(), f.stage(folder(t, "good", "1.0.0", `,"credentials":[]`)), true)
	if err == nil || !strings.Contains(err.Error(), `credentials of "vendor"`) {
		t.Errorf("%v", err)
	}
	if got := f.files(); len(got) > 0 {
		t.Errorf("left: %v", got)
	}
}

func TestFolderWithoutAnEntryIsNotStarted(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	if err := os.MkdirAll(filepath.Join(data, "plugins", "good"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"good/1.0.0", "good2"} {
		if err := os.Rename(folder(t, "good", "1.0.0", ""), filepath.Join(data, "plugins", name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{stagedPrefix + "1", asidePrefix + "2"} {
		if err := os.MkdirAll(filepath.Join(data, "plugins", name, "content"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	f := start(t, data)
	if got := f.host.Plugins(); len(got) != 0 {
		t.Errorf("%+v", got)
	}
	if got := f.files(); slices.ContainsFunc(got, func(name string) bool { return strings.HasPrefix(name, ".") }) {
		t.Errorf("an interrupted installation is left: %v", got)
	}
}

func TestVersionThatWasNotWrittenDownIsRemoved(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	f := start(t, data)
	if _, err := f.Install(context.Background(), f.stage(folder(t, "good", "1.0.0", "")), true); err != nil {
		t.Fatal(err)
	}
	placed := f.files()
	for _, p := range []*Package{f.stage(folder(t, "good", "2.0.0", "")), f.stage(folder(t, "good2", "1.0.0", ""))} {
		if _, err := f.Store.place(p); err != nil { // and then it is killed
			t.Fatal(err)
		}
	}
	f.stop()
	f = start(t, data)
	if got := f.files(); !slices.Equal(got, placed) {
		t.Errorf("%v, before it was %v", got, placed)
	}
	f.mustRun()
}

func TestUnsignedPluginsDoNotRunWhereSignaturesAreRequired(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	data := t.TempDir()
	f := start(t, data)
	if _, err := f.Install(ctx, f.stage(folder(t, "good", "1.0.0", "")), true); err != nil {
		t.Fatal(err)
	}
	signed := f.stage(folder(t, "good", "2.0.0", ""))
	signed.SignedBy = "sha256:somebody"
	if _, err := f.Install(ctx, signed, true); err != nil {
		t.Fatal(err)
	}
	f.Store.Signatures = Require
	if _, err := f.Rollback(ctx, "good"); err == nil || !strings.Contains(err.Error(), "PATCHBAY_PLUGIN_SIGNATURES=require") {
		t.Errorf("back to an unsigned version: %v", err)
	}
	f.mustRun()
	f.Store.Signatures = Warn
	if _, err := f.Rollback(ctx, "good"); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Disable(ctx, "good"); err != nil {
		t.Fatal(err)
	}
	f.Store.Signatures = Require
	if _, err := f.Enable(ctx, "good"); err == nil || !strings.Contains(err.Error(), "unsigned") {
		t.Errorf("an unsigned version: %v", err)
	}
	f.Store.Signatures = Warn
	if _, err := f.Enable(ctx, "good"); err != nil {
		t.Fatal(err)
	}
	f.Store.Signatures = Require
	for _, i := range f.Store.Enabled() {
		if i.Refused == "" {
			t.Errorf("%s would be started", i.Name)
		}
	}
}

func TestInterruptedInstallationLeavesNothing(t *testing.T) {
	t.Parallel()
	f := start(t, t.TempDir())
	p := f.stage(folder(t, "good", "1.0.0", ""))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := f.Install(ctx, p, true); err == nil {
		t.Error("it was installed")
	}
	if got := f.files(); len(got) > 0 {
		t.Errorf("left: %v", got)
	}
	if _, err := os.Stat(filepath.Join(f.data, LockName)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("lock: %v", err)
	}
}

func TestChangesAtOnceComeOneAfterTheOther(t *testing.T) {
	t.Parallel()
	f := start(t, t.TempDir())
	packages := []*Package{f.stage(folder(t, "good", "1.0.0", "")), f.stage(folder(t, "good", "2.0.0", "")), f.stage(folder(t, "good", "3.0.0", ""))}
	var all sync.WaitGroup
	for _, p := range packages {
		all.Go(func() {
			if _, err := f.Install(context.Background(), p, true); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	f.mustRun()
	p, err := f.Plugin("good")
	if err != nil || p.Entry.Previous == nil || p.State != plugin.Ready {
		t.Fatalf("%+v %v", p, err)
	}
	eventually(t, "the end of what nobody goes back to", func() bool { return len(f.files()) == 3 })
}

func TestLockFileOfALaterProgramIsRefused(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"format":2}`: "run the version of Patchbay that has written it", `{`: "restore it", `{"format":1,"plugins":{"../x":{"version":"1"}}}`: "no such thing",
		`{"format":1,"plugins":{"x":{"version":".."}}}`: "no such thing", `{"format":1,"plugins":{"x":{"version":"1","previous":{"version":"a/b"}}}}`: "no such thing",
	} {
		data := t.TempDir()
		if err := os.WriteFile(filepath.Join(data, LockName), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(data); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
