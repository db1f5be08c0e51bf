package install

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestArchivesComeOverHTTPS(t *testing.T) {
	t.Parallel()
	archive, err := os.ReadFile(archive(t, "good", "1.0.0", ""))
	if err != nil {
		t.Fatal(err)
	}
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	var asked []string
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path)
		switch r.URL.Path {
		case "/good.tar.gz":
			w.Header().Set("Content-Length", strconv.Itoa(len(archive)))
			_, _ = w.Write(archive)
		case "/moved":
			http.Redirect(w, r, "/good.tar.gz", http.StatusFound)
		case "/insecure":
			http.Redirect(w, r, plain.URL, http.StatusFound)
		case "/round":
			http.Redirect(w, r, "/round", http.StatusFound)
		case "/half":
			w.Header().Set("Content-Length", "1000000")
			_, _ = w.Write(archive[:1000])
		case "/broken":
			w.WriteHeader(http.StatusInternalServerError)
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	data := t.TempDir()
	store, err := Open(data)
	if err != nil {
		t.Fatal(err)
	}
	var done, total int64
	fetch := Fetch{HTTP: server.Client().Transport, Signatures: Warn, Progress: func(d, of int64) { done, total = d, of }}
	for path, want := range map[string]string{
		"/good.tar.gz?token=sesame": "", "/nowhere?token=sesame": "not exist", "/insecure?token=sesame": "not https", "/moved": "", "/insecure": "not https", "/round": "redirects", "/half": "unexpected EOF", "/broken": "500", "/nowhere": "not exist",
	} {
		source, err := ParseSource(server.URL+path, "")
		if err != nil {
			t.Fatal(err)
		}
		p, err := store.Stage(context.Background(), source, fetch)
		switch {
		case want == "" && (err != nil || p.Name != "good" || p.SignedBy != "" || done != int64(len(archive)) || total != done):
			t.Errorf("%s: %v, %d of %d bytes", path, err, done, total)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want %q", path, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "sesame") || p != nil && strings.Contains(p.Source, "sesame") {
			t.Errorf("%s: %v %+v", path, err, p)
		}
		p.Discard()
	}
	if got := list(t, data+"/plugins"); len(got) > 0 {
		t.Errorf("left: %v", got)
	}
	if !strings.Contains(strings.Join(asked, " "), "/good.tar.gz.sigstore.json") {
		t.Errorf("nobody looked for a signature: %v", asked)
	}
	source, err := ParseSource(server.URL+"/good.tar.gz", "")
	if err != nil {
		t.Fatal(err)
	}
	fetch.Digest = "sha256:" + strings.Repeat("0", 64)
	if _, err := store.Stage(context.Background(), source, fetch); err == nil || !strings.Contains(err.Error(), "its digest is") {
		t.Errorf("another digest: %v", err)
	}
	fetch.Digest, fetch.Signatures = "", Require
	if _, err := store.Stage(context.Background(), source, fetch); !errors.Is(err, errUnsigned) {
		t.Errorf("unsigned: %v", err)
	}
	store.limits.archive = 1000
	if _, err := store.Stage(context.Background(), source, fetch); err == nil || !strings.Contains(err.Error(), "larger than any plugin") {
		t.Errorf("too large: %v", err)
	}
}

func TestLinksThatLeadOutOfAPackageAreRefused(t *testing.T) {
	t.Parallel()
	store := Scratch(t.TempDir())
	manifest := member{name: "p/plugin.json", text: `{"name":"p","version":"1","protocol":1}`}
	link := func(name, to string) member { return member{name: name, kind: tar.TypeSymlink, link: to} }
	for name, test := range map[string]struct {
		members []member
		want    string
	}{
		"within":          {[]member{link("p/here", "lib/deep"), {name: "p/lib/deep/x"}, link("p/y", "here/x")}, ""},
		"to nothing":      {[]member{link("p/x", "y")}, "leads out of the package or to nothing"},
		"out of its top":  {[]member{link("p/x", "../p")}, "leads out of the package or to nothing"},
		"by a chain":      {[]member{{name: "p/a/b/x"}, link("p/a/b/up", "../.."), link("p/a/out", "b/up/../..")}, "leads out of the package or to nothing"},
		"in a circle":     {[]member{link("p/x", "y"), link("p/y", "x")}, "leads out of the package or to nothing"},
		"file behind one": {[]member{{name: "p/lib/x"}, link("p/d", "lib"), {name: "p/d/y"}}, "lies behind a symbolic link"},
	} {
		path := filepath.Join(t.TempDir(), "p.tar.gz")
		raw := tarball(t, append([]member{manifest, {name: "p/p", text: "#!", mode: 0o755}}, test.members...)...)
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		source, err := ParseSource(path, "")
		if err != nil {
			t.Fatal(err)
		}
		p, err := store.Stage(t.Context(), source, Fetch{})
		p.Discard()
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v does not tell %q", name, err, test.want)
		}
	}
}

func TestPackagesThatCannotBeUsedAreRefused(t *testing.T) {
	t.Parallel()
	store, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ version, more, want string }{
		"another platform": {"1.0.0", `,"platform":"plan9/mips"`, "is for plan9/mips"},
		"version":          {"../1", "", "cannot be a folder's name"},
		"permission":       {"1.0.0", `,"permissions":{"files":[{"path":"/proc/1"}]}`, "cannot be granted"},
		"twice":            {"1.0.0", `,"protocol":7`, `the key "protocol" is there twice`},
	} {
		source, err := ParseSource(folder(t, "good", test.version, test.more), "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := store.Stage(context.Background(), source, Fetch{}); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
	for name, test := range map[string]struct {
		spoil func(folder string) error
		want  string
	}{
		"another executable": {func(folder string) error {
			return os.Rename(filepath.Join(folder, "good"), filepath.Join(folder, "bad"))
		}, "there is no file good beside it"},
		"mode": {func(folder string) error {
			path := filepath.Join(folder, "good")
			return errors.Join(os.Remove(path), os.WriteFile(path, nil, 0o644)) // it is a link to what all tests use
		}, "good, beside plugin.json, is not executable (its mode is 0644)"},
	} {
		folder := folder(t, "good", "1.0.0", "")
		if err := test.spoil(folder); err != nil {
			t.Fatal(err)
		}
		_, err := store.Stage(context.Background(), Source{kind: folderSource, text: folder}, Fetch{})
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), stagedPrefix) {
			t.Errorf("%s: %v, want %q and no path of a staged package", name, err, test.want)
		}
	}
	for name, test := range map[string]struct {
		beside, want string
	}{
		"a stray file":   {"notes.txt", `beside the folder acme, with the plugin in it, there is "notes.txt"`},
		"another folder": {"other/x", `beside the folder acme, with the plugin in it, there is "other"`},
	} {
		raw := tarball(t, member{name: "acme/plugin.json", text: "{}"}, member{name: test.beside})
		if _, err := store.Stage(context.Background(), Upload("upload", bytes.NewReader(raw), ""), Fetch{}); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
	project := t.TempDir()
	if err := os.WriteFile(filepath.Join(project, "Makefile"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ParseSource(project, ""); err == nil || !strings.Contains(err.Error(), "run make build there, and install "+filepath.Join(project, "dist")) {
		t.Errorf("a project: %v", err)
	}
	if _, err := store.Stage(context.Background(), Source{kind: folderSource, text: t.TempDir()}, Fetch{}); err == nil || !strings.Contains(err.Error(), "no plugin.json") {
		t.Errorf("empty: %v", err)
	}
}
