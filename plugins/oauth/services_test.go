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

// dialect is how a service speaks, and what must come of it.
type dialect struct {
	provider string
	server   *blocktest.OAuthServer
	scopes   []string          // asked for
	query    map[string]string // that the authorization URL must have
	granted  []string
	account  [3]string // id, username, title
	header   [2]string // of every request
	expires  bool
	refresh  bool
	revokes  bool
	refused  string // what the error says
}

func dialects() []dialect {
	return []dialect{
		{
			provider: "discord",
			server: &blocktest.OAuthServer{
				Basic: true, PKCE: true, Rotate: true, ExpiresIn: 604800, Account: `{"user":{"id":"80351110224678912","username":"nelly"}}`,
				AccountPath: "/api/oauth2/@me", RevokePath: "/api/oauth2/token/revoke",
			},
			query: map[string]string{"scope": "identify", "code_challenge_method": "S256"}, granted: []string{"identify"},
			account: [3]string{"80351110224678912", "nelly"}, expires: true, refresh: true, revokes: true, refused: "invalid_grant",
		},
		{
			provider: "linear",
			server:   &blocktest.OAuthServer{NoRefresh: true, Account: `{"data":{"viewer":{"id":"u-1","name":"Ada"}}}`, AccountPath: "/graphql", RevokePath: "/oauth/revoke"},
			scopes:   []string{"read", "issues:create"}, query: map[string]string{"scope": "read,issues:create"}, granted: []string{"read", "issues:create"},
			account: [3]string{"u-1", "Ada"}, revokes: true, refused: "invalid_grant",
		},
		{
			provider: "linkedin",
			server: &blocktest.OAuthServer{
				NoRefresh: true, ExpiresIn: 5184000, Separator: ",", Account: `{"sub":"782bbtaQ","email":"ada@example.com"}`, AccountPath: "/v2/userinfo",
				RefusedCode: "invalid_request", ErrorStatus: http.StatusUnauthorized,
			},
			query: map[string]string{"scope": "openid profile email w_member_social"}, granted: []string{"openid", "profile", "email", "w_member_social"},
			account: [3]string{"782bbtaQ", "ada@example.com"}, expires: true, refused: "invalid_request",
		},
		{
			provider: "microsoft",
			server: &blocktest.OAuthServer{
				PKCE: true, Rotate: true, ExpiresIn: 3599, AccountPath: "/v1.0/me",
				Account: `{"id":"87d349ed","userPrincipalName":"ada@contoso.com","displayName":"Ada Lovelace"}`, TokenPath: "/common/oauth2/v2.0/token",
				AuthorizePath: "/common/oauth2/v2.0/authorize",
			},
			scopes: []string{"Mail.Read"}, query: map[string]string{"scope": "offline_access Mail.Read"}, granted: []string{"offline_access", "Mail.Read"},
			account: [3]string{"87d349ed", "ada@contoso.com", "Ada Lovelace"}, expires: true, refresh: true, refused: "invalid_grant",
		},
		{
			provider: "notion",
			server: &blocktest.OAuthServer{
				Basic: true, JSON: true, NoRefresh: true,
				Reply: func(tokens map[string]any) {
					delete(tokens, "scope")
					tokens["bot_id"], tokens["workspace_name"] = "bot-1", "Analytical Engines"
					tokens["owner"] = map[string]any{"type": "user", "user": map[string]any{"person": map[string]any{"email": "ada@example.com"}}}
				},
			},
			query: map[string]string{"owner": "user", "scope": ""}, account: [3]string{"bot-1", "ada@example.com", "Analytical Engines"}, refused: "invalid_grant",
		},
		{
			provider: "reddit",
			server: &blocktest.OAuthServer{
				Basic: true, ExpiresIn: 3600, Scopes: "*", Account: `{"id":"t2abc","name":"ada"}`, AccountPath: "/api/v1/me", RevokePath: "/api/v1/revoke_token",
				ErrorStatus: http.StatusOK, Reply: once(func(tokens map[string]any) { delete(tokens, "refresh_token") }),
			},
			scopes: []string{"read", "identity"}, query: map[string]string{"duration": "permanent", "scope": "read identity"}, granted: []string{"read", "identity"},
			account: [3]string{"t2abc", "ada"}, header: [2]string{"User-Agent", "server:patchbay:1.0.0"}, expires: true, refresh: true, revokes: true, refused: "invalid_grant",
		},
		{
			provider: "slack",
			server: &blocktest.OAuthServer{
				NoRefresh: true, Separator: ",", RevokePath: "/api/auth.revoke", ErrorStatus: http.StatusOK, RefusedCode: "invalid_code",
				Reply: func(tokens map[string]any) {
					tokens["ok"], tokens["bot_user_id"], tokens["team"] = true, "U0BOT", map[string]any{"id": "T1", "name": "Engines"}
				},
			},
			query: map[string]string{"scope": "chat:write,users:read"}, granted: []string{"chat:write", "users:read"},
			account: [3]string{"T1/U0BOT", "", "Engines"}, revokes: true, refused: "invalid_code",
		},
		{
			provider: "todoist",
			server: &blocktest.OAuthServer{
				NoRefresh: true, RefusedCode: "bad_authorization_code", Reply: func(tokens map[string]any) { delete(tokens, "scope") },
			},
			scopes: []string{"data:read"}, query: map[string]string{"scope": "data:read"}, granted: []string{"data:read"}, refused: "bad_authorization_code",
		},
		{
			provider: "twitter",
			server: &blocktest.OAuthServer{
				Basic: true, PKCE: true, Rotate: true, ExpiresIn: 7200, Account: `{"data":{"id":"2244994945","username":"ada"}}`,
				AccountPath: "/2/users/me", RevokePath: "/2/oauth2/revoke", RefusedCode: "invalid_request",
			},
			scopes: []string{"tweet.read", "users.read"}, query: map[string]string{"scope": "offline.access tweet.read users.read"},
			granted: []string{"offline.access", "tweet.read", "users.read"}, account: [3]string{"2244994945", "ada"}, expires: true, refresh: true, revokes: true,
			refused: "invalid_request",
		},
	}
}

