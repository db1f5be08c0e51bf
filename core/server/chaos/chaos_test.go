// Package chaos lets everything go wrong that servers live among, by a seed, while clients execute random agents of which
// it is known what they must do: processes die and are paused, networks are cut, stalled and slow, disks full and slow,
// clocks jump, what servers tell each other is lost, doubled and reordered. What was accepted must end, once, with the
// outputs of the model, a whole story, and effects that were repeated only where they may be.
package chaos

import (
	"context"
	"fmt"
	"log"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/patchbay-io/patchbay/core/server/servertest"
)

const (
	patience = 90 * time.Second // with what must happen, on a machine that has much else to do
	clients  = 6
	lanes    = 2 // faults at a time
)

var (
	binary, plugins string
	clockBinary     string // a build of the program whose clock can be put wrong, for long runs
)

func TestMain(m *testing.M) { os.Exit(withBinaries(m)) }

func withBinaries(m *testing.M) int {
	if port := os.Getenv(natsPort); port != "" {
		return serveNATS(port)
	}
	dir, err := os.MkdirTemp("", "patchbay-chaos-")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := build(dir); err != nil {
		log.Print(err)
		return 1
	}
	return m.Run()
}

func build(dir string) error {
	var err error
	if binary, plugins, err = servertest.Build(dir, "data", "logic", "time"); err != nil {
		return err
	}
	root, err := servertest.Root()
	if err != nil {
		return err
	}
	if err := servertest.Plugin(root, plugins, "./core/server/chaos/testdata/markplugin"); err != nil {
		return err
	}
	if long() > 0 {
		clockBinary, err = buildClock(root, dir)
	}
	return err
}

// long is for how long rounds are made, 0 for one short one.
func long() time.Duration {
	d, _ := time.ParseDuration(os.Getenv("CHAOS_TIME"))
	return d
}

