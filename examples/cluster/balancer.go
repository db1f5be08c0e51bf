package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	probeEvery = 200 * time.Millisecond
	probeLimit = 2 * time.Second
	noticed    = 2 * time.Second // after which nothing more is sent to a server that says that it ends
)

// balancer sends each request to the ready server that has the fewest. It stands for nginx, HAProxy or a cloud's: what
// it does is what those must be told to do.
type balancer struct {
	backends []*backend
	server   *http.Server
	listener net.Listener
	failed   chan error
	cancel   context.CancelFunc
	probes   sync.WaitGroup
	next     atomic.Uint32
}

type backend struct {
	address string
	ready   atomic.Bool
	active  atomic.Int32
}

func openBalancer(addr string, backends []string) (*balancer, error) {
	b := &balancer{failed: make(chan error, 1)}
	var err error
	if b.listener, err = net.Listen("tcp", addr); err != nil {
		return nil, err
	}
	var ctx context.Context
	ctx, b.cancel = context.WithCancel(context.Background())
	for _, address := range backends {
		to := &backend{address: address}
		b.backends = append(b.backends, to)
		to.probe(ctx)
		b.probes.Go(func() { to.watch(ctx) })
	}
	b.server = &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: "patchbay"}) // which one is chosen below
			r.Out.Host = r.In.Host
			r.SetXForwarded()
		},
		Transport: b, FlushInterval: -1,
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if r.Context().Err() == nil {
				log.Printf("%s %s: %v", r.Method, r.URL.Path, err)
			}
			w.WriteHeader(http.StatusBadGateway)
		},
	}}
	go func() {
		if err := b.server.Serve(b.listener); !errors.Is(err, http.ErrServerClosed) {
			b.failed <- err
		}
	}()
	return b, nil
}

func (b *balancer) addr() string { return b.listener.Addr().String() }

func (b *balancer) close() {
	b.cancel()
	b.probes.Wait()
	_ = b.server.Close()
}

// watch asks a server now and then whether it is ready.
func (to *backend) watch(ctx context.Context) {
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			to.probe(ctx)
		case <-ctx.Done():
			return
		}
	}
}

func (to *backend) probe(ctx context.Context) {
	to.ready.Store(answers(ctx, "http://"+to.address+"/readyz", probeLimit))
}

// await returns when the server with this URL gets requests.
func (b *balancer) await(ctx context.Context, readyURL string) error {
	for _, to := range b.backends {
		for strings.HasPrefix(readyURL, "http://"+to.address+"/") && !to.ready.Load() {
			select {
			case <-time.After(probeEvery / 10):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}

// RoundTrip sends a request to one server after the other until one takes it. What could not be connected to has got
// nothing of it; anything else is not repeated, since it may have had an effect.
func (b *balancer) RoundTrip(r *http.Request) (*http.Response, error) {
	body := r.Body
	defer func() {
		if body != nil {
			_ = body.Close()
		}
	}()
	err := errors.New("there is no server")
	for _, to := range b.candidates() {
		out := r.Clone(r.Context())
		out.URL.Host = to.address
		if body != nil {
			out.Body = io.NopCloser(body)
		}
		to.active.Add(1)
		var response *http.Response
		response, err = http.DefaultTransport.RoundTrip(out)
		if err == nil {
			response.Body = counted(response.Body, &to.active)
			return response, nil
		}
		to.active.Add(-1)
		var failed *net.OpError
		if !errors.As(err, &failed) || failed.Op != "dial" {
			break
		}
		to.ready.Store(false)
	}
	return nil, fmt.Errorf("no server took it: %w", err)
}

// candidates are the servers, those first that are ready, of these those that have least to do, else in turn. Where none
// is ready the others are tried: a server that has lost NATS says that it is not, and works all the same.
func (b *balancer) candidates() []*backend {
	turn := int(b.next.Add(1)) % len(b.backends)
	all := append(slices.Clone(b.backends[turn:]), b.backends[:turn]...)
	load := make(map[*backend]int32, len(all))
	for _, to := range all {
		if load[to] = to.active.Load(); !to.ready.Load() {
			load[to] += 1 << 30
		}
	}
	slices.SortStableFunc(all, func(x, y *backend) int { return int(load[x]) - int(load[y]) })
	return all
}

// countedBody is an answer that counts until it was read. One that switches protocols is written to, too.
type countedBody struct {
	io.ReadCloser
	done func()
}

func (c *countedBody) Close() error {
	c.done()
	return c.ReadCloser.Close()
}

type countedStream struct {
	countedBody
	io.Writer
}

func counted(body io.ReadCloser, active *atomic.Int32) io.ReadCloser {
	c := countedBody{body, sync.OnceFunc(func() { active.Add(-1) })}
	if w, ok := body.(io.Writer); ok {
		return &countedStream{c, w}
	}
	return &c
}
