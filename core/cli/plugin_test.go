package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// pluginFolder builds the example plugin as its author would.
func pluginFolder(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	binary := filepath.Join(folder, "hello", "hello")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../../examples/plugins/hello")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the plugin: %v\n%s", err, output)
	}
	manifest, err := exec.CommandContext(t.Context(), binary, "manifest").Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "hello", "plugin.json"), manifest, 0o600); err != nil {
		t.Fatal(err)
	}
	return folder
}

func TestDocsComeFromThePluginsThemselves(t *testing.T) {
	t.Parallel()
	environ := []string{"PATCHBAY_PLUGIN_DIRS=" + pluginFolder(t)}
	code, out, problems := call(t, environ, "plugin", "docs", "hello")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, problems)
	}
	for _, want := range []string{
		"# hello\n", "## Hello\n", "traits: pure", "| `name` | string | `\"World\"` |", "| `greeting` | string |", "greeting = \"Hello, Ada!\"",
	} {
		if strings.Count(out, want) != 1 {
			t.Errorf("%q is not there once:\n%s", want, out)
		}
	}
	if strings.Contains(out, "Agent Input") {
		t.Error("a page that was not asked for is printed")
	}
	if code, _, problems = call(t, environ, "plugin", "docs", "nobody"); code != 1 || !strings.Contains(problems, "there are built-in, hello") {
		t.Errorf("an unknown plugin: %d %s", code, problems)
	}
}

func TestDocsAreWrittenToAFolder(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "a", "b")
	code, out, problems := call(t, []string{"PATCHBAY_PLUGIN_DIRS=" + pluginFolder(t)}, "plugin", "docs", "--output", folder)
	if code != 0 || out != "" {
		t.Fatalf("exit code %d: %s %s", code, out, problems)
	}
	index, err := os.ReadFile(filepath.Join(folder, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range []string{"[Hello](hello.md#hello)", "[Agent Input](built-in.md#agent-input)"} {
		if !strings.Contains(string(index), link) {
			t.Errorf("the index lacks %s:\n%s", link, index)
		}
	}
	page, err := os.ReadFile(filepath.Join(folder, "built-in.md"))
	if err != nil || !strings.Contains(string(page), "\n## Agent Output\n") {
		t.Errorf("the page of the built-in blocks: %v\n%s", err, page)
	}
}

func TestDocsNameAPluginThatCannotBeAsked(t *testing.T) {
	t.Parallel()
	folder := pluginFolder(t)
	if err := os.WriteFile(filepath.Join(folder, "hello", "hello"), []byte("#!/bin/sh\nexit 3\n"), 0o700); err != nil { //nolint:gosec // it is a program
		t.Fatal(err)
	}
	code, _, problems := call(t, []string{"PATCHBAY_PLUGIN_DIRS=" + folder}, "plugin", "docs")
	if code != 1 || !strings.Contains(problems, "plugin hello cannot be described") {
		t.Errorf("exit code %d: %s", code, problems)
	}
}
