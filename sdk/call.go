package sdk

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/patchbay-io/patchbay/sdk/proto"
)

// Host answers the calls of runs. Blocks use it through Keys, Remember, Deadline, OpenFile, StoreFile and HTTPClient;
// blocktest has one for tests.
type Host interface {
	// Call gives a call its number, unless it has one, and answers it. A Close has no answer. An error says that there
	// is no reply; one in the reply is the service's.
	Call(ctx context.Context, call *proto.Call) (*proto.Reply, error)
}

// ErrNoHost means that there is no host that answers calls: the server is too old, or the block runs without one.
var ErrNoHost = errors.New("the server offers no services to blocks")

// WithHost makes a context with a host for calling a block by hand, as blocktest does.
func WithHost(ctx context.Context, host Host) context.Context {
	s := scopeOf(ctx)
	s.host, s.nth = host, &nth{}
	return context.WithValue(ctx, scopeKey{}, s)
}

// HostFrom gives the host of a context, nil where there is none.
func HostFrom(ctx context.Context) Host { return scopeOf(ctx).host }

// nth counts the calls that leave something, each kind for itself: what they left is found again by a later attempt,
// whatever else it calls in between.
type nth struct{ remembered, files atomic.Uint32 }

// call asks the host of a run. What the host answers with an error is an *Error.
func call(ctx context.Context, c *proto.Call) (*proto.Reply, error) {
	s := scopeOf(ctx)
	if s.host == nil {
		return nil, ErrNoHost
	}
	reply, err := s.host.Call(ctx, c)
	if err != nil {
		return nil, err
	}
	if e := reply.GetError(); e != nil {
		return nil, &Error{Kind: e.Kind, Message: e.Message, RetryAfter: time.Duration(e.RetryAfterMs) * time.Millisecond}
	}
	return reply, nil
}

// giveUp closes a handle, also when ctx has ended. It is not answered.
func giveUp(ctx context.Context, handle uint64) {
	if host := scopeOf(ctx).host; host != nil {
		// It fails when the run has ended, which closes everything.
		_, _ = host.Call(context.WithoutCancel(ctx), &proto.Call{Service: &proto.Call_Close{Close: &proto.Close{Handle: handle}}})
	}
}

// calls are those of one run in a session.
type calls struct {
	room  chan struct{} // filled by open calls
	order sync.Mutex    // held while a call gets its number and its place in the queue
	last  uint64

	mu   sync.Mutex
	open map[uint64]chan<- *proto.Reply
}

func newCalls(atOnce uint32) *calls {
	return &calls{room: make(chan struct{}, min(atOnce, 256)), open: map[uint64]chan<- *proto.Reply{}}
}

// Call sends a call and waits for its reply. A call that is not awaited any more keeps its place among the open ones
// until the host has answered it.
func (r *run) Call(ctx context.Context, c *proto.Call) (*proto.Reply, error) {
	if cap(r.calls.room) == 0 {
		return nil, ErrNoHost
	}
	if c.GetClose() != nil {
		return nil, r.sendCall(c, nil)
	}
	select {
	case r.calls.room <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-r.ctx.Done():
		return nil, r.ctx.Err()
	}
	answer := make(chan *proto.Reply, 1)
	if err := r.sendCall(c, answer); err != nil {
		<-r.calls.room
		return nil, err
	}
	select {
	case reply := <-answer:
		return reply, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-r.ctx.Done():
		return nil, r.ctx.Err()
	}
}

func (r *run) sendCall(c *proto.Call, answer chan<- *proto.Reply) error {
	calls := r.calls
	calls.order.Lock()
	defer calls.order.Unlock()
	calls.last++
	c.Run, c.Number = r.number, calls.last
	if answer != nil {
		calls.mu.Lock()
		calls.open[c.Number] = answer
		calls.mu.Unlock()
	}
	err := r.queue(func() *proto.SessionResponse {
		return &proto.SessionResponse{Frame: &proto.SessionResponse_Call{Call: c}}
	})
	if err != nil {
		calls.mu.Lock()
		delete(calls.open, c.Number)
		calls.mu.Unlock()
	}
	return err
}

// reply hands a reply to who waits for it.
func (c *calls) reply(reply *proto.Reply) {
	c.mu.Lock()
	answer, ok := c.open[reply.Number]
	delete(c.open, reply.Number)
	c.mu.Unlock()
	if ok {
		answer <- reply
		<-c.room
	}
}
