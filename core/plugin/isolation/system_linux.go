package isolation

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// System is what this machine can deny to processes.
type System struct {
	config Config
	means
	groups   *groups
	features []Feature
}

// Probe finds out what can be denied here, by doing it.
func Probe(config Config) (*System, error) {
	if config.UserIDs == (Range{}) {
		config.UserIDs = DefaultUserIDs
	}
	found, err := findMeans(config.UserIDs)
	if err != nil {
		return nil, err
	}
	s := &System{config: config, means: found}
	s.groups = openGroups(config.Key)
	s.features = append(s.features, s.describeUsers(), s.describeLandlock(), s.describeRoot(), s.describeNetwork(), s.describeEgress(), s.describeFilter(), s.describeEnds())
	s.features = append(s.features, s.describeGroups()...)
	return s, nil
}

// means are what processes can be denied things by, beside control groups.
type means struct {
	users     bool  // processes run as users of their own
	usersFail error // why they do not
	landlock  int   // its version
	filter    bool  // of system calls
	network   bool  // namespaces of processes without the network
	netFail   error
	relay     bool // and of those with it, which have a listener in theirs
	relayFail error
	root      bool // each process has one of its own, with what was granted to it
	rootFail  error
	ends      bool // what a process starts ends with it, in a namespace
	endsFail  error
}

// known remembers means: they do not change while this program runs, and finding out takes time.
var known struct {
	sync.Mutex
	means map[Range]means
}

func findMeans(users Range) (means, error) {
	known.Lock()
	defer known.Unlock()
	if m, ok := known.means[users]; ok {
		return m, nil
	}
	m, err := choose(means{landlock: landlockVersion(), filter: canFilter}, os.Geteuid() == 0, func(m means, network bool) error {
		return (&System{config: Config{UserIDs: users}, means: m}).try(network)
	})
	if err != nil {
		return means{}, err
	}
	if known.means == nil {
		known.means = map[Range]means{}
	}
	known.means[users] = m
	return m, nil
}

// choose adds to means whatever they work with, the one that is worth most first: of two that work only without each other
// the other one is left out.
func choose(m means, root bool, try func(m means, network bool) error) (means, error) {
	all := m
	all.users, all.network, all.root, all.relay, all.ends = root, true, true, true, true
	if try(all, false) == nil && try(all, true) == nil {
		return all, nil
	}
	if err := try(m, false); err != nil {
		return means{}, fmt.Errorf("start a process under isolation: %w", err)
	}
	if root {
		m.users = true
		m.usersFail = try(m, false)
		m.users = m.usersFail == nil
	}
	m.network = true
	m.netFail = try(m, false)
	m.network = m.netFail == nil
	m.root = true
	m.rootFail = try(m, false)
	m.root = m.rootFail == nil
	m.ends = true
	m.endsFail = try(m, false)
	m.ends = m.endsFail == nil
	if m.relayFail = m.netFail; m.network {
		m.relay = true
		m.relayFail = try(m, true)
		m.relay = m.relayFail == nil
	}
	return m, nil
}

// try starts a process that denies itself everything, or all but the network, and exits.
func (s *System) try(network bool) error {
	dir, err := os.MkdirTemp("", "patchbay-probe-")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer func() { _ = null.Close() }()
	p := &Process{system: s, spec: Spec{Path: "probe", Dir: dir, UserID: s.UserIDFor("probe"), Network: network}}
	defer p.Close()
	if err := p.command(null, null); err != nil {
		return err
	}
	if err := p.Give(dir); err != nil {
		return err
	}
	p.Command.SysProcAttr.Pdeathsig = 0 // this thread may end sooner
	said := &said{}
	p.Command.Stderr = said
	p.Command.WaitDelay = time.Second
	if err := p.Command.Start(); err != nil {
		return err
	}
	timer := time.AfterFunc(10*time.Second, func() { _ = p.Command.Process.Kill() })
	defer timer.Stop()
	err = p.order(plan{Probe: true, Path: p.spec.Path, Dir: dir, Root: s.root, Landlock: s.landlock > 0, Filter: s.filter, Network: network, Relay: p.relayed(), Init: s.ends})
	if err = errors.Join(err, p.Command.Wait()); err != nil {
		return fmt.Errorf("%w %s", err, said.text)
	}
	if p.relayed() && p.listener == nil {
		return errors.New("no listener came")
	}
	return nil
}

// said is the beginning of what a launcher says.
type said struct{ text []byte }

func (s *said) Write(b []byte) (int, error) {
	s.text = append(s.text, b[:min(len(b), max(0, 1000-len(s.text)))]...)
	return len(b), nil
}

func pick(which bool, yes, no string) string {
	if which {
		return yes
	}
	return no
}

// Features are what can be denied here and what cannot.
func (s *System) Features() []Feature { return s.features }

