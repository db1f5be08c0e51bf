package plugin

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sync/semaphore"

	"github.com/patchbay-io/patchbay/sdk/proto"
)

// credit is how many outputs of a run may be on their way or wait for the scheduler.
const credit = 64

// maxPending bounds the bytes of outputs that wait in a session for their runs. Beyond it the session is not read.
const maxPending = 64 << 20

// maxFetched bounds the bytes of large outputs that a session's runs hold at once.
const maxFetched = 2 * maxValue

// session is the one stream of a process, shared by all its runs.
type session struct {
	client proto.PluginClient
	stream proto.Plugin_SessionClient
	bulk   bool // the plugin takes and gives large values beside the stream
	wait   time.Duration
	log    hclog.Logger
	veil   *veil
	kill   func(why string)
	gate   *floodgate // before the log; nil: none

	ctx    context.Context // of the stream and of what goes beside it
	cancel context.CancelFunc
	queue  chan outgoing
	writer sync.WaitGroup

	pending budget // of outputs that wait
	calling budget // of calls that are open
	fetched *semaphore.Weighted

	mu      sync.Mutex
	runs    map[uint64]*run // that the process may still work on
	last    uint64
	callers int           // who run something in it
	drained chan struct{} // not nil once nobody may begin any more; closed when callers is 0 then
	ended   bool
	closing chan struct{} // closed when no run may begin any more
	once    sync.Once
	served  atomic.Bool
}

// outgoing is a frame for the plugin; run is set if it is the one that begins it.
type outgoing struct {
	frame *proto.SessionRequest
	run   *run
}

// Bounds of what a block counts in a run.
const (
	maxStats    = 32
	maxStatName = 64
)

// statsOf are the statistics that a plugin sends, without those that break the rules.
func statsOf(done *proto.Done) map[string]int64 {
	counted := done.GetStats()
	if len(counted) > maxStats {
		return nil
	}
	maps.DeleteFunc(counted, func(name string, _ int64) bool { return len(name) > maxStatName || !statName.MatchString(name) })
	return counted
}

var statName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

func openSession(client proto.PluginClient, bulk bool, wait time.Duration, log hclog.Logger, v *veil) (*session, error) {
	ctx, cancel := context.WithCancel(context.Background())
	stream, err := client.Session(ctx)
	if err != nil {
		cancel()
		return nil, err
	}
	s := &session{
		client: client, stream: stream, bulk: bulk, wait: wait, log: log, veil: v,
		ctx: ctx, cancel: cancel, queue: make(chan outgoing, 256),
		fetched: semaphore.NewWeighted(maxFetched),
		runs:    make(map[uint64]*run),
		closing: make(chan struct{}),
	}
	s.pending.init(maxPending)
	s.calling.init(maxCalling)
	s.writer.Go(s.write)
	return s, nil
}

// close lets no run begin any more and ends the stream from this side: the plugin's order to exit.
func (s *session) close() { s.once.Do(func() { close(s.closing) }) }

// cut breaks the stream off.
func (s *session) cut() {
	s.close()
	s.pending.close()
	s.calling.close()
	s.cancel()
	s.writer.Wait()
}

func (s *session) usable() bool {
	select {
	case <-s.closing:
		return false
	default:
		return true
	}
}

// write sends frames in the order in which they were queued.
func (s *session) write() {
	for {
		select {
		case o := <-s.queue:
			proto.Gather()
			for waits := true; waits; {
				if !s.transmit(o) {
					return
				}
				select {
				case o = <-s.queue:
				default:
					waits = false
				}
			}
		case <-s.closing:
			_ = s.stream.CloseSend()
			return
		}
	}
}

// transmit sends a frame. Where it cannot, read learns why.
func (s *session) transmit(o outgoing) bool {
	if o.run != nil {
		o.run.sent.Store(true)
	}
	if s.stream.Send(o.frame) == nil {
		return true
	}
	if o.run != nil {
		o.run.sent.Store(false)
	}
	return false
}

// send queues a frame. It gives up when the session ends.
func (s *session) send(ctx context.Context, o outgoing) error {
	select { // mostly there is room, and one case costs less than four
	case s.queue <- o:
		return nil
	default:
	}
	select {
	case s.queue <- o:
		return nil
	case <-s.closing:
		return errSessionOver
	case <-s.ctx.Done():
		return errSessionOver
	case <-ctx.Done():
		return ctx.Err()
	}
}

// enter is called before a run and answered by leave after it. It says whether the run may begin.
func (s *session) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.drained != nil {
		return false
	}
	s.callers++
	return true
}

func (s *session) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.callers--; s.callers == 0 && s.drained != nil {
		close(s.drained)
	}
}

