package main

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/patchbay-io/patchbay/sdk"
	"github.com/patchbay-io/patchbay/sdk/blocktest"
)

func TestTimerWaitsEachTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		values, err := blocktest.Run(t, countdownTimer, `{"days": 1, "hours": "2", "minutes": 3, "seconds": "4.5", "repeat": 2}`)
		if err != nil || len(values) != 2 {
			t.Fatalf("%v, %v", values, err)
		}
		if want := 2 * (26*time.Hour + 3*time.Minute + 4500*time.Millisecond); time.Since(began) != want {
			t.Errorf("waited %s, want %s", time.Since(began), want)
		}
	})
}

func TestTimerGoesOnAfterWhatWasRecorded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		message := sdk.Value{Pin: "output_message", Value: json.RawMessage(`"timer finished"`)}
		ctx := sdk.WithRun(t.Context(), sdk.Run{Attempt: 2, Recorded: []sdk.Value{message, message}})
		values, err := blocktest.RunContext(ctx, t, countdownTimer, `{"hours": 1, "repeat": 3}`)
		if err != nil || len(values) != 3 || time.Since(began) != time.Hour {
			t.Errorf("%v, %v after %s: want three messages after an hour", values, err, time.Since(began))
		}
	})
}

func TestTimerEndsWhenItsRunIsCancelled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		stopped := errors.New("stopped")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Minute, func() { cancel(stopped) })
		values, err := blocktest.RunContext(ctx, t, countdownTimer, `{"days": 1}`)
		if !errors.Is(err, stopped) || len(values) != 0 || time.Since(began) != time.Minute {
			t.Errorf("%v, %v after %s", values, err, time.Since(began))
		}
	})
}
