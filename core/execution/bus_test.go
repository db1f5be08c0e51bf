package execution

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/patchbay-io/patchbay/sdk/proto"
)

// wires brings wake-ups from one service to the others at once.
type wires struct {
	mu   sync.Mutex
	all  []*Service
	told []uuid.UUID // executions of which somebody told that they changed
}

type wire struct {
	*wires
	from *Service
}

func newWires() (all *wires, first, second *wire) {
	all = &wires{}
	return all, &wire{wires: all}, &wire{wires: all}
}

// join lets a service hear what the others tell, and be heard.
func (w *wire) join(s *Service) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.from = s
	w.all = append(w.all, s)
}

func (w *wire) others(tell func(*Service)) {
	w.mu.Lock()
	from, all := w.from, slices.Clone(w.all)
	w.mu.Unlock()
	for _, s := range all { // who is told something may answer
		if s != from {
			tell(s)
		}
	}
}

func (w *wire) Changed(ids ...uuid.UUID) {
	w.mu.Lock()
	w.told = append(w.told, ids...)
	w.mu.Unlock()
	w.others(func(s *Service) { s.Woken(ids) })
}

func (w *wire) Stop()                  { w.others((*Service).StopWanted) }
func (w *wire) Work()                  { w.others((*Service).WorkWaits) }
func (w *wire) Watch(ids ...uuid.UUID) { w.others(func(s *Service) { s.Watched(ids) }) }
func (w *wire) Await(ids ...uuid.UUID) { w.others(func(s *Service) { s.Awaited(ids) }) }
func (w *wire) Progress(id uuid.UUID, frame json.RawMessage) {
	w.others(func(s *Service) { s.ProgressElsewhere(id, frame) })
}

// ask asks the others what they watch and await, as the bus of a server that starts does.
func (w *wire) ask() { w.others((*Service).Asked) }

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

// newWired is a server, and another one of the same database that is told of what the first does and tells it at once.
func newWired(t *testing.T) (h *keyHarness, other *Service, wires *wires) {
	t.Helper()
	wires, first, second := newWires()
	h = newKeyHarnessWith(t, func(c *Config) { c.Bus = first })
	first.join(h.Service)
	beside := h.beside(func(c *Config) { c.Bus = second })
	second.join(beside.Service)
	for _, s := range wires.all {
		s.pollEvery = time.Hour
	}
	g, err := h.Service.generation()
	if err != nil {
		t.Fatal(err)
	}
	h.until("the first server knows that there is another", g.others.Load)
	return h, beside.Service, wires
}

// Who watches, waits or stops on another server than the one that runs the execution need not wait for it to be asked.
func TestOtherServersAreTold(t *testing.T) {
	t.Parallel()
	h, other, _ := newWired(t)
	release := make(chan struct{})
	h.does("b0", func(b *keyBlock) *proto.Error {
		return b.emitWhen(release)
	})
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
		ev, err := next(ctx, sub)
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
	h, other, _ := newWired(t)
	began, release := make(chan func(*proto.Progress), 1), make(chan struct{})
	h.does("b0", func(b *keyBlock) *proto.Error {
		began <- b.run.Progress
		return b.emitWhen(release)
	})
	id := h.execute(h.chain("Effect", 1), `{"x":1}`)
	progress := <-began
	progress(&proto.Progress{Delta: "nobody watches"})
	sub, err := other.Subscribe(t.Context(), "u", id, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	frames := make(chan json.RawMessage, 10)
	sub.Follow(nil, nil, func(frame json.RawMessage) { frames <- frame })
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

// A server that starts knows what others watch and await as soon as it has asked them.
func TestOtherServersSayWhatTheyWantWhenAsked(t *testing.T) {
	t.Parallel()
	h, other, wires := newWired(t)
	release := make(chan struct{})
	defer close(release)
	h.does("b0", func(b *keyBlock) *proto.Error { return b.emitWhen(release) })
	g := h.chain("Effect", 1)
	watched, awaited := h.execute(g, `{"x":1}`), h.execute(g, `{"x":2}`)
	sub, err := other.Subscribe(t.Context(), "u", watched, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	ctx, cancel := context.WithCancel(t.Context())
	waits := make(chan error, 1)
	go func() { waits <- other.Wait(ctx, "u", awaited) }()
	wants := func(s *Service, id string) interest {
		s.hub.mu.Lock()
		defer s.hub.mu.Unlock()
		return s.hub.elsewhere[uuid.MustParse(id)]
	}
	h.until("the first server has heard both", func() bool {
		return !wants(h.Service, watched).rows.IsZero() && !wants(h.Service, awaited).end.IsZero()
	})

	third := &wire{wires: wires}
	starts := h.beside(func(c *Config) { c.Bus = third }).Service
	third.join(starts)
	third.ask()
	if wants(starts, watched).rows.IsZero() || wants(starts, awaited).end.IsZero() {
		t.Error("it does not know what the other server watches and awaits")
	}
	cancel()
	if err := <-waits; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// Nothing is told of what nobody watches on another server, and of what is awaited there only its end.
func TestOtherServersAreToldOfWhatTheyWant(t *testing.T) {
	t.Parallel()
	h, other, wires := newWired(t)
	release := make(chan struct{})
	h.does("b0", func(b *keyBlock) *proto.Error { return b.emitWhen(release) })
	told := func() []uuid.UUID {
		wires.mu.Lock()
		defer wires.mu.Unlock()
		return slices.Clone(wires.told)
	}
	g := h.chain("Effect", 1)
	awaited := h.execute(g, `{"x":1}`)
	waited := make(chan error, 1)
	go func() { waited <- other.Wait(t.Context(), "u", awaited) }()
	key := uuid.MustParse(awaited)
	h.until("the first server knows that it is awaited", func() bool {
		h.hub.mu.Lock()
		defer h.hub.mu.Unlock()
		_, known := h.hub.elsewhere[key]
		return known
	})
	unseen := h.execute(g, `{"x":2}`)
	if ids := told(); len(ids) > 0 {
		t.Errorf("told of %v before anything has ended", ids)
	}
	close(release)
	if err := <-waited; err != nil {
		t.Fatal(err)
	}
	h.finished(unseen)
	if ids := told(); !slices.Contains(ids, key) || slices.Contains(ids, uuid.MustParse(unseen)) {
		t.Errorf("told of %v, where %s is awaited", ids, key)
	}
	if err := other.Wait(t.Context(), "u", unseen); err != nil {
		t.Error(err)
	}
}
