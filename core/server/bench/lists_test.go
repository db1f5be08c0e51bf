package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"text/tabwriter"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sync/errgroup"

	"github.com/patchbay-io/patchbay/core/postgres"
)

// How much one user has when the API is measured.
const (
	manyGraphs     = 10_000
	manyExecutions = 100_000
)

// BenchmarkAPI prints how fast one user who has much is answered: one request at a time, and many.
func BenchmarkAPI(b *testing.B) {
	ctx := context.Background()
	folder, err := os.MkdirTemp(shortTemp(), "patchbay-bench-")
	must(b, err)
	defer os.RemoveAll(folder)
	must(b, os.Chmod(folder, 0o711))
	plugins := buildPlugin(b, folder)
	pg, err := postgres.Start(ctx, postgres.Config{Dir: filepath.Join(folder, "postgres"), Logger: hclog.NewNullLogger()})
	must(b, err)
	defer pg.Stop()
	s := startServer(b, repository(b), folder, plugins, pg.DSN())
	defer s.stop()
	graphs, execution := s.fill(b)
	db, err := postgres.Open(pg.DSN(), 2)
	must(b, err)
	defer db.Close()
	must(b, exec1(db, "VACUUM ANALYZE")) // what autovacuum would do in a while

	one := "/api/v2/builder/graphs/" + graphs[len(graphs)/2]
	out := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintf(out, "\nthe API, of one user with %d graphs and %d executions, %d cores\n", manyGraphs, manyExecutions, runtime.NumCPU())
	fmt.Fprintln(out, "what\tc\trequests/s\tp50\tp99")
	for _, r := range []struct{ name, path string }{
		{"list graphs", "/api/v2/builder/graphs?page_size=20"},
		{"list graphs, the last page", fmt.Sprintf("/api/v2/builder/graphs?page_size=20&page=%d", manyGraphs/20)},
		{"list the library", "/api/v2/library/agents?page_size=20"},
		{"list the library, searched", "/api/v2/library/agents?page_size=20&search_term=number%204999"},
		{"list executions", "/api/v2/executions?page_size=20"},
		{"list executions, the last page", fmt.Sprintf("/api/v2/executions?page_size=20&page=%d", manyExecutions/20)},
		{"list executions of a graph", "/api/v2/executions?page_size=20&graph_id=" + graphs[0]},
		{"list completed executions", "/api/v2/executions?page_size=20&status=COMPLETED"},
		{"get a graph", one},
		{"get an execution", "/api/v2/executions/" + execution},
		{"create a graph", ""},
	} {
		for _, c := range []int{1, 8} {
			f := measure(b, c, func(int) error {
				if r.path == "" {
					_, err := s.post("/api/v2/builder/graphs", graphBody(0))
					return err
				}
				return s.get(r.path)
			})
			fmt.Fprintf(out, "%s\t%d\t%.0f\t%s\t%s\n", r.name, c, f.perSecond, f.p50.Round(10_000), f.p99.Round(10_000))
		}
	}
	out.Flush()
}

// graphBody is an agent whose value goes straight through.
func graphBody(n int) []byte {
	return fmt.Appendf(nil, `{"name":"Agent number %d","description":"Passes a value on","nodes":[{"id":"in","block_id":"c0a8e994-ebf1-4a9c-a4d8-89d09c86741b","input_default":{"name":"x"}},`+
		`{"id":"out","block_id":"363ae599-353e-4804-937e-b2ee3cef3da4","input_default":{"name":"y"}}],"links":[{"source_id":"in","source_name":"result","sink_id":"out","sink_name":"value"}]}`, n)
}

// fill gives the user what it has, through the API. Half of the executions are those of one graph.
func (s *server) fill(b *testing.B) (graphs []string, execution string) {
	b.Helper()
	graphs = make([]string, manyGraphs)
	var done atomic.Int64
	group := errgroup.Group{}
	group.SetLimit(32)
	id := func(answer []byte, name string) (string, error) {
		var members map[string]json.RawMessage
		if err := json.Unmarshal(answer, &members); err != nil {
			return "", err
		}
		return strings.Trim(string(members[name]), `"`), nil
	}
	progress := func(what string, of int) {
		if n := done.Add(1); n%int64(of/10) == 0 {
			fmt.Fprintf(os.Stderr, "%s: %d of %d\n", what, n, of)
		}
	}
	for i := range graphs {
		group.Go(func() error {
			answer, err := s.post("/api/v2/builder/graphs", graphBody(i))
			if err == nil {
				graphs[i], err = id(answer, "id")
			}
			progress("graphs", manyGraphs)
			return err
		})
	}
	must(b, group.Wait())
	done.Store(0)
	for i := range manyExecutions {
		group.Go(func() error {
			graph := graphs[0]
			if i%2 == 0 {
				graph = graphs[i%manyGraphs]
			}
			answer, err := s.post("/api/v2/builder/graphs/"+graph+"/execute", []byte(`{"input_data":{"x":1}}`))
			if err == nil && i == manyExecutions/2 {
				execution, err = id(answer, "execution_id")
			}
			progress("executions", manyExecutions)
			return err
		})
	}
	must(b, group.Wait())
	return graphs, execution
}

func (s *server) get(path string) error {
	r, err := http.NewRequest(http.MethodGet, s.base+path, nil)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+s.token)
	answer, err := client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	if err == nil && (answer.StatusCode != http.StatusOK || bytes.Contains(data, []byte(`"total":0`))) {
		err = fmt.Errorf("%s: %s %.300s", path, answer.Status, data)
	}
	return err
}
