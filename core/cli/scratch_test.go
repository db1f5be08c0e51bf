package cli

import (
	"os"
	"path/filepath"
	"testing"
)

func TestFoldersOfKilledCommandsAreRemoved(t *testing.T) {
	in := t.TempDir()
	t.Setenv("TMPDIR", in)
	lives, done, err := openScratch()
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	dead, others := filepath.Join(in, scratchPrefix+"1"), filepath.Join(in, scratchPrefix+"2")
	for folder, file := range map[string]string{dead: scratchLock, others: "file"} {
		if err := os.Mkdir(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, file), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sweepScratch(in)
	for folder, stays := range map[string]bool{lives: true, dead: false, others: true} {
		if _, err := os.Stat(folder); (err == nil) != stays {
			t.Errorf("%s: %v", folder, err)
		}
	}
}
