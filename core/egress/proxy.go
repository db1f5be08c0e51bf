package egress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/netutil"
)

// Bounds of what one process has of a Proxy, beside those of requests. MaxBody of Config bounds each direction of a
// tunnel in bytes.
const (
	maxConnections = 256
	tunnelTime     = time.Hour
	maxReason      = 300 // bytes of what a client is told in a status line
)

// Proxy is an HTTP proxy for processes that have no other way to the network: it passes on requests to http:// URLs, and
// makes tunnels for all else (CONNECT). Whatever they ask for is judged as what agents ask for, by the address that is
// dialled in the end. It is safe for concurrent use.
type Proxy struct {
	config         Config
	silent, tunnel time.Duration
	connections    int
}

// NewProxy makes a Proxy.
func NewProxy(c Config) *Proxy {
	return &Proxy{config: c, silent: silentTime, tunnel: tunnelTime, connections: maxConnections}
}

// Serve serves one process by a listener, until ctx ends. It closes the listener, and returns when nothing goes on.
func (p *Proxy) Serve(ctx context.Context, l net.Listener) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	transport := New(p.config)
	defer transport.Close()
	s := &proxied{Proxy: p, ctx: ctx, dialer: newDialer(p.config), forward: &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.RawQuery, r.Out.Host = r.In.URL.RawQuery, ""
		},
		Transport: transport, FlushInterval: -1, ErrorLog: nothing,
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) { http.Error(w, err.Error(), statusOf(err)) },
	}}
	server := &http.Server{
		Handler: s, BaseContext: func(net.Listener) context.Context { return ctx }, ErrorLog: nothing,
		ReadHeaderTimeout: connectTime, IdleTimeout: pooledTime, MaxHeaderBytes: maxHeader,
	}
	closing := context.AfterFunc(ctx, func() { _ = server.Close() })
	_ = server.Serve(netutil.LimitListener(l, p.connections))
	closing()
	cancel()
	_ = server.Close()
	s.wait()
}

var nothing = log.New(io.Discard, "", 0)

// proxied is what one process has of a Proxy.
type proxied struct {
	*Proxy
	ctx     context.Context // that of a request ends with what its client sends
	dialer  *net.Dialer
	forward *httputil.ReverseProxy

	mu   sync.Mutex
	over bool
	wg   sync.WaitGroup // requests
}

func (s *proxied) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		s.wg.Add(1)
	}
	return !s.over
}

func (s *proxied) wait() {
	s.mu.Lock()
	s.over = true
	s.mu.Unlock()
	s.wg.Wait()
}

func (s *proxied) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.begin() {
		return
	}
	defer s.wg.Done()
	switch {
	case r.Method == http.MethodConnect:
		s.connect(w, r)
	case r.URL.IsAbs():
		r.Body = http.MaxBytesReader(w, r.Body, s.config.MaxBody)
		s.forward.ServeHTTP(w, r)
	default:
		http.Error(w, "this is the server's proxy; ask for a whole URL, or CONNECT", http.StatusBadRequest)
	}
}

// connect makes a tunnel. What is wrong stands in the status line too, which is what most clients show.
func (s *proxied) connect(w http.ResponseWriter, r *http.Request) {
	far, err := s.dial(s.ctx, r.Host)
	near, buffered, hijacked := http.NewResponseController(w).Hijack()
	if hijacked != nil {
		if err == nil {
			_ = far.Close()
		}
		return
	}
	defer func() { _ = near.Close() }()
	_ = near.SetDeadline(time.Time{})
	if err != nil {
		text := err.Error()
		_, _ = fmt.Fprintf(near, "HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
			statusOf(err), reason(text), len(text), text)
		return
	}
	defer func() { _ = far.Close() }()
	if _, err := io.WriteString(near, "HTTP/1.1 200 Connected\r\n\r\n"); err != nil {
		return
	}
	s.pipe(s.ctx, near, buffered.Reader, far)
}

func (s *proxied) dial(ctx context.Context, target string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(target)
	if err != nil || host == "" || port == "" {
		return nil, invalid("a tunnel leads to a host and a port, not to %.200q", target)
	}
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	far, err := s.dialer.DialContext(ctx, "tcp", target)
	if err != nil {
		return nil, explain(context.WithoutCancel(ctx), host, err)
	}
	return far, nil
}

// pipe carries bytes both ways until the far end has ended, or a bound is met.
func (s *proxied) pipe(ctx context.Context, near net.Conn, begun io.Reader, far net.Conn) {
	ctx, cancel := context.WithTimeout(ctx, s.tunnel)
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		_ = far.Close()
		_ = near.Close()
	})()
	silence := time.AfterFunc(s.silent, cancel)
	defer silence.Stop()
	carry := func(to io.Writer, from io.Reader) {
		_, _ = io.Copy(to, &heard{from: io.LimitReader(from, s.config.MaxBody), heard: func() { silence.Reset(s.silent) }})
	}
	var up sync.WaitGroup
	up.Go(func() {
		carry(far, begun)
		if c, ok := far.(*net.TCPConn); ok { // who asks and then listens
			_ = c.CloseWrite()
		}
	})
	carry(near, far)
	_ = near.Close()
	up.Wait()
}

// heard tells of bytes.
type heard struct {
	from  io.Reader
	heard func()
}

func (h *heard) Read(p []byte) (int, error) {
	n, err := h.from.Read(p)
	if n > 0 {
		h.heard()
	}
	return n, err
}

func statusOf(err error) int {
	if _, ok := errors.AsType[*Refused](err); ok {
		return http.StatusForbidden
	}
	if _, ok := errors.AsType[*Invalid](err); ok {
		return http.StatusBadRequest
	}
	return http.StatusBadGateway
}

// reason is a text as it may stand in a status line.
func reason(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
	return text[:min(len(text), maxReason)]
}
