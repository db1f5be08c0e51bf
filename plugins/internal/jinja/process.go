package jinja

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
)

// process is one renderer. It is used by one caller at a time.
type process struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    io.Reader
	stderr head
}

func start(path string) (*process, error) {
	p := &process{}
	p.cmd = exec.Command(path, argument)
	p.cmd.Env = []string{"GOTRACEBACK=none"}
	p.cmd.Stderr = &p.stderr
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if p.out, err = p.cmd.StdoutPipe(); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	return p, nil
}

// render asks the process for a text. After an error of the process, not of the template, it is dead.
func (p *process) render(ctx context.Context, ask request) (answer response, alive bool, err error) {
	stop := context.AfterFunc(ctx, func() { _ = p.cmd.Process.Kill() })
	err = writeFrame(p.in, ask)
	if err == nil {
		err = readFrame(p.out, &answer)
	}
	if stop() && err == nil {
		return answer, true, nil
	}
	p.kill()
	if ctx.Err() != nil {
		return response{}, false, context.Cause(ctx)
	}
	return response{}, false, p.cause()
}

// kill ends the process and waits for its end.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.in.Close()
	_ = p.cmd.Wait()
}

// cause says in an author's words why the process died under a template.
func (p *process) cause() error {
	said := p.stderr.String()
	switch {
	case p.cmd.ProcessState.ExitCode() == outOfMemory, strings.Contains(said, "out of memory"), strings.Contains(said, "cannot allocate"):
		return fmt.Errorf("the template needs more than the %d MiB of memory that it may have", maxHeap>>20)
	case strings.Contains(said, "stack"):
		return fmt.Errorf("the template or its values nest too deeply")
	default:
		line, _, _ := strings.Cut(said, "\n")
		return fmt.Errorf("the renderer ended with %s: %s", p.cmd.ProcessState, line)
	}
}

// head keeps the beginning of what is written to it.
type head struct {
	mu   sync.Mutex
	kept bytes.Buffer
}

func (h *head) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	const enough = 4 << 10
	h.kept.Write(p[:max(0, min(len(p), enough-h.kept.Len()))])
	return len(p), nil
}

func (h *head) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.kept.String()
}
