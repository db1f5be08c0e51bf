package bench

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
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
	"syscall"
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
	empty := s.taken(b)

	w, err := watch(subscribers)
	must(b, err)
	defer w.hangUp()
	var opening errgroup.Group
	opening.SetLimit(8)
	for i := range w.clients {
		opening.Go(func() error { return w.dial(&w.clients[i], int32(i), s) })
	}
	must(b, opening.Wait())
	connected := s.taken(b)
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
	for i := range w.clients {
		opening.Go(func() error { return w.clients[i].subscribe(executions[i%sources]) })
	}
	must(b, opening.Wait())

	w.since.Store(time.Now().Add(time.Second).UnixMicro()) // who is behind has caught up
	time.Sleep(time.Second)
	before, own := s.cpu(), cpu(os.Getpid())
	time.Sleep(watched)
	spent, own := s.cpu()-before, cpu(os.Getpid())-own
	following := s.taken(b)

	w.hangUp()
	must(b, w.failed)
	if len(w.late) == 0 {
		b.Fatal("no events came")
	}
	slices.Sort(w.late)
	out := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintf(out, "\n%d WebSocket subscribers of %d executions with %d events a second each, %d cores, the clients on them too\n", subscribers, sources, time.Second/every, runtime.NumCPU())
	fmt.Fprintln(out, "events/s\tp50\tp99\tlatest\tprocessor time of the server an event\tof the clients\ta connection, resident\tin use\twhile nothing comes, resident\tin use")
	n := len(w.late)
	each := func(now, then int) string { return fmt.Sprintf("%.1f KB", float64(now-then)/float64(subscribers)/1024) }
	fmt.Fprintf(out, "%.0f\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", float64(n)/watched.Seconds(),
		w.late[n/2].Round(10*time.Microsecond), w.late[n*99/100].Round(10*time.Microsecond), w.late[n-1].Round(10*time.Microsecond), (spent / time.Duration(n)).Round(100*time.Nanosecond), (own / time.Duration(n)).Round(100*time.Nanosecond),
		each(following.resident, empty.resident), each(following.inUse, empty.inUse), each(connected.resident, empty.resident), each(connected.inUse, empty.inUse))
	out.Flush()
}

// watching is all subscribers, and what they have seen. They are on the cores that the server is measured on: so one
// goroutine reads what has come to any of them, a millisecond after the last time, and the server's writes wake nobody.
type watching struct {
	clients []subscriber
	epoll   int
	reader  sync.WaitGroup
	since   atomic.Int64 // microseconds; 0: not yet
	over    atomic.Bool
	buffer  []byte
	late    []time.Duration
	failed  error
}

// subscriber is one connection.
type subscriber struct {
	fd       int
	unread   []byte // the begin of a frame
	told     bool
	answered chan error // whether the subscription stands
}

func watch(subscribers int) (*watching, error) {
	epoll, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	w := &watching{clients: make([]subscriber, subscribers), epoll: epoll, buffer: make([]byte, 128<<10), late: make([]time.Duration, 0, 2*subscribers*int(watched/every))}
	for i := range w.clients {
		w.clients[i] = subscriber{fd: -1, answered: make(chan error, 1)}
	}
	w.reader.Go(w.read)
	return w, nil
}

// dial connects by the library and goes on without it, by a descriptor that the runtime does not wait for.
func (w *watching) dial(c *subscriber, i int32, s *server) error {
	dialer := websocket.Dialer{ReadBufferSize: 1 << 10, WriteBufferSize: 256}
	conn, _, err := dialer.Dial(s.events, http.Header{"Authorization": {"Bearer " + s.token}})
	if err != nil {
		return err
	}
	defer conn.Close()
	raw, err := conn.NetConn().(syscall.Conn).SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { c.fd, failed = syscall.Dup(int(fd)) })
	if err = cmp.Or(err, failed); err != nil {
		return err
	}
	return syscall.EpollCtl(w.epoll, syscall.EPOLL_CTL_ADD, c.fd, &syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: i})
}

