package scaffold

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/patchbay-io/patchbay/core/plugin"
)

func TestProjectsBuildTestAndAreTakenByAServer(t *testing.T) {
	t.Parallel()
	for language, needs := range map[string][]string{
		"go":         {"go", "version"},
		"python":     {"sh", "-c", "for p in /usr/bin/python3 python3; do $p -c 'import grpc, google.protobuf' && exit; done; exit 1"},
		"typescript": {"npm", "--version"},
	} {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			if err := exec.CommandContext(t.Context(), needs[0], needs[1:]...).Run(); err != nil {
				t.Skipf("this machine cannot build plugins in %s", language)
			}
			p := project(t, language)
			folder := filepath.Join(t.TempDir(), p.Name)
			if err := p.Write(folder); err != nil {
				t.Fatal(err)
			}
			for _, target := range []string{"build", "test"} {
				make := exec.CommandContext(t.Context(), "make", "-C", folder, target)
				if out, err := make.CombinedOutput(); err != nil {
					t.Fatalf("make %s: %v\n%s", target, err, out)
				}
			}
			host, err := plugin.New(plugin.Config{Dirs: []string{filepath.Join(folder, "dist")}, RuntimeDir: filepath.Join(runtimeDir(t), "run")})
			if err != nil {
				t.Fatal(err)
			}
			defer host.Close()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := host.Start(ctx); err != nil {
				t.Fatal(err)
			}
			for _, status := range host.Plugins() {
				if status.Name != p.Name || status.State != plugin.Ready {
					t.Errorf("the plugin %s is %s: %s", status.Name, status.State, status.Error)
				}
			}
			if d := host.Descriptions(); len(d) != 1 || len(d[0].Blocks) != 1 || len(d[0].Blocks[0].Examples) != 1 {
				t.Errorf("the server knows %+v", d)
			}
		})
	}
}

// A project begins with what the example of its language is made of.
func TestExamplesAreProjects(t *testing.T) {
	t.Parallel()
	for _, language := range []string{"python", "typescript"} {
		p := Project{Name: language, Language: language, Patchbay: "../../../bin/patchbay"}
		files, err := p.files()
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range append(runtimes[language], "Makefile", ".gitignore", "package.json") {
			want, err := os.ReadFile(filepath.Join("../../examples/plugins", language, name))
			if os.IsNotExist(err) && files[name] == nil {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(files[name], want) {
				t.Errorf("%s of a project in %s is not that of the example:\n%s", name, language, files[name])
			}
		}
	}
}

// A first build that cannot get what it needs says why, and what that is.
func TestBuildsWithoutARegistrySayWhatTheyNeed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	folder, programs := filepath.Join(dir, "p"), filepath.Join(dir, "bin")
	if err := (Project{Name: "p", Language: "typescript", Patchbay: "patchbay"}).Write(folder); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(programs, 0o755); err != nil {
		t.Fatal(err)
	}
	npm := "#!/bin/sh\ncase \"$*\" in *silent*) ;; *) echo 'getaddrinfo EAI_AGAIN' >&2;; esac\nexit 1\n"
	if err := os.WriteFile(filepath.Join(programs, "npm"), []byte(npm), 0o755); err != nil {
		t.Fatal(err)
	}
	build := exec.CommandContext(t.Context(), "make", "--silent", "-C", folder, "build")
	build.Env = append(os.Environ(), "PATH="+programs+":"+os.Getenv("PATH"))
	out, err := build.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "EAI_AGAIN") || !strings.Contains(string(out), "the first build needs npm's registry") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestBadProjectsAreRefusedWithAReason(t *testing.T) {
	t.Parallel()
	there := filepath.Join(t.TempDir(), "there")
	if err := os.Mkdir(there, 0o755); err != nil {
		t.Fatal(err)
	}
	for want, p := range map[string]Project{
		`"my_plugin" would do`:             {Name: "My-Plugin", Language: "python"},
		`"" is no name`:                    {Language: "python"},
		`"rs" would do`:                    {Name: "../rs", Language: "python"},
		`has at most 63`:                   {Name: strings.Repeat("a", 64), Language: "python"},
		`"9" is no name`:                   {Name: "9", Language: "python"},
		"there are go, python, typescript": {Name: "a", Language: "cobol"},
		"--sdk":                            {Name: "a", Language: "go"},
		"is not the root of a checkout":    {Name: "a", Language: "go", SDK: t.TempDir()},
		"is there already":                 {Name: "a", Language: "typescript"},
	} {
		if err := p.Write(there); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", p, err, want)
		}
	}
	if entries, _ := os.ReadDir(there); len(entries) > 0 {
		t.Errorf("a refused project has left %v", entries)
	}
}

func project(t *testing.T, language string) Project {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	name := "my_" + language
	if language == "go" {
		name = "math" // as a package of Go's own library
	}
	return Project{Name: name, Language: language, SDK: root, Patchbay: "patchbay"}
}

// runtimeDir is a folder that processes of other users may pass through.
func runtimeDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "scaffold")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
