package scaffold

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

const sdkPath = "github.com/patchbay-io/patchbay/sdk"

// goModule makes go.mod and go.sum of a project that uses the SDK of a checkout. They name what the SDK needs, in the
// versions that the checkout itself is built with: these are on the machine already, so that the first build needs no
// network.
func goModule(name, checkout string) (mod, sum []byte, err error) {
	sdk, err := readMod(filepath.Join(checkout, "sdk"))
	if err != nil {
		return nil, nil, err
	}
	built := map[string]string{}
	switch root, err := readMod(checkout); {
	case err == nil:
		for _, r := range root.Require {
			built[r.Mod.Path] = r.Mod.Version
		}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, nil, err
	}
	var f modfile.File
	// A domain keeps the path apart from those of Go's own library, and it need not be one that is fetched from.
	if err := f.AddModuleStmt("example.com/" + name); err != nil {
		return nil, nil, err
	}
	if err := f.AddGoStmt(sdk.Go.Version); err != nil {
		return nil, nil, err
	}
	f.AddNewRequire(sdkPath, "v0.0.0", false)
	needed := map[module.Version]bool{}
	for _, r := range sdk.Require {
		v := r.Mod
		if semver.Compare(built[v.Path], v.Version) > 0 {
			v.Version = built[v.Path]
		}
		needed[v] = true
		f.AddNewRequire(v.Path, v.Version, true)
	}
	if err := f.AddReplace(sdkPath, "", filepath.Join(checkout, "sdk"), ""); err != nil {
		return nil, nil, err
	}
	f.SetRequireSeparateIndirect(f.Require)
	f.Cleanup()
	if mod, err = f.Format(); err != nil {
		return nil, nil, err
	}
	sum, err = sums(needed, filepath.Join(checkout, "sdk", "go.sum"), filepath.Join(checkout, "go.sum"))
	return mod, sum, err
}

func readMod(folder string) (*modfile.File, error) {
	path := filepath.Join(folder, "go.mod")
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return modfile.Parse(path, data, nil)
}

// sums are the lines of some go.sum files that are about the modules that are needed.
func sums(needed map[module.Version]bool, paths ...string) ([]byte, error) {
	var all strings.Builder
	seen := map[string]bool{}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(data)) {
			fields := strings.Fields(line)
			if len(fields) != 3 || seen[line] {
				continue
			}
			if needed[module.Version{Path: fields[0], Version: strings.TrimSuffix(fields[1], "/go.mod")}] {
				seen[line] = true
				all.WriteString(line)
			}
		}
	}
	return []byte(all.String()), nil
}
