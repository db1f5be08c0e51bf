package oauth

import (
	"context"
	"fmt"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/go-hclog"
	"github.com/uptrace/bun"
	"go.uber.org/goleak"

	"github.com/patchbay-io/patchbay/core/credential"
	"github.com/patchbay-io/patchbay/core/exclusive"
	"github.com/patchbay-io/patchbay/core/hostservice"
	"github.com/patchbay-io/patchbay/core/plugin"
	"github.com/patchbay-io/patchbay/core/postgres/postgrestest"
	"github.com/patchbay-io/patchbay/sdk/proto"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, postgrestest.IgnoreServer()...) }

// forge is a provider whose refresh tokens rotate. It is called by several servers.
type forge struct {
	mu       sync.Mutex
	missing  []string
	account  string
	grants   []string // granted; nil: those that are asked for
	span     time.Duration
	codes    map[string]bool
	current  string // refresh token
	asked    map[string]int
	last     int
	verifier string
	fail     *plugin.ProviderError
	endless  bool // no refresh tokens are given
	// before, unless nil, is called before an exchange or a refresh, without the lock.
	before func()
}

func newForge() *forge {
	return &forge{account: "42", span: time.Hour, codes: map[string]bool{"good": true}, asked: map[string]int{}}
}

func (f *forge) Provider(name string) (*plugin.Provider, bool) {
	switch name {
	case "forge":
		return &plugin.Provider{Name: name, DisplayName: "Forge", OAuth: &plugin.OAuth{
			DefaultScopes: []string{"read"}, PKCE: true, Revokes: true, Plugin: "forge", Missing: f.missing,
		}}, true
	case "anvil":
		return &plugin.Provider{Name: name, DisplayName: "Anvil", OAuth: &plugin.OAuth{Plugin: "forge"}}, true
	case "lonely":
		return &plugin.Provider{Name: name, DisplayName: "Lonely", Serialised: true}, true
	case "keys":
		return &plugin.Provider{Name: name, DisplayName: "Keys", APIKey: true}, true
	}
	return nil, false
}

func (f *forge) Providers() []*plugin.Provider { return nil }

func (f *forge) Provide(_ context.Context, c plugin.ProviderCall) (*proto.ProviderResult, error) {
	f.mu.Lock()
	before := f.before
	f.mu.Unlock()
	kind := fmt.Sprintf("%T", c.Call.GetOperation())[len("*proto.ProviderCall_"):]
	if before != nil && kind != "AuthorizationUrl" {
		before()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked[kind]++
	if f.fail != nil && kind != "AuthorizationUrl" {
		return nil, f.fail
	}
	refused := &plugin.ProviderError{Kind: proto.ErrorKind_ERROR_KIND_AUTHENTICATION, Message: "Forge refused"}
	tokens := func(scopes []string) *proto.ProviderResult {
		f.last++
		f.current = fmt.Sprint("refresh-", f.last)
		if f.grants != nil {
			scopes = f.grants
		}
		if f.endless {
			f.current = ""
		}
		return &proto.ProviderResult{Tokens: &proto.Tokens{
			AccessToken: fmt.Sprint("access-", f.last), RefreshToken: f.current, ExpiresAt: time.Now().Add(f.span).Unix(), Scopes: scopes,
			Account: &proto.Account{Id: f.account, Username: "ada"},
		}}
	}
	switch o := c.Call.GetOperation().(type) {
	case *proto.ProviderCall_AuthorizationUrl:
		a := o.AuthorizationUrl
		q := url.Values{"state": {a.GetState()}, "challenge": {a.GetCodeChallenge()}, "redirect": {a.GetRedirectUri()}, "scope": a.GetScopes()}
		return &proto.ProviderResult{AuthorizationUrl: "https://forge.example/?" + q.Encode()}, nil
	case *proto.ProviderCall_ExchangeCode:
		if !f.codes[o.ExchangeCode.GetCode()] {
			return nil, refused
		}
		f.verifier = o.ExchangeCode.GetCodeVerifier()
		return tokens(o.ExchangeCode.GetScopes()), nil
	case *proto.ProviderCall_RefreshToken:
		if o.RefreshToken.GetRefreshToken() != f.current {
			return nil, refused
		}
		return tokens(nil), nil
	case *proto.ProviderCall_RevokeToken:
		return &proto.ProviderResult{Revoked: true}, nil
	}
	return nil, refused
}

func (f *forge) count(kind string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked[kind]
}

func (f *forge) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

type harness struct {
	*Service
	*forge
	t  *testing.T
	db *bun.DB
}

func newHarness(t *testing.T) *harness {
	t.Helper()
	db := postgrestest.DB(t)
	keys, err := credential.FixedKeys("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
	if err != nil {
		t.Fatal(err)
	}
	vault, err := credential.New(t.Context(), db, keys, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(vault.Close)
	h := &harness{forge: newForge(), t: t, db: db}
	h.Service = h.server(vault, uuid.New())
	return h
}

// server is another server on the same database.
func (h *harness) server(vault *credential.Vault, id uuid.UUID) *Service {
	h.t.Helper()
	uses, err := exclusive.New(h.t.Context(), h.db, id, hclog.NewNullLogger())
	if err != nil {
		h.t.Fatal(err)
	}
	s, err := New(h.t.Context(), Config{
		DB: h.db, Uses: uses, Vault: vault, Providers: h.forge, Services: hostservice.New(hostservice.Config{Logger: hclog.NewNullLogger()}),
		BaseURL: "https://here.example/", ServerID: id, Logger: hclog.NewNullLogger(),
	})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(s.Close)
	return s
}

func (h *harness) authorize(user string, scopes ...string) *Authorization {
	h.t.Helper()
	a, err := h.Authorize(h.t.Context(), Request{User: user, Provider: "forge", Scopes: scopes, ReturnTo: "/done"})
	if err != nil {
		h.t.Fatal(err)
	}
	return a
}

func (a *Authorization) back() Callback {
	return Callback{Provider: "forge", State: a.State, Code: "good", Browser: a.Browser}
}

// connect goes the whole way of a user.
func (h *harness) connect(user string, scopes ...string) *credential.Credential {
	h.t.Helper()
	connection, err := h.Connect(h.t.Context(), h.authorize(user, scopes...).back())
	if err != nil {
		h.t.Fatal(err)
	}
	return connection.Credential
}

func (h *harness) exec(query string, args ...any) {
	h.t.Helper()
	if _, err := h.db.ExecContext(h.t.Context(), query, args...); err != nil {
		h.t.Fatal(err)
	}
}
