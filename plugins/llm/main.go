// Llm holds the blocks that ask language models. Providers are asked through the host, by the vendors' own libraries;
// which model is whose stands in models.json. Nothing of a run, and no key, outlives the run here.
package main

import (
	"github.com/patchbay-io/patchbay/plugins/internal/jinja"
	"github.com/patchbay-io/patchbay/sdk"
)

var plugin = sdk.Plugin{
	Name:        "llm",
	Version:     "0.1.0",
	Description: "Language models",
	Blocks:      sdk.Blocks(textGenerator, structuredGenerator, conversation, listGenerator, textSummarizer, condition),
	Settings:    settings(),
	Permissions: sdk.Permissions{Memory: 2048}, // prompts are rendered in processes of up to 512 MiB
}

func main() {
	jinja.ServeChild()
	sdk.Serve(plugin)
}
