package main

import "github.com/patchbay-io/patchbay/sdk"

var provider = sdk.Provider{
	Name: "google", DisplayName: "Google",
	OAuth: &sdk.OAuth{
		AuthorizeURL: "https://accounts.google.com/o/oauth2/auth",
		// A refresh token comes with consent alone, so that consent is asked for each time.
		AuthorizeParams: map[string]string{"access_type": "offline", "include_granted_scopes": "true", "prompt": "consent"},
		TokenURL:        "https://oauth2.googleapis.com/token",
		Account:         sdk.Account{URL: "https://www.googleapis.com/oauth2/v2/userinfo", ID: "id sub email", Username: "email"},
		Revocation:      sdk.Revocation{URL: "https://oauth2.googleapis.com/revoke", ClientAuth: sdk.None},
		AlwaysScopes: []string{
			"openid", "https://www.googleapis.com/auth/userinfo.email", "https://www.googleapis.com/auth/userinfo.profile",
		},
		PKCE: true,
	},
}
