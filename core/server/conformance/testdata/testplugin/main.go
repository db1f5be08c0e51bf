// Testplugin has the blocks of the conformance cases. Under a name that ends in _pure those without an effect say that
// they have none, so that every case runs both ways.
package main

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/patchbay-io/patchbay/sdk"
)

func main() {
	name := filepath.Base(os.Args[0])
	var traits sdk.Traits
	if strings.HasSuffix(name, "_pure") {
		traits = sdk.Pure
	}
	sdk.Serve(sdk.Plugin{
		Name: name, Version: "1.0.0", Blocks: append(blocks(traits), withCredentials()...),
		Settings: []sdk.PluginSetting{{Name: "control", Description: "Socket on which the tests hold blocks back"}},
	})
}
