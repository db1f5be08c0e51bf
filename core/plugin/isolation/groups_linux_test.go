package isolation

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
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

// The kernel's own groups of version 2 say no where files say nothing.
func TestGroupOfVersion2HoldsAndEndsProcesses(t *testing.T) {
	t.Parallel()
	mount, controller := unifiedTree(t)
	own := "/patchbay-test-" + strconv.Itoa(os.Getpid())
	base := filepath.Join(mount, own)
	if err := os.Mkdir(base, 0o755); err != nil {
		t.Fatal(err)
	}
	host, room := filepath.Join(base, "patchbay-key-1"), filepath.Join(base, serverGroup)
	defer func() {
		for _, folder := range []string{host, room, base} {
			removeGroup(folder)
		}
		if _, err := os.Stat(base); err == nil {
			t.Errorf("%s is left", base)
		}
	}()
	sleep := func() (pid int, await func()) {
		command := exec.Command("sleep", "1000")
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		return command.Process.Pid, func() {
			_ = command.Process.Kill()
			_ = command.Wait()
		}
	}
	server, end := sleep()
	defer end()
	if err := join(base, server); err != nil {
		t.Fatal(err)
	}
	folder, err := tree{mount: mount, own: own, unified: true}.open(controller, filepath.Base(host))
	if err != nil || folder != host {
		t.Fatalf("%s %v", folder, err)
	}
	in := func(folder string, pid int) bool {
		pids, err := members(folder)
		return err == nil && slices.Contains(pids, pid)
	}
	if !in(room, server) {
		t.Error("the server is not where it does not stand in the way")
	}
	g := &group{folders: map[string]string{"pids": filepath.Join(host, "p-1")}, unified: map[string]bool{"pids": true}}
	if err := os.Mkdir(g.folders["pids"], 0o755); err != nil {
		t.Fatal(err)
	}
	var ended [2]func()
	for i := range ended {
		var pid int
		pid, ended[i] = sleep()
		defer ended[i]()
		if err := g.add(pid); err != nil || !in(g.members(), pid) {
			t.Errorf("process %d is not in the group: %v", pid, err)
		}
	}
	g.kill()
	if pids, err := members(g.members()); err != nil || slices.ContainsFunc(pids, func(pid int) bool { s, err := readStat(pid); return err == nil && s.state != 'Z' }) {
		t.Errorf("%v go on: %v", pids, err)
	}
	for _, end := range ended {
		end()
	}
	g.remove()
	if _, err := os.Stat(g.folders["pids"]); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the group is left: %v", err)
	}
}

// unifiedTree is where groups of version 2 are, and one of their controllers, which need not be one that bounds plugins.
func unifiedTree(t *testing.T) (mount, controller string) {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); len(fields) > 2 && fields[2] == "cgroup2" {
			mount = fields[1]
		}
	}
	if mount == "" {
		t.Skip("there are no control groups of version 2")
	}
	have, err := os.ReadFile(filepath.Join(mount, "cgroup.controllers"))
	if all := strings.Fields(string(have)); err == nil && len(all) > 0 && os.Geteuid() == 0 {
		below := filepath.Join(mount, "cgroup.subtree_control")
		if given, err := os.ReadFile(below); err == nil && !slices.Contains(strings.Fields(string(given)), all[0]) {
			err = enable(mount, all[0])
			t.Cleanup(func() { _ = os.WriteFile(below, []byte("-"+all[0]), 0o600) })
			if err != nil {
				t.Fatal(err)
			}
		}
		return mount, all[0]
	}
	if os.Getenv("PATCHBAY_TEST_ISOLATION") != "" && os.Geteuid() == 0 {
		t.Fatalf("no controllers in %s: %v", mount, err)
	}
	t.Skip("no control groups of version 2 for this user")
	return "", ""
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
