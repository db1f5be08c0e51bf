package main

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func readRows(text string, d dialect) [][]string {
	rows := [][]string{}
	_ = readCSV(text, d, func(row []string) error {
		rows = append(rows, row)
		return nil
	})
	return rows
}

// The rows in testdata/csv are what Python's csv module makes of random text.
func TestCSVIsReadAsPythonReadsIt(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("testdata/csv/python.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Text, Delimiter, Quote, Escape string
		Rows                           [][]string
	}
	if err := json.Unmarshal(content, &cases); err != nil || len(cases) == 0 {
		t.Fatalf("%d cases, %v", len(cases), err)
	}
	for _, c := range cases {
		d := dialect{rune(c.Delimiter[0]), rune(c.Quote[0]), rune(c.Escape[0])}
		if got := readRows(c.Text, d); !reflect.DeepEqual(got, c.Rows) {
			t.Errorf("%q\n got %q\nwant %q", c.Text, got, c.Rows)
		}
	}
}

func TestCSV(t *testing.T) {
	t.Parallel()
	usual := dialect{',', '"', '\\'}
	for text, want := range map[string][][]string{
		"":                      {},
		"\n\r\n\r":              {{}, {}, {}},
		"a\n\n\r\nb\n":          {{"a"}, {}, {}, {"b"}},
		"a":                     {{"a"}},
		"a,b\rc,d\r\ne":         {{"a", "b"}, {"c", "d"}, {"e"}},
		",":                     {{"", ""}},
		`""`:                    {{""}},
		`"never closed,` + "\n": {{"never closed,\n"}},
		`a"b`:                   {{`a"b`}},
		"\xff,\x00":             {{"\xff", "\x00"}},
		"größe,😀":               {{"größe", "😀"}},
	} {
		if got := readRows(text, usual); !reflect.DeepEqual(got, want) {
			t.Errorf("%q\n got %q\nwant %q", text, got, want)
		}
	}
	if got := readRows("\"a\\,b\"\x00c", dialect{',', none, none}); !reflect.DeepEqual(got, [][]string{{`"a\`, "b\"\x00c"}}) {
		t.Errorf("without quotes and escapes: %q", got)
	}
}

func FuzzCSV(f *testing.F) {
	for _, seed := range []string{"a,b\n1,2", "\"a\"\"b\",\\\"", "\"\\", ",,\r\n\r", "'a''b';\\;"} {
		f.Add(seed, ",", "\"", "\\")
		f.Add(seed, ";", "'", "")
	}
	f.Fuzz(func(t *testing.T, text, delimiter, quote, escape string) {
		d := dialect{none, none, none}
		for given, character := range map[string]*rune{delimiter: &d.delimiter, quote: &d.quote, escape: &d.escape} {
			if given != "" {
				*character, _ = utf8.DecodeRuneInString(given)
			}
		}
		size := 0
		for _, row := range readRows(text, d) {
			size += len(strings.Join(row, ""))
		}
		if size > len(text)+1 {
			t.Fatalf("%d bytes became %d", len(text), size)
		}
	})
}