// drain lets no run begin any more. The channel is closed when those that go on have ended and all that they yielded is
// taken. It is called once.
func (s *session) drain() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drained = make(chan struct{})
	if s.callers == 0 {
		close(s.drained)
	}
	return s.drained
}

// rest lets no run begin any more, if none goes on and none has begun since seen.
func (s *session) rest(seen *uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.drained != nil || s.callers > 0 || s.last != *seen {
		*seen = s.last
		return false
	}
	s.drained = make(chan struct{})
	close(s.drained)
	return true
}

// add gives a run its number.
func (s *session) add(r *run) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || !s.usable() {
		return false
	}
	s.last++
	r.number = s.last
	s.runs[r.number] = r
	return true
}

func (s *session) find(number uint64) *run {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.runs[number]
}

func (s *session) remove(r *run) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.runs, r.number)
}

// read handles what the plugin sends until the stream ends, and says why it did.
func (s *session) read() error {
	for {
		frame, err := s.stream.Recv()
		if err != nil {
			return err
		}
		if err := s.handle(frame); err != nil {
			s.kill("it broke the protocol: " + printable(err.Error()))
			return err
		}
	}
}

// handle returns an error if the plugin can no longer be understood.
func (s *session) handle(frame *proto.SessionResponse) error {
	switch f := frame.GetFrame().(type) {
	case *proto.SessionResponse_Output:
		r := s.find(f.Output.GetRun())
		if r == nil {
			return fmt.Errorf("an output of run %d, which does not go on", f.Output.GetRun())
		}
		s.pending.take(len(f.Output.GetValue()))
		return r.output(f.Output)
	case *proto.SessionResponse_Progress:
		r := s.find(f.Progress.GetRun())
		if r == nil {
			return fmt.Errorf("progress of run %d, which does not go on", f.Progress.GetRun())
		}
		r.progress(f.Progress)
	case *proto.SessionResponse_Done:
		r := s.find(f.Done.GetRun())
		if r == nil {
			return fmt.Errorf("the end of run %d, which does not go on", f.Done.GetRun())
		}
		s.served.Store(true)
		size := 0
		for _, o := range f.Done.GetOutputs() {
			size += len(o.GetValue())
		}
		if size > 0 {
			s.pending.take(size)
		}
		if err := r.outputs(f.Done.GetOutputs()); err != nil {
			return err
		}
		result := Result{Err: f.Done.GetError(), Provider: f.Done.GetProvider(), Stats: statsOf(f.Done)}
		if f.Done.GetFollowed() && result.Err == nil {
			result.Begun = s.began(r, f.Done.GetOutputs())
		}
		s.remove(r)
		r.finish(result)
	case *proto.SessionResponse_Call:
		r := s.find(f.Call.GetRun())
		if r == nil {
			return fmt.Errorf("a call of run %d, which does not go on", f.Call.GetRun())
		}
		size := sizeOf(f.Call)
		s.calling.take(size)
		return r.call(f.Call, size)
	case *proto.SessionResponse_Log:
		s.logFrame(f.Log)
	}
	return nil // a frame of a later version is nothing to this one
}

func (s *session) logFrame(l *proto.Log) {
	if s.gate != nil && !s.gate.pass(len(l.GetMessage())) {
		return
	}
	fields := make([]any, 0, 2*len(l.GetFields())+4)
	if r := s.find(l.GetRun()); r != nil {
		fields = append(fields, r.logFields()...)
	}
	for k, v := range l.GetFields() {
		if k != "plugin" && k != "block" && len(fields) < 2*maxLogFields {
			fields = append(fields, k, s.veil.hide(logged([]byte(v))))
		}
	}
	s.log.Log(levelOf(l.GetLevel()), s.veil.hide(logged([]byte(l.GetMessage()))), fields...)
}

// bury ends all runs after the process has died. Runs that never reached it have not been touched by its death.
func (s *session) bury(detail string) (inside int, served bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	for _, r := range s.runs {
		if r.sent.Load() {
			inside++
		}
	}
	for _, r := range s.runs {
		if r.sent.Load() {
			r.finish(Result{Crashed: &Crash{Alone: inside == 1, Detail: detail}})
		} else {
			r.abort()
		}
	}
	clear(s.runs)
	return inside, s.served.Load()
}

// budget is a number of bytes that may be held. One holder may overdraw it; who comes next waits.
type budget struct {
	mu     sync.Mutex
	free   sync.Cond
	limit  int
	used   int
	closed bool
}

func (b *budget) init(limit int) {
	b.limit = limit
	b.free.L = &b.mu
}

func (b *budget) take(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.used > b.limit && !b.closed {
		b.free.Wait()
	}
	b.used += n
}

func (b *budget) give(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	was := b.used
	if b.used -= n; was > b.limit && b.used <= b.limit {
		b.free.Signal()
	}
}

func (b *budget) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.free.Broadcast()
}
