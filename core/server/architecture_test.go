package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/patchbay-io/patchbay/"

// rooms says which rooms of this project the packages of a room may import; of several that fit a package the longest
// counts. A room may always import itself. Whatever is not named here is a mistake: a new room needs a line.
var rooms = map[string]string{
	"":                    "core/cli",
	"sdk":                 "",
	"plugins":             "sdk",
	"examples":            "sdk api/client",
	"examples/cluster":    "api/client core/postgres",
	"migrations":          "",
	"api":                 "core/account core/block core/budget core/credential core/file core/graph core/limit core/execution core/library core/oauth core/plugin/install core/store",
	"api/client":          "",
	"core/account":        "",
	"core/limit":          "core/postgres",
	"core/budget":         "",
	"core/credential":     "core/postgres",
	"core/oauth":          "core/credential core/exclusive core/hostservice core/plugin core/postgres sdk/proto",
	"core/block":          "",
	"core/graph":          "core/block core/postgres",
	"core/store":          "core/block core/graph",
	"core/plugin":         "core/block sdk/proto",
	"core/plugin/install": "core/plugin sdk/proto",
	"core/exclusive":      "core/postgres",
	"core/hostservice":    "core/block core/egress core/exclusive core/file core/postgres sdk/proto",
	// The plugin host is where blocks run, and its types say how.
	"core/execution":   "core/block core/budget core/credential core/exclusive core/graph core/hostservice core/plugin core/postgres sdk/proto",
	"core/library":     "core/block core/graph core/execution",
	"core/postgres":    "migrations",
	"core/config":      "",
	"core/egress":      "",
	"core/event":       "core/postgres",
	"core/file":        "core/postgres",
	"core/reference":   "core/block core/plugin",
	"core/conformance": "core/block core/plugin sdk",
	"core/scaffold":    "examples",
	"core/server":      "api core sdk migrations",
	"core/cli":         "api core",
}

// forTests are what the tests of every room may import beside that.
const forTests = "core/postgres/postgrestest core/egress core/plugin sdk/blocktest"

type goPackage struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
}

func TestArchitectureImportsPointOneWay(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{"../..", "../../sdk"} {
		for _, p := range packages(t, dir) {
			room := roomOf(p.ImportPath)
			if room == nil {
				t.Errorf("%s lies in no room of the house", p.ImportPath)
				continue
			}
			for _, imported := range p.Imports {
				if !room.may(imported, "") {
					t.Errorf("%s must not import %s", p.ImportPath, imported)
				}
			}
			for _, imported := range append(p.TestImports, p.XTestImports...) {
				if !room.may(imported, forTests) {
					t.Errorf("tests of %s must not import %s", p.ImportPath, imported)
				}
			}
		}
	}
}

// The SDK is what other people's plugins inherit.
func TestArchitectureKeepsTheSDKSmall(t *testing.T) {
	t.Parallel()
	for _, heavy := range []string{"uptrace", "pressly", "kin-openapi", "gorilla", "kong", "prometheus"} {
		for _, p := range list(t, "../../sdk", "-deps", "./...") {
			if strings.Contains(p.ImportPath, heavy) {
				t.Errorf("the SDK brings %s along", p.ImportPath)
			}
		}
	}
}

// Commands and settings are no rooms to hang other things in.
func TestArchitectureNobodyImportsTheTop(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t, "../..") {
		for _, imported := range p.Imports {
			switch {
			case imported == module+"core/cli" && p.ImportPath+"/" != module,
				imported == module+"core/server" && p.ImportPath != module+"core/cli":
				t.Errorf("%s must not import %s", p.ImportPath, imported)
			}
		}
	}
}

func TestArchitectureNamesSayWhatIsInside(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t, "../..") {
		for _, vague := range []string{"util", "utils", "common", "helper", "helpers", "misc", "shared", "base", "models"} {
			if strings.HasSuffix(p.ImportPath, "/"+vague) {
				t.Errorf("%s is a name for anything", p.ImportPath)
			}
		}
	}
}

type room struct {
	name    string
	allowed []string
}

func roomOf(path string) *room {
	rest, _ := strings.CutPrefix(path+"/", module)
	rest = strings.TrimSuffix(rest, "/")
	var found *room
	for name, allowed := range rooms {
		if (found == nil || len(name) > len(found.name)) && within(rest, name) {
			found = &room{name: name, allowed: strings.Fields(allowed)}
		}
	}
	return found
}

// within says whether a package is a room or lies in it; the root is a room for itself.
func within(path, name string) bool {
	return path == name || name != "" && strings.HasPrefix(path, name+"/")
}

func (r *room) may(imported, more string) bool {
	rest, ours := strings.CutPrefix(imported, module)
	if !ours || within(rest, r.name) {
		return true
	}
	for _, name := range append(r.allowed, strings.Fields(more)...) {
		if within(rest, name) {
			return true
		}
	}
	return false
}

func packages(t *testing.T, dir string) []goPackage {
	t.Helper()
	return list(t, dir, "./...")
}

func list(t *testing.T, dir string, args ...string) []goPackage {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list", "-json=ImportPath,Imports,TestImports,XTestImports"}, args...)...)
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %s", exit.Stderr)
		}
		t.Fatal(err)
	}
	var all []goPackage
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}
