package main

import (
	"context"
	"strings"
	"time"

	"google.golang.org/api/calendar/v3"

	"github.com/patchbay-io/patchbay/sdk"
)

// maxEvents is how many events Google gives at a time.
const maxEvents = 2500

// event is one of a calendar as blocks put it out.
type event struct {
	ID           string   `json:"id"`
	Title        string   `json:"title"`
	StartTime    string   `json:"start_time"`
	EndTime      string   `json:"end_time"`
	AllDay       bool     `json:"is_all_day"`
	Location     *string  `json:"location"`
	Description  *string  `json:"description"`
	Organizer    *string  `json:"organizer"`
	Attendees    []string `json:"attendees"`
	HasVideoCall bool     `json:"has_video_call"`
	VideoLink    *string  `json:"video_link"`
	CalendarLink string   `json:"calendar_link"`
	Recurring    bool     `json:"is_recurring"`
}

const eventSchema = `{"type":"object","properties":{"id":{"type":"string"},"title":{"type":"string"},"start_time":{"type":"string"},` +
	`"end_time":{"type":"string"},"is_all_day":{"type":"boolean"},"location":{"type":["string","null"]},"description":{"type":["string","null"]},` +
	`"organizer":{"type":["string","null"]},"attendees":{"type":"array","items":{"type":"string"}},"has_video_call":{"type":"boolean"},` +
	`"video_link":{"type":["string","null"]},"calendar_link":{"type":"string"},"is_recurring":{"type":"boolean"}}}`

type calendarReadInput struct {
	Credentials     sdk.OAuth2 `json:"credentials" providers:"google" scopes:"https://www.googleapis.com/auth/calendar.readonly" doc:"The Google account"`
	CalendarID      string     `json:"calendar_id" default:"primary" doc:"Id of the calendar; primary is the account's own"`
	MaxEvents       int        `json:"max_events" default:"10" doc:"How many events at most"`
	StartTime       *string    `json:"start_time" format:"date-time" default:"null" doc:"When the range begins; without it now"`
	Days            int        `json:"time_range_days" default:"30" doc:"How many days the range has"`
	SearchTerm      *string    `json:"search_term" default:"null" doc:"Text that the events must have"`
	PageToken       *string    `json:"page_token" default:"null" doc:"Where to go on: the next_page_token of an earlier run"`
	IncludeDeclined bool       `json:"include_declined_events" default:"false" doc:"Give the events too that the account has declined"`
}

var calendarRead = sdk.Block[calendarReadInput]{
	ID:          "80bc3ed1-e9a4-449e-8163-a8fc86f74f6a",
	Name:        "Google Calendar Read Events",
	Description: "Gives the events of a calendar in a range of time, the earliest first",
	Categories:  []string{"PRODUCTIVITY", "DATA"},
	Outputs: sdk.Outputs{
		sdk.Out("events", sdk.List("All events", sdk.Schema(eventSchema))), sdk.Out("event", sdk.Schema(eventSchema)),
		sdk.Out("next_page_token", sdk.Schema(`{"anyOf":[{"type":"string"},{"type":"null"}],"description":"Where a later run can go on, if there are more events"}`)),
	},
	Run: func(ctx context.Context, in calendarReadInput, out sdk.Emitter) error {
		start := time.Now().UTC()
		if text := deref(in.StartTime); text != "" {
			var err error
			if start, err = moment(ctx, text); err != nil {
				return err
			}
		}
		s, err := newCalendar(ctx, in.Credentials)
		if err != nil {
			return err
		}
		call := s.Events.List(in.CalendarID).Context(ctx).SingleEvents(true).OrderBy("startTime").MaxResults(int64(min(max(in.MaxEvents, 1), maxEvents))).
			TimeMin(start.Format(time.RFC3339)).TimeMax(start.AddDate(0, 0, in.Days).Format(time.RFC3339))
		if term := deref(in.SearchTerm); term != "" {
			call.Q(term)
		}
		if token := deref(in.PageToken); token != "" {
			call.PageToken(token)
		}
		list, err := call.Do()
		if err != nil {
			return err
		}
		events := []event{}
		for _, e := range list.Items {
			if in.IncludeDeclined || !declined(e) {
				events = append(events, eventOf(e))
			}
		}
		if err := out.Emit("events", events); err != nil {
			return err
		}
		for _, e := range events {
			if err := out.Emit("event", e); err != nil {
				return err
			}
		}
		if list.NextPageToken == "" {
			return nil
		}
		return out.Emit("next_page_token", list.NextPageToken)
	},
	Examples: []sdk.Example{{
		Input: `{"start_time": "2026-01-02T00:00:00Z", "time_range_days": 1}`,
		Output: `[["events", [{"id": "e1", "title": "Lunch", "start_time": "2026-01-02T12:00:00Z", "end_time": "2026-01-02T13:00:00Z", "is_all_day": false, "location": "Café", "description": null, "organizer": "ada@example.com", "attendees": ["ada@example.com"], "has_video_call": false, "video_link": null, "calendar_link": "https://calendar.google.com/e1", "is_recurring": false}]],
			["event", {"id": "e1", "title": "Lunch", "start_time": "2026-01-02T12:00:00Z", "end_time": "2026-01-02T13:00:00Z", "is_all_day": false, "location": "Café", "description": null, "organizer": "ada@example.com", "attendees": ["ada@example.com"], "has_video_call": false, "video_link": null, "calendar_link": "https://calendar.google.com/e1", "is_recurring": false}],
			["next_page_token", "p2"]]`,
	}},
}

func eventOf(e *calendar.Event) event {
	made := event{
		ID: e.Id, Title: e.Summary, Location: optional(e.Location), Description: optional(e.Description), Attendees: []string{},
		VideoLink: optional(e.HangoutLink), CalendarLink: e.HtmlLink, Recurring: e.RecurringEventId != "" || len(e.Recurrence) > 0,
	}
	if made.Title == "" {
		made.Title = "Untitled Event"
	}
	made.StartTime, made.AllDay = timeOf(e.Start)
	made.EndTime, _ = timeOf(e.End)
	if e.Organizer != nil {
		made.Organizer = optional(e.Organizer.Email)
	}
	for _, a := range e.Attendees {
		made.Attendees = append(made.Attendees, a.Email)
	}
	if made.VideoLink == nil && e.ConferenceData != nil {
		for _, entry := range e.ConferenceData.EntryPoints {
			if entry.EntryPointType == "video" {
				made.VideoLink = optional(entry.Uri)
			}
		}
	}
	made.HasVideoCall = made.VideoLink != nil
	return made
}

func declined(e *calendar.Event) bool {
	for _, a := range e.Attendees {
		if a.Self && a.ResponseStatus == "declined" {
			return true
		}
	}
	return false
}

func timeOf(t *calendar.EventDateTime) (text string, allDay bool) {
	switch {
	case t == nil:
		return "", false
	case t.DateTime == "":
		return t.Date, true
	}
	return t.DateTime, false
}

// moment reads a time as people write it; one without a zone is in the user's.
func moment(ctx context.Context, text string) (time.Time, error) {
	text = strings.TrimSpace(text)
	if at, err := time.Parse(time.RFC3339, strings.Replace(text, " ", "T", 1)); err == nil {
		return at, nil
	}
	for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", time.DateOnly} {
		if at, err := time.ParseInLocation(layout, text, sdk.RunFrom(ctx).Location()); err == nil {
			return at, nil
		}
	}
	return time.Time{}, sdk.InvalidInput("%q is no time; write it as in 2026-01-02T15:04:05Z", text)
}

func deref(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

func optional(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
