package main

import (
	"context"
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

// A server dies half an hour into the second of three hours, and another one comes an hour later.
func TestTimerGoesOnAfterARestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		host := sdk.WithHost(t.Context(), &blocktest.Host{})
		first, cancel := context.WithTimeout(sdk.WithRun(host, sdk.Run{NodeExecutionID: "n", Attempt: 1}), 90*time.Minute)
		defer cancel()
		given, err := blocktest.RunContext(first, t, countdownTimer, `{"hours": 1, "repeat": 3}`)
		if !errors.Is(err, context.DeadlineExceeded) || len(given) != 1 {
			t.Fatalf("%v, %v: want one message before the end", given, err)
		}
		time.Sleep(time.Hour) // of a synctest clock
		again := sdk.WithRun(host, sdk.Run{NodeExecutionID: "n", Attempt: 2, Recorded: given})
		values, err := blocktest.RunContext(again, t, countdownTimer, `{"hours": 1, "repeat": 3}`)
		if want := 3*time.Hour + 30*time.Minute; err != nil || len(values) != 3 || time.Since(began) != want {
			t.Errorf("%v, %v after %s: want three messages after %s", values, err, time.Since(began), want)
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
