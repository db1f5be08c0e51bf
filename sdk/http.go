package sdk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/patchbay-io/patchbay/sdk/proto"
)

// HTTPClient gives a client whose requests the server makes: a plugin's process need not, and often cannot, reach the
// network. The server refuses addresses that blocks must not reach, on every redirect too. The client follows ten of
// them, and takes what may be a credential to no other origin. Bodies are streamed both ways. The client is for the run
// of ctx and no other.
func HTTPClient(ctx context.Context) *http.Client {
	return &http.Client{Transport: transport{ctx}, CheckRedirect: checkRedirect}
}

type transport struct{ run context.Context }

// inlineBody is the size in bytes up to which a request's body goes with the request itself.
const inlineBody = 64 << 10

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	// Calls are made by the run, and end with the request.
	ctx, cancel := context.WithCancelCause(context.WithValue(r.Context(), scopeKey{}, scopeOf(t.run)))
	stop := context.AfterFunc(t.run, func() { cancel(context.Cause(t.run)) })
	end := sync.OnceFunc(func() {
		stop()
		cancel(nil)
		if r.Body != nil {
			_ = r.Body.Close()
		}
	})
	response, err := t.roundTrip(ctx, r, end)
	if err != nil {
		end()
		return nil, err
	}
	return response, nil
}

func (t transport) roundTrip(ctx context.Context, r *http.Request, end func()) (*http.Response, error) {
	request := &proto.HttpRequest{Method: r.Method, Url: r.URL.String()}
	if request.Method == "" {
		request.Method = http.MethodGet
	}
	for name, values := range r.Header {
		for _, value := range values {
			request.Headers = append(request.Headers, &proto.HttpHeader{Name: validText(name), Value: []byte(value)})
		}
	}
	if r.Host != "" && r.Host != r.URL.Host {
		request.Headers = append(request.Headers, &proto.HttpHeader{Name: "Host", Value: []byte(r.Host)})
	}
	if r.Body != nil && r.Body != http.NoBody {
		body := make([]byte, inlineBody+1)
		n, err := io.ReadFull(r.Body, body)
		switch {
		case err == nil:
			request.BodyFollows, request.BodySize = true, max(r.ContentLength, 0)
		case !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
			return nil, fmt.Errorf("read the request's body: %w", err)
		}
		request.Body = body[:n]
	}
	c := &proto.Call{Service: &proto.Call_HttpRequest{HttpRequest: request}}
	var reply *proto.Reply
	var err error
	if request.BodyFollows {
		reply, err = t.stream(ctx, c, r.Body)
	} else {
		reply, err = call(ctx, c)
	}
	if err != nil {
		giveUp(t.run, c.Number)
		return nil, err
	}
	return t.response(ctx, r, reply.GetHttpResponse(), c.Number, end), nil
}

// stream sends a request whose body is long: c has its beginning. The writing goes on until the response's body is
// closed, since a server may answer before it has read all.
func (t transport) stream(ctx context.Context, c *proto.Call, rest io.Reader) (*proto.Reply, error) {
	request := c.GetHttpRequest()
	beginning := request.Body
	request.Body = nil
	if _, err := call(ctx, c); err != nil {
		return nil, err
	}
	body := &source{from: io.MultiReader(bytes.NewReader(beginning), rest), broken: make(chan error, 1)}
	go func() { _ = write(ctx, c.Number, body) }() // it ends with ctx and the body, which whoever ends ctx closes
	reply, err := call(ctx, &proto.Call{Service: &proto.Call_AwaitResponse{AwaitResponse: &proto.AwaitResponse{Handle: c.Number}}})
	if err != nil {
		select {
		case cause := <-body.broken: // it is why there is no response
			return nil, fmt.Errorf("read the request's body: %w", cause)
		default:
		}
	}
	return reply, err
}

// source tells why a body broke off, before the writing of it is given up for that.
type source struct {
	from   io.Reader
	broken chan error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.from.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		select {
		case s.broken <- err:
		default:
		}
	}
	return n, err
}

func (t transport) response(ctx context.Context, r *http.Request, from *proto.HttpResponse, handle uint64, end func()) *http.Response {
	response := &http.Response{
		StatusCode: int(from.GetStatus()),
		Status:     fmt.Sprintf("%d %s", from.GetStatus(), http.StatusText(int(from.GetStatus()))),
		Proto:      "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header:        http.Header{},
		Body:          &body{stream{ctx: ctx, run: t.run, handle: handle}, end},
		ContentLength: from.GetBodySize(),
		Request:       r,
	}
	for _, h := range from.GetHeaders() {
		response.Header.Add(h.GetName(), string(h.GetValue()))
	}
	return response
}

// body is that of a response; its end is the request's.
type body struct {
	stream
	end func()
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.stream.Read(p)
	if err != nil {
		b.end()
	}
	return n, err
}

func (b *body) Close() error {
	err := b.stream.Close()
	b.end()
	return err
}
