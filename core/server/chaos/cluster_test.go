package chaos

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/uptrace/bun"

	"github.com/patchbay-io/patchbay/core/postgres"
	"github.com/patchbay-io/patchbay/core/server/servertest"
)

// cluster is some servers on one Postgres, and on one NATS perhaps; or a single server with a Postgres of its own.
type cluster struct {
	t       *testing.T
	dir     string
	servers []*process
	marks   *marks

	// Of several servers.
	postgres *postgres.Server
	db       *bun.DB // that no fault but Postgres's own reaches
	nats     *natsProcess
	disk     string // of Postgres, where it is a small one
	shim     *servertest.Shim
	lacks    []string // faults that this machine does not allow, and why
}

// process is a server that is started again when it has ended.
type process struct {
	name         string
	data         string
	env          []string
	log          *os.File
	api          bool
	postgres     *proxy
	nats         *proxy
	space        *netspace // that it runs in
	clock        *os.File  // by how much its clock is ahead, where that can be told
	busy         sync.Mutex
	starts, ends atomic.Int64

	mu   sync.Mutex
	cmd  *exec.Cmd
	end  bool
	done chan struct{}
}

// newCluster draws a cluster. Alone it is a server with everything embedded.
func newCluster(t *testing.T, r *rand.Rand, alone bool) *cluster {
	t.Helper()
	dir, err := os.MkdirTemp("", "patchbay-chaos-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	c := &cluster{t: t, dir: dir}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if alone {
		c.marks = newMarks(t, "127.0.0.1")
		c.add("server", true, nil)
		return c
	}
	c.openPostgres()
	if r.IntN(2) == 0 {
		c.nats = startNATS(t)
	}
	space := c.openSpace(r)
	host := "127.0.0.1"
	if space != nil {
		host = space.outside // which those within reach too
	}
	c.marks = newMarks(t, host)
	roles := [][]string{{"all", "all", "all"}, {"api", "worker", "worker"}, {"all", "api", "worker"}}[r.IntN(3)]
	for n, role := range roles {
		var env []string
		p := &process{name: string(rune('a' + n)), api: role != "worker"}
		if n == len(roles)-1 && space != nil {
			p.space = space
			env = append(env, "PATCHBAY_ADDR="+space.inside+":0", "PATCHBAY_WS_ADDR="+space.inside+":0")
		}
		p.postgres = newProxy(t, host, c.dialPostgres, nil)
		dsn, err := url.Parse(c.postgres.DSN())
		if err != nil {
			t.Fatal(err)
		}
		dsn.Host, dsn.RawQuery = p.postgres.address(), "sslmode=disable"
		env = append(env, "PATCHBAY_ROLE="+role, "PATCHBAY_DATABASE_URL="+dsn.String(), "PATCHBAY_EXECUTION_CONCURRENCY="+fmt.Sprint(4+r.IntN(8)))
		if c.nats != nil {
			p.nats = newProxy(t, host, c.nats.dial, scramble(r.Uint64()))
			env = append(env, "PATCHBAY_NATS_URL=nats://"+p.nats.address())
		}
		c.start(p, env)
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

func (c *cluster) openPostgres() {
	c.t.Helper()
	var err error
	room := filepath.Join(c.dir, "database")
	if err := os.Mkdir(room, 0o711); err != nil {
		c.t.Fatal(err)
	}
	c.disk = room
	if err := mountSmall(c.t, room); err != nil {
		c.disk = ""
		c.lacks = append(c.lacks, "full disk: "+err.Error())
	}
	config := postgres.Config{Dir: filepath.Join(room, "postgres"), Logger: hclog.NewNullLogger()}
	if c.shim, err = servertest.NewShim(c.dir); err != nil {
		c.shim = nil
		c.lacks = append(c.lacks, "slow disk and clock of Postgres: "+err.Error())
		if os.Getenv("CI") != "" {
			c.t.Error(err)
		}
	} else {
		config.Env = c.shim.Env
		c.t.Cleanup(c.shim.Close)
	}
	if c.postgres, err = postgres.Start(c.t.Context(), config); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(c.postgres.Stop)
	if c.db, err = postgres.Open(c.postgres.DSN(), 4); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = c.db.Close() })
}

func (c *cluster) dialPostgres() (net.Conn, error) {
	dsn, err := url.Parse(c.postgres.DSN())
	if err != nil {
		return nil, err
	}
	return net.Dial("unix", filepath.Join(dsn.Query().Get("host"), ".s.PGSQL.5432"))
}

// add starts a server of its own.
func (c *cluster) add(name string, api bool, env []string) {
	c.start(&process{name: name, api: api}, env)
}

func (c *cluster) start(p *process, env []string) {
	c.t.Helper()
	home := filepath.Join(c.dir, p.name)
	if err := os.Mkdir(home, 0o711); err != nil {
		c.t.Fatal(err)
	}
	p.data, p.done = filepath.Join(home, "data"), make(chan struct{})
	p.env = servertest.Environment(home, p.data, plugins, append(env, "PATCHBAY_ALLOW_PRIVATE_ADDRESSES="+c.marks.network)...)
	var err error
	if p.log, err = os.Create(filepath.Join(home, "log")); err != nil {
		c.t.Fatal(err)
	}
	if clockBinary != "" {
		if p.clock, err = os.Create(filepath.Join(home, "clock")); err != nil {
			c.t.Fatal(err)
		}
		p.env = append(p.env, "CHAOS_CLOCK="+p.clock.Name())
		p.ahead(0)
	}
	c.servers = append(c.servers, p)
	go p.run()
	c.t.Cleanup(func() {
		p.finish()
		eventually(c.t, "the processes of the server are gone", func() bool { return len(servertest.Processes(p.data)) == 0 })
		if c.t.Failed() {
			text, _ := os.ReadFile(p.log.Name())
			if keep := os.Getenv("CHAOS_KEEP"); keep != "" {
				_ = os.WriteFile(filepath.Join(keep, p.name+".log"), text, 0o600)
			}
			c.t.Logf("log of server %s:\n%s", p.name, text[max(0, len(text)-6000):])
		}
		_ = p.log.Close()
	})
}

// run starts the server again and again.
func (p *process) run() {
	defer close(p.done)
	for {
		p.mu.Lock()
		if p.end {
			p.mu.Unlock()
			return
		}
		args := []string{binary, "serve"}
		if clockBinary != "" {
			args[0] = clockBinary
		}
		if p.space != nil {
			args = append(p.space.within(), args...)
		}
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Env, cmd.Dir = p.env, filepath.Dir(p.data)
		cmd.Stdout, cmd.Stderr = p.log, p.log
		if err := cmd.Start(); err != nil {
			p.mu.Unlock()
			_, _ = fmt.Fprintln(p.log, err)
			return
		}
		p.cmd = cmd
		p.starts.Add(1)
		p.mu.Unlock()
		_ = cmd.Wait()
		p.ends.Add(1)
		time.Sleep(50 * time.Millisecond) // as who supervises it would; its Postgres may be away
	}
}

func (p *process) signal(s os.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd != nil {
		_ = p.cmd.Process.Signal(s)
	}
}

// finish ends the server for good.
func (p *process) finish() {
	p.mu.Lock()
	p.end = true
	p.mu.Unlock()
	p.signal(syscall.SIGKILL)
	<-p.done
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
