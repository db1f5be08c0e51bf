// Package bench measures a whole server from outside, beside two baselines of the same run: raw round trips to the
// same plugin, and raw commits of the same rows to the same Postgres.
package bench

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/uptrace/bun"

	"github.com/patchbay-io/patchbay/core/plugin"
	"github.com/patchbay-io/patchbay/core/postgres"
	"github.com/patchbay-io/patchbay/core/server/servertest"
	proto "github.com/patchbay-io/patchbay/sdk/proto"
)

const (
	nodes    = 10 // blocks of a chain, between an input and an output node
	duration = 3 * time.Second
	rounds   = 3 // of what is measured by turns
	user     = "6f1f3a52-0f0e-4c53-9a39-1c3f4c1e7a10"
)

var (
	levels  = []int{1, 8, 32}
	payload = strings.Repeat("x", 800) // of every value
)

// figure is one measured line.
type figure struct {
	perSecond float64
	p50, p99  time.Duration
}

// turns are figures that were measured by turns, since a machine is faster at one moment than at the next.
type turns map[measurement][]figure

type measurement struct {
	name string
	c    int
}

func (t turns) add(name string, c int, f figure) {
	key := measurement{name, c}
	t[key] = append(t[key], f)
}

// median is the figure of the turn that was neither fast nor slow.
func (t turns) median(name string, c int) figure {
	all := t[measurement{name, c}]
	slices.SortFunc(all, func(a, b figure) int { return cmp.Compare(a.perSecond, b.perSecond) })
	return all[len(all)/2]
}

// BenchmarkServer prints the table of figures.
func BenchmarkServer(b *testing.B) {
	ctx := context.Background()
	root := repository(b)
	folder, err := os.MkdirTemp(shortTemp(), "patchbay-bench-")
	if err != nil {
		b.Fatal(err)
	}
	defer os.RemoveAll(folder)
	must(b, os.Chmod(folder, 0o711))
	plugins := buildPlugin(b, folder)
	pg, err := postgres.Start(ctx, postgres.Config{Dir: filepath.Join(folder, "postgres"), Logger: hclog.NewNullLogger()})
	if err != nil {
		b.Fatal(err)
	}
	defer pg.Stop()
	s := startServer(b, root, folder, plugins, pg.DSN())
	defer s.stop()
	idle, pluginRSS := s.memory()

	db, err := postgres.Open(pg.DSN(), 40)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	host := startHost(b, folder, plugins)
	defer host.Close()
	pure, effect := s.chain(b, "b0000000-0000-4000-8000-000000000001", nodes), s.chain(b, "b0000000-0000-4000-8000-000000000002", nodes)
	single := s.chain(b, "b0000000-0000-4000-8000-000000000001", 1)
	kinds := []struct {
		name, graph   string
		commits, rows int
	}{{"pure blocks", pure, 2, (nodes + 2) / 2}, {"blocks with an effect", effect, nodes + 1, 1}}

	measured := turns{}
	var bytesEach int
	for range rounds {
		measured.add("S", 0, figure{perSecond: pgbench(b, pg)})
		for _, c := range levels {
			measured.add("trips", c, pluginBaseline(b, host, c))
			for _, k := range kinds {
				var f figure
				f, bytesEach = commitBaseline(b, db, c, k.commits, k.rows)
				measured.add(k.name+": commits", c, f)
				measured.add(k.name, c, s.load(b, k.graph, c))
			}
		}
		measured.add("one", 1, s.load(b, single, 1))
		measured.add("one", 0, s.paced(b, single, s.load(b, single, 32).perSecond/2))
	}
	median := measured.median

	out := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintf(out, "\n%d-node chain, values of %d bytes, synchronous_commit=on, %d cores; medians of %d turns\n", nodes, len(payload), runtime.NumCPU(), rounds)
	fmt.Fprintln(out, "what\tc\texecutions/s\tnode executions/s\tp50\tp99\tof the slower baseline\tof S")
	commitsPerSecond := median("S", 0).perSecond
	fmt.Fprintf(out, "S: pgbench, commits of one row of %d bytes\t32\t%.0f\t\t\t\t\t\n", len(payload), commitsPerSecond)
	for _, c := range levels {
		trips := median("trips", c)
		for _, k := range kinds {
			f, commits := median(k.name, c), median(k.name+": commits", c)
			slower := min(trips.perSecond, commits.perSecond)
			fmt.Fprintf(out, "%s\t%d\t%.0f\t%.0f\t%s\t%s\t%.2f\t%.3f\n", k.name, c, f.perSecond, f.perSecond*(nodes+2), f.p50.Round(10*time.Microsecond), f.p99.Round(10*time.Microsecond), f.perSecond/slower, f.perSecond/commitsPerSecond)
			fmt.Fprintf(out, "  baseline: %d commits of %d row(s), %d bytes a row\t%d\t%.0f\t\t%s\t%s\t\t\n", k.commits, k.rows, bytesEach, c, commits.perSecond, commits.p50.Round(10*time.Microsecond), commits.p99.Round(10*time.Microsecond))
		}
		fmt.Fprintf(out, "  baseline: %d plugin round trips\t%d\t%.0f\t%.0f\t%s\t%s\t\t\n", nodes, c, trips.perSecond, trips.perSecond*nodes, trips.p50.Round(10*time.Microsecond), trips.p99.Round(10*time.Microsecond))
	}
	f := median("one", 1)
	fmt.Fprintf(out, "one pure block between input and output\t1\t%.0f\t%.0f\t%s\t%s\t\t\n", f.perSecond, 3*f.perSecond, f.p50.Round(10*time.Microsecond), f.p99.Round(10*time.Microsecond))
	f = median("one", 0)
	fmt.Fprintf(out, "  the same at half of what 32 clients reach\t\t%.0f\t%.0f\t%s\t%s\t\t\n", f.perSecond, 3*f.perSecond, f.p50.Round(10*time.Microsecond), f.p99.Round(10*time.Microsecond))
	out.Flush()
	after, pluginAfter := s.memory()
	fmt.Printf("memory (resident): server %d MB idle, %d MB after these loads; largest plugin %d MB idle, %d MB after\n", idle>>20, after>>20, pluginRSS>>20, pluginAfter>>20)
}

