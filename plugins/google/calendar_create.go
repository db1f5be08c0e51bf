package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"google.golang.org/api/calendar/v3"

	"github.com/patchbay-io/patchbay/sdk"
)

type calendarCreateInput struct {
	Credentials sdk.OAuth2 `json:"credentials" providers:"google" scopes:"https://www.googleapis.com/auth/calendar" doc:"The Google account"`
	Title       string     `json:"event_title" required:"true" doc:"What the event is called"`
	Location    *string    `json:"location" default:"null" doc:"Where it is"`
	Description *string    `json:"description" default:"null" doc:"What it is about"`
	Timing      timing     `json:"timing"`
	CalendarID  string     `json:"calendar_id" default:"primary" doc:"Id of the calendar; primary is the account's own"`
	Guests      []string   `json:"guest_emails" default:"[]" doc:"Addresses of the guests"`
	Notify      bool       `json:"send_notifications" default:"true" doc:"Tell the guests by email"`
	Meet        bool       `json:"add_google_meet" default:"false" doc:"Add a video call"`
	Recurrence  recurrence `json:"recurrence"`
	Reminders   []int64    `json:"reminder_minutes" schema:"{\"type\":\"array\",\"items\":{\"type\":\"integer\",\"enum\":[10,30,60,1440]}}" default:"[10]" doc:"How many minutes before it to remind of it"`
}

type timing struct {
	Discriminator string `json:"discriminator"` // exact_timing or duration_timing
	Start         string `json:"start_datetime"`
	End           string `json:"end_datetime"`
	Minutes       int    `json:"duration_minutes"`
}

type recurrence struct {
	Discriminator string `json:"discriminator"` // one_time or recurring
	Frequency     string `json:"frequency"`
	Count         int    `json:"count"`
}

// PinSchema tells what no tag can.
func (calendarCreateInput) PinSchema(pin string) json.RawMessage {
	switch pin {
	case "timing":
		return json.RawMessage(`{"oneOf":[{"type":"object","title":"Exact timing","properties":{"discriminator":{"type":"string","const":"exact_timing"},` +
			`"start_datetime":{"type":"string","format":"date-time"},"end_datetime":{"type":"string","format":"date-time"}},` +
			`"required":["discriminator","start_datetime","end_datetime"]},` +
			`{"type":"object","title":"Duration","properties":{"discriminator":{"type":"string","const":"duration_timing"},` +
			`"start_datetime":{"type":"string","format":"date-time"},"duration_minutes":{"type":"integer"}},` +
			`"required":["discriminator","start_datetime","duration_minutes"]},{"type":"null"}],"default":null,"advanced":false,` +
			`"description":"When it is; without it from the next full hour on, for an hour"}`)
	case "recurrence":
		return json.RawMessage(`{"oneOf":[{"type":"object","title":"Once","properties":{"discriminator":{"type":"string","const":"one_time"}},"required":["discriminator"]},` +
			`{"type":"object","title":"Recurring","properties":{"discriminator":{"type":"string","const":"recurring"},` +
			`"frequency":{"type":"string","enum":["DAILY","WEEKLY","MONTHLY","YEARLY"]},"count":{"type":"integer"}},"required":["discriminator","frequency","count"]}],` +
			`"default":{"discriminator":"one_time"},"description":"Whether it comes again"}`)
	}
	return nil
}

var calendarCreate = sdk.Block[calendarCreateInput]{
	ID:          "ed2ec950-fbff-4204-94c0-023fb1d625e0",
	Name:        "Google Calendar Create Event",
	Description: "Puts an event into a calendar. A second attempt finds the event of the first",
	Categories:  []string{"PRODUCTIVITY"},
	Outputs:     sdk.Outputs{sdk.Out("event_id", sdk.String("Id of the event")), sdk.Out("event_link", sdk.String("Address of the event"))},
	Run: func(ctx context.Context, in calendarCreateInput, out sdk.Emitter) error {
		e, err := in.event(ctx)
		if err != nil {
			return err
		}
		s, err := newCalendar(ctx, in.Credentials)
		if err != nil {
			return err
		}
		updates := "none"
		if in.Notify {
			updates = "all"
		}
		call := s.Events.Insert(in.CalendarID, e).SendUpdates(updates).Context(ctx)
		if in.Meet {
			call.ConferenceDataVersion(1)
		}
		made, err := call.Do()
		if refusedWith(err, http.StatusConflict) && e.Id != "" {
			made, err = s.Events.Get(in.CalendarID, e.Id).Context(ctx).Do()
		}
		if err != nil {
			return err
		}
		return emitAll(out, pinned{"event_id", made.Id}, pinned{"event_link", made.HtmlLink})
	},
	Examples: []sdk.Example{{
		Input:  `{"event_title": "Lunch", "timing": {"discriminator": "duration_timing", "start_datetime": "2026-01-02T12:00:00Z", "duration_minutes": 60}}`,
		Output: `{"event_id": ["e1"], "event_link": ["https://calendar.google.com/e1"]}`,
	}},
}

