//go:build linux

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
	at, held, after time.Duration // after is from its end, and those of others that it met, until all servers were ready and executions got on
	err             error
}

// storm lets things go wrong.
type storm struct {
	*cluster
	crowd   *crowd
	began   time.Time
	long    bool
	over    <-chan struct{} // closed when nothing executes any longer
	shared  sync.Mutex      // Postgres and its clock and disk, and its pooler
	carrier sync.Mutex      // NATS
	front   sync.Mutex      // the balancer

	mu      sync.Mutex
	log     []struck
	lifted  time.Time // when a fault ended last
	plugins map[string]int
}

// pluginNames are the plugins of the agents' blocks.
var pluginNames = []string{"logic", "data", "time", "markplugin"}

// maxPluginKills is of each plugin of a server: one that dies more often is given up for a while, rightly, and its blocks
// are blamed.
const maxPluginKills = 2

// kind draws what is left open of a fault.
type kind = func(r *rand.Rand) *fault

// kinds are all faults that this cluster can have.
func (s *storm) kinds() map[string]kind {
	kinds := map[string]kind{
		"kill server": func(r *rand.Rand) *fault {
			p := s.any(r)
			return s.once("kill server "+p.name, &p.busy, p.Kill)
		},
		"stop server": func(r *rand.Rand) *fault {
			p := s.any(r)
			return s.once("ask server "+p.name+" to stop", &p.busy, func() { p.Signal(syscall.SIGTERM) })
		},
		"pause server": func(r *rand.Rand) *fault {
			p := s.any(r)
			return s.paused("server "+p.name, &p.busy, s.length(r), p.Kept)
		},
		"kill plugin":  s.killPlugin,
		"pause plugin": s.pausePlugin,
	}
	if clockBinary != "" {
		kinds["clock of a server"] = func(r *rand.Rand) *fault {
			p, by := s.any(r), jump(r, 20*time.Minute) // tokens are good for an hour
			return s.lasting(fmt.Sprintf("clock of %s jumps by %s and back", p.name, by), &p.busy, s.length(r), func() { p.ahead(by) }, func() { p.ahead(0) })
		}
	}
	if s.database == nil { // its own Postgres
		p := s.servers[0]
		kinds["kill Postgres"] = func(*rand.Rand) *fault {
			return s.once("kill Postgres", &p.busy, func() { servertest.KillAll(p.data, "/bin/postgres -D ") })
		}
		kinds["kill server and Postgres"] = func(*rand.Rand) *fault {
			return s.once("kill Postgres and the server", &p.busy, func() {
				servertest.KillAll(p.data, "/bin/postgres -D ")
				p.Kill()
			})
		}
		return kinds
	}
	s.ofDatabase(kinds)
	if s.nats != nil {
		s.ofNATS(kinds)
	}
	s.ofLinks(kinds)
	return kinds
}

