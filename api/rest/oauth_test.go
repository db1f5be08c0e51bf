package rest

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/patchbay-io/patchbay/core/credential"
	"github.com/patchbay-io/patchbay/core/oauth"
	"github.com/patchbay-io/patchbay/core/plugin"
)

// connections remembers what it was asked, and answers with err if there is one.
type connections struct {
	request  oauth.Request
	callback oauth.Callback
	returnTo string
	err      error
	audit    *bytes.Buffer
}

func (*connections) All() []*oauth.Provider {
	return []*oauth.Provider{
		{Name: "github", DisplayName: "GitHub", APIKey: true, OAuth: &plugin.OAuth{DefaultScopes: []string{"user"}}},
		{Name: "google", DisplayName: "Google", OAuth: &plugin.OAuth{Missing: []string{"client_id"}}},
		{Name: "openai", DisplayName: "OpenAI", APIKey: true},
	}
}

func (c *connections) Ticket(_ context.Context, r oauth.Request) (string, error) {
	return "ticket-of-" + r.User, c.err
}

func (*connections) Redeem(_ context.Context, provider, ticket string) (string, error) {
	if provider != "github" || ticket != "ticket-of-"+idOf("ann") {
		return "", oauth.ErrTicket
	}
	return idOf("ann"), nil
}

func (c *connections) Authorize(_ context.Context, r oauth.Request) (*oauth.Authorization, error) {
	c.request = r
	return &oauth.Authorization{URL: "https://github.example/a?b=c", State: "st", Cookie: oauth.Cookie("st"), Browser: "br", Life: time.Minute}, c.err
}

func (c *connections) Connect(_ context.Context, b oauth.Callback) (oauth.Connection, error) {
	c.callback = b
	return oauth.Connection{User: idOf("ann"), Credential: connected, ReturnTo: c.returnTo}, c.err
}

func (c *connections) Refresh(context.Context, string, string) (*credential.Credential, error) {
	return connected, c.err
}

var connected = &credential.Credential{ID: "int-1", Provider: "github", Type: credential.OAuth2, Title: "GitHub", Username: "octocat", Scopes: []string{"user"}, CreatedAt: at, UpdatedAt: at}

func newOAuthFixture(t *testing.T) (*fixture, *connections) {
	t.Helper()
	c := &connections{}
	f, audit := newKeyFixture(t, func(config *Config) {
		config.Connections, config.BaseURL, config.Origins = c, "https://here.example/base/", []string{"https://app.example"}
	})
	c.audit = audit
	return f, c
}

// browse sends a request without a token.
func (f *fixture) browse(path string, headers ...string) *httptest.ResponseRecorder {
	f.t.Helper()
	return f.do(http.MethodGet, path, "", append(headers, "Authorization", "")...)
}

const oauthPath = "/api/v2/integrations/oauth/github"

func TestProvidersAreListed(t *testing.T) {
	t.Parallel()
	f, _ := newOAuthFixture(t)
	ann := tokenOf(t, "ann")
	expect(t, f.as(ann, "GET", "/api/v2/integrations/providers", ""), 200,
		`"name":"github","oauth_url":"/api/v2/integrations/oauth/github/authorize"`, `"display_name":"GitHub"`, `"default_scopes":["user"]`,
		`"is_configured":false`, `"oauth_url":null`, `"total":3`)
	w := f.as(ann, "GET", "/api/v2/integrations/providers?page=2&page_size=2", "")
	if expect(t, w, 200, `"openai"`, `"total_pages":2`); strings.Contains(w.Body.String(), "github") {
		t.Errorf("the second page is %s", w.Body)
	}
}

func TestAuthorizingSendsTheBrowserOn(t *testing.T) {
	t.Parallel()
	f, c := newOAuthFixture(t)
	ann := tokenOf(t, "ann")
	w := f.as(ann, "GET", oauthPath+"/authorize?scopes=a,b%20c&return_to=/x", "")
	expect(t, w, 302)
	if w.Header().Get("Location") != "https://github.example/a?b=c" || w.Header().Get("Referrer-Policy") != "no-referrer" || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("the headers are %v", w.Header())
	}
	if got, want := w.Header().Get("Set-Cookie"), oauth.Cookie("st")+"=br; Path=/base/api/v2/integrations/oauth/github/callback; Max-Age=60; HttpOnly; Secure; SameSite=Lax"; got != want {
		t.Errorf("the cookie is %s, want %s", got, want)
	}
	if r := c.request; r.User != idOf("ann") || r.Provider != "github" || strings.Join(r.Scopes, " ") != "a b c" || r.ReturnTo != "/x" {
		t.Errorf("asked for %+v", r)
	}
	for accept, status := range map[string]int{
		"application/json": 200, "application/json, text/plain, */*": 200, "*/*": 302, "text/html,application/xhtml+xml,application/json;q=0.9": 302,
	} {
		if w := f.do("GET", oauthPath+"/authorize", "", "Authorization", "Bearer "+ann, "Accept", accept); w.Code != status {
			t.Errorf("%s is answered with %d, want %d", accept, w.Code, status)
		} else if status == 200 {
			expect(t, w, 200, `{"authorization_url":"https://github.example/a?b=c","state":"st"}`)
		}
	}
}

