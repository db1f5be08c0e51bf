package sdk

import (
	"context"
	"errors"
	"math"
	"sync"

	"github.com/patchbay-io/patchbay/sdk/proto"
)

// run is the Emitter of one run in a session.
type run struct {
	session *session
	number  uint64
	block   bound
	ctx     context.Context
	cancel  context.CancelCauseFunc
	credit  *credit
	calls   *calls
	stats   stats
	// cancelled is the context that cancel ends, whatever the deadline does.
	cancelled context.Context
	release   context.CancelFunc // of the deadline

	// Outputs that come with Done. gathers is false once there were too many.
	gathering    sync.Mutex
	gathers      bool
	mayGather    int
	gathered     []*proto.Output
	gatheredSize int

	// sending is held for reading while a frame is queued, and for writing by end: no frame follows Done.
	sending sync.RWMutex
	ended   bool
}

var errEnded = errors.New("the run has ended")

// Emit sends an output, when the host has credit for it.
func (r *run) Emit(pin string, value any) error {
	raw, err := r.block.output(pin, value)
	if err != nil {
		return err
	}
	output := &proto.Output{Run: r.number, Pin: validText(pin), Value: raw}
	if kept, err := r.gather(output); kept || err != nil {
		return err
	}
	return r.emit(output)
}

// Bounds of the outputs of a run that come with its Done.
const (
	maxGathered      = 16
	maxGatheredBytes = 64 << 10
)

// gather keeps an output for Done, where the host takes it there and the run has had few. Otherwise those that were kept
// go before it.
func (r *run) gather(output *proto.Output) (kept bool, err error) {
	r.gathering.Lock()
	defer r.gathering.Unlock()
	if !r.gathers {
		return false, nil
	}
	if len(r.gathered) < r.mayGather && r.gatheredSize+len(output.Value) <= maxGatheredBytes {
		r.sending.RLock()
		defer r.sending.RUnlock()
		if r.ended {
			return false, errEnded
		}
		if err := r.ctx.Err(); err != nil {
			return false, err
		}
		r.gathered = append(r.gathered, output)
		r.gatheredSize += len(output.Value)
		return true, nil
	}
	early := r.gathered
	r.gathers, r.gathered = false, nil
	for _, o := range early {
		if err := r.emit(o); err != nil {
			return false, err
		}
	}
	return false, nil
}

func (r *run) emit(output *proto.Output) error {
	if err := r.credit.take(r.ctx); err != nil {
		return err
	}
	raw := output.Value
	return r.queue(func() *proto.SessionResponse {
		if len(raw) > proto.InlineLimit {
			output.Value, output.BulkSize = nil, uint64(len(raw))
			output.Bulk = r.session.server.bulk.announce(r.number, raw)
		}
		return &proto.SessionResponse{Frame: &proto.SessionResponse_Output{Output: output}}
	})
}

// Progress needs no credit; it waits for its place in the queue like every frame.
func (r *run) Progress(p Progress) {
	percent := p.Percent
	if math.IsNaN(percent) || math.IsInf(percent, 0) {
		percent = 0
	}
	_ = r.queue(func() *proto.SessionResponse { // a run that was cancelled learns it elsewhere
		return &proto.SessionResponse{Frame: &proto.SessionResponse_Progress{Progress: &proto.Progress{
			Run: r.number, Text: validText(p.Text), Percent: percent, Delta: validText(p.Delta),
		}}}
	})
}

func (r *run) queue(frame func() *proto.SessionResponse) error {
	r.sending.RLock()
	defer r.sending.RUnlock()
	if r.ended {
		return errEnded
	}
	if err := r.ctx.Err(); err != nil {
		return err
	}
	return r.session.send(r.ctx, frame())
}

// end cancels what the block left behind, waits until none of it is sending, and says whether the host had cancelled
// the run before.
func (r *run) end() (cancelled bool) {
	r.cancel(errEnded)
	r.sending.Lock()
	defer r.sending.Unlock()
	r.ended = true
	return context.Cause(r.cancelled) == errCancelled
}

// credit counts the outputs that the host is ready to take.
type credit struct {
	mu   sync.Mutex
	n    int
	more chan struct{} // closed when n grows from 0
}

func newCredit(n int) *credit { return &credit{n: n, more: make(chan struct{})} }

func (c *credit) add(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n <= 0 {
		return
	}
	if c.n == 0 {
		close(c.more)
		c.more = make(chan struct{})
	}
	c.n += n
}

func (c *credit) take(ctx context.Context) error {
	for {
		c.mu.Lock()
		if c.n > 0 && ctx.Err() == nil {
			c.n--
			c.mu.Unlock()
			return nil
		}
		more := c.more
		c.mu.Unlock()
		select {
		case <-more:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
