package isolation

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// serverGroup is where the server goes in version 2, since a group with groups in it holds no processes.
const serverGroup = "patchbay-server"

// tree is where this process is in the groups of a controller.
type tree struct {
	mount   string // where the tree is mounted
	own     string // this process's group below it
	unified bool
}

// findTrees reads the mounts and groups of a process from its folder in /proc.
func findTrees(proc string) (map[string]tree, error) {
	groupsOf, err := os.ReadFile(filepath.Join(proc, "cgroup"))
	if err != nil {
		return nil, fmt.Errorf("find control groups: %w", err)
	}
	own := map[string]string{} // by controller; "" is version 2
	for line := range strings.Lines(string(groupsOf)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		for controller := range strings.SplitSeq(fields[1], ",") {
			own[controller] = fields[2]
		}
	}
	mounts, err := os.Open(filepath.Join(proc, "mountinfo"))
	if err != nil {
		return nil, fmt.Errorf("find control groups: %w", err)
	}
	defer func() { _ = mounts.Close() }()
	trees := map[string]tree{}
	for lines := bufio.NewScanner(mounts); lines.Scan(); {
		// 36 35 98:0 /root /mount/point rw,noatime shared:1 - type source options
		before, after, ok := strings.Cut(lines.Text(), " - ")
		fields, kind := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 5 || len(kind) < 3 {
			continue
		}
		at := func(controller string, unified bool) tree {
			below := own[controller]
			if rest, ok := strings.CutPrefix(below, strings.TrimSuffix(fields[3], "/")); ok && (rest == "" || rest[0] == '/') {
				below = rest // the mount shows a part of the tree
			}
			return tree{mount: fields[4], own: below, unified: unified}
		}
		switch kind[0] {
		case "cgroup":
			for option := range strings.SplitSeq(kind[2], ",") {
				if slices.Contains(controllers, option) {
					trees[option] = at(option, false)
				}
			}
		case "cgroup2":
			t := at("", true)
			have, _ := os.ReadFile(filepath.Join(t.mount, t.own, "cgroup.controllers"))
			for _, controller := range strings.Fields(string(have)) {
				if _, other := trees[controller]; !other && slices.Contains(controllers, controller) {
					trees[controller] = t
				}
			}
		}
	}
	return trees, nil
}

// open makes the host's folder below the group that the server is in.
func (t tree) open(controller, name string) (string, error) {
	base := filepath.Join(t.mount, t.own)
	if _, err := os.Stat(base); err != nil { // a container without a namespace of its own for groups
		base = t.mount
	}
	if t.unified {
		if filepath.Base(base) == serverGroup { // an earlier host of this process has moved it there
			base = filepath.Dir(base)
		}
		if err := delegate(base, controller); err != nil {
			return "", err
		}
	}
	folder := filepath.Join(base, name)
	if err := os.Mkdir(folder, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("make a control group: %w", err)
	}
	if t.unified {
		if err := enable(folder, controller); err != nil {
			return "", err
		}
	}
	return folder, nil
}

func enable(folder, controller string) error {
	if err := os.WriteFile(filepath.Join(folder, "cgroup.subtree_control"), []byte("+"+controller), 0o600); err != nil {
		return fmt.Errorf("enable the controller %s: %w", controller, err)
	}
	return nil
}

// delegate lets the groups below have a controller. Of version 2, that needs the group to be empty: the server and what
// it has started move into one below, if nobody else is there.
func delegate(base, controller string) error {
	err := enable(base, controller)
	if err == nil || !errors.Is(err, syscall.EBUSY) {
		return err
	}
	pids, err := members(base)
	if err != nil {
		return err
	}
	for _, pid := range pids {
		if !descends(pid) {
			return fmt.Errorf("the control group %s is not the server's alone", base)
		}
	}
	room := filepath.Join(base, serverGroup)
	if err := os.Mkdir(room, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make a control group: %w", err)
	}
	for _, pid := range pids {
		if err := join(room, pid); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
	}
	return enable(base, controller)
}

// descends says whether a process is this one or comes from it.
func descends(pid int) bool {
	for range 64 {
		if pid == os.Getpid() {
			return true
		}
		s, err := readStat(pid)
		if err != nil || s.parent <= 1 {
			return false
		}
		pid = s.parent
	}
	return false
}