// seeds are those of the rounds. CHAOS_SEED repeats a round.
func seed(t *testing.T) uint64 {
	text := os.Getenv("CHAOS_SEED")
	if text == "" {
		return rand.Uint64()
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestServersSurviveChaos is of several servers on one database.
func TestServersSurviveChaos(t *testing.T) {
	t.Parallel()
	rounds(t, false)
}

// TestServerSurvivesChaos is of one server with everything embedded.
func TestServerSurvivesChaos(t *testing.T) {
	t.Parallel()
	rounds(t, true)
}

func rounds(t *testing.T, alone bool) {
	first, until := seed(t), time.Now().Add(long())
	for n := uint64(0); n == 0 || time.Now().Before(until); n++ {
		t.Run(fmt.Sprint(first+n), func(t *testing.T) { round(t, first+n, alone) })
		if t.Failed() || os.Getenv("CHAOS_SEED") != "" {
			return
		}
	}
}

// round is one storm over one cluster.
func round(t *testing.T, seed uint64, alone bool) {
	t.Logf("CHAOS_SEED=%d repeats this", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	c := newCluster(t, r, alone)
	over := make(chan struct{})
	crowd := newCrowd(t, c)
	s := &storm{cluster: c, crowd: crowd, began: time.Now(), long: long() > 0, over: over, plugins: map[string]int{}}
	eventually(t, "the servers are ready", c.ready)
	whole, cancel := context.WithTimeout(t.Context(), 4*patience)
	defer cancel()
	var err error
	if crowd.child, err = crowd.create(whole, nesting()); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	s.began = began
	calm := make(chan struct{}) // no further agent begins
	var wg, faults sync.WaitGroup
	for n := range clients {
		mine := rand.New(rand.NewPCG(seed, 100+uint64(n)))
		wg.Go(func() {
			for i := 0; ; i++ {
				a := drawAgent(mine, fmt.Sprintf("%d.%d", n, i), crowd.child, c.marks.url)
				if err := crowd.runAll(whole, a); err != nil {
					t.Errorf("%s: %v\n%.3000s", a.name, err, a.document)
					return
				}
				select {
				case <-calm:
					return
				default:
				}
			}
		})
	}
	go func() { wg.Wait(); close(over) }()
	next := s.schedule(rand.New(rand.NewPCG(seed, 3)))
	for lane := range lanes {
		mine := rand.New(rand.NewPCG(seed, 10+uint64(lane)))
		faults.Go(func() { s.rage(whole, mine, next) })
	}
	faults.Wait()
	close(calm)
	select {
	case <-over:
	case <-time.After(patience):
		t.Error("what was accepted does not end")
		s.diagnose(whole)
		cancel()
		<-over
		return
	}
	eventually(t, "the servers are ready in the end", c.ready)
	crowd.verify(whole, t, s)
	s.report(seed, time.Since(began), t.Failed())
}

// schedule gives the faults in the order of their drawing: each kind once, and in a long run more of them for a while.
func (s *storm) schedule(r *rand.Rand) func() *fault {
	kinds := s.kinds()
	names := slices.Sorted(maps.Keys(kinds))
	r.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	for s.long && len(names) < 40 {
		names = append(names, names[r.IntN(len(names))])
	}
	var mu sync.Mutex
	return func() *fault {
		mu.Lock()
		defer mu.Unlock()
		if len(names) == 0 {
			return nil
		}
		f := kinds[names[0]](r)
		names = names[1:]
		return f
	}
}

// diagnose lets the servers tell what they are at, which ends them.
func (s *storm) diagnose(ctx context.Context) {
	if s.db != nil {
		rows, err := s.db.QueryContext(ctx, `SELECT format('%s (in %s) %s, claims %s, owner %s, whose lease ends in %s', x.id, x.root_id, x.status, x.claims, x.owner, l.until - now())
			FROM execution x LEFT JOIN lease l ON l.server_id = x.owner WHERE x.ended_at IS NULL`)
		if err != nil {
			s.t.Error(err)
			return
		}
		defer rows.Close()
		for rows.Next() {
			var text string
			if err := rows.Scan(&text); err == nil {
				s.t.Log(text)
			}
		}
		if err := rows.Err(); err != nil {
			s.t.Error(err)
		}
	}
	for _, f := range s.crowd.runs {
		if f.details.Status == "" {
			s.t.Logf("nothing is known yet of the end of %s", f.id)
		}
	}
	for _, p := range s.servers {
		id, _ := os.ReadFile(filepath.Join(p.data, "server", "id"))
		ends := p.ends.Load()
		p.signal(syscall.SIGQUIT)
		_ = s.until(ctx, "a server dumps its stacks", func() bool { return p.ends.Load() > ends })
		s.t.Logf("server %s is %s", p.name, id)
	}
}

// report says what happened.
func (s *storm) report(seed uint64, took time.Duration, failed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	accepted, completed := 0, 0
	for _, f := range s.crowd.runs {
		accepted++
		if f.details.Status == "COMPLETED" {
			completed++
		}
	}
	carrier, kind := "NOTIFY", fmt.Sprintf("%d servers", len(s.servers))
	switch {
	case s.postgres == nil:
		carrier, kind = "none", "one server with everything embedded"
	case s.nats != nil:
		carrier = "NATS"
	}
	verdict := "no violation"
	if failed {
		verdict = "VIOLATIONS, see above"
	}
	out := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintf(out, "\nchaos: seed %d, %s, wake-ups by %s, %s: %d executions accepted, %d completed, %d interrupted as they must be, %d events; %s\n",
		seed, kind, carrier, took.Round(time.Second), accepted, completed, accepted-completed, s.crowd.seen.Load(), verdict)
	for _, lack := range s.lacks {
		fmt.Fprintf(out, "  not here: %s\n", lack)
	}
	fmt.Fprintln(out, "  at\tfault\tlasted\tgot over in\t")
	slices.SortFunc(s.log, func(a, b struck) int { return int(a.at - b.at) })
	for _, f := range s.log {
		problem := ""
		if f.err != nil {
			problem = f.err.Error()
		}
		fmt.Fprintf(out, "  %.1f s\t%s\t%s\t%s\t%s\n", f.at.Seconds(), f.what, f.held.Round(time.Millisecond), f.after.Round(time.Millisecond), problem)
	}
	_ = out.Flush()
}
