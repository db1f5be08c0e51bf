package main

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/patchbay-io/patchbay/sdk"
	"github.com/patchbay-io/patchbay/sdk/blocktest"
	"github.com/patchbay-io/patchbay/sdk/proto"
)

func start(t *testing.T, server *blocktest.OAuthServer) *blocktest.Provider {
	t.Helper()
	server.AuthorizePath, server.TokenPath = "/login/oauth/authorize", "/login/oauth/access_token"
	server.AccountPath, server.RevokePath = "/api/v3/user", "/api/v3/applications/id/token"
	server.Account, server.Separator, server.PKCE = `{"login":"octocat","id":583231}`, ",", true
	server.ErrorStatus, server.RefusedCode = http.StatusOK, "bad_verification_code"
	server.Start(t)
	return blocktest.NewProvider(t, plugin, "github", map[string]string{
		"client_id": "id", "client_secret": "secret", "base_url": server.URL() + "/", "api_url": server.URL() + "/api/v3",
	})
}

func TestGitHubTokensDoNotExpire(t *testing.T) {
	t.Parallel()
	server := &blocktest.OAuthServer{NoRefresh: true}
	p := start(t, server)
	tokens, err := p.Connect("repo", "user")
	if err != nil {
		t.Fatal(err)
	}
	if tokens.GetExpiresAt() != 0 || tokens.GetRefreshToken() != "" || !slices.Equal(tokens.GetScopes(), []string{"repo", "user"}) {
		t.Errorf("expires at %d, scopes %q", tokens.GetExpiresAt(), tokens.GetScopes())
	}
	if a := tokens.GetAccount(); a.GetId() != "583231" || a.GetUsername() != "octocat" {
		t.Errorf("the account is %v", a)
	}
	revoked, err := p.Revoke(tokens.GetAccessToken(), "")
	if err != nil || !revoked || server.Valid(tokens.GetAccessToken()) {
		t.Errorf("revoked: %t, %v", revoked, err)
	}
	seen := server.Seen("/api/v3/applications/id/token")
	if len(seen) != 1 || seen[0].Method != http.MethodDelete || seen[0].Form.Get("access_token") != tokens.GetAccessToken() ||
		seen[0].Header.Get("Authorization") != "Basic aWQ6c2VjcmV0" || seen[0].Header.Get("X-GitHub-Api-Version") != "2022-11-28" {
		t.Errorf("the requests to revoke were %v", seen)
	}
}

func TestGitHubTokensExpireWhereTheAppSaysSo(t *testing.T) {
	t.Parallel()
	refreshed := false
	server := &blocktest.OAuthServer{ExpiresIn: 28800, Rotate: true, Reply: func(tokens map[string]any) {
		tokens["refresh_token_expires_in"] = 15811200
		if refreshed {
			tokens["scope"] = "" // as GitHub does
		}
		refreshed = true
	}}
	p := start(t, server)
	tokens, err := p.Connect("repo")
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := p.Refresh(tokens.GetRefreshToken(), tokens.GetScopes()...)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(fresh.GetScopes(), []string{"repo"}) || fresh.GetRefreshToken() == tokens.GetRefreshToken() || fresh.GetRefreshExpiresAt() <= fresh.GetExpiresAt() {
		t.Errorf("refreshing gave scopes %q, expiry %d and %d", fresh.GetScopes(), fresh.GetExpiresAt(), fresh.GetRefreshExpiresAt())
	}
	_, err = p.Refresh(tokens.GetRefreshToken())
	if known, ok := errors.AsType[*sdk.Error](err); !ok || known.Kind != proto.ErrorKind_ERROR_KIND_AUTHENTICATION ||
		!strings.Contains(known.Message, "bad_verification_code") || strings.Contains(known.Message, "canary") {
		t.Errorf("a used refresh token: %v", err)
	}
}
