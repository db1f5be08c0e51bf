// Time holds the blocks that wait.
package main

import "github.com/patchbay-io/patchbay/sdk"

var plugin = sdk.Plugin{
	Name:        "time",
	Version:     "0.1.0",
	Description: "Waiting",
	Blocks:      sdk.Blocks(countdownTimer),
}

func main() { sdk.Serve(plugin) }
