package proto

import (
	"runtime"
	"time"
)

// Bounds of a Gather. Where goroutines compute for long, the first of its turns is longer than that.
const (
	gatherTurns = 4
	gatherMost  = 100 * time.Microsecond
)

// Gather lets goroutines that are ready run before a frame is sent, so that the frames that they are about to queue leave
// with it, in one write. That write, the waking of the other process and its read cost more than a small frame does. Where
// nothing else is ready it costs next to nothing.
func Gather() {
	began := time.Now()
	for range gatherTurns {
		runtime.Gosched()
		if time.Since(began) > gatherMost {
			return
		}
	}
}
