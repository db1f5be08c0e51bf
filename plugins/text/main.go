// Text holds the blocks that make, take apart, search and measure text. Templates are rendered in child processes.
package main

import (
	"github.com/patchbay-io/patchbay/plugins/internal/jinja"
	"github.com/patchbay-io/patchbay/sdk"
)

var plugin = sdk.Plugin{
	Name:        "text",
	Version:     "0.1.0",
	Description: "Templates, patterns and text",
	Blocks: sdk.Blocks(
		fillTextTemplate, combineTexts, textReplace, textSplit,
		countWords, textDecoder, extractCode, printToConsole,
		matchTextPattern, extractText,
	),
	Permissions: sdk.Permissions{Memory: 2048}, // templates are rendered in processes of up to 512 MiB
}

func main() {
	jinja.ServeChild()
	sdk.Serve(plugin)
}
