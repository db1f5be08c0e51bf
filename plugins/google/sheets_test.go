package main

import (
	"strings"
	"testing"

	"github.com/patchbay-io/patchbay/sdk"
	"github.com/patchbay-io/patchbay/sdk/blocktest"
)

var sheetRoutes = map[string]string{
	"GET /v4/spreadsheets/s1": `{"properties": {"title": "People"}, "namedRanges": [{"name": "People", "namedRangeId": "n1", "range": {"endRowIndex": 3}}],
		"sheets": [{"properties": {"sheetId": 0, "title": "Sheet1"}, "data": [{"startRow": 1, "rowData": [{"values": [{}, {"note": "Check this"}]}]}]}, {"properties": {"sheetId": 5, "title": "Other"}}]}`,
	"GET /v4/spreadsheets/s1/values/{range}":      `{"range": "Sheet1!A1:B3", "values": [["Name", "Age"], ["Ada", "36"], ["Bob", "41"]]}`,
	"PUT /v4/spreadsheets/s1/values/{range}":      `{"spreadsheetId": "s1", "updatedRange": "Sheet1!A1:B1", "updatedCells": 2}`,
	"POST /v4/spreadsheets/s1/values/{range}":     `{"spreadsheetId": "s1", "clearedRange": "Sheet1!A1:B2", "updates": {"updatedRange": "Sheet1!A4:B4", "updatedRows": 1}}`,
	"POST /v4/spreadsheets/s1/values:batchUpdate": `{"totalUpdatedCells": 1}`,
	"POST /v4/spreadsheets/s1/values:batchClear":  `{}`,
	"POST /v4/spreadsheets/s1:batchUpdate": `{"replies": [{"addSheet": {"properties": {"sheetId": 9, "title": "New"}}, "addNamedRange": {"namedRange": {"namedRangeId": "n1"}},
		"addProtectedRange": {"protectedRange": {"protectedRangeId": 3}}, "findReplace": {"occurrencesChanged": 2, "valuesChanged": 2, "rowsChanged": 1, "sheetsChanged": 1},
		"duplicateSheet": {"properties": {"sheetId": 10, "title": "Twin"}}}]}`,
	"POST /v4/spreadsheets":                    `{"spreadsheetId": "s9", "spreadsheetUrl": "https://docs.google.com/spreadsheets/d/s9/edit"}`,
	"POST /v4/spreadsheets/s1/sheets/0:copyTo": `{"sheetId": 8, "title": "Copy of Sheet1"}`,
	"POST /files/s1/permissions":               `{"id": "p1"}`,
}

