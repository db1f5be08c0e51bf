package server_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/patchbay-io/patchbay/sdk/blocktest"
)

const clientSecret = "canary-client-secret"

// withGitHub starts a GitHub on this machine and a server that is registered there.
func withGitHub(t *testing.T, env ...string) (*blocktest.OAuthServer, *instance) {
	t.Helper()
	github := (&blocktest.OAuthServer{
		AuthorizePath: "/login/oauth/authorize", TokenPath: "/login/oauth/access_token", AccountPath: "/api/user",
		RevokePath: "/api/applications/client-1/token", ClientID: "client-1", ClientSecret: clientSecret, PKCE: true, Separator: ",",
		ErrorStatus: http.StatusOK, RefusedCode: "bad_verification_code", Account: `{"id":583231,"login":"octocat"}`, Rotate: true,
	}).Start(t)
	return github, startInstance(t, append(env,
		"PATCHBAY_PLUGIN_GITHUB_CLIENT_ID=client-1", "PATCHBAY_PLUGIN_GITHUB_CLIENT_SECRET="+clientSecret,
		"PATCHBAY_PLUGIN_GITHUB_BASE_URL="+github.URL(), "PATCHBAY_PLUGIN_GITHUB_API_URL="+github.URL()+"/api",
		"PATCHBAY_ALLOW_PRIVATE_ADDRESSES=127.0.0.0/8")...)
}

// visitor is a browser: it keeps cookies and follows nothing by itself.
type visitor struct {
	t    *testing.T
	i    *instance
	http http.Client
	read bytes.Buffer // all that it was ever answered
	mu   sync.Mutex
}