func (in calendarCreateInput) event(ctx context.Context) (*calendar.Event, error) {
	start, end, err := in.Timing.times(ctx)
	if err != nil {
		return nil, err
	}
	zone := sdk.RunFrom(ctx).Location().String() // events that come again need one
	e := &calendar.Event{
		Summary: in.Title, Location: deref(in.Location), Description: deref(in.Description),
		Start:     &calendar.EventDateTime{DateTime: start.Format(time.RFC3339), TimeZone: zone},
		End:       &calendar.EventDateTime{DateTime: end.Format(time.RFC3339), TimeZone: zone},
		Reminders: &calendar.EventReminders{ForceSendFields: []string{"UseDefault"}},
	}
	if key := sdk.RunFrom(ctx).IdempotencyKey; key != "" {
		sum := sha256.Sum256([]byte(key))
		e.Id = hex.EncodeToString(sum[:16]) // letters that Google allows in an id of ours
	}
	for _, guest := range in.Guests {
		if guest = strings.TrimSpace(guest); guest != "" {
			e.Attendees = append(e.Attendees, &calendar.EventAttendee{Email: guest})
		}
	}
	for _, minutes := range in.Reminders {
		e.Reminders.Overrides = append(e.Reminders.Overrides, &calendar.EventReminder{Method: "popup", Minutes: minutes})
	}
	if in.Meet {
		request := e.Id
		if request == "" {
			request = fmt.Sprintf("meet-%d", start.Unix())
		}
		e.ConferenceData = &calendar.ConferenceData{CreateRequest: &calendar.CreateConferenceRequest{
			RequestId: request, ConferenceSolutionKey: &calendar.ConferenceSolutionKey{Type: "hangoutsMeet"},
		}}
	}
	if in.Recurrence.Discriminator == "recurring" {
		switch in.Recurrence.Frequency {
		case "DAILY", "WEEKLY", "MONTHLY", "YEARLY":
		default:
			return nil, sdk.InvalidInput("recurrence: the frequency %q is none of DAILY, WEEKLY, MONTHLY, YEARLY", in.Recurrence.Frequency)
		}
		e.Recurrence = []string{fmt.Sprintf("RRULE:FREQ=%s;COUNT=%d", in.Recurrence.Frequency, max(in.Recurrence.Count, 1))}
	}
	return e, nil
}

func (t timing) times(ctx context.Context) (start, end time.Time, err error) {
	if t.Discriminator == "" {
		start = time.Now().In(sdk.RunFrom(ctx).Location()).Truncate(time.Hour).Add(time.Hour)
		return start, start.Add(time.Hour), nil
	}
	if start, err = moment(ctx, t.Start); err != nil {
		return start, end, fmt.Errorf("timing: %w", err)
	}
	switch t.Discriminator {
	case "exact_timing":
		if end, err = moment(ctx, t.End); err != nil {
			return start, end, fmt.Errorf("timing: %w", err)
		}
	case "duration_timing":
		end = start.Add(time.Duration(t.Minutes) * time.Minute)
	default:
		return start, end, sdk.InvalidInput("timing: %q is neither exact_timing nor duration_timing", t.Discriminator)
	}
	if !end.After(start) {
		return start, end, sdk.InvalidInput("timing: the event ends before it begins")
	}
	return start, end, nil
}

var calendarBlocks = sdk.Blocks(calendarCreate, calendarRead)
