// Google is the plugin for Google's services.
package main

import "github.com/patchbay-io/patchbay/sdk"

var plugin = sdk.Plugin{
	Name: "google", Version: "0.1.0", Description: "Google: accounts by OAuth.",
	Blocks:    blocks,
	Providers: []sdk.Provider{provider},
}

var blocks = sdk.Blocks()

func main() { sdk.Serve(plugin) }
