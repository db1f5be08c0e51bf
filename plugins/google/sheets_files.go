package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"net/http"
	"strings"

	"google.golang.org/api/drive/v3"
	"google.golang.org/api/sheets/v4"

	"github.com/patchbay-io/patchbay/sdk"
)

type sheetsCreateInput struct {
	Credentials sdk.OAuth2 `json:"credentials" providers:"google" scopes:"https://www.googleapis.com/auth/drive.file" doc:"The Google account"`
	Title       string     `json:"title" required:"true" doc:"What the spreadsheet is called"`
	SheetNames  []string   `json:"sheet_names" default:"[\"Sheet1\"]" doc:"Names of its sheets"`
}

var sheetsCreate = sdk.Block[sheetsCreateInput]{
	ID:          "c8d4c0d3-c76e-4c2a-8c66-4119817ea3d1",
	Name:        "Google Sheets Create Spreadsheet",
	Description: "Makes a spreadsheet",
	Categories:  []string{"DATA"},
	Traits:      sdk.Once,
	Outputs: sdk.Outputs{
		resultOutput, spreadsheetOutput, sdk.Out("spreadsheet_id", sdk.String("Its id")), sdk.Out("spreadsheet_url", sdk.String("Its address")),
	},
	Run: func(ctx context.Context, in sheetsCreateInput, out sdk.Emitter) error {
		s, err := newSheets(ctx, in.Credentials)
		if err != nil {
			return err
		}
		wanted := &sheets.Spreadsheet{Properties: &sheets.SpreadsheetProperties{Title: in.Title}}
		for _, name := range in.SheetNames {
			wanted.Sheets = append(wanted.Sheets, &sheets.Sheet{Properties: &sheets.SheetProperties{Title: name}})
		}
		made, err := s.Spreadsheets.Create(wanted).Context(ctx).Do()
		if err != nil {
			return err
		}
		address := made.SpreadsheetUrl
		if address == "" {
			address = link(made.SpreadsheetId)
		}
		mime, id, folder := spreadsheetMime, in.Credentials.Reference().ID, false
		file := driveFile{ID: made.SpreadsheetId, Name: &in.Title, MimeType: &mime, URL: &address, Folder: &folder, CredentialsID: &id}
		return emitAll(out, done()[0], pinned{"spreadsheet", file}, pinned{"spreadsheet_id", made.SpreadsheetId}, pinned{"spreadsheet_url", address})
	},
	Examples: []sdk.Example{{
		Input: `{"title": "People"}`,
		Output: `{"result": [{"success": true}], "spreadsheet": [{"id": "s9", "name": "People", "mime_type": "application/vnd.google-apps.spreadsheet", "url": "https://docs.google.com/spreadsheets/d/s9/edit",
			"icon_url": null, "is_folder": false, "_credentials_id": "00000000-0000-4000-8000-0000000000c1"}],
			"spreadsheet_id": ["s9"], "spreadsheet_url": ["https://docs.google.com/spreadsheets/d/s9/edit"]}`,
	}},
}

func link(id string) string { return "https://docs.google.com/spreadsheets/d/" + id + "/edit" }

type sheetsCopyInput struct {
	Source        driveFile  `json:"source_spreadsheet" required:"true"`
	Credentials   sdk.OAuth2 `json:"credentials" inside:"source_spreadsheet" providers:"google" scopes:"https://www.googleapis.com/auth/drive.file"`
	SheetName     string     `json:"source_sheet_name" default:"" doc:"Name of the sheet; without it the first"`
	DestinationID string     `json:"destination_spreadsheet_id" required:"true" doc:"Id or address of the spreadsheet that gets the copy"`
}

// PinSchema tells what no tag can.
func (sheetsCopyInput) PinSchema(pin string) json.RawMessage {
	if pin != "source_spreadsheet" {
		return nil
	}
	return pickerSchema("Source Spreadsheet")
}

