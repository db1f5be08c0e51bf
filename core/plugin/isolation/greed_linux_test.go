package isolation

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestGreedIsALotForAWhile(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		ticks []int // at each look, a second apart, on two processors
		want  bool
	}{
		"much":            {[]int{0, 160, 320, 480}, true},
		"much, not long":  {[]int{0, 160, 320}, false},
		"with a pause":    {[]int{0, 160, 320, 321, 480, 640}, false},
		"after a while":   {[]int{0, 10, 20, 180, 340, 500}, true},
		"much from start": {[]int{10_000, 10_010, 10_020, 10_030}, false},
		"one processor":   {[]int{0, 100, 200, 300, 400}, false},
		"a child gone":    {[]int{0, 160, 100, 260, 420}, false},
	} {
		var a appetite
		began, got := time.Now(), false
		for i, ticks := range test.ticks {
			got = a.greedy(began.Add(time.Duration(i)*time.Second), ticks, 2)
		}
		if got != test.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestGreedyProcessesAreBounded(t *testing.T) {
	t.Parallel()
	all := openGroups(t.TempDir())
	defer all.close()
	g, err := all.make("p-greedy", 64, 32)
	if err != nil {
		t.Fatal(err)
	}
	if g == nil || !g.lazy() {
		if os.Getenv("PATCHBAY_TEST_ISOLATION") != "" && os.Geteuid() == 0 && !all.unified["cpu"] {
			t.Fatalf("no control groups: %v", all.lacks)
		}
		t.Skipf("no control groups of version 1 for this user: %v", all.lacks)
	}
	defer g.remove()
	command := exec.Command("sleep", "1000")
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = command.Wait() }()
	defer g.kill()
	if err := g.add(command.Process.Pid); err != nil {
		t.Fatal(err)
	}
	in := func() bool {
		pids, err := members(g.folders["cpu"])
		if err != nil {
			t.Fatal(err)
		}
		return slices.Contains(pids, command.Process.Pid)
	}
	if in() {
		t.Error("it is bounded from the start")
	}
	g.bound()
	if !in() {
		t.Error("it is not bounded")
	}
	if raw, err := os.ReadFile(filepath.Join(g.folders["cpu"], "cpu.cfs_quota_us")); err != nil || string(raw) == "-1\n" {
		t.Errorf("it may have %s of processor time: %v", raw, err)
	}
}
