package cli

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/gorilla/websocket"
)

const secret = "a secret of 32 bytes for the tests"

// call runs a command line and returns its exit code and what it printed.
func call(t *testing.T, environ []string, args ...string) (code int, out, problems string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	environ = append([]string{"PATCHBAY_JWT_SECRET=" + secret, "PATCHBAY_DATA_DIR=" + t.TempDir()}, environ...)
	code = run(t.Context(), append([]string{"patchbay"}, args...), environ, terminal{out: &stdout, err: &stderr, program: "patchbay"})
	return code, stdout.String(), stderr.String()
}

func TestTokenIsSignedWithTheSecret(t *testing.T) {
	t.Parallel()
	code, out, problems := call(t, nil, "token", "--user", "{"+strings.ToUpper(localUser)+"}", "--email", "a@example.org", "--role", "admin", "--ttl", "1h")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, problems)
	}
	claims := jwt.MapClaims{}
	_, err := jwt.ParseWithClaims(strings.TrimSpace(out), claims, func(*jwt.Token) (any, error) { return []byte(secret), nil },
		jwt.WithValidMethods([]string{"HS256"}), jwt.WithAudience("authenticated"), jwt.WithExpirationRequired(), jwt.WithSubject(localUser))
	if err != nil {
		t.Fatal(err)
	}
	expires, err := claims.GetExpirationTime()
	if err != nil || time.Until(expires.Time) > time.Hour || time.Until(expires.Time) < 50*time.Minute {
		t.Errorf("expires %v, %v", expires, err)
	}
	if claims["email"] != "a@example.org" || claims["role"] != "admin" {
		t.Errorf("claims %v", claims)
	}
}

func TestTokenUsesTheSecretThatTheServerMade(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	environ := []string{"PATCHBAY_JWT_SECRET=", "PATCHBAY_DATA_DIR=" + data}
	if code, _, problems := call(t, environ, "token", "--user", localUser); code != 1 || !strings.Contains(problems, data) {
		t.Errorf("without a server: %d %s", code, problems)
	}
	if err := os.Mkdir(filepath.Join(data, "server"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, "server", "jwt-secret"), []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, problems := call(t, environ, "token", "--user", localUser); code != 0 || strings.Count(out, ".") != 2 {
		t.Errorf("with a server: %d %s %s", code, out, problems)
	}
}

func TestMistakesOnTheCommandLine(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		args []string
		code int
		want string
	}{
		"no user":               {[]string{"token"}, 2, "--user"},
		"user is no id":         {[]string{"token", "--user", "me"}, 1, "no UUID"},
		"unknown command":       {[]string{"srve"}, 2, `did you mean "serve"`},
		"unknown flag":          {[]string{"serve", "--adr", "x"}, 2, "--addr"},
		"input without =":       {[]string{"agent", "run", localUser, "--input", "x"}, 1, "name=value"},
		"credentials without =": {[]string{"agent", "run", localUser, "--credentials", "sk-secret"}, 1, "--credentials number 1 is not"},
		"credentials, no id":    {[]string{"agent", "run", localUser, "--credentials", "a_credentials=sk-secret"}, 1, "not the id of an integration"},
		"credentials twice":     {[]string{"agent", "run", localUser, "-c", "a=" + localUser, "-c", "a=" + localUser}, 1, "a is given twice"},
		"neither file nor":      {[]string{"agent", "run", "nothing.json"}, 1, "neither a file nor the id"},
		"file is not there":     {[]string{"agent", "import", "nothing.json"}, 2, "nothing.json"},
		"no server":             {[]string{"agent", "export", localUser, "--server", "http://127.0.0.1:1"}, 1, "patchbay serve"},
		"odd server":            {[]string{"agent", "export", localUser, "--server", "127.0.0.1"}, 1, "--server"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, _, problems := call(t, nil, test.args...)
			if code != test.code || !strings.Contains(problems, test.want) {
				t.Errorf("exit code %d, want %d: %s", code, test.code, problems)
			}
		})
	}
}

func TestHelpShowsSettingsWhereTheyMatter(t *testing.T) {
	t.Parallel()
	if code, out, _ := call(t, nil); code != 0 || !strings.Contains(out, "agent run") {
		t.Errorf("no arguments: %d %s", code, out)
	}
	if code, out, _ := call(t, nil, "serve", "--help"); code != 0 || !strings.Contains(out, "--rate-limit-general") {
		t.Errorf("serve: %d %s", code, out)
	}
	if code, out, _ := call(t, nil, "token", "--help"); code != 0 || strings.Contains(out, "--rate-limit-general") || !strings.Contains(out, "--data-dir") {
		t.Errorf("token: %d %s", code, out)
	}
}

