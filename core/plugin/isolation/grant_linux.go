package isolation

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// What is granted is a name, and may lead elsewhere by symbolic links than it did when it was granted. So the way is walked
// anew before each start, once: what is at its end is judged, and granted as the descriptor that was judged. The launcher
// compares what it mounts with that.

// maxLinks bounds the symbolic links on the way to a file, as the kernel does.
const maxLinks = 40

// identity tells files from each other, whatever their names are.
type identity struct{ device, inode uint64 }

func identityOf(fd int) (identity, error) {
	var st unix.Stat_t
	err := unix.Fstat(fd, &st)
	return identity{st.Dev, st.Ino}, err
}

// link is a symbolic link on the way to a place.
type link struct {
	path, target string
	in           []identity // the folder that it lies in, after those above
	owner        uint32
}

// place is what a path leads to.
type place struct {
	path  string     // without symbolic links
	file  *os.File   // open for nothing but to say what it is
	way   []identity // the place, after the folders above
	links []link
}

func (p *place) identity() identity { return p.way[len(p.way)-1] }

// walk follows a path to its end. It is where the descriptors of the folders on the way say, whatever is renamed meanwhile.
func walk(path string) (_ *place, err error) {
	root, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	open, names := []int{root}, []string{"/"}
	leave := func(left int) {
		for _, fd := range open[left:] {
			_ = unix.Close(fd)
		}
		open, names = open[:left], names[:left]
	}
	defer func() { leave(0) }()
	p := &place{}
	first, err := identityOf(root)
	if err != nil {
		return nil, err
	}
	p.way = []identity{first}
	up := func(left int) {
		leave(left)
		p.way = p.way[:left]
	}
	for rest := strings.Split(path, "/"); len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			up(max(1, len(open)-1))
			continue
		}
		fd, st, err := step(open[len(open)-1], name)
		if err != nil {
			return nil, err
		}
		if st.Mode&unix.S_IFMT != unix.S_IFLNK {
			open, names, p.way = append(open, fd), append(names, name), append(p.way, identity{st.Dev, st.Ino})
			continue
		}
		target, err := readLink(fd)
		_ = unix.Close(fd)
		if err != nil {
			return nil, err
		}
		p.links = append(p.links, link{filepath.Join(append(names[:len(names):len(names)], name)...), target, slices.Clone(p.way), st.Uid})
		if len(p.links) > maxLinks {
			return nil, unix.ELOOP
		}
		if filepath.IsAbs(target) {
			up(1)
		}
		rest = slices.Concat(strings.Split(target, "/"), rest)
	}
	p.path = filepath.Join(names...)
	p.file = os.NewFile(uintptr(open[len(open)-1]), p.path)
	open = open[:len(open)-1]
	return p, nil
}

// step opens what has a name in a folder, also a link. A folder is entered, which mounts what is mounted on demand.
func step(folder int, name string) (fd int, st unix.Stat_t, err error) {
	const flags = unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC
	if fd, err = unix.Openat(folder, name, flags|unix.O_DIRECTORY, 0); err != nil {
		fd, err = unix.Openat(folder, name, flags, 0)
	}
	if err != nil {
		return 0, st, err
	}
	if err := unix.Fstat(fd, &st); err != nil {
		_ = unix.Close(fd)
		return 0, st, err
	}
	return fd, st, nil
}

func readLink(fd int) (string, error) {
	target := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fd, "", target)
	return string(target[:max(n, 0)]), err
}

// resolve finds what the files are that the process is granted, and sees to it that it may have them.
func (p *Process) resolve() error {
	for _, f := range p.spec.Files {
		to, err := walk(f.Path)
		if err != nil {
			return fmt.Errorf("grant the file %s: %w", f.Path, err)
		}
		p.files = append(p.files, to.file)
		p.granted = append(p.granted, to)
	}
	for i, f := range p.spec.Files {
		err := p.followed(p.granted[i])
		if err == nil {
			err = p.free(f, p.granted[i])
		}
		if to := p.granted[i].path; err == nil && f.Place != "" && to != f.Place {
			err = fmt.Errorf("it leads to %s, and led to %s when it was granted: install the plugin again to grant that", to, f.Place)
		}
		if err != nil {
			return &GrantError{Path: f.Path, err: err}
		}
	}
	return nil
}

// followed sees to it that no plugin has made the links on the way: this one, where it may write, or any that has a user of
// its own.
func (p *Process) followed(to *place) error {
	users := p.system.config.UserIDs
	for _, l := range to.links {
		for i, f := range p.spec.Files {
			if f.Write && slices.Contains(l.in, p.granted[i].identity()) {
				return fmt.Errorf("the link %s, which leads to %s, lies in %s, which the plugin may write itself: "+
					"put a folder or file in its place, or have what it leads to granted", l.path, l.target, f.Path)
			}
		}
		if p.system.users && int(l.owner) >= users.First && int(l.owner) <= users.Last {
			return fmt.Errorf("the link %s, which leads to %s, belongs to user %d, who is a plugin's: "+
				"make it anew, or have what it leads to granted", l.path, l.target, l.owner)
		}
	}
	return nil
}

// free sees to it that a place is none that nobody is granted.
func (p *Process) free(f File, to *place) error {
	leads := ""
	if len(to.links) > 0 {
		var by []string
		for _, l := range to.links {
			by = append(by, l.path)
		}
		leads = fmt.Sprintf("it leads to %s by the link %s, and ", to.path, strings.Join(by, " and the link "))
	}
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(to.file.Fd()), &fs); err != nil {
		return fmt.Errorf("find out what it is: %w", err)
	}
	for _, kernel := range []string{"/proc", "/sys"} {
		if to.path == kernel || strings.HasPrefix(to.path, kernel+"/") || fs.Type == unix.PROC_SUPER_MAGIC || fs.Type == unix.SYSFS_MAGIC {
			return fmt.Errorf("%sthe kernel's own files are granted to nobody", leads)
		}
	}
	if len(to.way) == 1 {
		return fmt.Errorf("%sthe root of all files is granted to nobody", leads)
	}
	for _, r := range p.spec.Reserved {
		room, err := walk(r.Path)
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return fmt.Errorf("look for %s: %w", r.Path, err)
		}
		_ = room.file.Close()
		inside := slices.Contains(to.way, room.identity())
		above := slices.Contains(room.way, to.identity()) && (f.Write || !r.Visible)
		if inside || above {
			return fmt.Errorf("%s%s in %s", leads, r.What, r.Path)
		}
	}
	return nil
}
