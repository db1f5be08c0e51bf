package isolation

import (
	"runtime"
	"time"
)

const (
	greedInterval = time.Second
	greedyInARow  = 3       // looks
	greedyShare   = 3.0 / 4 // of all processors
	ticksASecond  = 100     // of the times in /proc, on every architecture that Go knows
)

// lazy says whether the group's controller of processor time is kept for greedy processes: it is a tree of its own, and
// another one tells whose processes are whose.
func (g *group) lazy() bool {
	return g.folders["cpu"] != "" && !g.unified["cpu"] && g.members() != ""
}

// members is the folder that all processes of the group are in.
func (g *group) members() string {
	if g.folders["pids"] != "" {
		return g.folders["pids"]
	}
	return g.folders["memory"]
}

// greed bounds the processor time of a group that has taken most of the machine for a while. In groups of version 1 being
// bounded costs each wake-up some microseconds, which processes that do not need it are spared.
func greed(g *group) *lookout {
	var seen appetite
	return lookOut(greedInterval, func(now time.Time) (time.Duration, string) {
		if !seen.greedy(now, g.time(), runtime.NumCPU()) {
			return greedInterval, ""
		}
		g.bound()
		return 0, ""
	})
}

// time is the processor time in ticks that the group's processes have taken.
func (g *group) time() (ticks int) {
	pids, err := members(g.members())
	if err != nil {
		return 0
	}
	for _, pid := range pids {
		if s, err := readStat(pid); err == nil {
			ticks += s.time
		}
	}
	return ticks
}

// bound puts all processes of the group under its limit of processor time. Those that they start meanwhile are met by
// the second look.
func (g *group) bound() {
	for range 2 {
		pids, err := members(g.members())
		if err != nil {
			return
		}
		for _, pid := range pids {
			_ = join(g.folders["cpu"], pid) // it may be gone
		}
	}
}

// appetite is what was seen of a process before.
type appetite struct {
	at    time.Time
	ticks int
	row   int
}

// greedy says whether the time that was taken until now makes the process a greedy one.
func (a *appetite) greedy(now time.Time, ticks, processors int) bool {
	elapsed := now.Sub(a.at).Seconds()
	if !a.at.IsZero() && float64(ticks-a.ticks) >= greedyShare*float64(processors)*ticksASecond*elapsed {
		a.row++
	} else {
		a.row = 0
	}
	a.at, a.ticks = now, ticks
	return a.row >= greedyInARow
}
