package sdk

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/patchbay-io/patchbay/sdk/proto"
)

// queueLength is how many frames wait for the one goroutine that writes the stream. Runs wait when it is full.
const queueLength = 256

// session multiplexes the runs of a process over one stream: the host's frames are read by serve, one goroutine
// writes, and each run has a goroutine of its own.
type session struct {
	server *server
	stream proto.Plugin_SessionServer
	ctx    context.Context
	frames chan *proto.SessionResponse
	idle   chan func() // taken by goroutines whose run has ended

	mu   sync.Mutex
	runs map[uint64]*run
}

func newSession(s *server, stream proto.Plugin_SessionServer) *session {
	return &session{
		server: s, stream: stream,
		frames: make(chan *proto.SessionResponse, queueLength),
		idle:   make(chan func()),
		runs:   map[uint64]*run{},
	}
}

// serve reads until the host ends the stream or breaks the protocol. Every run is cancelled then.
func (s *session) serve() error {
	ctx, cancel := context.WithCancelCause(s.stream.Context())
	s.ctx = ctx
	var writer sync.WaitGroup
	writer.Go(func() { cancel(s.write()) })
	defer writer.Wait()
	defer cancel(errCancelled)
	for {
		request, err := s.stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := s.handle(request); err != nil {
			return err
		}
	}
}

// write sends frames in the order in which they were queued.
func (s *session) write() error {
	for {
		select {
		case frame := <-s.frames:
			proto.Gather()
			for waits := true; waits; {
				if err := s.stream.Send(frame); err != nil {
					return err
				}
				select {
				case frame = <-s.frames:
				default:
					waits = false
				}
			}
		case <-s.ctx.Done():
			return s.ctx.Err()
		}
	}
}

func (s *session) handle(request *proto.SessionRequest) error {
	switch frame := request.Frame.(type) {
	case *proto.SessionRequest_Start:
		return s.start(frame.Start)
	case *proto.SessionRequest_Cancel:
		if r := s.run(frame.Cancel.Run); r != nil {
			r.cancel(errCancelled)
		} else {
			s.server.bulk.drop(frame.Cancel.Run)
		}
	case *proto.SessionRequest_Credit:
		if r := s.run(frame.Credit.Run); r != nil {
			r.credit.add(int(frame.Credit.N))
		}
	case *proto.SessionRequest_Reply:
		if r := s.run(frame.Reply.Run); r != nil {
			r.calls.reply(frame.Reply)
		}
	}
	return nil // frames of later protocols are ignored
}

// run finds a run that has not ended; a frame for one that has is late, not wrong.
func (s *session) run(number uint64) *run {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.runs[number]
}

func (s *session) start(start *proto.Start) error {
	r, err := s.open(start)
	if err == nil {
		s.spawn(func() { s.do(r, start) })
	}
	return err
}

// open makes a run that frames find.
func (s *session) open(start *proto.Start) (*run, error) {
	ctx, cancel := context.WithCancelCause(s.ctx)
	r := &run{
		session: s, number: start.Run, credit: newCredit(int(start.Credit)), calls: newCalls(start.Calls), cancelled: ctx, cancel: cancel,
		release: func() {}, gathers: start.Gather, mayGather: min(maxGathered, int(start.Credit)),
	}
	if ms := start.GetContext().GetDeadlineUnixMs(); ms > 0 {
		ctx, r.release = context.WithDeadline(ctx, time.UnixMilli(ms))
	}
	r.ctx = ctx
	s.mu.Lock()
	_, twice := s.runs[start.Run]
	if !twice {
		s.runs[start.Run] = r
	}
	s.mu.Unlock()
	if twice {
		r.release()
		cancel(nil)
		return nil, status.Errorf(codes.InvalidArgument, "run %d was started twice", start.Run)
	}
	s.server.started.Add(1)
	return r, nil
}

// idleGoroutine is how long a goroutine waits for another run.
const idleGoroutine = time.Second

// spawn runs a job on a goroutine that has just become idle, or on a new one: growing the stack of a new goroutine for
// each run costs more than a small run itself.
func (s *session) spawn(job func()) {
	select {
	case s.idle <- job:
		return
	default:
	}
	s.server.runs.Go(func() {
		timer := time.NewTimer(idleGoroutine)
		defer timer.Stop()
		for {
			job()
			timer.Reset(idleGoroutine)
			select {
			case job = <-s.idle:
			case <-timer.C:
				return
			case <-s.ctx.Done():
				return
			}
		}
	})
}

// do runs a block, reports its end, and goes on with what may follow.
func (s *session) do(r *run, start *proto.Start) {
	for r != nil {
		r, start = s.once(r, start)
	}
}

