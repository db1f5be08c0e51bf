package server_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/patchbay-io/patchbay/sdk/blocktest"
)

// clockBlock tells the time.
const clockBlock = "716a67b3-6760-42e7-86dc-18645c6e00fc"

// ask sends a request and expects a status; it gives the body.
func (i *instance) ask(user, method, path, body string, status int, headers ...string) string {
	i.t.Helper()
	got, answer := i.call(user, method, path, []byte(body), headers...)
	if got != status {
		i.t.Errorf("%s %s: %d %s, want %d", method, path, got, answer, status)
	}
	return strings.TrimSpace(string(answer))
}

// Users set the time zone in which their executions tell times; who set none has the server's.
func TestTimezonesOfUsers(t *testing.T) {
	t.Parallel()
	i := startInstance(t, "PATCHBAY_TIMEZONE=Asia/Kolkata")
	const zone = `{"trigger":"x","format_type":{"discriminator":"strftime","format":"%Z","use_user_timezone":true}}`
	var constants map[string]any
	if err := json.Unmarshal([]byte(zone), &constants); err != nil {
		t.Fatal(err)
	}
	graph := i.create(document([]graphNode{
		{"clock", clockBlock, constants},
		{"out", outputBlock, map[string]any{"name": "Zone"}},
	}, graphLink{SourceID: "clock", SourceName: "date_time", SinkID: "out", SinkName: "value"}))
	told := func(want string) {
		t.Helper()
		if d := i.run(graph, `{}`); len(d.Outputs["Zone"]) != 1 || string(d.Outputs["Zone"][0]) != `"`+want+`"` {
			t.Errorf("executions have the zone %s, want %s", d.Outputs["Zone"], want)
		}
		if status, alone := i.runBlock(alice, clockBlock, zone); status != 200 || strings.TrimSpace(alone) != `{"date_time":["`+want+`"]}` {
			t.Errorf("a block by itself: %d %s, want %s", status, alone, want)
		}
	}
	const old = "/api/v1/auth/user/timezone"
	told("IST")
	if got := i.ask(alice, "GET", old, "", 200); got != `{"timezone":"Asia/Kolkata"}` {
		t.Errorf("without one: %s", got)
	}
	if got := i.ask(alice, "POST", old, `{"timezone":"Asia/Tokyo"}`, 200); got != `{"timezone":"Asia/Tokyo"}` {
		t.Errorf("set: %s", got)
	}
	told("JST")
	i.ask(alice, "PUT", "/api/v2/me", `{"timezone":"UTC"}`, 200)
	told("UTC")
	if got := i.ask(bob, "GET", old, "", 200); got != `{"timezone":"Asia/Kolkata"}` {
		t.Errorf("bob's: %s", got)
	}
	for _, body := range []string{`{"timezone":"Mars/X"}`, `{"timezone":""}`, `{"timezone":"Local"}`, `{"timezone":7}`, `{}`, `{"timezone":null}`} {
		if got := i.ask(alice, "POST", old, body, 422); !strings.Contains(got, `"fields":{"timezone":`) {
			t.Errorf("%s: %s", body, got)
		}
	}
	told("UTC")
	i.kill()
	i.start()
	told("UTC")
}

