package server_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
)

// Blocks of the plugin of the conformance cases: one uses its key, the other tells it to whoever listens.
const (
	keyBlock  = "c0f00000-0000-4000-8000-000000000033"
	leakBlock = "c0f00000-0000-4000-8000-000000000038"
)

// casesPlugin builds the plugin of the conformance cases into a folder for plugins.
func casesPlugin(t *testing.T) (folder string) {
	t.Helper()
	folder = t.TempDir()
	path := filepath.Join(folder, "cases", "cases")
	if err := build(path, "./core/server/conformance/testdata/testplugin"); err != nil {
		t.Fatal(err)
	}
	manifest, err := exec.Command(path, "manifest").Output()
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, "cases", "plugin.json"), manifest, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return folder
}

// frames reads all that is said of an execution, as it was sent.
func (i *instance) frames(user, id string) string {
	i.t.Helper()
	conn := i.connect("", http.Header{"Authorization": {"Bearer " + token(i.t, user)}})
	if err := conn.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, `{"type":"subscribe","execution_id":%q}`, id)); err != nil {
		i.t.Fatal(err)
	}
	var all strings.Builder
	for {
		_, frame, err := conn.ReadMessage()
		if err != nil {
			i.t.Fatal(err)
		}
		all.Write(frame)
		if strings.Contains(string(frame), `"type":"execution.`) && !strings.Contains(string(frame), `"execution.started"`) {
			return all.String()
		}
	}
}

// What users store to sign in with is known to the block that uses it, and appears nowhere else: in no answer, event, log,
// export, error, nor in what is stored.
func TestSecretsAppearNowhere(t *testing.T) {
	t.Parallel()
	i := startInstance(t, "PATCHBAY_PLUGIN_DIRS="+plugins+","+casesPlugin(t), "PATCHBAY_LOG_LEVEL=trace", "PATCHBAY_STORE_AUTO_APPROVE=true")
	const aliceKey, bobKey = "canary-alice-7d1c90", "canary-bob-5e0b2f"
	answers := map[string]string{}
	ask := func(user, method, path, body string) string {
		t.Helper()
		status, answer := i.call(user, method, path, []byte(body))
		if status >= 500 {
			t.Errorf("%s %s: %d %s", method, path, status, answer)
		}
		answers[user+" "+method+" "+path] += string(answer)
		return string(answer)
	}
	field := func(answer, name string) string {
		t.Helper()
		var members map[string]any
		if err := json.Unmarshal([]byte(answer), &members); err != nil || members[name] == nil {
			t.Fatalf("no %s in %s", name, answer)
		}
		return members[name].(string)
	}
	shown := func(secret string) string {
		sum := sha256.Sum256([]byte(secret))
		return hex.EncodeToString(sum[:8])
	}
	id := field(ask(alice, "POST", "/api/v2/integrations", `{"provider":"a","type":"api_key","title":"Mine","api_key":"`+aliceKey+`"}`), "id")
	reference := map[string]any{"id": id, "provider": "a", "type": "api_key"}
	uses := field(ask(alice, "POST", "/api/v2/builder/graphs", string(through(keyBlock, "in", "out", map[string]any{"credentials": reference}))), "id")
	leaks := field(ask(alice, "POST", "/api/v2/builder/graphs", string(through(leakBlock, "in", "out", map[string]any{"credentials": reference}))), "id")

	run := func(user, graph, given string) (details string) {
		t.Helper()
		execution := field(ask(user, "POST", "/api/v2/builder/graphs/"+graph+"/execute", `{"input_data":{"Value":1},"credentials_inputs":`+given+`}`), "execution_id")
		answers[user+" events of "+execution] = i.frames(user, execution)
		ask(user, "GET", "/api/v2/executions/"+execution+"/nodes", "")
		return ask(user, "GET", "/api/v2/executions/"+execution, "")
	}
	if d := run(alice, uses, "{}"); !strings.Contains(d, `"COMPLETED"`) || !strings.Contains(d, shown(aliceKey)) || !strings.Contains(d, id) {
		t.Errorf("it was not used: %s", d)
	}
	if d := run(alice, leaks, `{"a_api_key_credentials":{"id":"`+id+`","provider":"a","type":"api_key","api_key":"`+aliceKey+`"}}`); !strings.Contains(d, `"FAILED"`) || !strings.Contains(d, "error ***") {
		t.Errorf("the error: %s", d)
	}
	ask(alice, "GET", "/api/v2/builder/graphs/"+uses, "")
	if export := ask(alice, "GET", "/api/v2/builder/graphs/"+uses+"?for_export=true", ""); strings.Contains(export, id) {
		t.Errorf("the export names the credentials: %s", export)
	}
	ask(alice, "GET", "/api/v2/integrations", "")
	ask(alice, "PATCH", "/api/v2/integrations/"+id, `{"title":"Still mine"}`)
	ask(alice, "POST", "/api/v2/integrations", `{"provider":"a","type":"api_key","api_key":{"`+aliceKey+`":1}}`)

	// Who runs somebody else's agent uses credentials of their own.
	submission := fmt.Sprintf(`{"graph_id":%q,"graph_version":1,"name":"Key","description":"","categories":["Productivity"],"image_urls":[]}`, uses)
	i.store(alice, "POST", "submissions", submission, 201)
	ask(bob, "POST", "/api/v2/library/agents", fmt.Sprintf(`{"agent_id":%q,"agent_version":1}`, uses))
	execute := "/api/v2/builder/graphs/" + uses + "/execute"
	if refused := ask(bob, "POST", execute, `{"input_data":{"Value":1},"version":1}`); !strings.Contains(refused, "These credentials are required") || strings.Contains(refused, id) {
		t.Errorf("bob without any: %s", refused)
	}
	if refused := ask(bob, "POST", execute, `{"input_data":{"Value":1},"version":1,"credentials_inputs":{"a_api_key_credentials":{"id":"`+id+`","provider":"a","type":"api_key"}}}`); !strings.Contains(refused, "Unknown credentials #"+id) {
		t.Errorf("bob with those of alice: %s", refused)
	}
	ask(bob, "POST", "/api/v2/integrations", `{"provider":"a","type":"api_key","api_key":"`+bobKey+`"}`)
	execution := field(ask(bob, "POST", execute, `{"input_data":{"Value":1},"version":1}`), "execution_id")
	answers["bob's events"] = i.frames(bob, execution)
	if d := ask(bob, "GET", "/api/v2/executions/"+execution, ""); !strings.Contains(d, shown(bobKey)) || strings.Contains(d, shown(aliceKey)) || strings.Contains(d, id) {
		t.Errorf("bob with his own: %s", d)
	}
	ask(alice, "DELETE", "/api/v2/integrations/"+id, "")

	for what, text := range answers {
		if strings.Contains(text, "canary") {
			t.Errorf("%s shows a secret: %s", what, text)
		}
	}
	if code := i.terminate(); code != 0 { // what was in memory is in files
		t.Errorf("exit code %d", code)
	}
	i.holdsNone(aliceKey, bobKey, hex.EncodeToString([]byte(aliceKey)), hex.EncodeToString([]byte(bobKey)))
	log, err := os.ReadFile(i.log.Name())
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"stderr *** ", "stdout ***", "log ***", "integration.create"} {
		if !strings.Contains(string(log), line) {
			t.Errorf("the log lacks %q", line)
		}
	}
}
