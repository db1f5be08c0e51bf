package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // machines without a database of time zones are many

	"github.com/patchbay-io/patchbay/sdk"
)

// zones are those to choose from.
var zones = []string{
	"UTC", "Pacific/Honolulu", "America/Anchorage", "America/Los_Angeles", "America/Denver", "America/Chicago",
	"America/New_York", "America/Caracas", "America/Sao_Paulo", "America/St_Johns", "Atlantic/South_Georgia",
	"Atlantic/Azores", "Europe/London", "Europe/Paris", "Europe/Athens", "Europe/Moscow", "Asia/Tehran", "Asia/Dubai",
	"Asia/Kabul", "Asia/Karachi", "Asia/Kolkata", "Asia/Kathmandu", "Asia/Dhaka", "Asia/Yangon", "Asia/Bangkok",
	"Asia/Shanghai", "Australia/Eucla", "Asia/Tokyo", "Australia/Adelaide", "Australia/Sydney", "Australia/Lord_Howe",
	"Pacific/Noumea", "Pacific/Auckland", "Pacific/Chatham", "Pacific/Tongatapu", "Pacific/Kiritimati", "Etc/GMT-12",
	"Etc/GMT+12",
}

// format is how a moment is written, and in which time zone: one of two forms, told apart by the discriminator.
type format struct {
	Discriminator       string `json:"discriminator"`
	Format              string `json:"format"`
	Timezone            string `json:"timezone"`
	UseUserTimezone     bool   `json:"use_user_timezone"`
	IncludeMicroseconds bool   `json:"include_microseconds"`
}

const (
	strftimeForm = "strftime"
	isoForm      = "iso8601"
)

// formatOf reads a pin's value. What it leaves out has the form's defaults; null counts as left out.
func formatOf(raw json.RawMessage, layout string) (format, error) {
	f := format{Discriminator: strftimeForm, Format: layout, Timezone: "UTC"}
	if err := json.Unmarshal(raw, &f); err != nil {
		return format{}, sdk.InvalidInput("pin \"format_type\" does not fit: %w", err)
	}
	if f.Discriminator != strftimeForm && f.Discriminator != isoForm {
		return format{}, sdk.InvalidInput("there is no format_type %.50q: it is %s or %s", f.Discriminator, strftimeForm, isoForm)
	}
	return f, nil
}

// now is the moment on the clocks of the format's time zone.
func (f format) now(ctx context.Context) (time.Time, error) {
	if f.UseUserTimezone {
		return time.Now().In(sdk.RunFrom(ctx).Location()), nil
	}
	location, err := time.LoadLocation(f.Timezone)
	if err != nil || f.Timezone == "Local" { // the machine's own zone is nobody's business
		return time.Time{}, sdk.InvalidInput("there is no time zone %.50q", f.Timezone)
	}
	return time.Now().In(location), nil
}

// formatSchema is the schema of a pin format_type: two forms.
func formatSchema(layout string, microseconds bool) json.RawMessage {
	zone := `"timezone":{"title":"Timezone","type":"string","enum":["` + strings.Join(zones, `","`) + `"],"default":"UTC"},` +
		`"use_user_timezone":{"title":"Use User Timezone","type":"boolean","default":false,"description":"Take the user's time zone in place of that one"}`
	form := `{"title":%q,"type":"object","properties":{"discriminator":{"const":%q},%s},"required":["discriminator"]}`
	strftime := fmt.Sprintf(form, "strftime", strftimeForm, fmt.Sprintf(`"format":{"title":"Format","type":"string","default":%q},`, layout)+zone)
	if microseconds {
		zone += `,"include_microseconds":{"title":"Include Microseconds","type":"boolean","default":false}`
	}
	return json.RawMessage(`{"description":"How it is written, and in which time zone","oneOf":[` + strftime + `,` +
		fmt.Sprintf(form, "ISO 8601", isoForm, zone) +
		`],"discriminator":{"propertyName":"discriminator"},"default":{"discriminator":"strftime"}}`)
}
