package install

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/patchbay-io/patchbay/core/plugin"
)

func TestTheSameBytesAgainAreWrittenDownAnew(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(*fixture) error{
		"running":  func(*fixture) error { return nil },
		"offline":  func(f *fixture) error { f.Offline = true; return nil },
		"disabled": func(f *fixture) error { _, err := f.Disable(context.Background(), "good"); return err },
	} {
		f := start(t, t.TempDir())
		source := archive(t, "good", "1.0.0", "")
		f.install(source)
		pid := f.host.Plugins()[0].PID
		if err := prepare(f); err != nil {
			t.Fatal(err)
		}
		came := f.Store.current.Load().Plugins["good"].since()
		long := time.Now().Add(-time.Hour).UTC().Truncate(time.Second)
		if err := f.Store.change(func(l *lock) { l.Plugins["good"].InstalledAt = long }); err != nil {
			t.Fatal(err)
		}
		for _, by := range []string{"sha256:somebody", "sha256:another"} { // from unsigned, and from one signer to the next
			p := f.stage(source)
			p.Source, p.SignedBy = "https://example.com/"+by, by
			if _, err := f.Install(context.Background(), p, true); err != nil {
				t.Fatal(err)
			}
			store, err := Read(f.data)
			if err != nil {
				t.Fatal(err)
			}
			e := store.current.Load().Plugins["good"]
			if e.SignedBy != by || e.Source != "https://example.com/"+by || !e.InstalledAt.After(long) || !e.since().Equal(came) || e.Previous != nil ||
				len(e.Blocks) == 0 || e.Enabled != (name != "disabled") {
				t.Errorf("%s: %+v", name, e)
			}
		}
		if now := f.host.Plugins(); name == "running" && now[0].PID != pid {
			t.Errorf("its process was %d and is %d", pid, now[0].PID)
		}
	}
}

func TestUnsignedBytesNeedConsentEachTime(t *testing.T) {
	t.Parallel()
	f := start(t, t.TempDir())
	ctx := context.Background()
	first := folder(t, "good", "1.0.0", "")
	f.install(first)
	if _, err := f.Install(ctx, f.stage(first), false); err != nil {
		t.Errorf("the same ones again: %v", err)
	}
	_, err := f.Install(ctx, f.stage(folder(t, "good", "1.1.0", "")), false)
	if _, ok := errors.AsType[*ConsentError](err); !ok {
		t.Errorf("others that ask for nothing new: %v", err)
	}
	signed := f.stage(folder(t, "good", "1.1.0", ""))
	signed.SignedBy = "sha256:somebody"
	if _, err := f.Install(ctx, signed, false); err != nil {
		t.Errorf("signed ones that ask for nothing new: %v", err)
	}
}

func TestNothingServesOnThatDidNotServe(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	f := start(t, t.TempDir())
	f.install(folder(t, "good", "1.0.0", ""))
	f.stop()
	if err := os.Remove(filepath.Join(f.data, "plugins", "good", "1.0.0", "words")); err != nil {
		t.Fatal(err)
	}
	f = start(t, f.data)
	_, restarted := f.Restart(ctx, "good")
	_, upgraded := f.Install(ctx, f.stage(folder(t, "good", "2.0.0-crash", "")), true)
	f.Offline = true
	f.install(folder(t, "good", "3.0.0", ""))
	_, offline := f.Install(ctx, f.stage(folder(t, "good", "4.0.0-crash", "")), true)
	for what, test := range map[string]struct {
		err   error
		stays string
	}{
		"restart of a failed plugin": {restarted, "plugin verify good"}, "upgrade of a failed plugin": {upgraded, "; version 1.0.0 stays installed"},
		"upgrade without a server": {offline, "; version 3.0.0 stays installed"},
	} {
		failure, ok := errors.AsType[*Failure](test.err)
		if !ok || failure.Kept || strings.Contains(test.err.Error(), "serves on") || !strings.HasSuffix(test.err.Error(), test.stays) {
			t.Errorf("%s: %v", what, test.err)
		}
	}
}

func TestFolderMayBeReachedByALink(t *testing.T) {
	t.Parallel()
	f := start(t, t.TempDir())
	link := filepath.Join(t.TempDir(), "current")
	if err := os.Symlink(folder(t, "good", "1.0.0", ""), link); err != nil {
		t.Fatal(err)
	}
	if p := f.install(link); p.State != plugin.Ready || p.Entry.Source != link {
		t.Errorf("%+v", p)
	}
}

func TestVerifyLooksAtModesAndAtTheVersionToGoBackTo(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	f := start(t, t.TempDir())
	for _, version := range []string{"1.0.0", "2.0.0"} {
		f.install(folder(t, "good", version, ""))
	}
	at := filepath.Join(f.data, "plugins", "good")
	if err := errors.Join(
		os.WriteFile(filepath.Join(at, "1.0.0", "data", "words.txt"), []byte("other"), 0o644),
		os.Chmod(filepath.Join(at, "2.0.0", "data", "words.txt"), 0o666),
		os.Chmod(filepath.Join(at, "2.0.0", "good"), os.ModeSetuid|0o755),
	); err != nil {
		t.Fatal(err)
	}
	flaws, err := f.Verify(ctx, "good")
	want := []Flaw{{"2.0.0", "data/words.txt", "mode changed"}, {"2.0.0", "good", "mode changed"}, {"1.0.0", "data/words.txt", "changed"}}
	if err != nil || !slices.Equal(flaws, want) {
		t.Errorf("%v %v", flaws, err)
	}
	for _, version := range []string{"1.0.0", "2.0.0"} { // which repairs it
		f.install(folder(t, "good", version, ""))
	}
	if flaws, err := f.Verify(ctx, "good"); err != nil || len(flaws) > 0 {
		t.Errorf("repaired: %v %v", flaws, err)
	}
}

// Consent is to the place that a path leads to, not to its name.
func TestPathThatLeadsElsewhereNeedsConsentAgain(t *testing.T) {
	t.Parallel()
	f := start(t, t.TempDir())
	folder := t.TempDir()
	link := filepath.Join(folder, "link")
	place, err := filepath.EvalSymlinks(folder)
	if err != nil {
		t.Fatal(err)
	}
	source := archive(t, "good", "1.0.0", `,"permissions":{"files":[{"path":"`+link+`","leads_to":"/somewhere/harmless"}]}`)
	for _, leads := range []string{"first", "second"} {
		target := filepath.Join(place, leads)
		if err := errors.Join(os.Mkdir(target, 0o755), os.RemoveAll(link), os.Symlink(target, link)); err != nil {
			t.Fatal(err)
		}
		p := f.stage(source)
		p.SignedBy = "sha256:somebody"
		_, err := f.Install(context.Background(), p, false)
		asked, ok := errors.AsType[*ConsentError](err)
		if !ok || asked.Asked.Permissions.Files[0].LeadsTo != target {
			t.Fatalf("%v %+v", err, asked)
		}
		p = f.stage(source)
		p.SignedBy = "sha256:somebody"
		if _, err := f.Install(context.Background(), p, true); err != nil {
			t.Fatal(err)
		}
		if granted := f.Store.current.Load().Plugins["good"].Permissions.Files[0]; granted.Path != link || granted.LeadsTo != target {
			t.Errorf("granted: %+v", granted)
		}
	}
}