// ofDatabase are faults of what the servers of a cluster share, and of the ways there.
func (s *storm) ofDatabase(kinds map[string]kind) {
	kinds["pause past the lease"] = s.pausePastLease
	kinds["kill Postgres"] = func(*rand.Rand) *fault { return s.once("kill Postgres", &s.shared, s.kill) }
	kinds["fail over"] = s.failOver
	kinds["pause Postgres"] = func(r *rand.Rand) *fault {
		return s.lasting("pause Postgres", &s.shared, s.length(r),
			func() { servertest.SignalAll(s.room, "", syscall.SIGSTOP) }, func() { servertest.SignalAll(s.room, "", syscall.SIGCONT) })
	}
	var all []*proxy
	for _, p := range s.servers {
		all = append(all, p.database...)
	}
	for name, w := range map[string]weather{
		"cut": {cut: true}, "stall": {mute: true, deaf: true}, "lose answers of": {deaf: true}, "break off in answers of": {snap: 20}, "slow down": {latency: 20 * time.Millisecond},
	} {
		kinds[name+" Postgres"] = func(r *rand.Rand) *fault {
			whom, p := r.IntN(3), s.any(r)
			switch {
			case whom > 0:
				return s.between(name+" Postgres for "+p.name, &p.busy, s.length(r), w, p.database...)
			case s.pooler != nil && r.IntN(2) == 0:
				return s.between(name+" Postgres for its pooler", &s.shared, s.length(r), w, s.behind)
			}
			return s.between(name+" Postgres for all", &s.shared, s.length(r), w, all...)
		}
	}
	if s.pooler != nil {
		kinds["kill PgBouncer"] = func(*rand.Rand) *fault { return s.once("kill PgBouncer", &s.shared, s.pooler.Kill) }
		kinds["pause PgBouncer"] = func(r *rand.Rand) *fault { return s.paused("PgBouncer", &s.shared, s.length(r), s.pooler.Kept) }
	}
	if s.small {
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
}

// ofNATS are faults of its members and of the ways between them and to them.
func (s *storm) ofNATS(kinds map[string]kind) {
	members := s.nats.members
	one := func(r *rand.Rand) *member { return members[r.IntN(len(members))] }
	kinds["kill NATS"] = func(r *rand.Rand) *fault {
		m := one(r)
		return s.once("kill NATS "+m.Name, &s.carrier, m.Kill)
	}
	kinds["pause NATS"] = func(r *rand.Rand) *fault {
		m := one(r)
		return s.paused("NATS "+m.Name, &s.carrier, s.length(r), m.Kept)
	}
	for name, w := range map[string]weather{"cut": {cut: true}, "stall": {mute: true, deaf: true}} {
		kinds[name+" NATS"] = func(r *rand.Rand) *fault {
			p := s.any(r)
			return s.between(name+" NATS for "+p.name, &s.carrier, s.length(r), w, p.nats...)
		}
		if len(members) > 1 { // servers that it is there for are not told what others hear
			kinds[name+" NATS among itself"] = func(r *rand.Rand) *fault {
				m := one(r)
				return s.between(fmt.Sprintf("%s NATS %s for the other members", name, m.Name), &s.carrier, s.length(r), w, m.peers...)
			}
		}
	}
	if len(members) > 1 {
		kinds["kill all NATS"] = func(*rand.Rand) *fault {
			return s.once("kill all NATS", &s.carrier, func() {
				for _, m := range members {
					m.Kill()
				}
			})
		}
	}
}

// ofLinks are faults of the network itself, and of what stands before the servers.
func (s *storm) ofLinks(kinds map[string]kind) {
	down := func(what string, target *sync.Mutex, length time.Duration, at *space) *fault {
		return s.lasting("link of "+what+" down", target, length, func() { _ = at.set("down") }, func() { _ = at.set("up") })
	}
	if s.servers[0].space != nil {
		kinds["link of a server down"] = func(r *rand.Rand) *fault {
			p := s.any(r)
			return down(p.name, &p.busy, s.length(r), p.space)
		}
		if s.nats != nil {
			kinds["link of NATS down"] = func(r *rand.Rand) *fault {
				m := s.nats.members[r.IntN(len(s.nats.members))]
				return down("NATS "+m.Name, &s.carrier, s.length(r), m.space)
			}
		}
	}
	if s.balancer != nil {
		for name, w := range map[string]weather{"cut": {cut: true}, "stall": {mute: true, deaf: true}, "break off in answers of": {snap: 20}} {
			kinds[name+" the balancer"] = func(r *rand.Rand) *fault {
				return s.between(name+" the balancer", &s.front, s.length(r), w, s.balancer)
			}
		}
	}
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

func (s *storm) paused(what string, target *sync.Mutex, length time.Duration, k *servertest.Kept) *fault {
	return s.lasting("pause "+what, target, length, func() { k.Signal(syscall.SIGSTOP) }, func() { k.Signal(syscall.SIGCONT) })
}

// between changes the weather between servers and a service, and breaks connections off that have lost something.
func (s *storm) between(what string, target *sync.Mutex, length time.Duration, w weather, proxies ...*proxy) *fault {
	return s.lasting(what, target, length, func() {
		for _, p := range proxies {
			p.turn(w)
		}
	}, func() {
		for _, p := range proxies {
			if w.deaf != w.mute || w.snap > 0 {
				p.reset()
			}
			p.turn(weather{})
		}
	})
}

// failOver is what clients see of a database whose standby takes over, in the middle of commits: the old one has executed
// what it never answers, all connections break, nothing is there for a while, and another one answers at the address.
func (s *storm) failOver(r *rand.Rand) *fault {
	var ways []*proxy
	for _, p := range s.servers {
		ways = append(ways, p.database...)
	}
	if s.behind != nil {
		ways = append(ways, s.behind)
	}
	turn := func(w weather) {
		for _, way := range ways {
			way.turn(w)
		}
	}
	length := s.length(r)
	return &fault{what: fmt.Sprintf("Postgres fails over, within %s", length.Round(time.Millisecond)), target: &s.shared, lift: func() { turn(weather{}) }, strike: func(ctx context.Context) error {
		turn(weather{deaf: true})
		err := s.until(ctx, "something was executed and not answered", func() bool {
			select {
			case <-s.over:
				return true
			default:
				return slices.ContainsFunc(ways, func(p *proxy) bool { return p.withheld() > 0 })
			}
		})
		s.kill()
		turn(weather{cut: true})
		select {
		case <-time.After(length):
		case <-ctx.Done():
		}
		return err
	}}
}

// pausePlugin is of one that does not die, so that runs wait for it.
func (s *storm) pausePlugin(r *rand.Rand) *fault {
	p, name := s.any(r), pluginNames[r.IntN(len(pluginNames))]
	send := func(signal syscall.Signal) func() {
		return func() { servertest.SignalAll(p.data, "/plugins/"+name+"/"+name, signal) }
	}
	return s.lasting(fmt.Sprintf("pause plugin %s of %s", name, p.name), &p.busy, s.length(r), send(syscall.SIGSTOP), send(syscall.SIGCONT))
}

func (s *storm) killPlugin(r *rand.Rand) *fault {
	p := s.any(r)
	name := pluginNames[r.IntN(len(pluginNames))]
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
		if p.role != "api" {
			workers = append(workers, p)
		}
	}
	p := workers[r.IntN(len(workers))]
	return &fault{what: "pause server " + p.name + " past its lease", target: &p.busy, lift: func() { p.Signal(syscall.SIGCONT) }, strike: func(ctx context.Context) error {
		p.Signal(syscall.SIGSTOP)
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
		if free, err = fill(s.room); err != nil {
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
	lifted := s.calmer()
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
	over := time.Now()
	if s.database != nil { // what was written would fill a small disk by itself
		cctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		_, _ = s.db.ExecContext(cctx, `CHECKPOINT`)
		cancel()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	since := lifted
	if s.lifted.After(since) && s.lifted.Before(over) { // it waited for what another one had taken away
		since = s.lifted
	}
	s.log = append(s.log, struck{f.what, at, lifted.Sub(s.began) - at, over.Sub(since), err})
}

// calmer notes that a fault has ended.
func (s *storm) calmer() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lifted = time.Now()
	return s.lifted
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
