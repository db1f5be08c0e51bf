package server_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

const echoBlock = "aaaaaaaa-0000-4000-8000-000000000001"

// testPlugin is built once: it takes its name and version from where it lies.
var testPlugin = sync.OnceValues(func() (string, error) {
	path := filepath.Join(filepath.Dir(binary), "testplugin")
	return path, build(path, "./core/plugin/testdata/testplugin")
})

// pluginFolder is what the author of a plugin has built.
func pluginFolder(t *testing.T, name, version string, permissions ...string) string {
	t.Helper()
	program, err := testPlugin()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	manifest := fmt.Sprintf(`{"name":%q,"version":%q,"protocol":1,"credentials":[{"provider":"vendor"},{"provider":"other"}],"permissions":{%s}}`, name, version, strings.Join(permissions, ","))
	if err := os.WriteFile(filepath.Join(dir, "plugin.json"), []byte(manifest), 0o644); err != nil {
		t.Fatal(err)
	}
	code, err := os.ReadFile(program)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name), code, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// pluginArchive is the folder as a .tar.gz.
func pluginArchive(t *testing.T, name, version string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name+".tar.gz")
	if out, err := exec.Command("tar", "-C", pluginFolder(t, name, version), "-czf", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("tar: %v %s", err, out)
	}
	return path
}

// patchbay runs a command and gives what it says.
func (i *instance) patchbay(args ...string) (string, error) {
	out, err := i.command(args...).CombinedOutput()
	return string(out), err
}

func (i *instance) mustPatchbay(want string, args ...string) string {
	i.t.Helper()
	out, err := i.patchbay(args...)
	if err != nil || !strings.Contains(out, want) {
		i.t.Fatalf("patchbay %s: %v\n%s\nwant %q", strings.Join(args, " "), err, out, want)
	}
	return out
}

func (i *instance) badPatchbay(want string, args ...string) {
	i.t.Helper()
	if out, err := i.patchbay(args...); err == nil || !strings.Contains(out, want) {
		i.t.Errorf("patchbay %s: %v\n%s\nwant %q", strings.Join(args, " "), err, out, want)
	}
}

// echoing stores an agent that has a block of the test plugin.
func (i *instance) echoing() string {
	i.t.Helper()
	return i.create([]byte(`{"name":"Echoes","nodes":[{"id":"in","block_id":"` + inputBlock + `","input_default":{"name":"Value"}},` +
		`{"id":"echo","block_id":"` + echoBlock + `"},{"id":"out","block_id":"` + outputBlock + `","input_default":{"name":"Output"}}],` +
		`"links":[{"source_id":"in","source_name":"result","sink_id":"echo","sink_name":"value"},` +
		`{"source_id":"echo","source_name":"output","sink_id":"out","sink_name":"value"}]}`))
}

