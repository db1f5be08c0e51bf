package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
)

// Config of a private Postgres.
type Config struct {
	// Dir is where it keeps everything. The caller must be its only user: whatever Postgres runs on it is taken for
	// an orphan and stopped.
	Dir    string
	Logger hclog.Logger
	// Throwaway trades durability for speed, for data that lives as long as its server, such as a test's.
	Throwaway bool
	// Major is the version of Postgres that a new cluster gets; 0: the newest one of the machine.
	Major int
	// Env is further environment of its process, which sees nothing else of this one's: a test's slower disk, say.
	Env []string
}

// Server is a private Postgres: a child of this process that ends with it, listens on a unix socket in a private
// folder and on no port, and is started again when it dies.
type Server struct {
	cluster   *cluster
	log       hclog.Logger
	throwaway bool
	env       []string
	socket    string
	temporary bool // the socket's folder goes with the server
	password  string
	pid       atomic.Int64
	ready     atomic.Bool // it has been ready once: from then on it is started again
	stopping  chan struct{}
	done      chan struct{}
	failure   error // of the first start; set before done is closed
}

// Bounds of starting and stopping.
const (
	startLimit     = time.Minute
	fastStopLimit  = 15 * time.Second
	quickStopLimit = 3 * time.Second
	longestPause   = time.Second
)

// memoryInUse is what Postgres says while processes of a killed postmaster are still about: they notice its end when
// they have done what they are at.
const memoryInUse = "pre-existing shared memory block"

// Start makes a cluster where there is none, starts Postgres on it and returns when it takes connections.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	c, err := openCluster(ctx, cfg.Dir, cfg.Major, cfg.Throwaway)
	if err != nil {
		return nil, err
	}
	s := &Server{
		cluster: c, log: cfg.Logger, throwaway: cfg.Throwaway, env: cfg.Env,
		stopping: make(chan struct{}), done: make(chan struct{}),
	}
	if s.password, err = c.password(); err != nil {
		return nil, err
	}
	orphan, err := c.stopOrphan(ctx)
	if err != nil {
		return nil, err
	}
	if orphan != 0 {
		s.log.Warn("stopped the Postgres of a dead server", "pid", orphan)
	}
	if s.socket, s.temporary, err = c.socketFolder(); err != nil {
		return nil, err
	}
	// Postgres takes the number in a dead one's lock for a running postmaster's, also while it is only not yet buried.
	if err := os.Remove(filepath.Join(s.socket, ".s.PGSQL.5432.lock")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("remove what a dead Postgres left: %w", err)
	}
	go s.run()
	if err := s.awaitFirstStart(ctx); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

// DSN is the URL of the server's database.
func (s *Server) DSN() string { return s.dsn(role) }

func (s *Server) dsn(database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(role, s.password), Path: "/" + database,
		RawQuery: url.Values{"host": {s.socket}}.Encode(),
	}
	return u.String()
}

// PID is the process id of the running postmaster, 0 while there is none.
func (s *Server) PID() int { return int(s.pid.Load()) }

// Major is the major version that runs.
func (s *Server) Major() int { return s.cluster.bin.Major }

// Stop ends Postgres: connections are cut, what was committed is written out. It must be called once.
func (s *Server) Stop() {
	close(s.stopping)
	for _, step := range []struct {
		signal syscall.Signal
		limit  time.Duration
	}{{syscall.SIGINT, fastStopLimit}, {syscall.SIGQUIT, quickStopLimit}, {syscall.SIGKILL, quickStopLimit}} {
		if pid := s.PID(); pid != 0 {
			_ = syscall.Kill(pid, step.signal) // it may be gone by now
		}
		select {
		case <-s.done:
			if s.temporary {
				if err := os.RemoveAll(s.socket); err != nil {
					s.log.Warn("the folder of the socket stays behind", "folder", s.socket, "error", err)
				}
			}
			return
		case <-time.After(step.limit):
			s.log.Warn("Postgres takes long to stop", "signal", step.signal)
		}
	}
	s.log.Error("Postgres did not stop", "pid", s.PID())
}

