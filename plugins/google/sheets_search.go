package main

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/api/sheets/v4"

	"github.com/patchbay-io/patchbay/sdk"
)

type sheetsFilterInput struct {
	onSheet
	Column        string `json:"filter_column" required:"true" placeholder:"Status" doc:"Header of the column, or its letters"`
	Value         string `json:"filter_value" default:"" doc:"What its cells are compared with"`
	Operator      string `json:"operator" default:"equals" enum:"equals,not_equals,contains,not_contains,greater_than,less_than,greater_than_or_equal,less_than_or_equal,is_empty,is_not_empty" doc:"How they are compared; numbers as numbers"`
	MatchCase     bool   `json:"match_case" default:"false" doc:"Tell capitals and small letters apart"`
	IncludeHeader bool   `json:"include_header" default:"true" doc:"Give the header too"`
}

var sheetsFilter = sheetBlock("582195c2-ccee-4fc2-b646-18f72eb9906c", "Google Sheets Filter Rows", "Gives the rows whose value in a column meets a condition", 0,
	sdk.Outputs{textTable("rows", "The rows"), sdk.Out("row_indices", sdk.List("Their numbers, from 1", sdk.Integer(""))), count("count", "How many there are, the header aside")},
	func(ctx context.Context, b *book, in sheetsFilterInput) ([]pinned, error) {
		t, err := b.table(ctx, in.SheetName)
		if err != nil {
			return nil, err
		}
		column, err := t.column(in.Column)
		if err != nil {
			return nil, err
		}
		rows, numbers := [][]string{}, []int{}
		for i, row := range t.rows {
			switch {
			case i == 0:
				if in.IncludeHeader {
					rows = append(rows, row)
				}
			case meets(at(row, column), in.Operator, in.Value, in.MatchCase):
				rows, numbers = append(rows, row), append(numbers, i+1)
			}
		}
		return []pinned{{"rows", rows}, {"row_indices", numbers}, {"count", len(numbers)}}, nil
	},
	sheetExample(`"filter_column": "Age", "operator": "greater_than", "filter_value": "40"`, `"rows": [[["Name", "Age"], ["Bob", "41"]]], "row_indices": [[3]], "count": [1]`))

func meets(v, operator, with string, matchCase bool) bool {
	if !matchCase {
		v, with = strings.ToLower(v), strings.ToLower(with)
	}
	switch operator {
	case "is_empty":
		return strings.TrimSpace(v) == ""
	case "is_not_empty":
		return strings.TrimSpace(v) != ""
	case "equals":
		return v == with
	case "not_equals":
		return v != with
	case "contains":
		return strings.Contains(v, with)
	case "not_contains":
		return !strings.Contains(v, with)
	}
	order := strings.Compare(v, with)
	if a, err := strconv.ParseFloat(v, 64); err == nil {
		if b, err := strconv.ParseFloat(with, 64); err == nil {
			switch {
			case a < b:
				order = -1
			case a > b:
				order = 1
			default:
				order = 0
			}
		}
	}
	switch operator {
	case "greater_than":
		return order > 0
	case "less_than":
		return order < 0
	case "greater_than_or_equal":
		return order >= 0
	}
	return order <= 0
}

type sheetsLookupInput struct {
	onSheet
	Column    string   `json:"lookup_column" required:"true" placeholder:"ID" doc:"Header of the column, or its letters"`
	Value     string   `json:"lookup_value" required:"true" doc:"The value to find in it"`
	Return    []string `json:"return_columns" default:"[]" doc:"Headers of the columns to give; without any all"`
	MatchCase bool     `json:"match_case" default:"false" doc:"Tell capitals and small letters apart"`
}

