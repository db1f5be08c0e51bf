//go:build linux

package chaos

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
)

// network is a switch on this machine. What is in a space of it reaches the others only by its link there.
type network struct {
	t      *testing.T
	bridge string
	prefix string // of the addresses
	spaces int
}

// space is what one program sees of a network.
type space struct {
	name    string
	link    string // end of its link at the switch
	address string
}

// openNetwork makes one where that is allowed.
func openNetwork(t *testing.T) (*network, error) {
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		return nil, errors.New("only root makes network namespaces")
	}
	for _, program := range []string{"ip", "nsenter"} {
		if _, err := exec.LookPath(program); err != nil {
			return nil, err
		}
	}
	// 198.18.0.0/15 is for tests of networks; nothing routes it.
	n := &network{t: t}
	for number := os.Getpid(); ; number++ {
		n.bridge, n.prefix = fmt.Sprintf("chaos%d", number&0x1ff), fmt.Sprintf("198.%d.%d.", 18+number>>8&1, number&0xff)
		err := ip("link add " + n.bridge + " type bridge")
		if err == nil {
			break
		}
		if !strings.Contains(err.Error(), "File exists") || number == os.Getpid()+0x1ff { // others have one of this number
			return nil, err
		}
	}
	t.Cleanup(func() { _ = ip("link del " + n.bridge) })
	for _, command := range []string{"addr add " + n.host() + "/24 dev " + n.bridge, "link set " + n.bridge + " up"} {
		if err := ip(command); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// host is the address of what runs outside of all spaces.
func (n *network) host() string { return n.prefix + "1" }

func (n *network) open() (*space, error) {
	n.spaces++
	unique := fmt.Sprintf("%s-%d", n.bridge, n.spaces)
	s := &space{name: unique, link: unique, address: fmt.Sprintf("%s%d", n.prefix, 1+n.spaces)}
	n.t.Cleanup(func() {
		_ = ip("link del " + s.link)
		_ = ip("netns del " + s.name)
	})
	within := "-n " + s.name + " "
	for _, command := range []string{
		"netns add " + s.name, "link add " + s.link + " type veth peer name inside netns " + s.name,
		"link set " + s.link + " master " + n.bridge + " up",
		within + "addr add " + s.address + "/24 dev inside", within + "link set inside up", within + "link set lo up",
	} {
		if err := ip(command); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// command runs a program in the space, as the same process. A nil space is this process's.
func (s *space) command(program string, args ...string) *exec.Cmd {
	if s == nil {
		return exec.Command(program, args...)
	}
	return exec.Command("nsenter", append([]string{"--net=/var/run/netns/" + s.name, "--", program}, args...)...)
}

// set turns the link up or down.
func (s *space) set(state string) error { return ip("link set " + s.link + " " + state) }

func ip(command string) error {
	if out, err := exec.Command("ip", strings.Fields(command)...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %s", command, strings.TrimSpace(string(out)))
	}
	return nil
}
