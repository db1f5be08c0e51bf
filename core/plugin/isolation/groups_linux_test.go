package isolation

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestTreesOfControlGroupsAreFound(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	unified := filepath.Join(dir, "unified")
	write(t, filepath.Join(unified, "service", "cgroup.controllers"), "cpuset cpu pids\n")
	for name, test := range map[string]struct {
		cgroup, mountinfo string
		want              map[string]tree
	}{
		"of version 1": {
			"4:memory:/service\n3:cpu,cpuacct:/\n1:name=systemd:/service\n",
			"30 24 0:1 / /sys/fs/cgroup/memory rw shared:1 - cgroup cgroup rw,memory\n31 24 0:2 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n",
			map[string]tree{"memory": {"/sys/fs/cgroup/memory", "/service", false}, "cpu": {"/sys/fs/cgroup/cpu,cpuacct", "/", false}},
		},
		"of version 1, a part of which is mounted": {
			"4:memory:/docker/abc/below\n",
			"30 24 0:1 /docker/abc /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
			map[string]tree{"memory": {"/sys/fs/cgroup/memory", "/below", false}},
		},
		"of version 2": {
			"0::/service\n", "30 24 0:1 / " + unified + " rw - cgroup2 cgroup2 rw\n",
			map[string]tree{"cpu": {unified, "/service", true}, "pids": {unified, "/service", true}},
		},
		"of both": {
			"4:cpu:/other\n0::/service\n", "30 24 0:1 / /cpu rw - cgroup cgroup rw,cpu\n31 24 0:1 / " + unified + " rw - cgroup2 cgroup2 rw\n",
			map[string]tree{"cpu": {"/cpu", "/other", false}, "pids": {unified, "/service", true}},
		},
		"broken": {"x\n4:memory\n", "a b c\n30 24 - cgroup cgroup rw,memory\n30 24 0:1 / / rw - cgroup\n", map[string]tree{}},
	} {
		proc := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
		write(t, filepath.Join(proc, "cgroup"), test.cgroup)
		write(t, filepath.Join(proc, "mountinfo"), test.mountinfo)
		got, err := findTrees(proc)
		if err != nil || len(got) != len(test.want) {
			t.Errorf("%s: %v %v", name, got, err)
		}
		for controller, want := range test.want {
			if got[controller] != want {
				t.Errorf("%s: %s is %+v, want %+v", name, controller, got[controller], want)
			}
		}
	}
	if _, err := findTrees(filepath.Join(dir, "nowhere")); err == nil {
		t.Error("a process that is not there has groups")
	}
}

// A folder of ordinary files takes what the kernel's would: what is written where is seen.
func TestGroupOfVersion2IsLimited(t *testing.T) {
	t.Parallel()
	mount := t.TempDir()
	if err := os.Mkdir(filepath.Join(mount, "service"), 0o755); err != nil {
		t.Fatal(err)
	}
	at := tree{mount: mount, own: "/service", unified: true}
	all := &groups{folders: map[string]string{}, unified: map[string]bool{}}
	for _, controller := range controllers {
		folder, err := at.open(controller, "patchbay-test-1")
		if err != nil {
			t.Fatal(err)
		}
		all.folders[controller], all.unified[controller] = folder, true
	}
	g, err := all.make("p-1", 64, 100)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.add(123456); err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(mount, "service", "patchbay-test-1", "p-1")
	for file, want := range map[string]string{"memory.max": "67108864", "memory.swap.max": "0", "pids.max": "100", "cgroup.procs": "123456"} {
		if got, err := os.ReadFile(filepath.Join(folder, file)); err != nil || string(got) != want {
			t.Errorf("%s: %q %v", file, got, err)
		}
	}
	if raw, err := os.ReadFile(filepath.Join(folder, "cpu.max")); err != nil || !strings.HasSuffix(string(raw), " 100000") {
		t.Errorf("cpu.max: %q %v", raw, err)
	}
	if g.outOfMemory() {
		t.Error("it met its limit without having done anything")
	}
	write(t, filepath.Join(folder, "memory.events"), "low 0\noom 1\noom_kill 1\n")
	if !g.outOfMemory() {
		t.Error("that it met its limit is not seen")
	}
}

func TestPathKeepsWhatCanBeExecuted(t *testing.T) {
	t.Parallel()
	own := t.TempDir()
	granted, denied := t.TempDir(), t.TempDir()
	spec := Spec{Path: filepath.Join(own, "plugin"), Files: []File{{Path: granted}, {Path: denied, Write: true}}}
	if got, want := usablePath(denied+":/usr/bin:"+granted+":/nowhere:"+own+":/root/bin", spec), "/usr/bin:"+granted+":"+own; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got := usablePath(denied, spec); got != "/usr/local/bin:/usr/bin:/bin" {
		t.Errorf("without any: %s", got)
	}
}
