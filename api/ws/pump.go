package ws

import (
	"context"
	"encoding/json"
	"io"
	"sync"

	"github.com/gorilla/websocket"

	"github.com/patchbay-io/patchbay/core/execution"
)

// pump carries the events of one subscription into the queue. It has a goroutine only while there are events: thousands
// of clients wait for one at the same time, and each would keep its stack.
type pump struct {
	c      *conn
	id     string // of the execution
	events Subscription
	ctx    context.Context // ended by stop, or with the connection's
	cancel context.CancelFunc
	done   chan struct{} // closed when nothing follows any more

	last sync.Mutex // of who queues the terminal event, or what must come before it
	told bool       // the terminal event is queued

	mu      sync.Mutex
	running bool
	again   bool // something may have come while it ran
	closed  bool
}

func (c *conn) follow(id string, events Subscription) *pump {
	p := &pump{c: c, id: id, events: events, done: make(chan struct{})}
	p.ctx, p.cancel = context.WithCancel(c.ctx)
	events.Follow(c.turn, p.wake, func(progress json.RawMessage) { c.queue.offer(frame{opcode: websocket.TextMessage, payload: progress}) })
	p.wake()
	return p
}

// wake lets the pump look for events. It does not block.
func (p *pump) wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
	case p.running:
		p.again = true
	default:
		p.running = true
		p.c.pumps.Add(1)
		go p.run() // pumps.Go would allocate, for each event of each client
	}
}

// stop ends the pump. It is over, and no event follows, when done is closed.
func (p *pump) stop() {
	p.cancel()
	p.mu.Lock()
	idle := !p.running && !p.closed
	p.closed = p.closed || idle
	p.mu.Unlock()
	if idle {
		p.close()
	}
}

// over says whether the pump was stopped, or the execution has ended and all of it was sent.
func (p *pump) over() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// before queues an answer in front of the terminal event, or says that this one is queued already: a client that has it follows
// the execution no longer, whatever remains to be done here.
func (p *pump) before(answer func() error) (done bool, err error) {
	p.last.Lock()
	defer p.last.Unlock()
	if p.told {
		return false, nil
	}
	return true, answer()
}

func (p *pump) run() {
	defer p.c.pumps.Done()
	for p.deliver() {
		if p.rests() {
			return
		}
	}
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.close()
}

// rests says that nothing has come since the pump looked, so that the next wake begins another goroutine.
func (p *pump) rests() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running = p.again || p.ctx.Err() != nil
	p.again = false
	return !p.running
}

// close is called once, with the lock free, since closing a subscription waits for those who wake it.
func (p *pump) close() {
	p.cancel()
	p.events.Close()
	close(p.done)
}

// deliver queues what events there are, and says whether there will be more.
func (p *pump) deliver() bool {
	for p.ctx.Err() == nil {
		event, ok, err := p.events.Next(p.ctx)
		switch {
		case err == io.EOF: // and not of a connection to the database, which ends with the same, wrapped
			return false
		case err != nil && p.ctx.Err() == nil:
			p.c.log.Error("reading events failed", "execution_id", p.id, "error", err)
			p.c.end(unreadable)
			return false
		case err != nil:
			return false
		case !ok:
			return true
		}
		if err := p.push(event); err != nil {
			return false // the connection or the subscription ends
		}
	}
	return false
}

func (p *pump) push(event execution.Event) error {
	if event.Last {
		p.last.Lock()
		defer p.last.Unlock()
		p.told = true
	}
	f := frame{websocket.TextMessage, event.Payload, event.Large}
	err := p.c.queue.push(p.ctx, f)
	if err != nil {
		f.drop()
	}
	return err
}
