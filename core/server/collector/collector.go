// Package collector tunes the garbage collector for a server.
package collector

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

// aim is where the collector begins to work harder: small machines run this server too.
const aim = 176 << 20

// Tune lets garbage gather for longer than Go does by itself, for the rest of the process. Little of what a server
// allocates lives for long, and the default spends a fifth of its time on collecting. What the environment says wins.
func Tune() { once.Do(tune) }

var once sync.Once

func tune() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(800)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		leaveRoom(0)
	}
}

// leaveRoom keeps to the aim, or to more where more than that lives, as it does with thousands of clients. There the
// collector would begin again wherever it ended, and take a third of the time of a busy server. The limit in force is set
// anew after each collection, when it is known what lives.
func leaveRoom(inForce int64) {
	if limit := memoryLimit(measureMemory()); limit != inForce {
		debug.SetMemoryLimit(limit)
		inForce = limit
	}
	runtime.AddCleanup(new(collected), leaveRoom, inForce)
}

// collected is unreachable as soon as it is made: what cleans up after it runs after the next collection.
type collected struct{ _ *byte }

// memory is what this process has of it, in bytes.
type memory struct {
	mapped  int64 // everything that the runtime has taken and not given back
	objects int64 // of it, those of the heap, garbage too
	free    int64 // of it, the heap's reserve
	live    int64 // objects that the last collection found in use
}

func measureMemory() memory {
	samples := []metrics.Sample{
		{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/free:bytes"}, {Name: "/gc/heap/live:bytes"},
	}
	metrics.Read(samples)
	bytes := func(i int) int64 { return int64(samples[i].Value.Uint64()) }
	return memory{mapped: bytes(0) - bytes(1), objects: bytes(2), free: bytes(3), live: bytes(4)}
}

// memoryLimit lets garbage grow to about a quarter of what lives. As the runtime does, it counts stacks, and what the
// heap's pages leave unused, beside the heap; of the rest the runtime keeps 3 % back.
func memoryLimit(m memory) int64 {
	beside := m.mapped - m.objects - m.free
	return max(aim, beside+m.live+m.live*3/10)
}
