package main

import (
	"context"
	"slices"

	"github.com/patchbay-io/patchbay/sdk"
)

type sheetsReadInput struct {
	picked
	Range string `json:"range" required:"true" placeholder:"Sheet1!A1:Z1000" doc:"The cells, in the A1 notation"`
}

var sheetsRead = sheetBlock("5724e902-3635-47e9-a108-aaa0263a4988", "Google Sheets Read", "Gives the values of cells, as they are shown, row by row", 0,
	sdk.Outputs{textTable("result", "The rows")},
	func(ctx context.Context, b *book, in sheetsReadInput) ([]pinned, error) {
		rows, err := b.values(ctx, in.Range)
		return told(rows), err
	},
	sheetExample(`"range": "Sheet1!A1:B3"`, `"result": [[["Name", "Age"], ["Ada", "36"], ["Bob", "41"]]]`))

type sheetsMetadataInput struct{ picked }

type sheetInfo struct {
	Title string `json:"title"`
	ID    int64  `json:"sheetId"`
}

var sheetsMetadata = sheetBlock("6a0be6ee-7a0d-4c92-819b-500630846ad0", "Google Sheets Metadata", "Gives the title of a spreadsheet and its sheets", 0,
	sdk.Outputs{sdk.Out("result", sdk.Map("title and sheets", sdk.Any("")))},
	func(ctx context.Context, b *book, _ sheetsMetadataInput) ([]pinned, error) {
		found, err := b.Spreadsheets.Get(b.id).Fields("properties.title", "sheets.properties").Context(ctx).Do()
		if err != nil {
			return nil, err
		}
		title, all := "", []sheetInfo{}
		if found.Properties != nil {
			title = found.Properties.Title
		}
		for _, s := range found.Sheets {
			if s.Properties != nil {
				all = append(all, sheetInfo{s.Properties.Title, s.Properties.SheetId})
			}
		}
		return told(map[string]any{"title": title, "sheets": all}), nil
	},
	sheetExample(``, `"result": [{"title": "People", "sheets": [{"title": "Sheet1", "sheetId": 0}, {"title": "Other", "sheetId": 5}]}]`))

type sheetsRowInput struct {
	onSheet
	Row int `json:"row_index" required:"true" doc:"Number of the row, from 1"`
}

var (
	rowOutput     = sdk.Out("row", sdk.List("The row", sdk.String("")))
	rowDictOutput = sdk.Out("row_dict", sdk.Map("The row by the headers of its columns", sdk.String("")))
)

var sheetsRow = sheetBlock("c4be9390-2431-4682-9769-7025b22a5fa7", "Google Sheets Get Row", "Gives a row by its number", 0,
	sdk.Outputs{rowOutput, rowDictOutput},
	func(ctx context.Context, b *book, in sheetsRowInput) ([]pinned, error) {
		if in.Row < 1 {
			return nil, sdk.InvalidInput("rows are numbered from 1, not %d", in.Row)
		}
		t, err := b.table(ctx, in.SheetName)
		if err != nil {
			return nil, err
		}
		row := []string{}
		if in.Row <= len(t.rows) {
			row = t.rows[in.Row-1]
		}
		return []pinned{{"row", row}, {"row_dict", t.dict(row)}}, nil
	},
	sheetExample(`"row_index": 2`, `"row": [["Ada", "36"]], "row_dict": [{"Name": "Ada", "Age": "36"}]`))

type sheetsRowCountInput struct {
	onSheet
	IncludeHeader bool `json:"include_header" default:"true" doc:"Count the header too"`
	CountEmpty    bool `json:"count_empty" default:"false" doc:"Count empty rows too, up to the last that is not"`
}

