package main

import (
	"context"
	"maps"
	"slices"
	"strconv"

	"google.golang.org/api/sheets/v4"

	"github.com/patchbay-io/patchbay/sdk"
)

const userEntered = "USER_ENTERED"

type valueOption struct {
	Option string `json:"value_input_option" default:"USER_ENTERED" enum:"RAW,USER_ENTERED" advanced:"true" doc:"Whether values are taken as they are, or as if they were typed in: numbers, dates, formulas"`
}

type sheetsWriteInput struct {
	picked
	Range  string     `json:"range" required:"true" placeholder:"Sheet1!A1:B2" doc:"The cells, in the A1 notation"`
	Values [][]string `json:"values" required:"true" doc:"The rows"`
}

var sheetsWrite = sheetBlock("d9291e87-301d-47a8-91fe-907fb55460e5", "Google Sheets Write", "Writes rows into cells, as if they were typed in", 0,
	sdk.Outputs{resultOutput},
	func(ctx context.Context, b *book, in sheetsWriteInput) ([]pinned, error) {
		made, err := b.put(ctx, in.Range, userEntered, in.Values...)
		return told(made), err
	},
	sheetExample(`"range": "Sheet1!A1:B1", "values": [["Name", "Age"]]`, `"result": [{"spreadsheetId": "s1", "updatedCells": 2, "updatedRange": "Sheet1!A1:B1"}]`))

type sheetsAppendInput struct {
	picked
	Row       []string `json:"row" required:"true" doc:"The values"`
	SheetName string   `json:"sheet_name" default:"" doc:"Name of the sheet; without it the first"`
	valueOption
}

var sheetsAppend = sheetBlock("531d50c0-d6b9-4cf9-a013-7bf783d313c7", "Google Sheets Append Row", "Adds a row below the last one", sdk.Once,
	sdk.Outputs{resultOutput},
	func(ctx context.Context, b *book, in sheetsAppendInput) ([]pinned, error) {
		p, err := b.sheet(ctx, in.SheetName)
		if err != nil {
			return nil, err
		}
		made, err := b.Spreadsheets.Values.Append(b.id, quote(p.Title)+"!A1", &sheets.ValueRange{Values: cells(in.Row)}).
			ValueInputOption(in.Option).InsertDataOption("INSERT_ROWS").Context(ctx).Do()
		return told(made), err
	},
	sheetExample(`"row": ["Eve", "29"]`, `"result": [{"spreadsheetId": "s1", "updates": {"updatedRange": "Sheet1!A4:B4", "updatedRows": 1}}]`))

type sheetsClearInput struct {
	picked
	Range string `json:"range" required:"true" placeholder:"Sheet1!A1:B2" doc:"The cells, in the A1 notation"`
}

var sheetsClear = sheetBlock("84938266-0fc7-46e5-9369-adb0f6ae8015", "Google Sheets Clear", "Takes the values out of cells; their formats stay", 0,
	sdk.Outputs{resultOutput},
	func(ctx context.Context, b *book, in sheetsClearInput) ([]pinned, error) {
		made, err := b.Spreadsheets.Values.Clear(b.id, in.Range, &sheets.ClearValuesRequest{}).Context(ctx).Do()
		return told(made), err
	},
	sheetExample(`"range": "Sheet1!A1:B2"`, `"result": [{"clearedRange": "Sheet1!A1:B2", "spreadsheetId": "s1"}]`))

type sheetsBatchInput struct {
	picked
	Operations []operation `json:"operations" required:"true" doc:"What to do, one after the other"`
}

type operation struct {
	Type   string     `json:"type" required:"true" enum:"update,clear" doc:"update writes the values, clear takes them out"`
	Range  string     `json:"range" required:"true" doc:"The cells, in the A1 notation"`
	Values [][]string `json:"values" default:"[]" doc:"The rows to write"`
}

var sheetsBatch = sheetBlock("a4078584-6fe5-46e0-997e-d5126cdd112a", "Google Sheets Batch Operations", "Writes and clears several ranges of cells", 0,
	sdk.Outputs{resultOutput},
	func(ctx context.Context, b *book, in sheetsBatchInput) ([]pinned, error) {
		for _, o := range in.Operations {
			if o.Type != "update" && o.Type != "clear" {
				return nil, sdk.InvalidInput("operations: %q is neither update nor clear", o.Type)
			}
		}
		for rest := in.Operations; len(rest) > 0; { // neighbours of one kind go together
			n := 1
			for n < len(rest) && rest[n].Type == rest[0].Type {
				n++
			}
			var data []*sheets.ValueRange
			var ranges []string
			for _, o := range rest[:n] {
				data = append(data, &sheets.ValueRange{Range: o.Range, Values: cells(o.Values...)})
				ranges = append(ranges, o.Range)
			}
			var err error
			if rest[0].Type == "update" {
				_, err = b.putAll(ctx, data)
			} else {
				_, err = b.Spreadsheets.Values.BatchClear(b.id, &sheets.BatchClearValuesRequest{Ranges: ranges}).Context(ctx).Do()
			}
			if err != nil {
				return nil, err
			}
			rest = rest[n:]
		}
		return done("operations", len(in.Operations)), nil
	},
	sheetExample(`"operations": [{"type": "update", "range": "Sheet1!A1", "values": [["Name"]]}, {"type": "clear", "range": "Sheet1!C1:C9"}]`, `"result": [{"success": true, "operations": 2}]`))

