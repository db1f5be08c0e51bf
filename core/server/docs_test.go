package server_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// The page of the document works in a browser that reaches nothing but the server.
func TestDocsInABrowser(t *testing.T) {
	t.Parallel()
	var browser string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			browser = path
			break
		}
	}
	if browser == "" {
		t.Skip("there is no Chromium on this machine")
	}
	i := startInstance(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	profile, err := os.MkdirTemp("", "patchbay-browser-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(profile) })
	args := []string{
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--user-data-dir=" + profile, "--enable-logging=stderr",
		"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--virtual-time-budget=30000", "--timeout=60000",
	}
	var log strings.Builder
	show := exec.CommandContext(ctx, browser, append(args, "--dump-dom", i.base+"/docs#/Library/listLibraryAgents")...)
	show.Stderr = &log
	page, err := show.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	for _, part := range []string{"Patchbay API", "Earlier versions", "List library agents", "search_term"} {
		if !strings.Contains(string(page), part) {
			t.Errorf("the page lacks %q", part)
		}
	}
	for line := range strings.Lines(log.String()) {
		if strings.Contains(line, "CONSOLE") && (strings.Contains(line, "Refused") || strings.Contains(line, "Uncaught") || strings.Contains(line, "violates") || strings.Contains(line, "Failed to load")) {
			t.Errorf("the browser says %s", line)
		}
	}
	if t.Failed() {
		t.Logf("%d bytes of page, log:\n%.4000s", len(page), log.String())
	}
}
