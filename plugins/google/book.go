package main

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"google.golang.org/api/sheets/v4"

	"github.com/patchbay-io/patchbay/sdk"
)

// driveFile is a file that the user has picked.
type driveFile struct {
	ID            string  `json:"id"`
	Name          *string `json:"name"`
	MimeType      *string `json:"mime_type"`
	URL           *string `json:"url"`
	IconURL       *string `json:"icon_url"`
	Folder        *bool   `json:"is_folder"`
	CredentialsID *string `json:"_credentials_id,omitempty"`
}

const driveFileProperties = `"properties":{"id":{"type":"string"},"name":{"anyOf":[{"type":"string"},{"type":"null"}]},"mime_type":{"anyOf":[{"type":"string"},{"type":"null"}]},` +
	`"url":{"anyOf":[{"type":"string"},{"type":"null"}]},"icon_url":{"anyOf":[{"type":"string"},{"type":"null"}]},"is_folder":{"anyOf":[{"type":"boolean"},{"type":"null"}]},` +
	`"_credentials_id":{"anyOf":[{"type":"string"},{"type":"null"}]}},"required":["id"]`

const spreadsheetMime = "application/vnd.google-apps.spreadsheet"

// pickerSchema is that of a pin for a spreadsheet.
func pickerSchema(title string) json.RawMessage {
	return json.RawMessage(`{"title":"` + title + `","description":"The spreadsheet, as it was picked","type":"object",` + driveFileProperties + `,"format":"google-drive-picker",` +
		`"google_drive_picker_config":{"multiselect":false,"allow_folder_selection":false,"allowed_views":["SPREADSHEETS"]},` +
		`"auto_credentials":{"provider":"google","types":["oauth2"],"scopes":["https://www.googleapis.com/auth/drive.file"],"kwarg_name":"credentials"}}`)
}

// picked is the pin for the spreadsheet, with the credentials that came with the file.
type picked struct {
	Spreadsheet driveFile  `json:"spreadsheet" required:"true"`
	Credentials sdk.OAuth2 `json:"credentials" inside:"spreadsheet" providers:"google" scopes:"https://www.googleapis.com/auth/drive.file"`
}

// PinSchema tells what no tag can.
func (picked) PinSchema(pin string) json.RawMessage {
	if pin != "spreadsheet" {
		return nil
	}
	return pickerSchema("Spreadsheet")
}

func (p picked) open(ctx context.Context) (*book, error) {
	return openBook(ctx, p.Spreadsheet, p.Credentials)
}

var spreadsheetOutput = sdk.Out("spreadsheet", sdk.Schema(`{"description":"The spreadsheet, for further blocks","type":"object",`+driveFileProperties+`}`))

// outputs are a block's, with the spreadsheet for what comes next.
func outputs(own ...sdk.Output) sdk.Outputs { return append(own, spreadsheetOutput) }

var resultOutput = sdk.Out("result", sdk.Map("What was done", sdk.Any("")))

// book is a spreadsheet.
type book struct {
	*sheets.Service
	id    string
	file  driveFile
	token sdk.OAuth2
}

var (
	bookAddress = regexp.MustCompile(`/d/([A-Za-z0-9_-]+)`)
	bookID      = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)
)

// spreadsheetID reads the id of a spreadsheet, or its address.
func spreadsheetID(text string) (string, error) {
	text = strings.TrimSpace(text)
	if found := bookAddress.FindStringSubmatch(text); found != nil {
		return found[1], nil
	}
	if !bookID.MatchString(text) {
		return "", sdk.InvalidInput("%q is no id of a spreadsheet", brief(text))
	}
	return text, nil
}

func openBook(ctx context.Context, f driveFile, token sdk.OAuth2) (*book, error) {
	if mime := deref(f.MimeType); mime != "" && mime != spreadsheetMime {
		return nil, sdk.InvalidInput("the file is no spreadsheet of Google, but %s", mime)
	}
	id, err := spreadsheetID(f.ID)
	if err != nil {
		return nil, err
	}
	s, err := newSheets(ctx, token)
	return &book{Service: s, id: id, file: f, token: token}, err
}

// onBook makes what a block does of what it does with its spreadsheet.
func onBook[In interface {
	open(ctx context.Context) (*book, error)
}](do func(ctx context.Context, b *book, in In) ([]pinned, error)) func(context.Context, In, sdk.Emitter) error {
	return func(ctx context.Context, in In, out sdk.Emitter) error {
		b, err := in.open(ctx)
		if err != nil {
			return err
		}
		results, err := do(ctx, b, in)
		if err != nil {
			return err
		}
		return emitAll(out, append(results, pinned{"spreadsheet", b.file})...)
	}
}

