package plugin

import (
	"context"
	"fmt"
	"strings"
	"sync"

	gproto "google.golang.org/protobuf/proto"

	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/sdk/proto"
)

// Services answers what one run asks of its host.
type Services interface {
	// Call answers a call of a block: with a result or an error; run and number are filled in by the host. Several
	// calls may go on at once. A call must end soon after ctx does, which is at the run's end at the latest.
	Call(ctx context.Context, from *block.Block, call *proto.Call) *proto.Reply
	// Close gives up what a call opened, by that call's number. It must not wait.
	Close(handle uint64)
	// Emitted tells, before Run.Output takes an output, which call was the last that the block made before it.
	Emitted(lastCall uint64)
}

// maxCalls is how many calls of a run may be open at once.
const maxCalls = 16

// maxCalling bounds the bytes of a session's open calls. Beyond it the session is not read.
const maxCalling = 64 << 20

// calls are those of one run. All of them are over when end returns.
type calls struct {
	within context.Context // the run's
	going  sync.WaitGroup

	// Guarded by the run's lock; ctx stays as it is once there is a call.
	ctx    context.Context // made for the first call
	cancel context.CancelFunc
	last   uint64
	open   int
	ended  bool
}

// begin lets the run make calls until ctx, the session or the run ends.
func (r *run) begin(ctx context.Context) (end func()) {
	r.mu.Lock()
	r.calls.within = ctx
	r.mu.Unlock()
	return func() {
		r.mu.Lock()
		r.calls.ended = true
		cancel := r.calls.cancel
		r.mu.Unlock()
		if cancel != nil {
			cancel()
			r.calls.going.Wait()
		}
	}
}

// call starts to answer a call, with its size taken from the session's budget. An error means that the plugin breaks
// the protocol.
func (r *run) call(c *proto.Call, size int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.spec == nil:
		return fmt.Errorf("a call of run %d, which may make none", r.number)
	case size > proto.MaxCall:
		return fmt.Errorf("a call of %d bytes; at most %d are accepted", size, proto.MaxCall)
	case c.GetNumber() <= r.calls.last:
		return fmt.Errorf("call %d of run %d after call %d", c.GetNumber(), r.number, r.calls.last)
	case c.GetClose() == nil && r.calls.open >= maxCalls:
		return fmt.Errorf("more than %d calls of run %d at once", maxCalls, r.number)
	}
	r.calls.last = c.GetNumber()
	switch closing := c.GetClose(); {
	case r.calls.ended: // it was given up, and nobody waits for an answer
		r.session.calling.give(size)
		return nil
	case closing != nil:
		if r.serves() {
			r.spec.Services.Close(closing.GetHandle())
		}
		r.session.calling.give(size)
		return nil
	}
	if r.calls.ctx == nil {
		r.calls.ctx, r.calls.cancel = r.session.beside(r.calls.within)
	}
	r.calls.open++
	r.calls.going.Go(func() { r.answer(c, size) })
	return nil
}

func (r *run) answer(c *proto.Call, size int) {
	reply := r.reply(c)
	reply.Run, reply.Number = r.number, c.GetNumber()
	if e := reply.GetError(); e != nil {
		e.Message = strings.ToValidUTF8(shorten(e.GetMessage(), maxMessageText), "\uFFFD")
	}
	r.session.calling.give(size)
	r.mu.Lock()
	r.calls.open-- // before the plugin can know of it
	r.mu.Unlock()
	_ = r.session.send(r.calls.ctx, outgoing{frame: &proto.SessionRequest{Frame: &proto.SessionRequest_Reply{Reply: reply}}})
}

func (r *run) reply(c *proto.Call) *proto.Reply {
	switch {
	case r.block.Traits.Pure:
		return refusal(proto.ErrorKind_ERROR_KIND_PERMANENT, "the block declares itself pure, so the server does nothing for it")
	case !r.serves():
		return refusal(proto.ErrorKind_ERROR_KIND_PERMANENT, "the server offers no services to this run")
	}
	reply := r.spec.Services.Call(r.calls.ctx, r.block, c)
	if r.calls.ctx.Err() != nil {
		return refusal(proto.ErrorKind_ERROR_KIND_CANCELLED, "cancelled")
	}
	return reply
}

// serves says that the run's calls are answered.
func (r *run) serves() bool { return r.spec.Services != nil && !r.block.Traits.Pure }

func refusal(kind proto.ErrorKind, message string) *proto.Reply {
	return &proto.Reply{Error: &proto.Error{Kind: kind, Message: message}}
}

// sizeOf is what a call weighs in the session's budget.
func sizeOf(c *proto.Call) int { return gproto.Size(c) }
