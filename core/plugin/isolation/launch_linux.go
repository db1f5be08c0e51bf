package isolation

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// init is the launcher's main function: it runs before most of the program that it belongs to.
func init() {
	if os.Getenv(launchVariable) == "" {
		return
	}
	runtime.LockOSThread() // what a thread denies itself, its exec keeps
	if err := launch(); err != nil {
		fmt.Fprintln(os.Stderr, Refusal, err)
		os.Exit(launchFailed)
	}
	os.Exit(0)
}

// launch denies this process what its plan does not grant and becomes the plugin.
func launch() error {
	for _, fd := range []int{planFile, executableFile, folderFile} {
		unix.CloseOnExec(fd)
	}
	from := os.NewFile(planFile, "plan")
	defer runtime.KeepAlive(from)
	orders, err := io.ReadAll(from)
	if err != nil {
		return fmt.Errorf("read the plan: %w", err)
	}
	if len(orders) == 0 {
		return errors.New("the server is gone")
	}
	var p plan
	if err := json.Unmarshal(orders, &p); err != nil {
		return fmt.Errorf("read the plan: %w", err)
	}
	for i := range p.Files {
		unix.CloseOnExec(grantedFiles + i)
	}
	if p.Relay {
		if err := sendListener(); err != nil {
			return err
		}
	}
	if p.Root {
		if err := enterRoot(p); err != nil {
			return err
		}
	}
	if err := limit(p); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("give up new privileges: %w", err)
	}
	keep := uint32(0)
	if p.Search {
		keep = 1 << unix.CAP_DAC_READ_SEARCH
	}
	if err := dropCapabilities(keep); err != nil {
		return err
	}
	if p.Landlock {
		if err := restrict(p); err != nil {
			return err
		}
	}
	if p.Filter {
		if err := filter(p.Network); err != nil {
			return err
		}
	}
	if p.Probe {
		return nil
	}
	start, err := starting(p)
	if err != nil {
		return err
	}
	if p.Init {
		return start.reap()
	}
	return start.fail(start.exec())
}

func limit(p plan) error {
	limits := []struct {
		what  int
		value uint64
	}{{unix.RLIMIT_NOFILE, maxFiles}, {unix.RLIMIT_CORE, 0}}
	if p.Processes > 0 {
		limits = append(limits, struct {
			what  int
			value uint64
		}{unix.RLIMIT_NPROC, p.Processes})
	}
	if p.FileSize > 0 {
		limits = append(limits, struct {
			what  int
			value uint64
		}{unix.RLIMIT_FSIZE, p.FileSize})
		signal.Ignore(unix.SIGXFSZ) // a write that is too much fails; who does not look for that is not to be killed
	}
	for _, l := range limits {
		var now syscall.Rlimit
		if err := syscall.Getrlimit(l.what, &now); err != nil {
			return fmt.Errorf("limit resources: %w", err)
		}
		value := min(l.value, now.Max)
		if err := syscall.Setrlimit(l.what, &syscall.Rlimit{Cur: value, Max: value}); err != nil {
			return fmt.Errorf("limit resources: %w", err)
		}
	}
	return nil
}

// dropCapabilities leaves at most one. Who is not root has no other.
func dropCapabilities(keep uint32) error {
	if keep == 0 {
		if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("drop capabilities: %w", err)
		}
	}
	for c := range uintptr(64) {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil {
			break // past the last one, or not allowed to and without any
		}
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	left := [2]unix.CapUserData{{Effective: keep, Permitted: keep, Inheritable: keep}}
	if err := unix.Capset(&header, &left[0]); err != nil {
		return fmt.Errorf("drop capabilities: %w", err)
	}
	return nil
}
