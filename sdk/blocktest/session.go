package blocktest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"

	"github.com/patchbay-io/patchbay/sdk"
	"github.com/patchbay-io/patchbay/sdk/proto"
)

// session is the host's end of a plugin's session.
type session struct {
	plugin proto.PluginClient
	stream proto.Plugin_SessionClient
	cancel context.CancelFunc
	read   sync.WaitGroup
	// answers are the calls of blocks that are being answered.
	answers sync.WaitGroup

	mu    sync.Mutex // also over stream.Send, which takes one caller at a time
	last  uint64
	calls map[uint64]*Call
	err   error // why the session ended
}

// Request is a run to start.
type Request struct {
	Block string // id or name
	Input []byte
	Run   sdk.Run // what the block may know; Input is not used
	// Credit is how many outputs the plugin may send ahead of Next; 0: 16.
	Credit uint32
	// Gather lets the plugin send its outputs with the end of the run, as servers do for blocks that do not stream.
	Gather bool
	// Credentials are what the run's pins for credentials refer to.
	Credentials []*proto.Credential
	// Host answers the run's calls; nil: the process's.
	Host sdk.Host
}

// Call is a run in progress.
type Call struct {
	session  *session
	number   uint64
	ctx      context.Context // of its calls
	cancel   context.CancelFunc
	host     sdk.Host
	outputs  chan *proto.Output
	done     chan struct{} // closed when err is set
	err      error         // io.EOF: success
	mu       sync.Mutex
	progress []sdk.Progress
}

func openSession(plugin proto.PluginClient) (*session, error) {
	ctx, cancel := context.WithCancel(context.Background())
	stream, err := plugin.Session(ctx)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("open the session: %w", err)
	}
	s := &session{plugin: plugin, stream: stream, cancel: cancel, calls: map[uint64]*Call{}}
	s.read.Go(s.receive)
	return s, nil
}

func (s *session) close() {
	s.cancel()
	s.read.Wait()
	s.answers.Wait()
}

// receive hands frames to their calls until the session ends.
func (s *session) receive() {
	for {
		response, err := s.stream.Recv()
		if err != nil {
			s.fail(err)
			return
		}
		switch frame := response.Frame.(type) {
		case *proto.SessionResponse_Output:
			if call := s.call(frame.Output.Run); call != nil {
				call.output(frame.Output)
			}
		case *proto.SessionResponse_Progress:
			if call := s.call(frame.Progress.Run); call != nil {
				call.mu.Lock()
				call.progress = append(call.progress, sdk.Progress{
					Text: frame.Progress.Text, Percent: frame.Progress.Percent, Delta: frame.Progress.Delta,
				})
				call.mu.Unlock()
			}
		case *proto.SessionResponse_Done:
			if call := s.call(frame.Done.Run); call != nil {
				for _, output := range frame.Done.Outputs {
					call.output(output)
				}
				s.end(call, failure(frame.Done.Error))
			}
		case *proto.SessionResponse_Call:
			if call := s.call(frame.Call.Run); call != nil {
				s.answers.Go(func() { s.answer(call, frame.Call) })
			}
		}
	}
}

// answer gives a block the answer to a call.
func (s *session) answer(run *Call, c *proto.Call) {
	reply, err := run.host.Call(run.ctx, c)
	if err != nil || c.GetClose() != nil {
		return // the run has ended
	}
	_ = s.send(&proto.SessionRequest{Frame: &proto.SessionRequest_Reply{Reply: reply}})
}

func (s *session) call(number uint64) *Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[number]
}

func (s *session) end(call *Call, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls[call.number] != nil {
		delete(s.calls, call.number)
		call.err = err
		call.cancel()
		close(call.done)
	}
}

func (s *session) fail(err error) {
	err = fmt.Errorf("the session ended: %w", err)
	s.mu.Lock()
	s.err = err
	calls := make([]*Call, 0, len(s.calls))
	for _, call := range s.calls {
		calls = append(calls, call)
	}
	s.mu.Unlock()
	for _, call := range calls {
		s.end(call, err)
	}
}

func (s *session) send(request *proto.SessionRequest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	return s.stream.Send(request)
}

// openCalls is how many calls a run may have open at once.
const openCalls = 16

