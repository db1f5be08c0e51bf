// OAuth is the plugin of services that have no plugin of their own: users connect their accounts, and blocks of
// any plugin may ask for them. A service's settings have its name before theirs: notion_client_id.
package main

import "github.com/patchbay-io/patchbay/sdk"

var plugin = sdk.Plugin{
	Name: "oauth", Version: "0.1.0", Description: "Accounts of many services by OAuth, and of any that speaks OpenID Connect.",
	Providers: []sdk.Provider{discord, linear, linkedin, microsoft, notion, oidc, reddit, slack, todoist, twitter},
}

func main() { sdk.Serve(plugin) }
