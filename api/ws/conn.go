package ws

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"github.com/hashicorp/go-hclog"

	"github.com/patchbay-io/patchbay/api/auth"
)

// goodbye is how a connection is closed; code 0 is without a close frame, where the client has gone.
type goodbye struct {
	code   int
	reason string
}

var (
	restarting = goodbye{websocket.CloseServiceRestart, "the server is shutting down"}
	unreadable = goodbye{websocket.CloseInternalServerErr, "events could not be read; subscribe again with after_seq"}
	revoked    = goodbye{closeInvalidCredential, "the credential is not valid any more"}
)

var errEnded = errors.New("the connection is closing")

// conn is one client. Its goroutines: run reads, the writer writes while there is something to write, and each
// subscription pumps.
type conn struct {
	handler   *Handler
	ctx       context.Context // of everything that the connection does; ended by end
	interrupt context.CancelCauseFunc
	log       hclog.Logger
	limits    *Limits
	socket    *websocket.Conn
	who       auth.Principal
	queue     *queue
	writer    writer
	pumps     sync.WaitGroup
	turn      chan struct{}    // of the pumps, in reading what was recorded
	subs      map[string]*pump // of the reader alone
	received  []time.Time      // when the last frames came, oldest first
	credit    time.Duration    // in which the client could send and nothing of it was read

	mu      sync.Mutex
	goodbye *goodbye
	by      time.Time
	pinging *time.Timer
}

func newConn(h *Handler, socket *websocket.Conn, who auth.Principal) *conn {
	ctx, interrupt := context.WithCancelCause(context.Background()) // the request's ends with the handshake
	c := &conn{
		ctx: ctx, interrupt: interrupt,
		handler: h, log: h.Logger, limits: &h.Limits, socket: socket, who: who, subs: map[string]*pump{}, turn: make(chan struct{}, 1),
	}
	c.writer = writer{c: c, net: unmetered(socket)}
	c.queue = newQueue(c.limits.Buffer, &h.buffers, c.writer.run)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pinging = time.AfterFunc(c.limits.Ping, c.ping)
	return c
}

// run serves the client to its end.
//
// Its goroutine waits in read for nearly all of the time. What is not needed there stands in functions of their own, so
// that the frames below the wait are small: the runtime halves a stack of 8 KB when less than 2 KB of it are in use, its
// reserve of 800 bytes among them.
func (c *conn) run() {
	c.takeControls()
	stop := c.watchCredential()
	c.end(farewellOf(c.read()))
	c.close()
	stop()
	c.socket.Close()
	c.handler.remove(c)
}

// close lets what is there go out, and says goodbye.
func (c *conn) close() {
	for _, p := range c.subs {
		p.stop()
	}
	c.pumps.Wait()
	c.queue.close()
	c.queue.writing.Wait()
	c.queue.drop()
	c.writer.farewell()
	c.drain()
}

// ping pings the client again and again until the connection ends.
func (c *conn) ping() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.goodbye == nil {
		c.queue.insist(frame{opcode: websocket.PingMessage})
		c.pinging.Reset(c.limits.Ping)
	}
}

// watchCredential ends the connection when its credential does, until the function that it gives is called.
func (c *conn) watchCredential() (stop func()) {
	var expiry *time.Timer
	if !c.who.ExpiresAt.IsZero() {
		expiry = time.AfterFunc(time.Until(c.who.ExpiresAt), func() { c.end(goodbye{closeInvalidCredential, "the credential has expired"}) })
	}
	var watching sync.WaitGroup
	if c.who.Revocable() {
		watching.Go(c.watch)
	}
	return func() {
		if expiry != nil {
			expiry.Stop()
		}
		watching.Wait() // end has interrupted it
	}
}

// watch ends the connection when its credential is not good any more, or covers it no longer. A database that is away
// proves nothing.
func (c *conn) watch() {
	tick := time.NewTicker(c.limits.Recheck)
	defer tick.Stop()
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-tick.C:
			c.recheck()
		}
	}
}

func (c *conn) recheck() {
	ctx, cancel := context.WithTimeout(c.ctx, c.limits.Opening)
	defer cancel()
	now, err := c.handler.Current(ctx, c.who)
	if errors.Is(err, auth.ErrInvalid) || err == nil && c.who.May(following...) && !now.May(following...) {
		c.end(revoked)
	}
}

// end begins to close the connection. The first reason counts.
func (c *conn) end(g goodbye) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.goodbye != nil {
		return
	}
	c.goodbye = &g
	c.pinging.Stop()
	c.by = time.Now().Add(c.limits.Goodbye)
	if g.code == websocket.CloseTryAgainLater {
		c.by = time.Now().Add(c.limits.Stall) // it read nothing for that long; the code reaches it only if it reads again
	}
	c.interrupt(errEnded)
	past := time.Unix(1, 0)
	_ = c.socket.SetReadDeadline(past) // wakes the reader; an error means that it is awake already
	_ = c.writer.net.SetWriteDeadline(c.by)
}