func TestSheets(t *testing.T) {
	t.Parallel()
	const batch = "POST /v4/spreadsheets/s1:batchUpdate"
	for _, test := range []struct{ block, input, call, query, body string }{
		{"Read", `"range": "'My Sheet'!A1:B2"`, "GET /v4/spreadsheets/s1/values/'My Sheet'!A1:B2", "", ""},
		{"Write", `"range": "A1", "values": [["1", "=2"], []]`, "PUT /v4/spreadsheets/s1/values/A1", "valueInputOption=USER_ENTERED", `{"values":[["1","=2"],[]]}`},
		{"Append Row", `"row": ["x"], "sheet_name": "Other", "value_input_option": "RAW"`, "POST /v4/spreadsheets/s1/values/'Other'!A1:append", "insertDataOption=INSERT_ROWS&valueInputOption=RAW", `{"values":[["x"]]}`},
		{"Clear", `"range": "Other!A:C"`, "POST /v4/spreadsheets/s1/values/Other!A:C:clear", "", "{}"},
		{"Update Cell", `"cell": "Other!B2", "value": "v"`, "PUT /v4/spreadsheets/s1/values/Other!B2", "valueInputOption=USER_ENTERED", `{"values":[["v"]]}`},
		{"Insert Row", `"row": ["x", "y"], "row_index": 3`, "PUT /v4/spreadsheets/s1/values/'Sheet1'!A3", "valueInputOption=USER_ENTERED", `{"values":[["x","y"]]}`},
		{"Update Row", `"row_index": 2, "values": ["a"], "dict_values": {"age": "3"}`, "POST /v4/spreadsheets/s1/values:batchUpdate", "",
			`{"data":[{"range":"'Sheet1'!A2","values":[["a"]]},{"range":"'Sheet1'!B2","values":[["3"]]}],"valueInputOption":"USER_ENTERED"}`},
		{"Batch Operations", `"operations": [{"type": "update", "range": "A1", "values": [["1"]]}, {"type": "clear", "range": "B1"}, {"type": "clear", "range": "C1"}]`,
			"POST /v4/spreadsheets/s1/values:batchClear", "", `{"ranges":["B1","C1"]}`},
		{"Import Csv", `"csv_data": "a,\"b\n1\"\nc", "start_cell": "B2", "clear_existing": true`, "PUT /v4/spreadsheets/s1/values/'Sheet1'!B2", "valueInputOption=RAW", `{"values":[["a","b\n1"],["c"]]}`},
		{"Add Column", `"header": "City", "position": "A"`, "PUT /v4/spreadsheets/s1/values/'Sheet1'!A1", "valueInputOption=USER_ENTERED", `{"values":[["City"]]}`},
		{"Delete Column", `"column": "b"`, batch, "", `{"requests":[{"deleteDimension":{"range":{"dimension":"COLUMNS","endIndex":2,"sheetId":0,"startIndex":1}}}]}`},
		{"Delete Rows", `"row_indices": [1, 3, 1], "sheet_name": "Other"`, batch, "",
			`{"requests":[{"deleteDimension":{"range":{"dimension":"ROWS","endIndex":3,"sheetId":5,"startIndex":2}}},{"deleteDimension":{"range":{"dimension":"ROWS","endIndex":1,"sheetId":5,"startIndex":0}}}]}`},
		{"Manage Sheet", `"operation": "delete", "sheet_name": "Sheet1"`, batch, "", `{"requests":[{"deleteSheet":{"sheetId":0}}]}`},
		{"Manage Sheet", `"operation": "copy", "destination_sheet_name": "Twin"`, batch, "", `{"requests":[{"duplicateSheet":{"newSheetName":"Twin","sourceSheetId":0}}]}`},
		{"Sort", `"sort_column": "Age", "sort_order": "descending", "secondary_column": "Name"`, batch, "",
			`{"requests":[{"sortRange":{"range":{"sheetId":0,"startRowIndex":1},"sortSpecs":[{"dimensionIndex":1,"sortOrder":"DESCENDING"},{"dimensionIndex":0,"sortOrder":"ASCENDING"}]}}]}`},
		{"Find Replace", `"find_text": "a", "replace_text": "", "sheet_id": 0, "match_case": true`, batch, "", `{"requests":[{"findReplace":{"find":"a","matchCase":true,"replacement":"","sheetId":0}}]}`},
		{"Format", `"range": "Other!A1:B2", "bold": true, "font_size": 0`, batch, "",
			`{"requests":[{"repeatCell":{"cell":{"userEnteredFormat":{"textFormat":{"bold":true}}},"fields":"userEnteredFormat.textFormat.bold","range":{"endColumnIndex":2,"endRowIndex":2,"sheetId":5,"startColumnIndex":0,"startRowIndex":0}}}]}`},
		{"Add Dropdown", `"range": "B2:B", "options": ["y"], "strict": false`, batch, "",
			`{"requests":[{"setDataValidation":{"range":{"endColumnIndex":2,"sheetId":0,"startColumnIndex":1,"startRowIndex":1},"rule":{"condition":{"type":"ONE_OF_LIST","values":[{"userEnteredValue":"y"}]},"showCustomUi":true}}}]}`},
		{"Add Note", `"cell": "C1", "note": "n"`, batch, "",
			`{"requests":[{"updateCells":{"fields":"note","range":{"endColumnIndex":3,"endRowIndex":1,"sheetId":0,"startColumnIndex":2,"startRowIndex":0},"rows":[{"values":[{"note":"n"}]}]}}]}`},
		{"Get Notes", `"sheet_name": "Other"`, "GET /v4/spreadsheets/s1", "fields=sheets.data%28startRow%2CstartColumn%2CrowData.values.note%29&ranges=%27Other%27%21A1%3AZ100", ""},
		{"Create Named Range", `"name": "N", "range": "2:3"`, batch, "", `{"requests":[{"addNamedRange":{"namedRange":{"name":"N","range":{"endRowIndex":3,"sheetId":0,"startRowIndex":1}}}}]}`},
		{"Protect Range", `"warning_only": true`, batch, "", `{"requests":[{"addProtectedRange":{"protectedRange":{"description":"Protected by automation","range":{"sheetId":0},"warningOnly":true}}}]}`},
		{"Share Spreadsheet", `"email": "a@b.example", "role": "writer", "message": "hi"`, "POST /files/s1/permissions", "emailMessage=hi&sendNotificationEmail=true&supportsAllDrives=true", `{"emailAddress":"a@b.example","role":"writer","type":"user"}`},
		{"Set Public Access", `"role": "commenter"`, "POST /files/s1/permissions", "supportsAllDrives=true", `{"role":"commenter","type":"anyone"}`},
		{"Set Public Access", `"public": false`, "DELETE /files/s1/permissions/anyoneWithLink", "supportsAllDrives=true", ""},
	} {
		t.Run(test.block, func(t *testing.T) {
			t.Parallel()
			g := newGoogle(t)
			values, err := g.run(t, "Google Sheets "+test.block, `{"spreadsheet": {"id": "https://docs.google.com/spreadsheets/d/s1/edit#gid=0", "_credentials_id": "c1"}, `+test.input+`}`)
			if err != nil {
				t.Fatal(err)
			}
			if got := g.last(t); got.call != test.call || got.query != test.query || strings.TrimSpace(got.body) != test.body {
				t.Errorf("asked\n got %s\n     %s\n     %s\nwant %s\n     %s\n     %s", got.call, got.query, strings.TrimSpace(got.body), test.call, test.query, test.body)
			}
			if file := value(t, values, "spreadsheet").(map[string]any); file["_credentials_id"] != "c1" {
				t.Errorf("the next block gets %v", file)
			}
		})
	}
}

