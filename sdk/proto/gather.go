package proto

import "runtime"

// Gather lets goroutines that are ready run before a frame is sent, so that the frames that they are about to queue leave
// with it, in one write. That write, the waking of the other process and its read cost more than a small frame does. Where
// nothing else is ready it costs next to nothing.
func Gather() {
	for range 4 {
		runtime.Gosched()
	}
}
