package main

import (
	"context"
	"encoding/json"
	"math"
	"strconv"
	"time"

	"github.com/patchbay-io/patchbay/plugins/internal/value"
	"github.com/patchbay-io/patchbay/sdk"
)

// maxWait bounds one waiting: about what a time.Duration holds.
const maxWait = 100 * 365 * 24 * time.Hour

type countdownTimerInput struct {
	Message json.RawMessage `json:"input_message" default:"timer finished" advanced:"false" doc:"What comes out at the end"`
	Seconds json.RawMessage `json:"seconds" type:"integer|string" default:"0" advanced:"false" doc:"Seconds to wait"`
	Minutes json.RawMessage `json:"minutes" type:"integer|string" default:"0" advanced:"false" doc:"Minutes to wait"`
	Hours   json.RawMessage `json:"hours" type:"integer|string" default:"0" advanced:"false" doc:"Hours to wait"`
	Days    json.RawMessage `json:"days" type:"integer|string" default:"0" advanced:"false" doc:"Days to wait"`
	Repeat  int             `json:"repeat" default:"1" doc:"How many times to wait and give the message"`
}

var countdownTimer = sdk.Block[countdownTimerInput]{
	ID:          "d67a9c52-5e4e-11e2-bcfd-0800200c9a71",
	Name:        "Countdown Timer",
	Description: "Waits, then passes a message on; once or several times",
	Categories:  []string{"TEXT"},
	Traits:      sdk.Streaming,
	Outputs:     sdk.Outputs{sdk.Out("output_message", sdk.Any("The message, each time the waiting is over"))},
	Run: func(ctx context.Context, in countdownTimerInput, out sdk.Emitter) error {
		duration, err := in.duration()
		if err != nil {
			return err
		}
		// Deadlines are asked for also where an attempt that was cut off has given the message already: they count.
		for range in.Repeat {
			if err := wait(ctx, duration); err != nil {
				return err
			}
			if err := out.Emit("output_message", in.Message); err != nil {
				return err
			}
		}
		return nil
	},
	Examples: []sdk.Example{
		{Input: `{"input_message": "done"}`, Output: `{"output_message": ["done"]}`},
		{Input: `{"repeat": 2}`, Output: `{"output_message": ["timer finished", "timer finished"]}`},
	},
}

// duration adds up the parts. A negative sum does not wait.
func (in countdownTimerInput) duration() (time.Duration, error) {
	var seconds float64
	for _, part := range []struct {
		pin  string
		raw  json.RawMessage
		unit time.Duration
	}{
		{"seconds", in.Seconds, time.Second},
		{"minutes", in.Minutes, time.Minute},
		{"hours", in.Hours, time.Hour},
		{"days", in.Days, 24 * time.Hour},
	} {
		n, ok := number(part.raw)
		if !ok {
			return 0, sdk.InvalidInput("pin %q is no number: %.100s", part.pin, part.raw)
		}
		seconds += n * part.unit.Seconds()
	}
	if math.IsNaN(seconds) || seconds > maxWait.Seconds() {
		return 0, sdk.InvalidInput("the timer would wait for more than 100 years")
	}
	return time.Duration(max(seconds, 0) * float64(time.Second)), nil
}

func number(raw json.RawMessage) (float64, bool) {
	if value.KindOf(raw) == value.String {
		parsed, ok := value.ParseNumber(value.Text(raw))
		if !ok {
			return 0, false
		}
		raw = parsed
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	return f, err == nil || math.IsInf(f, 0)
}

// wait ends at a deadline that stands recorded: an attempt after a restart waits for what is left.
func wait(ctx context.Context, duration time.Duration) error {
	if duration == 0 {
		return nil
	}
	end, err := sdk.Deadline(ctx, duration)
	if err != nil {
		return err
	}
	timer := time.NewTimer(time.Until(end))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
