package plugin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin/runner"
)

// socketDirVariable tells a plugin where to put its socket; go-plugin sets it.
const socketDirVariable = "PLUGIN_UNIX_SOCKET_DIR"

// maxSocketPath leaves room in the 104 bytes that the address of a unix socket has on the meanest system.
const maxSocketPath = 100

// socketName is the longest file name that a plugin's library is expected to choose in its socket folder.
const socketName = 24

// process is one plugin process and everything that it must not leave behind: its process group, its pipes and its
// private folder. It implements go-plugin's runner.Runner, which is used for the handshake only.
type process struct {
	found
	launcher *Launcher
	dir      string
	log      hclog.Logger
	veil     *veil // over what it writes

	cell       *Cell    // nil until it is prepared
	socketDir  string   // as the host sees it
	socketRoot *os.File // open on socketDir where its path is too long for an address
	stdout     *os.File
	stderr     *os.File
	handshake  *io.PipeReader // the first line of stdout
	announce   *io.PipeWriter
	tail       tail
	gate       *floodgate // before the log

	mu     sync.Mutex
	id     int    // 0 until it is started
	killed string // why the host killed it; empty: it did not

	exited  chan struct{} // closed when the process is reaped, its group killed and its output read
	ending  string        // how it ended
	verdict string        // which of its limits it has met
}

func newProcess(h *Host, f found, dir string, log hclog.Logger) *process {
	p := &process{found: f, launcher: h.launcher, dir: dir, log: log, veil: &h.veil, exited: make(chan struct{})}
	p.handshake, p.announce = io.Pipe()
	p.gate = newFloodgate(log)
	return p
}

// prepare is go-plugin's RunnerFunc: spec holds nothing but the variables of the handshake.
func (p *process) prepare(_ hclog.Logger, spec *exec.Cmd, socketDir string) (runner.Runner, error) {
	p.socketDir = socketDir
	env := spec.Env
	if len(socketDir)+1+socketName > maxSocketPath {
		var err error
		if p.socketRoot, err = openForSocket(socketDir); err != nil {
			return nil, err
		}
		relative, err := filepath.Rel(p.dir, socketDir)
		if err != nil {
			return nil, fmt.Errorf("name socket folder: %w", err)
		}
		env = slices.DeleteFunc(env, func(v string) bool { return strings.HasPrefix(v, socketDirVariable+"=") })
		env = append(env, socketDirVariable+"="+relative) // the plugin's working folder is p.dir
	}
	var err error
	if p.cell, err = p.launcher.prepare(p.found, p.dir, env, socketDir); err != nil {
		return nil, err
	}
	return p, nil
}

// Start starts the process. Standard input is empty, since cmd.Stdin is nil.
func (p *process) Start(context.Context) (err error) {
	var theirs []*os.File
	defer func() {
		for _, f := range theirs {
			_ = f.Close()
		}
		if err != nil && p.stdout != nil {
			_ = p.stdout.Close()
		}
		if err != nil && p.stderr != nil {
			_ = p.stderr.Close()
		}
	}()
	var out, errs *os.File
	if p.stdout, out, err = os.Pipe(); err != nil {
		return fmt.Errorf("open pipe: %w", err)
	}
	theirs = append(theirs, out)
	if p.stderr, errs, err = os.Pipe(); err != nil {
		return fmt.Errorf("open pipe: %w", err)
	}
	theirs = append(theirs, errs)
	p.cell.Command.Stdout, p.cell.Command.Stderr = out, errs
	if err := p.cell.start(); err != nil {
		return err
	}
	p.mu.Lock()
	p.id = p.cell.Command.Process.Pid
	killed := p.killed != ""
	p.mu.Unlock()
	if killed { // while it was being started
		p.signal(syscall.SIGKILL)
	}
	admitted := p.cell.admit()
	p.mu.Lock()
	p.id = p.cell.box.PID()
	p.mu.Unlock()
	go p.watch()
	if admitted != nil {
		p.kill(admitted.Error())
	}
	return admitted
}

