package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/patchbay-io/patchbay/plugins/internal/value"
	"github.com/patchbay-io/patchbay/sdk"
)

// maxRows bounds in bytes what one run makes of a table: each row repeats the header.
const maxRows = 64 << 20

type readSpreadsheetInput struct {
	Contents    *string  `json:"contents" advanced:"false" placeholder:"a, b, c\n1,2,3\n4,5,6" doc:"CSV text to read, where there is no file"`
	File        *string  `json:"file_input" format:"file" advanced:"false" doc:"CSV or XLSX file to read: a stored file, a URL or a data URI"`
	Delimiter   string   `json:"delimiter" default:"," doc:"Character between cells"`
	Quote       string   `json:"quotechar" default:"\"" doc:"Character around cells that hold delimiters or line ends"`
	Escape      string   `json:"escapechar" default:"\\" doc:"Character before one that stands for itself"`
	HasHeader   bool     `json:"has_header" default:"true" doc:"The first row names the columns; without it they are named 0, 1, 2…"`
	SkipRows    int      `json:"skip_rows" default:"0" doc:"How many rows to leave out behind the header"`
	Strip       bool     `json:"strip" default:"true" doc:"Take white space away around each cell"`
	SkipColumns []string `json:"skip_columns" default:"[]" doc:"Columns to leave out, by their names or their places from 0"`
	Singular    bool     `json:"produce_singular_result" default:"false" doc:"Give the rows one by one"`
}

var readSpreadsheet = sdk.Block[readSpreadsheetInput]{
	ID:          "acf7625e-d2cb-4941-bfeb-2819fc6fc015",
	Name:        "Read Spreadsheet",
	Description: "Reads a table, CSV text or a CSV or XLSX file, into dictionaries: one for each row. A blank line of CSV text is a row without cells; of a workbook the first sheet is read, without its blank rows",
	Categories:  []string{"TEXT", "DATA"},
	Outputs: sdk.Outputs{
		sdk.Out("row", sdk.Map("A row, where they come one by one", sdk.String(""))),
		sdk.Out("rows", sdk.List("All rows, where they come together", sdk.Map("", sdk.String("")))),
	},
	Run: func(ctx context.Context, in readSpreadsheetInput, out sdk.Emitter) error {
		t := &tableReader{in: in}
		if err := in.read(ctx, t); err != nil {
			return err
		}
		if !in.Singular {
			return out.Emit("rows", value.ListOf(t.rows))
		}
		for _, row := range t.rows {
			if err := out.Emit("row", row); err != nil {
				return err
			}
		}
		return nil
	},
	Examples: []sdk.Example{
		{
			Input:  `{"contents": "name, age\nAda, 36\nAlan, 41"}`,
			Output: `{"rows": [[{"name": "Ada", "age": "36"}, {"name": "Alan", "age": "41"}]]}`,
		},
		{
			Input:  `{"contents": "1;2\n3;4", "delimiter": ";", "has_header": false, "produce_singular_result": true}`,
			Output: `{"row": [{"0": "1", "1": "2"}, {"0": "3", "1": "4"}]}`,
		},
	},
}

// read hands the rows of the file, or else of the text, to t.
func (in readSpreadsheetInput) read(ctx context.Context, t *tableReader) error {
	var d dialect
	for _, part := range []struct {
		pin, given string
		character  *rune
	}{
		{"delimiter", in.Delimiter, &d.delimiter}, {"quotechar", in.Quote, &d.quote}, {"escapechar", in.Escape, &d.escape},
	} {
		*part.character = none
		if part.given == "" && part.pin != "delimiter" {
			continue
		}
		if utf8.RuneCountInString(part.given) != 1 || strings.ContainsAny(part.given, "\r\n") {
			return sdk.InvalidInput("pin %q is not one character: %.20q", part.pin, part.given)
		}
		*part.character, _ = utf8.DecodeRuneInString(part.given)
	}
	if in.File == nil || *in.File == "" {
		if in.Contents == nil {
			return sdk.InvalidInput("there is neither a file nor text to read")
		}
		return readCSV(strings.TrimPrefix(*in.Contents, "\ufeff"), d, t.take)
	}
	content, err := contentOf(ctx, *in.File)
	if err != nil {
		return err
	}
	if isOldWorkbook(content) {
		return sdk.InvalidInput("the file is an XLS workbook, or one under a password: neither can be read")
	}
	if !isWorkbook(content) {
		return readCSV(decodeText(bytes.TrimPrefix(content, []byte("\ufeff"))), d, t.take)
	}
	table, err := readXLSX(ctx, content)
	if err != nil {
		return err
	}
	for _, row := range table {
		if err := t.take(row); err != nil {
			return err
		}
	}
	return nil
}

// tableReader makes dictionaries of rows.
type tableReader struct {
	in     readSpreadsheetInput
	header []column
	seen   int // rows, the header too
	rows   []json.RawMessage
	size   int // of rows, in bytes
}

// column is how one column of the table is shown.
type column struct {
	name string
	skip bool
}

func (t *tableReader) take(row []string) error {
	t.seen++
	if t.in.Strip {
		for i, cell := range row {
			row[i] = strings.TrimFunc(cell, value.IsSpace)
		}
	}
	if t.in.HasHeader && t.seen == 1 {
		for i, name := range row {
			t.addColumn(i, name)
		}
		return nil
	}
	before := t.seen - 1 // rows of data
	if t.in.HasHeader {
		before--
	}
	if before < t.in.SkipRows {
		return nil
	}
	if t.in.HasHeader && len(t.header) > 0 && len(row) > len(t.header) {
		return sdk.InvalidInput("row %d of the table has %d cells, and its header %d", t.seen, len(row), len(t.header))
	}
	for i := len(t.header); i < len(row); i++ {
		t.addColumn(i, strconv.Itoa(i))
	}
	var members []value.Member
	at := map[string]int{} // columns of the same name: the last one counts
	for i, cell := range row {
		name := t.header[i].name
		switch place, twice := at[name]; {
		case t.header[i].skip:
		case twice:
			members[place].Value = value.FromText(cell)
		default:
			at[name] = len(members)
			members = append(members, value.Member{RawKey: value.FromText(name), Value: value.FromText(cell)})
		}
	}
	object := value.ObjectOf(members)
	if t.size += len(object); t.size > maxRows {
		return sdk.InvalidInput("the rows are larger than %d MiB", maxRows>>20)
	}
	t.rows = append(t.rows, object)
	return nil
}

func (t *tableReader) addColumn(i int, name string) {
	skip := false
	for _, skipped := range t.in.SkipColumns {
		skip = skip || skipped == name || skipped == fmt.Sprint(i)
	}
	t.header = append(t.header, column{name, skip})
}
