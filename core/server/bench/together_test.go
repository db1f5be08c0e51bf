package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/patchbay-io/patchbay/core/postgres"
)

// BenchmarkTogether prints what two servers of one database do on one machine, each running two executions at once, beside
// what one does that runs two, and one that runs four. They have their turns in rounds, of which the medians count, since
// what else the machine does then harms all of them. The servers that have no turn are stopped.
func BenchmarkTogether(b *testing.B) {
	const clients, rounds = 16, 3
	folder, err := os.MkdirTemp(shortTemp(), "patchbay-bench-")
	must(b, err)
	defer os.RemoveAll(folder)
	must(b, os.Chmod(folder, 0o711))
	plugins := buildPlugin(b, folder)
	pg, err := postgres.Start(context.Background(), postgres.Config{Dir: filepath.Join(folder, "postgres"), Logger: hclog.NewNullLogger()})
	must(b, err)
	defer pg.Stop()
	setups := []struct {
		name    string
		servers []int // what runs at once on each
	}{{"one server, 2 at once", []int{2}}, {"one server, 4 at once", []int{4}}, {"two servers, 2 at once each", []int{2, 2}}}
	kinds := []struct{ name, block, graph string }{
		{name: "pure blocks", block: "b0000000-0000-4000-8000-000000000001"}, {name: "blocks with an effect", block: "b0000000-0000-4000-8000-000000000002"}}
	speeds := map[string][]float64{}
	waits := map[string][]time.Duration{}
	for range rounds {
		for _, setup := range setups {
			var servers []*server
			for i, seats := range setup.servers {
				own := filepath.Join(folder, fmt.Sprint("server", i))
				must(b, os.MkdirAll(own, 0o755))
				servers = append(servers, startServer(b, repository(b), own, plugins, pg.DSN(), fmt.Sprint("PATCHBAY_EXECUTION_CONCURRENCY=", seats)))
			}
			for i := range kinds {
				if kinds[i].graph == "" {
					kinds[i].graph = servers[0].chain(b, kinds[i].block, nodes)
				}
				var callers []*caller
				for _, s := range servers {
					callers = append(callers, s.callers(b, kinds[i].graph, clients/len(servers))...)
				}
				f := measure(b, clients, func(worker int) error { return callers[worker].call() })
				key := setup.name + kinds[i].name
				speeds[key], waits[key] = append(speeds[key], f.perSecond), append(waits[key], f.p50)
			}
			for _, s := range servers {
				s.stop()
			}
		}
	}
	out := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintf(out, "\n%d-node chain, %d clients, medians of %d rounds, %d cores\n", nodes, clients, rounds, runtime.NumCPU())
	fmt.Fprintln(out, "what\tservers\texecutions/s\tp50\tof the first")
	for _, kind := range kinds {
		first := median(speeds[setups[0].name+kind.name])
		for _, setup := range setups {
			key := setup.name + kind.name
			fmt.Fprintf(out, "%s\t%s\t%.0f\t%s\t%.2f\n", kind.name, setup.name, median(speeds[key]), median(waits[key]).Round(10*time.Microsecond), median(speeds[key])/first)
		}
	}
	must(b, out.Flush())
}

func median[T float64 | time.Duration](all []T) T {
	slices.Sort(all)
	return all[len(all)/2]
}
