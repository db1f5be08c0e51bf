// Github is the plugin for GitHub, and for GitHub Enterprise by the settings base_url and api_url.
package main

import "github.com/patchbay-io/patchbay/sdk"

var plugin = sdk.Plugin{
	Name: "github", Version: "0.1.0", Description: "GitHub: accounts by OAuth or by token.",
	Blocks:    blocks,
	Providers: []sdk.Provider{provider},
}

var blocks = sdk.Blocks()

func main() { sdk.Serve(plugin) }
