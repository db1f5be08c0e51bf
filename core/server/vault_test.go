package server_test

import (
	"bytes"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The keys of stored credentials are made at the first start, rotated while the server runs and while it does not, and
// missed by a server that lacks them.
func TestEncryptionKeys(t *testing.T) {
	t.Parallel()
	const canary = "canary-b10c77"
	i := startInstance(t)
	path := filepath.Join(i.data, "server", "encryption-keys")
	keys := func() []string {
		t.Helper()
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Fields(string(raw))
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 || len(keys()) != 1 {
		t.Errorf("%v %v", info, err)
	}
	body := `{"provider":"openai","type":"api_key","api_key":"` + canary + `"}`
	if status, answer := i.call(alice, http.MethodPost, "/api/v2/integrations", []byte(body)); status != http.StatusCreated || strings.Contains(string(answer), canary) {
		t.Fatalf("store: %d %s", status, answer)
	}
	rotate := func() (id string) {
		t.Helper()
		command := i.command("key", "rotate")
		var problems strings.Builder
		command.Stderr = &problems
		out, err := command.Output()
		id, ok := strings.CutPrefix(string(out), "1 credentials are encrypted under the key ")
		if err != nil || !ok {
			t.Errorf("rotate: %v\n%s%s", err, out, problems.String())
		}
		return strings.TrimSpace(id)
	}
	first := rotate()
	if len(keys()) != 2 {
		t.Errorf("there are %d keys", len(keys()))
	}
	if i.terminate() != 0 {
		t.Error("it did not stop well")
	}
	if second := rotate(); second == first || len(keys()) != 3 {
		t.Errorf("%d keys, %s", len(keys()), second)
	}
	i.start()
	if status, answer := i.call(alice, http.MethodGet, "/api/v2/integrations", nil); status != http.StatusOK || !strings.Contains(string(answer), `"openai"`) {
		t.Errorf("%d %s", status, answer)
	}
	i.terminate()

	refused := func(env ...string) string {
		t.Helper()
		cmd := i.command("serve")
		cmd.Env = append(cmd.Env[:len(cmd.Env):len(cmd.Env)], env...)
		out, err := cmd.CombinedOutput()
		if err == nil {
			t.Fatalf("it started:\n%s", out)
		}
		return string(out)
	}
	id := rotate()
	newest, whole := keys()[0], strings.Join(keys(), ",")
	if err := os.Rename(path, path+".lost"); err != nil {
		t.Fatal(err)
	}
	for _, env := range [][]string{nil, {"PATCHBAY_ENCRYPTION_KEYS=" + strings.Repeat("A", 43)}} {
		if out := refused(env...); !strings.Contains(out, id) || !strings.Contains(out, path) || !strings.Contains(out, "PATCHBAY_ENCRYPTION_KEYS") {
			t.Errorf("it does not say what is missing (%s):\n%s", id, out)
		}
	}
	if out := refused("PATCHBAY_ENCRYPTION_KEYS=" + newest[:20]); !strings.Contains(out, "key 1 is not 32 bytes") || strings.Contains(out, newest[:20]) {
		t.Error(out)
	}
	i.env = append(i.env, "PATCHBAY_ENCRYPTION_KEYS="+whole)
	i.start()
	if out, err := i.command("key", "rotate").CombinedOutput(); err == nil || !strings.Contains(string(out), "openssl rand -base64 32") {
		t.Errorf("keys that are set: %v\n%s", err, out)
	}
	i.terminate()
	i.holdsNone(canary)
}

// holdsNone looks for texts in every file of the server's, its log among them.
func (i *instance) holdsNone(texts ...string) {
	i.t.Helper()
	err := filepath.WalkDir(filepath.Dir(i.data), func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		raw, err := os.ReadFile(name)
		for _, text := range texts {
			if bytes.Contains(raw, []byte(text)) {
				i.t.Errorf("%s holds %s", name, text)
			}
		}
		return err
	})
	if err != nil {
		i.t.Error(err)
	}
}
