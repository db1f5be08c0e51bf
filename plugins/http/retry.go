package main

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/patchbay-io/patchbay/sdk"
	"github.com/patchbay-io/patchbay/sdk/proto"
)

// Bounds of the attempts for a request that may be repeated.
const (
	attempts    = 3
	firstPause  = 500 * time.Millisecond // doubled for the next one
	longestWait = 10 * time.Second       // a server that asks for more gets its answer passed on
)

// idempotent are the methods that may be repeated (RFC 9110, 9.2.2).
var idempotent = []string{http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPut, http.MethodDelete}

// busy are the answers that say that another attempt may fare better.
var busy = []int{http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout}

// do makes the request, again where it may be repeated and another attempt may fare better.
func (r *request) do(ctx context.Context) (*http.Response, error) {
	pause := firstPause
	for n := 1; ; n++ {
		response, err := r.attempt(ctx)
		wait := pause
		switch {
		case n == attempts || !slices.Contains(idempotent, r.method):
			return response, err
		case err != nil:
			var known *sdk.Error
			if !errors.As(err, &known) || known.Kind != proto.ErrorKind_ERROR_KIND_TEMPORARY {
				return nil, err
			}
		case !slices.Contains(busy, response.StatusCode):
			return response, nil
		default:
			if asked, ok := retryAfter(response.Header, time.Now()); ok {
				wait = asked
			}
			if wait > longestWait {
				return response, nil
			}
			_ = response.Body.Close()
		}
		if err := sleep(ctx, wait); err != nil {
			return nil, err
		}
		pause *= 2
	}
}

// retryAfter reads the header Retry-After: seconds, or a date.
func retryAfter(header http.Header, now time.Time) (time.Duration, bool) {
	text := header.Get("Retry-After")
	if seconds, err := strconv.Atoi(text); err == nil {
		return time.Duration(max(seconds, 0)) * time.Second, true
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(at.Sub(now), 0), true
	}
	return 0, false
}

func sleep(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
