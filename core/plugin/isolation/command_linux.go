package isolation

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// self is this program, also when its file has been replaced meanwhile.
const self = "/proc/self/exe"

// Prepare makes a process ready to be started: its Command, which the caller may give standard streams.
func (s *System) Prepare(spec Spec) (*Process, error) {
	p := &Process{spec: spec, system: s}
	if err := p.prepare(); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

func (p *Process) prepare() error {
	folder, err := os.OpenFile(filepath.Dir(p.spec.Path), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return fmt.Errorf("open the plugin's folder: %w", err)
	}
	p.files = append(p.files, folder)
	if err := p.reach(); err != nil {
		return err
	}
	if err := p.resolve(); err != nil {
		return err
	}
	if p.system.groups != nil {
		if p.group, err = p.system.groups.make(filepath.Base(p.spec.Dir), p.spec.Memory, p.tasks()); err != nil {
			return err
		}
	}
	if p.spec.Network && !p.relayed() {
		if err := p.listenOutside(); err != nil {
			return err
		}
	}
	return p.command(p.spec.Executable, folder)
}

// reach sees to it that the process can get at its own folder. Where its user cannot, it may read files and enter folders
// whatever their permissions: Landlock bounds it all the same, and does so alone.
func (p *Process) reach() error {
	if p.spec.UserID == 0 || Reachable(filepath.Dir(p.spec.Path)) {
		return nil
	}
	if p.search = p.system.landlock > 0 && p.system.filter; p.search {
		return nil
	}
	script, err := isScript(p.spec.Executable)
	if err == nil && script {
		err = fmt.Errorf("the plugin's user cannot get to %s; put the plugin where every user can get to, or chmod o+x the folders above", filepath.Dir(p.spec.Path))
	}
	return err
}

// command is the launcher, in a process group, and with Linux's means from outside. It gets what was granted, too. Of the
// files executable is the caller's; the others are closed with the process.
func (p *Process) command(executable, folder *os.File) error {
	theirs, ours, err := talk()
	if err != nil {
		return err
	}
	p.plan = ours
	p.files = append(p.files, theirs)
	env := []string{launchVariable + "=1"}
	for _, v := range p.spec.Env {
		if path, ok := strings.CutPrefix(v, "PATH="); ok && p.system.landlock > 0 {
			v = "PATH=" + usablePath(path, p.spec)
		}
		env = append(env, v)
	}
	switch {
	case p.relayed():
		env = proxied(env, relayAddress)
	case p.spec.Network:
		env = proxied(env, p.listener.Addr().String())
	}
	namespaces := p.system.namespaces(p.spec.Network)
	p.Command = &exec.Cmd{
		Path: self, Args: []string{p.spec.Path}, Dir: p.spec.Dir, Env: env,
		ExtraFiles: []*os.File{theirs, executable, folder},
		SysProcAttr: &syscall.SysProcAttr{
			Setpgid: true, Pdeathsig: syscall.SIGKILL, Cloneflags: namespaces,
		},
	}
	for _, to := range p.granted {
		p.Command.ExtraFiles = append(p.Command.ExtraFiles, to.file)
	}
	if p.relayed() { // for the launcher, over these namespaces
		p.Command.SysProcAttr.AmbientCaps = append(p.Command.SysProcAttr.AmbientCaps, unix.CAP_NET_ADMIN)
	}
	if p.system.root {
		p.Command.SysProcAttr.AmbientCaps = append(p.Command.SysProcAttr.AmbientCaps, unix.CAP_SYS_ADMIN)
	}
	if id := p.spec.UserID; id != 0 {
		p.Command.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(id), Gid: uint32(id)}
		if p.search {
			p.Command.SysProcAttr.AmbientCaps = append(p.Command.SysProcAttr.AmbientCaps, unix.CAP_DAC_READ_SEARCH)
		}
	}
	if namespaces&unix.CLONE_NEWUSER != 0 { // the same user, who may have other namespaces this way
		p.Command.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Geteuid(), HostID: os.Geteuid(), Size: 1}}
		p.Command.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getegid(), HostID: os.Getegid(), Size: 1}}
	}
	return nil
}

// namespaces are the clone flags of a process.
func (s *System) namespaces(network bool) uintptr {
	var flags uintptr
	if s.network && (!network || s.relay) {
		flags |= unix.CLONE_NEWNET | unix.CLONE_NEWIPC
	}
	if s.root {
		flags |= unix.CLONE_NEWNS
	}
	if s.ends {
		flags |= unix.CLONE_NEWPID
	}
	if flags != 0 && os.Geteuid() != 0 {
		flags |= unix.CLONE_NEWUSER
	}
	return flags
}

