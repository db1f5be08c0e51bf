package main

import (
	"context"

	"github.com/patchbay-io/patchbay/sdk"
)

var sheetBlocks = sdk.Blocks(
	sheetsRead, sheetsWrite, sheetsAppend, sheetsClear, sheetsMetadata, sheetsManage, sheetsBatch, sheetsFindReplace, sheetsFind,
	sheetsFormat, sheetsCreate, sheetsUpdateCell, sheetsFilter, sheetsLookup, sheetsRowCount, sheetsColumn, sheetsSort, sheetsUnique,
	sheetsInsertRow, sheetsAddColumn, sheetsDeleteRows, sheetsDeleteColumn, sheetsNamedRange, sheetsNamedRanges, sheetsDropdown,
	sheetsCopy, sheetsProtect, sheetsExport, sheetsImport, sheetsAddNote, sheetsNotes, sheetsShare, sheetsPublic, sheetsRow,
	sheetsUpdateRow, sheetsDuplicates,
)

// sheetBlock is a block that does something with one spreadsheet, which it puts out again at the end.
func sheetBlock[In interface {
	open(ctx context.Context) (*book, error)
}](id, name, description string, traits sdk.Traits, own sdk.Outputs, do func(ctx context.Context, b *book, in In) ([]pinned, error), example sdk.Example) sdk.Block[In] {
	return sdk.Block[In]{
		ID: id, Name: name, Description: description, Categories: []string{"DATA"}, Traits: traits, Outputs: outputs(own...), Run: onBook(do),
		Examples: []sdk.Example{example},
	}
}

// sheetExample is one with the spreadsheet s1.
func sheetExample(input, output string) sdk.Example {
	return pickedExample("spreadsheet", input, output)
}

func pickedExample(pin, input, output string) sdk.Example {
	e := sdk.Example{Input: `{"` + pin + `": {"id": "s1"}`, Output: `{`}
	if input != "" {
		e.Input += ", " + input
	}
	e.Input += "}"
	e.Output += output + `, "spreadsheet": [{"id": "s1", "name": null, "mime_type": null, "url": null, "icon_url": null, "is_folder": null}]}`
	return e
}

type onSheet struct {
	picked
	SheetName string `json:"sheet_name" default:"" doc:"Name of the sheet; without it the first"`
}

var (
	count     = func(pin, doc string) sdk.Output { return sdk.Out(pin, sdk.Integer(doc)) }
	textRow   = sdk.List("", sdk.String(""))
	textTable = func(pin, doc string) sdk.Output { return sdk.Out(pin, sdk.List(doc, textRow)) }
)
