package postgres

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// owner is the user that Postgres runs as: this process's own, or an unprivileged one where that is root, as whom
// Postgres refuses to run.
type owner struct {
	name     string
	uid, gid int
	drop     bool // this process is root and must become owner
}

func findOwner() (owner, error) {
	if os.Geteuid() != 0 {
		return owner{uid: os.Geteuid(), gid: os.Getegid()}, nil
	}
	for _, name := range []string{"postgres", "_postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.Atoi(u.Uid)
		if err != nil || uid <= 0 {
			continue
		}
		gid, err := strconv.Atoi(u.Gid)
		if err != nil {
			continue
		}
		return owner{name: name, uid: uid, gid: gid, drop: true}, nil
	}
	return owner{}, fmt.Errorf("Postgres does not run as root, and this machine has no user postgres or nobody to run it as; run Patchbay as an ordinary user or set PATCHBAY_DATABASE_URL")
}

func (o owner) attributes() *syscall.SysProcAttr {
	// A process group of its own: Ctrl-C in the terminal is for the server, which stops Postgres last.
	attr := &syscall.SysProcAttr{Setpgid: true}
	if o.drop {
		attr.Credential = &syscall.Credential{Uid: uint32(o.uid), Gid: uint32(o.gid)}
	}
	return attr
}

// give makes path the owner's.
func (o owner) give(path string) error {
	if !o.drop {
		return nil
	}
	if err := os.Lchown(path, o.uid, o.gid); err != nil {
		return fmt.Errorf("give %s to user %s: %w", path, o.name, err)
	}
	return nil
}

// UnreachableError says that the user Postgres runs as can't get at its folder.
type UnreachableError struct {
	Dir, Parent, User string
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("user %s, as whom Postgres runs, can't enter %s and so not reach %s; "+
		"choose a data folder that every user can reach with PATCHBAY_DATA_DIR, such as /var/lib/patchbay, or chmod o+x %s",
		e.User, e.Parent, e.Dir, e.Parent)
}

// reach checks that the owner can enter all folders above dir.
func (o owner) reach(dir string) error {
	if !o.drop {
		return nil
	}
	for parent := filepath.Dir(dir); ; parent = filepath.Dir(parent) {
		info, err := os.Stat(parent)
		if err != nil {
			return fmt.Errorf("look at a folder above the data: %w", err)
		}
		need := os.FileMode(0o001)
		if stat, ok := info.Sys().(*syscall.Stat_t); ok {
			switch {
			case int(stat.Uid) == o.uid:
				need = 0o100
			case int(stat.Gid) == o.gid:
				need = 0o010
			}
		}
		if info.Mode().Perm()&need == 0 {
			return &UnreachableError{Dir: dir, Parent: parent, User: o.name}
		}
		if parent == filepath.Dir(parent) {
			return nil
		}
	}
}
