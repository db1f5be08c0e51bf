package isolation

import (
	"cmp"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// controllers are those of control groups that plugins are bounded by. Of version 1 each has a tree of its own, of
// version 2 all have one; a machine may have some of either.
var controllers = []string{"memory", "pids", "cpu"}

// groups are the control groups of a host, one folder for each controller, in which each process gets one of its own.
type groups struct {
	folders map[string]string // of this host, by controller
	unified map[string]bool   // controllers of version 2
	lacks   map[string]error  // why a controller is missing
}

// group is that of one process and all that it starts.
type group struct {
	folders           map[string]string // by controller; several may have the same
	unified           map[string]bool
	memory, processes bool
}

// openGroups makes this host's folders where it may, and removes what an earlier one left in them.
func openGroups(key string) *groups {
	name := newGroupName(key)
	g := &groups{folders: map[string]string{}, unified: map[string]bool{}, lacks: map[string]error{}}
	trees, err := findTrees("/proc/self")
	for _, controller := range controllers {
		t, ok := trees[controller]
		if !ok {
			g.lacks[controller] = cmp.Or(err, fmt.Errorf("there is no controller %s", controller))
			continue
		}
		folder, err := t.open(controller, name.String())
		if err != nil {
			g.lacks[controller] = err
			continue
		}
		g.folders[controller], g.unified[controller] = folder, t.unified
	}
	for _, folder := range g.distinct() {
		name.sweep(filepath.Dir(folder))
	}
	if folder, ok := g.folders["cpu"]; ok && !g.unified["cpu"] {
		// All plugins together weigh as much as the threads that they would be without groups.
		_ = os.WriteFile(filepath.Join(folder, "cpu.shares"), []byte(strconv.Itoa(8192*runtime.NumCPU())), 0o600)
	} else if ok {
		_ = os.WriteFile(filepath.Join(folder, "cpu.weight"), []byte("1000"), 0o600)
	}
	return g
}

func (g *groups) has(controller string) bool { return g.folders[controller] != "" }

func (g *groups) distinct() []string { return distinct(g.folders) }

func distinct(folders map[string]string) []string {
	var all []string
	for _, controller := range controllers {
		if f := folders[controller]; f != "" && !slices.Contains(all, f) {
			all = append(all, f)
		}
	}
	return all
}

func members(folder string) (pids []int, err error) {
	raw, err := os.ReadFile(filepath.Join(folder, "cgroup.procs"))
	if err != nil {
		return nil, fmt.Errorf("read a control group: %w", err)
	}
	for line := range strings.Lines(string(raw)) {
		if pid, err := strconv.Atoi(strings.TrimSpace(line)); err == nil && pid > 0 {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

func join(folder string, pid int) error {
	if err := os.WriteFile(filepath.Join(folder, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o600); err != nil {
		return fmt.Errorf("join a control group: %w", err)
	}
	return nil
}

// make makes the group of one process. Memory is in MiB.
func (g *groups) make(name string, memory, processes int) (*group, error) {
	if len(g.folders) == 0 {
		return nil, nil
	}
	made := &group{folders: map[string]string{}, unified: g.unified, memory: g.has("memory"), processes: g.has("pids")}
	for controller, host := range g.folders {
		folder := filepath.Join(host, name)
		if err := os.Mkdir(folder, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			made.remove()
			return nil, fmt.Errorf("make a control group: %w", err)
		}
		made.folders[controller] = folder
		for _, l := range limits(controller, g.unified[controller], memory, processes) {
			err := os.WriteFile(filepath.Join(folder, l.file), []byte(l.value), 0o600)
			if err != nil && l.needed { // what is missing elsewhere cannot be created either
				made.remove()
				return nil, fmt.Errorf("limit a control group: %w", err)
			}
		}
	}
	return made, nil
}

type groupLimit struct {
	file, value string
	needed      bool
}

// limits are the files of a group and what is written into them, in order.
func limits(controller string, unified bool, memory, processes int) []groupLimit {
	bytes := strconv.Itoa(memory << 20)
	// A plugin may not take the whole machine; what it normally needs is far less.
	const period = 100_000
	quota := max(period*9/10, runtime.NumCPU()*period*3/4)
	switch {
	case controller == "memory" && unified:
		return []groupLimit{{"memory.max", bytes, true}, {"memory.swap.max", "0", false}}
	case controller == "memory":
		return []groupLimit{{"memory.limit_in_bytes", bytes, true}, {"memory.memsw.limit_in_bytes", bytes, false}}
	case controller == "pids":
		return []groupLimit{{"pids.max", strconv.Itoa(processes), true}}
	case unified:
		return []groupLimit{{"cpu.max", fmt.Sprintf("%d %d", quota, period), false}}
	default:
		return []groupLimit{{"cpu.cfs_period_us", strconv.Itoa(period), false}, {"cpu.cfs_quota_us", strconv.Itoa(quota), false}}
	}
}

// add puts a process into the group, but for what is kept for greedy ones.
func (g *group) add(pid int) error {
	for _, folder := range distinct(g.folders) {
		if folder == g.folders["cpu"] && g.lazy() {
			continue
		}
		if err := join(folder, pid); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
	}
	return nil
}

// kill ends all processes of the group. They cannot grow in number meanwhile.
func (g *group) kill() {
	folders := distinct(g.folders)
	if folder := g.folders["pids"]; folder != "" {
		_ = os.WriteFile(filepath.Join(folder, "pids.max"), []byte("0"), 0o600)
	}
	deadline := time.Now().Add(2 * time.Second)
	for _, folder := range folders {
		for killGroup(folder) && time.Now().Before(deadline) {
			time.Sleep(2 * time.Millisecond)
		}
	}
}

// killGroup says whether there was somebody to kill. Groups of version 2 are told to end everybody at once.
func killGroup(folder string) bool {
	_ = os.WriteFile(filepath.Join(folder, "cgroup.kill"), []byte("1"), 0o600)
	pids, err := members(folder)
	if err != nil {
		return false
	}
	any := false
	for _, pid := range pids {
		if s, err := readStat(pid); err == nil && s.state != 'Z' && s.state != 'X' {
			any = true
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	return any
}

// outOfMemory says whether the kernel has ended a process of the group for its memory.
func (g *group) outOfMemory() bool {
	file, key := "memory.oom_control", "oom_kill "
	if g.unified["memory"] {
		file = "memory.events"
	}
	raw, err := os.ReadFile(filepath.Join(g.folders["memory"], file))
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(raw)) {
		if count, ok := strings.CutPrefix(line, key); ok {
			return strings.TrimSpace(count) != "0"
		}
	}
	return false
}

// remove removes the group's folders. A process that was just killed may still be there for a moment.
func (g *group) remove() {
	for _, folder := range distinct(g.folders) {
		removeGroup(folder)
	}
}

func removeGroup(folder string) {
	for range 200 {
		if err := os.Remove(folder); !errors.Is(err, syscall.EBUSY) {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// groupName is that of a host's folder: whose it is, and which process is the host.
type groupName struct {
	key string
	pid int
}

const groupPrefix = "patchbay-"

func newGroupName(key string) groupName {
	h := fnv.New64a()
	_, _ = h.Write([]byte(key))
	return groupName{fmt.Sprintf("%016x", h.Sum64()), os.Getpid()}
}

func (n groupName) String() string { return groupPrefix + n.key + "-" + strconv.Itoa(n.pid) }

// sweep ends what an earlier process of this host has left running and removes its groups, and the empty ones of hosts
// that are long gone.
func (n groupName) sweep(base string) {
	entries, err := os.ReadDir(base)
	if err != nil {
		return
	}
	for _, e := range entries {
		key, number, ok := strings.Cut(strings.TrimPrefix(e.Name(), groupPrefix), "-")
		pid, err := strconv.Atoi(number)
		if !ok || err != nil || !e.IsDir() || !strings.HasPrefix(e.Name(), groupPrefix) || pid == n.pid {
			continue
		}
		info, err := e.Info()
		gone := err == nil && time.Since(info.ModTime()) > time.Minute && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
		if key == n.key || gone {
			sweepGroup(filepath.Join(base, e.Name()), key == n.key)
		}
	}
}

func sweepGroup(folder string, kill bool) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return
	}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		g := &group{folders: map[string]string{controllers[0]: filepath.Join(folder, e.Name())}}
		if kill {
			g.kill()
			g.remove()
		} else {
			_ = os.Remove(filepath.Join(folder, e.Name())) // which does not work where somebody is in it
		}
	}
	_ = os.Remove(folder)
}

func (g *groups) close() {
	for _, folder := range g.distinct() {
		removeGroup(folder)
	}
}
