package plugin

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

func TestPermissionsAreBounded(t *testing.T) {
	t.Parallel()
	file := func(path string) Permissions { return Permissions{Files: []FileAccess{{Path: path}}} }
	for name, test := range map[string]struct {
		permissions Permissions
		want        string // part of the error; empty: there is none
	}{
		"nothing":          {Permissions{}, ""},
		"much":             {Permissions{Network: true, Files: []FileAccess{{Path: "/srv/a", Write: true}}, Environment: []string{"HTTP_PROXY"}, Memory: 64, Processes: 16}, ""},
		"relative":         {file("srv"), "srv"},
		"up":               {file("/srv/../etc"), "shortest form"},
		"slash":            {file("/srv/"), "shortest form"},
		"right to left":    {file("/srv/\u202egpj.exe"), `"/srv/\u202egpj.exe" has characters`},
		"no width":         {file("/srv/a\u200bb"), "not seen"},
		"escape":           {file("/srv/\x1b[2J"), "not seen"},
		"NUL":              {file("/srv/\x00"), "shortest form"},
		"long":             {file("/" + strings.Repeat("a", maxPath)), "shortest form"},
		"root":             {file("/"), "cannot be granted"},
		"proc":             {file("/proc"), "cannot be granted"},
		"in proc":          {file("/proc/self/environ"), "cannot be granted"},
		"beside proc":      {file("/process"), ""},
		"sys":              {file("/sys/fs/cgroup"), "cannot be granted"},
		"many files":       {Permissions{Files: make([]FileAccess, 65)}, "more than 64"},
		"many variables":   {Permissions{Environment: make([]string, 65)}, "more than 64"},
		"server's":         {Permissions{Environment: []string{"PATCHBAY_JWT_SECRET"}}, "PATCHBAY_JWT_SECRET"},
		"preload":          {Permissions{Environment: []string{"LD_PRELOAD"}}, "LD_PRELOAD"},
		"handshake":        {Permissions{Environment: []string{"PLUGIN_CLIENT_CERT"}}, "PLUGIN_CLIENT_CERT"},
		"with value":       {Permissions{Environment: []string{"A=b"}}, "A=b"},
		"empty name":       {Permissions{Environment: []string{""}}, `""`},
		"little memory":    {Permissions{Memory: 31}, "31 MiB"},
		"negative memory":  {Permissions{Memory: -1}, "-1 MiB"},
		"much memory":      {Permissions{Memory: maxMemory + 1}, "MiB"},
		"few processes":    {Permissions{Processes: 1}, "1 processes"},
		"too many threads": {Permissions{Processes: maxProcesses + 1}, "processes"},
	} {
		err := test.permissions.Check()
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPermissionsCoverWhatIsNotMore(t *testing.T) {
	t.Parallel()
	have := Permissions{Files: []FileAccess{{Path: "/srv/a"}, {Path: "/srv/b", Write: true}, {Path: "/srv/c", LeadsTo: "/mnt/c"}}, Environment: []string{"A"}, Memory: 2048}
	for name, test := range map[string]struct {
		asked Permissions
		want  bool
	}{
		"nothing":          {Permissions{}, true},
		"the same":         {have, true},
		"below":            {Permissions{Files: []FileAccess{{Path: "/srv/a/x"}, {Path: "/srv/b/y", Write: true}}}, true},
		"where it led":     {Permissions{Files: []FileAccess{{Path: "/srv/c", LeadsTo: "/mnt/c"}, {Path: "/srv/c/x", LeadsTo: "/mnt/c/x"}}}, true},
		"leads elsewhere":  {Permissions{Files: []FileAccess{{Path: "/srv/c", LeadsTo: "/mnt/d"}}}, false},
		"leads now":        {Permissions{Files: []FileAccess{{Path: "/srv/a/x", LeadsTo: "/mnt/d"}}}, false},
		"beside":           {Permissions{Files: []FileAccess{{Path: "/srv/ab"}}}, false},
		"writing":          {Permissions{Files: []FileAccess{{Path: "/srv/a", Write: true}}}, false},
		"network":          {Permissions{Network: true}, false},
		"another variable": {Permissions{Environment: []string{"A", "B"}}, false},
		"more memory":      {Permissions{Memory: 2049}, false},
		"more processes":   {Permissions{Processes: defaultProcesses + 1}, false},
	} {
		if got := have.Covers(test.asked); got != test.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestManifestWithImpossiblePermissionsIsRefused(t *testing.T) {
	t.Parallel()
	dir := install(t, "good", "greedy")
	put(t, dir, "good", `{"name":"good","version":"1.0.0","protocol":1,"permissions":{"network":true,"files":[{"path":"/srv","write":true}],"memory":64,"later":1}}`)
	put(t, dir, "greedy", fmt.Sprintf(`{"name":"greedy","version":"1.0.0","protocol":1,"permissions":{"files":[{"path":%q}]}}`, "/proc/1"))
	f, err := inspect("good", filepath.Join(dir, "good"))
	if err != nil || !f.Permissions.Network || f.Permissions.Memory != 64 || len(f.Permissions.Files) != 1 || f.Permissions.Files[0] != (FileAccess{Path: "/srv", Write: true}) {
		t.Errorf("%+v %v", f.Permissions, err)
	}
	if _, err := inspect("greedy", filepath.Join(dir, "greedy")); err == nil || !strings.Contains(err.Error(), "/proc/1") {
		t.Errorf("error %v", err)
	}
}