func TestRestartedPluginHasTheSettingsThatTheFileHasNow(t *testing.T) {
	t.Parallel()
	i := startInstance(t)
	const settingsBlock = "aaaaaaaa-0000-4000-8000-000000000012"
	i.mustPatchbay("plugin_good_token in patchbay.yaml and run patchbay plugin restart good", "plugin", "install", "--yes", pluginFolder(t, "good", "1.0.0-needy"))
	for _, token := range []string{"first", "second"} {
		settings := filepath.Join(filepath.Dir(i.data), "patchbay.yaml")
		if err := os.WriteFile(settings, []byte("plugin_good_token: "+token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		i.mustPatchbay("good 1.0.0-needy is ready", "plugin", "restart", "good")
		if status, body := i.runBlock(alice, settingsBlock, `{}`); status != http.StatusOK || !strings.Contains(body, `"`+token+` http`) {
			t.Errorf("%d %s, want %s", status, body, token)
		}
	}
	i.kill()
	i.badPatchbay("no server runs", "plugin", "restart", "good")
}

func TestPluginsOfAStoppedServerKeepTheirBlocks(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	intruder := pluginFolder(t, "aardvark", "1.0.0-twin")
	i.mustPatchbay("victim 1.0.0 is installed", "plugin", "install", "--yes", pluginFolder(t, "victim", "1.0.0"))
	i.badPatchbay("which plugin victim offers: only one of them can be enabled", "plugin", "install", "--yes", intruder)
	i.mustPatchbay("victim 1.0.0 is disabled", "plugin", "disable", "victim")
	i.mustPatchbay("aardvark 1.0.0-twin is installed, 1 block\nit brings blocks of plugins that are disabled and cannot be enabled beside it: victim", "plugin", "install", "--yes", intruder)
	for want, folder := range map[string]string{
		"a plugin of the name text belongs to the server": pluginFolder(t, "text", "9.0.0"),
		"cannot be granted: the server keeps its data in": pluginFolder(t, "greedy", "1.0.0", `"files":[{"path":"`+i.data+`","write":true}]`),
	} {
		if out, err := i.patchbay("plugin", "install", "--yes", folder); err == nil || !strings.Contains(out, want) || strings.Contains(out, "asks for") {
			t.Errorf("%v\n%s\nwant %q before anything is asked", err, out, want)
		}
	}
	i.badPatchbay("which plugin aardvark offers", "plugin", "enable", "victim")
	i.mustPatchbay("plugin install "+intruder, "plugin", "remove", "--yes", "aardvark")
	i.mustPatchbay("victim 1.0.0 is installed", "plugin", "enable", "victim")

	program := filepath.Join(i.data, "plugins", "victim", "1.0.0", "plugin.json")
	if err := os.WriteFile(program, []byte(`{"name":"victim","version":"1.0.0","protocol":1,"description":"other"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	i.badPatchbay("plugin verify victim", "doctor")
}

func TestPluginsComeChangeAndGoOnARunningServer(t *testing.T) {
	t.Parallel()
	i := startInstance(t)
	i.badPatchbay("needs consent", "plugin", "install", pluginFolder(t, "good", "1.0.0"))
	i.mustPatchbay("good 1.0.0 is installed: ready", "plugin", "install", "--yes", pluginFolder(t, "good", "1.0.0"))
	agent := i.echoing()
	var callers sync.WaitGroup
	var runs, failed atomic.Int32
	stop := make(chan struct{})
	for range 3 {
		callers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				status, body, err := i.try(alice, http.MethodPost, "/api/v2/builder/graphs/"+agent+"/execute", []byte(`{"input_data":{"Value":7}}`), "Prefer", "wait=60")
				var d details
				if err != nil || json.Unmarshal(body, &d) != nil || d.Status != "COMPLETED" || len(d.Outputs["Output"]) != 1 {
					failed.Add(1)
					t.Errorf("execution: %d %v %.1000s", status, err, body)
					return
				}
				runs.Add(1)
			}
		})
	}
	more := func() {
		t.Helper()
		seen := runs.Load()
		eventually(t, "executions go on", func() bool { return runs.Load() > seen+5 || failed.Load() > 0 })
	}
	more()
	i.mustPatchbay("good 2.0.0 is installed: ready", "plugin", "upgrade", "--yes", "good", pluginArchive(t, "good", "2.0.0"))
	more()
	i.badPatchbay("needs consent", "plugin", "upgrade", "good", pluginFolder(t, "good", "2.1.0")) // nobody has signed it
	i.badPatchbay("the version before serves on", "plugin", "upgrade", "--yes", "good", pluginFolder(t, "good", "3.0.0-crash"))
	more()
	i.mustPatchbay("good 1.0.0 is ready", "plugin", "rollback", "good")
	more()
	i.mustPatchbay("good 1.0.0 is ready", "plugin", "restart", "good")
	more()
	if out := i.mustPatchbay("good", "plugin", "list"); !strings.Contains(out, "2.0.0") || !strings.Contains(out, "unsigned") || !strings.Contains(out, "the server") {
		t.Errorf("list:\n%s", out)
	}
	close(stop)
	callers.Wait()

	before, stored := i.call(alice, http.MethodGet, "/api/v2/builder/graphs/"+agent, nil)
	i.mustPatchbay("1 agent uses its blocks", "plugin", "disable", "good")
	status, body := i.call(alice, http.MethodGet, "/api/v2/builder/graphs/"+agent, nil)
	if status != before || !bytes.Contains(body, []byte(echoBlock)) {
		t.Errorf("the agent: %d %s\nbefore: %d %s", status, body, before, stored)
	}
	status, body = i.call(alice, http.MethodPost, "/api/v2/builder/graphs/"+agent+"/execute", []byte(`{"input_data":{"Value":7}}`))
	if status != http.StatusUnprocessableEntity || !bytes.Contains(body, []byte("patchbay plugin enable good")) {
		t.Errorf("execute: %d %s", status, body)
	}
	if _, body = i.call(alice, http.MethodGet, "/api/v2/builder/blocks", nil); bytes.Contains(body, []byte(echoBlock)) {
		t.Error("its blocks are listed")
	}
	i.mustPatchbay("good 1.0.0 is ready", "plugin", "enable", "good")
	if d := i.run(agent, `{"Value":7}`); d.Status != "COMPLETED" {
		t.Errorf("%+v", d)
	}
	i.mustPatchbay("good: as it was installed", "plugin", "verify")
	i.badPatchbay("needs consent", "plugin", "remove", "good")
	i.mustPatchbay("good 1.0.0 is removed", "plugin", "remove", "good", "--yes")
	i.mustPatchbay("no plugin is installed", "plugin", "verify")
	status, body = i.call(alice, http.MethodPost, "/api/v2/builder/graphs/"+agent+"/execute", []byte(`{"input_data":{"Value":7}}`))
	if status != http.StatusUnprocessableEntity || !bytes.Contains(body, []byte("brought it and was removed")) {
		t.Errorf("execute: %d %s", status, body)
	}
	log, err := os.ReadFile(i.log.Name())
	if err != nil {
		t.Fatal(err)
	}
	for _, action := range []string{"plugin.install", "plugin.rollback", "plugin.disable", "plugin.enable", "plugin.restart", "plugin.remove"} {
		if !strings.Contains(string(log), "audit: "+action+": status=20") {
			t.Errorf("the audit log lacks %s", action)
		}
	}
}

func TestPluginsAreChangedWithoutAServer(t *testing.T) {
	t.Parallel()
	i := newInstance(t)
	var both sync.WaitGroup
	for _, version := range []string{"1.0.0", "2.0.0"} { // one waits for the other
		folder := pluginFolder(t, "good", version)
		both.Go(func() {
			if out, err := i.patchbay("plugin", "install", "--yes", folder); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
	both.Wait()
	i.mustPatchbay("good", "plugin", "rollback", "good")
	i.mustPatchbay("disabled", "plugin", "disable", "text")
	i.mustPatchbay("good: as it was installed", "plugin", "verify", "good")
	i.start()
	if status, body := i.call(alice, http.MethodGet, "/api/v2/builder/blocks", nil); status != http.StatusOK || !bytes.Contains(body, []byte(echoBlock)) || bytes.Contains(body, []byte(`"Fill Text Template"`)) {
		t.Errorf("blocks: %d %.300s", status, body)
	}
	agent := i.echoing()
	i.terminate()
	installed, err := filepath.Glob(filepath.Join(i.data, "plugins", "good", "*", "good"))
	if err != nil || len(installed) != 2 {
		t.Fatalf("%v %v", installed, err)
	}
	for _, path := range installed {
		file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		if err == nil {
			_, err = file.WriteString("x")
			_ = file.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	i.badPatchbay("remove it: patchbay plugin remove good", "doctor")
	i.badPatchbay("good: good: changed", "plugin", "verify")
	i.badPatchbay("good 2.0.0, to go back to: good: changed", "plugin", "verify")
	i.badPatchbay("text: belongs to the server, and was not installed", "plugin", "verify", "nonesuch", "text")
	i.badPatchbay(`there is no plugin "nonesuch"`, "plugin", "verify", "nonesuch", "text")
	i.badPatchbay("1 agent uses its blocks", "plugin", "remove", "good")
	i.start()
	if status, body := i.call(alice, http.MethodGet, "/api/v2/builder/graphs/"+agent, nil); status != http.StatusOK {
		t.Errorf("the agent: %d %s", status, body)
	}
}

func TestSignedPluginsAreDemanded(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	author := filepath.Join(t.TempDir(), "cosign.pub")
	archive := pluginArchive(t, "good", "1.0.0")
	raw, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(raw)
	signature, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	bundle := fmt.Sprintf(`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"publicKey":{"hint":"k"}},`+
		`"messageSignature":{"messageDigest":{"algorithm":"SHA2_256","digest":%q},"signature":%q}}`,
		base64.StdEncoding.EncodeToString(sum[:]), base64.StdEncoding.EncodeToString(signature))
	for path, text := range map[string][]byte{author: pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), archive + ".sigstore.json": []byte(bundle)} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	i := startInstance(t, "PATCHBAY_PLUGIN_SIGNATURES=require", "PATCHBAY_PLUGIN_KEYS="+author)
	i.badPatchbay("no signature of a known key", "plugin", "install", "--yes", pluginFolder(t, "good", "1.0.0"))
	form, contentType := fileForm("file", "good.tar.gz", "application/gzip", string(raw))
	if status, body := i.call(alice, http.MethodPost, "/api/v2/admin/plugins/upload?consent=true", form, "Content-Type", contentType); status != http.StatusForbidden {
		t.Errorf("who is no administrator: %d %s", status, body)
	}
	i.mustPatchbay("good 1.0.0 is installed", "plugin", "install", "--yes", archive)
	if out := i.mustPatchbay("sha256:", "plugin", "list"); strings.Contains(out, "unsigned") {
		t.Error(out)
	}
	if err := os.WriteFile(archive, append(raw, 0), 0o600); err != nil {
		t.Fatal(err)
	}
	i.badPatchbay("changed after it was signed", "plugin", "install", "--yes", archive)
}

// servePlugin is a registry with two versions of a plugin, one of them for several platforms. It gives its address.
func servePlugin(t *testing.T) string {
	t.Helper()
	content := map[string][]byte{} // by digest
	put := func(raw []byte) map[string]any {
		digest := fmt.Sprintf("sha256:%x", sha256.Sum256(raw))
		content[digest] = raw
		return map[string]any{"digest": digest, "size": len(raw)}
	}
	tags := map[string]map[string]any{}
	for _, version := range []string{"0.9.0", "1.0.0"} {
		raw, err := os.ReadFile(pluginArchive(t, "good", version))
		if err != nil {
			t.Fatal(err)
		}
		layer := put(raw)
		layer["mediaType"] = "application/vnd.patchbay.plugin.archive.v1.tar+gzip"
		config := put([]byte("{}"))
		config["mediaType"] = "application/vnd.oci.empty.v1+json"
		manifest := put(mustEncode(t, map[string]any{
			"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
			"artifactType": "application/vnd.patchbay.plugin.v1", "config": config, "layers": []any{layer},
		}))
		manifest["mediaType"] = "application/vnd.oci.image.manifest.v1+json"
		tags[version] = manifest
		if version == "1.0.0" {
			other := map[string]any{"mediaType": manifest["mediaType"], "digest": "sha256:" + strings.Repeat("0", 64), "size": 2, "platform": map[string]string{"os": "plan9", "architecture": "mips"}}
			ours := map[string]any{"mediaType": manifest["mediaType"], "digest": manifest["digest"], "size": manifest["size"], "platform": map[string]string{"os": runtime.GOOS, "architecture": runtime.GOARCH}}
			tags[version] = put(mustEncode(t, map[string]any{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []any{other, ours}}))
			tags[version]["mediaType"] = "application/vnd.oci.image.index.v1+json"
		}
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := path.Base(r.URL.Path)
		if d, ok := tags[name]; ok {
			name = d["digest"].(string)
		}
		raw, ok := content[name]
		if !ok {
			http.NotFound(w, r)
			return
		}
		var manifest struct{ MediaType string }
		if json.Unmarshal(raw, &manifest) != nil {
			manifest.MediaType = "application/octet-stream"
		}
		w.Header().Set("Content-Type", manifest.MediaType)
		w.Header().Set("Docker-Content-Digest", name)
		w.Header().Set("Content-Length", fmt.Sprint(len(raw)))
		if r.Method != http.MethodHead {
			_, _ = w.Write(raw)
		}
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

func mustEncode(t *testing.T, v any) []byte {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestPluginsComeFromRegistries(t *testing.T) {
	t.Parallel()
	registry := servePlugin(t)
	i := startInstance(t)
	i.mustPatchbay("good 1.0.0 is installed: ready", "plugin", "install", "--yes", registry+"/plugins/good:1.0.0")
	i.mustPatchbay("good 0.9.0 is installed: ready", "plugin", "upgrade", "--yes", "good", "oci://"+registry+"/plugins/good:0.9.0")
	// What is asked for over REST reaches public addresses only.
	status, body := i.call(alice, http.MethodPost, "/api/v2/admin/plugins", mustEncode(t, map[string]any{"source": "oci://" + registry + "/plugins/good:1.0.0"}))
	if status != http.StatusForbidden {
		t.Errorf("who is no administrator: %d %s", status, body)
	}
	out, err := i.patchbay("token", "--user", alice, "--role", "admin")
	if err != nil {
		t.Fatal(err)
	}
	for source, want := range map[string]string{
		"oci://" + registry + "/plugins/good:1.0.0": "PATCHBAY_ALLOW_PRIVATE_ADDRESSES", "https://127.0.0.1/x.tar.gz": "PATCHBAY_ALLOW_PRIVATE_ADDRESSES",
		"/etc/passwd": "fetches from", "file:///etc/passwd": "fetches from", "http://example.com/x.tar.gz": "fetches from",
	} {
		status, body := i.call(alice, http.MethodPost, "/api/v2/admin/plugins", mustEncode(t, map[string]any{"source": source, "consent": true}), "Authorization", "Bearer "+strings.TrimSpace(out))
		if status != http.StatusUnprocessableEntity || !strings.Contains(string(body), want) {
			t.Errorf("%s: %d %s", source, status, body)
		}
	}
}