// once changes the second answer, which is that of refreshing.
func once(change func(map[string]any)) func(map[string]any) {
	n := 0
	return func(tokens map[string]any) {
		if n++; n == 2 {
			change(tokens)
		}
	}
}

// start starts the dialect's server and gives the provider that is set to use it.
func (d *dialect) start(t *testing.T, secret string) *blocktest.Provider {
	t.Helper()
	s := d.server
	if s.AuthorizePath == "" {
		s.AuthorizePath, s.TokenPath = "/authorize", "/token"
	}
	if s.URL() == "" {
		s.Start(t)
	}
	settings := map[string]string{d.provider + "_client_id": "id", d.provider + "_client_secret": secret}
	for name, path := range map[string]string{
		"authorize_url": s.AuthorizePath, "token_url": s.TokenPath, "account_url": s.AccountPath, "revoke_url": s.RevokePath, "login_url": "",
	} {
		settings[d.provider+"_"+name] = s.URL() + path
	}
	description, err := plugin.Describe()
	if err != nil {
		t.Fatal(err)
	}
	for name := range settings {
		if !slices.ContainsFunc(description.GetSettings(), func(s *proto.SettingDescription) bool { return s.GetName() == name }) {
			delete(settings, name)
		}
	}
	return blocktest.NewProvider(t, plugin, d.provider, settings)
}

func TestServicesAreSpokenToInTheirDialects(t *testing.T) {
	t.Parallel()
	for _, d := range dialects() {
		t.Run(d.provider, func(t *testing.T) {
			t.Parallel()
			p := d.start(t, "secret")
			query := p.AuthorizationURL("http://127.0.0.1/callback", "st", d.scopes...).Query()
			for name, want := range d.query {
				if got := query.Get(name); got != want {
					t.Errorf("the authorization URL has %s=%q, want %q", name, got, want)
				}
			}
			if query.Get("state") != "st" || query.Get("redirect_uri") != "http://127.0.0.1/callback" || query.Get("client_id") != "id" {
				t.Errorf("the authorization URL has the query %v", query)
			}
			tokens, err := p.Connect(d.scopes...)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(tokens.GetScopes(), d.granted) {
				t.Errorf("granted %q, want %q", tokens.GetScopes(), d.granted)
			}
			a := tokens.GetAccount()
			if got := [3]string{a.GetId(), a.GetUsername(), a.GetTitle()}; got != d.account {
				t.Errorf("the account is %q, want %q", got, d.account)
			}
			if (tokens.GetExpiresAt() != 0) != d.expires || (tokens.GetRefreshToken() != "") != d.refresh {
				t.Errorf("expires at %d, with a refresh token: %t", tokens.GetExpiresAt(), tokens.GetRefreshToken() != "")
			}
			if d.refresh {
				fresh, err := p.Refresh(tokens.GetRefreshToken(), tokens.GetScopes()...)
				if err != nil {
					t.Fatal(err)
				}
				if !d.server.Valid(fresh.GetAccessToken()) || !slices.Equal(fresh.GetScopes(), d.granted) || fresh.GetRefreshToken() == "" {
					t.Errorf("refreshing gave scopes %q, and a refresh token: %t", fresh.GetScopes(), fresh.GetRefreshToken() != "")
				}
				tokens = fresh
			}
			revoked, err := p.Revoke(tokens.GetAccessToken(), tokens.GetRefreshToken())
			if err != nil || revoked != d.revokes {
				t.Errorf("revoked: %t, %v; want %t", revoked, err, d.revokes)
			}
			if name, want := d.header[0], d.header[1]; name != "" {
				for _, seen := range d.server.Seen(d.server.TokenPath) {
					if got := seen.Header.Get(name); got != want {
						t.Errorf("%s is %q, want %q", name, got, want)
					}
				}
			}
		})
	}
}

func TestServicesThatRefuseAreToldFromThoseThatAreDown(t *testing.T) {
	t.Parallel()
	for _, d := range dialects() {
		t.Run(d.provider, func(t *testing.T) {
			t.Parallel()
			p := d.start(t, "secret")
			_, err := p.Exchange("forged", "http://127.0.0.1/callback")
			expectKind(t, err, proto.ErrorKind_ERROR_KIND_AUTHENTICATION, d.refused)
			_, err = d.start(t, "wrong").Exchange("forged", "http://127.0.0.1/callback")
			expectKind(t, err, proto.ErrorKind_ERROR_KIND_PERMANENT, "registered")
			d.server.Lock()
			d.server.Down = http.StatusServiceUnavailable
			d.server.Unlock()
			_, err = p.Exchange("forged", "http://127.0.0.1/callback")
			expectKind(t, err, proto.ErrorKind_ERROR_KIND_TEMPORARY, "503")
		})
	}
}

func expectKind(t *testing.T, err error, kind proto.ErrorKind, says string) {
	t.Helper()
	known, ok := errors.AsType[*sdk.Error](err)
	switch {
	case !ok || known.Kind != kind:
		t.Errorf("the error is %v, want one of kind %s", err, kind)
	case !strings.Contains(known.Message, says):
		t.Errorf("the error is %q, want one that says %q", known.Message, says)
	case strings.Contains(known.Message, "forged"), strings.Contains(known.Message, "wrong"):
		t.Errorf("the error tells a secret: %q", known.Message)
	}
}
