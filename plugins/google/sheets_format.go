package main

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/api/sheets/v4"

	"github.com/patchbay-io/patchbay/sdk"
)

type sheetsFormatInput struct {
	picked
	Range      string             `json:"range" required:"true" placeholder:"Sheet1!A1:B2" doc:"The cells, in the A1 notation"`
	Background map[string]float64 `json:"background_color" schema:"{\"type\":\"object\",\"additionalProperties\":true}" default:"{}" doc:"Colour of the cells: red, green and blue from 0 to 1"`
	Text       map[string]float64 `json:"text_color" schema:"{\"type\":\"object\",\"additionalProperties\":true}" default:"{}" doc:"Colour of the text: red, green and blue from 0 to 1"`
	Bold       bool               `json:"bold" default:"false" doc:"Make the text bold"`
	Italic     bool               `json:"italic" default:"false" doc:"Make the text italic"`
	FontSize   int64              `json:"font_size" default:"10" doc:"Size of the text in points"`
}

var sheetsFormat = sheetBlock("270f2384-8089-4b5b-b2e3-fe2ea3d87c02", "Google Sheets Format", "Gives cells colours, a size of the text, and bold or italic", 0,
	sdk.Outputs{resultOutput},
	func(ctx context.Context, b *book, in sheetsFormatInput) ([]pinned, error) {
		r, err := b.grid(ctx, "", in.Range)
		if err != nil {
			return nil, err
		}
		text := &sheets.TextFormat{Bold: in.Bold, Italic: in.Italic, ForegroundColor: colour(in.Text)}
		format := &sheets.CellFormat{BackgroundColor: colour(in.Background), TextFormat: text}
		var fields []string
		for field, is := range map[string]bool{
			"backgroundColor": len(in.Background) > 0, "textFormat.foregroundColor": len(in.Text) > 0, "textFormat.bold": in.Bold,
			"textFormat.italic": in.Italic, "textFormat.fontSize": in.FontSize > 0,
		} {
			if is {
				fields = append(fields, "userEnteredFormat."+field)
			}
		}
		slices.Sort(fields)
		if in.FontSize > 0 {
			text.FontSize = in.FontSize
		}
		if len(fields) == 0 {
			return done(), nil
		}
		_, err = b.batch(ctx, &sheets.Request{RepeatCell: &sheets.RepeatCellRequest{
			Range: r, Cell: &sheets.CellData{UserEnteredFormat: format}, Fields: strings.Join(fields, ","),
		}})
		return done(), err
	},
	sheetExample(`"range": "Sheet1!A1:B1", "bold": true, "background_color": {"red": 1}`, `"result": [{"success": true}]`))

func colour(c map[string]float64) *sheets.Color {
	if len(c) == 0 {
		return nil
	}
	return &sheets.Color{Red: c["red"], Green: c["green"], Blue: c["blue"]}
}

type sheetsDropdownInput struct {
	onSheet
	Range   string   `json:"range" required:"true" placeholder:"B2:B100" doc:"The cells, in the A1 notation"`
	Options []string `json:"options" required:"true" doc:"What can be chosen"`
	Strict  bool     `json:"strict" default:"true" doc:"Refuse other values"`
	Show    bool     `json:"show_dropdown" default:"true" doc:"Show the list in the cells"`
}

var sheetsDropdown = sheetBlock("725431c9-71ba-4fce-b829-5a3e495a8a88", "Google Sheets Add Dropdown", "Lets the values of cells be chosen from a list", 0,
	sdk.Outputs{resultOutput},
	func(ctx context.Context, b *book, in sheetsDropdownInput) ([]pinned, error) {
		if len(in.Options) == 0 {
			return nil, sdk.InvalidInput("options: there is nothing to choose from")
		}
		r, err := b.grid(ctx, in.SheetName, in.Range)
		if err != nil {
			return nil, err
		}
		condition := &sheets.BooleanCondition{Type: "ONE_OF_LIST"}
		for _, option := range in.Options {
			condition.Values = append(condition.Values, &sheets.ConditionValue{UserEnteredValue: option})
		}
		_, err = b.batch(ctx, &sheets.Request{SetDataValidation: &sheets.SetDataValidationRequest{
			Range: r, Rule: &sheets.DataValidationRule{Condition: condition, Strict: in.Strict, ShowCustomUi: in.Show},
		}})
		return done(), err
	},
	sheetExample(`"range": "B2:B9", "options": ["yes", "no"]`, `"result": [{"success": true}]`))

type sheetsAddNoteInput struct {
	picked
	Cell      string `json:"cell" required:"true" doc:"The cell, in the A1 notation"`
	Note      string `json:"note" required:"true" doc:"The note"`
	SheetName string `json:"sheet_name" default:"" doc:"Name of the sheet; without it the first"`
}

var sheetsAddNote = sheetBlock("774ac529-74f9-41da-bbba-6a06a51a5d7e", "Google Sheets Add Note", "Puts a note on a cell", 0,
	sdk.Outputs{resultOutput},
	func(ctx context.Context, b *book, in sheetsAddNoteInput) ([]pinned, error) {
		r, err := b.grid(ctx, in.SheetName, in.Cell)
		if err != nil {
			return nil, err
		}
		_, err = b.batch(ctx, &sheets.Request{UpdateCells: &sheets.UpdateCellsRequest{
			Range: r, Rows: []*sheets.RowData{{Values: []*sheets.CellData{{Note: in.Note}}}}, Fields: "note",
		}})
		return done(), err
	},
	sheetExample(`"cell": "B2", "note": "Check this"`, `"result": [{"success": true}]`))

