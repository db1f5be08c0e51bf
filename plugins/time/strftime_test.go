package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// The file holds what CPython 3.11 writes on Linux.
func TestStrftimeIsPythons(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("testdata/strftime/python.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct{ Zone, Moment, Format, Want string }
	if err := json.Unmarshal(content, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		location, err := time.LoadLocation(c.Zone)
		if err != nil {
			t.Fatal(err)
		}
		moment, err := time.ParseInLocation("2006-01-02T15:04:05", c.Moment, location)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := strftime(moment, c.Format); err != nil || got != c.Want {
			t.Errorf("%s %s %q: got %q, %v, want %q", c.Moment, c.Zone, c.Format, got, err, c.Want)
		}
	}
}

func TestStrftimeKnowsWhatLaterPythonsKnow(t *testing.T) {
	t.Parallel()
	moment := time.Date(2024, 5, 6, 7, 8, 9, 0, time.FixedZone("", -12600))
	if got, err := strftime(moment, "%:z %s %:"); err != nil || got != "-03:30 1714991889 %:" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestStrftimeIsBounded(t *testing.T) {
	t.Parallel()
	for name, layout := range map[string]string{
		"a wide field": "%999999999999999999999d", "a little too wide": "%1001A", "many fields": strings.Repeat("%1000d", 2_000),
	} {
		if _, err := strftime(time.Unix(0, 0), layout); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func FuzzStrftime(f *testing.F) {
	for _, seed := range []string{"%Y-%m-%d %H:%M:%S", "%-d%_5Y%^010A%Ey%:z%", "%é%:%c%n%%"} {
		f.Add(seed, int64(1714991889))
	}
	f.Fuzz(func(t *testing.T, layout string, seconds int64) {
		moment := time.Unix(seconds%(1<<36), 0).UTC()
		text, err := strftime(moment, layout)
		if err == nil && (len(text) > maxFormatted || utf8.ValidString(layout) && !utf8.ValidString(text)) {
			t.Fatalf("%q gave %q", layout, text)
		}
		if !strings.Contains(layout, "%") && err == nil && text != layout {
			t.Fatalf("%q without fields gave %q", layout, text)
		}
	})
}
