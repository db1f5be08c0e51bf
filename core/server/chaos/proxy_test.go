//go:build linux

package chaos

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// weather is how a network is at a time.
type weather struct {
	cut     bool          // connections are reset, and new ones too
	mute    bool          // what clients say does not arrive
	deaf    bool          // what is answered does not arrive
	snap    int           // one of so many answers is lost, and its connection with it; 0: none
	latency time.Duration // of each piece, either way
}

// proxy is the network between one server and a service: all of its connections go through here.
type proxy struct {
	listener net.Listener
	dial     func() (net.Conn, error)
	carrier  func(to io.Writer, from io.Reader) error // carries what is answered; nil: as it is
	all      sync.WaitGroup

	mu      sync.Mutex
	now     weather
	changed chan struct{} // closed when the weather does
	open    map[net.Conn]struct{}
	lost    int // answers that came while they did not arrive
	answers int // that came while some were to be lost
	closed  bool
}

// newProxy listens on a host's address.
func newProxy(t *testing.T, host string, dial func() (net.Conn, error), carrier func(io.Writer, io.Reader) error) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, dial: dial, carrier: carrier, changed: make(chan struct{}), open: map[net.Conn]struct{}{}}
	p.all.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

func (p *proxy) address() string { return p.listener.Addr().String() }

// turn changes the weather.
func (p *proxy) turn(w weather) {
	p.mu.Lock()
	p.now, p.lost, p.answers = w, 0, 0
	close(p.changed)
	p.changed = make(chan struct{})
	p.mu.Unlock()
	if w.cut {
		p.reset()
	}
}

// reset breaks all connections off.
func (p *proxy) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		abort(c)
	}
}

func abort(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

func (p *proxy) close() {
	_ = p.listener.Close()
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.turn(weather{})
	p.reset()
	p.all.Wait()
}

// keep notes a connection to be broken off, unless it is to be at once.
func (p *proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.now.cut || p.closed {
		abort(c)
		return false
	}
	p.open[c] = struct{}{}
	return true
}

func (p *proxy) drop(c net.Conn) {
	p.mu.Lock()
	delete(p.open, c)
	p.mu.Unlock()
	_ = c.Close()
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		if p.keep(client) {
			p.all.Go(func() { p.carry(client) })
		}
	}
}

func (p *proxy) carry(client net.Conn) {
	defer p.drop(client)
	service, err := p.dial()
	if err != nil {
		abort(client)
		return
	}
	if !p.keep(service) {
		return
	}
	defer p.drop(service)
	var both sync.WaitGroup
	both.Go(func() {
		defer p.drop(service)
		_, _ = io.Copy(service, &gate{proxy: p, from: client})
	})
	both.Go(func() {
		defer p.drop(client)
		from := &gate{proxy: p, from: service, answers: true}
		if p.carrier != nil {
			_ = p.carrier(client, from)
		} else {
			_, _ = io.Copy(client, from)
		}
	})
	both.Wait()
}

// withheld is how many answers came that have not arrived, since the weather changed.
func (p *proxy) withheld() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lost
}

// gate lets what it reads wait for the weather. It hides what would let io.Copy go past it.
type gate struct {
	proxy   *proxy
	from    net.Conn
	answers bool
}

func (g *gate) Read(b []byte) (int, error) {
	n, err := g.from.Read(b)
	if n > 0 && g.answers && g.proxy.loses() {
		abort(g.from)
		return 0, net.ErrClosed
	}
	for {
		g.proxy.mu.Lock()
		w, changed, closed := g.proxy.now, g.proxy.changed, g.proxy.closed
		_, open := g.proxy.open[g.from]
		g.proxy.mu.Unlock()
		switch {
		case closed || !open:
			return 0, net.ErrClosed
		case g.answers && w.deaf || !g.answers && w.mute:
			<-changed
			continue
		case w.latency > 0:
			select {
			case <-time.After(w.latency):
			case <-changed:
			}
		}
		return n, err
	}
}

// loses counts an answer, and says whether its connection breaks instead of bringing it.
func (p *proxy) loses() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.now.deaf {
		p.lost++
	}
	if p.now.snap == 0 {
		return false
	}
	p.answers++
	return p.answers%p.now.snap == 0
}
