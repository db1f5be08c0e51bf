// Google is the plugin for Google's services: mail, calendars and spreadsheets.
package main

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/patchbay-io/patchbay/sdk"
)

var plugin = sdk.Plugin{
	Name: "google", Version: "0.1.0", Description: "Google: accounts by OAuth, Gmail, calendars, spreadsheets.",
	Blocks:    plainly(slices.Concat(mailBlocks, calendarBlocks, sheetBlocks)),
	Providers: []sdk.Provider{provider},
	Settings:  settings,
}

// plainly makes the blocks say what is wrong without the requests in which it was found.
func plainly(blocks []sdk.Definition) []sdk.Definition {
	for i := range blocks {
		blocks[i] = plain{blocks[i]}
	}
	return blocks
}

type plain struct{ sdk.Definition }

func (b plain) Execute(ctx context.Context, input json.RawMessage, out sdk.Emitter) error {
	return innermost(b.Definition.Execute(ctx, input, out))
}

func main() { sdk.Serve(plugin) }
