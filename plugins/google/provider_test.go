package main

import (
	"slices"
	"testing"

	"github.com/patchbay-io/patchbay/sdk/blocktest"
)

func TestGoogleGivesARefreshTokenForConsent(t *testing.T) {
	t.Parallel()
	server := (&blocktest.OAuthServer{
		AuthorizePath: "/o/oauth2/auth", TokenPath: "/token", AccountPath: "/oauth2/v2/userinfo", RevokePath: "/revoke",
		PKCE: true, ExpiresIn: 3599, Account: `{"id":"110248495921238986420","email":"ada@gmail.com"}`,
	}).Start(t)
	p := blocktest.NewProvider(t, plugin, "google", map[string]string{
		"client_id": "id", "client_secret": "secret", "authorize_url": server.URL() + "/o/oauth2/auth", "token_url": server.URL() + "/token",
		"account_url": server.URL() + "/oauth2/v2/userinfo", "revoke_url": server.URL() + "/revoke",
	})
	const sheets = "https://www.googleapis.com/auth/spreadsheets"
	query := p.AuthorizationURL("http://127.0.0.1/callback", "st", sheets).Query()
	for name, want := range map[string]string{
		"access_type": "offline", "include_granted_scopes": "true", "prompt": "consent", "code_challenge_method": "S256",
		"scope": "openid https://www.googleapis.com/auth/userinfo.email https://www.googleapis.com/auth/userinfo.profile " + sheets,
	} {
		if got := query.Get(name); got != want {
			t.Errorf("the authorization URL has %s=%q, want %q", name, got, want)
		}
	}
	tokens, err := p.Connect(sheets)
	if err != nil {
		t.Fatal(err)
	}
	if tokens.GetAccount().GetUsername() != "ada@gmail.com" || tokens.GetExpiresAt() == 0 || !slices.Contains(tokens.GetScopes(), sheets) {
		t.Errorf("account %v, scopes %q", tokens.GetAccount(), tokens.GetScopes())
	}
	fresh, err := p.Refresh(tokens.GetRefreshToken(), tokens.GetScopes()...)
	if err != nil || fresh.GetRefreshToken() != tokens.GetRefreshToken() {
		t.Errorf("refreshing: %v; the refresh token must stay", err)
	}
	if revoked, err := p.Revoke(fresh.GetAccessToken(), fresh.GetRefreshToken()); err != nil || !revoked {
		t.Errorf("revoked: %t, %v", revoked, err)
	}
	if seen := server.Seen("/revoke"); len(seen) != 1 || seen[0].Form.Get("token") != fresh.GetRefreshToken() {
		t.Errorf("the requests to revoke were %v", seen)
	}
}
