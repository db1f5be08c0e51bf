//go:build linux

package chaos

import (
	"errors"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"syscall"

	"github.com/hashicorp/go-hclog"
	"github.com/uptrace/bun"

	"github.com/patchbay-io/patchbay/core/postgres"
	"github.com/patchbay-io/patchbay/core/server/servertest"
)

// database is what the servers of a cluster share. What they say to it goes through proxies.
type database struct {
	*postgres.Server
	db     *bun.DB // that no fault but Postgres's own reaches
	room   string  // that Postgres works in
	small  bool    // the room is a small disk
	shim   *servertest.Shim
	pooler *servertest.PgBouncer // perhaps
	behind *proxy                // between the pooler and Postgres
}

// openDatabase starts Postgres, and a pooler with so many sessions, unless these are none.
func (c *cluster) openDatabase(sessions int) {
	c.t.Helper()
	d := &database{room: filepath.Join(c.dir, "database"), small: true}
	if err := os.Mkdir(d.room, 0o711); err != nil {
		c.t.Fatal(err)
	}
	if err := mountSmall(c.t, d.room); err != nil {
		d.small = false
		c.lacks = append(c.lacks, "full disk: "+err.Error())
	}
	config := postgres.Config{Dir: filepath.Join(d.room, "postgres"), Logger: hclog.NewNullLogger()}
	var err error
	if d.shim, err = servertest.NewShim(c.dir); err != nil {
		d.shim = nil
		c.lack("slow disk and clock of Postgres", err)
	} else {
		config.Env = d.shim.Env
		c.t.Cleanup(d.shim.Close)
	}
	if d.Server, err = postgres.Start(c.t.Context(), config); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(d.Stop)
	if d.db, err = postgres.Open(d.DSN(), 4); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = d.db.Close() })
	c.database = d
	if sessions == 0 {
		return
	}
	d.behind = newProxy(c.t, "127.0.0.1", d.dial, nil)
	d.pooler, err = servertest.StartPgBouncer(filepath.Join(c.dir, "pgbouncer"), by(d.DSN(), d.behind), sessions)
	if errors.Is(err, servertest.ErrNoPgBouncer) {
		d.behind = nil
		c.lack("rounds behind a pooler", err)
	} else if err != nil {
		c.t.Fatal(err)
	} else {
		c.t.Cleanup(d.pooler.Finish)
	}
}

func (d *database) dial() (net.Conn, error) {
	u, err := url.Parse(d.DSN())
	if err != nil {
		return nil, err
	}
	return net.Dial("unix", filepath.Join(u.Query().Get("host"), ".s.PGSQL.5432"))
}

// dialPooler connects to what servers are told is the database.
func (d *database) dialPooler() (net.Conn, error) {
	if d.pooler == nil {
		return d.dial()
	}
	u, err := url.Parse(d.pooler.DSN)
	if err != nil {
		return nil, err
	}
	return net.Dial("tcp", u.Host)
}

// by is the URL of a database that is reached through a proxy.
func by(dsn string, p *proxy) string {
	u, err := url.Parse(dsn)
	if err != nil {
		panic(err)
	}
	u.Host, u.RawQuery = p.address(), "sslmode=disable"
	return u.String()
}

// kill ends Postgres, which starts again with another pid.
func (d *database) kill() {
	if pid := d.PID(); pid != 0 {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}
