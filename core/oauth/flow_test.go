package oauth

import (
	"encoding/base64"
	"errors"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/patchbay-io/patchbay/core/credential"
	"github.com/patchbay-io/patchbay/core/plugin"
	"github.com/patchbay-io/patchbay/sdk/proto"
)

func TestAnAccountIsConnected(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	a := h.authorize("ann", "repo", "user")
	u, err := url.Parse(a.URL)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	if q.Get("state") != a.State || q.Get("redirect") != "https://here.example/api/v2/integrations/oauth/forge/callback" || !slices.Equal(q["scope"], []string{"repo", "user"}) {
		t.Errorf("the browser is sent to %s", a.URL)
	}
	if raw, err := base64.RawURLEncoding.DecodeString(a.State); err != nil || len(raw) != 32 {
		t.Errorf("the state is %q", a.State)
	}
	h.set(func() { h.grants = []string{"repo"} }) // the user grants less
	connection, err := h.Connect(t.Context(), a.back())
	if err != nil {
		t.Fatal(err)
	}
	c, to := connection.Credential, connection.ReturnTo
	if connection.User != "ann" {
		t.Errorf("the state is %q's", connection.User)
	}
	if to != "/done" || c.UserID != "ann" || c.Type != credential.OAuth2 || c.Title != "Forge (ada)" || !slices.Equal(c.Scopes, []string{"repo"}) || c.ExpiresAt == nil {
		t.Errorf("%+v, %s", c, to)
	}
	if challenge := base64.RawURLEncoding.EncodeToString(digest(h.verifier)); challenge != q.Get("challenge") {
		t.Errorf("the verifier %q does not fit the challenge", h.verifier)
	}
	if _, s, err := h.Vault.Open(t.Context(), "ann", c.ID); err != nil || s.AccessToken != "access-1" || s.RefreshToken != "refresh-1" {
		t.Errorf("the vault has another token: %v", err)
	}
	// The same account is the same integration; it is asked for what it has.
	h.set(func() { h.grants = nil })
	title := "Mine"
	if _, err := h.Vault.Update(t.Context(), "ann", c.ID, credential.Change{Title: &title}); err != nil {
		t.Fatal(err)
	}
	again := h.connect("ann", "gist")
	if again.ID != c.ID || again.Title != title || !slices.Equal(again.Scopes, []string{"gist", "repo"}) {
		t.Errorf("connected again it is %+v", again)
	}
	h.set(func() { h.account = "43" })
	if other := h.connect("ann"); other.ID == c.ID {
		t.Error("another account is the same integration")
	}
	h.set(func() { h.account = "42" })
	if of := h.connect("bob"); of.ID == c.ID {
		t.Error("another user's is the same integration")
	}
}