var sheetsLookup = sheetBlock("e58c0bad-6597-400c-9548-d151ec428ffc", "Google Sheets Lookup Row", "Finds the first row with a value in a column", 0,
	sdk.Outputs{rowOutput, rowDictOutput, count("row_index", "Its number, from 1; 0 where none was found"), sdk.Out("found", sdk.Boolean("Whether there is one"))},
	func(ctx context.Context, b *book, in sheetsLookupInput) ([]pinned, error) {
		t, err := b.table(ctx, in.SheetName)
		if err != nil {
			return nil, err
		}
		column, err := t.column(in.Column)
		if err != nil {
			return nil, err
		}
		var wanted []int
		for _, name := range in.Return {
			i, err := t.column(name)
			if err != nil {
				return nil, err
			}
			wanted = append(wanted, i)
		}
		for i, row := range t.rows {
			if i == 0 || !meets(at(row, column), "equals", in.Value, in.MatchCase) {
				continue
			}
			dict := t.dict(row)
			if wanted != nil {
				header, kept := []string{}, []string{}
				for _, w := range wanted {
					header, kept = append(header, at(t.header(), w)), append(kept, at(row, w))
				}
				row, dict = kept, (&table{rows: [][]string{header}}).dict(kept)
			}
			return []pinned{{"row", row}, {"row_dict", dict}, {"row_index", i + 1}, {"found", true}}, nil
		}
		return []pinned{{"row", []string{}}, {"row_dict", map[string]string{}}, {"row_index", 0}, {"found", false}}, nil
	},
	sheetExample(`"lookup_column": "Name", "lookup_value": "bob", "return_columns": ["Age"]`, `"row": [["41"]], "row_dict": [{"Age": "41"}], "row_index": [3], "found": [true]`))

type sheetsFindInput struct {
	picked
	Text       string `json:"find_text" required:"true" doc:"The text to find"`
	SheetID    int64  `json:"sheet_id" default:"-1" doc:"Id of the sheet; -1 is all"`
	MatchCase  bool   `json:"match_case" default:"false" doc:"Tell capitals and small letters apart"`
	EntireCell bool   `json:"match_entire_cell" default:"false" doc:"The text must be all that is in the cell"`
	All        bool   `json:"find_all" default:"true" doc:"Find all; otherwise the first"`
	Range      string `json:"range" default:"" advanced:"true" doc:"The cells to look in; without it all"`
}

type location struct {
	Sheet   string `json:"sheet"`
	Row     int    `json:"row"`
	Column  int    `json:"column"`
	Address string `json:"address"`
	Value   string `json:"value"`
}

var sheetsFind = sheetBlock("0f4ecc72-b958-47b2-b65e-76d6d26b9b27", "Google Sheets Find", "Finds the cells with a text", 0,
	sdk.Outputs{resultOutput, sdk.Out("locations", sdk.List("Where it is, rows and columns from 1", sdk.Map("", sdk.Any("")))), count("count", "How often it was found")},
	func(ctx context.Context, b *book, in sheetsFindInput) ([]pinned, error) {
		all, err := b.properties(ctx)
		if err != nil {
			return nil, err
		}
		named, within := split(in.Range)
		row, column := 0, 0
		if within != "" {
			from, _, _ := strings.Cut(within, ":")
			if r, c, ok := corner(from); ok {
				row, column = max(r, 0), max(c, 0)
			}
		}
		locations := []location{}
		for _, p := range all {
			if named != "" && p.Title != named || in.SheetID >= 0 && p.SheetId != in.SheetID || !in.All && len(locations) > 0 {
				continue
			}
			where := quote(p.Title)
			if within != "" {
				where += "!" + within
			}
			rows, err := b.values(ctx, where)
			if err != nil {
				return nil, err
			}
			locations = append(locations, in.find(p.Title, rows, row, column)...)
		}
		if !in.All && len(locations) > 1 {
			locations = locations[:1]
		}
		return append(done("count", len(locations)), pinned{"locations", locations}, pinned{"count", len(locations)}), nil
	},
	sheetExample(`"find_text": "ad", "range": "Sheet1!A1:B3"`, `"result": [{"success": true, "count": 1}], "locations": [[{"sheet": "Sheet1", "row": 2, "column": 1, "address": "A2", "value": "Ada"}]], "count": [1]`))

// find looks through rows that begin at a cell.
func (in sheetsFindInput) find(sheet string, rows [][]string, row, column int) (found []location) {
	operator := "contains"
	if in.EntireCell {
		operator = "equals"
	}
	for i, values := range rows {
		for j, v := range values {
			if v != "" && meets(v, operator, in.Text, in.MatchCase) {
				found = append(found, location{sheet, row + i + 1, column + j + 1, letters(column+j) + strconv.Itoa(row+i+1), v})
			}
		}
	}
	return found
}

type sheetsFindReplaceInput struct {
	picked
	Text        string `json:"find_text" required:"true" doc:"The text to find"`
	Replacement string `json:"replace_text" required:"true" doc:"What takes its place"`
	SheetID     int64  `json:"sheet_id" default:"-1" doc:"Id of the sheet; -1 is all"`
	MatchCase   bool   `json:"match_case" default:"false" doc:"Tell capitals and small letters apart"`
	EntireCell  bool   `json:"match_entire_cell" default:"false" doc:"The text must be all that is in the cell"`
}

