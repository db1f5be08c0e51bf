package main

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/xuri/excelize/v2"

	"github.com/patchbay-io/patchbay/sdk"
)

// Bounds of a workbook, which is compressed: a small file can hold much.
const (
	maxUnzipped = 128 << 20
	maxCells    = 4_000_000
)

// isWorkbook says whether a file is an XLSX workbook, or looks like one: a ZIP archive.
func isWorkbook(content []byte) bool { return bytes.HasPrefix(content, []byte("PK\x03\x04")) }

// isOldWorkbook says whether a file is of Microsoft's older container: XLS, or a workbook under a password.
func isOldWorkbook(content []byte) bool {
	return bytes.HasPrefix(content, []byte("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"))
}

// readXLSX gives the cells of a workbook's first sheet, all rows of the same width: dates as ISO 8601 has them,
// numbers as they are and not as they are shown. Blank rows are left out.
func readXLSX(ctx context.Context, content []byte) (table [][]string, err error) {
	defer func() {
		if r := recover(); r != nil { // the library trusts what refers to what in a file
			err = sdk.InvalidInput("the workbook is damaged: %v", r)
		}
	}()
	book, err := excelize.OpenReader(bytes.NewReader(content), excelize.Options{UnzipSizeLimit: maxUnzipped})
	if err != nil {
		return nil, sdk.InvalidInput("the file is no XLSX workbook that can be read: %w", err)
	}
	defer func() { _ = book.Close() }() // it removes its temporary files
	sheets := book.GetSheetList()
	if len(sheets) == 0 {
		return nil, sdk.InvalidInput("the workbook has no sheet")
	}
	if err := simplifyFormats(book); err != nil {
		return nil, sdk.InvalidInput("the workbook's styles cannot be read: %w", err)
	}
	rows, err := book.Rows(sheets[0])
	if err != nil {
		return nil, sdk.InvalidInput("the sheet %q cannot be read: %w", sheets[0], err)
	}
	defer func() { _ = rows.Close() }()
	cells, width := 0, 0
	for rows.Next() {
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		row, err := rows.Columns()
		if err != nil {
			return nil, sdk.InvalidInput("the sheet %q cannot be read: %w", sheets[0], err)
		}
		if len(row) == 0 {
			continue
		}
		if cells += len(row); cells > maxCells {
			return nil, errTooManyCells()
		}
		width = max(width, len(row))
		table = append(table, row)
	}
	if err := rows.Error(); err != nil {
		return nil, sdk.InvalidInput("the sheet %q cannot be read: %w", sheets[0], err)
	}
	if width*len(table) > maxCells {
		return nil, errTooManyCells()
	}
	for i, row := range table {
		table[i] = append(row, make([]string, width-len(row))...)
	}
	return table, nil
}

func errTooManyCells() error {
	return sdk.InvalidInput("the sheet has more than %d cells", maxCells)
}

// unformatted is a number format that does not exist: cells that have it show what they hold.
const unformatted = -1

// simplifyFormats puts dates and times of all formats into one, and takes the formats of other numbers away. Times
// that are durations keep theirs.
func simplifyFormats(book *excelize.File) error {
	styles := book.Styles
	if styles == nil || styles.CellXfs == nil {
		return nil
	}
	custom := map[int]string{}
	if styles.NumFmts != nil {
		for _, format := range styles.NumFmts.NumFmt {
			custom[format.NumFmtID] = format.FormatCode
		}
	}
	simple := map[moment]int{noMoment: unformatted}
	used := len(styles.CellXfs.Xf)
	for kind, code := range map[moment]string{date: "yyyy-mm-dd", timeOfDay: "hh:mm:ss", dateAndTime: "yyyy-mm-dd hh:mm:ss"} {
		id, err := book.NewStyle(&excelize.Style{CustomNumFmt: &code})
		if err != nil {
			return fmt.Errorf("add a style: %w", err)
		}
		simple[kind] = *styles.CellXfs.Xf[id].NumFmtID
	}
	for i := range styles.CellXfs.Xf[:used] {
		style := &styles.CellXfs.Xf[i]
		if style.NumFmtID == nil {
			continue
		}
		kind := builtIn(*style.NumFmtID)
		if code, ok := custom[*style.NumFmtID]; ok {
			kind = momentOf(code)
		}
		if id, ok := simple[kind]; ok {
			style.NumFmtID = &id
		}
	}
	return nil
}

// moment is what of a moment a number format shows.
type moment int

const (
	noMoment moment = iota
	date
	timeOfDay
	dateAndTime
	duration
)

// builtIn tells of the formats that workbooks do not spell out.
func builtIn(id int) moment {
	switch {
	case id >= 14 && id <= 17, id >= 27 && id <= 31, id == 36, id >= 50 && id <= 54, id == 57, id == 58:
		return date
	case id >= 18 && id <= 21, id >= 32 && id <= 35, id == 45, id == 47, id == 55, id == 56:
		return timeOfDay
	case id == 22:
		return dateAndTime
	case id == 46:
		return duration
	default:
		return noMoment
	}
}

var (
	elapsed = regexp.MustCompile(`(?i)\[(h+|m+|s+)\]`)
	// literal is what stands in a format for itself, for a colour or for a language.
	literal = regexp.MustCompile(`"[^"]*"|\[[^\]]*\]|[\\_*].`)
)

// momentOf reads a number format: the part for positive numbers.
func momentOf(code string) moment {
	code, _, _ = strings.Cut(literal.ReplaceAllString(elapsed.ReplaceAllString(code, "\x00"), ""), ";")
	code = strings.ToLower(code)
	hasTime, hasDate := strings.ContainsAny(code, "hs"), strings.ContainsAny(code, "yd")
	switch {
	case strings.HasPrefix(code, "general"):
		return noMoment
	case strings.Contains(code, "\x00"):
		return duration
	case hasTime && hasDate:
		return dateAndTime
	case hasTime:
		return timeOfDay
	case hasDate, strings.Contains(code, "m"):
		return date
	default:
		return noMoment
	}
}
