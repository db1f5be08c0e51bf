package postgres

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/uptrace/bun"
	"go.uber.org/goleak"
)

// The tests of this package start servers of their own: what they test is starting, dying and coming back.

const holderVariable = "PATCHBAY_TEST_HOLD_POSTGRES"

func TestMain(m *testing.M) {
	if dir := os.Getenv(holderVariable); dir != "" {
		hold(dir)
	}
	goleak.VerifyTestMain(m)
}

// hold is the body of a child that starts Postgres and waits to be killed.
func hold(dir string) {
	s, err := Start(context.Background(), Config{Dir: dir, Logger: hclog.NewNullLogger()})
	if err != nil {
		println(err.Error())
		os.Exit(1)
	}
	println("ready " + strconv.Itoa(s.PID()))
	select {}
}

// room is a folder that an unprivileged user can reach, also if the tests run as root.
func room(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "patchbay-pg-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "postgres")
}

func start(t *testing.T, dir string) *Server {
	t.Helper()
	s, err := Start(t.Context(), Config{Dir: dir, Logger: hclog.NewNullLogger()})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func open(t *testing.T, dsn string) *bun.DB {
	t.Helper()
	db, err := Open(dsn, 4)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	if !waitFor(t.Context(), 20*time.Second, condition) {
		t.Fatalf("did not happen: %s", what)
	}
}

func alive(pid int) bool {
	state, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && !bytes.Contains(state, []byte(") Z "))
}

func TestServerStartsMigratesAndKeepsItsData(t *testing.T) {
	t.Parallel()
	dir := room(t)
	began := time.Now()
	s := start(t, dir)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("first start took %s", took)
	}
	if err := Check(t.Context(), open(t, s.DSN())); err != nil {
		t.Fatal(err)
	}
	if n, err := MigrateUp(t.Context(), s.DSN()); err != nil || n == 0 {
		t.Fatalf("migrated %d: %v", n, err)
	}
	if n, err := MigrateUp(t.Context(), s.DSN()); err != nil || n != 0 {
		t.Fatalf("migrated again %d: %v", n, err)
	}
	db := open(t, s.DSN())
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE kept AS SELECT lower('ÄÖ') AS v"); err != nil {
		t.Fatal(err)
	}
	s.Stop()
	if _, err := os.Stat(s.cluster.pidFile()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("postmaster.pid after a stop: %v", err)
	}

	began = time.Now()
	s = start(t, dir)
	defer s.Stop()
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("second start took %s", took)
	}
	var kept string
	if err := open(t, s.DSN()).QueryRowContext(t.Context(), "SELECT v FROM kept").Scan(&kept); err != nil || kept != "äö" {
		t.Fatalf("kept %q: %v", kept, err)
	}
}

func TestServerListensOnNoPortAndDemandsItsPassword(t *testing.T) {
	t.Parallel()
	s := start(t, room(t))
	defer s.Stop()
	var addresses string
	if err := open(t, s.DSN()).QueryRowContext(t.Context(), "SHOW listen_addresses").Scan(&addresses); err != nil || addresses != "" {
		t.Errorf("listen_addresses %q: %v", addresses, err)
	}
	wrong := open(t, strings.Replace(s.DSN(), s.password, "wrong", 1))
	if err := Check(t.Context(), wrong); err == nil {
		t.Error("a wrong password was accepted")
	}
	for path, want := range map[string]os.FileMode{
		s.cluster.room: 0o700, s.socket: 0o700, s.cluster.data: 0o700, s.cluster.passwordFile(): 0o600,
	} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: mode %v, want %v (%v)", path, info.Mode().Perm(), want, err)
		}
	}
}

func TestServerComesBackWhenPostgresIsKilled(t *testing.T) {
	t.Parallel()
	s := start(t, room(t))
	defer s.Stop()
	db := open(t, s.DSN())
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE committed AS SELECT 1 AS v"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		pid := s.PID()
		if pid == 0 {
			t.Fatal("no Postgres runs") // and 0 would kill everybody
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the database answers again", func() bool {
			var v int
			err := db.QueryRowContext(t.Context(), "SELECT v FROM committed").Scan(&v)
			return s.PID() != pid && s.PID() != 0 && err == nil && v == 1
		})
	}
}

func TestPostgresDiesWithItsServerAndTheNextOneRecovers(t *testing.T) {
	t.Parallel()
	dir := room(t)
	holder, pid := startHolder(t, dir)
	if err := holder.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = holder.Wait()
	eventually(t, "Postgres is gone", func() bool { return !alive(pid) })
	s := start(t, dir)
	defer s.Stop()
	if err := Check(t.Context(), open(t, s.DSN())); err != nil {
		t.Fatal(err)
	}
}

