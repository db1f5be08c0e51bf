//go:build !linux

package isolation

import (
	"os/exec"
	"syscall"
)

// System is what this machine can deny to processes: here, nothing.
type System struct {
	config Config
	users  bool
}

type (
	group   struct{}
	lookout struct{}
	place   struct{}
)

// Probe finds that nothing can be denied here.
func Probe(config Config) (*System, error) { return &System{config: config}, nil }

// Features are what can be denied here and what cannot.
func (s *System) Features() []Feature {
	var all []Feature
	for _, name := range []string{"users", "network", "egress", "files", "file names", "system calls", "what plugins start", "memory", "processes", "processor time"} {
		all = append(all, Feature{
			Name: name, Detail: "not isolated on this system",
			Advice: "install plugins that you trust only, or run the server on Linux",
		})
	}
	return all
}

// Prepare makes a process ready to be started, in a process group of its own.
func (s *System) Prepare(spec Spec) (*Process, error) {
	p := &Process{spec: spec, system: s}
	env := spec.Env
	if spec.Network {
		if err := p.listenOutside(); err != nil {
			return nil, err
		}
		env = proxied(env, p.listener.Addr().String())
	}
	p.Command = &exec.Cmd{Path: spec.Path, Args: []string{spec.Path}, Dir: spec.Dir, Env: env, SysProcAttr: &syscall.SysProcAttr{Setpgid: true}}
	return p, nil
}

// Started has nothing to close.
func (p *Process) Started() {}

// Admit lets the process be.
func (p *Process) Admit(int) error { return nil }

// Kill has no group to end.
func (p *Process) Kill() {}

// Close closes what nobody has taken.
func (p *Process) Close() string {
	if p.listener != nil {
		_ = p.listener.Close()
	}
	return ""
}

// Close has nothing to remove.
func (s *System) Close() {}

// Leaves says that what the process starts may outlive it.
func (p *Process) Leaves() bool { return true }

func (p *Process) hearOut() {}

// Listens cannot tell who listens.
func (p *Process) Listens(uintptr) error { return nil }