func newVisitor(t *testing.T, i *instance) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &visitor{t: t, i: i, http: http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// goTo sends a request as a user, as nobody for "", and gives the answer and its body.
func (v *visitor) goTo(user, method, address, body string, headers ...string) (*http.Response, string) {
	v.t.Helper()
	if strings.HasPrefix(address, "/") {
		address = v.i.base + address
	}
	request, err := http.NewRequest(method, address, strings.NewReader(body))
	if err != nil {
		v.t.Fatal(err)
	}
	if user != "" {
		request.Header.Set("Authorization", "Bearer "+token(v.t, user))
	}
	request.Header.Set("Content-Type", "application/json")
	for n := 0; n+1 < len(headers); n += 2 {
		request.Header.Set(headers[n], headers[n+1])
	}
	response, err := v.http.Do(request)
	if err != nil {
		v.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.read.Write(answer)
	return response, string(answer)
}

const (
	authorizePath = "/api/v2/integrations/oauth/github/authorize"
	callbackPath  = "/api/v2/integrations/oauth/github/callback"
)

// begin goes to GitHub and gives the query with which GitHub sends the browser back.
func (v *visitor) begin(user, query string) url.Values {
	v.t.Helper()
	response, body := v.goTo(user, http.MethodGet, authorizePath+query, "")
	if response.StatusCode != http.StatusFound {
		v.t.Fatalf("authorize: %d %s", response.StatusCode, body)
	}
	return blocktest.Agree(v.t, response.Header.Get("Location"))
}

func (v *visitor) callback(q url.Values) (*http.Response, string) {
	v.t.Helper()
	return v.goTo("", http.MethodGet, callbackPath+"?"+q.Encode(), "")
}

type integration struct {
	ID       string   `json:"id"`
	Provider string   `json:"provider"`
	Type     string   `json:"type"`
	Username string   `json:"username"`
	Scopes   []string `json:"scopes"`
	Needs    bool     `json:"needs_reauthorization"`
}

func (v *visitor) integrations(user string) []integration {
	v.t.Helper()
	_, body := v.goTo(user, http.MethodGet, "/api/v2/integrations", "")
	var list struct{ Integrations []integration }
	if err := json.Unmarshal([]byte(body), &list); err != nil {
		v.t.Fatalf("%v: %s", err, body)
	}
	return list.Integrations
}

// connect goes the whole way.
func (v *visitor) connect(user, query string) integration {
	v.t.Helper()
	response, body := v.callback(v.begin(user, query))
	var connected integration
	if err := json.Unmarshal([]byte(body), &connected); err != nil || response.StatusCode != http.StatusOK {
		v.t.Fatalf("callback: %d %s", response.StatusCode, body)
	}
	return connected
}

func TestGitHubIsConnected(t *testing.T) {
	t.Parallel()
	github, i := withGitHub(t)
	v := newVisitor(t, i)

	_, body := v.goTo(alice, http.MethodGet, "/api/v2/integrations/providers", "")
	var known struct {
		Providers []struct {
			Name         string  `json:"name"`
			DisplayName  string  `json:"display_name"`
			OAuthURL     *string `json:"oauth_url"`
			IsConfigured bool    `json:"is_configured"`
		} `json:"providers"`
	}
	if err := json.Unmarshal([]byte(body), &known); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	for name, want := range map[string]string{"github": "GitHub true", "google": "Google false", "twitter": "X (Twitter) false"} {
		at := slices.IndexFunc(known.Providers, func(p struct {
			Name         string  `json:"name"`
			DisplayName  string  `json:"display_name"`
			OAuthURL     *string `json:"oauth_url"`
			IsConfigured bool    `json:"is_configured"`
		}) bool {
			return p.Name == name
		})
		if at < 0 {
			t.Fatalf("no provider %s in %s", name, body)
		}
		p := known.Providers[at]
		if got := fmt.Sprint(p.DisplayName, " ", p.IsConfigured); got != want || *p.OAuthURL != "/api/v2/integrations/oauth/"+name+"/authorize" {
			t.Errorf("%s is %s at %s", name, got, *p.OAuthURL)
		}
	}

	// A page's navigation has a ticket in place of a token.
	response, body := v.goTo(alice, http.MethodPost, "/api/v2/integrations/oauth/github/ticket?scopes=repo,user&return_to=/done%3Fa=b", "")
	var ticket struct{ URL string }
	if err := json.Unmarshal([]byte(body), &ticket); err != nil || response.StatusCode != http.StatusOK || !strings.HasPrefix(ticket.URL, i.base+authorizePath) {
		t.Fatalf("ticket: %d %s", response.StatusCode, body)
	}
	response, body = v.goTo("", http.MethodGet, ticket.URL, "")
	if response.StatusCode != http.StatusFound {
		t.Fatalf("authorize: %d %s", response.StatusCode, body)
	}
	if cookie := response.Header.Get("Set-Cookie"); !strings.Contains(cookie, "HttpOnly") || !strings.Contains(cookie, "SameSite=Lax") {
		t.Errorf("the cookie is %q", cookie)
	}
	to, err := response.Location()
	if err != nil {
		t.Fatal(err)
	}
	if q := to.Query(); q.Get("redirect_uri") != i.base+callbackPath || q.Get("scope") != "repo user" || q.Get("code_challenge_method") != "S256" || q.Get("client_id") != "client-1" {
		t.Errorf("the browser is sent to %s", to)
	}
	if again, _ := v.goTo("", http.MethodGet, ticket.URL, ""); again.StatusCode != http.StatusUnauthorized {
		t.Errorf("a used ticket: %d", again.StatusCode)
	}
	response, body = v.callback(blocktest.Agree(t, to.String()))
	if response.StatusCode != http.StatusFound {
		t.Fatalf("callback: %d %s", response.StatusCode, body)
	}
	all := v.integrations(alice)
	if len(all) != 1 || all[0].Provider != "github" || all[0].Type != "oauth2" || all[0].Username != "octocat" || !slices.Equal(all[0].Scopes, []string{"repo", "user"}) {
		t.Fatalf("the integrations are %+v", all)
	}
	if got, want := response.Header.Get("Location"), "/done?a=b&integration_id="+all[0].ID+"&success=true"; got != want {
		t.Errorf("the browser is sent to %s, want %s", got, want)
	}
	if len(v.integrations(bob)) != 0 {
		t.Error("it is another user's too")
	}

	// A single-page client, without cookies. The same account is the same integration, and keeps its scopes.
	response, body = newVisitor(t, i).goTo(alice, http.MethodGet, authorizePath+"?scopes=gist", "", "Accept", "application/json")
	var started struct {
		URL   string `json:"authorization_url"`
		State string `json:"state"`
	}
	if err := json.Unmarshal([]byte(body), &started); err != nil || response.StatusCode != http.StatusOK || len(started.State) < 43 {
		t.Fatalf("authorize: %d %s", response.StatusCode, body)
	}
	q := blocktest.Agree(t, started.URL)
	foreign := fmt.Sprintf(`{"code":%q,"state":%q}`, q.Get("code"), q.Get("state"))
	if response, body = v.goTo(bob, http.MethodPost, callbackPath, foreign); response.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(body, `"reason":"invalid_state"`) {
		t.Errorf("another user's callback: %d %s", response.StatusCode, body)
	}
	if response, body = v.goTo(alice, http.MethodPost, callbackPath, foreign); response.StatusCode != http.StatusOK {
		t.Fatalf("callback: %d %s", response.StatusCode, body)
	}
	if now := v.integrations(alice); len(now) != 1 || now[0].ID != all[0].ID || !slices.Equal(now[0].Scopes, []string{"gist", "repo", "user"}) {
		t.Errorf("the integrations are %+v", now)
	}

	// An agent that names no account uses the only one that there is.
	github.Lock()
	github.API = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/repos/ada/engine/issues" {
			http.NotFound(w, r)
			return
		}
		_, _ = io.WriteString(w, `[{"title":"Bug","html_url":"https://github.com/ada/engine/issues/1"}]`)
	})
	github.Unlock()
	graph := i.create([]byte(`{"name":"Issues","nodes":[{"id":"n","block_id":"c215bfd7-0e57-4573-8f8c-f7d4963dcd74","input_default":{"repo_url":"` + github.URL() + `/ada/engine"}},` +
		`{"id":"out","block_id":"` + outputBlock + `","input_default":{"name":"Issue"}}],"links":[{"source_id":"n","source_name":"issue","sink_id":"out","sink_name":"value"}]}`))
	if d := i.run(graph, `{}`); d.Status != "COMPLETED" || len(d.Outputs["Issue"]) != 1 || !strings.Contains(string(d.Outputs["Issue"][0]), `"Bug"`) {
		t.Errorf("a run with the account: %+v", d)
	}

	if response, _ = v.goTo(bob, http.MethodDelete, "/api/v2/integrations/"+all[0].ID, ""); response.StatusCode != http.StatusNotFound {
		t.Errorf("another user deletes: %d", response.StatusCode)
	}
	response, body = v.goTo(alice, http.MethodDelete, "/api/v2/integrations/"+all[0].ID, "")
	if response.StatusCode != http.StatusNoContent || response.Header.Get("X-Token-Revoked") != "true" || len(github.Seen(github.RevokePath)) != 1 {
		t.Errorf("delete: %d %s, revoked: %s", response.StatusCode, body, response.Header.Get("X-Token-Revoked"))
	}
	if response, _ = v.goTo(alice, http.MethodDelete, "/api/v2/integrations/"+all[0].ID, ""); response.StatusCode != http.StatusNotFound {
		t.Errorf("delete twice: %d", response.StatusCode)
	}
	if status, answer := i.call(alice, http.MethodPost, "/api/v2/builder/graphs/"+graph+"/execute", []byte(`{}`)); status != http.StatusUnprocessableEntity || !strings.Contains(string(answer), "credentials") {
		t.Errorf("a run without the account: %d %s", status, answer)
	}
	expectNoCanary(t, i, v)
}