func TestTicketsStandForTokens(t *testing.T) {
	t.Parallel()
	f, c := newOAuthFixture(t)
	expect(t, f.as(tokenOf(t, "ann"), "POST", oauthPath+"/ticket?scopes=a&return_to=/x", ""), 200,
		`{"url":"https://here.example/base/api/v2/integrations/oauth/github/authorize?return_to=%2Fx\u0026scopes=a\u0026ticket=ticket-of-`+idOf("ann")+`"}`)
	expect(t, f.browse(oauthPath+"/authorize?ticket=ticket-of-"+idOf("ann")+"&scopes=a"), 302)
	if c.request.User != idOf("ann") {
		t.Errorf("asked for %+v", c.request)
	}
	expect(t, f.browse(oauthPath+"/authorize?ticket=forged"), 401, `"UNAUTHORIZED"`)
	expect(t, f.browse(oauthPath+"/authorize"), 401)
	expect(t, f.browse("/api/v2/integrations?ticket=ticket-of-"+idOf("ann")), 401)
	// A page elsewhere must not have its ticket used by others.
	expect(t, f.browse(oauthPath+"/authorize?ticket=ticket-of-"+idOf("ann"), "Sec-Fetch-Site", "cross-site", "Referer", "https://evil.example/"), 403)
	expect(t, f.browse(oauthPath+"/authorize?ticket=ticket-of-"+idOf("ann"), "Sec-Fetch-Site", "cross-site"), 403)
	expect(t, f.browse(oauthPath+"/authorize?ticket=ticket-of-"+idOf("ann"), "Sec-Fetch-Site", "cross-site", "Referer", "https://app.example/settings"), 302)
	expect(t, f.browse(oauthPath+"/authorize?ticket=ticket-of-"+idOf("ann"), "Sec-Fetch-Site", "same-origin"), 302)
}

func TestCallbacks(t *testing.T) {
	t.Parallel()
	f, c := newOAuthFixture(t)
	w := f.browse(oauthPath+"/callback?state=st&code=co", "Cookie", oauth.Cookie("st")+"=br; other=x")
	expect(t, w, 200, `"id":"int-1"`, `"scopes":["user"]`)
	if c.callback != (oauth.Callback{Provider: "github", State: "st", Code: "co", Browser: "br"}) {
		t.Errorf("called back with %+v", c.callback)
	}
	if got := w.Header().Get("Set-Cookie"); !strings.HasPrefix(got, oauth.Cookie("st")+"=; ") || !strings.Contains(got, "Max-Age=0") {
		t.Errorf("the cookie stays: %s", got)
	}
	c.returnTo = "/done?a=b#c"
	if w = f.browse(oauthPath + "/callback?state=st&error=access_denied"); w.Header().Get("Location") != "/done?a=b&integration_id=int-1&success=true#c" {
		t.Errorf("the browser is sent to %s", w.Header().Get("Location"))
	}
	if c.callback != (oauth.Callback{Provider: "github", State: "st", Error: "access_denied"}) {
		t.Errorf("called back with %+v", c.callback)
	}
	for _, line := range strings.Split(strings.TrimSpace(c.audit.String()), "\n") {
		if !strings.Contains(line, `"user":"`+idOf("ann")+`"`) || !strings.Contains(line, `"about":"int-1"`) {
			t.Errorf("the audit log does not say whose state it was: %s", line)
		}
	}
	c.audit.Reset()
	c.err = &oauth.Refused{Reason: oauth.ReasonDenied, Message: "no"}
	if f.browse(oauthPath + "/callback?state=st&error=access_denied"); !strings.Contains(c.audit.String(), `"user":"`+idOf("ann")+`"`) {
		t.Errorf("the audit log does not say who denied it: %s", c.audit)
	}
	c.err = nil
	ann := tokenOf(t, "ann")
	expect(t, f.as(ann, "POST", oauthPath+"/callback", `{"code":"co","state":"st"}`), 200, `"id":"int-1"`)
	if c.callback != (oauth.Callback{Provider: "github", State: "st", Code: "co", User: idOf("ann")}) {
		t.Errorf("called back with %+v", c.callback)
	}
	expect(t, f.as(ann, "POST", oauthPath+"/callback", `{"state":"st"}`), 422, `"code"`)
}

func TestWhatGoesWrongInOAuthIsTold(t *testing.T) {
	t.Parallel()
	f, c := newOAuthFixture(t)
	ann := tokenOf(t, "ann")
	for _, test := range []struct {
		err    error
		status int
		says   []string
	}{
		{oauth.ErrUnknown, 404, []string{`"NOT_FOUND"`}},
		{&oauth.NotConfigured{Provider: "GitHub", Variables: []string{"PATCHBAY_A"}}, 501, []string{`"NOT_CONFIGURED"`, `"settings":["PATCHBAY_A"]`, "set PATCHBAY_A"}},
		{&oauth.Refused{Reason: oauth.ReasonState, Field: "state", Message: "no"}, 422, []string{`"reason":"invalid_state"`, `"fields":{"state":"no"}`}},
		{&oauth.Upstream{Message: "GitHub is down"}, 502, []string{`"UPSTREAM_ERROR"`, "GitHub is down"}},
		{oauth.ErrNotRefreshable, 409, []string{`"CONFLICT"`}},
		{&credential.Damaged{ID: "i", Title: "T", Provider: "github"}, 409, []string{`"CONFLICT"`, `"reason":"damaged"`, "delete them"}},
		{&credential.NeedsReauthorization{ID: "i", Title: "T", Provider: "github", Reason: "gone"}, 422, []string{`"reason":"needs_reauthorization"`, "gone"}},
	} {
		c.err = test.err
		for _, path := range []string{"/authorize", "/callback?state=s&code=c"} {
			if test.status != 409 {
				expect(t, f.as(ann, "GET", oauthPath+path, ""), test.status, test.says...)
			}
		}
		expect(t, f.as(ann, "POST", "/api/v2/integrations/int-1/refresh", ""), test.status, test.says...)
	}
}