var sheetsRowCount = sheetBlock("080cc84b-a94a-4fb4-90e3-dcc55ee783af", "Google Sheets Get Row Count", "Counts the rows and columns of a sheet", 0,
	sdk.Outputs{count("total_rows", "How many rows"), count("data_rows", "How many without the header"), count("last_row", "Number of the last row with something in it"), count("column_count", "How many columns")},
	func(ctx context.Context, b *book, in sheetsRowCountInput) ([]pinned, error) {
		t, err := b.table(ctx, in.SheetName)
		if err != nil {
			return nil, err
		}
		total, data := 0, 0
		for i, row := range t.rows {
			if in.CountEmpty || !empty(row) {
				total++
				if i > 0 {
					data++
				}
			}
		}
		if !in.IncludeHeader {
			total = data
		}
		return []pinned{{"total_rows", total}, {"data_rows", data}, {"last_row", len(t.rows)}, {"column_count", t.width()}}, nil
	},
	sheetExample(``, `"total_rows": [3], "data_rows": [2], "last_row": [3], "column_count": [2]`))

func empty(row []string) bool {
	return !slices.ContainsFunc(row, func(v string) bool { return v != "" })
}

type sheetsColumnInput struct {
	onSheet
	Column        string `json:"column" required:"true" placeholder:"Email" doc:"Header of the column, or its letters"`
	IncludeHeader bool   `json:"include_header" default:"false" doc:"Give the header too"`
	SkipEmpty     bool   `json:"skip_empty" default:"false" doc:"Leave empty cells out"`
}

var sheetsColumn = sheetBlock("108d911f-e109-47fb-addc-2259792ee850", "Google Sheets Get Column", "Gives a column by its header or letters", 0,
	sdk.Outputs{sdk.Out("values", sdk.List("The values", sdk.String(""))), count("count", "How many there are"), count("column_index", "Index of the column, from 0")},
	func(ctx context.Context, b *book, in sheetsColumnInput) ([]pinned, error) {
		t, err := b.table(ctx, in.SheetName)
		if err != nil {
			return nil, err
		}
		column, err := t.column(in.Column)
		if err != nil {
			return nil, err
		}
		values := []string{}
		for i, row := range t.rows {
			if v := at(row, column); (i > 0 || in.IncludeHeader) && (v != "" || !in.SkipEmpty) {
				values = append(values, v)
			}
		}
		return []pinned{{"values", values}, {"count", len(values)}, {"column_index", column}}, nil
	},
	sheetExample(`"column": "Age"`, `"values": [["36", "41"]], "count": [2], "column_index": [1]`))

type sheetsUniqueInput struct {
	onSheet
	Column       string `json:"column" required:"true" placeholder:"Category" doc:"Header of the column, or its letters"`
	IncludeCount bool   `json:"include_count" default:"false" doc:"Say how often each comes"`
	SortByCount  bool   `json:"sort_by_count" default:"false" doc:"Put first what comes most often"`
}

var sheetsUnique = sheetBlock("0f296c0b-6b6e-4280-b96e-ae1459b98dff", "Google Sheets Get Unique Values", "Gives the different values of a column", 0,
	sdk.Outputs{sdk.Out("values", sdk.List("The values", sdk.String(""))), sdk.Out("counts", sdk.Map("How often each comes", sdk.Integer(""))), count("total_unique", "How many there are")},
	func(ctx context.Context, b *book, in sheetsUniqueInput) ([]pinned, error) {
		t, err := b.table(ctx, in.SheetName)
		if err != nil {
			return nil, err
		}
		column, err := t.column(in.Column)
		if err != nil {
			return nil, err
		}
		values, counts := []string{}, map[string]int{}
		for _, row := range t.rows[min(1, len(t.rows)):] {
			v := at(row, column)
			if v == "" {
				continue
			}
			if counts[v] == 0 {
				values = append(values, v)
			}
			counts[v]++
		}
		if in.SortByCount {
			slices.SortStableFunc(values, func(a, b string) int { return counts[b] - counts[a] })
		}
		total := len(values)
		if !in.IncludeCount {
			counts = map[string]int{}
		}
		return []pinned{{"values", values}, {"counts", counts}, {"total_unique", total}}, nil
	},
	sheetExample(`"column": "Name", "include_count": true`, `"values": [["Ada", "Bob"]], "counts": [{"Ada": 1, "Bob": 1}], "total_unique": [2]`))
