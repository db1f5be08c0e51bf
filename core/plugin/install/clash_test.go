package install

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/patchbay-io/patchbay/core/plugin"
)

// refuses says what is wrong with an error that is to say that one plugin has what another one offers.
func refuses(t *testing.T, err error, intruder, victim string) {
	t.Helper()
	if _, ok := errors.AsType[*Failure](err); !ok || !strings.Contains(err.Error(), "of plugin "+intruder+" has the id "+blockEcho) ||
		!strings.Contains(err.Error(), "which plugin "+victim+" offers: only one of them can be enabled") {
		t.Errorf("%v", err)
	}
}

func TestBlocksBelongToWhoCameFirst(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	f := start(t, t.TempDir())
	f.install(folder(t, "victim", "1.0.0", ""))
	_, err := f.Install(ctx, f.stage(folder(t, "intruder", "1.0.0-twin", "")), true)
	refuses(t, err, "intruder", "victim")
	if got := f.files(); len(got) != 2 {
		t.Errorf("left %v", got)
	}
	// A disabled one holds nothing, and cannot come back as long as another one has its blocks.
	if _, err := f.Disable(ctx, "victim"); err != nil {
		t.Fatal(err)
	}
	f.install(folder(t, "intruder", "1.0.0-twin", ""))
	_, err = f.Enable(ctx, "victim")
	refuses(t, err, "victim", "intruder")
	if p, err := f.Plugin("victim"); err != nil || p.Enabled || p.State != Disabled {
		t.Errorf("%+v %v", p, err)
	}
	if _, err := f.Disable(ctx, "intruder"); err != nil {
		t.Fatal(err)
	}
	if p, err := f.Enable(ctx, "victim"); err != nil || p.State != plugin.Ready {
		t.Errorf("%+v %v", p, err)
	}
	_, err = f.Enable(ctx, "intruder")
	refuses(t, err, "intruder", "victim")
}

func TestPluginThatDoesNotRunKeepsItsBlocks(t *testing.T) {
	t.Parallel()
	f := start(t, t.TempDir())
	f.install(folder(t, "victim", "1.0.0", ""))
	f.stop()
	words := filepath.Join(f.data, "plugins", "victim", "1.0.0", "data", "words.txt")
	if err := os.WriteFile(words, []byte("three\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	f = start(t, f.data)
	if p, err := f.Plugin("victim"); err != nil || p.State != plugin.Failed || !strings.Contains(p.Error, "install the same version again") {
		t.Fatalf("%+v %v", p, err)
	}
	_, err := f.Install(context.Background(), f.stage(folder(t, "intruder", "1.0.0-twin", "")), true)
	refuses(t, err, "intruder", "victim")
	if _, ok := f.host.Block(blockEcho); ok {
		t.Error("the intruder's block is there")
	}
	if p := f.install(folder(t, "victim", "1.0.0", "")); p.State != plugin.Ready { // the repair
		t.Errorf("%+v", p)
	}
}

func TestTheOrderOfComingOutlivesUpgrades(t *testing.T) {
	t.Parallel()
	f := start(t, t.TempDir())
	f.install(folder(t, "zebra", "1.0.0", ""))
	f.install(folder(t, "one_1", "1.0.0", ""))
	f.install(folder(t, "zebra", "2.0.0", ""))
	if _, err := f.Rollback(context.Background(), "zebra"); err != nil {
		t.Fatal(err)
	}
	store, err := Read(f.data)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, i := range store.Enabled() {
		names = append(names, i.Name)
	}
	if strings.Join(names, " ") != "zebra one_1" {
		t.Errorf("order %v", names)
	}
}