func (s *session) once(r *run, start *proto.Start) (following *run, followed *proto.Start) {
	ctx := r.ctx
	defer r.release()
	var result *proto.ProviderResult
	var err error
	if start.Provider != nil {
		result, err = s.provide(ctx, r, start)
	} else {
		err = s.execute(ctx, r, start)
	}
	failure := protoError(ctx, err)
	cancelled := r.end()
	s.mu.Lock()
	delete(s.runs, r.number)
	s.mu.Unlock()
	if cancelled {
		s.server.bulk.drop(r.number)
	}
	if failure == nil && !cancelled {
		following, followed = s.follow(r, start.Follow)
	}
	done := &proto.SessionResponse{Frame: &proto.SessionResponse_Done{Done: &proto.Done{
		Run: r.number, Error: failure, Provider: result, Stats: r.stats.all(), Outputs: r.gathered, Followed: following != nil,
	}}}
	_ = s.send(s.ctx, done) // it fails when the session has ended, and nobody asks any more
	return following, followed
}

// follow opens the run that the host lets follow, if the value that it lacks is there.
func (s *session) follow(r *run, f *proto.Follow) (*run, *proto.Start) {
	start := f.GetStart()
	if start == nil {
		return nil, nil
	}
	var value []byte
	for _, o := range r.gathered {
		switch {
		case o.Pin != f.Pin:
		case value != nil:
			return nil, nil
		default:
			value = o.Value
		}
	}
	if _, ok := s.server.blocks[start.Block]; !ok || value == nil {
		return nil, nil
	}
	input := make([]byte, 0, len(start.Input)+len(value)+len(f.Rest))
	start.Input = append(append(append(input, start.Input...), value...), f.Rest...)
	next, err := s.open(start)
	if err != nil { // the host wants a run of this number already
		return nil, nil
	}
	return next, start
}

func (s *session) execute(ctx context.Context, r *run, start *proto.Start) error {
	input := start.Input
	if start.InputBulk != "" {
		var ok bool
		if input, ok = s.server.bulk.input(start.InputBulk); !ok {
			return InvalidInput("the input %q was not put", start.InputBulk)
		}
	}
	block, ok := s.server.blocks[start.Block]
	if !ok {
		return InvalidInput("plugin %s has no block %q", s.server.description.Name, start.Block)
	}
	r.block = block
	r.ctx = context.WithValue(ctx, scopeKey{}, scope{
		run: runOf(start, input), block: block.name, settings: s.server.settings, logger: s.server.logger,
		host: r, nth: &nth{}, stats: &r.stats, credentials: start.Credentials,
	})
	err := block.execute(r.ctx, input, r)
	s.logPanic(r.ctx, err)
	return err
}

// provide does an operation of a provider.
func (s *session) provide(ctx context.Context, r *run, start *proto.Start) (*proto.ProviderResult, error) {
	provider, ok := s.server.providers[start.Provider.GetProvider()]
	if !ok {
		return nil, InvalidInput("plugin %s has no provider %q", s.server.description.Name, start.Provider.GetProvider())
	}
	r.block.name = "provider " + provider.Name
	r.ctx = context.WithValue(ctx, scopeKey{}, scope{
		run: runOf(start, nil), block: r.block.name, settings: s.server.settings, logger: s.server.logger, host: r, nth: &nth{},
	})
	result, err := provider.provide(r.ctx, s.server.description.Name, start.Provider)
	if err != nil {
		result = nil
	}
	var panicked *panicError
	if errors.As(err, &panicked) { // its value may hold a secret
		Logger(r.ctx).Error("a provider panicked", "stack", panicked.stack)
	}
	return result, err
}

func (s *session) logPanic(ctx context.Context, err error) {
	var panicked *panicError
	if errors.As(err, &panicked) {
		Logger(ctx).Error("a block panicked", "panic", panicked.Error(), "stack", panicked.stack)
	}
}

// send queues a frame; it fails when ctx or the session ends first.
func (s *session) send(ctx context.Context, frame *proto.SessionResponse) error {
	select {
	case s.frames <- frame:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func runOf(start *proto.Start, input []byte) Run {
	c := start.GetContext()
	run := Run{
		UserID:          c.GetUserId(),
		GraphID:         c.GetGraphId(),
		GraphVersion:    int(c.GetGraphVersion()),
		ExecutionID:     c.GetExecutionId(),
		RootExecutionID: c.GetRootExecutionId(),
		NodeID:          c.GetNodeId(),
		NodeExecutionID: c.GetNodeExecutionId(),
		Attempt:         int(c.GetAttempt()),
		IdempotencyKey:  c.GetIdempotencyKey(),
		Timezone:        c.GetTimezone(),
		Input:           input,
	}
	if ms := c.GetDeadlineUnixMs(); ms > 0 {
		run.Deadline = time.UnixMilli(ms)
	}
	for _, v := range start.Recorded {
		run.Recorded = append(run.Recorded, Value{Pin: v.Pin, Value: v.Value})
	}
	return run
}
