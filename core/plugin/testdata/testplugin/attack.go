package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/patchbay-io/patchbay/sdk"
)

// target is what an attack is made on.
type target struct {
	Kind string // what to do
	What string // a path, an address, the number of a process
}

// attack tries what it is told to, and yields what it could do. What waits for the network waits shortly.
func attack(_ context.Context, in in, out sdk.Emitter) error {
	var targets []target
	if err := json.Unmarshal(in.Value, &targets); err != nil {
		return err
	}
	for _, t := range targets {
		if err := try(t); err == nil {
			if err := out.Emit("output", t.Kind+" "+t.What); err != nil {
				return err
			}
		}
	}
	return nil
}

func try(t target) error {
	pid, _ := strconv.Atoi(t.What)
	switch t.Kind {
	case "read":
		f, err := os.Open(t.What)
		if err != nil {
			return err
		}
		defer f.Close()
		if info, err := f.Stat(); err == nil && info.IsDir() {
			_, err := f.ReadDir(-1)
			return err
		}
		n, err := f.Read(make([]byte, 1))
		if n == 0 {
			return fmt.Errorf("nothing was read: %w", err)
		}
		return nil
	case "see": // that a file exists
		_, err := os.Lstat(t.What)
		return err
	case "write":
		f, err := os.OpenFile(t.What, os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		return f.Close()
	case "own": // the private folder is the plugin's to use
		path := filepath.Join(os.TempDir(), "mine")
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			return err
		}
		if err := os.Rename(path, filepath.Join(os.Getenv("HOME"), "mine")); err != nil {
			return err
		}
		_, err := os.ReadFile(filepath.Join(os.Getenv("HOME"), "mine"))
		return err
	case "self": // a plugin may start its own program
		path, err := os.Executable()
		if err != nil {
			return err
		}
		said, _ := exec.Command(path, "manifest").CombinedOutput()
		if !strings.Contains(string(said), "odd arguments") {
			return fmt.Errorf("it said %q", said)
		}
		return nil
	case "run":
		shell := exec.Command("/bin/sh", "-c", t.What)
		shell.Stderr = os.Stderr
		return shell.Run()
	case "tcp", "unix", "unixpacket":
		conn, err := net.DialTimeout(t.Kind, t.What, time.Second)
		if err == nil {
			err = conn.Close()
		}
		return err
	case "udp", "unixgram":
		conn, err := net.Dial(t.Kind, t.What)
		if err != nil {
			return err
		}
		defer conn.Close()
		_, err = conn.Write([]byte("from a plugin"))
		return err
	case "signal":
		return syscall.Kill(pid, 0)
	case "ptrace":
		return unix.PtraceAttach(pid)
	case "memory":
		buffer := make([]byte, 8)
		local := []unix.Iovec{{Base: &buffer[0], Len: 8}}
		_, err := unix.ProcessVMReadv(pid, local, []unix.RemoteIovec{{Base: 0x400000, Len: 8}}, 0)
		if err == unix.EFAULT { // it was allowed to
			return nil
		}
		return err
	case "vsock": // out of a virtual machine, past all namespaces
		fd, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM, 0)
		if err == nil {
			err = unix.Close(fd)
		}
		return err
	case "http": // through the proxy, which clients do not use for addresses of this machine by themselves
		return ask(t.What)
	case "ipc": // what outlives a process
		calls := map[string]struct{ number, a, b, c uintptr }{
			"shm": {unix.SYS_SHMGET, unix.IPC_PRIVATE, 4096, unix.IPC_CREAT | 0o600},
			"sem": {unix.SYS_SEMGET, unix.IPC_PRIVATE, 1, unix.IPC_CREAT | 0o600},
			"msg": {unix.SYS_MSGGET, unix.IPC_PRIVATE, unix.IPC_CREAT | 0o600, 0},
		}
		call := calls[t.What]
		if _, _, errno := unix.Syscall(call.number, call.a, call.b, call.c); errno != 0 {
			return errno
		}
		return nil
	case "call": // what the filter denies, whatever the arguments
		numbers := map[string]uintptr{
			"open_tree_attr": unix.SYS_OPEN_TREE_ATTR, "statmount": unix.SYS_STATMOUNT, "listmount": unix.SYS_LISTMOUNT,
			"listns": unix.SYS_LISTNS, "kexec_file_load": unix.SYS_KEXEC_FILE_LOAD,
		}
		if _, _, errno := unix.Syscall(numbers[t.What], 0, 0, 0); errno == unix.EPERM {
			return errno
		}
		return nil
	case "root":
		return syscall.Setresuid(0, 0, 0)
	case "namespace":
		return unix.Unshare(unix.CLONE_NEWUSER)
	case "group": // to leave the control group
		return os.WriteFile(t.What, []byte("0"), 0o600)
	default:
		return fmt.Errorf("what is %q", t.Kind)
	}
}

func ask(address string) error {
	proxy, err := http.ProxyFromEnvironment(&http.Request{URL: &url.URL{Scheme: "http", Host: "example.com"}})
	if err != nil {
		return err
	}
	client := http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(proxy), DisableKeepAlives: true}, Timeout: 10 * time.Second}
	response, err := client.Get(address)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	return nil
}

// breed starts processes until it can no more, and yields how many there are. They live on, in sessions of their own.
func breed(_ context.Context, in in, out sdk.Emitter) error {
	n := 0
	for ; n < in.N; n++ {
		child := exec.Command("/bin/sleep", "1000")
		child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		child.Stderr = os.Stderr
		if child.Start() != nil {
			break
		}
	}
	return out.Emit("output", n)
}

// devour takes memory, in MiB, and uses it.
func devour(_ context.Context, in in, out sdk.Emitter) error {
	var all [][]byte
	for range in.N {
		piece := make([]byte, 1<<20)
		for i := 0; i < len(piece); i += 4096 {
			piece[i] = 1
		}
		all = append(all, piece)
		time.Sleep(time.Duration(in.Size) * time.Microsecond)
	}
	return out.Emit("output", len(all))
}
