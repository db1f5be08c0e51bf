package bench

import (
	"context"
	"database/sql"
	_ "embed"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
	"github.com/uptrace/bun/driver/pgdriver"

	"github.com/patchbay-io/patchbay/core/postgres"
)

//go:embed testdata/many.sql
var manySQL string

// BenchmarkLists prints how fast lists are answered where there are very many rows: BENCH_ROWS executions of one
// user (100,000 unless set; ten million take some 9 GB and a quarter of an hour) and a hundredth of that in the other lists.
func BenchmarkLists(b *testing.B) {
	ctx := context.Background()
	rows := 100_000
	if set := os.Getenv("BENCH_ROWS"); set != "" {
		var err error
		rows, err = strconv.Atoi(set)
		must(b, err)
	}
	folder, err := os.MkdirTemp(shortTemp(), "patchbay-bench-")
	must(b, err)
	defer os.RemoveAll(folder)
	must(b, os.Chmod(folder, 0o711))
	pg, err := postgres.Start(ctx, postgres.Config{Dir: filepath.Join(folder, "postgres"), Logger: hclog.NewNullLogger(), Throwaway: true})
	must(b, err)
	defer pg.Stop()
	plugins := buildPlugin(b, folder)
	startServer(b, repository(b), folder, plugins, pg.DSN()).stop() // it makes the tables
	db, err := postgres.Open(pg.DSN(), 1)
	must(b, err)
	defer db.Close()
	fill := patient(b, pg.DSN())
	must(b, exec1(fill, strings.NewReplacer("{rows}", strconv.Itoa(rows), "{user}", user).Replace(manySQL)))
	must(b, exec1(fill, "VACUUM ANALYZE")) // what autovacuum would do in a while
	must(b, fill.Close())
	var graph string
	must(b, db.QueryRow("SELECT graph_id FROM execution WHERE parent_id IS NULL AND user_id = ? ORDER BY created_at DESC, id DESC LIMIT 1", user).Scan(&graph))
	s := startServer(b, repository(b), folder, plugins, pg.DSN())
	defer s.stop()

	today := time.Now().UTC().Truncate(24 * time.Hour)
	at := func(days, hours int) string {
		return today.AddDate(0, 0, days).Add(time.Duration(hours) * time.Hour).Format(time.RFC3339)
	}
	executions := rows * 9 / 10 // the others are nested
	out := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintf(out, "\nlists of one user with %d executions and %d graphs, in a store of %d agents, %d cores\n", rows, rows/100, rows/100, runtime.NumCPU())
	fmt.Fprintln(out, "what\trequests/s\tp50\tp99")
	for _, r := range []struct{ name, path string }{
		{"executions", "executions?"},
		{"executions, in the middle", fmt.Sprintf("executions?page=%d", executions/20/2)},
		{"executions, at the end", fmt.Sprintf("executions?page=%d", executions/20)},
		{"executions of the day that has most, in its middle", fmt.Sprintf("executions?page=%d", rows/10/20/2)},
		{"executions with nested ones, in the middle", fmt.Sprintf("executions?include_nested=true&page=%d", rows/20/2)},
		{"executions of a graph", "executions?graph_id=" + graph},
		{"executions that failed", "executions?status=FAILED"},
		{"executions of days", "executions?created_after=" + at(-30, 0)},
		{"executions of days, far behind", fmt.Sprintf("executions?created_before=%s&page=%d", at(-10, 0), executions/20/2)},
		{"executions since an hour", "executions?created_after=" + at(-30, 7)},
		{"executions since an hour of the day that has most", "executions?created_after=" + at(-1, 7)},
		{"library", "library/agents?"},
		{"library, at the end", fmt.Sprintf("library/agents?page=%d", rows/100*95/100/20)},
		{"library by last execution", "library/agents?sort_by=last_run_at"},
		{"library, searched", "library/agents?search_term=number%201"},
		{"graphs, at the end", fmt.Sprintf("builder/graphs?page=%d", rows/100/20)},
		{"graphs, searched", "builder/graphs?search=number%201"},
		{"store", "store/agents?"},
		{"store, at the end", fmt.Sprintf("store/agents?sorted_by=rating&page=%d", rows/100/20)},
		{"store, a category", "store/agents?category=category%203"},
		{"store, a rare word", "store/agents?search=w9"},
		{"store, a word of all", "store/agents?search=agent"},
		{"creators", "store/creators?"},
	} {
		f := measure(b, 1, func(int) error { return s.get("/api/v2/" + strings.Replace(r.path, "?", "?page_size=20&", 1)) })
		fmt.Fprintf(out, "%s\t%.0f\t%s\t%s\n", r.name, f.perSecond, f.p50.Round(10*time.Microsecond), f.p99.Round(10*time.Microsecond))
	}
	out.Flush()
}

// patient is a connection whose statements may take longer than any of the server's.
func patient(b *testing.B, dsn string) *bun.DB {
	u, err := url.Parse(dsn)
	must(b, err)
	password, _ := u.User.Password()
	return bun.NewDB(sql.OpenDB(pgdriver.NewConnector(
		pgdriver.WithNetwork("unix"), pgdriver.WithAddr(filepath.Join(u.Query().Get("host"), ".s.PGSQL.5432")), pgdriver.WithInsecure(true),
		pgdriver.WithUser(u.User.Username()), pgdriver.WithPassword(password), pgdriver.WithDatabase(strings.TrimPrefix(u.Path, "/")),
		pgdriver.WithTimeout(time.Hour))), pgdialect.New())
}
