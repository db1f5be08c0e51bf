//go:build linux

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
	if told := os.Getenv(natsOptions); told != "" {
		return serveNATS(told)
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
	rounds(t, drawShape)
}

// TestServerSurvivesChaos is of one server with everything embedded.
func TestServerSurvivesChaos(t *testing.T) {
	t.Parallel()
	rounds(t, func(*rand.Rand) shape { return shape{} })
}

func rounds(t *testing.T, draw func(*rand.Rand) shape) {
	first, until := seed(t), time.Now().Add(long())
	var all []*report
	for n := uint64(0); n == 0 || time.Now().Before(until) && os.Getenv("CHAOS_SEED") == ""; n++ {
		t.Run(fmt.Sprint(first+n), func(t *testing.T) {
			r := rand.New(rand.NewPCG(first+n, 0))
			all = append(all, round(t, first+n, newCluster(t, r, draw(r))))
		})
	}
	if len(all) > 1 {
		sum(all)
	}
}

// round is one storm over one cluster.
func round(t *testing.T, seed uint64, c *cluster) *report {
	t.Logf("CHAOS_SEED=%d repeats this", seed)
	crowd := newCrowd(t, c)
	over := make(chan struct{})
	s := &storm{cluster: c, crowd: crowd, long: long() > 0, over: over, plugins: map[string]int{}}
	whole, cancel := context.WithTimeout(t.Context(), 4*patience)
	defer cancel()
	eventually(t, "the servers are ready", c.ready)
	var err error
	if crowd.child, err = crowd.create(whole, nesting()); err != nil {
		t.Fatal(err)
	}
	s.began = time.Now()
	calm := make(chan struct{}) // no further agent begins
	var wg, faults sync.WaitGroup
	for n := range clients {
		mine := rand.New(rand.NewPCG(seed, 100+uint64(n)))
		wg.Go(func() {
			for i := 0; ; i++ {
				a := drawAgent(mine, fmt.Sprintf("%d.%d", n, i), crowd.child, c.marks.url)
				if err := crowd.runAll(whole, a); err != nil {
					c.violation("%s: %v", a.name, err)
					t.Logf("%s is %.3000s", a.name, a.document)
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
		eventually(t, "the servers are ready in the end", c.ready)
		crowd.verify(whole, t, s)
	case <-time.After(patience):
		c.violation("what was accepted does not end")
		s.diagnose(whole)
		cancel()
		<-over
	}
	return s.report(seed)
}

// Faults of a round.
const (
	fewFaults  = 16
	manyFaults = 40
)

// schedule gives the faults in the order of their drawing: of a short round no kind twice, of a long one each at least once.
func (s *storm) schedule(r *rand.Rand) func() *fault {
	kinds := s.kinds()
	names := slices.Sorted(maps.Keys(kinds))
	r.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	for s.long && len(names) < manyFaults {
		names = append(names, names[r.IntN(len(names))])
	}
	if !s.long {
		names = names[:min(len(names), fewFaults)]
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
	if s.database != nil {
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
		ends := p.Ends()
		p.Signal(syscall.SIGQUIT)
		_ = s.until(ctx, "a server dumps its stacks", func() bool { return p.Ends() > ends })
		s.t.Logf("server %s is %s", p.name, id)
	}
}
