package server_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/patchbay-io/patchbay/sdk/blocktest"
)

// withForge starts the plugin forge beside the others, and an identity provider for it.
func withForge(t *testing.T) (*blocktest.OAuthServer, *instance) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "forge", "forge")
	if err := build(path, "./core/server/testdata/forge"); err != nil {
		t.Fatal(err)
	}
	manifest, err := exec.Command(path, "manifest").Output()
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "forge", "plugin.json"), manifest, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	idp := (&blocktest.OAuthServer{
		AuthorizePath: "/authorize", TokenPath: "/token", AccountPath: "/user", Account: `{"id":1,"login":"ada"}`, Rotate: true, ExpiresIn: 60,
	}).Start(t)
	return idp, startInstance(t, "PATCHBAY_PLUGIN_DIRS="+plugins+","+dir, "PATCHBAY_PLUGIN_FORGE_CLIENT_ID=id",
		"PATCHBAY_PLUGIN_FORGE_CLIENT_SECRET=secret", "PATCHBAY_PLUGIN_FORGE_BASE_URL="+idp.URL(), "PATCHBAY_ALLOW_PRIVATE_ADDRESSES=127.0.0.0/8")
}

// Ten runs at once find a token that is about to end: it is refreshed once, each of them reaches the service with the new
// one, and since the plugin wants it so, one after the other.
func TestRunsShareATokenThatIsRefreshedOnce(t *testing.T) {
	t.Parallel()
	idp, i := withForge(t)
	v := newVisitor(t, i)
	response, body := v.goTo(alice, http.MethodGet, strings.Replace(authorizePath, "github", "forge", 1), "", "Accept", "application/json")
	var begun struct {
		URL string `json:"authorization_url"`
	}
	if err := json.Unmarshal([]byte(body), &begun); err != nil {
		t.Fatalf("authorize: %d %s", response.StatusCode, body)
	}
	granted := blocktest.Agree(t, begun.URL)
	response, body = v.goTo(alice, http.MethodPost, strings.Replace(callbackPath, "github", "forge", 1),
		fmt.Sprintf(`{"code":%q,"state":%q}`, granted.Get("code"), granted.Get("state")))
	var c integration
	if err := json.Unmarshal([]byte(body), &c); err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("callback: %d %s", response.StatusCode, body)
	}

	graph := i.create([]byte(`{"name":"Whose","nodes":[{"id":"n","block_id":"5f0a1c52-6c0e-4d38-9d8f-6f2b7a0c1e01","input_default":{` +
		`"credentials":{"id":"` + c.ID + `","provider":"forge","type":"oauth2"}}},` +
		`{"id":"out","block_id":"` + outputBlock + `","input_default":{"name":"Login"}}],"links":[{"source_id":"n","source_name":"login","sink_id":"out","sink_name":"value"}]}`))
	var using, most atomic.Int32
	idp.Lock()
	idp.Before = func(r *http.Request) {
		if r.URL.Path == "/user" {
			if n := using.Add(1); n > most.Load() {
				most.Store(n)
			}
			time.Sleep(10 * time.Millisecond) // a service that is not quick
			using.Add(-1)
		}
	}
	idp.Unlock()
	var wait sync.WaitGroup
	for range 10 {
		wait.Go(func() {
			if d := i.run(graph, `{}`); d.Status != "COMPLETED" || string(d.Outputs["Login"][0]) != `"ada"` {
				t.Errorf("%+v", d)
			}
		})
	}
	wait.Wait()
	refreshes := 0
	for _, seen := range idp.Seen("/token") {
		if seen.Form.Get("grant_type") == "refresh_token" {
			refreshes++
		}
	}
	if refreshes != 1 || most.Load() != 1 {
		t.Errorf("%d refreshes, %d runs at once", refreshes, most.Load())
	}

	// A refusal is told by the node that fails and by the integration.
	idp.Forget()
	if response, _ := v.goTo(alice, http.MethodPost, "/api/v2/integrations/"+c.ID+"/refresh", ""); response.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("a refusal: %d", response.StatusCode)
	}
	status, answer := i.call(alice, http.MethodPost, "/api/v2/builder/graphs/"+graph+"/execute", []byte(`{}`), "Prefer", "wait=60")
	if !strings.Contains(string(answer), "need to be authorised again") {
		t.Errorf("a run without authorisation: %d %s", status, answer)
	}
	v.read.Write(answer)
	expectNoCanary(t, i, v)
}
