package server

import (
	"os"
	"runtime/debug"
)

// heapAimedAt is where the collector begins to work harder: small machines run this server too.
const heapAimedAt = 176 << 20

// tuneCollector lets garbage gather for longer than Go does by itself. Little of what a server allocates lives for
// long, and the default spends a fifth of its time on collecting. What the environment says wins.
func tuneCollector() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(800)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(heapAimedAt)
	}
}
