package isolation

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// watchInterval is how often the watchdog looks.
const watchInterval = 250 * time.Millisecond

// watchdog bounds memory and processes where the kernel does not do it for us: it looks at what a plugin's processes
// have and ends them all where that is too much. Between two looks a plugin can go beyond its bounds.
type watchdog struct {
	pid  int
	spec Spec
	end  chan struct{}
	wg   sync.WaitGroup
	met  string // valid once wg is done
}

func watch(pid int, spec Spec) *watchdog {
	w := &watchdog{pid: pid, spec: spec, end: make(chan struct{})}
	w.wg.Go(w.run)
	return w
}

// close ends the watch and says what it has ended the process for.
func (w *watchdog) close() string {
	close(w.end)
	w.wg.Wait()
	return w.met
}

func (w *watchdog) run() {
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	for {
		select {
		case <-w.end:
			return
		case <-tick.C:
		}
		family := familyOf(w.pid)
		memory, threads := 0, 0
		for _, s := range family {
			memory += s.resident
			threads += s.threads
		}
		switch {
		case memory>>20 > w.spec.Memory:
			w.met = fmt.Sprintf("it needed more than the %d MiB of memory that it may have: %d", w.spec.Memory, memory>>20)
		case threads > w.spec.Processes:
			w.met = fmt.Sprintf("it had more than the %d processes and threads that it may have: %d", w.spec.Processes, threads)
		default:
			continue
		}
		for _, s := range family {
			_ = syscall.Kill(s.pid, syscall.SIGKILL)
		}
		return
	}
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
