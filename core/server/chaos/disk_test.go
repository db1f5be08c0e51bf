package chaos

import (
	order "encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// mountSmall puts a small disk at a folder.
func mountSmall(t *testing.T, folder string) error {
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		return errors.New("only root mounts a disk that is small")
	}
	out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=320m,mode=0711", "patchbay-chaos", folder).CombinedOutput()
	if err != nil {
		return fmt.Errorf("mount: %w: %s", err, strings.TrimSpace(string(out)))
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "-l", folder).CombinedOutput(); err != nil {
			t.Errorf("umount %s: %v %s", folder, err, out)
		}
	})
	return nil
}

// fill takes what is left of a disk, until the function that it returns is called.
func fill(folder string) (free func(), err error) {
	name := filepath.Join(folder, "filler")
	f, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	free = func() { _ = f.Close(); _ = os.Remove(name) }
	for piece := int64(64 << 20); piece >= 4096; {
		at, err := f.Seek(0, 2)
		if err != nil {
			free()
			return nil, err
		}
		if err := syscall.Fallocate(int(f.Fd()), 0, at, piece); err != nil {
			piece /= 2
		}
	}
	return free, nil
}

// netspace is a network of its own on this machine, with one link to the outside.
type netspace struct{ name, link, outside, inside string }

// openSpace makes one where that is allowed.
func (c *cluster) openSpace(r *rand.Rand) *netspace {
	lack := func(why string) *netspace {
		c.lacks = append(c.lacks, "link down: "+why)
		return nil
	}
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		return lack("only root makes network namespaces")
	}
	for _, program := range []string{"ip", "nsenter"} {
		if _, err := exec.LookPath(program); err != nil {
			return lack(err.Error())
		}
	}
	// 198.18.0.0/15 is for tests of networks; nothing routes it.
	unique := fmt.Sprintf("%x%04x", os.Getpid()&0xffff, r.IntN(1<<16))
	net := fmt.Sprintf("198.18.%d.%d", os.Getpid()&0xff, 4*(int(time.Now().UnixNano()/1000)&63))
	var a, b, x, y int
	if _, err := fmt.Sscanf(net, "%d.%d.%d.%d", &a, &b, &x, &y); err != nil {
		return lack(err.Error())
	}
	s := &netspace{
		name: "chaos" + unique, link: "chaos" + unique,
		outside: fmt.Sprintf("198.18.%d.%d", x, y+1), inside: fmt.Sprintf("198.18.%d.%d", x, y+2),
	}
	peer := "peer" + unique
	remove := func() {
		_ = exec.Command("ip", "link", "del", s.link).Run()
		_ = exec.Command("ip", "netns", "del", s.name).Run()
	}
	for _, command := range []string{
		"netns add " + s.name, "link add " + s.link + " type veth peer name " + peer, "link set " + peer + " netns " + s.name,
		"addr add " + s.outside + "/30 dev " + s.link, "link set " + s.link + " up",
		"-n " + s.name + " addr add " + s.inside + "/30 dev " + peer, "-n " + s.name + " link set " + peer + " up", "-n " + s.name + " link set lo up",
	} {
		if out, err := exec.Command("ip", strings.Fields(command)...).CombinedOutput(); err != nil {
			remove()
			return lack(fmt.Sprintf("ip %s: %s", command, strings.TrimSpace(string(out))))
		}
	}
	c.t.Cleanup(remove)
	return s
}

// within is what runs a program in the space, as the same process.
func (s *netspace) within() []string {
	return []string{"nsenter", "--net=/var/run/netns/" + s.name, "--"}
}

func (s *netspace) set(state string) error {
	return exec.Command("ip", "link", "set", s.link, state).Run()
}

// ahead puts the server's clock ahead of the machine's, or behind it.
func (p *process) ahead(by time.Duration) {
	_, _ = p.clock.WriteAt(order.NativeEndian.AppendUint64(nil, uint64(int64(by/time.Second))), 0)
}
