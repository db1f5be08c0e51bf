package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/patchbay-io/patchbay/core/plugin"
	"github.com/patchbay-io/patchbay/sdk"
	"github.com/patchbay-io/patchbay/sdk/blocktest"
	"github.com/patchbay-io/patchbay/sdk/proto"
)

// openCalls is how many calls a run may have open at once.
const openCalls = 16

// session is the host's end of a session, which notes all that the protocol forbids.
type session struct {
	client  proto.PluginClient
	stream  proto.Plugin_SessionClient
	cancel  context.CancelFunc
	outside http.RoundTripper // for runs that begin; nil: there is no network
	owned   sync.WaitGroup    // the reader, answers to calls, values that are fetched
	ended   chan struct{}     // closed when the stream has ended

	mu    sync.Mutex // also over stream.Send
	last  uint64
	runs  map[uint64]*run
	wrong []string // in what the plugin broke the protocol
	err   error    // how the stream ended
}

// run is a run, and what came of it.
type run struct {
	session *session
	number  uint64
	host    *blocktest.Host
	context context.Context
	end     context.CancelFunc
	fetches sync.WaitGroup
	done    chan struct{} // closed when Done has come, or the session has ended

	// Under the session's mutex.
	changed chan struct{} // closed and replaced when something comes
	outputs []sdk.Value
	credit  int // granted so far
	calls   int // open
	called  uint64
	asked   []string // the services that it asked for
	outside bool     // among them a request to the world outside
	ended   bool
	failure *proto.Error
	lost    error // the session ended before the run
}

func openSession(p *process) (*session, error) {
	ctx, cancel := context.WithCancel(context.Background())
	stream, err := p.client.Session(ctx)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("open the session: %w", err)
	}
	s := &session{
		client: p.client, stream: stream, cancel: cancel, ended: make(chan struct{}), runs: map[uint64]*run{},
		last: 1 << 60, // a plugin that keeps numbers in floats mistakes one run for another
	}
	s.owned.Go(s.read)
	return s, nil
}

// close ends the session at once, and forgets it.
func (s *session) close() {
	s.cancel()
	s.owned.Wait()
}

// violations are what the plugin has done wrong so far, and did not when they were asked for last.
func (s *session) violations() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	wrong := s.wrong
	s.wrong = nil
	if len(wrong) > 3 {
		wrong = append(wrong[:3:3], fmt.Sprintf("and %d more", len(wrong)-3))
	}
	var all []error
	for _, w := range wrong {
		all = append(all, errors.New(w))
	}
	return errors.Join(all...)
}

func (s *session) send(r *proto.SessionRequest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stream.Send(r)
}

func (s *session) read() {
	defer close(s.ended)
	for {
		response, err := s.stream.Recv()
		s.mu.Lock()
		if err != nil {
			s.err = err
			for _, r := range s.runs {
				r.lost = fmt.Errorf("the session ended: %w", err)
				s.finish(r)
			}
			s.mu.Unlock()
			return
		}
		s.take(response)
		s.mu.Unlock()
	}
}

// finish ends a run. The session's mutex is held.
func (s *session) finish(r *run) {
	r.ended = true
	r.end()
	delete(s.runs, r.number)
	r.touch()
	close(r.done)
}

func (r *run) touch() {
	close(r.changed)
	r.changed = make(chan struct{})
}

func (s *session) bad(format string, args ...any) {
	s.wrong = append(s.wrong, fmt.Sprintf(format, args...))
}

// take deals with a frame. The session's mutex is held.
func (s *session) take(response *proto.SessionResponse) {
	var number uint64
	switch f := response.Frame.(type) {
	case *proto.SessionResponse_Output:
		number = f.Output.Run
	case *proto.SessionResponse_Progress:
		number = f.Progress.Run
	case *proto.SessionResponse_Done:
		number = f.Done.Run
	case *proto.SessionResponse_Call:
		number = f.Call.Run
	default:
		return // logs, and what this version does not know
	}
	r := s.runs[number]
	if r == nil {
		s.bad("a frame %T came of run %d, which has ended or never was", response.Frame, number)
		return
	}
	switch f := response.Frame.(type) {
	case *proto.SessionResponse_Output:
		s.output(r, f.Output)
	case *proto.SessionResponse_Progress:
		if len(f.Progress.Text)+len(f.Progress.Delta) > 64<<10 {
			s.bad("progress of more than 64 KiB came")
		}
	case *proto.SessionResponse_Call:
		s.call(r, f.Call)
	case *proto.SessionResponse_Done:
		for _, o := range f.Done.Outputs {
			s.output(r, o)
		}
		r.failure = f.Done.Error
		if r.failure != nil && r.failure.Message == "" {
			s.bad("a run ended with an error that has no message")
		}
		s.finish(r)
	}
}

