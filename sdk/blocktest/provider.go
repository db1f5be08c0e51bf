package blocktest

import (
	"context"
	"net/http"
	"net/url"
	"testing"

	"github.com/patchbay-io/patchbay/sdk"
	"github.com/patchbay-io/patchbay/sdk/proto"
)

// Provider is a provider of a plugin under test. It works in this process, with a server's settings.
type Provider struct {
	t      testing.TB
	ctx    context.Context
	plugin sdk.Plugin
	name   string
}

// NewProvider gives one of a plugin's providers. Settings that are not given have their defaults.
func NewProvider(t testing.TB, plugin sdk.Plugin, name string, settings map[string]string) *Provider {
	t.Helper()
	description, err := plugin.Describe()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, s := range description.GetSettings() {
		all[s.GetName()] = s.GetDefault()
	}
	for name, value := range settings {
		if _, ok := all[name]; !ok {
			t.Fatalf("plugin %s has no setting %q", plugin.Name, name)
		}
		all[name] = value
	}
	ctx := sdk.WithSettings(t.Context(), all)
	return &Provider{t, sdk.WithHost(ctx, &Host{Transport: http.DefaultTransport}), plugin, name}
}

// verifier and its challenge are those of RFC 7636, appendix B.
const (
	verifier  = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
)

// AuthorizationURL is where the provider would send a user.
func (p *Provider) AuthorizationURL(redirect, state string, scopes ...string) *url.URL {
	p.t.Helper()
	result, err := sdk.Provide(p.ctx, p.plugin, &proto.ProviderCall{Provider: p.name, Operation: &proto.ProviderCall_AuthorizationUrl{
		AuthorizationUrl: &proto.AuthorizationUrl{RedirectUri: redirect, State: state, Scopes: scopes, CodeChallenge: challenge},
	}})
	if err != nil {
		p.t.Fatal(err)
	}
	address, err := url.Parse(result.GetAuthorizationUrl())
	if err != nil {
		p.t.Fatal(err)
	}
	return address
}

// Exchange exchanges a code.
func (p *Provider) Exchange(code, redirect string, scopes ...string) (*proto.Tokens, error) {
	return p.tokens(&proto.ProviderCall{Provider: p.name, Operation: &proto.ProviderCall_ExchangeCode{
		ExchangeCode: &proto.ExchangeCode{Code: code, RedirectUri: redirect, Scopes: scopes, CodeVerifier: verifier},
	}})
}

// Refresh asks for new tokens.
func (p *Provider) Refresh(token string, scopes ...string) (*proto.Tokens, error) {
	return p.tokens(&proto.ProviderCall{Provider: p.name, Operation: &proto.ProviderCall_RefreshToken{
		RefreshToken: &proto.RefreshToken{RefreshToken: token, Scopes: scopes},
	}})
}

// Revoke revokes tokens.
func (p *Provider) Revoke(access, refresh string) (bool, error) {
	result, err := sdk.Provide(p.ctx, p.plugin, &proto.ProviderCall{Provider: p.name, Operation: &proto.ProviderCall_RevokeToken{
		RevokeToken: &proto.RevokeToken{AccessToken: access, RefreshToken: refresh},
	}})
	return result.GetRevoked(), err
}

func (p *Provider) tokens(call *proto.ProviderCall) (*proto.Tokens, error) {
	result, err := sdk.Provide(p.ctx, p.plugin, call)
	return result.GetTokens(), err
}

// Connect goes the whole way of a user who agrees at an OAuthServer.
func (p *Provider) Connect(scopes ...string) (*proto.Tokens, error) {
	p.t.Helper()
	const redirect = "http://127.0.0.1/callback"
	code := Agree(p.t, p.AuthorizationURL(redirect, "state", scopes...).String()).Get("code")
	return p.Exchange(code, redirect, scopes...)
}
