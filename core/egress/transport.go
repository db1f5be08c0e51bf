// Package egress makes the HTTP requests that agents ask for, and is the proxy of plugins with a network permission. It
// reaches the public internet and the networks that the operator has allowed, and nothing else: whatever an agent or a
// plugin names, through whatever name, redirect or form of an address, is judged by the address that is dialled in the
// end. It must never use a proxy or a credential of the server's own, and it keeps nothing of what it fetches.
package egress

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"
)

// Bounds of every request.
const (
	maxURL         = 16 << 10
	maxHeader      = 128 << 10 // of a request's header, and of an answer's
	connectTime    = 10 * time.Second
	headerTime     = 5 * time.Minute  // from the end of the request to the answer's header; language models think long
	silentTime     = 5 * time.Minute  // without any byte of an answer's body
	wholeTime      = 10 * time.Minute // from the beginning of a request to the end of the answer's body
	pooledTime     = 30 * time.Second
	maxIdle        = 64
	maxIdlePerHost = 4
)

// Config is what a Transport needs.
type Config struct {
	// Allowed are networks that may be reached although they are not public.
	Allowed []netip.Prefix
	// MaxBody bounds an answer's body in bytes, as it is when it is unpacked.
	MaxBody int64
	// Resolver finds addresses; nil: the system's.
	Resolver *net.Resolver
}

// Transport makes requests, and follows no redirect. It is safe for concurrent use. An answer's body fails with
// ErrTooLarge beyond the limit, and when nothing comes for too long or it has no end. Errors are written for those who built the agent,
// and hold nothing of a URL but its host.
type Transport struct {
	http    *http.Transport
	maxBody int64
	silent  time.Duration
	whole   time.Duration
}

// New makes a Transport.
func New(c Config) *Transport {
	return &Transport{
		maxBody: c.MaxBody, silent: silentTime, whole: wholeTime,
		http: &http.Transport{
			Proxy:                  nil, // one from the environment would be judged in place of what it reaches
			DialContext:            newDialer(c).DialContext,
			ForceAttemptHTTP2:      true,
			TLSHandshakeTimeout:    connectTime,
			ResponseHeaderTimeout:  headerTime,
			ExpectContinueTimeout:  time.Second,
			IdleConnTimeout:        pooledTime,
			MaxIdleConns:           maxIdle,
			MaxIdleConnsPerHost:    maxIdlePerHost,
			MaxResponseHeaderBytes: maxHeader,
		},
	}
}

// newDialer makes what connects to nothing but what may be reached.
func newDialer(c Config) *net.Dialer {
	return &net.Dialer{Timeout: connectTime, Resolver: c.Resolver, Control: newGuard(c.Allowed).check}
}

// Close closes the connections that nobody uses.
func (t *Transport) Close() { t.http.CloseIdleConnections() }

// RoundTrip makes a request.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	header, err := check(r)
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, err
	}
	ctx, stop := context.WithCancelCause(r.Context())
	late := time.AfterFunc(t.whole, func() { stop(errLate) })
	cancel := func(cause error) {
		late.Stop()
		stop(cause)
	}
	sent := r.WithContext(ctx)
	sent.Header, sent.Host = header, ""
	response, err := t.http.RoundTrip(sent)
	if err != nil {
		err = explain(ctx, r.URL.Hostname(), err)
		cancel(nil)
		return nil, err
	}
	response.Request = r
	b := &body{ctx: ctx, cancel: cancel, from: response.Body, host: r.URL.Hostname(), limit: t.maxBody, left: t.maxBody, silent: t.silent}
	if response.ContentLength > t.maxBody && r.Method != http.MethodHead {
		_ = b.Close()
		return nil, b.tooLarge()
	}
	response.Body = b
	return response, nil
}

// ours are the headers that the connection decides and not the agent.
var ours = []string{
	"Host", "Content-Length", "Transfer-Encoding", "Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authorization", "Te", "Trailer", "Upgrade",
}

// check refuses requests that nobody could make, and gives the header that is sent.
func check(r *http.Request) (http.Header, error) {
	switch {
	case r.URL.Scheme != "http" && r.URL.Scheme != "https":
		return nil, invalid("only http and https URLs can be requested, not %q", r.URL.Scheme)
	case r.URL.Hostname() == "":
		return nil, invalid("the URL names no host")
	case len(r.URL.String()) > maxURL:
		return nil, invalid("the URL is longer than %d bytes", maxURL)
	case r.Method == http.MethodConnect:
		return nil, invalid("the method CONNECT is not for requests")
	}
	header, size := http.Header{}, 0
	for name, values := range r.Header {
		for _, v := range values {
			header.Add(name, v)
			size += len(name) + len(v) + len(": \r\n")
		}
	}
	if size > maxHeader {
		return nil, invalid("the headers are larger than %d bytes", maxHeader)
	}
	for _, name := range ours {
		header.Del(name)
	}
	if _, ok := header["User-Agent"]; !ok {
		header.Set("User-Agent", "Patchbay")
	}
	return header, nil
}

// Invalid is a request that nobody could make.
type Invalid struct{ message string }

func (e *Invalid) Error() string { return e.message }

func invalid(format string, args ...any) error { return &Invalid{fmt.Sprintf(format, args...)} }

// explain makes what net/http says readable. Its own texts hold the address of the server's resolver.
func explain(ctx context.Context, host string, err error) error {
	if refused, ok := errors.AsType[*Refused](err); ok {
		refused.Host = host
		return refused
	}
	if ctx.Err() != nil {
		return fmt.Errorf("request to %s: %w", host, context.Cause(ctx))
	}
	if unknown, ok := errors.AsType[*net.DNSError](err); ok {
		return fmt.Errorf("the host %s cannot be found: %s", host, unknown.Err)
	}
	if failed, ok := errors.AsType[net.Error](err); ok && failed.Timeout() {
		return fmt.Errorf("%s did not answer in time: %w", host, err)
	}
	return fmt.Errorf("request to %s: %w", host, err)
}
