// Time holds the blocks that wait, and those that tell the time.
package main

import "github.com/patchbay-io/patchbay/sdk"

var plugin = sdk.Plugin{
	Name:        "time",
	Version:     "0.1.0",
	Description: "Waiting, date and time",
	Blocks:      sdk.Blocks(countdownTimer, currentDateAndTime, currentDate, currentTime),
}

func main() { sdk.Serve(plugin) }
