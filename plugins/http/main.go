// Http holds the blocks that ask the web. Every request is made by the server, under its rules for addresses; this
// process must never open a connection itself.
package main

import "github.com/patchbay-io/patchbay/sdk"

var plugin = sdk.Plugin{
	Name:        "http",
	Version:     "0.1.0",
	Description: "Web requests, feeds and Wikipedia",
	Blocks:      sdk.Blocks(sendWebRequest, sendAuthenticated, readFeed, wikipediaSummary),
	Settings: []sdk.PluginSetting{
		{Name: wikipediaURL, Description: "Where Wikipedia is", Default: "https://en.wikipedia.org"},
	},
}

func main() { sdk.Serve(plugin) }