func TestSheetsThatCannotBe(t *testing.T) {
	t.Parallel()
	g := newGoogle(t)
	for _, test := range []struct{ block, input, want string }{
		{"Read", `{"spreadsheet": {"id": "../x"}, "range": "A1"}`, "no id of a spreadsheet"},
		{"Read", `{"spreadsheet": {"id": "s1", "mime_type": "text/csv"}, "range": "A1"}`, "no spreadsheet"},
		{"Get Row", `{"spreadsheet": {"id": "s1"}, "row_index": 0}`, "from 1"},
		{"Get Column", `{"spreadsheet": {"id": "s1"}, "column": "Address"}`, `no column "Address"`},
		{"Get Column", `{"spreadsheet": {"id": "s1"}, "sheet_name": "None", "column": "A"}`, `no sheet "None"`},
		{"Add Dropdown", `{"spreadsheet": {"id": "s1"}, "range": "1A", "options": ["x"]}`, "no range of cells"},
		{"Manage Sheet", `{"spreadsheet": {"id": "s1"}, "operation": "delete"}`, "sheet_name is needed"},
	} {
		if _, err := g.run(t, "Google Sheets "+test.block, test.input); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s %s: got %v", test.block, test.input, err)
		}
	}
}

func TestRemovesDuplicates(t *testing.T) {
	t.Parallel()
	g := newGoogle(t, map[string]string{"GET /v4/spreadsheets/s1/values/{range}": `{"values": [["Name", "Age"], ["ada", 1], ["Bob"], ["Ada", 2], ["Bob", ""]]}`})
	for _, test := range []struct{ pins, want string }{
		{`"columns": ["Name"]`, `"endIndex":5,"sheetId":0,"startIndex":4}}},{"deleteDimension":{"range":{"dimension":"ROWS","endIndex":4,`},
		{`"columns": ["Name"], "keep": "last"`, `"endIndex":3,"sheetId":0,"startIndex":2}}},{"deleteDimension":{"range":{"dimension":"ROWS","endIndex":2,`},
	} {
		values, err := g.run(t, "Google Sheets Remove Duplicates", `{"spreadsheet": {"id": "s1"}, `+test.pins+`}`)
		if err != nil || value(t, values, "removed_count") != 2.0 || !strings.Contains(g.last(t).body, test.want) {
			t.Errorf("%s: %v, %v, %s", test.pins, values, err, g.last(t).body)
		}
	}
}

// FuzzRanges looks for ranges that break the reader.
func FuzzRanges(f *testing.F) {
	for _, text := range []string{"A1:B2", "$A$1", "A:A", "1:2", "", ":", "ZZZZ1", "A0"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if r, err := gridRange(0, text); err == nil && (r.StartRowIndex < 0 || r.StartColumnIndex < 0 || r.EndRowIndex < 0) {
			t.Errorf("%q is %+v", text, r)
		}
	})
}

func TestColumns(t *testing.T) {
	t.Parallel()
	for i := range 20000 {
		if back, ok := columnOf(letters(i)); i < 18278 && (!ok || back != i) || i >= 18278 && ok {
			t.Fatalf("%d is %s is %d, %t", i, letters(i), back, ok)
		}
	}
}

func TestPickedFilesBringTheirAccount(t *testing.T) {
	t.Parallel()
	d, err := named(t, "Google Sheets Read").Describe()
	if err != nil {
		t.Fatal(err)
	}
	if c := d.Credentials; len(c) != 1 || c[0].Inside != "spreadsheet" || c[0].Pin != "credentials" || strings.Contains(string(d.InputSchema), `"credentials":{`) {
		t.Errorf("credentials %v, schema %s", c, d.InputSchema)
	}
	if _, err := blocktest.RunContext(sdk.WithHost(t.Context(), &blocktest.Host{}), t, named(t, "Google Sheets Read"), `{"spreadsheet": {"id": "s1"}, "range": "A1"}`); err == nil ||
		!strings.Contains(err.Error(), "required") {
		t.Errorf("without credentials: %v", err)
	}
}