// Call starts a run.
func (p *Process) Call(ctx context.Context, r Request) (*Call, error) {
	if r.Credit == 0 {
		r.Credit = 16
	}
	if r.Host == nil {
		r.Host = p.host
	}
	s := p.session
	s.mu.Lock()
	s.last++
	call := &Call{
		session: s, number: s.last, outputs: make(chan *proto.Output, r.Credit), done: make(chan struct{}), host: r.Host,
	}
	call.ctx, call.cancel = context.WithCancel(sdk.WithRun(context.Background(), r.Run))
	s.calls[call.number] = call
	s.mu.Unlock()
	start := &proto.Start{
		Run: call.number, Block: p.blockID(r.Block), Input: r.Input, Credit: r.Credit, Context: runContext(r.Run),
		Calls: openCalls, Credentials: r.Credentials, Gather: r.Gather,
	}
	for _, value := range r.Run.Recorded {
		start.Recorded = append(start.Recorded, &proto.PinValue{Pin: value.Pin, Value: value.Value})
	}
	if len(r.Input) > proto.InlineLimit {
		start.Input, start.InputBulk = nil, "input-"+strconv.FormatUint(call.number, 10)
		if err := s.put(ctx, start.InputBulk, r.Input); err != nil {
			return nil, fmt.Errorf("put the input: %w", err)
		}
	}
	return call, s.send(&proto.SessionRequest{Frame: &proto.SessionRequest_Start{Start: start}})
}

// Next gives the next output, and credit for another one. After the last it returns io.EOF, or the run's error.
func (c *Call) Next(ctx context.Context) (sdk.Value, error) {
	select {
	case output := <-c.outputs:
		return c.take(ctx, output)
	default:
	}
	select {
	case output := <-c.outputs:
		return c.take(ctx, output)
	case <-c.done:
		select {
		case output := <-c.outputs: // what came before the end
			return c.take(ctx, output)
		default:
			return sdk.Value{}, c.err
		}
	case <-ctx.Done():
		return sdk.Value{}, ctx.Err()
	}
}

// Cancel asks the run to end; Next tells when it has.
func (c *Call) Cancel() error {
	return c.session.send(&proto.SessionRequest{Frame: &proto.SessionRequest_Cancel{Cancel: &proto.Cancel{Run: c.number}}})
}

// Waiting is the number of outputs that have come and were not taken by Next.
func (c *Call) Waiting() int { return len(c.outputs) }

// Progress is what the run told so far.
func (c *Call) Progress() []sdk.Progress {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]sdk.Progress(nil), c.progress...)
}

func (c *Call) output(output *proto.Output) {
	select {
	case c.outputs <- output:
	default:
		c.session.end(c, errors.New("the plugin sent more outputs than it has credit for"))
	}
}

func (c *Call) take(ctx context.Context, output *proto.Output) (sdk.Value, error) {
	value := sdk.Value{Pin: output.Pin, Value: output.Value}
	if output.Bulk != "" {
		fetched, err := c.session.fetch(ctx, output.Bulk, output.BulkSize)
		if err != nil {
			return value, fmt.Errorf("fetch output %q: %w", output.Pin, err)
		}
		value.Value = fetched
	}
	// A run that has ended takes no credit, and ignores it; so does a session.
	_ = c.session.send(&proto.SessionRequest{Frame: &proto.SessionRequest_Credit{Credit: &proto.Credit{Run: c.number, N: 1}}})
	return value, nil
}

func (s *session) put(ctx context.Context, name string, value []byte) error {
	stream, err := s.plugin.Put(ctx)
	if err != nil {
		return err
	}
	for len(value) > 0 {
		n := min(len(value), proto.PieceSize)
		if err := stream.Send(&proto.PutRequest{Bulk: name, Piece: value[:n]}); err != nil {
			break // CloseAndRecv says why
		}
		name, value = "", value[n:]
	}
	_, err = stream.CloseAndRecv()
	return err
}

func (s *session) fetch(ctx context.Context, name string, size uint64) ([]byte, error) {
	stream, err := s.plugin.Fetch(ctx, &proto.FetchRequest{Bulk: name})
	if err != nil {
		return nil, err
	}
	var value []byte
	for {
		response, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		value = append(value, response.Piece...)
	}
	if uint64(len(value)) != size {
		return nil, fmt.Errorf("%d bytes came, %d were announced", len(value), size)
	}
	return value, nil
}

func failure(e *proto.Error) error {
	if e == nil {
		return io.EOF
	}
	return &sdk.Error{Kind: e.Kind, Message: e.Message, RetryAfter: time.Duration(e.RetryAfterMs) * time.Millisecond}
}

func runContext(r sdk.Run) *proto.RunContext {
	c := &proto.RunContext{
		UserId:          r.UserID,
		GraphId:         r.GraphID,
		GraphVersion:    uint32(r.GraphVersion),
		ExecutionId:     r.ExecutionID,
		RootExecutionId: r.RootExecutionID,
		NodeId:          r.NodeID,
		NodeExecutionId: r.NodeExecutionID,
		Attempt:         uint32(max(r.Attempt, 1)),
		IdempotencyKey:  r.IdempotencyKey,
		Timezone:        r.Timezone,
	}
	if !r.Deadline.IsZero() {
		c.DeadlineUnixMs = r.Deadline.UnixMilli()
	}
	return c
}
