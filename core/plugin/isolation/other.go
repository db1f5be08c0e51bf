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
	group    struct{}
	watchdog struct{}
	greed    struct{}
)

// Probe finds that nothing can be denied here.
func Probe(config Config) (*System, error) { return &System{config: config}, nil }

// Features are what can be denied here and what cannot.
func (s *System) Features() []Feature {
	var all []Feature
	for _, name := range []string{"users", "network", "files", "system calls", "memory", "processes", "processor time"} {
		all = append(all, Feature{
			Name: name, Detail: "not isolated on this system",
			Advice: "install plugins that you trust only, or run the server on Linux",
		})
	}
	return all
}

// Prepare makes a process ready to be started, in a process group of its own.
func (s *System) Prepare(spec Spec) (*Process, error) {
	command := &exec.Cmd{Path: spec.Path, Args: []string{spec.Path}, Dir: spec.Dir, Env: spec.Env, SysProcAttr: &syscall.SysProcAttr{Setpgid: true}}
	return &Process{spec: spec, system: s, Command: command}, nil
}

// Started has nothing to close.
func (p *Process) Started() {}

// Admit lets the process be.
func (p *Process) Admit(int) error { return nil }

// Kill has no group to end.
func (p *Process) Kill() {}

// Close has nothing to give back.
func (p *Process) Close() string { return "" }

// Close has nothing to remove.
func (s *System) Close() {}

// PeerIs is not asked where plugins have no users of their own.
func PeerIs(uintptr, int) error { return nil }
