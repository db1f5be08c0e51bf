//go:build linux

package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/patchbay-io/patchbay/core/server/servertest"
)

// shape is what a cluster consists of.
type shape struct {
	roles    []string // of the servers; none: a single one, with everything embedded
	members  int      // of NATS; none: servers hear each other by NOTIFY
	sessions int      // that a pooler in transaction mode has; none: there is no pooler
	direct   bool     // servers have a way past the pooler
	balanced bool     // clients come through a balancer
}

func drawShape(r *rand.Rand) shape {
	s := shape{
		roles:    [][]string{{"all", "all", "all"}, {"api", "worker", "worker"}, {"all", "api", "worker"}}[r.IntN(3)],
		members:  []int{0, 1, 3}[r.IntN(3)],
		balanced: r.IntN(2) == 0,
	}
	if r.IntN(2) == 0 {
		s.sessions, s.direct = 4+r.IntN(8), r.IntN(2) == 0
	}
	return s
}

func (s shape) String() string {
	if s.roles == nil {
		return "one server with everything embedded"
	}
	parts := []string{"servers " + strings.Join(s.roles, ", ")}
	switch {
	case s.members > 1:
		parts = append(parts, fmt.Sprintf("wake-ups by %d NATS", s.members))
	case s.members == 1:
		parts = append(parts, "wake-ups by NATS")
	default:
		parts = append(parts, "wake-ups by NOTIFY")
	}
	if s.sessions > 0 {
		past := "with no way past it"
		if s.direct {
			past = "with a way past it"
		}
		parts = append(parts, fmt.Sprintf("PgBouncer of %d sessions %s", s.sessions, past))
	}
	if s.balanced {
		parts = append(parts, "a balancer")
	}
	return strings.Join(parts, "; ")
}

// cluster is some servers, and what they live among.
type cluster struct {
	shape
	t       *testing.T
	dir     string
	servers []*process
	marks   *marks
	lacks   []string // faults that this machine does not allow, and why

	// Of several servers.
	*database
	nats     *nats
	balancer *proxy

	mu         sync.Mutex
	violations []string
}

// process is a server that is started again when it has ended.
type process struct {
	*servertest.Kept
	name     string
	role     string
	data     string
	env      []string
	log      *os.File
	database []*proxy
	nats     []*proxy // by member
	space    *space   // that it runs in; nil: this process's
	clock    *os.File // by how much its clock is ahead, where that can be told
	busy     sync.Mutex
}

// newCluster starts one.
func newCluster(t *testing.T, r *rand.Rand, s shape) *cluster {
	t.Helper()
	dir, err := os.MkdirTemp("", "patchbay-chaos-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	c := &cluster{shape: s, t: t, dir: dir}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if s.roles == nil {
		c.marks = newMarks(t, "127.0.0.1")
		c.start(&process{name: "server", role: "all"}, nil)
		return c
	}
	c.openDatabase(s.sessions)
	network, err := openNetwork(t)
	host := "127.0.0.1"
	if err != nil {
		c.lacks = append(c.lacks, "links down: "+err.Error())
	} else {
		host = network.host()
	}
	space := func() *space {
		if network == nil {
			return nil
		}
		opened, err := network.open()
		if err != nil {
			t.Fatal(err)
		}
		return opened
	}
	c.marks = newMarks(t, host)
	if s.members > 0 {
		c.nats = startNATS(t, host, s.members, space)
	}
	for n, role := range s.roles {
		p := &process{name: string(rune('a' + n)), role: role, space: space()}
		env := []string{"PATCHBAY_ROLE=" + role, "PATCHBAY_EXECUTION_CONCURRENCY=" + fmt.Sprint(4+r.IntN(8))}
		if p.space != nil {
			env = append(env, "PATCHBAY_ADDR="+p.space.address+":0", "PATCHBAY_WS_ADDR="+p.space.address+":0")
		}
		p.database = []*proxy{newProxy(t, host, c.dialPooler, nil)}
		env = append(env, "PATCHBAY_DATABASE_URL="+by(c.DSN(), p.database[0]))
		if c.pooler != nil && s.direct {
			past := newProxy(t, host, c.dial, nil)
			p.database = append(p.database, past)
			env = append(env, "PATCHBAY_DATABASE_DIRECT_URL="+by(c.DSN(), past))
		}
		if c.nats != nil {
			var urls []string
			for _, m := range c.nats.members {
				to := newProxy(t, host, m.dial, scramble(r.Uint64()))
				p.nats = append(p.nats, to)
				urls = append(urls, "nats://"+to.address())
			}
			env = append(env, "PATCHBAY_NATS_URL="+strings.Join(urls, ","))
		}
		c.start(p, env)
	}
	if s.balanced {
		c.balancer = newProxy(t, "127.0.0.1", c.dialServer, nil)
	}
	if c.nats == nil {
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan struct{})
		seed := rand.New(rand.NewPCG(r.Uint64(), 2))
		go func() { defer close(ended); echo(ctx, c.db, seed) }()
		t.Cleanup(func() { cancel(); <-ended })
	}
	return c
}