// Whom a credential stands for is told by all versions alike.
func TestWhoCalls(t *testing.T) {
	t.Parallel()
	i := startInstance(t, "PATCHBAY_BASE_URL=https://patchbay.example")
	for _, path := range []string{"/healthz", "/api/v2/me", "/nowhere", "/docs"} { // whose browsers come by HTTPS
		response, err := http.Get(i.base + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if got := response.Header.Get("Strict-Transport-Security"); got != "max-age=31536000" {
			t.Errorf("%s: Strict-Transport-Security is %q", path, got)
		}
	}
	want := `{"email":null,"id":"` + alice + `","name":null,"timezone":"UTC"}`
	for _, request := range [][2]string{{"GET", "/api/v2/me"}, {"POST", "/api/v1/auth/user"}, {"GET", "/external-api/v1/me"}} {
		if got := i.ask(alice, request[0], request[1], "", 200); got != want {
			t.Errorf("%s: %s, want %s", request, got, want)
		}
		i.ask("", request[0], request[1], "", 401)
	}
	i.ask(alice, "PUT", "/api/v2/store/profile", `{"username":"ada","name":"Ada Lovelace"}`, 200)
	if got := i.ask(alice, "GET", "/api/v2/me", "", 200); !strings.Contains(got, `"name":"Ada Lovelace"`) {
		t.Errorf("a creator: %s", got)
	}
	for permission, status := range map[string]int{"IDENTITY": 200, "READ_GRAPH": 403} {
		var key struct{ Key string }
		if err := json.Unmarshal([]byte(i.ask(alice, "POST", "/api/v2/api-keys", `{"name":"k","permissions":["`+permission+`"]}`, 201)), &key); err != nil {
			t.Fatal(err)
		}
		i.ask("", "GET", "/external-api/v1/me", "", status, "X-API-Key", key.Key)
		i.ask("", "GET", "/api/v1/auth/user/timezone", "", status, "X-API-Key", key.Key)
		i.ask("", "POST", "/api/v1/auth/user/timezone", `{"timezone":"UTC"}`, 403, "X-API-Key", key.Key)
	}
}

// Another application has its users connect accounts, and takes them back itself.
func (i *instance) connectsFromElsewhere() {
	i.t.Helper()
	const base = "/external-api/v1/integrations/github/oauth/"
	for _, callback := range []string{
		`null`, `""`, `7`, `"https://evil.example/x"`, `"https://app.example.evil.example/"`, `"https://app.example:444/"`, `"http://app.example/"`,
		`"https://app.example@evil.example/"`, `"https://app.example/#x"`, `"//app.example/"`, `"javascript:alert(1)"`,
	} {
		if got := i.ask(alice, "POST", base+"initiate", `{"callback_url":`+callback+`}`, 422); !strings.Contains(got, `"fields":{"callback_url":`) {
			i.t.Errorf("%s: %s", callback, got)
		}
	}
	for field, value := range map[string]string{"scopes": `"repo"`, "state_metadata": `[]`} {
		if got := i.ask(alice, "POST", base+"initiate", `{"callback_url":"https://app.example/x","`+field+`":`+value+`}`, 422); !strings.Contains(got, `"fields":{"`+field+`":`) {
			i.t.Errorf("%s: %s", field, got)
		}
	}
	const metadata = `{"tab":18446744073709551616,"a":"<&>"}`
	var begun struct {
		URL       string    `json:"login_url"`
		State     string    `json:"state_token"`
		ExpiresAt time.Time `json:"expires_at"`
	}
	initiate := func() url.Values {
		i.t.Helper()
		got := i.ask(alice, "POST", base+"initiate", `{"callback_url":"https://app.example/connected?x=1","scopes":["repo"],"state_metadata":`+metadata+`}`, 200)
		if err := json.Unmarshal([]byte(got), &begun); err != nil || time.Until(begun.ExpiresAt) < 9*time.Minute {
			i.t.Fatalf("initiate: %s %v", got, err)
		}
		address, err := url.Parse(begun.URL)
		if err != nil || address.Query().Get("redirect_uri") != "https://app.example/connected?x=1" || address.Query().Get("scope") != "repo" {
			i.t.Errorf("the browser goes to %s", begun.URL)
		}
		return blocktest.Agree(i.t, begun.URL)
	}
	granted := initiate()
	finish := fmt.Sprintf(`{"code":%q,"state_token":%q}`, granted.Get("code"), begun.State)
	// No browser may finish it: the state has no cookie.
	i.ask("", "GET", "/api/v2/integrations/oauth/github/callback?"+granted.Encode(), "", 422)
	i.ask(bob, "POST", base+"complete", finish, 422)
	got := i.ask(alice, "POST", base+"complete", finish, 200)
	if !strings.Contains(got, `"type":"oauth2"`) || !strings.Contains(got, `"username":"octocat"`) || !strings.HasSuffix(got, `"state_metadata":`+metadata+`}`) {
		i.t.Errorf("complete: %s", got)
	}
	i.ask(alice, "POST", base+"complete", finish, 422) // it is used
	if all := i.ask(bob, "GET", "/api/v2/integrations", "", 200); !strings.Contains(all, `"integrations":[]`) {
		i.t.Errorf("bob has %s", all)
	}
}

// Clients of the version before connect accounts as they did.
func TestGitHubIsConnectedByOldClients(t *testing.T) {
	t.Parallel()
	_, i := withGitHub(t, "PATCHBAY_CORS_ORIGINS=https://app.example")
	i.connectsFromElsewhere()
	var names []string
	if err := json.Unmarshal([]byte(i.ask(alice, "GET", "/api/v1/integrations/providers", "", 200)), &names); err != nil || !strings.Contains(fmt.Sprint(names), "github") {
		t.Errorf("providers: %v %v", names, err)
	}
	const base = "/api/v1/integrations/github/"
	var login struct {
		URL   string `json:"login_url"`
		State string `json:"state_token"`
	}
	v := newVisitor(t, i)
	response, body := v.goTo(alice, "GET", base+"login?scopes=repo,user", "")
	if err := json.Unmarshal([]byte(body), &login); err != nil || response.StatusCode != http.StatusOK || response.Header.Get("Deprecation") != "true" {
		t.Fatalf("login: %d %s", response.StatusCode, body)
	}
	granted := blocktest.Agree(t, login.URL)
	if granted.Get("state") != login.State {
		t.Errorf("the state is %q, told was %q", granted.Get("state"), login.State)
	}
	finish := fmt.Sprintf(`{"code":%q,"state_token":%q}`, granted.Get("code"), login.State)
	i.ask(bob, "POST", base+"callback", finish, 422)
	if all := v.integrations(bob); len(all) != 0 {
		t.Errorf("bob has %v", all)
	}
	response, body = v.goTo(alice, "GET", base+"login", "")
	if err := json.Unmarshal([]byte(body), &login); err != nil {
		t.Fatalf("login: %d %s", response.StatusCode, body)
	}
	granted = blocktest.Agree(t, login.URL)
	finish = fmt.Sprintf(`{"code":%q,"state_token":%q}`, granted.Get("code"), login.State)
	var c integration
	if err := json.Unmarshal([]byte(i.ask(alice, "POST", base+"callback", finish, 200)), &c); err != nil || c.Username != "octocat" {
		t.Errorf("connected %+v %v", c, err)
	}
	i.ask(alice, "POST", base+"callback", finish, 422) // it is used
	i.ask(alice, "GET", "/api/v1/integrations/nothing/login", "", 404)
	i.ask(alice, "GET", "/api/v1/integrations/google/login", "", 501)
	i.ask("", "GET", base+"login", "", 401)

	// A browser that keeps the cookie may come back by itself.
	response, body = v.goTo(alice, "GET", base+"login", "")
	if err := json.Unmarshal([]byte(body), &login); err != nil {
		t.Fatalf("login: %d %s", response.StatusCode, body)
	}
	if response, body = v.callback(blocktest.Agree(t, login.URL)); response.StatusCode != http.StatusOK {
		t.Errorf("callback: %d %s", response.StatusCode, body)
	}
}

// For how long executions are kept is the server's number, an administrator's for a user, or less for an agent.
func TestRetention(t *testing.T) {
	t.Parallel()
	i := startInstance(t, "PATCHBAY_RETENTION=30", "PATCHBAY_ADMIN_USERS="+bob)
	ofUser, ofGraph := "/api/v2/admin/users/"+alice+"/retention", "/api/v2/builder/graphs/"+i.create([]byte(`{"name":"Kept"}`))+"/retention"
	for _, step := range []struct {
		user, method, path, body string
		status                   int
		want                     string
	}{
		{alice, "GET", ofGraph, "", 200, `{"days":null,"effective_days":30}`},
		{alice, "PUT", ofGraph, `{"days":7}`, 200, `{"days":7,"effective_days":7}`},
		{bob, "PUT", ofUser, `{"days":5}`, 200, `{"days":5,"effective_days":5}`},
		{bob, "GET", ofUser, "", 200, `{"days":5,"effective_days":5}`},
		{bob, "GET", strings.Replace(ofUser, alice, strings.ToUpper(alice), 1), "", 200, `{"days":5,"effective_days":5}`},
		{bob, "GET", strings.Replace(ofUser, "/0", "/%30", 1), "", 200, `{"days":5,"effective_days":5}`},
		{bob, "PUT", "/api/v2/admin/users/nobody/retention", `{"days":5}`, 404, "NOT_FOUND"},
		{bob, "GET", "/api/v2/admin/users/%00/retention", "", 404, "NOT_FOUND"},
		{bob, "GET", "/api/v2/admin/users/%ff/retention", "", 404, "NOT_FOUND"},
		{alice, "GET", ofGraph, "", 200, `{"days":7,"effective_days":5}`},
		{bob, "PUT", ofUser, `{"days":0}`, 200, `{"days":0,"effective_days":0}`},
		{alice, "PUT", ofGraph, `{"days":null}`, 200, `{"days":null,"effective_days":0}`},
		{bob, "PUT", ofUser, `{"days":null}`, 200, `{"days":null,"effective_days":30}`},
		{alice, "PUT", ofUser, `{"days":0}`, 403, "FORBIDDEN"},
		{bob, "GET", ofGraph, "", 404, "NOT_FOUND"},
		{bob, "PUT", ofGraph, `{"days":1}`, 404, "NOT_FOUND"},
		{bob, "PUT", ofUser, `{"days":-1}`, 422, `"fields":{"days":`},
		{alice, "PUT", ofGraph, `{"days":1.5}`, 422, `"fields":{"days":`},
		{alice, "PUT", ofGraph, `{}`, 422, `"fields":{"days":`},
	} {
		if got := i.ask(step.user, step.method, step.path, step.body, step.status); !strings.Contains(got, step.want) {
			t.Errorf("%s %s %s: %s", step.method, step.path, step.body, got)
		}
	}
}
