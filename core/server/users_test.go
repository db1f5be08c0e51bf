package server_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

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
	i := startInstance(t)
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

// Clients of the version before connect accounts as they did.
func TestGitHubIsConnectedByOldClients(t *testing.T) {
	t.Parallel()
	_, i := withGitHub(t)
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
