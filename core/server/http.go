package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sync/errgroup"

	"github.com/patchbay-io/patchbay/api"
	"github.com/patchbay-io/patchbay/api/problem"
	"github.com/patchbay-io/patchbay/api/rest"
	"github.com/patchbay-io/patchbay/core/config"
)

// maxHeaderBytes is how large the headers of a request may be.
const maxHeaderBytes = 64 << 10

// front is the server's two ports. It answers from the first moment: that the server is alive, and until it is ready
// that it is not.
type front struct {
	rest, ws   net.Listener // the same when both settings name one address
	api, socks late
	secure     bool // browsers reach it by HTTPS
	servers    []*http.Server
	failed     chan error
	group      errgroup.Group
}

func openFront(s *config.Settings) (*front, error) {
	f := &front{secure: strings.HasPrefix(s.BaseURL, "https://"), failed: make(chan error, 2)}
	var err error
	if f.rest, err = listen(s.Addr, "PATCHBAY_ADDR"); err != nil {
		return nil, err
	}
	f.ws = f.rest
	if s.WSAddr != s.Addr {
		if f.ws, err = listen(s.WSAddr, "PATCHBAY_WS_ADDR"); err != nil {
			_ = f.rest.Close()
			return nil, err
		}
	}
	return f, nil
}

// serve begins to answer on both ports.
func (f *front) serve(h *health, m *metrics, log hclog.Logger) {
	probed := func(m map[string]http.Handler) map[string]http.Handler {
		m["/healthz"], m["/readyz"] = readable(http.HandlerFunc(h.alive)), readable(http.HandlerFunc(h.ready))
		return m
	}
	f.start(f.rest, &routes{
		paths: probed(map[string]http.Handler{"/ws": &f.api, "/metrics": readable(m.handler())}),
		rest:  m.measured(&f.api),
	}, log)
	if f.ws != f.rest {
		f.start(f.ws, &routes{paths: probed(map[string]http.Handler{}), rest: &f.socks}, log)
	}
}

// routes are what stands beside the API. http.ServeMux would answer odd paths with redirects, and without the
// envelope that every error has.
type routes struct {
	paths map[string]http.Handler
	rest  http.Handler
}

func (r *routes) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if handler, ok := r.paths[req.URL.Path]; ok {
		handler.ServeHTTP(w, req)
		return
	}
	r.rest.ServeHTTP(w, req)
}

// readable is what can only be looked at.
func readable(next http.Handler) http.Handler {
	return rest.Identified(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			problem.Write(w, problem.MethodNotAllowed(r.Method))
			return
		}
		next.ServeHTTP(w, r)
	}))
}

// late is a handler that comes when the server has started.
type late struct{ handler atomic.Pointer[http.Handler] }

func (l *late) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if next := l.handler.Load(); next != nil {
		(*next).ServeHTTP(w, r)
		return
	}
	rest.Identified(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "1")
		problem.Write(w, problem.Unavailable("the server is starting"))
	})).ServeHTTP(w, r)
}

func (l *late) set(h http.Handler) { l.handler.Store(&h) }

// open begins to serve the API.
func (f *front) open(a *api.API) {
	f.api.set(a)
	f.socks.set(a.WebSocket())
}

// refuse says for good that there is no API here.
func (f *front) refuse(why string) {
	refusal := rest.Identified(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { problem.Write(w, problem.Unavailable(why)) }))
	f.api.set(refusal)
	f.socks.set(refusal)
}

func (f *front) start(l net.Listener, handler http.Handler, log hclog.Logger) {
	if f.secure {
		handler = rest.Secured(handler)
	}
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          log.Named("http").StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Debug}),
	}
	f.servers = append(f.servers, server)
	f.group.Go(func() error {
		err := server.Serve(refusing{l})
		if errors.Is(err, http.ErrServerClosed) {
			return nil
		}
		f.failed <- fmt.Errorf("serve %s: %w", l.Addr(), err)
		return err
	})
}

// close takes no new connection and waits for the requests that are being answered; when ctx ends they are cut.
func (f *front) close(ctx context.Context) {
	var closing errgroup.Group
	for _, server := range f.servers {
		closing.Go(func() error {
			if err := server.Shutdown(ctx); err != nil {
				return server.Close()
			}
			return nil
		})
	}
	_ = closing.Wait() // what could not be closed ends with the process
	if len(f.servers) == 0 {
		_ = f.rest.Close()
		_ = f.ws.Close()
	}
	_ = f.group.Wait()
}
