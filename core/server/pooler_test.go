package server_test

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/patchbay-io/patchbay/core/postgres/postgrestest"
)

// pgbouncer puts a pooler in transaction mode before a database and returns the address there. There are fewer sessions
// than what a server has connections, so that they are shared.
func pgbouncer(t *testing.T, dsn string) string {
	t.Helper()
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("PgBouncer is not installed")
	}
	to, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	port, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, number, _ := net.SplitHostPort(port.Addr().String())
	_ = port.Close()
	dir, err := os.MkdirTemp("", "pgbouncer-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	password, _ := to.User.Password()
	name := strings.TrimPrefix(to.Path, "/")
	config := fmt.Sprintf("[databases]\n%s = host=%s dbname=%s user=%s password=%s\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = %s\nunix_socket_dir =\n"+
		"auth_type = any\npool_mode = transaction\ndefault_pool_size = 6\nmax_client_conn = 200\nignore_startup_parameters = extra_float_digits,plan_cache_mode\n",
		name, to.Query().Get("host"), name, to.User.Username(), password, number)
	file := filepath.Join(dir, "pgbouncer.ini")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, file)
	if os.Geteuid() == 0 { // which it refuses to run as
		who, err := user.Lookup("postgres")
		if err != nil {
			t.Fatal(err)
		}
		uid, _ := strconv.Atoi(who.Uid)
		gid, _ := strconv.Atoi(who.Gid)
		for _, path := range []string{dir, file} {
			if err := os.Chown(path, uid, gid); err != nil {
				t.Fatal(err)
			}
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	eventually(t, "PgBouncer listens", func() bool {
		conn, err := net.Dial("tcp", "127.0.0.1:"+number)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	return fmt.Sprintf("postgres://%s:any@127.0.0.1:%s/%s?sslmode=disable", to.User.Username(), number, name)
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