// measure calls work from c workers for a while.
func measure(b *testing.B, c int, work func(worker int) error) figure {
	b.Helper()
	warm := time.Now().Add(duration / 6)
	for time.Now().Before(warm) {
		if err := work(0); err != nil {
			b.Fatal(err)
		}
	}
	var mu sync.Mutex
	var all []time.Duration
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	begin := time.Now()
	for worker := range c {
		wg.Go(func() {
			var mine []time.Duration
			for time.Since(begin) < duration && failed.Load() == nil {
				t := time.Now()
				if err := work(worker); err != nil {
					failed.Store(&err)
				}
				mine = append(mine, time.Since(t))
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, mine...)
		})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		b.Fatal(*err)
	}
	slices.Sort(all)
	return figure{float64(len(all)) / time.Since(begin).Seconds(), all[len(all)/2], all[len(all)*99/100]}
}

// pluginBaseline is the round trips of one execution to the plugin, one after the other, and nothing else.
func pluginBaseline(b *testing.B, host *plugin.Host, c int) figure {
	input := json.RawMessage(`{"in":"` + payload + `"}`)
	return measure(b, c, func(int) error {
		for range nodes {
			r := host.Run(context.Background(), plugin.Run{
				Block: "b0000000-0000-4000-8000-000000000001", Input: input, Context: &proto.RunContext{},
				Output: func(string, json.RawMessage) error { return nil },
			})
			if r.Err != nil || r.Crashed != nil {
				return fmt.Errorf("run: %v %v", r.Err, r.Crashed)
			}
		}
		return nil
	})
}

// commitBaseline is the commits of one execution, one after the other, with the rows of its journal and nothing else.
func commitBaseline(b *testing.B, db *bun.DB, c, commits, rows int) (figure, int) {
	must(b, exec1(db, `CREATE TABLE IF NOT EXISTS baseline (id bigserial PRIMARY KEY, a uuid, b integer, c bigint, at timestamptz, step bytea)`))
	step := bytes.Repeat([]byte{'s'}, len(payload)+60)
	row := fmt.Sprintf(`('6f1f3a52-0f0e-4c53-9a39-1c3f4c1e7a10', 1, 2, now(), '\x%x')`, step)
	statement := `INSERT INTO baseline (a, b, c, at, step) VALUES ` + row + strings.Repeat(","+row, rows-1)
	f := measure(b, c, func(int) error {
		for range commits {
			if err := exec1(db, statement); err != nil {
				return err
			}
		}
		return nil
	})
	settle(b, db, "baseline")
	return f, len(step)
}

