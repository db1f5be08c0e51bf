// Logic holds the blocks that decide, calculate, count and repeat.
package main

import "github.com/patchbay-io/patchbay/sdk"

var plugin = sdk.Plugin{
	Name:        "logic",
	Version:     "0.1.0",
	Description: "Conditions, loops, calculating and counting",
	Blocks:      sdk.Blocks(condition, ifInputMatches, stepThroughItems, calculator, countItems),
}

func main() { sdk.Serve(plugin) }