func (in sheetsCopyInput) open(ctx context.Context) (*book, error) {
	return openBook(ctx, in.Source, in.Credentials)
}

var sheetsCopy = sheetBlock("740eec3f-2b51-4e95-b87f-22ce2acafdfa", "Google Sheets Copy To Spreadsheet", "Copies a sheet into another spreadsheet", sdk.Once,
	sdk.Outputs{resultOutput, count("new_sheet_id", "Id of the copy"), sdk.Out("new_sheet_name", sdk.String("Its name"))},
	func(ctx context.Context, b *book, in sheetsCopyInput) ([]pinned, error) {
		to, err := spreadsheetID(in.DestinationID)
		if err != nil {
			return nil, err
		}
		p, err := b.sheet(ctx, in.SheetName)
		if err != nil {
			return nil, err
		}
		made, err := b.Spreadsheets.Sheets.CopyTo(b.id, p.SheetId, &sheets.CopySheetToAnotherSpreadsheetRequest{DestinationSpreadsheetId: to}).Context(ctx).Do()
		if err != nil {
			return nil, err
		}
		return append(done(), pinned{"new_sheet_id", made.SheetId}, pinned{"new_sheet_name", made.Title}), nil
	},
	pickedExample("source_spreadsheet", `"destination_spreadsheet_id": "s2"`, `"result": [{"success": true}], "new_sheet_id": [8], "new_sheet_name": ["Copy of Sheet1"]`))

type sheetsExportInput struct {
	onSheet
	IncludeHeaders bool `json:"include_headers" default:"true" doc:"Begin with the header"`
}

var sheetsExport = sheetBlock("2617e68a-43b3-441f-8b11-66bb041105b8", "Google Sheets Export Csv", "Gives a sheet as CSV", 0,
	sdk.Outputs{sdk.Out("csv_data", sdk.String("The CSV")), count("row_count", "How many rows it has")},
	func(ctx context.Context, b *book, in sheetsExportInput) ([]pinned, error) {
		t, err := b.table(ctx, in.SheetName)
		if err != nil {
			return nil, err
		}
		rows, width := t.rows, t.width()
		if !in.IncludeHeaders {
			rows = rows[min(1, len(rows)):]
		}
		var text strings.Builder
		w := csv.NewWriter(&text)
		for _, row := range rows {
			for len(row) < width { // Google leaves out what is empty at the end
				row = append(row, "")
			}
			if err := w.Write(row); err != nil {
				return nil, err
			}
		}
		w.Flush()
		return []pinned{{"csv_data", text.String()}, {"row_count", len(rows)}}, w.Error()
	},
	sheetExample(``, `"csv_data": ["Name,Age\nAda,36\nBob,41\n"], "row_count": [3]`))

type sheetsImportInput struct {
	picked
	CSV       string `json:"csv_data" required:"true" doc:"The CSV"`
	SheetName string `json:"sheet_name" default:"" doc:"Name of the sheet; without it the first"`
	StartCell string `json:"start_cell" default:"A1" doc:"Where the rows begin"`
	Clear     bool   `json:"clear_existing" default:"false" doc:"Clear the sheet before"`
}

var sheetsImport = sheetBlock("cb992884-1ff2-450a-8f1b-7650d63e3aa0", "Google Sheets Import Csv", "Writes CSV into a sheet, its values as they are", 0,
	sdk.Outputs{resultOutput, count("rows_imported", "How many rows it has")},
	func(ctx context.Context, b *book, in sheetsImportInput) ([]pinned, error) {
		r := csv.NewReader(strings.NewReader(in.CSV))
		r.FieldsPerRecord, r.LazyQuotes = -1, true
		rows, err := r.ReadAll()
		if err != nil {
			return nil, sdk.InvalidInput("csv_data: %w", err)
		}
		p, err := b.sheet(ctx, in.SheetName)
		if err != nil {
			return nil, err
		}
		if in.Clear {
			if _, err := b.Spreadsheets.Values.Clear(b.id, quote(p.Title), &sheets.ClearValuesRequest{}).Context(ctx).Do(); err != nil {
				return nil, err
			}
		}
		if len(rows) > 0 { // what somebody else has written is no formula
			if _, err := b.put(ctx, area(p.Title, in.StartCell), "RAW", rows...); err != nil {
				return nil, err
			}
		}
		return append(done(), pinned{"rows_imported", len(rows)}), nil
	},
	sheetExample(`"csv_data": "Name,Age\nAda,36\n"`, `"result": [{"success": true}], "rows_imported": [2]`))

