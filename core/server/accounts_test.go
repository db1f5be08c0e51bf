package server_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// as sends a request with a credential in a header.
func (i *instance) as(header, credential, method, path, body string) (int, string) {
	i.t.Helper()
	request, err := http.NewRequestWithContext(i.t.Context(), method, i.base+path, strings.NewReader(body))
	if err != nil {
		i.t.Fatal(err)
	}
	if credential != "" {
		request.Header.Set(header, credential)
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		i.t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		i.t.Fatal(err)
	}
	return response.StatusCode, string(answer)
}

func (i *instance) connect(query string, header http.Header) *websocket.Conn {
	i.t.Helper()
	conn, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(i.base, "http")+"/ws?"+query, header)
	if err != nil {
		i.t.Fatal(err)
	}
	i.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// closes reads to the end of a connection and gives its code.
func closes(t *testing.T, conn *websocket.Conn) int {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for {
		if _, _, err := conn.ReadMessage(); err != nil {
			closed, ok := errors.AsType[*websocket.CloseError](err)
			if !ok {
				t.Fatal(err)
			}
			return closed.Code
		}
	}
}

func answers(t *testing.T, conn *websocket.Conn, frame, want string) {
	t.Helper()
	if err := conn.WriteMessage(websocket.TextMessage, []byte(frame)); err != nil {
		t.Fatal(err)
	}
	if _, text, err := conn.ReadMessage(); err != nil || !strings.Contains(string(text), want) {
		t.Fatalf("%s is answered by %s, %v", frame, text, err)
	}
}

// The server with accounts of its own, from the first administrator on; the provider of asymmetric tokens is down.
func TestAccountsKeysAndSockets(t *testing.T) {
	t.Parallel()
	const password, bearer = "correct horse battery", "Authorization"
	i := startInstance(t, "PATCHBAY_LOCAL_ACCOUNTS=true", "PATCHBAY_JWKS_URL=http://127.0.0.1:1/keys", "PATCHBAY_ADMIN_USERS=boss@example.com,"+bob)
	eventually(t, "the server says that nobody is an administrator", func() bool { return i.logged("there is no account of an administrator yet") })
	create := i.command("account", "create", "--admin", "--email", "ann@example.com")
	create.Stdin = strings.NewReader(password + "\n")
	if out, err := create.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	status, body := i.as("", "", "POST", "/api/v2/auth/token", `{"email":"ann@example.com","password":"`+password+`"}`)
	var ann struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
		User    struct{ ID string }
	}
	if err := json.Unmarshal([]byte(body), &ann); err != nil || status != 200 {
		t.Fatal(status, body, err)
	}
	if status, body := i.as(bearer, "Bearer "+ann.Access, "GET", "/api/v2/admin/accounts", ""); status != 200 || !strings.Contains(body, ann.User.ID) {
		t.Errorf("an administrator gets %d %s", status, body)
	}
	for user, want := range map[string]int{alice: 403, bob: 200} {
		if status, _ := i.call(user, "GET", "/api/v2/admin/accounts", nil); status != want {
			t.Errorf("%s gets %d", user, status)
		}
	}
	boss, err := i.command("token", "--user", alice, "--email", "Boss@example.com").Output()
	if err != nil {
		t.Fatal(err)
	}
	if status, _ := i.as(bearer, "Bearer "+strings.TrimSpace(string(boss)), "GET", "/api/v2/admin/accounts", ""); status != 200 {
		t.Errorf("an administrator by email gets %d", status)
	}

	status, body = i.as(bearer, "Bearer "+ann.Access, "POST", "/api/v2/api-keys", `{"name":"k","permissions":["READ_RUN"]}`)
	var key struct{ ID, Key string }
	if err := json.Unmarshal([]byte(body), &key); err != nil || status != 201 {
		t.Fatal(status, body, err)
	}
	for path, want := range map[string]int{"/api/v2/executions": 200, "/api/v2/builder/blocks": 403, "/api/v2/api-keys": 403} {
		if status, _ := i.as("X-API-Key", key.Key, "GET", path, ""); status != want {
			t.Errorf("the key gets %d for %s", status, path)
		}
	}
	byKey := i.connect("user_id="+ann.User.ID+"&token="+key.Key, nil)
	answers(t, byKey, `{"type":"ping"}`, "pong")
	answers(t, byKey, `{"type":"subscribe","execution_id":"x"}`, "NOT_FOUND")
	answers(t, i.connect("", http.Header{"X-Api-Key": {key.Key}}), `{"type":"ping"}`, "pong")
	if code := closes(t, i.connect("user_id="+alice+"&token="+key.Key, nil)); code != 4004 {
		t.Errorf("a key of somebody else closes with %d", code)
	}
	if status, _ := i.as(bearer, "Bearer "+ann.Access, "DELETE", "/api/v2/api-keys/"+key.ID, ""); status != 204 {
		t.Errorf("revoking gives %d", status)
	}
	if status, _ := i.as("X-API-Key", key.Key, "GET", "/api/v2/executions", ""); status != 401 {
		t.Errorf("a revoked key gets %d", status)
	}
	if code := closes(t, byKey); code != 4003 {
		t.Errorf("the connection of a revoked key closes with %d", code)
	}

	bySession := i.connect("token="+ann.Access, nil)
	answers(t, bySession, `{"type":"ping"}`, "pong")
	if status, body := i.as("", "", "POST", "/api/v2/auth/logout", `{"refresh_token":"`+ann.Refresh+`"}`); status != 204 {
		t.Errorf("logging out gives %d %s", status, body)
	}
	if status, _ := i.as(bearer, "Bearer "+ann.Access, "GET", "/api/v2/executions", ""); status != 401 {
		t.Errorf("after logging out: %d", status)
	}
	if code := closes(t, bySession); code != 4003 {
		t.Errorf("the connection of a session that has ended closes with %d", code)
	}

	log, err := os.ReadFile(i.log.Name())
	if err != nil {
		t.Fatal(err)
	}
	for _, credential := range []string{password, ann.Access, ann.Refresh, key.Key, token(t, alice), secret} {
		if strings.Contains(string(log), credential) {
			t.Errorf("%s is in the log", credential)
		}
	}
	for _, line := range []string{"audit: account.create", "audit: session.begin", "audit: api_key.revoke", "keys of tokens could not be fetched"} {
		if !strings.Contains(string(log), line) {
			t.Errorf("%q is not in the log", line)
		}
	}
}
