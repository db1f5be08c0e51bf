package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/patchbay-io/patchbay/sdk"
	"github.com/patchbay-io/patchbay/sdk/blocktest"
)

// web answers all requests.
type web func(*http.Request) *http.Response

func (w web) RoundTrip(r *http.Request) (*http.Response, error) { return w(r), nil }

func TestFileIsStoredAndReadAgain(t *testing.T) {
	t.Parallel()
	large := bytes.Repeat([]byte("0123456789\xff"), 100_000)
	host := &blocktest.Host{Transport: web(func(r *http.Request) *http.Response {
		return &http.Response{
			StatusCode: http.StatusOK, Request: r, Body: io.NopCloser(bytes.NewReader(large)), ContentLength: int64(len(large)),
			Header: http.Header{"Content-Type": {"text/csv; charset=utf-8"}},
		}
	})}
	ctx := sdk.WithHost(t.Context(), host)
	values, err := blocktest.RunContext(ctx, t, storeFile, `{"file_in":"https://example.org/report/2024.csv?x=1"}`)
	if err != nil {
		t.Fatal(err)
	}
	var reference string
	if err := json.Unmarshal(values[0].Value, &reference); err != nil || !strings.HasPrefix(reference, "workspace://") {
		t.Fatalf("the reference is %s, %v", values[0].Value, err)
	}
	stored, ok := host.File(reference)
	if !ok || !bytes.Equal(stored.Data, large) || stored.Name != "2024.csv" || stored.MediaType != "text/csv" {
		t.Errorf("stored as %s, %s, %d bytes", stored.Name, stored.MediaType, len(stored.Data))
	}
	values, err = blocktest.RunContext(ctx, t, readFile, `{"file_input":"`+reference+`","skip_size":1000000,"size_limit":60000}`)
	if err != nil || len(values) != 2 || !strings.HasSuffix(string(values[1].Value), `9ÿ"`) {
		t.Errorf("%d pieces, %v", len(values), err)
	}
}

func TestFileThatIsTooLargeIsRefused(t *testing.T) {
	t.Parallel()
	host := &blocktest.Host{}
	reference := host.AddFile(blocktest.StoredFile{Name: "large", Data: make([]byte, maxFile+1)})
	ctx := sdk.WithHost(t.Context(), host)
	for _, c := range []struct {
		block sdk.Definition
		input string
	}{
		{readFile, `{"file_input":"` + reference + `"}`},
		{readSpreadsheet, `{"file_input":"` + reference + `"}`},
		{storeFile, `{"file_in":"` + reference + `","base_64":true}`},
	} {
		if values, err := blocktest.RunContext(ctx, t, c.block, c.input); err == nil || !strings.Contains(err.Error(), "larger than 32 MiB") {
			t.Errorf("%d values, %v", len(values), err)
		}
	}
}

func TestSpreadsheetReadsWorkbooks(t *testing.T) {
	t.Parallel()
	host := &blocktest.Host{}
	reference := host.AddFile(blocktest.StoredFile{Name: "a.bin", Data: workbook(t, map[string]any{"A1": "n", "B1": "when", "A2": 7}, nil)})
	ctx := sdk.WithHost(t.Context(), host)
	values, err := blocktest.RunContext(ctx, t, readSpreadsheet, `{"file_input":"`+reference+`"}`)
	if err != nil || string(values[0].Value) != `[{"n":"7","when":""}]` {
		t.Errorf("%v, %v", values, err)
	}
}

func FuzzFileRead(f *testing.F) {
	f.Add("data:text/plain;base64,SGVsbG8=", "l", 1, 1, 1, 1)
	f.Add("data:;charset=x,%E9%0d%0a", "", 0, 2, 0, 1)
	f.Fuzz(func(t *testing.T, file, delimiter string, skipSize, size, skipRows, rows int) {
		in := readFileInput{File: "data:" + file, Delimiter: delimiter, SkipSize: skipSize, SizeLimit: size, SkipRows: skipRows, RowLimit: rows}
		content, err := contentOf(t.Context(), in.File)
		if err != nil {
			return
		}
		text := decodeText(content)
		if got := in.part(text); len(got) > len(text) || !strings.Contains(text, strings.TrimSuffix(got, delimiter)) {
			t.Fatalf("%q became %q", text, got)
		}
	})
}