// done is the value of the pin "result" alone, where there is nothing else to say.
func done(more ...any) []pinned {
	result := map[string]any{"success": true}
	for i := 0; i+1 < len(more); i += 2 {
		result[more[i].(string)] = more[i+1]
	}
	return []pinned{{"result", result}}
}

// told is the value of the pin "result" that Google gives.
func told(v any) []pinned { return []pinned{{"result", v}} }

// properties are those of the sheets, in their order.
func (b *book) properties(ctx context.Context) ([]*sheets.SheetProperties, error) {
	found, err := b.Spreadsheets.Get(b.id).Fields("sheets.properties").Context(ctx).Do()
	if err != nil {
		return nil, err
	}
	var all []*sheets.SheetProperties
	for _, s := range found.Sheets {
		if s.Properties != nil {
			all = append(all, s.Properties)
		}
	}
	return all, nil
}

// sheet is the one of a name; the first without one.
func (b *book) sheet(ctx context.Context, name string) (*sheets.SheetProperties, error) {
	all, err := b.properties(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range all {
		if name == "" || p.Title == name {
			return p, nil
		}
	}
	return nil, sdk.InvalidInput("the spreadsheet has no sheet %q", name)
}

// values are those of a range, as they are shown.
func (b *book) values(ctx context.Context, area string) ([][]string, error) {
	found, err := b.Spreadsheets.Values.Get(b.id, area).Context(ctx).Do()
	if err != nil {
		return nil, err
	}
	rows := make([][]string, len(found.Values))
	for i, row := range found.Values {
		rows[i] = make([]string, len(row))
		for j, v := range row {
			rows[i][j] = fmt.Sprint(v)
		}
	}
	return rows, nil
}

// table is all that a sheet shows.
type table struct {
	title string
	id    int64
	rows  [][]string // the first is the header; rows end with their last value
}

func (b *book) table(ctx context.Context, name string) (*table, error) {
	p, err := b.sheet(ctx, name)
	if err != nil {
		return nil, err
	}
	rows, err := b.values(ctx, quote(p.Title))
	return &table{p.Title, p.SheetId, rows}, err
}

func (t *table) header() []string {
	if len(t.rows) == 0 {
		return nil
	}
	return t.rows[0]
}

// width is how many columns have something.
func (t *table) width() int {
	n := 0
	for _, row := range t.rows {
		n = max(n, len(row))
	}
	return n
}

// column finds one by its header, as it is or in another case, or by its letters.
func (t *table) column(name string) (int, error) {
	for i, h := range t.header() {
		if h == name {
			return i, nil
		}
	}
	for i, h := range t.header() {
		if strings.EqualFold(h, name) {
			return i, nil
		}
	}
	if i, ok := columnOf(name); ok {
		return i, nil
	}
	return 0, sdk.InvalidInput("the sheet %q has no column %q", t.title, name)
}

func at(row []string, i int) string {
	if i < len(row) {
		return row[i]
	}
	return ""
}

// dict is a row by the headers of its columns; those without one go by their letters.
func (t *table) dict(row []string) map[string]string {
	made := map[string]string{}
	for i := range max(len(t.header()), len(row)) {
		name := at(t.header(), i)
		if name == "" {
			name = letters(i)
		}
		made[name] = at(row, i)
	}
	return made
}

// batch makes changes together.
func (b *book) batch(ctx context.Context, requests ...*sheets.Request) (*sheets.BatchUpdateSpreadsheetResponse, error) {
	return b.Spreadsheets.BatchUpdate(b.id, &sheets.BatchUpdateSpreadsheetRequest{Requests: requests}).Context(ctx).Do()
}

// reply is the first answer to a batch, which Google gives for each request.
func reply(r *sheets.BatchUpdateSpreadsheetResponse) *sheets.Response {
	if len(r.Replies) == 0 || r.Replies[0] == nil {
		return &sheets.Response{}
	}
	return r.Replies[0]
}

// cells are rows of text for Google.
func cells(rows ...[]string) [][]any {
	made := make([][]any, len(rows))
	for i, row := range rows {
		made[i] = make([]any, len(row))
		for j, v := range row {
			made[i][j] = v
		}
	}
	return made
}

// put writes rows from a cell or into a range.
func (b *book) put(ctx context.Context, area, option string, rows ...[]string) (*sheets.UpdateValuesResponse, error) {
	return b.Spreadsheets.Values.Update(b.id, area, &sheets.ValueRange{Values: cells(rows...)}).ValueInputOption(option).Context(ctx).Do()
}
