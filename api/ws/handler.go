// Package ws is the WebSocket API: clients subscribe to executions and get their events, recorded ones first, then live
// ones. It decides nothing about events and keeps none: it pulls each subscription as fast as its client reads, so that
// a slow client costs the server one bounded buffer. It must never change or leave out an event that has a number.
package ws

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"github.com/hashicorp/go-hclog"

	"github.com/patchbay-io/patchbay/api/auth"
	"github.com/patchbay-io/patchbay/api/problem"
	"github.com/patchbay-io/patchbay/core/execution"
)

// Subscription is one client's view of an execution.
type Subscription interface {
	Status() execution.Status
	// LastSeq is the number of the last event recorded when the subscription began.
	LastSeq() int64
	// Next is the next event, in order; ok is false while there is none. It is io.EOF after the terminal one.
	Next(ctx context.Context) (event execution.Event, ok bool, err error)
	// Follow has wake called whenever there may be a next event, and gives passing events without a number, of which some
	// may be lost, to a function, until Close. Neither blocks. Of the subscriptions that share a turn, a channel with room for
	// one, only one at a time holds recorded events in memory.
	Follow(turn chan struct{}, wake func(), progress func(json.RawMessage))
	Close()
}

// Config is what the handler needs, and its limits.
type Config struct {
	Logger       hclog.Logger
	Authenticate func(*http.Request) (auth.Principal, error) // by the headers
	Credential   func(ctx context.Context, text string) (auth.Principal, error)
	// Current is what a principal is now; auth.ErrInvalid says that its credential is not good any more.
	Current func(context.Context, auth.Principal) (auth.Principal, error)
	// Counted counts a handshake as a request of whom it is, the zero principal for nobody; the error refuses it. nil: none
	// is counted.
	Counted   func(http.ResponseWriter, *http.Request, auth.Principal) error
	Subscribe func(ctx context.Context, user, id string, afterSeq int64) (Subscription, error)
	// Away says whether an error means that the database cannot be asked at the moment; nil: none does.
	Away    func(error) bool
	Origins []string // allowed beside the same host; "*" is any, and one may stand within an origin
	Limits  Limits
}

// Limits bound what one client may do and cost.
type Limits struct {
	Frame         int // bytes of a client's frame
	Messages      int // frames of a client within Window
	Window        time.Duration
	Subscriptions int           // at once
	Opening       time.Duration // of one subscription
	Buffer        int           // bytes of memory that wait to be sent, or one frame
	Buffers       int           // the same of all clients together, beside one frame of each
	Unsent        int           // bytes that the kernel takes before the client's side has room for them
	Gather        time.Duration // how long frames are gathered for one system call while many come
	Ping          time.Duration // between pings of the server
	Idle          time.Duration // without any frame of the client
	Stall         time.Duration // without the client reading anything, while its buffer is full
	Recheck       time.Duration // between looks at whether the credential is still good
	Goodbye       time.Duration // for the closing handshake
}

// DefaultLimits are those of the contract.
var DefaultLimits = Limits{
	Frame: 64 << 10, Messages: 30, Window: time.Second, Subscriptions: 100, Opening: 15 * time.Second,
	Buffer: 256 << 10, Buffers: 64 << 20, Unsent: 64 << 10, Gather: 15 * time.Millisecond,
	Ping: 30 * time.Second, Idle: 90 * time.Second, Stall: 10 * time.Second, Recheck: 5 * time.Second, Goodbye: 2 * time.Second,
}

// Close codes of our own. Browsers can read codes, but no status of a refused handshake; so the handshake is accepted
// first.
const (
	closeNoCredential      = 4001
	closeInvalidCredential = 4003
	closeForeignUser       = 4004
	closeIdle              = 4008
	closeAbuse             = 4009
)

