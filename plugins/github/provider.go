package main

import "github.com/patchbay-io/patchbay/sdk"

var provider = sdk.Provider{
	Name: "github", DisplayName: "GitHub", APIKey: true,
	OAuth: &sdk.OAuth{
		AuthorizeURL: "{base_url}/login/oauth/authorize",
		TokenURL:     "{base_url}/login/oauth/access_token",
		Account:      sdk.Account{URL: "{api_url}/user", ID: "id login", Username: "login"},
		Revocation: sdk.Revocation{
			Method: "DELETE", URL: "{api_url}/applications/{client_id}/token", ClientAuth: sdk.InJSON, TokenField: "access_token",
		},
		Settings: []sdk.PluginSetting{
			{Name: "base_url", Default: "https://github.com", Description: "Where users are sent: GitHub, or a GitHub Enterprise server"},
			{Name: "api_url", Default: "https://api.github.com", Description: "Its API; https://HOST/api/v3 of a GitHub Enterprise server"},
		},
		Headers: map[string]string{"X-GitHub-Api-Version": "2022-11-28"},
		PKCE:    true,
	},
}
