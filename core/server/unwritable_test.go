package server

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/patchbay-io/patchbay/core/plugin"
)

func TestFilesThatAPluginsUserCannotWriteAreNamed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	closed, open, read := filepath.Join(dir, "closed"), filepath.Join(dir, "open"), filepath.Join(dir, "read")
	for path, mode := range map[string]os.FileMode{closed: 0o755, open: 0o777, read: 0o755} {
		if err := os.Mkdir(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil { // whatever the umask is
			t.Fatal(err)
		}
	}
	p := plugin.Permissions{Files: []plugin.FileAccess{
		{Path: closed, Write: true}, {Path: open, Write: true}, {Path: read}, {Path: filepath.Join(dir, "missing"), Write: true},
	}}
	user := os.Getuid() + 4711
	want := []string{fmt.Sprintf("%s may be written, and the plugin's own user cannot: chown %d %s", closed, user, closed)}
	if got := unwritableBy(user, p); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if got := unwritableBy(os.Getuid(), p); len(got) > 0 {
		t.Errorf("its own: %q", got)
	}
}
