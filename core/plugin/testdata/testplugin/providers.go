package main

import (
	"context"

	"github.com/patchbay-io/patchbay/sdk"
)

// providers are one that is called like its plugin, one that panics with a secret, and one for keys alone.
func providers(plugin string) []sdk.Provider {
	endpoints := sdk.OAuth{AuthorizeURL: "https://idp.example/authorize", TokenURL: "https://idp.example/token", PKCE: true, DefaultScopes: []string{"a", "b"}}
	odd := endpoints
	odd.Discover = func(_ context.Context, s sdk.Service) (sdk.Endpoints, error) { panic(s.ClientSecret) }
	return []sdk.Provider{
		{Name: plugin, DisplayName: "An IdP", OAuth: &endpoints},
		{Name: "odd", DisplayName: "Odd", OAuth: &odd},
		{Name: "keys", DisplayName: "Keys", APIKey: true, Serialised: true},
	}
}
