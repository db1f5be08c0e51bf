// Package isolation starts the processes of plugins so that they have what they were granted and nothing else, as far as
// the system can deny it: a user and a root of their own, files by Landlock, no network but a proxy, no privileges, few
// system calls, bounded memory and processes. It knows nothing of the protocol that the processes speak, nor of who grants
// what.
//
// A process begins as this program once more. That copy, the launcher, has been put into its control groups and
// namespaces from outside, denies itself the rest, and then becomes the plugin. Where it is the first of a namespace of
// processes, it starts the plugin instead and waits for its end: with it the kernel ends all that is in the namespace.
package isolation

import (
	"fmt"
	"hash/fnv"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// Refusal begins what a process writes to standard error that could not be given what it was granted.
const Refusal = "the plugin could not be started:"

// Config is what a System needs to know.
type Config struct {
	// Key tells this host from others on the machine: the path of its private folder.
	Key string
	// UserIDs are the users that plugins run as where this process is root.
	UserIDs Range
}

// Range holds user ids, both ends included.
type Range struct{ First, Last int }

// DefaultUserIDs lie where neither distributions nor systemd nor container runtimes give ids away.
var DefaultUserIDs = Range{2_000_000_000, 2_000_065_535}

// Feature is something that a system can deny processes.
type Feature struct {
	Name   string
	Have   bool
	Detail string // how it is done, or why it is not
	Advice string // what an operator can do to have it
}

// Spec is a process to be started, and what it may have.
type Spec struct {
	Path       string   // of the executable: its first argument
	Executable *os.File // open on it; what was opened is what is executed, unless it is a script
	Dir        string   // private working folder
	Env        []string
	UserID     int  // 0: that of this process
	Network    bool // by an HTTP proxy, which Listener wants
	Files      []File
	Reserved   []Reserved
	Memory     int // MiB of all processes together
	Space      int // MiB of all files in Dir, and of one file unless Files can be written; 0: not bounded
	Processes  int // and threads
}

// File is a file, or a folder with all that is in it.
type File struct {
	Path  string
	Write bool
	Place string // where the path must lead; empty: wherever it does
}

// Reserved is a folder in which nothing is granted to anybody. What contains it is granted neither, or to be read only.
type Reserved struct {
	Path    string
	What    string // lies there: "the server keeps its data"
	Visible bool   // what contains it may be read
}

// GrantError says that nobody is granted a file, or not as it is reached now.
type GrantError struct {
	Path string
	err  error
}

func (e *GrantError) Error() string {
	return fmt.Sprintf("permissions: %s cannot be granted: %v", e.Path, e.err)
}

func (e *GrantError) Unwrap() error { return e.err }

// Process is one that has been prepared: Command starts it, and Admit must follow at once. Close is called in any case.
type Process struct {
	Command *exec.Cmd

	spec     Spec
	system   *System
	search   bool
	group    *group // nil without control groups
	lookouts []*lookout
	plan     *net.UnixConn // for the launcher's orders
	files    []*os.File
	granted  []*place // for each of the files in spec
	pid      int      // of the plugin, where that is not the launcher; 0: it is
	report   *report  // of the launcher, where it has made one

	listener net.Listener
}

// Give makes a path the process's user's.
func (p *Process) Give(paths ...string) error {
	if p.spec.UserID == 0 {
		return nil
	}
	for _, path := range paths {
		if err := os.Lchown(path, p.spec.UserID, p.spec.UserID); err != nil {
			return fmt.Errorf("give a folder to the plugin's user: %w", err)
		}
	}
	return nil
}

// PID is that of the started plugin. Command's is that of the launcher, which may be another process: what becomes of that
// one becomes of the plugin.
func (p *Process) PID() int {
	if p.pid != 0 {
		return p.pid
	}
	return p.Command.Process.Pid
}

// Ending says how the plugin has ended, which must be gone.
func (p *Process) Ending() string {
	if p.hearOut(); p.report == nil {
		return p.Command.ProcessState.String()
	}
	return p.report.ending()
}

// Left says whether the plugin, which must be gone, has left others behind.
func (p *Process) Left() bool {
	if p.hearOut(); p.report == nil {
		return syscall.Kill(-p.Command.Process.Pid, 0) == nil
	}
	return p.report.Left
}

// report is how the plugin has ended, and whether it has left others behind.
type report struct {
	Status syscall.WaitStatus `json:"status"`
	Left   bool               `json:"left"`
}

func (r *report) ending() string {
	switch s := r.Status; {
	case s.Signaled() && s.CoreDump():
		return fmt.Sprintf("signal: %s (core dumped)", s.Signal())
	case s.Signaled():
		return fmt.Sprintf("signal: %s", s.Signal())
	default:
		return fmt.Sprintf("exit status %d", s.ExitStatus())
	}
}

// Reachable says whether every user can get to a path.
func Reachable(path string) bool {
	for ; ; path = filepath.Dir(path) {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm()&0o001 == 0 {
			return false
		}
		if path == filepath.Dir(path) {
			return true
		}
	}
}

// Users says whether plugins run as users of their own.
func (s *System) Users() bool { return s.users }

// UserIDFor is the user that a plugin runs as, always the same; 0 where users cannot be changed.
func (s *System) UserIDFor(plugin string) int {
	if !s.users {
		return 0
	}
	return s.config.UserID(plugin)
}

// UserID is the user that a plugin runs as where users can be changed.
func (c Config) UserID(plugin string) int {
	users := c.UserIDs
	if users == (Range{}) {
		users = DefaultUserIDs
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(c.Key + "\x00" + plugin))
	size := uint64(users.Last - users.First + 1)
	return users.First + int(h.Sum64()%size)
}
