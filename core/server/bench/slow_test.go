package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/patchbay-io/patchbay/core/postgres"
	"github.com/patchbay-io/patchbay/core/server/servertest"
)

// slower is what the slow disk's syncs take more.
const slower = 2 * time.Millisecond

// BenchmarkSlowDisk prints what is left of the throughput of chains on a disk whose sync takes longer, beside that of a
// design that commits each step of an execution by itself, one after the other, as libraries for durable functions do.
func BenchmarkSlowDisk(b *testing.B) {
	ctx := context.Background()
	folder, err := os.MkdirTemp(shortTemp(), "patchbay-bench-")
	must(b, err)
	defer os.RemoveAll(folder)
	must(b, os.Chmod(folder, 0o711))
	shim, err := servertest.NewShim(folder)
	if errors.Is(err, servertest.ErrNoShim) {
		b.Skip(err)
	}
	must(b, err)
	defer shim.Close()
	pg, err := postgres.Start(ctx, postgres.Config{Dir: filepath.Join(folder, "postgres"), Logger: hclog.NewNullLogger(), Env: shim.Env})
	must(b, err)
	defer pg.Stop()
	s := startServer(b, repository(b), folder, buildPlugin(b, folder), pg.DSN())
	defer s.stop()
	db, err := postgres.Open(pg.DSN(), 40)
	must(b, err)
	defer db.Close()
	pure, effect := s.chain(b, "b0000000-0000-4000-8000-000000000001", nodes), s.chain(b, "b0000000-0000-4000-8000-000000000002", nodes)

	kinds := []struct {
		name string
		run  func(c int) figure
	}{
		{"pure blocks", func(c int) figure { return s.load(b, pure, c) }},
		{"blocks with an effect", func(c int) figure { return s.load(b, effect, c) }},
		{fmt.Sprintf("  baseline: %d commits, one after the other", nodes+2), func(c int) figure {
			f, _ := commitBaseline(b, db, c, nodes+2, 1)
			return f
		}},
	}
	fast, slow := turns{}, turns{}
	for range rounds {
		for _, c := range levels {
			for _, kind := range kinds {
				must(b, shim.Slow(0))
				fast.add(kind.name, c, kind.run(c))
				must(b, shim.Slow(slower))
				slow.add(kind.name, c, kind.run(c))
			}
		}
	}
	out := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintf(out, "\n%d-node chain on a disk whose sync takes %s more, executions/s; medians of %d turns\n", nodes, slower, rounds)
	fmt.Fprintln(out, "what\tc\tas it is\tslow\tleft\tp50\tslow\t")
	for _, c := range levels {
		for _, kind := range kinds {
			before, after := fast.median(kind.name, c), slow.median(kind.name, c)
			fmt.Fprintf(out, "%s\t%d\t%.0f\t%.0f\t%.0f %%\t%s\t%s\t\n", kind.name, c, before.perSecond, after.perSecond, 100*after.perSecond/before.perSecond,
				before.p50.Round(10*time.Microsecond), after.p50.Round(10*time.Microsecond))
		}
	}
	must(b, out.Flush())
}