func TestGitHubIsNotConnectedByForgers(t *testing.T) {
	t.Parallel()
	github, i := withGitHub(t)
	v := newVisitor(t, i)
	expect := func(what string, response *http.Response, body string, status int, text string) {
		t.Helper()
		if response.StatusCode != status || !strings.Contains(body, text) {
			t.Errorf("%s: %d %s, want %d with %s", what, response.StatusCode, body, status, text)
		}
	}
	good := v.begin(alice, "")
	forged := url.Values{"code": good["code"], "state": {"forged-state-that-nobody-gave-out-0123456789"}}
	response, body := v.callback(forged)
	expect("a forged state", response, body, 422, `"reason":"invalid_state"`)
	response, body = newVisitor(t, i).callback(good)
	expect("another browser", response, body, 422, `"reason":"invalid_state"`)
	response, body = v.goTo("", http.MethodGet, strings.Replace(callbackPath, "github", "google", 1)+"?"+good.Encode(), "")
	expect("another provider", response, body, 501, "PATCHBAY_PLUGIN_GOOGLE_CLIENT_ID")
	response, body = v.callback(url.Values{"state": good["state"]})
	expect("no code", response, body, 422, `"reason":"missing_code"`)
	if n := len(github.Seen(github.TokenPath)); n != 0 {
		t.Fatalf("GitHub was asked for tokens %d times", n)
	}

	var wait sync.WaitGroup
	statuses := make([]int, 2)
	for n := range statuses {
		wait.Go(func() { r, _ := v.callback(good); statuses[n] = r.StatusCode })
	}
	wait.Wait()
	if slices.Sort(statuses); statuses[0] != 200 || statuses[1] != 422 {
		t.Errorf("two callbacks at once: %v", statuses)
	}
	response, body = v.callback(good)
	expect("a used state", response, body, 422, `"reason":"invalid_state"`)

	denied := v.begin(alice, "?return_to=/done")
	response, body = v.callback(url.Values{"state": denied["state"], "error": {"access_denied"}})
	expect("a denial", response, body, 422, `"reason":"access_denied"`)
	wrong := v.begin(alice, "")
	response, body = v.callback(url.Values{"state": wrong["state"], "code": {"canary-forged-code"}})
	expect("a forged code", response, body, 422, `"reason":"invalid_grant"`)
	late := v.begin(alice, "")
	github.Lock()
	github.Down = http.StatusBadGateway
	github.Unlock()
	response, body = v.callback(late)
	expect("a provider that is down", response, body, 502, `"UPSTREAM_ERROR"`)
	if all := v.integrations(alice); len(all) != 1 { // of the race
		t.Errorf("the integrations are %+v", all)
	}

	for path, want := range map[string]int{
		"/api/v2/integrations/oauth/nobody/authorize": 404, "/api/v2/integrations/oauth/google/authorize": 501, authorizePath + "?return_to=//evil.example": 422,
	} {
		response, body = v.goTo(alice, http.MethodGet, path, "")
		expect(path, response, body, want, `"error"`)
	}
	response, body = v.goTo("", http.MethodGet, authorizePath, "")
	expect("nobody", response, body, 401, `"UNAUTHORIZED"`)
	response, body = v.goTo("", http.MethodGet, authorizePath+"?ticket=forged", "")
	expect("a forged ticket", response, body, 401, `"UNAUTHORIZED"`)
	expectNoCanary(t, i, v)
}

