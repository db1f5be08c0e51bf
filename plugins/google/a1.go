package main

import (
	"context"
	"strconv"
	"strings"

	"google.golang.org/api/sheets/v4"

	"github.com/patchbay-io/patchbay/sdk"
)

// quote is a sheet's name in the A1 notation.
func quote(title string) string { return "'" + strings.ReplaceAll(title, "'", "''") + "'" }

// area is a range of a sheet; one that names its sheet stays as it is, and so does one without a sheet.
func area(sheet, cells string) string {
	if sheet == "" || strings.Contains(cells, "!") {
		return cells
	}
	return quote(sheet) + "!" + cells
}

// letters are a column's, of its index from 0.
func letters(column int) string {
	text := ""
	for column++; column > 0; column = (column - 1) / 26 {
		text = string(rune('A'+(column-1)%26)) + text
	}
	return text
}

// columnOf is the index from 0 of a column's letters.
func columnOf(text string) (int, bool) {
	text = strings.ToUpper(strings.TrimSpace(text))
	if text == "" || len(text) > 3 {
		return 0, false
	}
	n := 0
	for _, c := range text {
		if c < 'A' || c > 'Z' {
			return 0, false
		}
		n = n*26 + int(c-'A') + 1
	}
	return n - 1, true
}

// split parts "Sheet1!A1:B2" into the sheet's name and the cells.
func split(text string) (sheet, cells string) {
	i := strings.LastIndexByte(text, '!')
	if i < 0 {
		return "", text
	}
	sheet, cells = text[:i], text[i+1:]
	if len(sheet) > 1 && sheet[0] == '\'' && sheet[len(sheet)-1] == '\'' {
		sheet = strings.ReplaceAll(sheet[1:len(sheet)-1], "''", "'")
	}
	return sheet, cells
}

// corner reads "B2", "B" or "2"; -1 is what is open.
func corner(text string) (row, column int, ok bool) {
	text = strings.ReplaceAll(strings.TrimSpace(text), "$", "")
	i := 0
	for i < len(text) && (text[i] < '0' || text[i] > '9') {
		i++
	}
	row, column = -1, -1
	if i > 0 {
		if column, ok = columnOf(text[:i]); !ok {
			return 0, 0, false
		}
	}
	if i < len(text) {
		n, err := strconv.Atoi(text[i:])
		if err != nil || n < 1 || n > 1e8 {
			return 0, 0, false
		}
		row = n - 1
	}
	return row, column, text != ""
}

// gridRange is cells in the A1 notation as Google's batches want them; without cells it is the whole sheet.
func gridRange(sheetID int64, cells string) (*sheets.GridRange, error) {
	r := &sheets.GridRange{SheetId: sheetID, ForceSendFields: []string{"SheetId"}}
	if strings.TrimSpace(cells) == "" {
		return r, nil
	}
	from, to, several := strings.Cut(cells, ":")
	if !several {
		to = from
	}
	row, column, ok := corner(from)
	lastRow, lastColumn, lastOK := corner(to)
	if !ok || !lastOK {
		return nil, sdk.InvalidInput("%q is no range of cells; write it as in A1:B2", cells)
	}
	if row >= 0 {
		r.StartRowIndex = int64(row)
		r.ForceSendFields = append(r.ForceSendFields, "StartRowIndex")
	}
	if column >= 0 {
		r.StartColumnIndex = int64(column)
		r.ForceSendFields = append(r.ForceSendFields, "StartColumnIndex")
	}
	if lastRow >= 0 {
		r.EndRowIndex = int64(lastRow) + 1
	}
	if lastColumn >= 0 {
		r.EndColumnIndex = int64(lastColumn) + 1
	}
	return r, nil
}

// grid finds the sheet of a range, which the range itself or a pin names, the first otherwise.
func (b *book) grid(ctx context.Context, sheet, text string) (*sheets.GridRange, error) {
	named, cells := split(text)
	if named == "" {
		named = sheet
	}
	p, err := b.sheet(ctx, named)
	if err != nil {
		return nil, err
	}
	return gridRange(p.SheetId, cells)
}

// dimension is rows or columns of a sheet, from an index on.
func dimension(sheetID int64, kind string, from, count int) *sheets.DimensionRange {
	return &sheets.DimensionRange{SheetId: sheetID, Dimension: kind, StartIndex: int64(from), EndIndex: int64(from + count), ForceSendFields: []string{"SheetId", "StartIndex"}}
}

const (
	inRows    = "ROWS"
	inColumns = "COLUMNS"
)