type sheetsNotesInput struct {
	picked
	Range     string `json:"range" default:"A1:Z100" doc:"The cells, in the A1 notation"`
	SheetName string `json:"sheet_name" default:"" doc:"Name of the sheet; without it the first"`
}

type note struct {
	Cell string `json:"cell"`
	Note string `json:"note"`
}

var sheetsNotes = sheetBlock("fa16834f-fff4-4d7a-9f7f-531ced90492b", "Google Sheets Get Notes", "Gives the notes on cells", 0,
	sdk.Outputs{sdk.Out("notes", sdk.List("The notes with their cells", sdk.Map("", sdk.Any("")))), count("count", "How many there are")},
	func(ctx context.Context, b *book, in sheetsNotesInput) ([]pinned, error) {
		found, err := b.Spreadsheets.Get(b.id).Ranges(area(in.SheetName, in.Range)).Fields("sheets.data(startRow,startColumn,rowData.values.note)").Context(ctx).Do()
		if err != nil {
			return nil, err
		}
		notes := []note{}
		for _, s := range found.Sheets {
			for _, d := range s.Data {
				for i, row := range d.RowData {
					for j, c := range row.Values {
						if c.Note != "" {
							notes = append(notes, note{letters(int(d.StartColumn)+j) + strconv.Itoa(int(d.StartRow)+i+1), c.Note})
						}
					}
				}
			}
		}
		return []pinned{{"notes", notes}, {"count", len(notes)}}, nil
	},
	sheetExample(``, `"notes": [[{"cell": "B2", "note": "Check this"}]], "count": [1]`))

type sheetsNamedRangeInput struct {
	onSheet
	Name  string `json:"name" required:"true" placeholder:"MyNamedRange" doc:"Its name"`
	Range string `json:"range" required:"true" placeholder:"A1:D10" doc:"The cells, in the A1 notation"`
}

var sheetsNamedRange = sheetBlock("a2707376-8016-494b-98c4-d0e2752ab9cb", "Google Sheets Create Named Range", "Gives cells a name for formulas", sdk.Once,
	sdk.Outputs{resultOutput, sdk.Out("named_range_id", sdk.String("Its id"))},
	func(ctx context.Context, b *book, in sheetsNamedRangeInput) ([]pinned, error) {
		r, err := b.grid(ctx, in.SheetName, in.Range)
		if err != nil {
			return nil, err
		}
		made, err := b.batch(ctx, &sheets.Request{AddNamedRange: &sheets.AddNamedRangeRequest{NamedRange: &sheets.NamedRange{Name: in.Name, Range: r}}})
		if err != nil {
			return nil, err
		}
		id := ""
		if added := reply(made).AddNamedRange; added != nil && added.NamedRange != nil {
			id = added.NamedRange.NamedRangeId
		}
		return append(done(), pinned{"named_range_id", id}), nil
	},
	sheetExample(`"name": "People", "range": "A1:B3"`, `"result": [{"success": true}], "named_range_id": ["n1"]`))

type sheetsNamedRangesInput struct{ picked }

type namedRange struct {
	Name  string            `json:"name"`
	ID    string            `json:"named_range_id"`
	Range *sheets.GridRange `json:"range"`
}

var sheetsNamedRanges = sheetBlock("b81a9d27-3997-4860-9303-cc68086db13a", "Google Sheets List Named Ranges", "Gives the ranges of a spreadsheet that have a name", 0,
	sdk.Outputs{sdk.Out("named_ranges", sdk.List("The ranges", sdk.Map("", sdk.Any("")))), count("count", "How many there are")},
	func(ctx context.Context, b *book, _ sheetsNamedRangesInput) ([]pinned, error) {
		found, err := b.Spreadsheets.Get(b.id).Fields("namedRanges").Context(ctx).Do()
		if err != nil {
			return nil, err
		}
		ranges := []namedRange{}
		for _, n := range found.NamedRanges {
			ranges = append(ranges, namedRange{n.Name, n.NamedRangeId, n.Range})
		}
		return []pinned{{"named_ranges", ranges}, {"count", len(ranges)}}, nil
	},
	sheetExample(``, `"named_ranges": [[{"name": "People", "named_range_id": "n1", "range": {"endRowIndex": 3}}]], "count": [1]`))

type sheetsProtectInput struct {
	onSheet
	Range       string `json:"range" default:"" doc:"The cells, in the A1 notation; without them the whole sheet"`
	Description string `json:"description" default:"Protected by automation" doc:"Why it is protected"`
	WarningOnly bool   `json:"warning_only" default:"false" doc:"Warn who edits it, and let them"`
}

var sheetsProtect = sheetBlock("d0e4f5d1-76e7-4082-9be8-e656ec1f432d", "Google Sheets Protect Range", "Protects cells, or a sheet, against editing", sdk.Once,
	sdk.Outputs{resultOutput, count("protection_id", "Id of the protection")},
	func(ctx context.Context, b *book, in sheetsProtectInput) ([]pinned, error) {
		r, err := b.grid(ctx, in.SheetName, in.Range)
		if err != nil {
			return nil, err
		}
		made, err := b.batch(ctx, &sheets.Request{AddProtectedRange: &sheets.AddProtectedRangeRequest{ProtectedRange: &sheets.ProtectedRange{
			Range: r, Description: in.Description, WarningOnly: in.WarningOnly,
		}}})
		if err != nil {
			return nil, err
		}
		id := int64(0)
		if added := reply(made).AddProtectedRange; added != nil && added.ProtectedRange != nil {
			id = added.ProtectedRange.ProtectedRangeId
		}
		return append(done(), pinned{"protection_id", id}), nil
	},
	sheetExample(`"range": "A1:B1"`, `"result": [{"success": true}], "protection_id": [3]`))
