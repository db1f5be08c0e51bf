package postgres

import (
	"context"
	"errors"
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

	other := errors.New("no outage")
	tries = 0
	if _, err := Lasting(t.Context(), func() (int, error) { tries++; return 0, other }); !errors.Is(err, other) || tries != 1 {
		t.Errorf("%v after %d tries", err, tries)
	}

	ctx, cancel := context.WithCancel(t.Context())
	if _, err := Lasting(ctx, func() (int, error) { cancel(); return 0, io.EOF }); !errors.Is(err, context.Canceled) {
		t.Errorf("at the run's end: %v", err)
	}
}
