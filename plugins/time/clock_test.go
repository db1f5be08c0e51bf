package main

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/patchbay-io/patchbay/sdk"
	"github.com/patchbay-io/patchbay/sdk/blocktest"
)

// In these tests it is midnight between 1999 and 2000 in UTC.
func TestBlocksTellTheTime(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		block     sdk.Definition
		input     string
		pin, want string
	}{
		{currentDateAndTime, `{"trigger": ""}`, "date_time", "2000-01-01 00:00:00"},
		{currentDateAndTime, `{"trigger": "", "format_type": {"discriminator": "strftime", "format": "%-d.%-m.%y %H:%M %Z", "timezone": "Asia/Kolkata"}}`, "date_time", "1.1.00 05:30 IST"},
		{currentDateAndTime, `{"trigger": "", "format_type": {"discriminator": "strftime", "timezone": "Asia/Kolkata", "use_user_timezone": true}}`, "date_time", "1999-12-31 19:00:00"},
		{currentDateAndTime, `{"trigger": "", "format_type": {"discriminator": "iso8601"}}`, "date_time", "2000-01-01T00:00:00+00:00"},
		{currentDateAndTime, `{"trigger": "", "format_type": {"discriminator": "iso8601", "include_microseconds": true, "timezone": "America/St_Johns"}}`, "date_time", "1999-12-31T20:30:00.000000-03:30"},
		{currentDateAndTime, `{"trigger": "", "format_type": {"format": null, "timezone": null}}`, "date_time", "2000-01-01 00:00:00"},
		{currentTime, `{"trigger": "now"}`, "time", "00:00:00"},
		{currentTime, `{"trigger": "", "format_type": {"discriminator": "iso8601", "timezone": "Etc/GMT-12"}}`, "time", "T12:00:00+12:00"},
		{currentTime, `{"trigger": "", "format_type": {"discriminator": "iso8601", "include_microseconds": true}}`, "time", "T00:00:00.000000+00:00"},
		{currentTime, `{"trigger": "", "format_type": {"discriminator": "strftime", "use_user_timezone": true}}`, "time", "19:00:00"},
		{currentDate, `{"trigger": "go"}`, "date", "2000-01-01"},
		{currentDate, `{"trigger": "go", "offset": 1}`, "date", "1999-12-31"},
		{currentDate, `{"trigger": "go", "offset": "-31"}`, "date", "2000-02-01"},
		{currentDate, `{"trigger": "go", "offset": ""}`, "date", "2000-01-01"},
		{currentDate, `{"trigger": "go", "offset": " 2.0 ", "format_type": {"discriminator": "strftime", "format": "%A"}}`, "date", "Thursday"},
		{currentDate, `{"trigger": "go", "offset": 0, "format_type": {"discriminator": "iso8601", "use_user_timezone": true}}`, "date", "1999-12-31"},
		{currentDate, `{"trigger": "go", "offset": 730119, "format_type": {"discriminator": "iso8601"}}`, "date", "0001-01-01"},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx := sdk.WithRun(t.Context(), sdk.Run{Timezone: "America/New_York"})
			values, err := blocktest.RunContext(ctx, t, c.block, c.input)
			if err != nil || len(values) != 1 || values[0].Pin != c.pin || string(values[0].Value) != `"`+c.want+`"` {
				t.Errorf("%s: %s, %v, want %s", c.input, values, err, c.want)
			}
		})
	}
}

func TestBlocksRefuseWhatIsNoTime(t *testing.T) {
	t.Parallel()
	for input, want := range map[string]string{
		`{"trigger": "", "format_type": {"discriminator": "rfc"}}`:                           `there is no format_type "rfc"`,
		`{"trigger": "", "format_type": {"discriminator": "iso8601", "timezone": "Mars/X"}}`: `there is no time zone "Mars/X"`,
		`{"trigger": "", "format_type": {"timezone": "Local"}}`:                              "there is no time zone",
		`{"trigger": "", "format_type": {"timezone": "../etc/passwd"}}`:                      "there is no time zone",
		`{"trigger": "", "format_type": {"format": 5}}`:                                      "does not fit",
		`{"trigger": "", "offset": "soon"}`:                                                  "is no whole number",
		`{"trigger": "", "offset": 1.5}`:                                                     "is no whole number",
		`{"trigger": "", "offset": 1e400}`:                                                   "years 1 to 9999",
		`{"trigger": "", "offset": -9e18}`:                                                   "years 1 to 9999",
		`{"trigger": "", "offset": 800000}`:                                                  "years 1 to 9999",
	} {
		values, err := blocktest.Run(t, currentDate, input)
		if err == nil || !strings.Contains(err.Error(), want) || len(values) != 0 {
			t.Errorf("%s: %s, %v", input, values, err)
		}
	}
}

// In Chile clocks went from midnight to one o'clock on 7 September 2025: half past midnight was not.
func TestDaysBeforeKeepToTheCalendar(t *testing.T) {
	t.Parallel()
	santiago, err := time.LoadLocation("America/Santiago")
	if err != nil {
		t.Fatal(err)
	}
	for days, want := range map[string]string{"0": "2025-09-10", "2": "2025-09-08", "3": "2025-09-07", "4": "2025-09-06", `"٣"`: "2025-09-07"} {
		got, err := daysBefore(time.Date(2025, 9, 10, 0, 30, 0, 0, santiago), json.RawMessage(days))
		if err != nil || got.Format(time.DateOnly) != want {
			t.Errorf("%s days before: %s, %v, want %s", days, got, err, want)
		}
	}
}

func TestFormatSchemaIsJSON(t *testing.T) {
	t.Parallel()
	for _, microseconds := range []bool{true, false} {
		if schema := formatSchema(`"%Y"`, microseconds); !json.Valid(schema) {
			t.Errorf("%s", schema)
		}
	}
}