func TestInputsStayAsTyped(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"a=8":                   `{"a":8}`,
		"a=1e400":               `{"a":1e400}`,
		"a=text":                `{"a":"text"}`,
		"a=":                    `{"a":""}`,
		`a="8"`:                 `{"a":"8"}`,
		`a={"z":1, "a":"<b>"}`:  `{"a":{"z":1, "a":"<b>"}}`,
		"a=x=y":                 `{"a":"x=y"}`,
		`with "quotes"=true`:    `{"with \"quotes\"":true}`,
		"a=9007199254740993123": `{"a":9007199254740993123}`,
	} {
		got, err := parseInputs([]string{given})
		if err != nil || string(got) != want {
			t.Errorf("%s gives %s, %v; want %s", given, got, err, want)
		}
	}
	if got, err := parseInputs([]string{"a=1", "b=2"}); err != nil || string(got) != `{"a":1,"b":2}` {
		t.Errorf("two inputs give %s, %v", got, err)
	}
}

// What an execution is asked for, byte for byte.
func TestAgentRunNamesCredentials(t *testing.T) {
	t.Parallel()
	var bodies []string
	script := newScript("COMPLETED")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/execute") {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			bodies = append(bodies, string(body))
		}
		script.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	code, _, problems := call(t, nil, "agent", "run", localUser, "--server", server.URL, "--input", `A={"z": "<1>"}`, "--version", "3",
		"--credentials", "github_oauth2_credentials="+localUser, "-c", "typo_credentials="+localUser)
	want := `{"input_data":{"A":{"z": "<1>"}},"version":3,"credentials_inputs":{"github_oauth2_credentials":{"id":"` + localUser + `"},"typo_credentials":{"id":"` + localUser + `"}}}`
	if code != 0 || len(bodies) != 1 || bodies[0] != want {
		t.Errorf("%d, asked for %s; want %s", code, bodies, want)
	}
	if !strings.Contains(problems, "takes the credentials typo_credentials; it has the fields: github_oauth2_credentials\n") || strings.Contains(problems, "takes the credentials github") {
		t.Errorf("a field that is none is told so: %s", problems)
	}
}

// A server that goes away in the middle: the run is followed from where it was, and its end decides the exit code.
func TestAgentRunFollowsOverABrokenConnection(t *testing.T) {
	t.Parallel()
	for status, code := range map[string]int{"COMPLETED": 0, "FAILED": 1, "TERMINATED": 1} {
		t.Run(status, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(newScript(status))
			t.Cleanup(server.Close)
			got, out, problems := call(t, nil, "agent", "run", localUser, "--server", server.URL, "--input", "Input=8")
			if got != code || strings.TrimSpace(out) != `{"Output":[9007199254740993]}` {
				t.Errorf("exit code %d, want %d; printed %s", got, code, out)
			}
			for _, want := range []string{"start  Sum\n", "yield  Sum  result = 9007199254740993\n", "the connection to the server broke", "done   " + status} {
				if strings.Count(problems, want) != 1 {
					t.Errorf("%q is not told once:\n%s", want, problems)
				}
			}
			if strings.Contains(problems, "\x1b") {
				t.Errorf("colours without a terminal: %q", problems)
			}
		})
	}
}

// A file that is run leaves no agent behind, however its execution ends, unless somebody wants it.
func TestAgentsThatAreRunFromFilesGoAgain(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		file, status string
		flags        []string
		removed      int
	}{
		"it":         {`{"nodes":[]}`, "COMPLETED", nil, 1},
		"failed":     {`{"nodes":[]}`, "FAILED", nil, 1},
		"refused":    {`{"nodes":[]}`, "", nil, 1},
		"kept":       {`{"nodes":[]}`, "COMPLETED", []string{"--keep"}, 0},
		"nests":      {`{"sub_graphs":[{}]}`, "COMPLETED", nil, 0},
		"nests, too": {`{"graph":{"sub_graphs":[{}]}}`, "COMPLETED", nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "agent.json")
			if err := os.WriteFile(file, []byte(test.file), 0o600); err != nil {
				t.Fatal(err)
			}
			script := newScript(test.status)
			var asked []string
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.URL.Path == "/api/v2/builder/graphs":
					_, _ = io.WriteString(w, `{"id":"`+localUser+`","version":1,"name":"Adder"}`)
				case r.Method == http.MethodDelete:
					asked = append(asked, r.URL.Path)
					w.WriteHeader(http.StatusNoContent)
				case test.status == "" && strings.HasSuffix(r.URL.Path, "/execute"):
					w.WriteHeader(http.StatusUnprocessableEntity)
				default:
					script.ServeHTTP(w, r)
				}
			}))
			t.Cleanup(server.Close)
			code, _, problems := call(t, nil, append([]string{"agent", "run", file, "--server", server.URL}, test.flags...)...)
			if (code == 0) != (test.status == "COMPLETED") || len(asked) != test.removed || strings.Contains(problems, "could not be removed") {
				t.Errorf("exit code %d, removed %s\n%s", code, asked, problems)
			}
			if stays := strings.Contains(problems, "which stays, as "+localUser); stays != (test.removed == 0) {
				t.Errorf("what stays is told wrongly:\n%s", problems)
			}
		})
	}
}

