package main

import (
	"context"
	"encoding/json"
	"math"
	"time"

	"github.com/patchbay-io/patchbay/plugins/internal/value"
	"github.com/patchbay-io/patchbay/sdk"
)

// The blocks' formats where they say none.
const (
	dateLayout     = "%Y-%m-%d"
	timeLayout     = "%H:%M:%S"
	dateTimeLayout = dateLayout + " " + timeLayout
)

// These blocks read a clock: none of them is pure.

type currentDateAndTimeInput struct {
	Trigger    string          `json:"trigger" required:"true" doc:"What fires the block; its value does not count"`
	FormatType json.RawMessage `json:"format_type" default:"{\"discriminator\": \"strftime\"}"`
}

// PinSchema tells what no tag can.
func (currentDateAndTimeInput) PinSchema(pin string) json.RawMessage {
	return onFormatPin(pin, dateTimeLayout, true)
}

func onFormatPin(pin, layout string, microseconds bool) json.RawMessage {
	if pin != "format_type" {
		return nil
	}
	return formatSchema(layout, microseconds)
}

var currentDateAndTime = sdk.Block[currentDateAndTimeInput]{
	ID:          "716a67b3-6760-42e7-86dc-18645c6e00fc",
	Name:        "Get Current Date And Time",
	Description: "Tells date and time, in a format and time zone of choice",
	Categories:  []string{"TEXT"},
	Outputs:     sdk.Outputs{sdk.Out("date_time", sdk.String("Date and time"))},
	Run: func(ctx context.Context, in currentDateAndTimeInput, out sdk.Emitter) error {
		f, err := formatOf(in.FormatType, dateTimeLayout)
		if err != nil {
			return err
		}
		now, err := f.now(ctx)
		if err != nil {
			return err
		}
		return f.emit(out, "date_time", now, "2006-01-02T15:04:05")
	},
	Examples: []sdk.Example{{
		Input:  `{"trigger": "go", "format_type": {"discriminator": "strftime", "format": "It is now"}}`,
		Output: `{"date_time": ["It is now"]}`,
	}},
}

type currentTimeInput struct {
	Trigger    string          `json:"trigger" required:"true" doc:"What fires the block; its value does not count"`
	FormatType json.RawMessage `json:"format_type" default:"{\"discriminator\": \"strftime\"}"`
}

// PinSchema tells what no tag can.
func (currentTimeInput) PinSchema(pin string) json.RawMessage {
	return onFormatPin(pin, timeLayout, true)
}

var currentTime = sdk.Block[currentTimeInput]{
	ID:          "a892b8d9-3e4e-4e9c-9c1e-75f8efcf1bfa",
	Name:        "Get Current Time",
	Description: "Tells the time of day, in a format and time zone of choice",
	Categories:  []string{"TEXT"},
	Outputs:     sdk.Outputs{sdk.Out("time", sdk.String("Time of day"))},
	Run: func(ctx context.Context, in currentTimeInput, out sdk.Emitter) error {
		f, err := formatOf(in.FormatType, timeLayout)
		if err != nil {
			return err
		}
		now, err := f.now(ctx)
		if err != nil {
			return err
		}
		return f.emit(out, "time", now, "T15:04:05")
	},
	Examples: []sdk.Example{{
		Input:  `{"trigger": "go", "format_type": {"discriminator": "strftime", "format": "%%H"}}`,
		Output: `{"time": ["%H"]}`,
	}},
}

type currentDateInput struct {
	Trigger    string          `json:"trigger" required:"true" doc:"What fires the block; its value does not count"`
	Offset     json.RawMessage `json:"offset" type:"integer|string" default:"0" title:"Days Offset" doc:"How many days to go back"`
	FormatType json.RawMessage `json:"format_type" default:"{\"discriminator\": \"strftime\"}"`
}

// PinSchema tells what no tag can.
func (currentDateInput) PinSchema(pin string) json.RawMessage {
	return onFormatPin(pin, dateLayout, false)
}

var currentDate = sdk.Block[currentDateInput]{
	ID:          "b29c1b50-5d0e-4d9f-8f9d-1b0e6fcbf0b1",
	Name:        "Get Current Date",
	Description: "Tells the date, or that of some days before, in a format and time zone of choice",
	Categories:  []string{"TEXT"},
	Outputs:     sdk.Outputs{sdk.Out("date", sdk.String("Date"))},
	Run: func(ctx context.Context, in currentDateInput, out sdk.Emitter) error {
		f, err := formatOf(in.FormatType, dateLayout)
		if err != nil {
			return err
		}
		now, err := f.now(ctx)
		if err != nil {
			return err
		}
		date, err := daysBefore(now, in.Offset)
		if err != nil {
			return err
		}
		if f.Discriminator == isoForm {
			return out.Emit("date", date.Format(time.DateOnly))
		}
		return f.emit(out, "date", date, "")
	},
	Examples: []sdk.Example{{
		Input:  `{"trigger": "go", "offset": 1, "format_type": {"discriminator": "strftime", "format": "yesterday"}}`,
		Output: `{"date": ["yesterday"]}`,
	}},
}

// emit writes a moment. The layout is Go's for ISO 8601 without what is behind the seconds.
func (f format) emit(out sdk.Emitter, pin string, moment time.Time, layout string) error {
	if f.Discriminator == isoForm {
		if f.IncludeMicroseconds {
			layout += ".000000"
		}
		return out.Emit(pin, moment.Format(layout+"-07:00"))
	}
	text, err := strftime(moment, f.Format)
	if err != nil {
		return err
	}
	return out.Emit(pin, text)
}

// daysBefore goes back some days on the calendar. Text that is blank counts as none.
func daysBefore(moment time.Time, offset json.RawMessage) (time.Time, error) {
	if value.KindOf(offset) == value.String && value.Text(offset) == "" {
		return moment, nil
	}
	days, ok := number(offset)
	if !ok || days != math.Trunc(days) {
		return time.Time{}, sdk.InvalidInput("pin \"offset\" is no whole number: %.100s", offset)
	}
	if math.Abs(days) < 10_000*366 {
		calendar := time.Date(moment.Year(), moment.Month(), moment.Day()-int(days), 0, 0, 0, 0, time.UTC)
		moment = moment.AddDate(0, 0, -int(days))
		if moment.Day() != calendar.Day() {
			// Where clocks are put forward at midnight, an hour that does not exist counts as one of the day before.
			moment = moment.Add(time.Hour)
		}
	}
	if year := moment.Year(); math.Abs(days) >= 10_000*366 || year < 1 || year > 9999 {
		return time.Time{}, sdk.InvalidInput("the date would not be in the years 1 to 9999")
	}
	return moment, nil
}
