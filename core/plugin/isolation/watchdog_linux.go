package isolation

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// watchInterval is how often the watchdog looks.
const watchInterval = 250 * time.Millisecond

// watchdog bounds memory and processes where the kernel does not: it looks at what a plugin's processes have and ends
// them all where that is too much. A launcher that stays is not the plugin's. Between two looks a plugin can go beyond its bounds.
func watchdog(pid int, spec Spec, stays bool) *lookout {
	return lookOut(watchInterval, func(time.Time) (time.Duration, string) {
		family := familyOf(pid)
		memory, threads := 0, 0
		for _, s := range family {
			if stays && s.pid == pid {
				continue
			}
			memory += s.resident
			threads += s.threads
		}
		var met string
		switch {
		case memory>>20 > spec.Memory:
			met = fmt.Sprintf("it needed more than the %d MiB of memory that it may have: %d", spec.Memory, memory>>20)
		case threads > spec.Processes:
			met = fmt.Sprintf("it had more than the %d processes and threads that it may have: %d", spec.Processes, threads)
		default:
			return watchInterval, ""
		}
		for _, s := range family {
			_ = syscall.Kill(s.pid, syscall.SIGKILL)
		}
		return 0, met
	})
}

// stat is what /proc says about a process.
type stat struct {
	pid, parent, group, threads int
	resident                    int // bytes
	time                        int // ticks of processors, 100 a second, its dead children's too
	state                       byte
}

func readStat(pid int) (stat, error) {
	raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return stat{}, err
	}
	// 123 (a name) S parent group session …; the name may hold anything
	end := bytes.LastIndexByte(raw, ')')
	fields := bytes.Fields(raw[end+1:])
	if end < 0 || len(fields) < 22 {
		return stat{}, errors.New("unreadable state of a process")
	}
	number := func(i int) int { n, _ := strconv.Atoi(string(fields[i])); return n }
	return stat{
		pid: pid, state: fields[0][0], parent: number(1), group: number(2), threads: number(17), resident: number(21) * os.Getpagesize(),
		time: number(11) + number(12) + number(13) + number(14),
	}, nil
}

// familyOf are the live processes that come from one, or are in its process group.
func familyOf(leader int) []stat {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var all []stat
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			if s, err := readStat(pid); err == nil && s.state != 'Z' {
				all = append(all, s)
			}
		}
	}
	in := map[int]bool{leader: true}
	for grown := true; grown; { // parents may have larger numbers than their children
		grown = false
		for _, s := range all {
			if !in[s.pid] && (in[s.parent] || s.group == leader) {
				in[s.pid], grown = true, true
			}
		}
	}
	var family []stat
	for _, s := range all {
		if in[s.pid] {
			family = append(family, s)
		}
	}
	return family
}