// run owns the process: it starts it, waits for its end and starts it again, until Stop. It keeps one thread for
// itself, since the child is tied to the thread that starts it.
func (s *Server) run() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(s.done)
	pause := time.Duration(0)
	for {
		started := time.Now()
		err := s.runOnce()
		select {
		case <-s.stopping:
			return
		default:
		}
		if !s.ready.Load() && !strings.Contains(err.Error(), memoryInUse) {
			s.failure = err
			return
		}
		if time.Since(started) > 10*time.Second {
			pause = 0
		}
		s.log.Warn("Postgres ended and is started again", "reason", err, "pause", pause)
		select {
		case <-s.stopping:
			return
		case <-time.After(pause):
		}
		pause = min(longestPause, max(10*time.Millisecond, 2*pause))
	}
}

// runOnce is the life of one postmaster; its error says how it ended.
func (s *Server) runOnce() error {
	cmd := exec.Command(filepath.Join(s.cluster.bin.Dir, "postgres"), s.arguments()...)
	cmd.Dir, cmd.Env = s.cluster.room, append(environment(), s.env...)
	cmd.SysProcAttr = s.cluster.owner.attributes()
	// Backends notice by themselves that the postmaster is gone.
	tie(cmd, syscall.SIGQUIT)
	output, input, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make the pipe of the log: %w", err)
	}
	cmd.Stderr = input
	err = cmd.Start()
	_ = input.Close()
	if err != nil {
		_ = output.Close()
		return fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	s.pid.Store(int64(cmd.Process.Pid))
	tail, drained := &logTail{}, make(chan struct{})
	go s.drain(output, tail, drained)
	release, err := guard(cmd.Process.Pid)
	if err != nil {
		s.log.Warn("Postgres will outlive this server if that is killed", "error", err)
		release = func() {}
	}
	select {
	case <-s.stopping: // Stop may have looked for a process before there was one
		_ = cmd.Process.Signal(syscall.SIGINT)
	default:
	}
	ended := cmd.Wait()
	s.pid.Store(0)
	release()
	// A backend that lives a little longer than its postmaster holds the pipe.
	select {
	case <-drained:
	case <-time.After(200 * time.Millisecond):
	}
	_ = output.Close()
	<-drained
	if ended == nil {
		ended = errors.New("it exited by itself")
	}
	return fmt.Errorf("%w\n%s", ended, tail)
}

func (s *Server) drain(output *os.File, tail *logTail, drained chan<- struct{}) {
	defer close(drained)
	copyLog(output, s.log, tail)
}

// arguments are all settings that differ from Postgres's defaults; its configuration file is left as initdb made it.
func (s *Server) arguments() []string {
	args := []string{
		"-D", s.cluster.data,
		"-c", "listen_addresses=",
		"-c", "port=5432",
		"-c", "unix_socket_directories=" + s.socket,
		"-c", "unix_socket_permissions=0700",
		"-c", "max_connections=200",
		"-c", "shared_buffers=128MB",
		"-c", "wal_buffers=16MB",
		"-c", "max_wal_size=1GB",
		"-c", "jit=off", // compiling costs more than our short queries
		"-c", "timezone=UTC",
		"-c", "log_timezone=UTC",
		"-c", "logging_collector=off",
		"-c", "log_destination=stderr",
		"-c", "log_line_prefix=",
		"-c", "log_min_messages=warning",
		"-c", "idle_in_transaction_session_timeout=60s",
	}
	if s.throwaway {
		args = append(args, "-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off",
			"-c", "autovacuum=off")
	}
	return args
}

func (s *Server) awaitFirstStart(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if pid, ready := s.cluster.postmaster(); ready && pid == s.PID() {
			break
		}
		select {
		case <-s.done:
			return fmt.Errorf("start Postgres on %s: %w", s.cluster.data, s.failure)
		case <-ctx.Done():
			return fmt.Errorf("wait for Postgres on %s: %w", s.cluster.data, ctx.Err())
		case <-tick.C:
		}
	}
	s.ready.Store(true)
	return s.ensureDatabase(ctx)
}

func (s *Server) ensureDatabase(ctx context.Context) error {
	pool, err := openPool(s.dsn("postgres"), queryTimeout)
	if err != nil {
		return err
	}
	defer func() { _ = pool.Close() }()
	var exists bool
	err = pool.QueryRowContext(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", role).Scan(&exists)
	if err != nil {
		return fmt.Errorf("connect to Postgres: %w", err)
	}
	if exists {
		return nil
	}
	if _, err := pool.ExecContext(ctx, "CREATE DATABASE "+role); err != nil {
		return fmt.Errorf("create the database: %w", err)
	}
	return nil
}