func TestGitHubTokensAreRefreshed(t *testing.T) {
	t.Parallel()
	github, i := withGitHub(t)
	github.Lock()
	github.ExpiresIn = 28800
	github.Unlock()
	v := newVisitor(t, i)
	c := v.connect(alice, "?scopes=repo")
	refresh := "/api/v2/integrations/" + c.ID + "/refresh"
	if response, body := v.goTo(alice, http.MethodPost, refresh, ""); response.StatusCode != http.StatusOK || !strings.Contains(body, `"scopes":["repo"]`) {
		t.Errorf("refresh: %d %s", response.StatusCode, body)
	}
	if response, _ := v.goTo(bob, http.MethodPost, refresh, ""); response.StatusCode != http.StatusNotFound {
		t.Errorf("another user refreshes: %d", response.StatusCode)
	}
	github.Forget()
	if response, body := v.goTo(alice, http.MethodPost, refresh, ""); response.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(body, `"needs_reauthorization"`) {
		t.Errorf("a refusal: %d %s", response.StatusCode, body)
	}
	if all := v.integrations(alice); len(all) != 1 || !all[0].Needs {
		t.Errorf("the integrations are %+v", all)
	}
	if again := v.connect(alice, ""); again.ID != c.ID || again.Needs {
		t.Errorf("connected again it is %+v", again)
	}
	// What was given over to the database is there after a death.
	i.kill()
	i.start()
	if response, body := v.goTo(alice, http.MethodPost, refresh, ""); response.StatusCode != http.StatusOK {
		t.Errorf("refresh after a death: %d %s", response.StatusCode, body)
	}
	expectNoCanary(t, i, v)
}