// lost is a connection on which nothing can be written any more.
func (c *conn) lost(err error) {
	c.log.Debug("websocket lost", "user", c.who.UserID, "error", err)
	c.end(goodbye{})
	c.socket.Close()
	c.queue.close() // pushes that wait see it by the context
}

func (c *conn) closeBy() (time.Time, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.by, c.goodbye != nil
}

func (c *conn) tooSlow() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.goodbye != nil && c.goodbye.code == websocket.CloseTryAgainLater
}

func (c *conn) farewell() goodbye {
	c.mu.Lock()
	defer c.mu.Unlock()
	return *c.goodbye
}

// takeControls answers the control frames that come while read waits for others.
func (c *conn) takeControls() {
	c.socket.SetPongHandler(func(string) error { return c.heard() })
	c.socket.SetPingHandler(func(text string) error {
		if !c.admits() {
			return errTooMany
		}
		if err := c.heard(); err != nil {
			return err
		}
		defer c.lend(time.Now())
		return c.queue.push(c.ctx, frame{opcode: websocket.PongMessage, payload: []byte(text)})
	})
	c.socket.SetCloseHandler(func(int, string) error { return nil }) // the writer answers
}

// read takes in frames until there are no more, and says why.
func (c *conn) read() error {
	for {
		if err := c.heard(); err != nil {
			return err
		}
		kind, r, err := c.socket.NextReader()
		if err != nil {
			return err
		}
		if err := c.take(kind, r); err != nil {
			return err
		}
	}
}

// take takes in one frame.
func (c *conn) take(kind int, r io.Reader) error {
	text, err := io.ReadAll(io.LimitReader(r, int64(c.limits.Frame)+1))
	switch {
	case err != nil:
		return err
	case len(text) > c.limits.Frame:
		return errTooLarge
	case !c.admits():
		return errTooMany
	}
	defer c.lend(time.Now())
	return c.handle(c.ctx, kind, text)
}

// lend counts for the client the time in which its frames waited for an answer to go out: those that come after it may come
// all together. What one frame may take anyway is no such time, and too much of it is not kept.
func (c *conn) lend(since time.Time) {
	if late := time.Since(since) - c.interval(); late > 0 {
		c.credit = min(c.credit+late, c.limits.Stall)
	}
}

// interval is the time between the frames of a client that sends as many as it may.
func (c *conn) interval() time.Duration { return c.limits.Window / time.Duration(c.limits.Messages) }

var (
	errTooLarge         = errors.New("the frame is too large")
	errTooMany          = errors.New("too many frames")
	errTooManyFollowing = errors.New("too many subscriptions")
)

// farewellOf says how a connection is closed whose frames ended with an error.
func farewellOf(err error) goodbye {
	closed, isClose := errors.AsType[*websocket.CloseError](err)
	network, isNetwork := errors.AsType[net.Error](err) // gorilla hides os.ErrDeadlineExceeded
	switch {
	case errors.Is(err, auth.ErrInvalid):
		return revoked
	case errors.Is(err, errTooLarge), errors.Is(err, errTooMany), errors.Is(err, errTooManyFollowing):
		return goodbye{closeAbuse, err.Error()}
	case isClose && closed.Code == websocket.CloseNoStatusReceived:
		return goodbye{websocket.CloseNormalClosure, ""}
	case isClose && closed.Code != websocket.CloseAbnormalClosure:
		return goodbye{closed.Code, ""} // as it came
	case isNetwork && network.Timeout():
		return goodbye{closeIdle, "nothing was heard for too long"}
	}
	return goodbye{}
}

// heard gives the client time for its next frame.
func (c *conn) heard() error {
	if err := c.socket.SetReadDeadline(time.Now().Add(c.limits.Idle)); err != nil {
		return err
	}
	select {
	case <-c.ctx.Done(): // its deadline may just have been overwritten
		return errEnded
	default:
		return nil
	}
}

// admits counts a frame; false when it is one too many within the window, and without credit.
func (c *conn) admits() bool {
	now := time.Now()
	if len(c.received) == c.limits.Messages {
		if now.Sub(c.received[0]) < c.limits.Window {
			if c.credit < c.interval() {
				return false
			}
			c.credit -= c.interval()
		}
		c.received = append(c.received[:0], c.received[1:]...)
	}
	c.received = append(c.received, now)
	return true
}

// drain waits for the client to close its side: closing with bytes unread would make it lose what we sent last.
func (c *conn) drain() {
	by, _ := c.closeBy()
	socket := c.writer.net
	if err := socket.SetReadDeadline(by); err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, readerOnly{socket}) // ends with the connection or the time
}

// readerOnly hides the methods by which io.Copy would go around the deadline's buffer.
type readerOnly struct{ net.Conn }
