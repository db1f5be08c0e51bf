package plugin

import (
	"os/exec"
	"runtime"
)

// starter starts processes from one thread that lives as long as the host: on Linux a process's death signal comes
// when the thread that started it ends, which need not be when the host ends.
type starter struct {
	commands chan startCommand
	done     chan struct{}
}

type startCommand struct {
	cmd    *exec.Cmd
	result chan<- error
}

func newStarter() *starter {
	s := &starter{commands: make(chan startCommand), done: make(chan struct{})}
	go s.run()
	return s
}

func (s *starter) run() {
	defer close(s.done)
	runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
	for c := range s.commands {
		c.result <- c.cmd.Start()
	}
}

func (s *starter) start(cmd *exec.Cmd) error {
	result := make(chan error, 1)
	s.commands <- startCommand{cmd, result}
	return <-result
}

// close ends the thread. All processes must be gone.
func (s *starter) close() {
	close(s.commands)
	<-s.done
}
