package cli

import (
	"os"
	"runtime"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// timerSlack is in nanoseconds how much later than asked for the system may end a sleep.
const timerSlack = 1_000_000

// relaxTimers gives a server's process, and all that it starts, timers that are a millisecond late at most rather than
// 50 µs: it executes the program anew, since threads have what the thread had that made them, and the one in question is
// older than any code of ours. Go has a thread look after its others, every 20 µs as long as any of them waits for the
// system; a server and its plugins do so all the time, and on two cores that thread alone took a tenth of their work. Go
// itself lets it sleep for up to 10 ms at other times. Where it cannot be, the server is only slower.
func relaxTimers(args, environ []string) {
	if !slices.Contains(args, "serve") {
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if slack() >= timerSlack || unix.Prctl(unix.PR_SET_TIMERSLACK, timerSlack, 0, 0, 0) != nil || slack() != timerSlack {
		return
	}
	if program, err := os.Executable(); err == nil {
		_ = syscall.Exec(program, args, environ)
	}
}

// slack is that of this thread.
func slack() int {
	n, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil {
		return 0
	}
	return n
}