// Handler serves WebSockets.
type Handler struct {
	Config
	upgrader websocket.Upgrader
	buffers  buffers

	mu      sync.Mutex
	conns   map[*conn]struct{}
	closing bool // nobody is let in
	cut     bool // nobody is waited for
	running sync.WaitGroup
}

// New makes a handler.
func New(c Config) *Handler {
	return &Handler{
		Config:  c,
		conns:   map[*conn]struct{}{},
		buffers: buffers{limit: c.Limits.Buffers},
		upgrader: websocket.Upgrader{
			ReadBufferSize: 512, WriteBufferSize: 512, WriteBufferPool: &sync.Pool{}, // frames are written without it
			Subprotocols: []string{subprotocol},
			CheckOrigin:  func(*http.Request) bool { return true }, // checked before
			Error: func(w http.ResponseWriter, _ *http.Request, _ int, reason error) {
				problem.Write(w, problem.Invalid(strings.TrimPrefix(reason.Error(), "websocket: ")))
			},
		},
	}
}

// ServeHTTP lets a client in, which is then served until it or Shutdown ends that.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		problem.Write(w, problem.MethodNotAllowed(r.Method))
		return
	}
	if !h.allowsOrigin(r) {
		problem.Write(w, problem.Forbidden("this origin may not connect"))
		return
	}
	if !h.enter() {
		problem.Write(w, problem.Unavailable("the server is shutting down"))
		return
	}
	defer h.running.Done()
	if c := h.shakeHands(w, r); c != nil {
		// On a goroutine of its own, since that of the request keeps all that reading the request took.
		h.running.Go(c.run)
	}
}

// shakeHands makes a request to a connection, or answers it and gives nil.
func (h *Handler) shakeHands(w http.ResponseWriter, r *http.Request) *conn {
	if _, err := url.ParseQuery(r.URL.RawQuery); err != nil {
		problem.Write(w, problem.Field("query", "the query string cannot be read"))
		return nil
	}
	who, refused := h.admit(r)
	if h.Counted != nil {
		if err := h.Counted(w, r, who); err != nil {
			problem.Write(w, problem.Of(err))
			return nil
		}
	}
	socket, err := h.upgrader.Upgrade(hijackable{w, &h.Limits}, r, w.Header())
	if err != nil {
		return nil // answered by the upgrader
	}
	holdBack(unmetered(socket), h.Limits.Unsent)
	c := newConn(h, socket, who)
	if refused != nil {
		c.end(*refused)
	}
	h.add(c)
	return c
}

// Shutdown closes all connections, with 1012, and waits for them to the end of the context.
func (h *Handler) Shutdown(ctx context.Context) error {
	h.mu.Lock()
	h.closing = true
	for c := range h.conns {
		c.end(restarting)
	}
	h.mu.Unlock()

	cut := context.AfterFunc(ctx, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.cut = true
		for c := range h.conns {
			c.socket.Close() // the rest unwinds from the errors that this gives
		}
	})
	defer cut()
	h.running.Wait()
	return ctx.Err()
}

// Recheck looks whether the credentials of a user's connections are still good. It does not wait for that.
func (h *Handler) Recheck(user string) {
	if !h.enter() {
		return
	}
	go func() {
		defer h.running.Done()
		for _, c := range h.of(user) {
			c.recheck()
		}
	}()
}

func (h *Handler) of(user string) (conns []*conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.conns {
		if c.who.UserID == user && c.who.Revocable() {
			conns = append(conns, c)
		}
	}
	return conns
}

func (h *Handler) enter() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closing {
		return false
	}
	h.running.Add(1)
	return true
}

// add takes in a connection; the shutdown may have begun during its handshake.
func (h *Handler) add(c *conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.conns[c] = struct{}{}
	if h.closing {
		c.end(restarting)
	}
	if h.cut {
		c.socket.Close()
	}
}

func (h *Handler) remove(c *conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.conns, c)
}

// hijackable reaches the connection through whatever wraps the response.
type hijackable struct {
	http.ResponseWriter
	limits *Limits
}
