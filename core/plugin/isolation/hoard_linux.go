package isolation

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// hoard is what a process keeps in its working folder, which lies on a disk that others need.
type hoard struct {
	pid   int
	spec  Spec
	group *group // nil: there is none
}

// maxEntries bounds the files and folders in a working folder.
const maxEntries = 10_000

// How often is looked: more often when there is much.
const (
	hoardInterval = time.Second
	hoardHurry    = 100 * time.Millisecond
)

// watch bounds it: all processes are ended where there is too much.
func (h hoard) watch() *lookout {
	return lookOut(hoardInterval, func(time.Time) (time.Duration, string) {
		kept, err := h.look()
		var met string
		switch {
		case err != nil:
			met = fmt.Sprintf("its private folder cannot be looked through: %v", err)
		case kept.bytes>>20 > int64(h.spec.Space):
			met = fmt.Sprintf("it kept more than the %d MiB of files that it may have in its private folder", h.spec.Space)
		case kept.entries > maxEntries:
			met = fmt.Sprintf("it kept more than the %d files that it may have in its private folder", maxEntries)
		case kept.bytes>>20 > int64(h.spec.Space/8) || kept.entries > maxEntries/8:
			return hoardHurry, ""
		default:
			return hoardInterval, ""
		}
		if h.group != nil {
			h.group.kill()
		}
		for _, s := range familyOf(h.pid) {
			_ = syscall.Kill(s.pid, syscall.SIGKILL)
		}
		return 0, met
	})
}

// store is what lies in a folder, and what is open and lies nowhere any more.
type store struct {
	bytes   int64
	entries int
	seen    map[[2]uint64]bool // inodes with several names or descriptors
}

func (s *store) add(st *syscall.Stat_t, once bool) {
	if !once {
		id := [2]uint64{st.Dev, st.Ino}
		if s.seen[id] {
			return
		}
		if s.seen == nil {
			s.seen = map[[2]uint64]bool{}
		}
		s.seen[id] = true
	}
	s.bytes += st.Blocks * 512
}

// errEnough ends a look that has seen too much.
var errEnough = errors.New("enough")

func (h hoard) look() (*store, error) {
	kept := &store{}
	err := filepath.WalkDir(h.spec.Dir, func(_ string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.ENAMETOOLONG) {
			return err
		}
		if err != nil {
			return nil // it is gone
		}
		if kept.entries++; kept.entries > maxEntries || kept.bytes>>20 > int64(h.spec.Space) {
			return errEnough
		}
		if info, err := e.Info(); err == nil {
			if st, ok := info.Sys().(*syscall.Stat_t); ok {
				kept.add(st, e.IsDir() || st.Nlink == 1)
			}
		}
		return nil
	})
	switch {
	case errors.Is(err, errEnough):
		return kept, nil
	case err != nil:
		return kept, err
	}
	device, err := deviceOf(h.spec.Dir)
	if err != nil {
		return kept, nil // the process is gone, and its folder with it
	}
	for _, pid := range h.pids() {
		kept.unlinked(pid, device)
	}
	return kept, nil
}

func deviceOf(path string) (uint64, error) {
	var st syscall.Stat_t
	err := syscall.Stat(path, &st)
	return st.Dev, err
}

// unlinked adds the files on a device that a process holds and that have no name any more.
func (s *store) unlinked(pid int, device uint64) {
	folder := filepath.Join("/proc", strconv.Itoa(pid), "fd")
	entries, err := os.ReadDir(folder)
	if err != nil {
		return
	}
	for _, e := range entries {
		var st syscall.Stat_t
		if syscall.Stat(filepath.Join(folder, e.Name()), &st) == nil && st.Mode&syscall.S_IFMT == syscall.S_IFREG && st.Nlink == 0 && st.Dev == device {
			s.add(&st, false)
		}
	}
}

func (h hoard) pids() (pids []int) {
	if h.group != nil {
		if pids, err := members(h.group.members()); err == nil {
			return pids
		}
	}
	for _, s := range familyOf(h.pid) {
		pids = append(pids, s.pid)
	}
	return pids
}
