package postgres

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A cluster is what Postgres keeps in the folder that a server gives it:
//
//	cluster/   Postgres's own data
//	password   of the one role, patchbay
//	run/       the unix socket
type cluster struct {
	room  string // the folder
	data  string // room/cluster
	owner owner
	bin   Binaries
}

const role = "patchbay"

// openCluster prepares the folder and makes a cluster in it where there is none, of the wanted major version or, for 0, of
// the newest one. A cluster of a major version that
// the machine lacks is refused and not touched.
func openCluster(ctx context.Context, room string, wanted int, throwaway bool) (*cluster, error) {
	room, err := filepath.Abs(room)
	if err != nil {
		return nil, fmt.Errorf("find the folder of Postgres: %w", err)
	}
	o, err := findOwner()
	if err != nil {
		return nil, err
	}
	c := &cluster{room: room, data: filepath.Join(room, "cluster"), owner: o}
	major, err := c.major()
	if err != nil {
		return nil, err
	}
	if c.bin, err = FindBinaries(cmp.Or(major, wanted)); err != nil {
		var missing *NoBinariesError
		if major != 0 && errors.As(err, &missing) {
			return nil, fmt.Errorf("the data folder %s belongs to another major version of Postgres and is left untouched: %w; "+
				"install that version (%s), choose another folder with PATCHBAY_DATA_DIR, or set PATCHBAY_DATABASE_URL",
				c.data, err, missing.Hint())
		}
		return nil, err
	}
	if err := c.prepareRoom(); err != nil {
		return nil, err
	}
	if major == 0 {
		if err := c.create(ctx, throwaway); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// major is the version of the existing cluster, 0 if there is none.
func (c *cluster) major() (int, error) {
	raw, err := os.ReadFile(filepath.Join(c.data, "PG_VERSION"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the version of the database: %w", err)
	}
	text := strings.TrimSpace(string(raw))
	major, err := strconv.Atoi(text)
	if err != nil || major <= 0 {
		return 0, fmt.Errorf("the data folder %s is of a version of Postgres that can't be read: %q", c.data, text)
	}
	return major, nil
}

func (c *cluster) prepareRoom() error {
	if err := os.MkdirAll(c.room, 0o700); err != nil {
		return fmt.Errorf("make the folder of Postgres: %w", err)
	}
	resolved, err := filepath.EvalSymlinks(c.room)
	if err != nil {
		return fmt.Errorf("find the folder of Postgres: %w", err)
	}
	c.room, c.data = resolved, filepath.Join(resolved, "cluster")
	if err := c.owner.reach(c.room); err != nil {
		return err
	}
	if err := c.owner.give(c.room); err != nil {
		return err
	}
	if err := os.Chmod(c.room, 0o700); err != nil {
		return fmt.Errorf("close the folder of Postgres to others: %w", err)
	}
	return nil
}

// create runs initdb beside the final place and moves the result there, so that an interrupted one leaves nothing
// that looks like a cluster.
func (c *cluster) create(ctx context.Context, throwaway bool) error {
	if entries, err := os.ReadDir(c.data); err == nil && len(entries) > 0 {
		return fmt.Errorf("the folder %s holds files but no database, and is left untouched", c.data)
	}
	unfinished := c.data + ".new"
	if err := os.RemoveAll(unfinished); err != nil {
		return fmt.Errorf("remove an unfinished database: %w", err)
	}
	if err := c.writePassword(); err != nil {
		return err
	}
	var err error
	for _, ctype := range characterTypes() {
		args := []string{
			"--pgdata=" + unfinished, "--username=" + role, "--pwfile=" + c.passwordFile(),
			"--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-instructions",
		}
		switch {
		case c.bin.Major >= 17:
			args = append(args, "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
		case ctype != "":
			args = append(args, "--lc-ctype="+ctype)
		}
		if throwaway {
			args = append(args, "--no-sync")
		}
		if err = c.initdb(ctx, args); err == nil {
			break
		}
		if rm := os.RemoveAll(unfinished); rm != nil {
			return fmt.Errorf("remove an unfinished database: %w", rm)
		}
	}
	if err != nil {
		return err
	}
	if err := os.Remove(c.data); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("put the new database in its place: %w", err)
	}
	if err := os.Rename(unfinished, c.data); err != nil {
		return fmt.Errorf("put the new database in its place: %w", err)
	}
	return syncFolder(c.room)
}

// characterTypes are the locales to try for upper and lower case beyond ASCII; the last one exists everywhere.
// Postgres 17 and later bring their own.
func characterTypes() []string {
	if runtime.GOOS == "darwin" {
		return []string{"en_US.UTF-8", ""}
	}
	return []string{"C.UTF-8", ""}
}

func (c *cluster) initdb(ctx context.Context, args []string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(c.bin.Dir, "initdb"), args...)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.Dir, cmd.Env = c.room, environment()
	cmd.SysProcAttr = c.owner.attributes()
	cmd.WaitDelay = time.Second
	// The thread must outlive the child, which is tied to it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	tie(cmd, syscall.SIGKILL)
	if err := cmd.Run(); err != nil {
		if strings.Contains(output.String(), "could not look up effective user ID") {
			return fmt.Errorf("Postgres does not run as user %d, which this system has no entry of: add one to /etc/passwd, run the server as a user that has one, "+
				"or use another Postgres with PATCHBAY_DATABASE_URL", c.owner.uid)
		}
		return fmt.Errorf("make a database with %s: %w\n%s", cmd.Path, err, strings.TrimSpace(output.String()))
	}
	return nil
}

// environment is all that Postgres gets to see of this process's own.
func environment() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
}

func (c *cluster) passwordFile() string { return filepath.Join(c.room, "password") }

func (c *cluster) writePassword() error {
	file, err := os.OpenFile(c.passwordFile(), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("keep the password of the database: %w", err)
	}
	_, err = file.WriteString(rand.Text() + "\n")
	err = errors.Join(err, file.Sync(), file.Close(), c.owner.give(c.passwordFile()))
	if err != nil {
		return fmt.Errorf("keep the password of the database: %w", err)
	}
	return nil
}

func (c *cluster) password() (string, error) {
	raw, err := os.ReadFile(c.passwordFile())
	if err != nil {
		return "", fmt.Errorf("read the password of the database: %w", err)
	}
	return strings.TrimSpace(string(raw)), nil
}

// postmaster reads what a running Postgres writes about itself into its folder.
func (c *cluster) postmaster() (pid int, ready bool) {
	raw, err := os.ReadFile(c.pidFile())
	if err != nil {
		return 0, false
	}
	lines := strings.Split(string(raw), "\n")
	pid, err = strconv.Atoi(strings.TrimSpace(lines[0]))
	if err != nil || pid <= 0 {
		return 0, false
	}
	const statusLine = 7
	return pid, len(lines) > statusLine && strings.TrimSpace(lines[statusLine]) == "ready"
}

func (c *cluster) pidFile() string { return filepath.Join(c.data, "postmaster.pid") }

// stopOrphan ends a Postgres that outlived its server, and removes what a dead one left: its number may since belong
// to another process, which Postgres itself would take for a running one.
func (c *cluster) stopOrphan(ctx context.Context) (stopped int, err error) {
	pid, _ := c.postmaster()
	if pid == 0 {
		return 0, nil
	}
	if servesFolder(pid, c.data) {
		for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGKILL} {
			if err := syscall.Kill(pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
				return 0, fmt.Errorf("stop the Postgres of a dead server (pid %d): %w", pid, err)
			}
			if waitFor(ctx, time.Second, func() bool { return !servesFolder(pid, c.data) }) {
				break
			}
		}
		stopped = pid
	}
	if again, _ := c.postmaster(); again != pid {
		return stopped, nil
	}
	if err := os.Remove(c.pidFile()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return stopped, fmt.Errorf("remove what a dead Postgres left: %w", err)
	}
	return stopped, nil
}

// waitFor polls until a condition holds, and reports whether it did in time.
func waitFor(ctx context.Context, limit time.Duration, condition func() bool) bool {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if condition() {
			return true
		}
		select {
		case <-ctx.Done():
			return condition()
		case <-tick.C:
		}
	}
}

func syncFolder(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	return errors.Join(dir.Sync(), dir.Close())
}