func TestStatesAreForOneBrowserOneProviderAndOnce(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	a := h.authorize("ann")
	for name, change := range map[string]func(*Callback){
		"forged":                func(c *Callback) { c.State = random() },
		"missing":               func(c *Callback) { c.State = "" },
		"another browser":       func(c *Callback) { c.Browser = random() },
		"no cookie":             func(c *Callback) { c.Browser = "" },
		"another user":          func(c *Callback) { c.Browser, c.User = "", "bob" },
		"another provider":      func(c *Callback) { c.Provider = "anvil" },
		"the cookie of another": func(c *Callback) { c.Browser = h.authorize("bob").Browser },
		"denial, no cookie":     func(c *Callback) { c.Browser, c.Error, c.Code = "", "access_denied", "" },
	} {
		c := a.back()
		change(&c)
		connection, err := h.Connect(t.Context(), c)
		expectRefusal(t, name, err, ReasonState)
		if connection.User != "" {
			t.Errorf("%s: whose state it is is told", name)
		}
	}
	if h.count("ExchangeCode") != 0 {
		t.Error("the provider was asked for a code")
	}
	c := a.back()
	c.Browser, c.User = "", "ann" // a client without cookies
	if _, err := h.Connect(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	_, err := h.Connect(t.Context(), a.back())
	expectRefusal(t, "used", err, ReasonState)
	late := h.authorize("ann")
	h.exec(`UPDATE oauth_state SET expires_at = now()`)
	_, err = h.Connect(t.Context(), late.back())
	expectRefusal(t, "expired", err, ReasonState)
	_, err = h.Connect(t.Context(), Callback{Provider: "nobody", State: "s", Code: "good", User: "ann"})
	if !errors.Is(err, ErrUnknown) {
		t.Errorf("an unknown provider: %v", err)
	}
}

func TestRowsThatWereSwappedConnectNothing(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	ann, eve := h.authorize("ann"), h.authorize("eve")
	h.exec(`UPDATE oauth_state SET user_id = 'eve' WHERE digest = ?`, digest(ann.State))
	_, err := h.Connect(t.Context(), ann.back())
	expectRefusal(t, "another user's", err, ReasonState)
	_, err = h.Authorize(t.Context(), Request{User: "ann", Provider: "forge"})
	if err != nil {
		t.Fatal(err)
	}
	h.exec(`UPDATE oauth_state SET sealed = (SELECT sealed FROM oauth_state WHERE user_id = 'ann') WHERE digest = ?`, digest(eve.State))
	_, err = h.Connect(t.Context(), eve.back())
	expectRefusal(t, "another verifier", err, ReasonState)
	if h.count("ExchangeCode") != 0 {
		t.Error("the provider was asked for a code")
	}
}

func TestFailuresStoreNothing(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	connect := func(change func(*Callback)) error {
		c := h.authorize("ann").back()
		change(&c)
		connection, err := h.Connect(t.Context(), c)
		if c.Code != "" && utf8.ValidString(c.Code) && connection.User != "ann" {
			t.Errorf("the state of a callback that fails with %v is %q's", err, connection.User)
		}
		return err
	}
	expectRefusal(t, "a forged code", connect(func(c *Callback) { c.Code = "forged" }), ReasonGrant)
	expectRefusal(t, "no code", connect(func(c *Callback) { c.Code = "" }), ReasonCode)
	expectRefusal(t, "a code that no protocol carries", connect(func(c *Callback) { c.Code = "\xff" }), ReasonCode)
	expectRefusal(t, "a denial", connect(func(c *Callback) { c.Code, c.Error = "", "access_denied" }), ReasonDenied)
	expectRefusal(t, "a denial with a code", connect(func(c *Callback) { c.Error = "access_denied" }), ReasonDenied)
	expectRefusal(t, "another error", connect(func(c *Callback) { c.Code, c.Error = "", "invalid_scope" }), "invalid_scope")
	expectRefusal(t, "an odd error", connect(func(c *Callback) { c.Code, c.Error = "", "<script>" }), ReasonRequest)
	for _, kind := range []proto.ErrorKind{proto.ErrorKind_ERROR_KIND_TEMPORARY, proto.ErrorKind_ERROR_KIND_PERMANENT} {
		h.set(func() { h.fail = &plugin.ProviderError{Kind: kind, Message: "Forge is down"} })
		if _, ok := errors.AsType[*Upstream](connect(func(*Callback) {})); !ok {
			t.Errorf("%s is no *Upstream", kind)
		}
	}
	if _, ok := errors.AsType[*Upstream](connect(func(c *Callback) { c.Error = "server_error" })); !ok {
		t.Error("a provider that is in trouble is no *Upstream")
	}
	if list, total, err := h.Vault.List(t.Context(), "ann", "", 0, 0); err != nil || total != 0 {
		t.Errorf("%v are stored, %v", list, err)
	}
}

func TestOneOfTwoCallbacksWins(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	a := h.authorize("ann")
	var wait sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wait.Go(func() { _, errs[i] = h.Connect(t.Context(), a.back()) })
	}
	wait.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
			continue
		}
		expectRefusal(t, "a loser", err, ReasonState)
	}
	if won != 1 || h.count("ExchangeCode") != 1 {
		t.Errorf("%d won, %d exchanges", won, h.count("ExchangeCode"))
	}
}

