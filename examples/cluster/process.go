package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	startLimit = 2 * time.Minute
	stopLimit  = 45 * time.Second // longer than a server's grace
)

// process is a program that can be stopped and started anew.
type process struct {
	name  string
	args  []string
	env   []string
	log   string // file that it writes to
	ready string // URL that answers when it is ready
	cmd   *exec.Cmd
	ended chan struct{}
}

func (p *process) start() error {
	file, err := os.OpenFile(p.log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	p.cmd = exec.Command(p.args[0], p.args[1:]...)
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = append(os.Environ(), p.env...), file, file
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for this program, which stops the others in order
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	p.ended = make(chan struct{})
	go func(cmd *exec.Cmd, ended chan struct{}) {
		_ = cmd.Wait()
		close(ended)
	}(p.cmd, p.ended)
	return nil
}

// await returns when the process is ready.
func (p *process) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for !answers(ctx, p.ready, time.Second) {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-p.ended:
			return fmt.Errorf("%s ended; the end of its log %s:\n%s", p.name, p.log, p.lastWords())
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready; the end of its log %s:\n%s", p.name, p.log, p.lastWords())
		}
	}
	return nil
}

// lastWords is the end of the log, which goes with the folder of a cluster that did not start.
func (p *process) lastWords() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], "\n")
}

// stop ends the process in its own order, and by force when that takes too long.
func (p *process) stop() {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-p.ended:
	case <-time.After(stopLimit):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

func stopAll(all []*process) {
	var stopping sync.WaitGroup
	for _, p := range all {
		stopping.Go(p.stop)
	}
	stopping.Wait()
}
