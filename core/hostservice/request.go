package hostservice

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/patchbay-io/patchbay/sdk/proto"
)

// request is one that was made, or goes on.
type request struct {
	answered chan struct{} // closed when one of the others is set
	response *http.Response
	err      error
}

// errGivenUp is what the body of a request ends with that the block gives up.
var errGivenUp = errors.New("the request was given up")

// request makes a request, and waits for its response unless its body follows.
func (a *Attempt) request(ctx context.Context, number uint64, c *proto.HttpRequest) (*proto.Reply, error) {
	if len(c.GetBody()) > proto.CallPiece {
		return nil, refuse("a body of more than %d bytes follows in pieces", proto.CallPiece)
	}
	h := &handle{request: &request{answered: make(chan struct{})}}
	var body io.Reader = bytes.NewReader(c.GetBody())
	if c.GetBodyFollows() {
		reader, writer := io.Pipe()
		body, h.writer, h.finish = reader, bodyWriter{writer}, writer.Close
		h.interrupt = func() { _ = writer.CloseWithError(errGivenUp) }
	}
	if err := a.open(number, h); err != nil {
		return nil, err
	}
	err := h.begin(a.s.HTTP, c, body)
	h.ready()
	if err != nil {
		a.Close(number)
		return nil, err
	}
	if c.GetBodyFollows() {
		return &proto.Reply{}, nil
	}
	return a.awaitResponse(ctx, number)
}

// begin makes a request in a goroutine that free awaits.
func (h *handle) begin(by http.RoundTripper, c *proto.HttpRequest, body io.Reader) error {
	sent, err := http.NewRequestWithContext(h.ctx, c.GetMethod(), c.GetUrl(), body)
	if err != nil {
		return refuse("%s", err)
	}
	if c.GetBodyFollows() && c.GetBodySize() > 0 {
		sent.ContentLength = c.GetBodySize()
	}
	for _, header := range c.GetHeaders() {
		sent.Header.Add(header.GetName(), string(header.GetValue()))
	}
	done := make(chan struct{})
	h.free = func() { <-done }
	go func() {
		defer close(done)
		h.roundTrip(by, sent)
	}()
	return nil
}

// roundTrip lives as long as the handle does, and longer than any reading of the response.
func (h *handle) roundTrip(by http.RoundTripper, sent *http.Request) {
	response, err := by.RoundTrip(sent)
	h.request.response, h.request.err = response, err
	close(h.request.answered)
	<-h.ctx.Done()
	if err == nil {
		_ = response.Body.Close()
	}
}

// source is what a handle is read from, nil while there is nothing.
func (h *handle) source() io.Reader {
	if h.request == nil {
		return h.reader
	}
	select {
	case <-h.request.answered:
		if h.request.err == nil {
			return bodyReader{h.request.response.Body}
		}
	default:
	}
	return nil
}

// awaitResponse waits for the response to a request.
func (a *Attempt) awaitResponse(ctx context.Context, number uint64) (*proto.Reply, error) {
	h, err := a.find(number)
	if err != nil {
		return nil, err
	}
	if h.request == nil {
		return nil, refuse("number %d is no request", number)
	}
	select {
	case <-h.request.answered:
	case <-h.ctx.Done():
		return nil, context.Canceled
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if err := h.request.err; err != nil {
		a.Close(number)
		return nil, &outsideError{err}
	}
	r := h.request.response
	result := &proto.HttpResponse{Status: uint32(r.StatusCode), BodySize: r.ContentLength}
	for name, values := range r.Header {
		for _, value := range values {
			result.Headers = append(result.Headers, &proto.HttpHeader{Name: name, Value: []byte(value)})
		}
	}
	return &proto.Reply{Result: &proto.Reply_HttpResponse{HttpResponse: result}}, nil
}

// bodyReader and bodyWriter tell that what fails lies outside.
type bodyReader struct{ io.Reader }

func (r bodyReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = &outsideError{err}
	}
	return n, err
}

type bodyWriter struct{ io.Writer }

func (w bodyWriter) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	if err != nil {
		err = &outsideError{fmt.Errorf("the body was not taken: %w", err)}
	}
	return n, err
}