type sheetsShareInput struct {
	picked
	Email   string `json:"email" default:"" doc:"Address of who gets access; without it everybody who has the link does"`
	Role    string `json:"role" default:"reader" enum:"reader,writer,commenter" doc:"What they may do"`
	Notify  bool   `json:"send_notification" default:"true" doc:"Tell them by email"`
	Message string `json:"message" default:"" doc:"Text for that email"`
}

var shareLinkOutput = sdk.Out("share_link", sdk.String("Address of the spreadsheet"))

var sheetsShare = sheetBlock("3e47e8ac-511a-4eb6-89c5-a6bcedc4236f", "Google Sheets Share Spreadsheet", "Lets somebody read or edit a spreadsheet", sdk.Once,
	sdk.Outputs{resultOutput, shareLinkOutput},
	func(ctx context.Context, b *book, in sheetsShareInput) ([]pinned, error) {
		d, err := newDrive(ctx, b.token)
		if err != nil {
			return nil, err
		}
		permission := &drive.Permission{Type: "anyone", Role: in.Role}
		if in.Email != "" {
			permission.Type, permission.EmailAddress = "user", in.Email
		}
		call := d.Permissions.Create(b.id, permission).SupportsAllDrives(true).Context(ctx)
		if in.Email != "" {
			call.SendNotificationEmail(in.Notify)
			if in.Notify && in.Message != "" {
				call.EmailMessage(in.Message)
			}
		}
		made, err := call.Do()
		if err != nil {
			return nil, err
		}
		return append(done("permissionId", made.Id, "role", in.Role), pinned{"share_link", link(b.id) + "?usp=sharing"}), nil
	},
	sheetExample(`"email": "ada@example.com"`, `"result": [{"success": true, "permissionId": "p1", "role": "reader"}], "share_link": ["https://docs.google.com/spreadsheets/d/s1/edit?usp=sharing"]`))

type sheetsPublicInput struct {
	picked
	Public bool   `json:"public" default:"true" doc:"Whether everybody who has the link may open it"`
	Role   string `json:"role" default:"reader" enum:"reader,commenter" doc:"What they may do"`
}

// anyone is the id of the permission of everybody who has the link.
const anyone = "anyoneWithLink"

var sheetsPublic = sheetBlock("d08d46cd-088b-4ba7-a545-45050f33b889", "Google Sheets Set Public Access", "Opens a spreadsheet to everybody who has its link, or closes it again", 0,
	sdk.Outputs{resultOutput, shareLinkOutput},
	func(ctx context.Context, b *book, in sheetsPublicInput) ([]pinned, error) {
		d, err := newDrive(ctx, b.token)
		if err != nil {
			return nil, err
		}
		if in.Public {
			_, err = d.Permissions.Create(b.id, &drive.Permission{Type: "anyone", Role: in.Role}).SupportsAllDrives(true).Context(ctx).Do()
		} else if err = d.Permissions.Delete(b.id, anyone).SupportsAllDrives(true).Context(ctx).Do(); refusedWith(err, http.StatusNotFound) {
			err = nil // it was closed already
		}
		return append(done("is_public", in.Public), pinned{"share_link", link(b.id) + "?usp=sharing"}), err
	},
	sheetExample(``, `"result": [{"success": true, "is_public": true}], "share_link": ["https://docs.google.com/spreadsheets/d/s1/edit?usp=sharing"]`))
