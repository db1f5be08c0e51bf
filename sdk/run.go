package sdk

import (
	"context"
	"encoding/json"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/patchbay-io/patchbay/sdk/proto"
)

// Run is what a block may know of the run that it does.
type Run struct {
	UserID          string
	GraphID         string
	GraphVersion    int
	ExecutionID     string
	RootExecutionID string
	NodeID          string
	NodeExecutionID string
	Attempt         int // from 1
	// IdempotencyKey is the same for every attempt of a node execution: for services that know such keys.
	IdempotencyKey string
	Deadline       time.Time // zero: none; the context has it too
	Timezone       string    // the user's, an IANA name
	// Recorded are the outputs that earlier attempts of a Streaming block left, in order. A second attempt emits them
	// again, exactly, before it goes on; another value fails the node.
	Recorded []Value
	// Input is the whole input as it came, byte for byte.
	Input json.RawMessage
}

// Value is a value at a pin.
type Value struct {
	Pin   string
	Value json.RawMessage
}

// RunFrom gives the run that a block's context belongs to.
func RunFrom(ctx context.Context) Run { return scopeOf(ctx).run }

// WithRun makes a context for calling a block by hand, as blocktest does.
func WithRun(ctx context.Context, run Run) context.Context {
	s := scopeOf(ctx)
	s.run = run
	return context.WithValue(ctx, scopeKey{}, s)
}

// Location is the user's time zone, UTC where it is unknown.
func (r Run) Location() *time.Location {
	if location, err := time.LoadLocation(r.Timezone); err == nil {
		return location
	}
	return time.UTC
}

// Setting gives a setting of the plugin as the server's administrator set it, or its default.
func Setting(ctx context.Context, name string) string { return scopeOf(ctx).settings[name] }

// WithSettings makes a context with settings for calling a block by hand, as blocktest does.
func WithSettings(ctx context.Context, settings map[string]string) context.Context {
	s := scopeOf(ctx)
	s.settings = settings
	return context.WithValue(ctx, scopeKey{}, s)
}

// Logger gives the logger of a run. What it writes appears in the server's log with plugin, block and execution.
func Logger(ctx context.Context) hclog.Logger {
	s := scopeOf(ctx)
	if s.logger == nil {
		return hclog.NewNullLogger()
	}
	return s.logger.With("block", s.block, "execution", s.run.ExecutionID, "node", s.run.NodeID, "attempt", s.run.Attempt)
}

// scope is all that a block's context carries, in one value. Most runs log nothing, so the logger is made when asked.
type scope struct {
	run      Run
	block    string
	settings map[string]string
	logger   hclog.Logger // of the plugin
	host     Host         // nil: none
	nth      *nth         // where there is a host
	stats    *stats       // nil: nobody reads them

	credentials []*proto.Credential
}

type scopeKey struct{}

func scopeOf(ctx context.Context) scope {
	if s, ok := ctx.Value(scopeKey{}).(scope); ok {
		return s
	}
	return scope{}
}
