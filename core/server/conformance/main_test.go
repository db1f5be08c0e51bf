// Package conformance runs the specification's cases on real plugin processes, a real Postgres and the REST API: what a
// graph, its inputs and the order of arrival must lead to. It has tests only, and must never reach into the rooms that
// it tests: what clients cannot see is not its affair.
package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/core/plugin"
	"github.com/patchbay-io/patchbay/core/postgres/postgrestest"
)

// Names of the test plugin: one binary, whose blocks call themselves pure under the second name.
const (
	effectPlugin = "cases"
	purePlugin   = "cases_pure"
	textPlugin   = "text" // renders the formats of output nodes
)

// What all tests share.
var (
	scratch string               // short enough for sockets
	hosts   = map[string]*host{} // by the name of their test plugin
	gates   *control             // holds blocks back
)

func TestMain(m *testing.M) {
	if life := os.Getenv(lifeVariable); life != "" {
		if err := live(life); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	code, err := run(m)
	if err == nil && code == 0 {
		err = goleak.Find(postgrestest.IgnoreServer()...)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	var err error
	if scratch, err = os.MkdirTemp("", "conf"); err != nil {
		return 1, err
	}
	defer os.RemoveAll(scratch)
	if err := os.Chmod(scratch, 0o711); err != nil { // as root, plugins run as other users
		return 1, err
	}
	if err := build(); err != nil {
		return 1, err
	}
	if gates, err = listen(filepath.Join(scratch, "control")); err != nil {
		return 1, err
	}
	defer gates.close()
	if err := os.Chmod(gates.path, 0o666); err != nil {
		return 1, err
	}
	for _, name := range []string{effectPlugin, purePlugin} {
		runtime, err := os.MkdirTemp("", "confrun")
		if err != nil {
			return 1, err
		}
		defer os.RemoveAll(runtime)
		h, err := startHost(name, gates.path, runtime)
		if err != nil {
			return 1, err
		}
		defer h.Close()
		hosts[name] = h
	}
	return m.Run(), nil
}

// build puts the test plugin under both its names, and the text plugin, into a folder for each name.
func build() error {
	for _, program := range []struct{ source, name string }{{"./testdata/testplugin", effectPlugin}, {"../../../plugins/text", textPlugin}} {
		out, err := exec.Command("go", "build", "-o", filepath.Join(scratch, "bin", program.name), program.source).CombinedOutput()
		if err != nil {
			return fmt.Errorf("build %s: %w\n%s", program.source, err, out)
		}
	}
	if err := os.Link(filepath.Join(scratch, "bin", effectPlugin), filepath.Join(scratch, "bin", purePlugin)); err != nil {
		return err
	}
	for _, name := range []string{effectPlugin, purePlugin} {
		for _, part := range []string{name, textPlugin} {
			if err := install(filepath.Join(scratch, "plugins", name, part), part); err != nil {
				return err
			}
		}
	}
	return nil
}

func install(dir, name string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	binary := filepath.Join(dir, name)
	if err := os.Link(filepath.Join(scratch, "bin", name), binary); err != nil {
		return err
	}
	manifest, err := exec.Command(binary, "manifest").Output()
	if err != nil {
		return fmt.Errorf("manifest of %s: %w", name, err)
	}
	if name != textPlugin { // it talks to the test
		var fields map[string]any
		if err := json.Unmarshal(manifest, &fields); err != nil {
			return fmt.Errorf("manifest of %s: %w", name, err)
		}
		fields["permissions"] = map[string]any{"network": true, "files": []any{map[string]any{"path": filepath.Join(scratch, "control"), "write": true}}}
		if manifest, err = json.Marshal(fields); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, "plugin.json"), manifest, 0o644)
}

// host is a plugin host with the test plugin of one name.
type host struct {
	*plugin.Host
	name string
}

// startHost starts one. Its runtime folder is the caller's to remove, who may outlive it.
func startHost(name, controlPath, runtime string) (*host, error) {
	h := &host{name: name}
	var err error
	h.Host, err = plugin.New(plugin.Config{
		Dirs: []string{filepath.Join(folder(controlPath), "plugins", name)}, RuntimeDir: runtime, Builtin: block.Structural(),
		Settings: func(string) (map[string]string, error) { return map[string]string{"control": controlPath}, nil },
	})
	if err != nil {
		return nil, err
	}
	if err := h.Start(context.Background()); err != nil {
		h.Close()
		return nil, err
	}
	for _, p := range h.Plugins() {
		if p.State != plugin.Ready {
			h.Close()
			return nil, fmt.Errorf("plugin %s is %s: %s", p.Name, p.State, p.Error)
		}
	}
	return h, nil
}

// folder is the scratch folder, which a child process knows by the socket in it.
func folder(controlPath string) string { return filepath.Dir(controlPath) }

// ownHost is a host that a test may do harm to.
func ownHost(t *testing.T) *host {
	t.Helper()
	h, err := startHost(effectPlugin, gates.path, runtimeFolder(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

// runtimeFolder is short enough for sockets, and gone after the test.
func runtimeFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "confrun")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// pid is the process of the test plugin.
func (h *host) pid() int {
	for _, p := range h.Plugins() {
		if p.Name == h.name {
			return p.PID
		}
	}
	return 0
}
