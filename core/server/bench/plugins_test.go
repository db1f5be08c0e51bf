package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

const manyPlugins = 100

// BenchmarkManyPlugins prints how fast a server with many plugins is ready, and what it takes of memory.
func BenchmarkManyPlugins(b *testing.B) {
	root := repository(b)
	folder, err := os.MkdirTemp(shortTemp(), "patchbay-bench-")
	must(b, err)
	defer os.RemoveAll(folder)
	must(b, os.Chmod(folder, 0o711))
	plugins := multiply(b, buildPlugin(b, folder))

	out := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintf(out, "\nstart with %d plugins and a Postgres of its own, %d cores\n", manyPlugins, runtime.NumCPU())
	fmt.Fprintln(out, "what\tready after\tserver, idle\tall but Postgres, idle\tplugin processes\tfirst run of a plugin\tsecond")
	for _, what := range []string{"nothing known", "descriptions remembered", "the same again"} {
		began := time.Now()
		s := startServer(b, root, folder, plugins, "")
		ready := time.Since(began)
		deadline := time.Now().Add(time.Minute)
		for len(s.pluginProcesses()) > 0 && time.Now().Before(deadline) { // those that were only asked what they are fall asleep
			time.Sleep(100 * time.Millisecond)
		}
		own, processes := resident(s.cmd.Process.Pid), s.pluginProcesses()
		all := own
		for _, pid := range processes {
			all += resident(pid)
		}
		graph := s.chain(b, "b0000000-0000-4000-9000-000000000042", 1)
		var took [2]time.Duration
		for i := range took {
			began := time.Now()
			must(b, s.execute(graph))
			took[i] = time.Since(began)
		}
		fmt.Fprintf(out, "%s\t%s\t%d MB\t%d MB\t%d\t%s\t%s\n", what, ready.Round(time.Millisecond), own>>20, all>>20, len(processes), took[0].Round(100*time.Microsecond), took[1].Round(100*time.Microsecond))
		s.stop()
	}
	out.Flush()
}

// multiply puts copies of the one plugin beside it, which share its file.
func multiply(b *testing.B, plugins string) string {
	b.Helper()
	many := filepath.Join(filepath.Dir(plugins), "many")
	for i := range manyPlugins {
		name := fmt.Sprint("many_", i)
		must(b, os.MkdirAll(filepath.Join(many, name), 0o755))
		must(b, os.Link(filepath.Join(plugins, "benchplugin", "benchplugin"), filepath.Join(many, name, name)))
		manifest := fmt.Sprintf(`{"name":%q,"version":"0.1.0","protocol":1,"auto_mtls":true}`, name)
		must(b, os.WriteFile(filepath.Join(many, name, "plugin.json"), []byte(manifest), 0o644))
	}
	return many
}

// pluginProcesses are the server's children that are plugins, by their first argument.
func (s *server) pluginProcesses() (pids []int) {
	for _, text := range threadsChildren(s.cmd.Process.Pid) {
		line, _ := os.ReadFile("/proc/" + text + "/cmdline")
		if pid, err := strconv.Atoi(text); err == nil && strings.Contains(string(line), "/many_") {
			pids = append(pids, pid)
		}
	}
	return pids
}
