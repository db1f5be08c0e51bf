package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/sync/errgroup"
)

// Who watches what: each subscriber gets the events of one source.
const (
	sources = 20
	every   = 100 * time.Millisecond
	watched = 10 * time.Second
	longest = 3 * time.Minute // of a source
)

// BenchmarkSubscribers prints how late events reach many subscribers of one server, and what a connection takes.
func BenchmarkSubscribers(b *testing.B) {
	subscribers := number(b, "BENCH_SUBSCRIBERS", 5_000)
	folder, err := os.MkdirTemp(shortTemp(), "patchbay-bench-")
	must(b, err)
	defer os.RemoveAll(folder)
	must(b, os.Chmod(folder, 0o711))
	s := startServer(b, repository(b), folder, buildPlugin(b, folder), "")
	defer s.stop()
	graph := s.ticking(b)
	executions := make([]string, sources)
	for i := range executions {
		answer, err := s.post("/api/v2/builder/graphs/"+graph+"/execute", []byte(`{"input_data":{"x":"`+payload[:100]+`"}}`))
		must(b, err)
		var x struct {
			ID string `json:"execution_id"`
		}
		must(b, json.Unmarshal(answer, &x))
		executions[i] = x.ID
	}
	empty := s.taken(b)

	w := &watching{}
	var opening errgroup.Group
	opening.SetLimit(8)
	conns := make([]*websocket.Conn, subscribers)
	hangUp := func() {
		for _, c := range conns {
			if c != nil {
				c.Close()
			}
		}
		w.readers.Wait()
	}
	defer hangUp()
	dialer := websocket.Dialer{ReadBufferSize: 1 << 10, WriteBufferSize: 256}
	for i := range conns {
		opening.Go(func() error {
			var err error
			conns[i], _, err = dialer.Dial("ws://127.0.0.1:18001/ws", http.Header{"Authorization": {"Bearer " + s.token}})
			return err
		})
	}
	must(b, opening.Wait())
	connected := s.taken(b)
	for i, c := range conns {
		opening.Go(func() error {
			answered := make(chan error, 1)
			w.readers.Go(func() { w.read(c, answered) })
			err := c.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, `{"type":"subscribe","execution_id":%q}`, executions[i%sources]))
			if err == nil {
				err = <-answered
			}
			return err
		})
	}
	must(b, opening.Wait())

	w.since.Store(time.Now().Add(time.Second).UnixMicro()) // who is behind has caught up
	time.Sleep(time.Second)
	before := s.cpu()
	time.Sleep(watched)
	w.over.Store(true)
	spent := s.cpu() - before
	following := s.taken(b)

	hangUp()
	slices.Sort(w.late)
	if len(w.late) == 0 {
		b.Fatal("no events came")
	}
	out := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintf(out, "\n%d WebSocket subscribers of %d executions with %d events a second each, %d cores, the clients on them too\n", subscribers, sources, time.Second/every, runtime.NumCPU())
	fmt.Fprintln(out, "events/s\tp50\tp99\tlatest\tprocessor time of the server an event\ta connection, resident\tin use\twhile nothing comes, resident\tin use")
	n := len(w.late)
	each := func(now, then int) string { return fmt.Sprintf("%.1f KB", float64(now-then)/float64(subscribers)/1024) }
	fmt.Fprintf(out, "%.0f\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", float64(n)/watched.Seconds(),
		w.late[n/2].Round(10*time.Microsecond), w.late[n*99/100].Round(10*time.Microsecond), w.late[n-1].Round(10*time.Microsecond), (spent / time.Duration(n)).Round(100*time.Nanosecond),
		each(following.resident, empty.resident), each(following.inUse, empty.inUse), each(connected.resident, empty.resident), each(connected.inUse, empty.inUse))
	out.Flush()
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

// watching is what all subscribers have seen.
type watching struct {
	readers sync.WaitGroup
	since   atomic.Int64 // microseconds; 0: not yet
	over    atomic.Bool
	mu      sync.Mutex
	late    []time.Duration
}

// read notes how long after it happened each event comes. answered is told whether the subscription stands.
func (w *watching) read(c *websocket.Conn, answered chan<- error) {
	var mine []time.Duration
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.late = append(w.late, mine...)
	}()
	told := false
	tell := func(err error) {
		if !told {
			told = true
			answered <- err
		}
	}
	buffer := make([]byte, 2<<10)
	for !w.over.Load() {
		_, r, err := c.NextReader()
		if err != nil {
			tell(err)
			return
		}
		n, err := io.ReadFull(r, buffer)
		now := time.Now()
		if err != nil && err != io.ErrUnexpectedEOF {
			tell(err)
			return
		}
		text := buffer[:n]
		if !told {
			if !bytes.Contains(text, []byte(`"subscribed"`)) {
				tell(fmt.Errorf("unexpected answer: %s", text))
				return
			}
			tell(nil)
			continue
		}
		_, rest, _ := bytes.Cut(text, []byte(`"timestamp":"`))
		at, err := time.Parse(time.RFC3339Nano, string(rest[:min(len(rest), len("2006-01-02T15:04:05.000000Z"))]))
		if since := w.since.Load(); err == nil && since != 0 && at.UnixMicro() >= since {
			mine = append(mine, now.Sub(at))
		}
	}
}

// ticking stores a graph whose one block emits for a long time.
func (s *server) ticking(b *testing.B) string {
	b.Helper()
	answer, err := s.post("/api/v2/builder/graphs", fmt.Appendf(nil, `{"name":"ticking","description":"","nodes":[{"id":"in","block_id":"c0a8e994-ebf1-4a9c-a4d8-89d09c86741b","input_default":{"name":"x"}},`+
		`{"id":"tick","block_id":"b0000000-0000-4000-8000-000000000003","input_default":{"count":%d,"every":%d}}],"links":[{"source_id":"in","source_name":"result","sink_id":"tick","sink_name":"in"}]}`,
		longest/every, every.Milliseconds()))
	must(b, err)
	var graph struct {
		ID string `json:"id"`
	}
	must(b, json.Unmarshal(answer, &graph))
	return graph.ID
}

// taken is what the server's process has of memory.
type taken struct {
	resident int
	inUse    int // of the heap and the stacks, after a collection or before
}

func (s *server) taken(b *testing.B) taken {
	b.Helper()
	answer, err := client.Get(s.base + "/metrics")
	must(b, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	must(b, err)
	t := taken{resident: resident(s.cmd.Process.Pid)}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if name == "go_memstats_heap_inuse_bytes" || name == "go_memstats_stack_inuse_bytes" {
			n, err := strconv.ParseFloat(value, 64)
			must(b, err)
			t.inUse += int(n)
		}
	}
	return t
}

// cpu is the processor time that the server's own process has spent.
func (s *server) cpu() time.Duration {
	data, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(s.cmd.Process.Pid), "stat"))
	_, rest, _ := strings.Cut(string(data), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond // clock ticks of 1/100 s
}
