package sdk

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/patchbay-io/patchbay/sdk/proto"
)

// Error is a run's error of which the kind is known; the functions below make it. An error of any other type is
// permanent: the same input would fail again.
type Error struct {
	Kind       proto.ErrorKind
	Message    string
	RetryAfter time.Duration // of a rate limit; 0: unknown
	cause      error
}

func (e *Error) Error() string { return e.Message }

// Unwrap gives the cause that was formatted with %w.
func (e *Error) Unwrap() error { return e.cause }

// InvalidInput says that the input cannot be used, whoever tries again.
func InvalidInput(format string, args ...any) error {
	return newError(proto.ErrorKind_ERROR_KIND_INVALID_INPUT, format, args)
}

// Authentication says that credentials are missing, wrong or expired.
func Authentication(format string, args ...any) error {
	return newError(proto.ErrorKind_ERROR_KIND_AUTHENTICATION, format, args)
}

// RateLimited says that a provider wants a pause.
func RateLimited(after time.Duration, format string, args ...any) error {
	e := newError(proto.ErrorKind_ERROR_KIND_RATE_LIMITED, format, args)
	e.RetryAfter = after
	return e
}

// Temporary says that trying again may help.
func Temporary(format string, args ...any) error {
	return newError(proto.ErrorKind_ERROR_KIND_TEMPORARY, format, args)
}

func newError(kind proto.ErrorKind, format string, args []any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Kind: kind, Message: err.Error(), cause: errors.Unwrap(err)}
}

// errCancelled is the cause of contexts that the host cancelled.
var errCancelled = errors.New("the run was cancelled")

// maxErrorMessage bounds in bytes what a block may say: a provider's whole answer helps nobody.
const maxErrorMessage = 16 << 10

// protoError tells the host of a run's error, nil of none.
func protoError(ctx context.Context, err error) *proto.Error {
	if err == nil {
		return nil
	}
	e := &proto.Error{Kind: proto.ErrorKind_ERROR_KIND_PERMANENT, Message: validText(err.Error())}
	var known *Error
	var panicked *panicError
	switch {
	case errors.As(err, &panicked):
		e.Kind = proto.ErrorKind_ERROR_KIND_PANIC
	case context.Cause(ctx) == errCancelled:
		// Whatever a block says while it is being cancelled, that is why it ended.
		e.Kind = proto.ErrorKind_ERROR_KIND_CANCELLED
	case errors.As(err, &known):
		e.Kind = known.Kind
		e.RetryAfterMs = known.RetryAfter.Milliseconds()
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil:
		e.Message = "the block did not end before its deadline"
	}
	return e
}

// validText makes a string fit for a protobuf field: one with broken UTF-8 would break the whole session.
func validText(s string) string {
	if len(s) > maxErrorMessage {
		s = s[:maxErrorMessage] + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
