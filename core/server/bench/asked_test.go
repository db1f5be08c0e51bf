package bench

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/uptrace/bun"

	"github.com/patchbay-io/patchbay/core/postgres"
)

// BenchmarkIdle prints how often a server that nobody wants anything of asks its database: at most twice a second. It
// looks for a minute, or for as many seconds as BENCH_IDLE says.
func BenchmarkIdle(b *testing.B) {
	folder, plugins, pg := beginCounting(b)
	s := startServer(b, repository(b), folder, plugins, pg.DSN())
	defer s.stop()
	asked := newAsked(b, pg.DSN())
	seconds := number(b, "BENCH_IDLE", 60)
	time.Sleep(10 * time.Second) // what a start leaves to be done is not idleness
	asked.reset(b)
	time.Sleep(time.Duration(seconds) * time.Second)
	all := asked.statements(b)
	calls := 0
	for _, a := range all {
		calls += a.calls
	}
	out := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintf(out, "\nan idle server asks its database %.2f times a second (at most 2), in %d seconds:\n", float64(calls)/float64(seconds), seconds)
	for _, a := range all {
		fmt.Fprintf(out, "%d\t%s\n", a.calls, a.begin())
	}
	must(b, out.Flush())
}

// BenchmarkClaims prints how much of the database's time goes into finding and taking executions that wait, where more
// are wanted than run at once: at most 5 %.
func BenchmarkClaims(b *testing.B) {
	folder, plugins, pg := beginCounting(b)
	asked := newAsked(b, pg.DSN())
	out := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintf(out, "\n%d-node chain, more clients than executions that run at once, %d cores\n", nodes, runtime.NumCPU())
	fmt.Fprintln(out, "what\tat once\tclients\texecutions/s\tp50\tstatements each\tof the database's time: claims\tbatches\tclaims for an execution\teach")
	for _, size := range []struct{ seats, clients int }{{16, 64}, {64, 128}} {
		s := startServer(b, repository(b), folder, plugins, pg.DSN(), fmt.Sprint("PATCHBAY_EXECUTION_CONCURRENCY=", size.seats))
		for _, kind := range []struct{ name, block string }{{"pure blocks", "b0000000-0000-4000-8000-000000000001"}, {"blocks with an effect", "b0000000-0000-4000-8000-000000000002"}} {
			graph := s.chain(b, kind.block, nodes)
			s.load(b, graph, size.clients) // so that tables and plans are those of a server at work
			before := asked.executions(b)
			asked.reset(b)
			f := s.load(b, graph, size.clients)
			var calls, claims int
			var total, claiming, writing time.Duration
			for _, a := range asked.statements(b) {
				calls, total = calls+a.calls, total+a.took
				switch {
				case a.claims():
					claims, claiming = claims+a.calls, claiming+a.took
				case strings.Contains(a.text, "UPDATE lease SET batch"):
					writing += a.took
				}
			}
			ran := float64(asked.executions(b) - before)
			fmt.Fprintf(out, "%s\t%d\t%d\t%.0f\t%s\t%.2f\t%.1f %%\t%.1f %%\t%.2f\t%s\n", kind.name, size.seats, size.clients, f.perSecond, f.p50.Round(10*time.Microsecond), float64(calls)/ran,
				100*claiming.Seconds()/total.Seconds(), 100*writing.Seconds()/total.Seconds(), float64(claims)/ran, (claiming / time.Duration(max(1, claims))).Round(time.Microsecond))
		}
		s.stop()
	}
	must(b, out.Flush())
}

// beginCounting starts a Postgres that counts its statements.
func beginCounting(b *testing.B) (folder, plugins string, pg *postgres.Server) {
	b.Helper()
	folder, err := os.MkdirTemp(shortTemp(), "patchbay-bench-")
	must(b, err)
	b.Cleanup(func() { _ = os.RemoveAll(folder) })
	must(b, os.Chmod(folder, 0o711))
	config := postgres.Config{Dir: filepath.Join(folder, "postgres"), Logger: hclog.NewNullLogger()}
	pg, err = postgres.Start(context.Background(), config)
	must(b, err)
	pg.Stop()
	file, err := os.OpenFile(filepath.Join(config.Dir, "cluster", "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	must(b, err)
	_, err = file.WriteString("shared_preload_libraries = 'pg_stat_statements'\npg_stat_statements.track_planning = on\n")
	must(b, cmp.Or(err, file.Close()))
	pg, err = postgres.Start(context.Background(), config)
	must(b, err)
	b.Cleanup(pg.Stop)
	return folder, buildPlugin(b, folder), pg
}

// asked is what a database has been asked, by pg_stat_statements.
type asked struct{ db *bun.DB }

type statement struct {
	text  string
	calls int
	took  time.Duration // planning it too; committing is not in it
}

func newAsked(b *testing.B, dsn string) *asked {
	b.Helper()
	db, err := postgres.Open(dsn, 1)
	must(b, err)
	b.Cleanup(func() { _ = db.Close() })
	must(b, exec1(db, `CREATE EXTENSION pg_stat_statements`))
	return &asked{db}
}

func (a *asked) reset(b *testing.B) {
	b.Helper()
	must(b, exec1(a.db, `SELECT pg_stat_statements_reset()`))
}

// statements are those since reset, without what is asked here.
func (a *asked) statements(b *testing.B) (all []statement) {
	b.Helper()
	rows, err := a.db.DB.Query(`SELECT query, calls, total_plan_time + total_exec_time FROM pg_stat_statements WHERE query NOT LIKE '%pg_stat_statements%' AND calls > 0 ORDER BY 3 DESC`)
	must(b, err)
	defer rows.Close()
	for rows.Next() {
		var s statement
		var ms float64
		must(b, rows.Scan(&s.text, &s.calls, &ms))
		s.took = time.Duration(ms * float64(time.Millisecond))
		all = append(all, s)
	}
	must(b, rows.Err())
	return all
}

// executions is how many there are.
func (a *asked) executions(b *testing.B) (n int) {
	b.Helper()
	must(b, a.db.QueryRow(`SELECT count(*) FROM execution`).Scan(&n))
	return n
}

// begin is how the statement's text begins.
func (s *statement) begin() string {
	return fmt.Sprintf("%.110s", strings.Join(strings.Fields(s.text), " "))
}

// claims says whether the statement looks for executions that wait, counts or takes them.
func (s *statement) claims() bool {
	for _, part := range []string{"WITH RECURSIVE\nafter", "pg_advisory_xact_lock(hashtext(", `SELECT user_id COLLATE "C", count(*) FROM execution WHERE owner IS NULL`, "FROM execution x WHERE stop_requested AND ended_at IS NULL"} {
		if strings.Contains(s.text, part) {
			return true
		}
	}
	return false
}
