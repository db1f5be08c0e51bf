// Testplugin is a plugin that does what plugins should not. What it is depends on the name of its executable, since
// nothing of the tests' environment reaches it, or on its version: 2.0.0-crash is one that crashes.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/patchbay-io/patchbay/sdk"
)

func main() {
	name := filepath.Base(os.Args[0])
	if len(os.Args) != 1 || !filepath.IsAbs(os.Args[0]) {
		fmt.Fprintln(os.Stderr, "started with odd arguments:", os.Args)
		os.Exit(9)
	}
	kind, _, _ := strings.Cut(name, "_")
	version := filepath.Base(filepath.Dir(os.Args[0])) // of one that is installed
	if version == name {
		version = "1.0.0"
	}
	if _, as, ok := strings.Cut(version, "-"); ok {
		kind = as
	}
	switch kind {
	case "crash": // dies before the handshake
		fmt.Fprintln(os.Stderr, "no licence found")
		os.Exit(3)
	case "hang": // never says hello
		time.Sleep(time.Hour)
	case "shortlived": // dies soon after each start
		go func() {
			time.Sleep(200 * time.Millisecond)
			fmt.Fprintln(os.Stderr, "out of luck")
			os.Exit(4)
		}()
	}
	p := sdk.Plugin{Name: name, Version: version, Description: "Misbehaves on demand"}
	switch kind {
	case "needy":
		p.Settings = []sdk.PluginSetting{{Name: "token", Required: true}, {Name: "url", Default: "http://default"}}
		p.Blocks = sdk.Blocks(settings())
	case "shortlived":
		p.Blocks = sdk.Blocks(echo("cccccccc-0000-4000-8000-000000000001"))
	case "idp", "idptwin":
		p.Providers = providers(name)
	case "one": // of many, which share nothing
		p.Blocks = sdk.Blocks(echo(fmt.Sprintf("eeeeeeee-0000-4000-8000-%012s", strings.TrimPrefix(name, "one_"))))
	case "twin":
		p.Blocks = sdk.Blocks(echo("aaaaaaaa-0000-4000-8000-000000000001"))
	default:
		p.Blocks = blocks()
	}
	sdk.Serve(p)
}
