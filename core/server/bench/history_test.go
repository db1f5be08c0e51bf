package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/patchbay-io/patchbay/core/postgres"
)

// BenchmarkHistory prints the figures of BenchmarkServer before and after a server has many past executions: 1,000,000, or
// as many as BENCH_PAST says. It takes minutes, and so is left out unless that is set.
func BenchmarkHistory(b *testing.B) {
	past := number(b, "BENCH_PAST", 0)
	if past == 0 {
		b.Skip("set BENCH_PAST=1000000 for as many past executions")
	}
	folder, err := os.MkdirTemp(shortTemp(), "patchbay-bench-")
	must(b, err)
	defer os.RemoveAll(folder)
	must(b, os.Chmod(folder, 0o711))
	plugins := buildPlugin(b, folder)
	pg, err := postgres.Start(context.Background(), postgres.Config{Dir: filepath.Join(folder, "postgres"), Logger: hclog.NewNullLogger()})
	must(b, err)
	defer pg.Stop()
	s := startServer(b, repository(b), folder, plugins, pg.DSN())
	defer s.stop()
	pure, effect := s.chain(b, "b0000000-0000-4000-8000-000000000001", nodes), s.chain(b, "b0000000-0000-4000-8000-000000000002", nodes)
	single := s.chain(b, "b0000000-0000-4000-8000-000000000001", 1)
	figures := func() []figure {
		most := s.load(b, single, 32)
		return []figure{s.load(b, pure, 1), s.load(b, pure, 32), s.load(b, effect, 1), s.load(b, effect, 32), s.load(b, single, 1), s.paced(b, single, most.perSecond/2)}
	}
	before := figures()
	began := time.Now()
	remember(b, pg.DSN(), past)
	fmt.Printf("%d past executions were made in %s\n", past, time.Since(began).Round(time.Second))
	after := figures()

	out := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintf(out, "\nbefore and after %d past executions, %d cores\n", past, runtime.NumCPU())
	fmt.Fprintln(out, "what\texecutions/s\tthen\tchange\tp50\tthen\tp99\tthen")
	for i, what := range []string{"pure chain, c=1", "pure chain, c=32", "chain with effects, c=1", "chain with effects, c=32", "one block, c=1", "one block, half load"} {
		x, y := before[i], after[i]
		fmt.Fprintf(out, "%s\t%.0f\t%.0f\t%+.0f %%\t%s\t%s\t%s\t%s\n", what, x.perSecond, y.perSecond, 100*(y.perSecond/x.perSecond-1),
			x.p50.Round(10*time.Microsecond), y.p50.Round(10*time.Microsecond), x.p99.Round(10*time.Microsecond), y.p99.Round(10*time.Microsecond))
	}
	out.Flush()
}

// remember copies an execution that has ended, with its history, into the days before it: what has a server for long.
func remember(b *testing.B, dsn string, past int) {
	b.Helper()
	db, err := postgres.Open(dsn, 1)
	must(b, err)
	defer db.Close()
	columns := func(table string, but ...string) string {
		rows, err := db.DB.Query(`SELECT column_name FROM information_schema.columns WHERE table_schema = 'public' AND table_name = '` + table + `' AND is_generated = 'NEVER' ORDER BY ordinal_position`)
		must(b, err)
		defer rows.Close()
		var names []string
		for rows.Next() {
			var name string
			must(b, rows.Scan(&name))
			if !slices.Contains(but, name) {
				names = append(names, name)
			}
		}
		must(b, rows.Err())
		return strings.Join(names, ", ")
	}
	of := columns("execution", "id", "root_id", "created_at", "started_at", "ended_at", "idempotency_key")
	steps := columns("journal", "execution_id")
	const batch = 50_000
	must(b, exec1(db, `CREATE TEMPORARY TABLE model AS SELECT * FROM execution WHERE ended_at IS NOT NULL AND parent_id IS NULL ORDER BY ended_at LIMIT 1`))
	must(b, exec1(db, `CREATE TEMPORARY TABLE story AS SELECT j.* FROM journal j JOIN model m ON m.id = j.execution_id`))
	for first := 0; first < past; first += batch {
		last := min(past, first+batch)
		must(b, exec1(db, `DROP TABLE IF EXISTS made`))
		// One every two seconds, back from the model's time; the lower half of the id is chance.
		must(b, exec1(db, fmt.Sprintf(`CREATE TEMPORARY TABLE made AS SELECT at,
			(left(history_id(at)::text, 14) || '7' || substr(gen_random_uuid()::text, 16)) ::uuid AS id
			FROM (SELECT m.created_at - n * interval '2 seconds' AS at FROM model m, generate_series(%d, %d) AS n) AS t`, first+1, last)))
		must(b, exec1(db, fmt.Sprintf(`INSERT INTO execution (id, root_id, created_at, started_at, ended_at, %s)
			SELECT made.id, made.id, made.at, made.at, made.at, %s FROM made, (SELECT %s FROM model) AS m ORDER BY made.at`, of, of, of)))
		must(b, exec1(db, fmt.Sprintf(`INSERT INTO journal (execution_id, %s) SELECT made.id, %s FROM made, (SELECT %s FROM story) AS s`, steps, steps, steps)))
	}
	must(b, exec1(db, "VACUUM ANALYZE"))
	must(b, exec1(db, "CHECKPOINT")) // what writing it all so fast has left to be done is not the past's
}

// paced executes a graph so often, whether or not earlier ones have ended, and measures from when each was due.
func (s *server) paced(b *testing.B, graph string, perSecond float64) figure {
	b.Helper()
	const clients = 32
	due := make(chan time.Time, 10_000)
	callers := s.callers(b, graph, clients)
	var mu sync.Mutex
	var all []time.Duration
	var failed error
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			for at := range due {
				err := callers[i].call()
				mu.Lock()
				if err != nil {
					failed = err
				}
				all = append(all, time.Since(at))
				mu.Unlock()
			}
		})
	}
	began := time.Now()
	pause := time.Duration(float64(time.Second) / perSecond)
	for at := began; at.Before(began.Add(duration)); at = at.Add(pause) {
		time.Sleep(time.Until(at))
		due <- at
	}
	close(due)
	wg.Wait()
	must(b, failed)
	slices.Sort(all)
	return figure{float64(len(all)) / time.Since(began).Seconds(), all[len(all)/2], all[len(all)*99/100]}
}
