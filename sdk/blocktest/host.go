package blocktest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/patchbay-io/patchbay/sdk"
	"github.com/patchbay-io/patchbay/sdk/proto"
)

// Host is a host in memory for blocks under test: it keeps keys, remembered values and files, and makes requests by
// Transport. Its zero value is ready. What a run sets takes effect at once here, not with the run's end.
//
// A run belongs to the user, graph, node and node execution of sdk.WithRun. Runs of one node execution are attempts.
type Host struct {
	// Transport makes the requests of blocks; without it they are refused.
	Transport http.RoundTripper

	mu         sync.Mutex
	keys       map[string]json.RawMessage
	remembered map[string]json.RawMessage
	files      map[string]StoredFile
	handles    map[handleKey]*handle
	last       uint64
}

// StoredFile is a file that a block stored, or one for it to open.
type StoredFile struct {
	Name      string
	MediaType string
	Data      []byte
}

type handleKey struct{ run, call uint64 }

// handle is what a call opened.
type handle struct {
	from     io.Reader // what is read
	to       io.Writer // what is written
	complete func()    // ends the writing
	abort    func()    // breaks it off
	response chan *proto.Reply
	cancel   context.CancelFunc
}

// AddFile stores a file and gives the address by which blocks find it.
func (h *Host) AddFile(f StoredFile) (uri string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last++
	uri = fmt.Sprintf("workspace://00000000-0000-4000-8000-%012d", h.last)
	put(&h.files, uri, f)
	return uri
}

// File gives a file by the address that a block put out.
func (h *Host) File(uri string) (f StoredFile, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f, ok = h.files[uri]
	return f, ok
}

// Files is how many files there are.
func (h *Host) Files() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.files)
}

// Call answers a block.
func (h *Host) Call(ctx context.Context, c *proto.Call) (*proto.Reply, error) {
	h.mu.Lock()
	if c.Number == 0 { // of a block that runs in this process
		h.last++
		c.Number = h.last
	}
	h.mu.Unlock()
	reply, err := h.answer(ctx, sdk.RunFrom(ctx), c)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		kind := proto.ErrorKind_ERROR_KIND_INVALID_INPUT
		if outside, ok := errors.AsType[*outsideError](err); ok {
			kind, err = proto.ErrorKind_ERROR_KIND_TEMPORARY, outside.error
		}
		reply = &proto.Reply{Error: &proto.Error{Kind: kind, Message: err.Error()}}
	}
	reply.Run, reply.Number = c.Run, c.Number
	return reply, nil
}

func (h *Host) answer(ctx context.Context, run sdk.Run, c *proto.Call) (*proto.Reply, error) {
	opened := handleKey{c.Run, c.Number}
	switch s := c.Service.(type) {
	case *proto.Call_GetKey:
		value, found := get(h, h.keys, keyOf(run, s.GetKey.Scope, s.GetKey.Key))
		return &proto.Reply{Result: &proto.Reply_KeyValue{KeyValue: &proto.KeyValue{Found: found, Value: value}}}, nil
	case *proto.Call_SetKey:
		h.mu.Lock()
		defer h.mu.Unlock()
		put(&h.keys, keyOf(run, s.SetKey.Scope, s.SetKey.Key), json.RawMessage(bytes.Clone(s.SetKey.Value)))
	case *proto.Call_DeleteKey:
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.keys, keyOf(run, s.DeleteKey.Scope, s.DeleteKey.Key))
	case *proto.Call_Remember:
		h.mu.Lock()
		defer h.mu.Unlock()
		place := fmt.Sprint(run.NodeExecutionID, " ", s.Remember.Nth)
		if _, ok := h.remembered[place]; !ok {
			put(&h.remembered, place, json.RawMessage(bytes.Clone(s.Remember.Value)))
		}
		return &proto.Reply{Result: &proto.Reply_Remembered{Remembered: &proto.Remembered{Value: h.remembered[place]}}}, nil
	case *proto.Call_CreateFile:
		return h.create(run, opened, s.CreateFile), nil
	case *proto.Call_OpenFile:
		f, ok := h.File(s.OpenFile.Uri)
		if !ok {
			return nil, fmt.Errorf("there is no file %s", s.OpenFile.Uri)
		}
		h.open(opened, &handle{from: bytes.NewReader(f.Data)})
		return &proto.Reply{Result: &proto.Reply_FileOpened{FileOpened: &proto.FileOpened{
			Name: f.Name, MediaType: f.MediaType, Size: int64(len(f.Data)),
		}}}, nil
	case *proto.Call_HttpRequest:
		return h.request(ctx, opened, s.HttpRequest)
	case *proto.Call_AwaitResponse:
		return h.await(ctx, handleKey{c.Run, s.AwaitResponse.Handle})
	case *proto.Call_Read:
		return h.readUntil(ctx, handleKey{c.Run, s.Read.Handle}, s.Read.Max)
	case *proto.Call_Write:
		return &proto.Reply{}, h.write(handleKey{c.Run, s.Write.Handle}, s.Write)
	case *proto.Call_Close:
		h.close(handleKey{c.Run, s.Close.Handle})
	default:
		return nil, errors.New("an unknown call")
	}
	return &proto.Reply{}, nil
}

// put adds to a map that may not be there yet.
func put[V any](to *map[string]V, key string, value V) {
	if *to == nil {
		*to = map[string]V{}
	}
	(*to)[key] = value
}

func get[V any](h *Host, from map[string]V, key string) (value V, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	value, ok = from[key]
	return value, ok
}

