package cli

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// doctorOn runs the doctor on a machine whose addresses are free and that has no plugins, unless environ says otherwise.
func doctorOn(t *testing.T, environ ...string) (code int, out string) {
	t.Helper()
	code, out, problems := call(t, append([]string{
		"PATCHBAY_ADDR=127.0.0.1:0", "PATCHBAY_WS_ADDR=127.0.0.1:0", "PATCHBAY_PLUGIN_DIRS=" + filepath.Join(t.TempDir(), "none"),
	}, environ...), "doctor")
	if problems != "" {
		t.Errorf("it said %s", problems)
	}
	return code, out
}

func TestDoctorFindsNothingToFailOnAGoodMachine(t *testing.T) {
	t.Parallel()
	code, out := doctorOn(t)
	if code != 0 || strings.Contains(out, "fail ") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	for _, want := range []string{"ok    program: Patchbay", "data folder: ", "Postgres: ", "REST address: 127.0.0.1:0 is free", "warn  plugins: 0", "isolation: files", "isolation: memory"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not tell %q:\n%s", want, out)
		}
	}
}

func TestDoctorTellsWhatFailsAndWhatToDo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(dir, "plugins", "broken")
	if err := os.MkdirAll(broken, 0o755); err != nil {
		t.Fatal(err)
	}
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	data := filepath.Join(dir, "data")
	if err := os.MkdirAll(filepath.Join(data, "plugins", "lost", "1.0.0"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, "plugins", "lost", "1.0.0", manifestName), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for want, environ := range map[string]string{
		"warn  plugins: lost in " + filepath.Join(data, "plugins") + ", not written down in plugins.lock: not started": "PATCHBAY_DATA_DIR=" + data,
		"warn  signatures of plugins: PATCHBAY_PLUGIN_SIGNATURES=require, and neither":                                 "PATCHBAY_PLUGIN_SIGNATURES=require",
	} {
		if code, out := doctorOn(t, environ); code != 0 || !strings.Contains(out, want) {
			t.Errorf("%s: exit code %d, and no %q:\n%s", environ, code, want, out)
		}
	}
	for want, environ := range map[string]string{
		"fail  signatures of plugins: ":                       "PATCHBAY_PLUGIN_KEYS=" + filepath.Join(dir, "none.pub"),
		"fail  data folder: " + file + " is no folder":        "PATCHBAY_DATA_DIR=" + file,
		"fail  Postgres: ":                                    "PATCHBAY_DATABASE_URL=postgres://nobody@127.0.0.1:1/none",
		"fail  REST address: ":                                "PATCHBAY_ADDR=" + busy.Addr().String(),
		"fail  WebSocket address: ":                           "PATCHBAY_WS_ADDR=" + busy.Addr().String(),
		"fail  plugin broken: read manifest":                  "PATCHBAY_PLUGIN_DIRS=" + filepath.Dir(broken),
		"      build or install it anew, or remove " + broken: "PATCHBAY_PLUGIN_DIRS=" + filepath.Dir(broken),
	} {
		if code, out := doctorOn(t, environ); code != 1 || !strings.Contains(out, want) {
			t.Errorf("%s: exit code %d, and no %q:\n%s", environ, code, want, out)
		}
	}
}