// Admit puts the started launcher under its limits and lets it go on.
func (p *Process) Admit(pid int) error {
	if p.group != nil {
		if err := p.group.add(pid); err != nil {
			return err
		}
	}
	if p.group != nil && p.group.lazy() {
		p.lookouts = append(p.lookouts, greed(p.group))
	}
	if p.group == nil || !p.group.memory {
		p.lookouts = append(p.lookouts, watchdog(pid, p.spec, p.system.ends))
	}
	if p.spec.Space > 0 {
		p.lookouts = append(p.lookouts, hoard{pid, p.spec, p.group}.watch())
	}
	script, err := isScript(p.spec.Executable)
	if err != nil {
		return err
	}
	orders := plan{
		Path: p.spec.Path, Dir: p.spec.Dir, Root: p.system.root, Script: script, Landlock: p.system.landlock > 0, Filter: p.system.filter,
		Network: p.spec.Network, Relay: p.relayed(), Files: p.spec.Files, Init: p.system.ends, Search: p.search,
	}
	if !slices.ContainsFunc(p.spec.Files, func(f File) bool { return f.Write }) {
		orders.FileSize = uint64(p.spec.Space) << 20
	}
	if p.spec.UserID != 0 && (p.group == nil || !p.group.processes) {
		orders.Processes = uint64(p.tasks())
	}
	return p.order(orders)
}

func (p *Process) order(orders plan) error {
	raw, err := json.Marshal(orders)
	if err != nil {
		return fmt.Errorf("write the plan: %w", err)
	}
	_, err = p.plan.Write(raw)
	err = cmp.Or(err, p.plan.CloseWrite())
	switch {
	case errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET): // a dead launcher says itself why
		return nil
	case err != nil:
		return fmt.Errorf("write the plan: %w", err)
	}
	if orders.Relay {
		if err := p.receiveListener(); err != nil {
			return err
		}
	}
	if orders.Init && !orders.Probe {
		return p.meet()
	}
	return nil
}

func isScript(f *os.File) (bool, error) {
	var head [2]byte
	n, err := f.ReadAt(head[:], 0)
	if n < len(head) {
		return false, fmt.Errorf("read %s: %w", f.Name(), err)
	}
	return string(head[:]) == "#!", nil
}

// Listens says whether a connected unix socket was opened to listen by the process, which goes on: by its user, where it
// has one of its own, or else by itself or what comes from it.
func (p *Process) Listens(fd uintptr) error {
	peer, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	switch pid := p.Command.Process.Pid; {
	case err != nil:
		return fmt.Errorf("find out whose the socket is: %w", err)
	case p.spec.UserID != 0 && int(peer.Uid) != p.spec.UserID:
		return fmt.Errorf("the socket is that of user %d", peer.Uid)
	case p.spec.UserID == 0 && !slices.ContainsFunc(familyOf(pid), func(s stat) bool { return s.pid == int(peer.Pid) }):
		return fmt.Errorf("the socket is that of process %d", peer.Pid)
	}
	return nil
}

// tasks is how many processes and threads there may be.
func (p *Process) tasks() int {
	if p.system.ends {
		return p.spec.Processes + initTasks
	}
	return p.spec.Processes
}

// Leaves says that what the process starts may outlive it, also past Kill.
func (p *Process) Leaves() bool { return !p.system.ends && p.group == nil }

// Kill ends what is left of the process, also what has left its process group.
func (p *Process) Kill() {
	if p.group != nil {
		p.group.kill()
	}
}

// Close gives back what belongs to the process, which must be gone. It says which limit the process has met, if any.
func (p *Process) Close() (verdict string) {
	for _, f := range p.files {
		_ = f.Close()
	}
	p.files = nil
	if p.plan != nil {
		p.hearOut()
		_ = p.plan.Close()
	}
	if p.listener != nil {
		_ = p.listener.Close()
	}
	var met []string
	for _, l := range p.lookouts {
		met = append(met, l.close())
	}
	p.lookouts = nil
	if p.group != nil {
		if p.group.outOfMemory() {
			met = append(met, fmt.Sprintf("it needed more than the %d MiB of memory that it may have", p.spec.Memory))
		}
		p.group.remove()
		p.group = nil
	}
	met = slices.DeleteFunc(met, func(limit string) bool { return limit == "" })
	return strings.Join(met, "; ")
}

// Started closes what only the child needs.
func (p *Process) Started() {
	for _, f := range p.files {
		_ = f.Close()
	}
	p.files = nil
}
