package server_test

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/patchbay-io/patchbay/core/postgres/postgrestest"
	"github.com/patchbay-io/patchbay/core/server/servertest"
)

// pgbouncer puts a pooler in transaction mode before a database and returns the address there. There are fewer sessions
// than what a server has connections, so that they are shared.
func pgbouncer(t *testing.T, dsn string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pgbouncer-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	p, err := servertest.StartPgBouncer(filepath.Join(dir, "pgbouncer"), dsn, 6)
	if errors.Is(err, servertest.ErrNoPgBouncer) && os.Getenv("CI") == "" {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Finish)
	to, err := url.Parse(p.DSN)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "PgBouncer listens", func() bool {
		conn, err := net.Dial("tcp", to.Host)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	return p.DSN
}

// Behind a pooler nothing is left in sessions that others get: no request fails, and servers hear each other where they
// are given an address past it.
func TestServersWorkBehindAPooler(t *testing.T) {
	t.Parallel()
	dsn := postgrestest.DSN(t)
	pooled := "PATCHBAY_DATABASE_URL=" + pgbouncer(t, dsn)
	a, b := startInstance(t, pooled), startInstance(t, pooled, "PATCHBAY_DATABASE_DIRECT_URL="+dsn)
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			i := []*instance{a, b}[n%2]
			graph := i.create(through(calculatorBlock, "a", "result", map[string]any{"operation": "Add", "b": n}))
			for value := range 10 {
				if d := i.run(graph, fmt.Sprintf(`{"Value":%d}`, value)); d.Status != "COMPLETED" || string(d.Outputs["Output"][0]) != strconv.Itoa(value+n) {
					t.Errorf("%d + %d: %s %s", value, n, d.Status, d.Outputs)
				}
			}
		})
	}
	all.Wait()
	for _, i := range []*instance{a, b} {
		text, err := os.ReadFile(i.log.Name())
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(string(text), "\n") {
			if strings.Contains(line, "[ERROR]") || strings.Contains(line, "[WARN]") && !strings.Contains(line, "is a pooler's") {
				t.Error(line)
			}
		}
		if told := strings.Contains(string(text), "is a pooler's"); told != (i == a) {
			t.Errorf("told of the pooler: %t", told)
		}
	}
}