// subscribe waits for the answer.
func (c *subscriber) subscribe(execution string) error {
	if err := c.send(websocket.TextMessage, fmt.Appendf(nil, `{"type":"subscribe","execution_id":%q}`, execution)); err != nil {
		return err
	}
	return <-c.answered
}

// send writes a short frame, masked with zeros.
func (c *subscriber) send(opcode byte, payload []byte) error {
	_, err := syscall.Write(c.fd, append([]byte{0x80 | opcode, 0x80 | byte(len(payload)), 0, 0, 0, 0}, payload...))
	return err
}

// hangUp ends all connections.
func (w *watching) hangUp() {
	if w.over.Swap(true) {
		return
	}
	w.reader.Wait()
	for _, c := range w.clients {
		if c.fd >= 0 {
			syscall.Close(c.fd)
		}
	}
	syscall.Close(w.epoll)
}

// read reads until somebody's connection fails, or all is over.
func (w *watching) read() {
	events := make([]syscall.EpollEvent, 1024)
	for !w.over.Load() && w.failed == nil {
		n, err := syscall.EpollWait(w.epoll, events, 0)
		if err != nil && err != syscall.EINTR {
			w.failed = err
		}
		for _, e := range events[:max(n, 0)] {
			if err := w.take(&w.clients[e.Fd]); err != nil {
				w.failed = cmp.Or(w.failed, err)
			}
		}
		if n < len(events) {
			time.Sleep(time.Millisecond)
		}
	}
	for i := range w.clients {
		select {
		case w.clients[i].answered <- cmp.Or(w.failed, errors.New("it is over")): // nobody waits for ever
		default:
		}
	}
}

// take takes what has come to one.
func (w *watching) take(c *subscriber) error {
	begun := copy(w.buffer, c.unread)
	n, err := syscall.Read(c.fd, w.buffer[begun:])
	if err == syscall.EAGAIN {
		return nil
	}
	if n <= 0 {
		return fmt.Errorf("a connection ended: %w", cmp.Or(err, io.EOF))
	}
	left := w.buffer[:begun+n]
	for len(left) >= 2 {
		begin, length := 2, int(left[1])
		if length == 126 && len(left) >= 4 {
			begin, length = 4, int(binary.BigEndian.Uint16(left[2:]))
		}
		if left[1] > 126 {
			return errors.New("unexpected frame of more than 64 KB")
		}
		if len(left) < begin+length {
			break // 126 is more than there is, too
		}
		if err := w.note(c, left[0]&0x0f, left[begin:begin+length]); err != nil {
			return err
		}
		left = left[begin+length:]
	}
	c.unread = append(c.unread[:0], left...)
	return nil
}

// note notes how long after it happened an event comes.
func (w *watching) note(c *subscriber, opcode byte, text []byte) error {
	now := time.Now()
	switch {
	case opcode == websocket.PingMessage:
		return c.send(websocket.PongMessage, text)
	case opcode != websocket.TextMessage:
		return fmt.Errorf("unexpected frame of type %d: %s", opcode, text)
	case !c.told:
		if !bytes.Contains(text, []byte(`"subscribed"`)) {
			return fmt.Errorf("unexpected answer: %s", text)
		}
		c.told = true
		c.answered <- nil
		return nil
	}
	_, rest, _ := bytes.Cut(text, []byte(`"timestamp":"`))
	at, err := time.Parse(time.RFC3339Nano, string(rest[:min(len(rest), len("2006-01-02T15:04:05.000000Z"))]))
	if since := w.since.Load(); err == nil && since != 0 && at.UnixMicro() >= since {
		w.late = append(w.late, now.Sub(at))
	}
	return err
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
func (s *server) cpu() time.Duration { return cpu(s.cmd.Process.Pid) }

func cpu(pid int) time.Duration {
	data, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	_, rest, _ := strings.Cut(string(data), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond // clock ticks of 1/100 s
}