// A Postgres whose server can no longer take it along is taken for an orphan.
func TestServerStopsAnOrphanAndIgnoresAReusedPID(t *testing.T) {
	t.Parallel()
	dir := room(t)
	holder, orphan := startHolder(t, dir)
	if err := holder.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	s := start(t, dir)
	if alive(orphan) {
		t.Error("the orphan lives")
	}
	s.Stop()

	left := strconv.Itoa(os.Getpid()) + "\n" + s.cluster.data + "\n"
	for _, file := range []string{s.cluster.pidFile(), filepath.Join(s.socket, ".s.PGSQL.5432.lock")} {
		if err := os.WriteFile(file, []byte(left), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	start(t, dir).Stop()
}

// The processes of a postmaster that is killed live on for as long as they are busy.
func TestServerWaitsForTheProcessesOfADeadPostgres(t *testing.T) {
	t.Parallel()
	dir := room(t)
	holder, pid := startHolder(t, dir)
	c, err := openCluster(t.Context(), dir, 0, true)
	if err != nil {
		t.Fatal(err)
	}
	dead := &Server{cluster: c}
	if dead.password, err = c.password(); err == nil {
		dead.socket, dead.temporary, err = c.socketFolder()
	}
	if err != nil {
		t.Fatal(err)
	}
	db := open(t, dead.DSN())
	var backend int
	if err := db.QueryRowContext(t.Context(), "SELECT pg_backend_pid()").Scan(&backend); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(backend, syscall.SIGSTOP); err != nil { // it is as busy as can be
		t.Fatal(err)
	}
	if err := holder.Process.Signal(syscall.SIGSTOP); err != nil { // it would start another one
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := holder.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	goOn := func() { _ = syscall.Kill(backend, syscall.SIGCONT) }
	t.Cleanup(goOn)
	log := &matches{text: memoryInUse, first: goOn}
	s, err := Start(t.Context(), Config{Dir: dir, Logger: hclog.New(&hclog.LoggerOptions{Output: log}), Throwaway: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	if !log.seen.Load() {
		t.Error("nothing was in the way")
	}
	if err := Check(t.Context(), open(t, s.DSN())); err != nil {
		t.Fatal(err)
	}
}

// matches does something when a text comes for the first time.
type matches struct {
	text  string
	first func()
	seen  atomic.Bool
}

func (m *matches) Write(p []byte) (int, error) {
	if strings.Contains(string(p), m.text) && !m.seen.Swap(true) {
		m.first()
	}
	return len(p), nil
}

func startHolder(t *testing.T, dir string) (holder *exec.Cmd, postgres int) {
	t.Helper()
	holder = exec.Command(os.Args[0], "-test.run=^$")
	holder.Env = append(os.Environ(), holderVariable+"="+dir)
	stderr, err := holder.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = holder.Process.Kill(); _ = holder.Wait() })
	buf := make([]byte, 4096)
	n, _ := stderr.Read(buf)
	word, rest, _ := strings.Cut(strings.TrimSpace(string(buf[:n])), " ")
	pid, err := strconv.Atoi(rest)
	if word != "ready" || err != nil {
		t.Fatalf("holder says %q", buf[:n])
	}
	return holder, pid
}

func TestServerRefusesAnotherMajorVersionAndTouchesNothing(t *testing.T) {
	t.Parallel()
	dir := room(t)
	data := filepath.Join(dir, "cluster")
	if err := os.MkdirAll(data, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"PG_VERSION": "9\n", "precious": "data"} {
		if err := os.WriteFile(filepath.Join(data, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, err := Start(t.Context(), Config{Dir: dir, Logger: hclog.NewNullLogger()})
	if err == nil || !strings.Contains(err.Error(), "PostgreSQL 9 is needed") || !strings.Contains(err.Error(), "PATCHBAY_DATA_DIR") {
		t.Fatalf("error %v", err)
	}
	if entries, _ := os.ReadDir(data); len(entries) != 2 {
		t.Errorf("the folder was touched: %v", entries)
	}
}

func TestInterruptedFirstStartLeavesNothingInTheWay(t *testing.T) {
	t.Parallel()
	dir := room(t)
	unfinished := filepath.Join(dir, "cluster.new")
	if err := os.MkdirAll(unfinished, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(unfinished, "PG_VERSION"), []byte("15\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, dir).Stop()
}

func TestLongDataPathGetsAShortSocket(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(room(t), strings.Repeat("long", 20), "postgres")
	if err := os.MkdirAll(filepath.Dir(dir), 0o711); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s := start(t, dir)
		if !s.temporary || len(s.socket) > maxSocketPath {
			t.Errorf("socket in %s", s.socket)
		}
		if err := Check(t.Context(), open(t, s.DSN())); err != nil {
			t.Error(err)
		}
		s.Stop()
		if _, err := os.Stat(s.socket); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the folder of the socket stays: %v", err)
		}
	}
}

func TestRootNamesTheFolderThatPostgresCannotReach(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("concerns root only")
	}
	dir := room(t)
	if err := os.Chmod(filepath.Dir(dir), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := Start(t.Context(), Config{Dir: dir, Logger: hclog.NewNullLogger()})
	var unreachable *UnreachableError
	if !errors.As(err, &unreachable) || unreachable.Parent != filepath.Dir(dir) || !strings.Contains(err.Error(), "/var/lib/patchbay") {
		t.Fatalf("error %v", err)
	}
}

func TestFailedStartShowsWhatPostgresSaid(t *testing.T) {
	t.Parallel()
	dir := room(t)
	s := start(t, dir)
	s.Stop()
	if err := os.Remove(filepath.Join(s.cluster.data, "global", "pg_control")); err != nil {
		t.Fatal(err)
	}
	_, err := Start(t.Context(), Config{Dir: dir, Logger: hclog.NewNullLogger()})
	if err == nil || !strings.Contains(err.Error(), "pg_control") {
		t.Fatalf("error %v", err)
	}
}