func (b *book) putAll(ctx context.Context, data []*sheets.ValueRange) (*sheets.BatchUpdateValuesResponse, error) {
	return b.Spreadsheets.Values.BatchUpdate(b.id, &sheets.BatchUpdateValuesRequest{ValueInputOption: userEntered, Data: data}).Context(ctx).Do()
}

type sheetsUpdateCellInput struct {
	picked
	Cell  string `json:"cell" required:"true" placeholder:"A1" doc:"The cell, in the A1 notation, with or without its sheet"`
	Value string `json:"value" required:"true" doc:"What to write"`
	valueOption
}

var sheetsUpdateCell = sheetBlock("df521b68-62d9-42e4-924f-fb6c245516fc", "Google Sheets Update Cell", "Writes one cell", 0,
	sdk.Outputs{resultOutput},
	func(ctx context.Context, b *book, in sheetsUpdateCellInput) ([]pinned, error) {
		made, err := b.put(ctx, in.Cell, in.Option, []string{in.Value})
		return told(made), err
	},
	sheetExample(`"cell": "A1", "value": "Name"`, `"result": [{"spreadsheetId": "s1", "updatedCells": 2, "updatedRange": "Sheet1!A1:B1"}]`))

type sheetsInsertRowInput struct {
	picked
	Row       []string `json:"row" required:"true" doc:"The values"`
	RowIndex  int      `json:"row_index" required:"true" placeholder:"2" doc:"Number that the row gets, from 1"`
	SheetName string   `json:"sheet_name" default:"" doc:"Name of the sheet; without it the first"`
	valueOption
}

var sheetsInsertRow = sheetBlock("03eda5df-8080-4ed1-bfdf-212f543d657e", "Google Sheets Insert Row", "Puts a row between others", sdk.Once,
	sdk.Outputs{resultOutput},
	func(ctx context.Context, b *book, in sheetsInsertRowInput) ([]pinned, error) {
		if in.RowIndex < 1 {
			return nil, sdk.InvalidInput("rows are numbered from 1, not %d", in.RowIndex)
		}
		p, err := b.sheet(ctx, in.SheetName)
		if err != nil {
			return nil, err
		}
		insert := &sheets.InsertDimensionRequest{Range: dimension(p.SheetId, inRows, in.RowIndex-1, 1), InheritFromBefore: in.RowIndex > 1}
		if _, err := b.batch(ctx, &sheets.Request{InsertDimension: insert}); err != nil {
			return nil, err
		}
		made, err := b.put(ctx, quote(p.Title)+"!A"+strconv.Itoa(in.RowIndex), in.Option, in.Row)
		return told(made), err
	},
	sheetExample(`"row": ["Eve", "29"], "row_index": 2`, `"result": [{"spreadsheetId": "s1", "updatedCells": 2, "updatedRange": "Sheet1!A1:B1"}]`))

type sheetsUpdateRowInput struct {
	onSheet
	Row    int               `json:"row_index" required:"true" doc:"Number of the row, from 1"`
	Values []string          `json:"values" default:"[]" doc:"The values, from the first column on"`
	ByName map[string]string `json:"dict_values" default:"{}" doc:"Values by the headers of their columns; the others stay"`
}

var sheetsUpdateRow = sheetBlock("b8a934d5-fca0-4be3-9fc2-a99bf63bd385", "Google Sheets Update Row", "Writes a row, or some of its cells by the headers of their columns", 0,
	sdk.Outputs{resultOutput},
	func(ctx context.Context, b *book, in sheetsUpdateRowInput) ([]pinned, error) {
		switch {
		case in.Row < 1:
			return nil, sdk.InvalidInput("rows are numbered from 1, not %d", in.Row)
		case len(in.Values) == 0 && len(in.ByName) == 0:
			return nil, sdk.InvalidInput("there is nothing to write: give values or dict_values")
		}
		t, err := b.table(ctx, in.SheetName)
		if err != nil {
			return nil, err
		}
		var data []*sheets.ValueRange
		if len(in.Values) > 0 {
			data = append(data, &sheets.ValueRange{Range: quote(t.title) + "!A" + strconv.Itoa(in.Row), Values: cells(in.Values)})
		}
		for _, name := range slices.Sorted(maps.Keys(in.ByName)) {
			i, err := t.column(name)
			if err != nil {
				return nil, err
			}
			data = append(data, &sheets.ValueRange{Range: quote(t.title) + "!" + letters(i) + strconv.Itoa(in.Row), Values: cells([]string{in.ByName[name]})})
		}
		made, err := b.putAll(ctx, data)
		if err != nil {
			return nil, err
		}
		return done("updatedCells", made.TotalUpdatedCells), nil
	},
	sheetExample(`"row_index": 2, "dict_values": {"Age": "37"}`, `"result": [{"success": true, "updatedCells": 1}]`))
