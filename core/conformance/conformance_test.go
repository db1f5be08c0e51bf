package conformance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// Our own plugins keep the protocol, and their examples are right.
func TestOurPluginsPass(t *testing.T) {
	t.Parallel()
	mains, err := filepath.Glob("../../plugins/*/main.go")
	if err != nil || len(mains) == 0 {
		t.Fatal(err)
	}
	mains = append(mains, "../../examples/plugins/hello/main.go")
	dir := t.TempDir()
	var packages []string
	for _, path := range mains {
		packages = append(packages, "./"+filepath.Dir(path))
	}
	build := exec.CommandContext(t.Context(), "go", append([]string{"build", "-trimpath", "-ldflags", "-s -w", "-o", dir + "/"}, packages...)...)
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as .ci/build.sh does, to find what that has compiled
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	for _, path := range packages {
		name := filepath.Base(path)
		t.Run(name, func(t *testing.T) {
			folder := filepath.Join(t.TempDir(), name)
			program := filepath.Join(dir, name)
			manifest, err := exec.CommandContext(t.Context(), program, "manifest").Output()
			if err != nil {
				t.Fatal(err)
			}
			put(t, folder, name, program, string(manifest))
			if failed, _ := failures(t, folder, defaultPace); len(failed) > 0 {
				t.Errorf("failed: %s", failed)
			}
		})
	}
}

func TestExamplesInOtherLanguagesPass(t *testing.T) {
	t.Parallel()
	for language, needs := range map[string]string{
		"python":     "/usr/bin/python3 -c 'import grpc, google.protobuf' || python3 -c 'import grpc, google.protobuf'",
		"typescript": "npm --version",
	} {
		t.Run(language, func(t *testing.T) {
			if err := exec.CommandContext(t.Context(), "sh", "-c", needs).Run(); err != nil {
				t.Skipf("this machine cannot build plugins in %s", language)
			}
			folder := filepath.Join("../../examples/plugins", language)
			if out, err := exec.CommandContext(t.Context(), "make", "-C", folder, "build").CombinedOutput(); err != nil {
				t.Fatalf("make build: %v\n%s", err, out)
			}
			if failed, _ := failures(t, filepath.Join(folder, "dist"), defaultPace); len(failed) > 0 {
				t.Errorf("failed: %s", failed)
			}
		})
	}
}

// Each fault is found by the check that is there for it.
func TestFaultsAreFound(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	program := filepath.Join(dir, "faulty")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./testdata/faulty").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	faults := map[string][]string{
		"none":    nil,
		"greets":  {"server", "handshake"},
		"hand":    {"by hand"},
		"changes": {"description"},
		"misfit":  {"description"},
		"example": {"examples"},
		"option":  {"examples"},
		"pins":    {"description"},
		"crash":   {"errors"},
		"credit":  {"credit", "cancel"},
		"cancel":  {"cancel"},
		"open":    {"credentials"},
		"secret":  {"credentials"},
		"small":   {"big values"},
		"strict":  {"unknown messages"},
		"serial":  {"credit", "concurrency"},
		"leaks":   {"memory"},
		"prints":  {"standard output"},
		"late":    {"concurrency"},
		"stays":   {"end of session", "end of host"},
		"orphan":  {"end of session", "end of host"},
	}
	if runtime.GOOS != "linux" {
		delete(faults, "leaks")
	}
	for fault, want := range faults {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			name := "faulty_" + fault
			folder := filepath.Join(dir, name)
			put(t, folder, name, program, fmt.Sprintf(`{"name":%q,"version":"1.0.0","protocol":1,"auto_mtls":true}`, name))
			// Hardly anything that is right takes so long, and much that is wrong takes all of it.
			failed, log := failures(t, folder, pace{run: 5 * time.Second, big: 10 * time.Second, load: 20 * time.Second, cancel: time.Second, exit: time.Second})
			for _, check := range want {
				if !slices.Contains(failed, check) {
					t.Errorf("failed: %q, want %q among them", failed, check)
				}
			}
			if want == nil && len(failed) > 0 {
				t.Errorf("a plugin without faults failed: %q", failed)
			}
			if fault == "strict" && !strings.Contains(log, "the process ended: exit status 3") {
				t.Errorf("how the process ended is not said in\n%s", log)
			}
		})
	}
}

// What is wrong with a manifest is said in its own words, and nothing else of the plugin is looked at.
func TestManifestsAreRead(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ more, want string }{
		"protocol": {``, "protocol is missing; this server speaks 1"},
		"platform": {`,"protocol":1,"platform":"plan9/mips"`, "is for plan9/mips; this machine is"},
		"key":      {`,"protocol":1,"permissions":{"netwrk":true}`, `unknown key "permissions.netwrk"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := filepath.Join(t.TempDir(), "p")
			put(t, folder, "p", program, fmt.Sprintf(`{"name":"p","version":"1.0.0"%s}`, test.more))
			ctx, enough := context.WithCancel(t.Context())
			defer enough()
			_, err := Run(ctx, Config{Folder: folder, Report: func(r Result) {
				if r.Check != "manifest" || r.Outcome != Failed || !strings.Contains(r.Detail, test.want) || strings.Contains(r.Detail, folder) {
					t.Errorf("%s %s: %s, want %q", r.Outcome, r.Check, r.Detail, test.want)
				}
				if name == "key" {
					enough() // what comes next is no affair of the manifest
				}
			}})
			if err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
	}
}

// put makes a plugin's folder of a program.
func put(t *testing.T, folder, name, program, manifest string) {
	t.Helper()
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(program, filepath.Join(folder, name)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "plugin.json"), []byte(manifest), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestAScriptWithoutItsInterpreterIsToldOfThat(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "script")
	program := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(program, []byte("#!/opt/none/python9\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	put(t, folder, "script", program, `{"name":"script","version":"1.0.0","protocol":1}`)
	handshake := Result{}
	_, err := Run(t.Context(), Config{Folder: folder, Report: func(r Result) {
		if r.Check == "handshake" {
			handshake = r
		}
	}})
	if err != nil || !strings.Contains(handshake.Detail, "the interpreter /opt/none/python9, which is not there") || !strings.HasPrefix(handshake.Advice, "install it, or name one below /usr") {
		t.Errorf("%+v %v", handshake, err)
	}
}

// failures are the checks that a plugin fails, and all that the suite says.
func failures(t *testing.T, folder string, pace pace) (failed []string, told string) {
	t.Helper()
	var log strings.Builder
	passed, err := runAt(t.Context(), Config{Folder: folder, Report: func(r Result) {
		fmt.Fprintf(&log, "%s %s: %s\n", r.Outcome, r.Check, r.Detail)
		if r.Outcome == Failed {
			failed = append(failed, r.Check)
			if r.Advice == "" || r.Detail == "" {
				t.Errorf("%s failed and does not say how, or what to do", r.Check)
			}
		}
	}}, pace)
	if err != nil {
		t.Fatal(err)
	}
	if passed != (len(failed) == 0) {
		t.Errorf("passed is %t with failures %q", passed, failed)
	}
	t.Log(log.String())
	return failed, log.String()
}
