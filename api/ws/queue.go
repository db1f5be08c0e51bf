package ws

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/patchbay-io/patchbay/core/execution"
)

// frame is what is sent in one WebSocket frame. Payloads are shared between clients and never changed.
type frame struct {
	opcode  byte
	payload []byte
	large   *execution.Large // in place of payload
}

// size is what a frame counts in its queue: the memory that it takes, with its place among the frames, which grow by
// doubling. A large one counts although its bytes are not in memory yet.
func (f *frame) size() int {
	if f.large != nil {
		return f.large.Size
	}
	return cap(f.payload) + 2*int(unsafe.Sizeof(frame{}))
}

// drop lets go of what is not sent, or was.
func (f *frame) drop() {
	if f.large != nil {
		f.large.Close()
	}
	*f = frame{}
}

var errQueueClosed = errors.New("the connection is closing")

// buffers is what all queues hold together.
type buffers struct {
	limit int
	held  atomic.Int64
}

// share is how much each queue may hold: a part of what is left, so that many clients that read nothing leave room for those
// who come after them (the dynamic thresholds of switches that share their memory).
func (b *buffers) share() int { return (b.limit - int(b.held.Load())) / 8 }

// queue holds the frames that wait to be written: at most limit bytes and a share of what all may hold, or one frame.
type queue struct {
	limit   int
	all     *buffers
	write   func()         // takes and writes until there is no more; it has a goroutine only as long
	writing sync.WaitGroup // that goroutine

	mu      sync.Mutex
	busy    bool // somebody writes
	frames  []frame
	bytes   int // of frames and of what the writer has taken and not yet written
	waiting int // pushes that wait for room
	room    chan struct{}
	crowded chan struct{} // has something when a push has begun to wait
	closed  bool
}

func newQueue(limit int, all *buffers, write func()) *queue {
	q := &queue{limit: limit, all: all, room: make(chan struct{}), crowded: make(chan struct{}, 1)}
	q.write = func() {
		defer q.writing.Done()
		write()
	}
	return q
}

// push waits for room.
func (q *queue) push(ctx context.Context, f frame) error {
	for {
		q.mu.Lock()
		if q.closed {
			q.mu.Unlock()
			return errQueueClosed
		}
		if q.bytes == 0 || q.bytes+f.size() <= min(q.limit, q.all.share()) {
			q.add(f)
			q.mu.Unlock()
			return nil
		}
		room := q.room
		q.waiting++
		q.mu.Unlock()
		select {
		case q.crowded <- struct{}{}:
		default:
		}

		var err error
		select {
		case <-room:
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		q.mu.Lock()
		q.waiting--
		q.mu.Unlock()
		if err != nil {
			return err
		}
	}
}

// insist takes a frame however full the queue is.
func (q *queue) insist(f frame) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed {
		q.add(f)
	}
}

// offer drops a frame when the queue is half full.
func (q *queue) offer(f frame) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed && q.waiting == 0 && q.bytes+f.size() <= min(q.limit, q.all.share())/2 {
		q.add(f)
	}
}

func (q *queue) add(f frame) {
	q.frames = append(q.frames, f)
	q.count(f.size())
	if !q.busy {
		q.busy = true
		q.writing.Add(1)
		go q.write() // writing.Go would allocate, for each event of each client
	}
}

// count counts bytes that have come, or gone. A frame that is larger than the limit is not in memory whole.
func (q *queue) count(bytes int) {
	before := min(q.bytes, q.limit)
	q.bytes += bytes
	q.all.held.Add(int64(min(q.bytes, q.limit) - before))
}

// more says whether there are frames to take. If not, the writer ends, and the next frame begins another.
func (q *queue) more() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.busy = len(q.frames) > 0
	return q.busy
}

// take hands all frames to the writer, who says written when they are out, and takes a slice for those that come.
func (q *queue) take(empty []frame) []frame {
	q.mu.Lock()
	defer q.mu.Unlock()
	frames := q.frames
	q.frames = empty
	return frames
}

func (q *queue) written(bytes int) {
	if bytes == 0 {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.count(-bytes)
	if q.waiting > 0 {
		close(q.room)
		q.room = make(chan struct{})
	}
}

// full says whether somebody waits for room.
func (q *queue) full() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.waiting > 0
}

// close lets nothing more in; what is there is still written.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
}

// drop lets go of the frames that nobody writes any more.
func (q *queue) drop() {
	for _, f := range q.take(nil) {
		f.drop()
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.count(-q.bytes) // also of what the writer took and did not write
}
