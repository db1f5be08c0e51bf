package main

import (
	"archive/zip"
	"bytes"
	"io"
	"io/fs"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/xuri/excelize/v2"
)

// workbook makes a file with cells in its first sheet; formats are number formats of some of them.
func workbook(t testing.TB, cells map[string]any, formats map[string]string) []byte {
	t.Helper()
	book := excelize.NewFile()
	for cell, v := range cells {
		if err := book.SetCellValue("Sheet1", cell, v); err != nil {
			t.Fatal(err)
		}
	}
	for cell, format := range formats {
		style, err := book.NewStyle(&excelize.Style{CustomNumFmt: &format})
		if err != nil {
			t.Fatal(err)
		}
		if err := book.SetCellStyle("Sheet1", cell, cell, style); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := book.NewSheet("Other"); err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if err := book.Write(&file); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func TestWorkbook(t *testing.T) {
	t.Parallel()
	noon := time.Date(2024, 2, 29, 12, 30, 0, 0, time.UTC)
	file := workbook(t, map[string]any{
		"A1": "text", "B1": "number", "C1": "date", "D1": "e",
		"A3": " é<&> ", "B3": 0.1 + 0.2, "C3": noon, "D3": true,
		"A4": "=1+1", "B4": 1234.5, "C4": noon,
		"A6": "x", "B6": 45000, "C6": noon, "D6": 1.5,
	}, map[string]string{
		"B4": `[Red]#,##0.00 "days"`, "C4": `[$-409]d\-mmm\-yy;@`, "C6": "h:mm AM/PM", "D6": "[h]:mm",
	})
	got, err := readXLSX(t.Context(), file)
	want := [][]string{
		{"text", "number", "date", "e"},
		{" é<&> ", "0.3", "2024-02-29 12:30:00", "TRUE"},
		{"=1+1", "1234.5", "2024-02-29", ""},
		{"x", "45000", "12:30:00", "36:00"},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\n got %q\nwant %q", err, got, want)
	}
}

func TestMoments(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]moment{
		"General": noMoment, "0.00E+00": noMoment, `0 "hours, days"`: noMoment, "[Red]0": noMoment, `\d0`: noMoment, "@": noMoment,
		"yyyy": date, "mmm": date, `dd\.mm\.yyyy`: date, "d/m/yy;@": date, "hh:mm": timeOfDay, "mm:ss.0": timeOfDay,
		"m/d/yy h:mm": dateAndTime, "[hh]:mm": duration, "[ss]": duration, "[$-F400]h:mm:ss AM/PM": timeOfDay,
	} {
		if got := momentOf(code); got != want {
			t.Errorf("%s: %d, want %d", code, got, want)
		}
	}
}

func TestWorkbookThatIsNoneOrHarmfulIsRefused(t *testing.T) {
	t.Parallel()
	good := workbook(t, map[string]any{"A1": 1}, nil)
	const sheet = "xl/worksheets/sheet1.xml"
	begin, end, _ := strings.Cut(part(t, good, sheet), "<sheetData>")
	_, end, _ = strings.Cut(end, "</sheetData>")
	with := func(rows string) []byte {
		return replaced(t, good, map[string]string{sheet: begin + "<sheetData>" + rows + "</sheetData>" + end})
	}
	wide := strings.Repeat(`<row><c r="XFD1"><v>1</v></c></row>`, maxCells/excelize.MaxColumns+1)
	for name, test := range map[string]struct {
		file []byte
		want string
	}{
		"cut":         {good[:len(good)/2], "no XLSX workbook"},
		"not one":     {[]byte("PK\x03\x04 and text"), "no XLSX workbook"},
		"wide":        {with(wide), "more than 4000000 cells"},
		"long":        {with(`<row r="1"><c r="XFD1"><v>1</v></c></row><row r="1048576"><c r="A1048576"><v>1</v></c></row>`), ""},
		"other files": {zipped(t, map[string]string{"a.txt": "x"}), "no XLSX workbook"},
		"bomb":        {replaced(t, good, map[string]string{sheet: strings.Repeat(" ", maxUnzipped)}), "no XLSX workbook"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			table, err := readXLSX(t.Context(), test.file)
			if test.want == "" {
				if err != nil || len(table) != 2 || len(table[1]) != excelize.MaxColumns {
					t.Errorf("%d rows, %v", len(table), err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%d rows, %v, want %s", len(table), err, test.want)
			}
		})
	}
}

func zipped(t testing.TB, files map[string]string) []byte {
	t.Helper()
	var archive bytes.Buffer
	w := zip.NewWriter(&archive)
	for name, content := range files {
		file, err := w.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(file, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return archive.Bytes()
}

// The sheet, the styles and the shared strings are a stranger's XML, and so is what refers to what.
func FuzzXLSX(f *testing.F) {
	good := workbook(f, map[string]any{"A1": "text", "B2": 1.5, "C3": time.Unix(0, 0), "D4": true}, map[string]string{"B2": "yyyy"})
	f.Add(part(f, good, "xl/worksheets/sheet1.xml"), part(f, good, "xl/styles.xml"), part(f, good, "xl/sharedStrings.xml"))
	f.Fuzz(func(t *testing.T, sheet, styles, texts string) {
		file := replaced(t, good, map[string]string{"xl/worksheets/sheet1.xml": sheet, "xl/styles.xml": styles, "xl/sharedStrings.xml": texts})
		table, err := readXLSX(t.Context(), file)
		for _, row := range table {
			if len(row) != len(table[0]) || err != nil {
				t.Fatalf("the rows are not of one width: %q, %v", table, err)
			}
		}
	})
}

func part(t testing.TB, file []byte, name string) string {
	t.Helper()
	archive, err := zip.NewReader(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	content, err := fs.ReadFile(archive, name)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func replaced(t testing.TB, file []byte, parts map[string]string) []byte {
	t.Helper()
	archive, err := zip.NewReader(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, f := range archive.File {
		all[f.Name] = part(t, file, f.Name)
	}
	maps.Copy(all, parts)
	return zipped(t, all)
}
