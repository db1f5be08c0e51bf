package plugin

import (
	"path/filepath"
	"strings"
	"testing"
)

// contend gives a host three plugins with the same block: of the folder the last by name, of those that were installed the
// later one the first.
func contend(t *testing.T) Config {
	t.Helper()
	own, installed := installAlone(t, "twin_z"), installAlone(t, "twin_a", "twin_b")
	return Config{Dirs: []string{own}, Memory: &notes{}, Installed: []Installation{
		{Name: "twin_b", Folder: filepath.Join(installed, "twin_b")}, {Name: "twin_a", Folder: filepath.Join(installed, "twin_a")},
	}}
}

func TestWhoWasThereFirstKeepsItsBlocks(t *testing.T) {
	t.Parallel()
	c := contend(t)
	h := startHost(t, c, testPace())
	if got := h.status("twin_z"); got.State != Ready {
		t.Errorf("the first: %+v", got)
	}
	for _, name := range []string{"twin_a", "twin_b"} {
		if got := h.status(name); got.State != Failed || !strings.Contains(got.Error, "of plugin "+name+" has the id") || !strings.Contains(got.Error, "plugin twin_z offers") {
			t.Errorf("%+v", got)
		}
	}
	h.Close()
	c.Disabled, c.RuntimeDir = []string{"twin_z"}, runtimeFolder(t)
	h = startHost(t, c, testPace())
	if b, a := h.status("twin_b"), h.status("twin_a"); b.State != Ready || a.State != Failed || !strings.Contains(a.Error, "plugin twin_b offers") {
		t.Errorf("%+v\n%+v", b, a)
	}
}

func TestRehearsalFindsWhatAStartWouldMeet(t *testing.T) {
	t.Parallel()
	c := contend(t)
	kept := c.Memory.(*notes)
	for _, i := range c.Installed { // each is known from a time when it was alone
		alone := c
		alone.Dirs, alone.Installed, alone.RuntimeDir = nil, []Installation{i}, runtimeFolder(t)
		h := startHost(t, alone, testPace())
		eventually(t, "the memory", func() bool { known, _ := kept.Recall(i.Name); return known != nil })
		h.Close()
	}
	c.Dirs, c.RuntimeDir = nil, runtimeFolder(t)
	rehearse := func() *testHost {
		h, err := newHost(c, testPace())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(h.Close)
		h.Rehearse()
		return &testHost{h, t, &logs{}}
	}
	h := rehearse()
	if b, a := h.status("twin_b"), h.status("twin_a"); b.State != Starting || a.State != Failed || !strings.Contains(a.Error, "plugin twin_b offers") || len(h.pids()) > 0 {
		t.Errorf("%+v\n%+v", b, a)
	}
	h.Close()
	c.Installed[0].Digests = map[string]string{"twin_b": "sha256:00"}
	if got := rehearse().status("twin_b"); got.State != Failed || !strings.Contains(got.Error, "install the same version again") || !strings.Contains(got.Error, "patchbay plugin verify twin_b") {
		t.Errorf("%+v", got)
	}
}
