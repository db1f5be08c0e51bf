package sdk

import (
	"fmt"
	"runtime/debug"
	"strings"
)

// panicError is a panic in a block's code.
type panicError struct {
	value any
	stack string
}

func (e *panicError) Error() string {
	if e.value == nil {
		return "the block ended its goroutine (runtime.Goexit)"
	}
	return fmt.Sprintf("panic: %v", e.value)
}

// newPanicError is called in the deferred function that recovered the value, while the stack still stands.
func newPanicError(value any) *panicError {
	return &panicError{value: value, stack: frames(string(debug.Stack()))}
}

// frames is how many lines of the stack reach the log: two for each call.
const frameLines = 16

// frames are the first frames below the panic itself.
func frames(stack string) string {
	if _, below, ok := strings.Cut(stack, "\npanic("); ok {
		if lines := strings.SplitN(below, "\n", 3); len(lines) == 3 {
			stack = lines[2]
		}
	}
	lines := strings.Split(strings.TrimSpace(stack), "\n")
	return strings.Join(lines[:min(len(lines), frameLines)], "\n")
}