func keyOf(run sdk.Run, scope proto.KeyScope, key string) string {
	switch scope {
	case proto.KeyScope_KEY_SCOPE_USER:
		run.GraphID, run.NodeID = "", ""
	case proto.KeyScope_KEY_SCOPE_AGENT:
		run.NodeID = ""
	}
	return strings.Join([]string{run.UserID, run.GraphID, run.NodeID, key}, "\x00")
}

func (h *Host) open(key handleKey, opened *handle) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.handles == nil {
		h.handles = map[handleKey]*handle{}
	}
	h.handles[key] = opened
}

func (h *Host) handle(key handleKey) (*handle, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if opened := h.handles[key]; opened != nil {
		return opened, nil
	}
	return nil, fmt.Errorf("nothing is open under number %d", key.call)
}

func (h *Host) close(key handleKey) {
	h.mu.Lock()
	opened := h.handles[key]
	delete(h.handles, key)
	h.mu.Unlock()
	if opened != nil && opened.cancel != nil {
		opened.cancel()
	}
	if opened != nil && opened.abort != nil {
		opened.abort()
	}
}

func (h *Host) create(run sdk.Run, key handleKey, c *proto.CreateFile) *proto.Reply {
	uri := fmt.Sprintf("workspace://%s/%d", run.NodeExecutionID, c.Nth)
	data := &bytes.Buffer{}
	h.open(key, &handle{to: data, complete: func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		put(&h.files, uri, StoredFile{Name: c.Name, MediaType: c.MediaType, Data: data.Bytes()})
	}})
	return &proto.Reply{Result: &proto.Reply_FileCreated{FileCreated: &proto.FileCreated{Uri: uri}}}
}

// outsideError is one of the service that a block asks.
type outsideError struct{ error }

// readUntil reads, and waits no longer than the run goes on: a service may be silent for ever. What it began ends when
// the handle is closed.
func (h *Host) readUntil(ctx context.Context, key handleKey, limit uint32) (*proto.Reply, error) {
	read := make(chan struct{})
	var got *proto.Reply
	var failed error
	go func() {
		defer close(read)
		got, failed = h.read(key, limit)
	}()
	select {
	case <-read:
		return got, failed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (h *Host) read(key handleKey, limit uint32) (*proto.Reply, error) {
	opened, err := h.handle(key)
	if err != nil || opened.from == nil {
		return nil, errors.Join(err, errors.New("nothing to read"))
	}
	data := make([]byte, min(limit, proto.CallPiece))
	n, err := opened.from.Read(data)
	end := errors.Is(err, io.EOF)
	if err != nil && !end {
		return nil, &outsideError{err}
	}
	if end {
		h.close(key)
	}
	return &proto.Reply{Result: &proto.Reply_Piece{Piece: &proto.Piece{Data: data[:n], End: end}}}, nil
}

func (h *Host) write(key handleKey, w *proto.Write) error {
	opened, err := h.handle(key)
	if err != nil {
		return err
	}
	if opened.to == nil {
		return errors.New("nothing to write to")
	}
	if _, err := opened.to.Write(w.Data); err != nil {
		return err
	}
	if w.Last {
		opened.complete()
		if opened.response == nil {
			h.close(key)
		}
	}
	return nil
}

func (h *Host) request(ctx context.Context, key handleKey, r *proto.HttpRequest) (*proto.Reply, error) {
	if h.Transport == nil {
		return nil, errors.New("the test makes no requests: give its host a Transport")
	}
	life, cancel := context.WithCancel(context.WithoutCancel(ctx)) // the response is read after the call
	opened := &handle{cancel: cancel, response: make(chan *proto.Reply, 1)}
	var sent io.Reader = bytes.NewReader(r.Body)
	if r.BodyFollows {
		reader, writer := io.Pipe()
		sent, opened.to = reader, writer
		opened.complete = func() { _ = writer.Close() }
		opened.abort = func() { _ = writer.CloseWithError(errors.New("the request was given up")) }
	}
	request, err := http.NewRequestWithContext(life, r.Method, r.Url, sent)
	if err != nil {
		cancel()
		return nil, err
	}
	if r.BodySize > 0 {
		request.ContentLength = r.BodySize
	}
	for _, header := range r.Headers {
		request.Header.Add(header.Name, string(header.Value))
	}
	request.Host = request.Header.Get("Host")
	h.open(key, opened)
	go h.roundTrip(request, opened)
	if r.BodyFollows {
		return &proto.Reply{}, nil
	}
	return h.await(ctx, key)
}

// roundTrip ends with the handle, or when there is no response.
func (h *Host) roundTrip(request *http.Request, opened *handle) {
	response, err := h.Transport.RoundTrip(request)
	if err != nil {
		opened.response <- &proto.Reply{Error: &proto.Error{Kind: proto.ErrorKind_ERROR_KIND_TEMPORARY, Message: err.Error()}}
		return
	}
	defer func() { _ = response.Body.Close() }()
	h.mu.Lock()
	opened.from = response.Body
	h.mu.Unlock()
	result := &proto.HttpResponse{Status: uint32(response.StatusCode), BodySize: response.ContentLength}
	for name, values := range response.Header {
		for _, value := range values {
			result.Headers = append(result.Headers, &proto.HttpHeader{Name: name, Value: []byte(value)})
		}
	}
	opened.response <- &proto.Reply{Result: &proto.Reply_HttpResponse{HttpResponse: result}}
	<-request.Context().Done()
}

func (h *Host) await(ctx context.Context, key handleKey) (*proto.Reply, error) {
	opened, err := h.handle(key)
	if err != nil {
		return nil, err
	}
	select {
	case reply := <-opened.response:
		return reply, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