// What could never be installed is not begun.
func TestNamesOfTheServersOwnPluginsAreTaken(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	folder := filepath.Join(dir, "acme")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"plugin.json": `{"name":"acme","version":"1.0.0","protocol":1}`, "acme": "#!/bin/sh\n"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	code, _, problems := call(t, []string{"PATCHBAY_PLUGIN_DIRS=" + dir}, "plugin", "new", "acme", "--lang", "python")
	if code != 1 || !strings.Contains(problems, "a plugin of the name acme belongs to the server") || !strings.Contains(problems, "my_acme") {
		t.Errorf("%d: %s", code, problems)
	}
}

// newScript is a server that breaks the first connection after two events.
func newScript(status string) http.Handler {
	mux := http.NewServeMux()
	answer := func(body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }
	}
	mux.HandleFunc("GET /api/v2/builder/graphs/{id}", answer(`{"id":"`+localUser+`","version":1,"name":"Adder","credentials_input_schema":{"properties":{"github_oauth2_credentials":{}}},"nodes":[{"id":"n","block_id":"b","metadata":{}}]}`))
	mux.HandleFunc("GET /api/v2/builder/blocks", answer(`{"blocks":[{"id":"b","name":"Sum"}]}`))
	mux.HandleFunc("POST /api/v2/builder/graphs/{id}/execute", answer(`{"execution_id":"x"}`))
	mux.HandleFunc("GET /api/v2/executions/x", answer(`{"status":"`+status+`","outputs":{"Output":[9007199254740993]}}`))
	last := `{"type":"execution.completed","seq":4,"status":"` + status + `"}`
	if status == "FAILED" {
		last = `{"type":"execution.failed","seq":4,"status":"FAILED","error":{"message":"no","node_id":"n"}}`
	}
	events := []string{
		`{"type":"execution.started","seq":1}`,
		`{"type":"node.started","seq":2,"node_id":"n","node_execution_id":"x.1"}`,
		`{"type":"node.output","seq":3,"node_id":"n","node_execution_id":"x.1","output_name":"result","output_data":9007199254740993}`,
		last,
	}
	mux.HandleFunc("GET /ws", func(w http.ResponseWriter, r *http.Request) {
		conn, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		var subscribe struct {
			After int `json:"after_seq"`
		}
		if err := conn.ReadJSON(&subscribe); err != nil {
			return
		}
		send := events[subscribe.After:]
		if subscribe.After == 0 {
			send = events[:2]
		}
		for _, e := range append([]string{`{"type":"subscribed"}`}, send...) {
			if err := conn.WriteMessage(websocket.TextMessage, json.RawMessage(e)); err != nil {
				return
			}
		}
	})
	return mux
}

func TestWatchKeepsBlocksFromTheTerminal(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	w := newWatch(&out, nil)
	w.show(&event{Type: "node.failed", NodeID: "n\x1b[2J", Error: struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		NodeID  string `json:"node_id"`
	}{Message: "two\nlines"}})
	if strings.ContainsAny(strings.TrimSuffix(out.String(), "\n"), "\x1b\n") {
		t.Errorf("a block writes to the terminal: %q", out.String())
	}
}

func TestHelpIsACommandToo(t *testing.T) {
	t.Parallel()
	_, want, _ := call(t, nil, "plugin", "install", "--help")
	if code, out, problems := call(t, nil, "help", "plugin", "install"); code != 0 || out != want || problems != "" {
		t.Errorf("%d %s %s", code, out, problems)
	}
	if code, out, _ := call(t, nil, "help"); code != 0 || !strings.Contains(out, "serve") {
		t.Errorf("%d %s", code, out)
	}
}
