// Package postgrestest gives tests real databases: one private Postgres a test binary, started when the first test
// asks, and a fresh, migrated database for each call. It must never be imported by anything but tests.
package postgrestest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/uptrace/bun"
	"go.uber.org/goleak"

	"github.com/patchbay-io/patchbay/core/postgres"
)

// DB opens a fresh, migrated database that goes with the test.
func DB(t testing.TB) *bun.DB {
	t.Helper()
	db, err := postgres.Open(DSN(t), 16)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// DSN is the URL of a fresh, migrated database that goes with the test.
func DSN(t testing.TB) string {
	t.Helper()
	s, err := shared()
	if err != nil {
		t.Fatalf("start Postgres for tests: %v", err)
	}
	name := fmt.Sprintf("test_%d", databases.Add(1))
	if err := s.exec("CREATE DATABASE " + name + " TEMPLATE " + template); err != nil {
		t.Fatalf("create a database: %v", err)
	}
	t.Cleanup(func() {
		if err := s.exec("DROP DATABASE " + name + " WITH (FORCE)"); err != nil {
			t.Errorf("drop a database: %v", err)
		}
	})
	return s.dsn(name)
}

// IgnoreServer lets goleak overlook the Postgres that lives until the test binary ends.
func IgnoreServer() []goleak.Option {
	const server = "github.com/patchbay-io/patchbay/core/postgres.(*Server)"
	return []goleak.Option{
		goleak.IgnoreAnyFunction(server + ".run"),
		goleak.IgnoreAnyFunction(server + ".drain"),
		goleak.IgnoreTopFunction("database/sql.(*DB).connectionOpener"),
	}
}

// majorVariable names the major version of Postgres to test with; the newest one of the machine unless it is set.
const majorVariable = "PATCHBAY_TEST_POSTGRES_MAJOR"

const template = "template_patchbay"

var (
	databases atomic.Int64
	shared    = sync.OnceValues(start)
)

type server struct {
	*postgres.Server
	admin *bun.DB
}

func (s *server) dsn(database string) string {
	return strings.Replace(s.DSN(), "/patchbay?", "/"+database+"?", 1)
}

func (s *server) exec(query string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	_, err := s.admin.ExecContext(ctx, query)
	return err
}

func start() (*server, error) {
	major := 0
	if wanted := os.Getenv(majorVariable); wanted != "" {
		var err error
		if major, err = strconv.Atoi(wanted); err != nil {
			return nil, fmt.Errorf("%s: %w", majorVariable, err)
		}
	}
	dir, err := os.MkdirTemp(scratch(), "patchbay-test-")
	if err != nil {
		return nil, err
	}
	if err := removeAtExit(dir); err != nil {
		return nil, err
	}
	// As root Postgres runs as another user, who must get through.
	if err := os.Chmod(dir, 0o711); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	pg, err := postgres.Start(ctx, postgres.Config{
		Dir: filepath.Join(dir, "postgres"), Throwaway: true, Major: major,
		Logger: hclog.New(&hclog.LoggerOptions{Name: "postgres", Level: hclog.Error}),
	})
	if err != nil {
		return nil, err
	}
	s := &server{Server: pg}
	if s.admin, err = postgres.Open(pg.DSN(), 2); err != nil {
		return nil, err
	}
	if err := s.exec("CREATE DATABASE " + template); err != nil {
		return nil, err
	}
	if _, err := postgres.MigrateUp(ctx, s.dsn(template)); err != nil {
		return nil, err
	}
	return s, nil
}

// scratch is where the data goes: in memory where there is room, which makes a database five times as fast.
func scratch() string {
	const memory, room = "/dev/shm", 1 << 30
	var fs syscall.Statfs_t
	if syscall.Statfs(memory, &fs) == nil && fs.Bavail*uint64(fs.Bsize) >= room {
		return memory
	}
	return ""
}

// lifeline is never closed: its end is that of the process.
var lifeline io.Closer

// removeAtExit leaves the removal to a shell whose input ends with this process: test binaries have no other end that
// code of a package could wait for.
func removeAtExit(dir string) error {
	script := `cat >/dev/null; for try in 1 2 3 4 5 6 7 8 9; do rm -rf "$1" 2>/dev/null && exit; sleep 0.3; done`
	cmd := exec.Command("/bin/sh", "-c", script, "sh", dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C is for the tests, not for what cleans up behind them
	input, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if lifeline != nil {
		return errors.New("two folders would need two lifelines")
	}
	lifeline = input
	return cmd.Start()
}
