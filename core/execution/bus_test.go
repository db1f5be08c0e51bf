package execution

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/patchbay-io/patchbay/sdk/proto"
)

// wires brings wake-ups from one service to the others at once.
type wires struct {
	mu  sync.Mutex
	all []*Service
}

type wire struct {
	*wires
	from *Service
}

func (w *wire) others(tell func(*Service)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.all {
		if s != w.from {
			tell(s)
		}
	}
}

func (w *wire) Changed(ids ...uuid.UUID) { w.others(func(s *Service) { s.Woken(ids) }) }
func (w *wire) Stop()                    { w.others((*Service).StopWanted) }
func (w *wire) Work()                    { w.others((*Service).WorkWaits) }
func (w *wire) Watch(ids ...uuid.UUID)   { w.others(func(s *Service) { s.Watched(ids) }) }
func (w *wire) Progress(id uuid.UUID, frame json.RawMessage) {
	w.others(func(s *Service) { s.ProgressElsewhere(id, frame) })
}

// emitWhen emits once it is released.
func (b *keyBlock) emitWhen(released <-chan struct{}) *proto.Error {
	select {
	case <-released:
		b.emit(`1`)
		return nil
	case <-b.ctx.Done():
		return &proto.Error{Kind: proto.ErrorKind_ERROR_KIND_CANCELLED}
	}
}

// besideOnWires is another server of the same database, which is told of what the first does and tells it at once.
func (h *keyHarness) besideOnWires() *Service {
	h.t.Helper()
	wires := &wires{}
	join := func(s *Service) *Service {
		s.pollEvery = time.Hour
		s.config.Bus = &wire{wires, s}
		wires.mu.Lock()
		wires.all = append(wires.all, s)
		wires.mu.Unlock()
		return s
	}
	join(h.Service)
	beside := &harness{t: h.t, db: h.db, server: uuid.New(), graphs: h.graphs, runner: h.runner}
	beside.start()
	h.t.Cleanup(beside.kill)
	other := join(beside.Service)
	g, err := h.Service.generation()
	if err != nil {
		h.t.Fatal(err)
	}
	h.until("the first server knows that there is another", g.others.Load)
	return other
}

// Who watches, waits or stops on another server than the one that runs the execution need not wait for it to be asked.
func TestOtherServersAreTold(t *testing.T) {
	t.Parallel()
	h := newKeyHarness(t)
	release := make(chan struct{})
	h.does("b0", func(b *keyBlock) *proto.Error {
		return b.emitWhen(release)
	})
	other := h.besideOnWires()
	id := h.execute(h.chain("Effect", 1), `{"x":1}`)
	sub, err := other.Subscribe(t.Context(), "u", id, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	var last Event
	waited := make(chan error, 1)
	go func() { waited <- other.Wait(t.Context(), "u", id) }()
	for n := int64(1); ; n++ {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		ev, err := sub.Next(ctx)
		cancel()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("event %d: %v", n, err)
		}
		if ev.Seq != n {
			t.Fatalf("event %d comes as number %d", ev.Seq, n)
		}
		if n == 3 { // it runs
			close(release)
		}
		last = ev
	}
	var end struct{ Status string }
	if err := json.Unmarshal(last.Payload, &end); err != nil || !last.Last || end.Status != "COMPLETED" {
		t.Errorf("the last event is %s", last.Payload)
	}
	if err := <-waited; err != nil {
		t.Error(err)
	}
	release = make(chan struct{})
	id = h.execute(h.chain("Effect", 1), `{"x":1}`)
	if x, err := other.Stop(t.Context(), "u", id); err != nil || x.Status != Terminated {
		t.Errorf("stopped from the other server: %+v %v", x, err)
	}
}

// Progress reaches who watches on another server than the one that runs the execution.
func TestProgressReachesOtherServers(t *testing.T) {
	t.Parallel()
	h := newKeyHarness(t)
	began, release := make(chan func(*proto.Progress), 1), make(chan struct{})
	h.does("b0", func(b *keyBlock) *proto.Error {
		began <- b.run.Progress
		return b.emitWhen(release)
	})
	other := h.besideOnWires()
	id := h.execute(h.chain("Effect", 1), `{"x":1}`)
	progress := <-began
	progress(&proto.Progress{Delta: "nobody watches"})
	sub, err := other.Subscribe(t.Context(), "u", id, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	frames := make(chan json.RawMessage, 10)
	sub.Pass(func(frame json.RawMessage) { frames <- frame })
	progress(&proto.Progress{Delta: "Once "})
	progress(&proto.Progress{Delta: "upon", Percent: 12.5})
	for _, want := range []string{`"delta":"Once "`, `"delta":"upon","percent":12.5`} {
		select {
		case frame := <-frames:
			if !strings.Contains(string(frame), want) || !strings.Contains(string(frame), id) {
				t.Errorf("%s, not %s", frame, want)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("no progress comes, of %s", want)
		}
	}
	close(release)
	if d := h.finished(id); d.Status != Completed || len(frames) != 0 {
		t.Errorf("%s, %d more frames", d.Status, len(frames))
	}
}
