//go:build linux

package plugin

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// granting writes the manifest of a plugin that asks for files.
func granting(t testing.TB, dir, name string, files ...FileAccess) {
	t.Helper()
	raw, err := json.Marshal(map[string]any{"name": name, "version": "1.0.0", "protocol": 1, "permissions": Permissions{Files: files}})
	if err != nil {
		t.Fatal(err)
	}
	put(t, dir, name, string(raw))
}

// roomy makes folders that every user can write into, below one of them.
func roomy(t testing.TB, names ...string) string {
	t.Helper()
	dir := openFolder(t)
	for _, name := range names {
		path := dir
		for part := range strings.SplitSeq(name, "/") {
			path = filepath.Join(path, part)
			if err := os.MkdirAll(path, 0o777); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, 0o777); err != nil { // whatever the mask is
				t.Fatal(err)
			}
		}
	}
	return dir
}

func symlink(t testing.TB, target, path string) {
	t.Helper()
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
}

func TestGrantedLinkToWhatNobodyHasIsRefused(t *testing.T) {
	t.Parallel()
	at := roomy(t, "data/server", "links", "public")
	data := filepath.Join(at, "data")
	moved := filepath.Join(at, "moved") // the server calls its data folder by a link
	symlink(t, "data", moved)
	const keeps, kernel = "the server keeps its data in ", "the kernel's own files are granted to nobody"
	plugins := t.TempDir()
	tests := map[string]struct{ target, want string }{
		"raw_data":     {data, keeps + moved},
		"raw_inside":   {filepath.Join(data, "server"), keeps + moved},
		"raw_above":    {at, keeps + moved},
		"raw_relative": {"../public/../data", keeps + moved},
		"raw_chain":    {"raw_data", keeps + moved},
		"raw_proc":     {"/proc", kernel},
		"raw_self":     {"/proc/self", kernel},
		"raw_sys":      {"/sys/kernel", kernel},
		"raw_root":     {"/", "the root of all files"},
		"raw_plugins":  {filepath.Join(plugins, "raw_data"), "plugins lie in " + plugins},
	}
	for name, test := range tests {
		path := filepath.Join(at, "links", name)
		symlink(t, test.target, path)
		granting(t, plugins, name, FileAccess{Path: path})
	}
	granting(t, plugins, "raw_plain", FileAccess{Path: data, Write: true})
	tests["raw_plain"] = struct{ target, want string }{"", keeps + moved}
	for name := range tests {
		if err := os.Link(filepath.Join(built, "rawplugin"), filepath.Join(plugins, name, name)); err != nil {
			t.Fatal(err)
		}
	}
	h := startHost(t, Config{Dirs: []string{plugins}, Private: []string{moved}}, testPace())
	for name, test := range tests {
		st := h.status(name)
		told := strings.Contains(st.Error, test.want) && (test.target == "" || strings.Contains(st.Error, "by the link "+filepath.Join(at, "links", name)))
		if st.State != Failed || !told || !strings.HasPrefix(st.Error, "the plugin could not be started: permissions: ") {
			t.Errorf("%s: %s %s", name, st.State, st.Error)
		}
	}
}

// What an administrator has linked is granted where the link leads, also by several.
func TestGrantedLinkOfAnAdministratorIsFollowed(t *testing.T) {
	t.Parallel()
	at := roomy(t, "disk/reports", "srv", "data")
	file := filepath.Join(at, "disk/reports/file")
	if err := errors.Join(os.WriteFile(file, []byte("x"), 0o666), os.Chmod(file, 0o666)); err != nil {
		t.Fatal(err)
	}
	symlink(t, filepath.Join(at, "disk"), filepath.Join(at, "srv/disk"))
	symlink(t, "disk/reports", filepath.Join(at, "srv/reports"))
	dir := install(t, "good")
	granting(t, dir, "good", FileAccess{Path: filepath.Join(at, "srv/reports")}, FileAccess{Path: filepath.Join(at, "srv/reports/file"), Write: true})
	h := startHost(t, Config{Dirs: []string{dir}, Private: []string{filepath.Join(at, "data")}}, testPace())
	granted := []target{{"read", filepath.Join(at, "srv/reports/file")}, {"write", filepath.Join(at, "srv/reports/file")}}
	if done := h.attack(granted...); len(done) != len(granted) {
		t.Errorf("of what it was granted it had %v", done)
	}
	needs(t, h.launcher.system, "files")
	if done := h.attack(target{"write", filepath.Join(at, "srv/reports/new")}, target{"read", filepath.Join(at, "disk")}); len(done) > 0 {
		t.Errorf("it could %v", done)
	}
}

