package sdk

import (
	"context"
	"encoding/json"
	"time"

	"github.com/hashicorp/go-hclog"
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
	// Recorded are the outputs that earlier attempts of a Streaming block left, in order. A second attempt either
	// repeats them exactly or goes on after them.
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
func RunFrom(ctx context.Context) Run {
	run, _ := ctx.Value(runKey{}).(Run)
	return run
}

// WithRun makes a context for calling a block by hand, as blocktest does.
func WithRun(ctx context.Context, run Run) context.Context {
	return context.WithValue(ctx, runKey{}, run)
}

// Location is the user's time zone, UTC where it is unknown.
func (r Run) Location() *time.Location {
	if location, err := time.LoadLocation(r.Timezone); err == nil {
		return location
	}
	return time.UTC
}

// Setting gives a setting of the plugin as the server's administrator set it, or its default.
func Setting(ctx context.Context, name string) string {
	settings, _ := ctx.Value(settingsKey{}).(map[string]string)
	return settings[name]
}

// WithSettings makes a context with settings for calling a block by hand, as blocktest does.
func WithSettings(ctx context.Context, settings map[string]string) context.Context {
	return context.WithValue(ctx, settingsKey{}, settings)
}

// Logger gives the logger of a run. What it writes appears in the server's log with plugin, block and execution.
func Logger(ctx context.Context) hclog.Logger {
	if logger, ok := ctx.Value(loggerKey{}).(hclog.Logger); ok {
		return logger
	}
	return hclog.NewNullLogger()
}

type (
	runKey      struct{}
	settingsKey struct{}
	loggerKey   struct{}
)
