package server

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/patchbay-io/patchbay/core/config"
	"github.com/patchbay-io/patchbay/core/plugin"
	"github.com/patchbay-io/patchbay/core/plugin/isolation"
)

// Unwritable says which files a plugin may write by its permissions and cannot, since a server on these settings that is
// root runs it as another user, and how it could. There is nothing to say where this user is not root, or the data folder
// somebody else's: that server gives no users to plugins.
func Unwritable(s *config.Settings, name string, p plugin.Permissions) (advice []string) {
	data, err := os.Stat(s.DataDir)
	if owner, ok := ownerOf(data); os.Geteuid() != 0 || err == nil && ok && owner.Uid != 0 {
		return nil
	}
	return unwritableBy(isolation.Config{Key: (&dataDir{path: s.DataDir}).part("run"), UserIDs: isolation.Range(s.PluginUserIDs)}.UserID(name), p)
}

func unwritableBy(user int, p plugin.Permissions) (advice []string) {
	for _, f := range p.Files {
		path, err := filepath.EvalSymlinks(f.Path)
		info, failed := os.Stat(f.Path)
		owner, ok := ownerOf(info)
		if err = cmp.Or(err, failed); !f.Write || err != nil || !ok { // what is missing is told when the plugin starts
			continue
		}
		needs := os.FileMode(0o002)
		switch {
		case int(owner.Uid) == user:
			needs = 0o200
		case int(owner.Gid) == user:
			needs = 0o020
		}
		_, listed := unix.Getxattr(path, "system.posix_acl_access", nil)
		if info.Mode()&needs == 0 && listed != nil {
			advice = append(advice, fmt.Sprintf("%s may be written, and the plugin's own user cannot: chown %d %s", f.Path, user, f.Path))
		}
	}
	return advice
}

func ownerOf(info os.FileInfo) (*syscall.Stat_t, bool) {
	if info == nil {
		return nil, false
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	return owner, ok
}