// watch owns the process from its start to its end. The group is killed while the dead leader still holds its
// number, so that the number cannot have passed to somebody else.
func (p *process) watch() {
	defer close(p.exited)
	var readers sync.WaitGroup
	readers.Go(p.drainStdout)
	readers.Go(p.drainStderr)
	awaitExit(p.cell.Command.Process.Pid)
	p.signal(syscall.SIGKILL)
	p.cell.end()
	_ = p.cell.Command.Wait()
	p.verdict = p.cell.box.Close()
	p.ending = p.cell.Ending()
	// What it wrote lies in the pipes and is read at once; who still holds them has escaped the group.
	deadline := time.Now().Add(500 * time.Millisecond)
	_ = p.stdout.SetReadDeadline(deadline)
	_ = p.stderr.SetReadDeadline(deadline)
	readers.Wait()
	_ = p.stdout.Close()
	_ = p.stderr.Close()
	p.gate.end()
}

func (p *process) signal(s syscall.Signal) { _ = syscall.Kill(-p.cell.Command.Process.Pid, s) }

// kill ends the process now; the first reason given is kept.
func (p *process) kill(why string) {
	p.mu.Lock()
	if p.killed == "" {
		p.killed = why
	}
	started := p.id != 0
	p.mu.Unlock()
	if started && !p.ended() {
		p.signal(syscall.SIGKILL)
	}
}

// stop gives the process a time to end by itself, tells it to with half of that, and kills it.
func (p *process) stop(grace time.Duration) {
	if p.await(grace / 2) {
		return
	}
	p.signal(syscall.SIGTERM)
	if p.await(grace / 2) {
		return
	}
	p.kill("it did not end when it was asked to")
	if !p.await(5 * time.Second) {
		p.log.Error("plugin process cannot be killed", "pid", p.pid())
	}
}

func (p *process) await(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-p.exited:
		return true
	case <-t.C:
		return false
	}
}

// release removes what belongs to the process in the file system.
func (p *process) release() {
	if p.socketRoot != nil {
		_ = p.socketRoot.Close()
	}
	if p.cell != nil {
		_ = p.cell.executable.Close()
	}
	if p.cell != nil && p.pid() == 0 {
		p.cell.box.Close()
	}
	if err := os.RemoveAll(p.dir); err != nil {
		p.log.Warn("private folder of a plugin could not be removed", "error", err)
	}
}

// epitaph says how the process ended and what it last wrote.
func (p *process) epitaph() string {
	var b strings.Builder
	p.mu.Lock()
	killed := p.killed
	p.mu.Unlock()
	switch {
	case p.ended() && p.verdict != "":
		b.WriteString(p.verdict)
	case killed != "":
		b.WriteString("killed by the host: " + killed)
	case !p.ended():
		b.WriteString("still running")
	default:
		b.WriteString(p.ending)
	}
	if t := p.tail.String(); t != "" {
		b.WriteString("\n" + t)
	}
	return b.String()
}

func (p *process) ended() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

func (p *process) pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.id
}

// PluginToHost translates the address that the plugin announces. Only a socket in the folder that it was given is
// accepted: an address of its choice would let it point the host at anybody.
func (p *process) PluginToHost(network, address string) (string, string, error) {
	if network != "unix" {
		return "", "", fmt.Errorf("the plugin listens on %s %s; it must listen on a unix socket in $%s", network, address, socketDirVariable)
	}
	abs := address
	if !filepath.IsAbs(abs) {
		abs = filepath.Join(p.dir, abs)
	}
	if filepath.Dir(abs) != filepath.Clean(p.socketDir) {
		return "", "", fmt.Errorf("the plugin's socket %s does not lie in $%s", address, socketDirVariable)
	}
	if p.socketRoot != nil {
		abs = socketPath(p.socketRoot, filepath.Base(abs))
	}
	return network, abs, nil
}

// HostToPlugin is for brokers, which are not used.
func (p *process) HostToPlugin(string, string) (string, string, error) {
	return "", "", errors.New("connections from the plugin to the host are not offered")
}

// Stdout is the line of the handshake and nothing more.
func (p *process) Stdout() io.ReadCloser { return p.handshake }

// Stderr is empty for go-plugin: its reader of logs can be made to panic by what a plugin writes.
func (p *process) Stderr() io.ReadCloser { return io.NopCloser(bytes.NewReader(nil)) }

// Wait returns when nothing of the process is left.
func (p *process) Wait(context.Context) error {
	<-p.exited
	return nil
}

// Kill ends the process after a failed handshake.
func (p *process) Kill(context.Context) error {
	p.kill("its start failed")
	return nil
}

// Diagnose adds nothing: the host tells how the process ended.
func (p *process) Diagnose(context.Context) string { return "" }

// Name is the path of the executable.
func (p *process) Name() string { return p.path }

// ID is the process id.
func (p *process) ID() string { return strconv.Itoa(p.pid()) }
