package isolation

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// A process has a root of its own, where the system allows: a tree that holds what the process was granted and nothing
// else. What is not in it has no name there: sockets of others cannot be connected to, which Landlock does not deny on
// every kernel, and nobody sees which files exist. Landlock bounds what is done to what is in it. It also keeps shut what
// is in /proc, and the ways out of the tree that start there: only for the links of a process to itself, by which programs
// find their own file, is it in the tree, and only where there is Landlock.

// graft is a part of the old tree that is to be in the new one.
type graft struct {
	path   string // without symbolic links
	write  bool
	device bool
	opened int // the descriptor that the launcher was given of it; 0: none
	file   *os.File
	tree   int // a descriptor
}

// rooter builds the tree.
type rooter struct {
	grafts []graft
	links  map[string]string // symbolic links on the way to the grafts
	files  []*os.File        // of the grafts
}

// enterRoot gives this process its own root. It is alone in its mount namespace, has all rights over it yet, and is in its
// working folder.
func enterRoot(p plan) error {
	r := rooter{links: map[string]string{}}
	defer func() {
		for _, f := range r.files {
			_ = f.Close()
		}
	}()
	if err := r.gather(p); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make the mounts private: %w", err)
	}
	if err := r.clone(); err != nil {
		return err
	}
	if err := newTree(); err != nil {
		return fmt.Errorf("mount a tree: %w", err)
	}
	if err := r.plant(); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("enter the tree: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil { // the old one, which lies above
		return fmt.Errorf("leave the old tree: %w", err)
	}
	// Nothing can be put beside the grafts, which would be memory that nobody counts.
	if err := unix.MountSetattr(unix.AT_FDCWD, "/", 0, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}); err != nil {
		return fmt.Errorf("close the tree: %w", err)
	}
	if err := os.Chdir(p.Dir); err != nil {
		return fmt.Errorf("enter the working folder: %w", err)
	}
	return nil
}

// gather finds what the process is granted.
func (r *rooter) gather(p plan) error {
	for _, path := range granted(p.Network) {
		_ = r.add(path, graft{}) // what is not there, or not for this user, is not needed
	}
	for _, path := range slices.Concat(devices, randomness) {
		_ = r.add(path, graft{write: true, device: true})
	}
	if p.Landlock {
		_ = r.add("/proc", graft{})
		for _, path := range []string{"/dev/fd", "/dev/stdin", "/dev/stdout", "/dev/stderr"} {
			if target, err := os.Readlink(path); err == nil {
				r.links[path] = target
			}
		}
	}
	for i, f := range p.Files {
		if err := r.add(f.Path, graft{write: f.Write, opened: grantedFiles + i}); err != nil {
			return fmt.Errorf("grant the file %s: %w", f.Path, err)
		}
	}
	if !p.Probe {
		folder := filepath.Dir(p.Path)
		if err := r.add(folder, graft{opened: folderFile}); err != nil {
			return fmt.Errorf("grant the plugin's folder: %w", err)
		}
	}
	if err := r.add(p.Dir, graft{write: true}); err != nil {
		return fmt.Errorf("grant the working folder: %w", err)
	}
	r.grafts = needed(r.grafts)
	return nil
}

// add follows a path to its end, and notes the links on the way.
func (r *rooter) add(path string, g graft) error {
	to, err := walk(path)
	if err != nil {
		return err
	}
	r.files = append(r.files, to.file)
	if g.opened != 0 {
		opened, err := identityOf(g.opened)
		if err != nil {
			return err
		}
		if to.identity() != opened {
			return fmt.Errorf("%s has been replaced", path)
		}
	}
	if len(to.way) == 1 {
		return errors.New("it leads to the root of all files")
	}
	for _, l := range to.links {
		r.links[l.path] = l.target
	}
	g.path, g.file = to.path, to.file
	r.grafts = append(r.grafts, g)
	return nil
}

// needed leaves out what is a part of something else with the same rights, and puts what contains others before them.
func needed(grafts []graft) (left []graft) {
	slices.SortFunc(grafts, func(a, b graft) int {
		if a.path == b.path && a.write != b.write {
			return map[bool]int{true: -1, false: 1}[a.write]
		}
		return cmp.Compare(a.path, b.path)
	})
	for _, g := range grafts {
		if !slices.ContainsFunc(left, func(l graft) bool { return l.contains(g.path) && (l.write || !g.write) }) {
			left = append(left, g)
		}
	}
	return left
}

func (g graft) contains(path string) bool {
	return path == g.path || strings.HasPrefix(path, g.path+"/")
}

// clone takes the parts out of the old tree, each with what is mounted in it.
func (r *rooter) clone() (err error) {
	for i := range r.grafts {
		g := &r.grafts[i]
		if g.tree, err = unix.OpenTree(int(g.file.Fd()), "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE|unix.AT_EMPTY_PATH); err != nil {
			return fmt.Errorf("take %s: %w", g.path, err)
		}
		attributes := uint64(unix.MOUNT_ATTR_NOSUID)
		if !g.write {
			attributes |= unix.MOUNT_ATTR_RDONLY
		}
		if !g.device {
			attributes |= unix.MOUNT_ATTR_NODEV
		}
		if err := unix.MountSetattr(g.tree, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: attributes}); err != nil {
			return fmt.Errorf("bound %s: %w", g.path, err)
		}
	}
	return nil
}

// newTree mounts an empty tree over the working folder, and enters it. Where it is mounted is left with the old tree.
func newTree() error {
	kind, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(kind) }()
	for _, option := range [][2]string{{"mode", "0755"}, {"size", "1m"}} {
		if err := unix.FsconfigSetString(kind, option[0], option[1]); err != nil {
			return err
		}
	}
	if err := unix.FsconfigCreate(kind); err != nil {
		return err
	}
	tree, err := unix.Fsmount(kind, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(tree) }()
	if err := unix.MoveMount(tree, "", unix.AT_FDCWD, ".", unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return err
	}
	return unix.Fchdir(tree)
}

// plant puts the links and the parts into the new tree, which is the current folder.
func (r *rooter) plant() error {
	for path, target := range r.links {
		if slices.ContainsFunc(r.grafts, func(g graft) bool { return g.contains(path) }) {
			continue // it comes with the part
		}
		here := strings.TrimPrefix(path, "/")
		err := os.MkdirAll(filepath.Dir(here), 0o755)
		if err == nil {
			err = os.Symlink(target, here)
		}
		if err != nil {
			return fmt.Errorf("link %s: %w", path, err)
		}
	}
	for _, g := range r.grafts {
		here := strings.TrimPrefix(g.path, "/")
		err := r.hold(g, here)
		if err == nil {
			err = unix.MoveMount(g.tree, "", unix.AT_FDCWD, here, unix.MOVE_MOUNT_F_EMPTY_PATH)
		}
		if err == nil {
			err = unix.Close(g.tree)
		}
		if err != nil {
			return fmt.Errorf("put %s into the tree: %w", g.path, err)
		}
	}
	return nil
}

// hold makes what a part is mounted on. Where it lies in another part, that has it.
func (r *rooter) hold(g graft, here string) error {
	var st unix.Stat_t
	if err := unix.Fstat(g.tree, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return os.MkdirAll(here, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(here), 0o755); err != nil {
		return err
	}
	if _, err := os.Lstat(here); err == nil {
		return nil
	}
	return os.WriteFile(here, nil, 0o600)
}
