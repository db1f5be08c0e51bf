//go:build !linux

package postgres

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// tie does nothing here: guard watches instead.
func tie(*exec.Cmd, syscall.Signal) {}

// guard starts a shell that waits for this process to end, which closes the shell's input, and then stops Postgres.
func guard(pid int) (release func(), err error) {
	cmd := exec.Command("/bin/sh", "-c", `cat >/dev/null; kill -QUIT "$1" 2>/dev/null`, "sh", strconv.Itoa(pid))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	input, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("make the input of the guard: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the guard of Postgres: %w", err)
	}
	return func() {
		_ = cmd.Process.Kill()
		_ = input.Close()
		_ = cmd.Wait()
	}, nil
}

// servesFolder reports whether a process is a postmaster of a cluster: its command line names the folder.
func servesFolder(pid int, cluster string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "ps", "-o", "command=", "-p", strconv.Itoa(pid)).Output()
	return err == nil && strings.Contains(string(out), cluster)
}
