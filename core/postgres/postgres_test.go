package postgres

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"net"
	"net/url"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func TestNormaliseReadsURLsAsLibpqDoes(t *testing.T) {
	t.Parallel()
	for dsn, want := range map[string]struct {
		dsn           string
		opportunistic bool
	}{
		"postgres://u:p@db/name":                       {"postgres://u:p@db/name", true},
		"postgres://u:p@db/name?sslmode=prefer":        {"postgres://u:p@db/name", true},
		"postgres://u:p@db/name?sslmode=disable":       {"postgres://u:p@db/name?sslmode=disable", false},
		"postgres://u:p@db/name?sslmode=verify-full":   {"postgres://u:p@db/name?sslmode=verify-full", false},
		"postgres://u@/name?host=/run/pg":              {"postgres://u@/name?host=%2Frun%2Fpg%2F.s.PGSQL.5432", true},
		"postgres://u@/name?host=/run/pg/&port=6000":   {"postgres://u@/name?host=%2Frun%2Fpg%2F.s.PGSQL.6000", true},
		"postgres://u@/name?host=/run/pg/.s.PGSQL.1":   {"postgres://u@/name?host=%2Frun%2Fpg%2F.s.PGSQL.1", true},
		"postgres://db/name?search_path=x&sslmode=":    {"postgres://db/name?search_path=x", true},
		"postgres://db/name?sslmode=&sslrootcert=ca.x": {"postgres://db/name?sslrootcert=ca.x", false},
	} {
		u, err := url.Parse(dsn)
		if err != nil {
			t.Fatal(err)
		}
		if got := normalise(u); got != want.opportunistic || u.String() != want.dsn {
			t.Errorf("%s became %s, %v", dsn, u, got)
		}
	}
}

func TestOpenNeverShowsThePassword(t *testing.T) {
	t.Parallel()
	for _, dsn := range []string{"postgres://u:hidden@%zz/db", "mysql://u:hidden@h/db", "postgres://u:hidden@h/db?sslmode=odd"} {
		_, err := Open(dsn, 1)
		if err == nil || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: %v", dsn, err)
		}
	}
}

// overTCP is the address of a database on a unix socket, over TCP: what is written to a TCP connection whose other end has
// gone is lost without an error. ended counts the connections that the database has closed.
func overTCP(t *testing.T, dsn string, ended *atomic.Int32) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(u.Query().Get("host"), ".s.PGSQL.5432")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var copying sync.WaitGroup
	t.Cleanup(copying.Wait)
	t.Cleanup(func() { l.Close() })
	pass := func(to, from net.Conn) {
		_, _ = io.Copy(to, from)
		to.Close()
		from.Close()
	}
	copying.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("unix", socket)
			if err != nil {
				t.Error(err)
				client.Close()
				return
			}
			copying.Go(func() {
				pass(client, server)
				ended.Add(1)
			})
			copying.Go(func() { pass(server, client) })
		}
	})
	u.Host, u.RawQuery = l.Addr().String(), "sslmode=disable"
	return u.String()
}

// After the database was restarted, what is asked first does not fail on the connections of before.
func TestConnectionsThatWereEndedAreNotUsed(t *testing.T) {
	t.Parallel()
	s := start(t, room(t))
	defer s.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	const several = 5
	var ended atomic.Int32
	db, err := Open(overTCP(t, s.DSN(), &ended), several)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var pids []int
	var held []*sql.Conn
	for range several {
		c, err := db.DB.Conn(ctx)
		if err != nil {
			t.Fatal(err)
		}
		var pid int
		if err := c.QueryRowContext(ctx, "SELECT pg_backend_pid()").Scan(&pid); err != nil {
			t.Fatal(err)
		}
		pids, held = append(pids, pid), append(held, c)
	}
	for _, c := range held {
		if err := c.Close(); err != nil { // back into the pool
			t.Fatal(err)
		}
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
	}
	for ended.Load() < several && ctx.Err() == nil {
		runtime.Gosched()
	}
	for range several {
		var one int
		if err := db.DB.QueryRowContext(ctx, "SELECT 1").Scan(&one); err != nil {
			t.Error(err)
		}
	}
}

func TestMigrations(t *testing.T) {
	t.Parallel()
	s := start(t, room(t))
	defer s.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()

	// Servers that start at once: one migrates, all succeed.
	var starting sync.WaitGroup
	for range 3 {
		starting.Go(func() {
			if _, err := MigrateUp(ctx, s.DSN()); err != nil {
				t.Errorf("migrate at once: %v", err)
			}
		})
	}
	starting.Wait()
	all, err := Migrations(ctx, s.DSN())
	if err != nil || len(all) == 0 {
		t.Fatalf("%d migrations: %v", len(all), err)
	}
	for _, m := range all {
		if !m.Applied || m.At.IsZero() {
			t.Errorf("%s is not applied", m.Name)
		}
	}

	for range all {
		if _, err := MigrateDown(ctx, s.DSN()); err != nil {
			t.Fatal(err)
		}
	}
	if undone, err := MigrateDown(ctx, s.DSN()); err == nil {
		t.Errorf("took back %q when nothing was left", undone)
	}
	if n, err := MigrateUp(ctx, s.DSN()); err != nil || n != len(all) {
		t.Errorf("applied %d of %d again: %v", n, len(all), err)
	}

	db := open(t, s.DSN())
	if _, err := db.ExecContext(ctx, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (90000, true)"); err != nil {
		t.Fatal(err)
	}
	if _, err := MigrateUp(ctx, s.DSN()); !errors.Is(err, ErrNewerSchema) {
		t.Errorf("a newer schema: %v", err)
	}
}
