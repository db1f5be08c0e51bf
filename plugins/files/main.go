// Files holds the blocks that store and read files: text and tables. It knows files only by the host's services, and
// must never open a path itself.
package main

import "github.com/patchbay-io/patchbay/sdk"

var plugin = sdk.Plugin{
	Name:        "files",
	Version:     "0.1.0",
	Description: "Files, text in files, and spreadsheets",
	Blocks:      sdk.Blocks(storeFile, readFile, readSpreadsheet),
}

func main() { sdk.Serve(plugin) }
