package servertest

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// respite is between the end of a Kept and its next start, as who supervises it would leave it: its port or its database
// may not be free yet.
const respite = 50 * time.Millisecond

// Kept is a program that is started again whenever it has ended, until Finish.
type Kept struct {
	ends atomic.Int64
	mu   sync.Mutex
	cmd  *exec.Cmd // the last one that was started
	end  bool
	done chan struct{}
}

// Keep starts a program, by a new command each time. What it writes goes to log, and so does that it does not start.
func Keep(log io.Writer, command func() *exec.Cmd) *Kept {
	k := &Kept{done: make(chan struct{})}
	go k.run(log, command)
	return k
}

func (k *Kept) run(log io.Writer, command func() *exec.Cmd) {
	defer close(k.done)
	for {
		k.mu.Lock()
		if k.end {
			k.mu.Unlock()
			return
		}
		cmd := command()
		cmd.Stdout, cmd.Stderr = log, log
		err := cmd.Start()
		if err == nil {
			k.cmd = cmd
		}
		k.mu.Unlock()
		if err != nil {
			_, _ = fmt.Fprintln(log, err)
		} else {
			_ = cmd.Wait()
			k.ends.Add(1)
		}
		time.Sleep(respite)
	}
}

// Signal sends a signal to the process that runs, if one does.
func (k *Kept) Signal(s os.Signal) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.cmd != nil {
		_ = k.cmd.Process.Signal(s) // it may have ended
	}
}

// Kill ends the process that runs as kill -9 does.
func (k *Kept) Kill() { k.Signal(syscall.SIGKILL) }

// Ends is how often it has ended.
func (k *Kept) Ends() int64 { return k.ends.Load() }

// Finish ends it for good.
func (k *Kept) Finish() {
	k.mu.Lock()
	k.end = true
	k.mu.Unlock()
	k.Kill()
	<-k.done
}

// Lifeline lets a command end with this process: its standard input does.
func Lifeline(cmd *exec.Cmd) *exec.Cmd {
	if _, err := cmd.StdinPipe(); err != nil {
		cmd.Err = err
	}
	return cmd
}