// A plugin that may write a folder can put a link in the place of what it may read there, and have itself started again.
func TestPluginThatPutsALinkWhereItWasGrantedAFileIsNotStarted(t *testing.T) {
	t.Parallel()
	for name, put := range map[string]string{"link": "ln -s %s in", "folder of a link": "mkdir new; ln -s %s new/to; ln -s new/to in"} {
		at := roomy(t, "reports/in", "secrets")
		reports, in, secrets := filepath.Join(at, "reports"), filepath.Join(at, "reports/in"), filepath.Join(at, "secrets")
		dir := install(t, "good")
		granting(t, dir, "good", FileAccess{Path: reports, Write: true}, FileAccess{Path: in})
		h := startHost(t, Config{Dirs: []string{dir}}, testPace())
		if done := h.attack(target{"read", in}); len(done) != 1 {
			t.Fatalf("what it was granted is not to be had: %+v", h.status("good"))
		}
		_, _ = h.do(blockAttack, fmt.Sprintf(`{"value":[{"Kind":"run","What":%q}]}`, fmt.Sprintf("cd "+reports+"; mv in old; "+put, secrets)))
		_, _ = h.do(blockExit, `{"n":1}`)
		eventually(t, "the verdict", func() bool { return h.status("good").State == Failed })
		said := h.status("good").Error
		for _, part := range []string{"permissions: " + in + " cannot be granted", "the link " + in, "lies in " + reports + ", which the plugin may write itself"} {
			if !strings.Contains(said, part) {
				t.Errorf("%s: %q does not tell %q", name, said, part)
			}
		}
	}
}

// Who installed a plugin granted it what its paths led to then. A link that leads elsewhere later was made by somebody else:
// another plugin of this user, an earlier version, or whoever may write there.
func TestGrantsHoldForWhereTheyLed(t *testing.T) {
	t.Parallel()
	at := roomy(t, "reports", "secrets", "plain", "data")
	reports, link, plain := filepath.Join(at, "reports"), filepath.Join(at, "link"), filepath.Join(at, "plain")
	symlink(t, reports, link)
	for name, path := range map[string]string{"linked": link, "plain": plain} {
		i := version(t, t.TempDir(), "good", "1.0.0")
		granted := Permissions{Files: []FileAccess{{Path: path}}}.Followed()
		i.Granted = &granted
		t.Run(name, func(t *testing.T) {
			config := Config{Installed: []Installation{i}, Private: []string{filepath.Join(at, "data")}}
			h := startHost(t, config, testPace())
			if done := h.attack(target{"read", path}); len(done) != 1 {
				t.Fatalf("what it was granted is not to be had: %+v", h.status("good"))
			}
			if err := os.Rename(path, path+".old"); err != nil {
				t.Fatal(err)
			}
			symlink(t, filepath.Join(at, "secrets"), path)
			_, _ = h.do(blockExit, `{"n":1}`)
			eventually(t, "the verdict", func() bool { return h.status("good").State == Failed })
			if said := h.status("good").Error; !strings.Contains(said, path+" cannot be granted: it leads to "+filepath.Join(at, "secrets")+", and led to ") {
				t.Errorf("%q", said)
			}
		})
	}
}