func TestTicketsWorkOnce(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	ticket := func() string {
		text, err := h.Ticket(t.Context(), Request{User: "ann", Provider: "forge"})
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	first := ticket()
	if _, err := h.Redeem(t.Context(), "anvil", first); !errors.Is(err, ErrTicket) {
		t.Errorf("for another provider: %v", err)
	}
	if user, err := h.Redeem(t.Context(), "forge", first); err != nil || user != "ann" {
		t.Errorf("%s, %v", user, err)
	}
	if _, err := h.Redeem(t.Context(), "forge", first); !errors.Is(err, ErrTicket) {
		t.Errorf("used: %v", err)
	}
	late := ticket()
	h.exec(`UPDATE oauth_ticket SET expires_at = now()`)
	if _, err := h.Redeem(t.Context(), "forge", late); !errors.Is(err, ErrTicket) {
		t.Errorf("expired: %v", err)
	}
	for _, r := range []Request{{ReturnTo: "//evil.example"}, {Scopes: []string{"\n"}}} {
		r.User, r.Provider = "ann", "forge"
		if _, err := h.Ticket(t.Context(), r); !errors.As(err, new(*Refused)) {
			t.Errorf("a ticket for %+v: %v", r, err)
		}
	}
	if _, err := h.Ticket(t.Context(), Request{User: "ann", Provider: "keys"}); !errors.Is(err, ErrUnknown) {
		t.Errorf("a provider without OAuth: %v", err)
	}
}

func TestProvidersThatLackSettingsNameThem(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.set(func() { h.missing = []string{"client_id", "client_secret"} })
	_, err := h.Authorize(t.Context(), Request{User: "ann", Provider: "forge"})
	missing, ok := errors.AsType[*NotConfigured](err)
	if !ok || !slices.Equal(missing.Variables, []string{"PATCHBAY_PLUGIN_FORGE_CLIENT_ID", "PATCHBAY_PLUGIN_FORGE_CLIENT_SECRET"}) {
		t.Errorf("%v", err)
	}
}

func TestRequestsAreChecked(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	for field, r := range map[string]Request{
		"scopes":    {Scopes: []string{"a\nb"}},
		"return_to": {ReturnTo: "//evil.example"},
	} {
		r.User, r.Provider = "ann", "forge"
		_, err := h.Authorize(t.Context(), r)
		if refused, ok := errors.AsType[*Refused](err); !ok || refused.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestPathsToReturnTo(t *testing.T) {
	t.Parallel()
	for address, own := range map[string]bool{
		"/": true, "/a/b?c=d#e": true, "/a?to=https://x.example": true, "/a//b": true, "/.well-known/a...b": true,
		"/..//x.example": false, "/.//x.example": false, "/a/../..//x": false, "/%2e%2e//x": false, "/a/.": false,
		"": false, "a": false, "//x.example": false, "https://x.example/": false, "/\\x.example": false, "\\/x": false, "/%5cx": false,
		"///x": false, "/%2fx.example": false, "/\tx": false, "/ x": false, "javascript:alert(1)": false, "/" + strings.Repeat("a", maxReturnTo): false, "/\x00": false, "/%00": false, "/\xff": false,
	} {
		if ownPath(address) != own {
			t.Errorf("%q is own: %t", address, !own)
		}
	}
}

func TestWhatProvidersSayOfAccountsIsMadePlain(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"ada": "ada", "a\x00d\na": "ada", " ada ": "ada", strings.Repeat("é", 300): strings.Repeat("é", maxName), "": "",
	} {
		if got := plain(text); got != want {
			t.Errorf("%q becomes %q", text, got)
		}
	}
	if got := plainScopes([]string{"a", "b\x00", "c d", ""}); !slices.Equal(got, []string{"a"}) {
		t.Errorf("scopes become %q", got)
	}
}

func FuzzPathsToReturnToStayHere(f *testing.F) {
	for _, seed := range []string{"/a", "//x", "/\\x", "/%2f/x", "/a/../..//x"} {
		f.Add(seed)
	}
	base, _ := url.Parse("https://here.example/api/v2/callback")
	f.Fuzz(func(t *testing.T, address string) {
		if !ownPath(address) {
			return
		}
		to, err := base.Parse(address)
		if err != nil || to.Scheme != "https" || to.Host != "here.example" || to.User != nil {
			t.Errorf("%q leads to %v", address, to)
		}
	})
}

func expectRefusal(t *testing.T, what string, err error, reason string) {
	t.Helper()
	if refused, ok := errors.AsType[*Refused](err); !ok || refused.Reason != reason {
		t.Errorf("%s: %v, want a refusal for %s", what, err, reason)
	}
}