func (s *session) output(r *run, o *proto.Output) {
	if len(r.outputs) == r.credit {
		s.bad("an output came without credit: %d were allowed", r.credit)
	}
	i := len(r.outputs)
	r.outputs = append(r.outputs, sdk.Value{Pin: o.Pin, Value: o.Value})
	if o.Bulk == "" {
		if !json.Valid(o.Value) {
			s.bad("an output at pin %q is no JSON: %.60q", o.Pin, o.Value)
		}
		r.touch()
		return
	}
	r.fetches.Go(func() {
		value, err := plugin.FetchValue(s.stream.Context(), s.client, o.Bulk, o.BulkSize)
		s.mu.Lock()
		defer s.mu.Unlock()
		r.outputs[i].Value = value
		if err != nil {
			s.bad("the value at pin %q that was announced as %q cannot be fetched: %v", o.Pin, o.Bulk, err)
		} else if !json.Valid(value) {
			s.bad("an output at pin %q is no JSON: %.60q", o.Pin, value)
		}
	})
	r.touch()
}

func (s *session) call(r *run, c *proto.Call) {
	if c.Number <= r.called {
		s.bad("a call has the number %d, and one with %d came before", c.Number, r.called)
	}
	r.called = c.Number
	r.asked = append(r.asked, fmt.Sprintf("%T", c.Service)[len("*proto.Call_"):])
	if c.GetHttpRequest() != nil {
		r.outside = true
	}
	r.touch()
	if c.GetClose() == nil {
		if r.calls++; r.calls > openCalls {
			s.bad("%d calls were open at once, %d are allowed", r.calls, openCalls)
		}
	}
	s.owned.Go(func() {
		reply, err := r.host.Call(r.context, c)
		if err != nil || c.GetClose() != nil {
			return // the run has ended
		}
		s.mu.Lock()
		r.calls--
		s.mu.Unlock()
		_ = s.send(&proto.SessionRequest{Frame: &proto.SessionRequest_Reply{Reply: reply}})
	})
}

// start begins a run of what start says, under a number of its own.
func (s *session) start(start *proto.Start) (*run, error) {
	s.mu.Lock()
	s.last++
	r := &run{session: s, number: s.last, host: &blocktest.Host{Transport: s.outside}, done: make(chan struct{}), changed: make(chan struct{}), credit: int(start.Credit)}
	start.Run = r.number
	start.Calls = openCalls
	start.Context = &proto.RunContext{
		UserId: "00000000-0000-4000-8000-000000000001", GraphId: "00000000-0000-4000-8000-0000000000a1", GraphVersion: 1,
		ExecutionId: "00000000-0000-4000-8000-0000000000e1", RootExecutionId: "00000000-0000-4000-8000-0000000000e1",
		NodeId: "node", NodeExecutionId: fmt.Sprintf("node-%d", r.number), Attempt: 1,
		IdempotencyKey: fmt.Sprintf("key-%d", r.number), Timezone: "UTC",
	}
	c := start.Context
	r.context, r.end = context.WithCancel(sdk.WithRun(s.stream.Context(), sdk.Run{
		UserID: c.UserId, GraphID: c.GraphId, GraphVersion: 1, ExecutionID: c.ExecutionId, RootExecutionID: c.RootExecutionId,
		NodeID: c.NodeId, NodeExecutionID: c.NodeExecutionId, Attempt: 1, IdempotencyKey: c.IdempotencyKey, Timezone: c.Timezone,
	}))
	s.runs[r.number] = r
	s.mu.Unlock()
	if len(start.Input) > proto.InlineLimit && start.InputBulk == "bulk" {
		start.InputBulk = fmt.Sprintf("input-%d", r.number)
		if err := plugin.PutValue(s.stream.Context(), s.client, start.InputBulk, start.Input); err != nil {
			return nil, fmt.Errorf("put the input beside the session: %w", err)
		}
		start.Input = nil
	}
	if err := s.send(&proto.SessionRequest{Frame: &proto.SessionRequest_Start{Start: start}}); err != nil {
		return nil, fmt.Errorf("start a run: %w", err)
	}
	return r, nil
}

// allow gives the run credit for n more outputs.
func (r *run) allow(n int) error {
	r.session.mu.Lock()
	defer r.session.mu.Unlock()
	if r.ended {
		return nil
	}
	r.credit += n
	return r.session.stream.Send(&proto.SessionRequest{Frame: &proto.SessionRequest_Credit{Credit: &proto.Credit{Run: r.number, N: uint32(n)}}})
}

func (r *run) cancel() error {
	return r.session.send(&proto.SessionRequest{Frame: &proto.SessionRequest_Cancel{Cancel: &proto.Cancel{Run: r.number}}})
}

// wait waits for the run's end. Its error is that the run did not end; how it ended stands in failure.
func (r *run) wait(ctx context.Context, within time.Duration) error {
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-r.done:
	case <-timer.C:
		return fmt.Errorf("the run did not end within %s", within)
	case <-ctx.Done():
		return ctx.Err()
	}
	r.fetches.Wait()
	return r.lost
}

// until waits until the run does what it shall, or has ended. It holds the session's mutex while it looks.
func (r *run) until(ctx context.Context, within time.Duration, what string, does func() bool) error {
	timer := time.NewTimer(within)
	defer timer.Stop()
	for {
		r.session.mu.Lock()
		over, changed := does() || r.ended, r.changed
		r.session.mu.Unlock()
		if over {
			return nil
		}
		select {
		case <-changed:
		case <-timer.C:
			return fmt.Errorf("the run did not %s within %s", what, within)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// sent is how many outputs have come.
func (r *run) sent() int {
	r.session.mu.Lock()
	defer r.session.mu.Unlock()
	return len(r.outputs)
}