// Providers are asked under the same rules for addresses as everything that agents name.
func TestProvidersAreAskedUnderTheGuard(t *testing.T) {
	t.Parallel()
	github := (&blocktest.OAuthServer{AuthorizePath: "/login/oauth/authorize", TokenPath: "/login/oauth/access_token"}).Start(t)
	i := startInstance(t, "PATCHBAY_PLUGIN_GITHUB_CLIENT_ID=id", "PATCHBAY_PLUGIN_GITHUB_CLIENT_SECRET="+clientSecret,
		"PATCHBAY_PLUGIN_GITHUB_BASE_URL="+github.URL(), "PATCHBAY_PLUGIN_GITHUB_API_URL="+github.URL())
	v := newVisitor(t, i)
	response, body := v.callback(v.begin(alice, ""))
	if response.StatusCode != http.StatusBadGateway || !strings.Contains(body, "PATCHBAY_ALLOW_PRIVATE_ADDRESSES") {
		t.Errorf("callback: %d %s", response.StatusCode, body)
	}
	if n := len(github.Seen(github.TokenPath)); n != 0 {
		t.Errorf("it was asked %d times", n)
	}
	if len(v.integrations(alice)) != 0 {
		t.Error("something is stored")
	}
}

// A server that dies while GitHub is asked takes the refresh up again when it starts, without waiting for the end of
// what it had claimed.
func TestARefreshSurvivesADeath(t *testing.T) {
	t.Parallel()
	github, i := withGitHub(t)
	github.Lock()
	github.ExpiresIn, github.Rotate = 28800, false
	github.Unlock()
	v := newVisitor(t, i)
	c := v.connect(alice, "")
	asked, goOn := make(chan struct{}), make(chan struct{})
	github.Lock()
	hold := sync.OnceFunc(func() { close(asked); <-goOn })
	github.Before = func(*http.Request) { hold() }
	github.Unlock()
	refresh := "/api/v2/integrations/" + c.ID + "/refresh"
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _, _ = i.try(alice, http.MethodPost, refresh, nil) // it breaks off
	}()
	<-asked
	i.kill()
	<-done
	close(goOn)
	i.start()
	if response, body := v.goTo(alice, http.MethodPost, refresh, ""); response.StatusCode != http.StatusOK {
		t.Errorf("refresh after a death: %d %s", response.StatusCode, body)
	}

	// The database dies while GitHub is asked: what GitHub has given in place of the old token is not lost.
	die := sync.OnceFunc(func() {
		if i.killAll("postgres") == 0 {
			t.Error("there is no Postgres to kill")
		}
	})
	github.Lock()
	github.Rotate, github.Before = true, func(*http.Request) { die() }
	github.Unlock()
	if response, body := v.goTo(alice, http.MethodPost, refresh, ""); response.StatusCode != http.StatusOK {
		t.Errorf("refresh over a death of the database: %d %s", response.StatusCode, body)
	}
	if response, body := v.goTo(alice, http.MethodPost, refresh, ""); response.StatusCode != http.StatusOK {
		t.Errorf("refresh with the token that came meanwhile: %d %s", response.StatusCode, body)
	}
}

// expectNoCanary looks for secrets where there must be none: in the data folder, the log, and what clients were answered.
func expectNoCanary(t *testing.T, i *instance, v *visitor) {
	t.Helper()
	for _, canary := range []string{"canary-access", "canary-refresh", "canary-code", "canary-forged", clientSecret} {
		if strings.Contains(v.read.String(), canary) {
			t.Errorf("%s is in what a client was answered", canary)
		}
	}
	i.terminate() // what is in memory gets to the disk
	err := filepath.WalkDir(filepath.Dir(i.data), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if bytes.Contains(content, []byte("canary-")) {
			t.Errorf("a secret is in %s", path)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
