package plugin

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/patchbay-io/patchbay/sdk/proto"
)

// A plugin of the first protocol version works for ever, also one that does no TLS and brings no large values.
func TestPluginOfTheFirstVersionWorks(t *testing.T) {
	t.Parallel()
	kept, err := os.ReadFile("../../sdk/proto/testdata/version1.binpb")
	if err != nil {
		t.Fatal(err)
	}
	if used, err := os.ReadFile("testdata/version1/version1.binpb"); err != nil || !bytes.Equal(used, kept) {
		t.Fatalf("the plugin was built with another description than the one that is kept: %v", err)
	}
	dir := filepath.Join(t.TempDir(), "plugins")
	put(t, dir, "version1", `{"name":"version1","version":"1.0.0","protocol":1}`)
	build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(dir, "version1", "version1"), "./testdata/version1")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	h := startHost(t, Config{Dirs: []string{dir}}, testPace())
	const turnAround = "dddddddd-0000-4000-8000-000000000001"
	for range 3 {
		if got := h.mustDo(turnAround, `{"text":"Hallo Grüße"}`); !slices.Equal(got, []string{`"eßürG ollaH"`}) {
			t.Errorf("outputs %v", got)
		}
	}
	if result, _ := h.do(turnAround, `{}`); result.Err.GetMessage() != "there is no text" || result.Err.GetKind() != proto.ErrorKind_ERROR_KIND_INVALID_INPUT {
		t.Errorf("a failed run ended with %v", result.Err)
	}
	large := `"` + strings.Repeat("x", 300<<10) + `"`
	if got := h.mustDo(turnAround, `{"text":`+large+`}`); !slices.Equal(got, []string{large}) {
		t.Errorf("%d outputs of a large value", len(got))
	}
}