// pgbench is how many transactions of one row a second the same Postgres commits for 32 clients of its own tool.
func pgbench(b *testing.B, pg *postgres.Server) float64 {
	b.Helper()
	binaries, err := postgres.FindBinaries(pg.Major())
	must(b, err)
	dsn, err := url.Parse(pg.DSN())
	must(b, err)
	password, _ := dsn.User.Password()
	script := filepath.Join(b.TempDir(), "insert.sql")
	must(b, os.WriteFile(script, fmt.Appendf(nil, "INSERT INTO single (value) VALUES ('%s');\n", payload), 0o644))
	db, err := postgres.Open(pg.DSN(), 1)
	must(b, err)
	defer db.Close()
	must(b, exec1(db, `CREATE TABLE IF NOT EXISTS single (id bigserial PRIMARY KEY, value text)`))
	cmd := exec.Command(filepath.Join(binaries.Dir, "pgbench"), "-n", "-c", "32", "-j", "1", "-T", strconv.Itoa(int(duration.Seconds())), "-f", script,
		"-h", dsn.Query().Get("host"), "-U", dsn.User.Username(), strings.TrimPrefix(dsn.Path, "/"))
	cmd.Env = append(os.Environ(), "PGPASSWORD="+password)
	output, err := cmd.CombinedOutput()
	if err != nil {
		b.Fatalf("pgbench: %v\n%s", err, output)
	}
	_, rest, _ := strings.Cut(string(output), "tps = ")
	tps, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	must(b, err)
	settle(b, db, "single")
	return tps
}

// settle leaves nothing of a baseline that the database would have to write while something else is measured.
func settle(b *testing.B, db *bun.DB, table string) {
	must(b, exec1(db, "TRUNCATE "+table))
	must(b, exec1(db, "CHECKPOINT"))
}

func exec1(db *bun.DB, statement string) error {
	_, err := db.DB.Exec(statement)
	return err
}

// client keeps as many connections as there are callers.
var client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}

// server is the real binary as a child process.
type server struct {
	cmd    *exec.Cmd
	base   string
	events string // the WebSocket
	token  string
}

// startServer starts one that keeps its data in a folder; several of a database differ in that. More are its settings.
func startServer(b *testing.B, root, folder, plugins, dsn string, more ...string) *server {
	b.Helper()
	rest, err := servertest.FreeAddress("127.0.0.1")
	must(b, err)
	events, err := servertest.FreeAddress("127.0.0.1")
	must(b, err)
	binary := filepath.Join(root, "bin", "patchbay")
	env := append(os.Environ(), "PATCHBAY_DATA_DIR="+filepath.Join(folder, "data"), "PATCHBAY_DATABASE_URL="+dsn, "PATCHBAY_PLUGIN_DIRS="+plugins,
		"PATCHBAY_ADDR="+rest, "PATCHBAY_WS_ADDR="+events, "PATCHBAY_LOG_LEVEL=warn",
		"PATCHBAY_JWT_SECRET="+servertest.Secret, "PATCHBAY_ENCRYPTION_KEYS="+strings.Repeat("A", 43),
		"PATCHBAY_RATE_LIMIT_GENERAL=0", "PATCHBAY_RATE_LIMIT_EXECUTION=0")
	env = append(env, more...)
	s := &server{cmd: exec.Command(binary, "serve"), base: "http://" + rest, events: "ws://" + events + "/ws"}
	s.cmd.Env, s.cmd.Stderr = env, os.Stderr
	must(b, s.cmd.Start())
	deadline := time.Now().Add(time.Minute)
	for {
		r, err := http.Get(s.base + "/readyz")
		if err == nil {
			r.Body.Close()
			if r.StatusCode == http.StatusOK {
				break
			}
		}
		if time.Now().After(deadline) {
			s.stop()
			b.Fatalf("the server is not ready: %v", err)
		}
		runtime.Gosched()
	}
	s.token = servertest.Token(b, user)
	return s
}

func (s *server) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	_ = s.cmd.Wait()
}

// memory is the resident size of the server and of its largest child.
func (s *server) memory() (own, plugin int) {
	own = resident(s.cmd.Process.Pid)
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", s.cmd.Process.Pid, s.cmd.Process.Pid))
	for _, dir := range append(strings.Fields(string(children)), threadsChildren(s.cmd.Process.Pid)...) {
		if pid, err := strconv.Atoi(dir); err == nil {
			plugin = max(plugin, resident(pid))
		}
	}
	return own, plugin
}

