package execution

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/google/uuid"

	"github.com/patchbay-io/patchbay/core/graph"
)

// Execute accepts an execution: when it returns, the execution is committed. It answers *graph.Invalid when the graph
// or the inputs do not do, and ErrConflict for a reused idempotency key.
func (s *Service) Execute(ctx context.Context, r Request) (string, error) {
	var g *graph.Graph
	known := false
	if r.Version == 0 && r.IdempotencyKey == "" {
		g, known = s.config.Graphs.Presumed(r.UserID, r.GraphID)
	}
	for try := 0; ; try++ {
		if !known {
			var err error
			if g, err = s.config.Graphs.ForRun(ctx, r.UserID, r.GraphID, r.Version); err != nil {
				return "", err
			}
		}
		r.presumes = presumesNothing
		switch {
		case g.UserID != r.UserID || try == maxPresumed:
		case r.Version == 0:
			r.presumes = presumesActive
		default:
			r.presumes = presumesThere
		}
		id, err := s.start(ctx, g.Masked(r.Masks), r, nil)
		// What is known may be an old version, so that what it is refused for counts only once it was read again.
		_, invalid := errors.AsType[*graph.Invalid](err)
		if !errors.Is(err, errPresumed) && !(known && invalid) {
			return id, err
		}
		known = false
	}
}

// presumes is what must hold of the user's graph when an execution of it is committed: it may have changed, on this server or
// another one, since it was read, or since it was last read by anybody. Asking the database for each execution would cost it
// as much as the rest of a small one.
type presumes int

const (
	presumesNothing presumes = iota
	presumesThere            // it has not been deleted
	presumesActive           // and its version is the active one
)

// maxPresumed is how often an execution is tried anew when its graph has changed meanwhile. After that it is accepted as it
// was read a moment ago.
const maxPresumed = 20

// Retry accepts an execution that repeats another one of the user's, which must be a root that has ended, or it is
// ErrConflict. Where it takes outputs over says retry.go. It answers ErrNoNode when it is to begin at a node that the
// graph does not have.
func (s *Service) Retry(ctx context.Context, r RetryRequest) (string, error) {
	x, err := s.Get(ctx, r.UserID, r.ID)
	if err != nil {
		return "", err
	}
	if !x.Status.Ended() {
		return "", fmt.Errorf("%w: the execution has not ended", ErrConflict)
	}
	if x.ParentID != "" { // alone it would show what the agents around it hide
		return "", fmt.Errorf("%w: the execution is part of %s; retry that one", ErrConflict, x.ParentID)
	}
	switch {
	case r.From != "":
	case x.Status == Completed:
		r.From = fromStart
	default:
		r.From = fromFailure
	}
	if r.Version == 0 {
		r.Version = x.GraphVersion
	}
	g, err := s.config.Graphs.ForRun(ctx, r.UserID, x.GraphID, r.Version)
	if err != nil {
		return "", err
	}
	given, err := s.givenTo(ctx, x.ID)
	if err != nil {
		return "", err
	}
	if given == nil {
		given = r.Credentials
	} else {
		maps.Copy(given, r.Credentials)
	}
	if _, ok := g.Node(r.From); !ok && r.From != fromStart && r.From != fromFailure {
		return "", ErrNoNode
	}
	of := uuid.MustParse(x.ID)
	before, err := s.header(ctx, of)
	if err != nil {
		return "", err
	}
	inputs, err := s.inputs(ctx, of)
	if err != nil {
		return "", err
	}
	return s.start(ctx, g.Masked(before.Graph.Masks), Request{
		UserID: r.UserID, GraphID: x.GraphID, Version: r.Version, Inputs: inputs, Credentials: given,
		Timeout: r.Timeout, IdempotencyKey: r.IdempotencyKey, Body: append([]byte("retry "+x.ID+"\n"), r.Body...),
	}, &retry{of, r.From})
}

func (s *Service) start(ctx context.Context, g *graph.Graph, r Request, repeats *retry) (string, error) {
	if len(r.Inputs) == 0 {
		r.Inputs = []byte("{}")
	}
	id, err := uuid.NewV7()
	if err != nil {
		return "", fmt.Errorf("make an execution id: %w", err)
	}
	gen, err := s.generation()
	if err != nil {
		return "", err
	}
	var claimed *keyClaim
	if r.IdempotencyKey != "" {
		var known string
		if claimed, known, err = gen.claimKey(ctx, r, id); err != nil || known != "" {
			return known, err
		}
	}
	root, err := s.newRoot(ctx, id, g, r, repeats)
	if err != nil {
		claimed.refused(ctx)
		return "", err
	}
	if err := gen.accept(ctx, root, claimed, r.Awaited); err != nil {
		return "", err
	}
	return id.String(), nil
}

// newRoot makes the execution that was asked for, unless it could not run.
func (s *Service) newRoot(ctx context.Context, id uuid.UUID, g *graph.Graph, r Request, repeats *retry) (*run, error) {
	credentials, problems, err := s.pick(ctx, r.UserID, g, r.Credentials)
	if err != nil {
		return nil, err
	}
	p, err := s.plan(ctx, g, r.Inputs, problems)
	if err != nil {
		return nil, err
	}
	root := newRun(id, r.UserID, p, r.Inputs, credentials)
	root.retry, root.priority, root.maxConcurrent, root.presumes = repeats, r.Priority, g.Settings.MaxConcurrent, r.presumes
	root.timeout = cmp.Or(r.Timeout, g.Settings.Timeout, s.config.Timeout)
	root.createdAt = time.Now().UTC().Truncate(time.Microsecond) // what Postgres keeps: the day it counts under must not differ
	return root, nil
}

// accept returns when the execution is committed, or will not be. When ctx ends first, neither is known.
func (g *generation) accept(ctx context.Context, root *run, claimed *keyClaim, awaited bool) error {
	accepted := make(chan error, 1)
	g.enqueue(&entry{id: root.id, who: userGraph{root.userID, root.plan.Graph.ID}, root: root, awaited: awaited && claimed == nil, accepted: func(err error) {
		claimed.settled(err)
		accepted <- err
	}})
	select {
	case err := <-accepted:
		switch {
		case err == nil:
			return nil
		case uncertain(err):
			return ErrUnavailable
		}
		claimed.refused(ctx)
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// uncertain says that an error leaves it open whether something was committed.
func uncertain(err error) bool { return errors.Is(err, errFenced) || errors.Is(err, context.Canceled) }
