package main

import (
	"context"
	"strconv"
	"strings"

	"google.golang.org/api/sheets/v4"

	"github.com/patchbay-io/patchbay/sdk"
)

type sheetsAddColumnInput struct {
	onSheet
	Header       string `json:"header" required:"true" placeholder:"New Column" doc:"Its header"`
	Position     string `json:"position" default:"end" doc:"Where: start, end, or the letters or number that it gets"`
	DefaultValue string `json:"default_value" default:"" doc:"Value for the rows that there are"`
}

var sheetsAddColumn = sheetBlock("cac51050-fc9e-4e63-987a-66c2ba2a127b", "Google Sheets Add Column", "Adds a column, with a value for each row if that is wanted", sdk.Once,
	sdk.Outputs{resultOutput, sdk.Out("column_letter", sdk.String("Its letters")), count("column_index", "Its index, from 0")},
	func(ctx context.Context, b *book, in sheetsAddColumnInput) ([]pinned, error) {
		t, err := b.table(ctx, in.SheetName)
		if err != nil {
			return nil, err
		}
		index, err := in.index(t.width())
		if err != nil {
			return nil, err
		}
		insert := &sheets.InsertDimensionRequest{Range: dimension(t.id, inColumns, index, 1), InheritFromBefore: index > 0}
		if _, err := b.batch(ctx, &sheets.Request{InsertDimension: insert}); err != nil {
			return nil, err
		}
		column := [][]string{{in.Header}}
		if in.DefaultValue != "" {
			for range max(len(t.rows)-1, 0) {
				column = append(column, []string{in.DefaultValue})
			}
		}
		if _, err := b.put(ctx, quote(t.title)+"!"+letters(index)+"1", userEntered, column...); err != nil {
			return nil, err
		}
		return append(done(), pinned{"column_letter", letters(index)}, pinned{"column_index", index}), nil
	},
	sheetExample(`"header": "City", "default_value": "Bern"`, `"result": [{"success": true}], "column_letter": ["C"], "column_index": [2]`))

// index is where the column comes, from 0, in a table of so many columns.
func (in sheetsAddColumnInput) index(width int) (int, error) {
	text := strings.TrimSpace(in.Position)
	switch strings.ToLower(text) {
	case "end", "":
		return width, nil
	case "start":
		return 0, nil
	}
	if n, err := strconv.Atoi(text); err == nil && n >= 1 {
		return n - 1, nil
	}
	if i, ok := columnOf(text); ok {
		return i, nil
	}
	return 0, sdk.InvalidInput("position: %q is neither start nor end nor a column", in.Position)
}

type sheetsDeleteColumnInput struct {
	onSheet
	Column string `json:"column" required:"true" doc:"Header of the column, or its letters"`
}

var sheetsDeleteColumn = sheetBlock("59b266b6-5cce-4661-a1d3-c417e64d68e9", "Google Sheets Delete Column", "Deletes a column", sdk.Once,
	sdk.Outputs{resultOutput},
	func(ctx context.Context, b *book, in sheetsDeleteColumnInput) ([]pinned, error) {
		t, err := b.table(ctx, in.SheetName)
		if err != nil {
			return nil, err
		}
		column, err := t.column(in.Column)
		if err != nil {
			return nil, err
		}
		return done(), b.deleteAll(ctx, t.id, inColumns, []int{column})
	},
	sheetExample(`"column": "Age"`, `"result": [{"success": true}]`))

type sheetsDeleteRowsInput struct {
	onSheet
	Rows []int `json:"row_indices" required:"true" doc:"Numbers of the rows, from 1"`
}

var sheetsDeleteRows = sheetBlock("24bcd490-b02d-44c6-847d-b62a2319f5eb", "Google Sheets Delete Rows", "Deletes rows by their numbers", sdk.Once,
	sdk.Outputs{resultOutput, count("deleted_count", "How many were deleted")},
	func(ctx context.Context, b *book, in sheetsDeleteRowsInput) ([]pinned, error) {
		different := map[int]bool{}
		var indexes []int
		for _, n := range in.Rows {
			if n < 1 {
				return nil, sdk.InvalidInput("rows are numbered from 1, not %d", n)
			}
			different[n] = true
			indexes = append(indexes, n-1)
		}
		p, err := b.sheet(ctx, in.SheetName)
		if err != nil {
			return nil, err
		}
		return append(done(), pinned{"deleted_count", len(different)}), b.deleteAll(ctx, p.SheetId, inRows, indexes)
	},
	sheetExample(`"row_indices": [3, 2, 3]`, `"result": [{"success": true}], "deleted_count": [2]`))

