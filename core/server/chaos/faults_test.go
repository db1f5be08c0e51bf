package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/patchbay-io/patchbay/core/server/servertest"
)

// fault is something that goes wrong, for a while or at a moment.
type fault struct {
	what   string
	target *sync.Mutex                 // what has one fault at a time
	strike func(context.Context) error // begins it and holds it as long as it is to last
	lift   func()                      // ends it; nil: it ended by itself
}

// struck is a fault as it happened.
type struck struct {
	what            string
	at, held, after time.Duration // after is from its end until all servers were ready and executions got on
	err             error
}

// storm lets things go wrong.
type storm struct {
	*cluster
	crowd   *crowd
	began   time.Time
	long    bool
	over    <-chan struct{} // closed when nothing executes any longer
	shared  sync.Mutex      // Postgres and its clock and disk
	carrier sync.Mutex      // NATS

	mu      sync.Mutex
	log     []struck
	plugins map[string]int
}

// maxPluginKills is of each plugin of a server: one that dies more often is given up for a while, rightly, and its blocks
// are blamed.
const maxPluginKills = 2

// kinds are all faults that this cluster can have. Those that take an argument draw it.
func (s *storm) kinds() map[string]func(r *rand.Rand) *fault {
	kinds := map[string]func(r *rand.Rand) *fault{
		"kill server": func(r *rand.Rand) *fault {
			p := s.any(r)
			return s.once("kill server "+p.name, &p.busy, func() { p.signal(syscall.SIGKILL) })
		},
		"stop server": func(r *rand.Rand) *fault {
			p := s.any(r)
			return s.once("ask server "+p.name+" to stop", &p.busy, func() { p.signal(syscall.SIGTERM) })
		},
		"pause server": func(r *rand.Rand) *fault {
			p := s.any(r)
			return s.lasting("pause server "+p.name, &p.busy, s.length(r), func() { p.signal(syscall.SIGSTOP) }, func() { p.signal(syscall.SIGCONT) })
		},
		"kill plugin": s.killPlugin,
	}
	if s.postgres == nil { // its own Postgres
		p := s.servers[0]
		kinds["kill Postgres"] = func(*rand.Rand) *fault {
			return s.once("kill Postgres", &p.busy, func() { servertest.KillAll(p.data, "/bin/postgres -D ") })
		}
		kinds["kill server and Postgres"] = func(*rand.Rand) *fault {
			return s.once("kill Postgres and the server", &p.busy, func() {
				servertest.KillAll(p.data, "/bin/postgres -D ")
				p.signal(syscall.SIGKILL)
			})
		}
		return kinds
	}
	kinds["kill Postgres"] = func(*rand.Rand) *fault {
		return s.once("kill Postgres", &s.shared, func() {
			if pid := s.postgres.PID(); pid != 0 {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		})
	}
	kinds["pause past the lease"] = s.pausePastLease
	for name, w := range map[string]weather{
		"cut": {cut: true}, "stall": {mute: true, deaf: true}, "lose answers of": {deaf: true}, "slow down": {latency: 20 * time.Millisecond},
	} {
		kinds[name+" Postgres"] = func(r *rand.Rand) *fault {
			all, p := r.IntN(3) == 0, s.any(r)
			if !all {
				return s.between(name+" Postgres for "+p.name, &p.busy, s.length(r), w, p.postgres)
			}
			var proxies []*proxy
			for _, p := range s.servers {
				proxies = append(proxies, p.postgres)
			}
			return s.between(name+" Postgres for all", &s.shared, s.length(r), w, proxies...)
		}
	}
	if s.nats != nil {
		kinds["kill NATS"] = func(*rand.Rand) *fault { return s.once("kill NATS", &s.carrier, s.nats.kill) }
		for name, w := range map[string]weather{"cut": {cut: true}, "stall": {mute: true, deaf: true}} {
			kinds[name+" NATS"] = func(r *rand.Rand) *fault {
				p := s.any(r)
				return s.between(name+" NATS for "+p.name, &s.carrier, s.length(r), w, p.nats)
			}
		}
	}
	for _, p := range s.servers {
		if p.space != nil {
			kinds["link down"] = func(r *rand.Rand) *fault {
				return s.lasting("link of "+p.name+" down", &p.busy, s.length(r), func() { _ = p.space.set("down") }, func() { _ = p.space.set("up") })
			}
		}
	}
	if s.disk != "" {
		kinds["full disk"] = s.fillDisk
	}
	if s.shim != nil {
		kinds["slow disk"] = func(r *rand.Rand) *fault {
			by := time.Duration(1+r.IntN(50)) * time.Millisecond
			return s.lasting(fmt.Sprintf("syncs take %s more", by), &s.shared, 2*s.length(r), func() { _ = s.shim.Slow(by) }, func() { _ = s.shim.Slow(0) })
		}
		kinds["clock of Postgres"] = func(r *rand.Rand) *fault {
			by := jump(r, 2*time.Hour)
			return s.lasting(fmt.Sprintf("clock of Postgres jumps by %s and back", by), &s.shared, s.length(r), func() { _ = s.shim.Ahead(by) }, func() { _ = s.shim.Ahead(0) })
		}
	}
	if clockBinary != "" {
		kinds["clock of a server"] = func(r *rand.Rand) *fault {
			p, by := s.any(r), jump(r, 20*time.Minute) // tokens are good for an hour
			return s.lasting(fmt.Sprintf("clock of %s jumps by %s and back", p.name, by), &p.busy, s.length(r), func() { p.ahead(by) }, func() { p.ahead(0) })
		}
	}
	return kinds
}

// jump is how far a clock jumps, either way.
func jump(r *rand.Rand, most time.Duration) time.Duration {
	by := time.Duration(r.Int64N(int64(most))).Round(time.Second)
	if r.IntN(2) == 0 {
		return -by
	}
	return by
}

func (s *storm) any(r *rand.Rand) *process { return s.servers[r.IntN(len(s.servers))] }

// length is how long a fault lasts: now and then longer than a lease, where there is time for that.
func (s *storm) length(r *rand.Rand) time.Duration {
	d := time.Duration(100+r.IntN(900)) * time.Millisecond
	switch roll := r.IntN(10); {
	case s.long && roll == 0:
		d += 11 * time.Second
	case s.long && roll < 4:
		d *= 4
	}
	return d
}

func (s *storm) once(what string, target *sync.Mutex, do func()) *fault {
	return &fault{what: what, target: target, strike: func(context.Context) error { do(); return nil }}
}

func (s *storm) lasting(what string, target *sync.Mutex, length time.Duration, begin, end func()) *fault {
	return &fault{what: fmt.Sprintf("%s, for %s", what, length.Round(time.Millisecond)), target: target, lift: end, strike: func(ctx context.Context) error {
		begin()
		select {
		case <-time.After(length):
		case <-ctx.Done():
		}
		return nil
	}}
}

// between changes the weather between servers and a service, and breaks connections off that have lost something.
func (s *storm) between(what string, target *sync.Mutex, length time.Duration, w weather, proxies ...*proxy) *fault {
	return s.lasting(what, target, length, func() {
		for _, p := range proxies {
			p.turn(w)
		}
	}, func() {
		for _, p := range proxies {
			if w.deaf != w.mute {
				p.reset()
			}
			p.turn(weather{})
		}
	})
}

func (s *storm) killPlugin(r *rand.Rand) *fault {
	p := s.any(r)
	name := []string{"logic", "data", "time", "markplugin"}[r.IntN(4)]
	return s.once(fmt.Sprintf("kill plugin %s of %s", name, p.name), &p.busy, func() {
		s.mu.Lock()
		s.plugins[p.name+name]++
		allowed := s.plugins[p.name+name] <= maxPluginKills
		s.mu.Unlock()
		if allowed {
			servertest.KillAll(p.data, "/plugins/"+name+"/"+name)
		}
	})
}

// pausePastLease pauses a server until others have everything that it had.
func (s *storm) pausePastLease(r *rand.Rand) *fault {
	var workers []*process
	for _, p := range s.servers {
		if !slices.Contains(p.env, "PATCHBAY_ROLE=api") {
			workers = append(workers, p)
		}
	}
	p := workers[r.IntN(len(workers))]
	return &fault{what: "pause server " + p.name + " past its lease", target: &p.busy, lift: func() { p.signal(syscall.SIGCONT) }, strike: func(ctx context.Context) error {
		p.signal(syscall.SIGSTOP)
		id, err := os.ReadFile(filepath.Join(p.data, "server", "id"))
		if err != nil {
			return nil // it had not begun
		}
		return s.until(ctx, "others have what a paused server had", func() bool {
			var taken bool
			err := s.db.QueryRowContext(ctx, `SELECT NOT EXISTS (SELECT FROM lease WHERE server_id = ?0 AND until > now())
				AND NOT EXISTS (SELECT FROM execution WHERE owner = ?0 AND ended_at IS NULL AND parent_id IS NULL)`, strings.TrimSpace(string(id))).Scan(&taken)
			return err == nil && taken
		})
	}}
}

// fillDisk leaves Postgres no room until a statement has failed for that.
func (s *storm) fillDisk(r *rand.Rand) *fault {
	free, length, wal := func() {}, s.length(r), r.IntN(2) == 0
	return &fault{what: "disk of Postgres full", target: &s.shared, lift: func() {
		free()
		_, _ = s.db.Exec(`DROP TABLE IF EXISTS filler`)
	}, strike: func(ctx context.Context) error {
		var err error
		if free, err = fill(s.disk); err != nil {
			free = func() {}
			return err
		}
		err = s.until(ctx, "the disk is full", func() bool {
			if wal {
				_, _ = s.db.ExecContext(ctx, `SELECT pg_switch_wal()`)
			}
			_, err := s.db.ExecContext(ctx, `CREATE TABLE filler AS SELECT repeat(md5(n::text), 20) AS text FROM generate_series(1, 20000) AS n`)
			return err != nil
		})
		select {
		case <-time.After(length):
		case <-ctx.Done():
		}
		return err
	}}
}

// until waits for a condition, or for the end of all work.
func (s *storm) until(ctx context.Context, what string, met func() bool) error {
	deadline := time.Now().Add(patience)
	for !met() {
		if time.Now().After(deadline) {
			return fmt.Errorf("it never came that %s", what)
		}
		if pause(ctx) != nil {
			return nil
		}
	}
	return nil
}

// suffer lets one fault happen and waits until it is got over.
func (s *storm) suffer(ctx context.Context, f *fault) {
	f.target.Lock()
	defer f.target.Unlock()
	at := time.Since(s.began)
	err := f.strike(ctx)
	if f.lift != nil {
		f.lift()
	}
	lifted := time.Now()
	seen := s.crowd.seen.Load()
	if err == nil {
		err = s.until(ctx, "all servers are ready again and executions get on", func() bool {
			select {
			case <-s.over:
				return s.ready()
			default:
				return s.crowd.seen.Load() > seen && s.ready()
			}
		})
	}
	if s.db != nil { // what was written would fill a small disk by itself
		cctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		_, _ = s.db.ExecContext(cctx, `CHECKPOINT`)
		cancel()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log = append(s.log, struck{f.what, at, lifted.Sub(s.began) - at, time.Since(lifted), err})
}

// rage lets faults happen one after the other, each after some work.
func (s *storm) rage(ctx context.Context, r *rand.Rand, next func() *fault) {
	for ctx.Err() == nil {
		want := s.crowd.seen.Load() + int64(1+r.IntN(300))
		_ = s.until(ctx, "executions get on", func() bool {
			select {
			case <-s.over:
				return true
			default:
				return s.crowd.seen.Load() >= want
			}
		})
		f := next()
		if f == nil {
			return
		}
		s.suffer(ctx, f)
	}
}
