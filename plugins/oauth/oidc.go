package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"

	openid "github.com/coreos/go-oidc/v3/oidc"

	"github.com/patchbay-io/patchbay/sdk"
)

// oidc is any service that describes itself by OpenID Connect discovery.
var oidc = sdk.Provider{
	Name: "oidc", DisplayName: "OpenID Connect",
	OAuth: &sdk.OAuth{
		Settings: []sdk.PluginSetting{
			{Name: "issuer", Required: true, Description: "Issuer; its description lies under /.well-known/openid-configuration"},
		},
		ClientAuth:    sdk.InBasic,
		Account:       sdk.Account{ID: "sub", Username: "email preferred_username name"},
		Revocation:    sdk.Revocation{ClientAuth: sdk.InBasic},
		DefaultScopes: []string{"profile", "email", "offline_access"},
		AlwaysScopes:  []string{"openid"},
		PKCE:          true,
		Discover:      discover,
		Finish:        verifyIdentity,
	},
}

func describe(ctx context.Context, s sdk.Service) (*openid.Provider, error) {
	return openid.NewProvider(openid.ClientContext(ctx, s.Client), s.Setting("issuer"))
}

func discover(ctx context.Context, s sdk.Service) (sdk.Endpoints, error) {
	d, err := describe(ctx, s)
	if err != nil {
		return sdk.Endpoints{}, err
	}
	var more struct {
		Revocation string `json:"revocation_endpoint"`
	}
	if err := d.Claims(&more); err != nil {
		return sdk.Endpoints{}, err
	}
	return sdk.Endpoints{
		AuthorizeURL: d.Endpoint().AuthURL, TokenURL: d.Endpoint().TokenURL, AccountURL: d.UserInfoEndpoint(), RevokeURL: more.Revocation,
	}, nil
}

// verifyIdentity takes the account from the ID token, where there is one, without asking for it.
func verifyIdentity(ctx context.Context, s sdk.Service, reply []byte, t *sdk.Token) error {
	var said struct {
		IDToken string `json:"id_token"`
	}
	if err := json.Unmarshal(reply, &said); err != nil || said.IDToken == "" {
		return nil // a form, or a refreshed token: userinfo tells
	}
	d, err := describe(ctx, s)
	if err != nil {
		return err
	}
	// The client is this run's, so that the keys are fetched by it and not kept.
	verifier := d.VerifierContext(openid.ClientContext(ctx, s.Client), &openid.Config{ClientID: s.ClientID})
	token, err := verifier.Verify(ctx, said.IDToken)
	if err != nil {
		return fmt.Errorf("with an ID token that is not valid: %w", err)
	}
	var claims struct {
		Email    string `json:"email"`
		Username string `json:"preferred_username"`
		Name     string `json:"name"`
	}
	if err := token.Claims(&claims); err != nil {
		return fmt.Errorf("with an ID token that is not valid: %w", err)
	}
	t.AccountID, t.Username = token.Subject, cmp.Or(claims.Email, claims.Username, claims.Name, token.Subject)
	return nil
}