type sheetsManageInput struct {
	picked
	Operation   string `json:"operation" required:"true" enum:"create,delete,copy" doc:"What to do"`
	SheetName   string `json:"sheet_name" default:"" doc:"Name of the sheet that is made or deleted"`
	SourceID    int64  `json:"source_sheet_id" default:"0" doc:"Id of the sheet that is copied"`
	Destination string `json:"destination_sheet_name" default:"" doc:"Name of the copy"`
}

var sheetsManage = sheetBlock("7940189d-b137-4ef1-aa18-3dd9a5bde9f3", "Google Sheets Manage Sheet", "Makes, deletes or copies a sheet of a spreadsheet", sdk.Once,
	sdk.Outputs{resultOutput},
	func(ctx context.Context, b *book, in sheetsManageInput) ([]pinned, error) {
		switch in.Operation {
		case "create":
			title := in.SheetName
			if title == "" {
				title = in.Destination
			}
			made, err := b.batch(ctx, &sheets.Request{AddSheet: &sheets.AddSheetRequest{Properties: &sheets.SheetProperties{Title: title}}})
			if err != nil {
				return nil, err
			}
			if added := reply(made).AddSheet; added != nil && added.Properties != nil {
				return done("sheetId", added.Properties.SheetId, "title", added.Properties.Title), nil
			}
		case "delete":
			if in.SheetName == "" { // the first would be a bad guess
				return nil, sdk.InvalidInput("sheet_name is needed to delete a sheet")
			}
			p, err := b.sheet(ctx, in.SheetName)
			if err != nil {
				return nil, err
			}
			_, err = b.batch(ctx, &sheets.Request{DeleteSheet: &sheets.DeleteSheetRequest{SheetId: p.SheetId, ForceSendFields: []string{"SheetId"}}})
			return done("sheetId", p.SheetId), err
		case "copy":
			made, err := b.batch(ctx, &sheets.Request{DuplicateSheet: &sheets.DuplicateSheetRequest{
				SourceSheetId: in.SourceID, NewSheetName: in.Destination, ForceSendFields: []string{"SourceSheetId"},
			}})
			if err != nil {
				return nil, err
			}
			if copied := reply(made).DuplicateSheet; copied != nil && copied.Properties != nil {
				return done("sheetId", copied.Properties.SheetId, "title", copied.Properties.Title), nil
			}
		default:
			return nil, sdk.InvalidInput("operation: %q is none of create, delete, copy", in.Operation)
		}
		return done(), nil
	},
	sheetExample(`"operation": "create", "sheet_name": "New"`, `"result": [{"success": true, "sheetId": 9, "title": "New"}]`))

type sheetsSortInput struct {
	onSheet
	Column         string `json:"sort_column" required:"true" placeholder:"Date" doc:"Header of the column, or its letters"`
	Order          string `json:"sort_order" default:"ascending" enum:"ascending,descending" doc:"Its order"`
	Secondary      string `json:"secondary_column" default:"" doc:"The column that decides among equal rows"`
	SecondaryOrder string `json:"secondary_order" default:"ascending" enum:"ascending,descending" doc:"Its order"`
	HasHeader      bool   `json:"has_header" default:"true" doc:"Leave the first row where it is"`
}

var sheetsSort = sheetBlock("a265bd84-c93b-459d-bbe0-94e6addaa38f", "Google Sheets Sort", "Sorts the rows of a sheet", 0,
	sdk.Outputs{resultOutput},
	func(ctx context.Context, b *book, in sheetsSortInput) ([]pinned, error) {
		t, err := b.table(ctx, in.SheetName)
		if err != nil {
			return nil, err
		}
		r := &sheets.SortRangeRequest{Range: &sheets.GridRange{SheetId: t.id, ForceSendFields: []string{"SheetId"}}}
		if in.HasHeader {
			r.Range.StartRowIndex = 1
		}
		for _, by := range [][2]string{{in.Column, in.Order}, {in.Secondary, in.SecondaryOrder}} {
			if by[0] == "" {
				continue
			}
			column, err := t.column(by[0])
			if err != nil {
				return nil, err
			}
			r.SortSpecs = append(r.SortSpecs, &sheets.SortSpec{DimensionIndex: int64(column), SortOrder: strings.ToUpper(by[1]), ForceSendFields: []string{"DimensionIndex"}})
		}
		_, err = b.batch(ctx, &sheets.Request{SortRange: r})
		return done(), err
	},
	sheetExample(`"sort_column": "Name"`, `"result": [{"success": true}]`))