// violation notes what must not be.
func (c *cluster) violation(format string, args ...any) {
	c.t.Helper()
	text := fmt.Sprintf(format, args...)
	c.mu.Lock()
	c.violations = append(c.violations, text)
	c.mu.Unlock()
	c.t.Error(text)
}

// lack notes what is not tried on this machine, and ought to be where changes are checked before they land.
func (c *cluster) lack(what string, err error) {
	c.t.Helper()
	c.lacks = append(c.lacks, what+": "+err.Error())
	if os.Getenv("CI") != "" {
		c.t.Error(err)
	}
}

// serving are the servers that have the API.
func (c *cluster) serving() []*process {
	return slices.DeleteFunc(slices.Clone(c.servers), func(p *process) bool { return p.role == "worker" })
}

// dialServer connects to any server that takes it.
func (c *cluster) dialServer() (net.Conn, error) {
	all := c.serving()
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	err := errors.New("there is no server")
	for _, p := range all {
		var conn net.Conn
		if conn, err = net.DialTimeout("tcp", p.address(), time.Second); err == nil {
			return conn, nil
		}
	}
	return nil, err
}

func (c *cluster) start(p *process, env []string) {
	c.t.Helper()
	home := filepath.Join(c.dir, p.name)
	if err := os.Mkdir(home, 0o711); err != nil {
		c.t.Fatal(err)
	}
	p.data = filepath.Join(home, "data")
	p.env = servertest.Environment(home, p.data, plugins, append(env, "PATCHBAY_ALLOW_PRIVATE_ADDRESSES="+c.marks.network)...)
	var err error
	if p.log, err = os.Create(filepath.Join(home, "log")); err != nil {
		c.t.Fatal(err)
	}
	program := binary
	if clockBinary != "" {
		program = clockBinary
		if p.clock, err = os.Create(filepath.Join(home, "clock")); err != nil {
			c.t.Fatal(err)
		}
		p.env = append(p.env, "CHAOS_CLOCK="+p.clock.Name())
		p.ahead(0)
	}
	c.servers = append(c.servers, p)
	p.Kept = servertest.Keep(p.log, func() *exec.Cmd {
		cmd := p.space.command(program, "serve")
		cmd.Env, cmd.Dir = p.env, home
		return cmd
	})
	c.t.Cleanup(func() {
		p.Finish()
		eventually(c.t, "the processes of the server are gone", func() bool { return len(servertest.Processes(p.data)) == 0 })
		text, _ := os.ReadFile(p.log.Name())
		if keep := os.Getenv("CHAOS_KEEP"); keep != "" {
			_ = os.WriteFile(filepath.Join(keep, p.name+".log"), text, 0o600)
		}
		if c.t.Failed() {
			c.t.Logf("log of server %s:\n%s", p.name, text[max(0, len(text)-6000):])
		}
		_ = p.log.Close()
	})
}

func (p *process) address() string {
	raw, _ := os.ReadFile(filepath.Join(p.data, "server", "address"))
	return strings.TrimSpace(string(raw))
}

func (p *process) ready() bool {
	client := http.Client{Timeout: 5 * time.Second}
	response, err := client.Get("http://" + p.address() + "/readyz")
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode == http.StatusOK
}

func (c *cluster) ready() bool {
	for _, p := range c.servers {
		if !p.ready() {
			return false
		}
	}
	return true
}

// marks counts the effects that blocks have: by the value that they pass on, which is one of a kind.
type marks struct {
	url     string
	network string
	mu      sync.Mutex
	keys    map[string][]string // idempotency keys of the marks that were made for a value
}

func newMarks(t *testing.T, host string) *marks {
	m := &marks{keys: map[string][]string{}, network: host + "/32"}
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		value, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		m.keys[string(value)] = append(m.keys[string(value)], r.Header.Get("Idempotency-Key"))
	}))
	_ = s.Listener.Close()
	s.Listener = l
	s.Start()
	t.Cleanup(s.Close)
	m.url = s.URL
	return m
}

// of are the keys by which marks were made for a value.
func (m *marks) of(value string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.keys[value]
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-deadline.C:
			t.Errorf("did not happen: %s", what)
			return
		case <-tick.C:
		}
	}
}