var sheetsFindReplace = sheetBlock("accca760-8174-4656-b55e-5f0e82fee986", "Google Sheets Find Replace", "Replaces a text wherever it is", sdk.Once,
	sdk.Outputs{resultOutput},
	func(ctx context.Context, b *book, in sheetsFindReplaceInput) ([]pinned, error) {
		r := &sheets.FindReplaceRequest{
			Find: in.Text, Replacement: in.Replacement, MatchCase: in.MatchCase, MatchEntireCell: in.EntireCell, AllSheets: in.SheetID < 0,
			ForceSendFields: []string{"Replacement"},
		}
		if in.SheetID >= 0 {
			r.SheetId, r.ForceSendFields = in.SheetID, append(r.ForceSendFields, "SheetId")
		}
		made, err := b.batch(ctx, &sheets.Request{FindReplace: r})
		if err != nil {
			return nil, err
		}
		changed := reply(made).FindReplace
		if changed == nil {
			changed = &sheets.FindReplaceResponse{}
		}
		return done("occurrencesChanged", changed.OccurrencesChanged, "valuesChanged", changed.ValuesChanged, "rowsChanged", changed.RowsChanged, "sheetsChanged", changed.SheetsChanged), nil
	},
	sheetExample(`"find_text": "Ada", "replace_text": "Eve"`, `"result": [{"success": true, "occurrencesChanged": 2, "valuesChanged": 2, "rowsChanged": 1, "sheetsChanged": 1}]`))

type sheetsDuplicatesInput struct {
	onSheet
	Columns   []string `json:"columns" default:"[]" doc:"Headers of the columns that are compared; without any all"`
	Keep      string   `json:"keep" default:"first" doc:"Which of them stays: first or last"`
	MatchCase bool     `json:"match_case" default:"false" doc:"Tell capitals and small letters apart"`
}

var sheetsDuplicates = sheetBlock("6eb50ff7-205b-400e-8ecc-1ce8d50075be", "Google Sheets Remove Duplicates", "Deletes rows that are as another one in the columns that count", 0,
	sdk.Outputs{resultOutput, count("removed_count", "How many were deleted"), count("remaining_rows", "How many stay, the header aside")},
	func(ctx context.Context, b *book, in sheetsDuplicatesInput) ([]pinned, error) {
		if in.Keep != "first" && in.Keep != "last" {
			return nil, sdk.InvalidInput("keep: %q is neither first nor last", in.Keep)
		}
		t, err := b.table(ctx, in.SheetName)
		if err != nil {
			return nil, err
		}
		var columns []int
		for _, name := range in.Columns {
			i, err := t.column(name)
			if err != nil {
				return nil, err
			}
			columns = append(columns, i)
		}
		if columns == nil {
			for i := range t.width() {
				columns = append(columns, i)
			}
		}
		seen, removed := map[string]bool{}, []int{}
		for i := 1; i < len(t.rows); i++ {
			n := i
			if in.Keep == "last" {
				n = len(t.rows) - i
			}
			key := ""
			for _, c := range columns {
				v := at(t.rows[n], c)
				if !in.MatchCase {
					v = strings.ToLower(v)
				}
				key += strconv.Quote(v)
			}
			if seen[key] {
				removed = append(removed, n)
			}
			seen[key] = true
		}
		if err := b.deleteAll(ctx, t.id, inRows, removed); err != nil {
			return nil, err
		}
		remaining := max(len(t.rows)-1, 0) - len(removed)
		return append(done(), pinned{"removed_count", len(removed)}, pinned{"remaining_rows", remaining}), nil
	},
	sheetExample(``, `"result": [{"success": true}], "removed_count": [0], "remaining_rows": [2]`))

// deleteAll deletes rows or columns by their indexes from 0, the last ones first: those before them stay where they are.
func (b *book) deleteAll(ctx context.Context, sheetID int64, kind string, indexes []int) error {
	if len(indexes) == 0 {
		return nil
	}
	slices.Sort(indexes)
	indexes = slices.Compact(indexes)
	slices.Reverse(indexes)
	var requests []*sheets.Request
	for _, i := range indexes {
		requests = append(requests, &sheets.Request{DeleteDimension: &sheets.DeleteDimensionRequest{Range: dimension(sheetID, kind, i, 1)}})
	}
	_, err := b.batch(ctx, requests...)
	return err
}