func threadsChildren(pid int) []string {
	var all []string
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, f := range files {
		data, _ := os.ReadFile(f)
		all = append(all, strings.Fields(string(data))...)
	}
	return all
}

func resident(pid int) int {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for _, line := range strings.Split(string(data), "\n") {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, _ := strconv.Atoi(strings.Fields(rest)[0])
			return kb << 10
		}
	}
	return 0
}

// chain stores a graph: an input, blocks in a row, an output.
func (s *server) chain(b *testing.B, block string, length int) string {
	b.Helper()
	type object map[string]any
	list := []object{{"id": "in", "block_id": "c0a8e994-ebf1-4a9c-a4d8-89d09c86741b", "input_default": object{"name": "x"}}}
	links := []object{}
	last, pin := "in", "result"
	for i := range length {
		id := fmt.Sprint("n", i)
		list = append(list, object{"id": id, "block_id": block, "input_default": object{}})
		links = append(links, object{"source_id": last, "source_name": pin, "sink_id": id, "sink_name": "in"})
		last, pin = id, "out"
	}
	list = append(list, object{"id": "out", "block_id": "363ae599-353e-4804-937e-b2ee3cef3da4", "input_default": object{"name": "y"}})
	links = append(links, object{"source_id": last, "source_name": pin, "sink_id": "out", "sink_name": "value"})
	body, err := json.Marshal(object{"name": "chain", "description": "", "nodes": list, "links": links})
	must(b, err)
	answer, err := s.post("/api/v2/builder/graphs", body)
	must(b, err)
	var graph struct {
		ID string `json:"id"`
	}
	must(b, json.Unmarshal(answer, &graph))
	return graph.ID
}

// load executes a graph from c clients, each waiting for its result.
func (s *server) load(b *testing.B, graph string, c int) figure {
	callers := s.callers(b, graph, c)
	return measure(b, c, func(worker int) error { return callers[worker].call() })
}

func (s *server) execute(graph string) error {
	answer, err := s.send("/api/v2/builder/graphs/"+graph+"/execute", []byte(`{"input_data":{"x":1}}`), "wait=30")
	if err == nil && !bytes.Contains(answer, []byte(`"COMPLETED"`)) {
		err = fmt.Errorf("unexpected answer: %.300s", answer)
	}
	return err
}

func (s *server) post(path string, body []byte) ([]byte, error) { return s.send(path, body, "") }

func (s *server) send(path string, body []byte, prefer string) ([]byte, error) {
	r, err := http.NewRequest(http.MethodPost, s.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+s.token)
	r.Header.Set("Content-Type", "application/json")
	if prefer != "" {
		r.Header.Set("Prefer", prefer)
	}
	answer, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode >= 300 {
		err = fmt.Errorf("%s: %s", answer.Status, data)
	}
	return data, err
}

func startHost(b *testing.B, folder, plugins string) *plugin.Host {
	b.Helper()
	host, err := plugin.New(plugin.Config{Dirs: []string{plugins}, RuntimeDir: filepath.Join(folder, "run"), Logger: hclog.NewNullLogger()})
	must(b, err)
	must(b, host.Start(context.Background()))
	return host
}

func buildPlugin(b *testing.B, folder string) string {
	b.Helper()
	dir := filepath.Join(folder, "plugins", "benchplugin")
	must(b, os.MkdirAll(dir, 0o755))
	binary := filepath.Join(dir, "benchplugin")
	if out, err := exec.Command("go", "build", "-o", binary, "./testdata/benchplugin").CombinedOutput(); err != nil {
		b.Fatalf("build the plugin: %v\n%s", err, out)
	}
	manifest, err := exec.Command(binary, "manifest").Output()
	must(b, err)
	must(b, os.WriteFile(filepath.Join(dir, "plugin.json"), manifest, 0o644))
	return filepath.Dir(dir)
}

func repository(b *testing.B) string {
	b.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	must(b, err)
	return strings.TrimSpace(string(out))
}

// number is what a variable says, for machines that are smaller or busy.
func number(b *testing.B, variable string, otherwise int) int {
	b.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	must(b, err)
	return n
}

// shortTemp is a folder that an unprivileged Postgres can reach and whose sockets have short paths.
func shortTemp() string { return "/tmp" }

func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}
