// Patchbay builds, runs and watches agents.
package main

import (
	"os"

	"github.com/patchbay-io/patchbay/core/cli"
)

func main() { os.Exit(cli.Main(os.Args, os.Environ())) }
