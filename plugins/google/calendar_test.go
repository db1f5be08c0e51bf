package main

import (
	"strings"
	"testing"

	"github.com/patchbay-io/patchbay/sdk"
	"github.com/patchbay-io/patchbay/sdk/blocktest"
)

const lunch = `{"id": "e1", "summary": "Lunch", "location": "Café", "htmlLink": "https://calendar.google.com/e1", "organizer": {"email": "ada@example.com"},
	"start": {"dateTime": "2026-01-02T12:00:00Z"}, "end": {"dateTime": "2026-01-02T13:00:00Z"}, "attendees": [{"email": "ada@example.com", "responseStatus": "accepted"}]}`

var calendarRoutes = map[string]string{
	"GET /calendars/{id}/events":  `{"items": [` + lunch + `, {"id": "e2", "attendees": [{"self": true, "responseStatus": "declined"}]}], "nextPageToken": "p2"}`,
	"POST /calendars/{id}/events": lunch,
}

func TestReadsCalendars(t *testing.T) {
	t.Parallel()
	g := newGoogle(t)
	ctx := sdk.WithRun(g.context(t.Context()), sdk.Run{Timezone: "Europe/Zurich"})
	values, err := blocktest.RunContext(ctx, t, named(t, "Google Calendar Read Events"),
		`{"calendar_id": "a@b", "start_time": "2026-01-02T00:00", "search_term": "x y", "page_token": "p1", "include_declined_events": true, "max_events": 3}`)
	if err != nil {
		t.Fatal(err)
	}
	got := g.last(t)
	want := "maxResults=3&orderBy=startTime&pageToken=p1&q=x+y&singleEvents=true&timeMax=2026-02-01T00%3A00%3A00%2B01%3A00&timeMin=2026-01-02T00%3A00%3A00%2B01%3A00"
	if got.call != "GET /calendars/a@b/events" || got.query != want {
		t.Errorf("asked %v", got)
	}
	events := value(t, values, "events").([]any)
	if len(events) != 2 || events[1].(map[string]any)["title"] != "Untitled Event" {
		t.Errorf("events %v", events)
	}
}

func TestCreatesEventsOnce(t *testing.T) {
	t.Parallel()
	g := newGoogle(t, map[string]string{
		"POST /calendars/{id}/events":                                 `409 {"error": {"code": 409, "message": "The requested identifier already exists."}}`,
		"GET /calendars/{id}/events/2c70e12b7a0646f92279f427c7b38e73": lunch,
	})
	ctx := sdk.WithRun(g.context(t.Context()), sdk.Run{IdempotencyKey: "key"})
	values, err := blocktest.RunContext(ctx, t, named(t, "Google Calendar Create Event"),
		`{"event_title": "Lunch", "timing": {"discriminator": "exact_timing", "start_datetime": "2026-01-02T12:00:00Z", "end_datetime": "2026-01-02T13:00:00Z"},
		"guest_emails": ["ada@example.com"], "add_google_meet": true, "recurrence": {"discriminator": "recurring", "frequency": "WEEKLY", "count": 4}, "reminder_minutes": [30, 60]}`)
	if err != nil || value(t, values, "event_id") != "e1" {
		t.Fatalf("the event of the first attempt was not found: %v, %v", values, err)
	}
	asked := g.seen[0]
	if asked.query != "conferenceDataVersion=1&sendUpdates=all" {
		t.Errorf("asked with %s", asked.query)
	}
	for _, part := range []string{
		`"id":"2c70e12b7a0646f92279f427c7b38e73"`, `"recurrence":["RRULE:FREQ=WEEKLY;COUNT=4"]`, `"attendees":[{"email":"ada@example.com"}]`,
		`"start":{"dateTime":"2026-01-02T12:00:00Z","timeZone":"UTC"}`, `"end":{"dateTime":"2026-01-02T13:00:00Z","timeZone":"UTC"}`,
		`"reminders":{"overrides":[{"method":"popup","minutes":30},{"method":"popup","minutes":60}],"useDefault":false}`, `"type":"hangoutsMeet"`,
	} {
		if !strings.Contains(asked.body, part) {
			t.Errorf("the event lacks %s: %s", part, asked.body)
		}
	}
}

func TestEventsThatCannotBe(t *testing.T) {
	t.Parallel()
	g := newGoogle(t)
	for _, test := range []struct{ pins, want string }{
		{`"timing": {"discriminator": "exact_timing", "start_datetime": "2026-01-02T12:00:00Z", "end_datetime": "2026-01-02T12:00:00Z"}`, "ends before it begins"},
		{`"timing": {"discriminator": "duration_timing", "start_datetime": "noon", "duration_minutes": 5}`, `"noon" is no time`},
		{`"timing": {"discriminator": "soon"}`, "no time"},
		{`"recurrence": {"discriminator": "recurring", "frequency": "HOURLY", "count": 2}`, "none of DAILY"},
	} {
		if _, err := g.run(t, "Google Calendar Create Event", `{"event_title": "x", `+test.pins+`}`); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v", test.pins, err)
		}
	}
}
