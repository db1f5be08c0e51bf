package plugin

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/patchbay-io/patchbay/core/plugin/isolation"
)

// A script whose interpreter cannot be had is told of in its own words: "no such file" would be said of the script.
func TestScriptsNameTheInterpreterThatTheyLack(t *testing.T) {
	t.Parallel()
	hidden := filepath.Join(t.TempDir(), "tool", "bin", "interpreter")
	if err := os.MkdirAll(filepath.Dir(hidden), 0o755); err != nil {
		t.Fatal(err)
	}
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(shell)
	if err == nil {
		err = os.WriteFile(hidden, program, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Dir(filepath.Dir(hidden))
	for name, test := range map[string]struct {
		interpreter, permissions string
		wants                    []string
		hides                    bool // it takes isolation of files
	}{
		"lost":   {"/opt/none/python9", `{}`, []string{"/opt/none/python9, which is not there", "name one below /usr"}, false},
		"hidden": {hidden, `{}`, []string{hidden + ", which is there and is not granted", fmt.Sprintf(`{"files": [{"path": %q}]}`, folder)}, true},
		"found":  {hidden, fmt.Sprintf(`{"files":[{"path":%q}]}`, folder), []string{"exit status 7"}, false},
	} {
		dir := filepath.Join(t.TempDir(), name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		manifest := fmt.Sprintf(`{"name":%q,"version":"1.0.0","protocol":1,"permissions":%s}`, name, test.permissions)
		for file, text := range map[string]string{manifestName: manifest, name: "#!" + test.interpreter + " -e\nexit 7\n"} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		h := startHost(t, Config{Dirs: []string{filepath.Dir(dir)}}, testPace())
		if test.hides && slices.ContainsFunc(h.Isolation(), func(f isolation.Feature) bool { return f.Name == "files" && !f.Have }) {
			continue
		}
		got := h.status(name).Error
		for _, want := range test.wants {
			if !strings.Contains(got, want) {
				t.Errorf("%s: %q does not say %q", name, got, want)
			}
		}
	}
}
