package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
)

func TestAnOutageDelaysAndFailsNothing(t *testing.T) {
	t.Parallel()
	tries := 0
	answer, err := Lasting(t.Context(), func() (int, error) {
		if tries++; tries < 3 {
			return 0, io.ErrUnexpectedEOF // as of a connection whose server died
		}
		return 7, nil
	})
	if err != nil || answer != 7 || tries != 3 {
		t.Errorf("%d, %v after %d tries", answer, err, tries)
	}

	tries = 0
	answer, err = Lasting(t.Context(), func() (int, error) {
		if tries++; tries > 1 {
			return 7, nil
		}
		ctx, cancel := context.WithTimeout(t.Context(), 0) // as of a query during which this process was paused
		defer cancel()
		return 0, fmt.Errorf("read: %w", ctx.Err())
	})
	if err != nil || answer != 7 || tries != 2 {
		t.Errorf("after a bound of its own: %d, %v after %d tries", answer, err, tries)
	}

	other := errors.New("no outage")
	tries = 0
	if _, err := Lasting(t.Context(), func() (int, error) { tries++; return 0, other }); !errors.Is(err, other) || tries != 1 {
		t.Errorf("%v after %d tries", err, tries)
	}

	ctx, cancel := context.WithCancel(t.Context())
	if _, err := Lasting(ctx, func() (int, error) { cancel(); return 0, io.EOF }); !errors.Is(err, context.Canceled) {
		t.Errorf("at the run's end: %v", err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 0)
	defer cancel()
	if _, err := Lasting(ctx, func() (int, error) { return 0, ctx.Err() }); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("at the caller's bound: %v", err)
	}
}
