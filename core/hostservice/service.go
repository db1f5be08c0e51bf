// Package hostservice answers what blocks ask of their host while they run: keys that outlive an execution, values that
// a node execution remembers over its attempts, files, and requests under the egress guard.
//
// Whose data a call touches follows from the run that makes it, never from what the call says. The package must never
// commit a write of keys itself: they commit with the end of the attempt that made them, in the scheduler's statement.
package hostservice

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"github.com/google/uuid"
	"github.com/hashicorp/go-hclog"
	"github.com/uptrace/bun"

	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/core/egress"
	"github.com/patchbay-io/patchbay/core/file"
	"github.com/patchbay-io/patchbay/core/postgres"
	"github.com/patchbay-io/patchbay/sdk/proto"
)

// Config is what a Service needs.
type Config struct {
	DB     *bun.DB
	Files  *file.Store
	HTTP   http.RoundTripper // core/egress's Transport
	Uses   Uses
	Logger hclog.Logger
}

// Uses lets one run at a time use something, over all servers.
type Uses interface {
	Hold(ctx context.Context, ids ...uuid.UUID) (release func(), err error)
}

// Service opens the services of attempts.
type Service struct {
	Config
	log   hclog.Logger
	turns turns

	mu       sync.Mutex
	reserved map[string]usage // by user: what open attempts have set and not handed over
}

// New makes a service.
func New(c Config) *Service {
	return &Service{Config: c, log: c.Logger.Named("hostservice"), reserved: map[string]usage{}}
}

// Attempt answers the calls of one attempt of a node execution: it is a plugin.Services.
type Attempt struct {
	s   *Service
	ctx context.Context
	run *proto.RunContext
	// streaming says that the block's writes commit with its outputs, and not all with its end.
	streaming bool
	// requestsOnly says that there is no node execution, and so nothing that could keep anything.
	requestsOnly bool
	// alone says that the block runs without an execution: it has no keys, and remembers until its end.
	alone bool

	holding sync.Mutex
	held    uuid.UUID
	give    func() // what it holds to others; nil: nothing

	mu      sync.Mutex
	closed  bool
	keys    overlay
	recalls map[uint32]json.RawMessage // what it remembers, alone
	handles map[uint64]*handle
	cleanup sync.WaitGroup // handles that are being released
}

// Open begins the services of an attempt. End must follow; ctx ends no earlier than the attempt.
func (s *Service) Open(ctx context.Context, run *proto.RunContext, streaming bool) *Attempt {
	return &Attempt{s: s, ctx: ctx, run: run, streaming: streaming}
}

// OpenRequests begins the services of something that is no attempt: it may make requests and nothing else. End must
// follow.
func (s *Service) OpenRequests(ctx context.Context) *Attempt {
	return &Attempt{s: s, ctx: ctx, run: &proto.RunContext{}, requestsOnly: true}
}

// OpenAlone begins the services of a block that runs without an execution. Nothing of it may stay but files. End must
// follow.
func (s *Service) OpenAlone(ctx context.Context, run *proto.RunContext) *Attempt {
	return &Attempt{s: s, ctx: ctx, run: run, alone: true}
}

// End gives up what is open and hands over the writes that no output has taken, in order. No call may go on.
func (a *Attempt) End() []Write {
	a.mu.Lock()
	a.closed = true
	for _, h := range a.handles {
		a.release(h)
	}
	a.handles = nil
	writes := append(a.keys.ready, a.due(func(uint64) bool { return true })...)
	a.keys = overlay{}
	a.mu.Unlock()
	a.cleanup.Wait()
	return writes
}

// Call answers a call.
func (a *Attempt) Call(ctx context.Context, from *block.Block, c *proto.Call) *proto.Reply {
	reply, err := a.answer(ctx, from, c)
	if err != nil {
		return &proto.Reply{Error: a.explain(err)}
	}
	return reply
}

func (a *Attempt) answer(ctx context.Context, from *block.Block, c *proto.Call) (*proto.Reply, error) {
	switch c.GetService().(type) {
	case *proto.Call_HttpRequest, *proto.Call_AwaitResponse, *proto.Call_Read, *proto.Call_Write:
	default:
		if a.requestsOnly {
			return nil, refuse("only requests can be made here")
		}
	}
	switch c.GetService().(type) {
	case *proto.Call_GetKey, *proto.Call_SetKey, *proto.Call_DeleteKey:
		if a.alone {
			return nil, refuse("a block that runs alone has no keys; run it in an agent")
		}
	}
	switch s := c.GetService().(type) {
	case *proto.Call_GetKey:
		return a.getKey(ctx, from, s.GetKey)
	case *proto.Call_SetKey:
		return postgres.Lasting(ctx, func() (*proto.Reply, error) {
			return &proto.Reply{}, a.setKey(ctx, from, c.GetNumber(), s.SetKey)
		})
	case *proto.Call_DeleteKey:
		return &proto.Reply{}, a.deleteKey(from, c.GetNumber(), s.DeleteKey)
	case *proto.Call_Remember:
		return postgres.Lasting(ctx, func() (*proto.Reply, error) { return a.remember(ctx, s.Remember) })
	case *proto.Call_CreateFile:
		return a.createFile(c.GetNumber(), s.CreateFile)
	case *proto.Call_OpenFile:
		return a.openFile(c.GetNumber(), s.OpenFile)
	case *proto.Call_HttpRequest:
		return a.request(ctx, c.GetNumber(), s.HttpRequest)
	case *proto.Call_AwaitResponse:
		return a.awaitResponse(ctx, s.AwaitResponse.GetHandle())
	case *proto.Call_Read:
		return a.read(s.Read)
	case *proto.Call_Write:
		return &proto.Reply{}, a.write(s.Write)
	default:
		return nil, refuse("this server does not know the service")
	}
}

// refusal is an error of the block's own making.
type refusal struct{ message string }

func (e *refusal) Error() string { return e.message }

func refuse(format string, args ...any) error { return &refusal{fmt.Sprintf(format, args...)} }

// explain tells the block why a call failed. What went wrong within the server is nobody's business outside of it.
func (a *Attempt) explain(err error) *proto.Error {
	_, refused := errors.AsType[*refusal](err)
	_, outside := errors.AsType[*outsideError](err)
	_, guarded := errors.AsType[*egress.Refused](err)
	_, invalid := errors.AsType[*egress.Invalid](err)
	switch {
	case refused, guarded, invalid, errors.Is(err, egress.ErrTooLarge),
		errors.Is(err, file.ErrNotFound), errors.Is(err, file.ErrTooLarge), errors.Is(err, file.ErrFull), errors.Is(err, file.ErrGone):
		return &proto.Error{Kind: proto.ErrorKind_ERROR_KIND_INVALID_INPUT, Message: err.Error()}
	case errors.Is(err, context.Canceled):
		return &proto.Error{Kind: proto.ErrorKind_ERROR_KIND_CANCELLED, Message: "cancelled"}
	case outside:
		return &proto.Error{Kind: proto.ErrorKind_ERROR_KIND_TEMPORARY, Message: err.Error()}
	}
	a.s.log.Error("a service for a block failed", "node_execution_id", a.run.GetNodeExecutionId(), "error", err)
	return &proto.Error{Kind: proto.ErrorKind_ERROR_KIND_TEMPORARY, Message: "the server failed to do it; trying again may help"}
}

// outsideError is a failure of something else than this server, which the block's user may know.
type outsideError struct{ error }

func (e *outsideError) Unwrap() error { return e.error }
