package plugin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/patchbay-io/patchbay/core/plugin/isolation"
)

// inherited are the only variables of the host's environment that a plugin gets.
var inherited = []string{"PATH", "LANG", "TZ"}

const inheritedPrefix = "SSL_CERT_"

// Launcher starts processes of plugins: isolated, each in a private folder, with what its plugin was granted and no more.
// It says nothing to them. A Host starts all its processes by one; whoever tests a plugin does without the host.
type Launcher struct {
	system  *isolation.System
	runtime *runtimeDir
	starter *starter
	private []string
	plugins []string // folders of them
	proxy   Proxy
}

// NewLauncher finds out what the system can deny to plugins, and opens the folder of their private ones. Of the Config it
// takes RuntimeDir, UserIDs, Private, Dirs and Proxy.
func NewLauncher(c Config) (*Launcher, error) {
	system, err := isolation.Probe(isolation.Config{Key: c.RuntimeDir, UserIDs: c.UserIDs})
	if err != nil {
		return nil, fmt.Errorf("isolate plugins: %w", err)
	}
	runtime, err := openRuntimeDir(c.RuntimeDir, system.Users())
	if err != nil {
		system.Close()
		return nil, err
	}
	return &Launcher{system: system, runtime: runtime, starter: newStarter(), private: append(slices.Clone(c.Private), runtime.path), plugins: c.Dirs, proxy: c.Proxy}, nil
}

// Isolation tells what the system can deny to plugins and what it cannot.
func (l *Launcher) Isolation() []isolation.Feature { return l.system.Features() }

// Close gives back what belongs to the launcher. All processes must be gone.
func (l *Launcher) Close() {
	l.starter.close()
	l.system.Close()
	l.runtime.close()
}

// Folder makes the private folder of one process, with one for temporary files in it. Close of the Cell removes it.
func (l *Launcher) Folder() (string, error) { return l.runtime.process() }

// Cell is a process of a plugin that is ready to be started. Its Command may be given standard output and error; it leads a
// process group of its own.
type Cell struct {
	Command *exec.Cmd

	launcher   *Launcher
	dir        string
	executable *os.File // what is executed
	box        *isolation.Process
	unrelay    func() // ends the proxy; nil: there is none
}

// Prepare makes a process of a plugin ready to be started in dir, which Folder has made. It sees the variables beside those
// that every plugin sees, and may have the folders own, which lie in dir.
func (l *Launcher) Prepare(i Installation, dir string, variables []string, own ...string) (*Cell, error) {
	f, err := i.inspect()
	if err != nil {
		return nil, err
	}
	return l.prepare(f, dir, variables, own...)
}

func (l *Launcher) prepare(f found, dir string, variables []string, own ...string) (_ *Cell, err error) {
	if err := f.Permissions.spares(l.private); err != nil {
		return nil, permanent(err)
	}
	c := &Cell{launcher: l, dir: dir}
	if c.executable, err = f.open(); err != nil {
		return nil, err
	}
	c.box, err = l.system.Prepare(isolation.Spec{
		Path: f.path, Executable: c.executable, Dir: dir, Env: append(slices.Clone(variables), environment(dir, f.Permissions.Environment)...),
		UserID: l.system.UserIDFor(f.Name), Network: f.Permissions.Network, Files: f.Permissions.files(), Reserved: l.reserved(),
		Memory: f.Permissions.memory(), Space: f.Permissions.memory(), Processes: f.Permissions.processes(),
	})
	if err != nil {
		if _, ok := errors.AsType[*isolation.GrantError](err); ok {
			err = permanent(err)
		}
		return nil, errors.Join(err, c.executable.Close())
	}
	if err := c.box.Give(append([]string{dir, filepath.Join(dir, temporary)}, own...)...); err != nil {
		c.box.Close()
		return nil, errors.Join(err, c.executable.Close())
	}
	c.Command = c.box.Command
	return c, nil
}

// reserved is what nobody is granted by any name.
func (l *Launcher) reserved() (all []isolation.Reserved) {
	for _, folder := range l.private {
		all = append(all, isolation.Reserved{Path: folder, What: "the server keeps its data"})
	}
	for _, folder := range l.plugins {
		all = append(all, isolation.Reserved{Path: folder, What: "plugins lie", Visible: true})
	}
	return all
}

// environment is what a process sees: what is private to it, what all may see, and what it was granted.
func environment(dir string, granted []string) []string {
	env := []string{"HOME=" + dir, "TMPDIR=" + filepath.Join(dir, temporary)}
	for _, name := range slices.Concat(inherited, granted) {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	for _, v := range os.Environ() {
		if strings.HasPrefix(v, inheritedPrefix) {
			env = append(env, v)
		}
	}
	return env
}

// Start starts the process under its limits. An error may leave it running: it is to be killed.
func (c *Cell) Start() error {
	if err := c.start(); err != nil {
		return err
	}
	return c.admit()
}

// start starts what waits to be admitted.
func (c *Cell) start() error {
	if err := c.launcher.starter.start(c.Command); err != nil {
		return fmt.Errorf("start %s: %w", c.Command.Args[0], err)
	}
	c.box.Started()
	return nil
}

// admit lets the process become the plugin, and serves its requests for the network.
func (c *Cell) admit() error {
	err := c.box.Admit(c.Command.Process.Pid)
	l := c.box.Listener()
	switch {
	case l == nil:
	case c.launcher.proxy == nil:
		_ = l.Close()
	default:
		ctx, cancel := context.WithCancel(context.Background())
		var serving sync.WaitGroup
		serving.Go(func() { c.launcher.proxy.Serve(ctx, l) })
		c.unrelay = func() {
			cancel()
			serving.Wait()
		}
	}
	return err
}

// Dial connects to a socket of the process's. It is the plugin's own only if it listens there: what lies at the path may be
// a link that the plugin has made to somebody else's.
func (c *Cell) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	socket, ok := conn.(*net.UnixConn)
	if !ok {
		_ = conn.Close()
		return nil, fmt.Errorf("the plugin's socket is one of %s", network)
	}
	raw, err := socket.SyscallConn()
	var stranger error
	if err == nil {
		err = raw.Control(func(fd uintptr) { stranger = c.box.Listens(fd) })
	}
	if err = errors.Join(err, stranger); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("connect to the plugin: %w", err)
	}
	return conn, nil
}

// PID is that of the process, once it was started. That of Command may be another process, which waits for it.
func (c *Cell) PID() int { return c.box.PID() }

// Ending says how the process has ended, which must be gone.
func (c *Cell) Ending() string { return c.box.Ending() }

// Left says whether the process, which must be gone, has left others behind.
func (c *Cell) Left() bool { return c.box.Left() }

// Close ends what has left the group of the process, which must be gone, and removes what belonged to it. It says which
// limit the process has met, if any.
func (c *Cell) Close() (verdict string, err error) {
	c.end()
	verdict = c.box.Close()
	return verdict, errors.Join(c.executable.Close(), os.RemoveAll(c.dir))
}

// end ends what has left the group of the process, and its proxy.
func (c *Cell) end() {
	c.box.Kill()
	if c.box.Leaves() {
		killOrphans(c.dir + "\x00")
	}
	if c.unrelay != nil {
		c.unrelay()
	}
}