func (s *System) describeUsers() Feature {
	f := Feature{Name: "users", Have: s.users}
	switch {
	case s.users:
		f.Detail = fmt.Sprintf("each plugin runs as a user of its own, from %d to %d", s.config.UserIDs.First, s.config.UserIDs.Last)
	case s.usersFail != nil:
		f.Detail = fmt.Sprintf("plugins run as root without its privileges, since they cannot become users from %d to %d: %v",
			s.config.UserIDs.First, s.config.UserIDs.Last, s.usersFail)
		f.Advice = "set PATCHBAY_PLUGIN_USER_IDS to a range that this container has, such as 50000-59999"
	default:
		f.Detail = "plugins run as the server's user"
		f.Advice = "let the server run as root, which gives each plugin a user of its own; with Landlock files are isolated all the same"
	}
	return f
}

func (s *System) describeNetwork() Feature {
	f := Feature{Name: "network", Have: s.network || s.filter}
	switch {
	case s.network:
		f.Detail = "plugins without the permission have a network namespace with nothing in it"
	case s.filter:
		f.Detail = fmt.Sprintf("plugins without the permission can open no sockets to a network; there are no namespaces: %v", s.netFail)
	default:
		f.Detail = fmt.Sprintf("no network namespaces: %v", s.netFail)
		f.Advice = "let this user have network namespaces (unprivileged user namespaces, or CAP_SYS_ADMIN)"
	}
	return f
}

func (s *System) describeEgress() Feature {
	f := Feature{Name: "egress", Have: s.relay, Detail: "plugins with the network permission reach it through the server's guard alone"}
	if !s.relay {
		f.Detail = fmt.Sprintf("plugins with the network permission are told to use the server's guard, and can go past it to all that this machine reaches: %v", s.relayFail)
		f.Advice = "let this user have network namespaces (unprivileged user namespaces, or CAP_SYS_ADMIN and CAP_NET_ADMIN), or grant the network to plugins that you trust only"
	}
	return f
}

func (s *System) describeFilter() Feature {
	return Feature{
		Name: "system calls", Have: s.filter, Detail: pick(s.filter, "filtered by seccomp", "no filter is known for this architecture"),
		Advice: "run the server on amd64 or arm64",
	}
}

func (s *System) describeLandlock() Feature {
	f := Feature{Name: "files", Have: s.landlock > 0, Detail: fmt.Sprintf("Landlock %d", s.landlock)}
	if !f.Have {
		f.Detail = "no Landlock: plugins read what their user can read"
		f.Advice = "run Linux 5.13 or later with landlock among the security modules (lsm=…,landlock), and a container runtime that lets it through"
	}
	return f
}

func (s *System) describeRoot() Feature {
	f := Feature{Name: "file names", Have: s.root, Detail: "each plugin has a root of its own, with nothing in it but what it was granted"}
	if !f.Have {
		f.Detail = fmt.Sprintf("plugins share the system's root: they see which files exist, and those with the network permission "+
			"can connect to sockets in the file system that are open to their user, such as Postgres': %v", s.rootFail)
		f.Advice = "run Linux 5.12 or later and let this user have mount namespaces (unprivileged user namespaces, or CAP_SYS_ADMIN)"
	}
	return f
}

func (s *System) describeEnds() Feature {
	f := Feature{Name: "what plugins start", Have: s.ends, Detail: "ends with its plugin, by a namespace of processes"}
	if !s.ends {
		f.Detail = fmt.Sprintf("%s, and when the server is killed at its next start only: %v",
			pick(len(s.groups.folders) > 0, "ends with its plugin by control groups", "is looked for by its environment when its plugin ends, which it can hide from"), s.endsFail)
		f.Advice = "let this user have namespaces of processes (unprivileged user namespaces, or CAP_SYS_ADMIN)"
	}
	return f
}

func (s *System) describeGroups() (features []Feature) {
	for _, r := range []struct{ name, controller, otherwise string }{
		{"memory", "memory", "a watchdog ends a plugin that takes more than it may"},
		{"processes", "pids", pick(s.users, "bounded for each plugin's user", "a watchdog ends a plugin that starts more than it may")},
		{"processor time", "cpu", "not bounded"},
	} {
		f := Feature{Name: r.name, Have: s.groups.has(r.controller), Detail: "bounded by control groups"}
		if !f.Have {
			f.Detail = fmt.Sprintf("no control group (%v): %s", s.groups.lacks[r.controller], r.otherwise)
			f.Advice = "let the server have control groups of its own: as a systemd service with Delegate=yes, in a container a writable /sys/fs/cgroup"
		}
		features = append(features, f)
	}
	return features
}

// Close removes what belongs to the system. All processes must be gone.
func (s *System) Close() { s.groups.close() }
