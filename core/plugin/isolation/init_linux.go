package isolation

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The first process of a namespace of processes takes all others in it along when it ends, whatever they do to be left
// alone, by the kernel's hand. A plugin is not that one itself: such a process has to reap what others leave, and no signal
// ends it that it does not handle. The launcher is, and the kernel ends it with the server.

// initTasks is the number of threads that a launcher may have, beside what the plugin may start.
const initTasks = 8

// image is a plugin that is ready to be executed: the file that was opened before, so that what was verified is what runs.
type image struct {
	path       string
	script     bool
	empty      *byte
	file       *byte
	argv, envv []*byte
}

func starting(p plan) (*image, error) {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, launchVariable+"=") {
			env = append(env, v)
		}
	}
	i := &image{path: p.Path, script: p.Script}
	var errs [4]error
	i.empty, errs[0] = syscall.BytePtrFromString("")
	i.file, errs[1] = syscall.BytePtrFromString(p.Path)
	i.argv, errs[2] = syscall.SlicePtrFromStrings([]string{p.Path})
	i.envv, errs[3] = syscall.SlicePtrFromStrings(env)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("execute %s: %w", p.Path, err)
	}
	return i, nil
}

func (i *image) fail(errno syscall.Errno) error { return fmt.Errorf("execute %s: %w", i.path, errno) }

// exec makes this process the plugin. It may run where nothing of Go does: it returns only an error.
//
//go:norace
//go:nosplit
func (i *image) exec() syscall.Errno {
	if i.script {
		_, _, errno := unix.RawSyscall(unix.SYS_EXECVE, uintptr(unsafe.Pointer(i.file)),
			uintptr(unsafe.Pointer(&i.argv[0])), uintptr(unsafe.Pointer(&i.envv[0])))
		return errno
	}
	_, _, errno := unix.RawSyscall6(unix.SYS_EXECVEAT, executableFile, uintptr(unsafe.Pointer(i.empty)),
		uintptr(unsafe.Pointer(&i.argv[0])), uintptr(unsafe.Pointer(&i.envv[0])), unix.AT_EMPTY_PATH, 0)
	return errno
}

// reap starts the plugin, and waits for its end while it reaps what others leave. It tells the server how the plugin ended,
// since it cannot end by a signal itself.
func (i *image) reap() error {
	// What ends the group of processes by a signal that can be handled is meant for the plugin.
	signal.Notify(make(chan os.Signal, 1), unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGUSR1, unix.SIGUSR2)
	var failed [2]int
	if err := unix.Pipe2(failed[:], unix.O_CLOEXEC); err != nil {
		return fmt.Errorf("open pipe: %w", err)
	}
	pid, errno := i.fork(failed[1])
	if errno != 0 {
		return fmt.Errorf("start a process: %w", errno)
	}
	_ = unix.Close(failed[1])
	var failure [4]byte
	if n, _ := unix.Read(failed[0], failure[:]); n == len(failure) {
		return i.fail(syscall.Errno(binary.NativeEndian.Uint32(failure[:])))
	}
	// The streams stay open: who sees their end may kill this process, which has something to report first.
	for _, fd := range []int{failed[0], executableFile, folderFile} {
		_ = unix.Close(fd)
	}
	for {
		var status unix.WaitStatus
		ended, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return fmt.Errorf("wait for the plugin: %w", err)
		case ended == pid:
			return tell(status)
		}
	}
}

// tell ends the launcher as the plugin has ended. Whoever is left is its child by now.
func tell(status unix.WaitStatus) error {
	left, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
	for left > 0 || errors.Is(err, unix.EINTR) {
		left, err = unix.Wait4(-1, nil, unix.WNOHANG, nil)
	}
	told, err := json.Marshal(report{Status: syscall.WaitStatus(status), Left: err == nil})
	if err != nil {
		return fmt.Errorf("tell of the plugin's end: %w", err)
	}
	_, _ = unix.Write(planFile, told)
	code := status.ExitStatus()
	if status.Signaled() {
		code = 128 + int(status.Signal())
	}
	syscall.Exit(code) // at once: the race detector would take a second
	return nil
}

// fork starts the plugin. It lets the server know it, who sees by a byte of the new process what number that has there.
//
//go:norace
//go:nosplit
func (i *image) fork(failed int) (pid int, errno syscall.Errno) {
	started, _, errno := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if errno != 0 || started != 0 {
		return int(started), errno
	}
	_, _, _ = unix.RawSyscall(unix.SYS_WRITE, planFile, uintptr(unsafe.Pointer(i.empty)), 1)
	report := uint32(i.exec())
	_, _, _ = unix.RawSyscall(unix.SYS_WRITE, uintptr(failed), uintptr(unsafe.Pointer(&report)), unsafe.Sizeof(report))
	for {
		_, _, _ = unix.RawSyscall(unix.SYS_EXIT_GROUP, launchFailed, 0, 0)
	}
}

// meet learns the plugin's number from its first byte. A launcher that has ended has said itself why.
func (p *Process) meet() error {
	messages, err := p.hear()
	for _, m := range messages {
		if m.Header.Type == unix.SCM_CREDENTIALS {
			sender, err := unix.ParseUnixCredentials(&m)
			if err != nil {
				return fmt.Errorf("read the launcher's message: %w", err)
			}
			p.pid = int(sender.Pid)
		}
	}
	return err
}

// hearOut waits for what the launcher has to tell of the plugin's end. It says nothing if it was killed first.
func (p *Process) hearOut() {
	if p.pid == 0 || p.plan == nil || p.report != nil {
		return
	}
	var told report
	err := p.plan.SetReadDeadline(time.Now().Add(time.Second))
	if err == nil && json.NewDecoder(p.plan).Decode(&told) == nil {
		p.report = &told
	}
}
