package plugin

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
	protobuf "google.golang.org/protobuf/proto"

	"github.com/patchbay-io/patchbay/sdk/proto"
)

// Memory keeps what plugins described, by their names. What it gives back is trusted no more than a plugin is: it says
// what is offered, and the process that is then started says it again.
type Memory interface {
	// Remember puts something in the place of what was there.
	Remember(plugin string, what []byte) error
	// Recall gives nil where there is nothing.
	Recall(plugin string) ([]byte, error)
}

// memory is what is remembered of a plugin.
type memory struct {
	files string
	offer *offer
}

// memorised is how it is kept.
type memorised struct {
	Host        string `json:"host"`     // that checked it
	Protocol    int    `json:"protocol"` // that it was described by
	Files       string `json:"files"`
	Description []byte `json:"description"`
}

// recall is what the plugin offered when it was last started, if it is the same plugin and this the same host; nil:
// nobody knows.
func (s *supervisor) recall() *offer {
	if s.host.config.Memory == nil {
		return nil
	}
	raw, err := s.host.config.Memory.Recall(s.name)
	if err != nil {
		s.log.Warn("what the plugin described before cannot be read", "error", err)
	}
	var m memorised
	d := new(proto.DescribeResponse)
	if len(raw) == 0 || json.Unmarshal(raw, &m) != nil || m.Host != thisHost() || m.Protocol != proto.Version ||
		m.Files != s.files() || protobuf.Unmarshal(m.Description, d) != nil {
		return nil
	}
	o, err := check(s.Manifest, d)
	if err != nil {
		return nil
	}
	s.kept = memory{m.Files, o}
	return o
}

// take registers what is remembered.
func (h *Host) take(s *supervisor, o *offer) bool {
	if h.register(s, o) != nil {
		return false
	}
	s.mu.Lock()
	s.known, s.described = o, o
	if d := o.description.GetDescription(); d != "" {
		s.status.Description = d
	}
	s.mu.Unlock()
	return true
}

// remember keeps what a plugin that is ready has described.
func (s *supervisor) remember(a attempt) {
	now := memory{a.files, a.instance.offer}
	if s.host.config.Memory == nil || now.files == "" || now == s.kept {
		return
	}
	m := memorised{Host: thisHost(), Protocol: proto.Version, Files: now.files}
	raw, err := protobuf.Marshal(now.offer.description)
	if err == nil {
		m.Description = raw
		raw, err = json.Marshal(m)
	}
	if err == nil {
		err = s.host.config.Memory.Remember(s.name, raw)
	}
	if err != nil {
		s.log.Warn("what the plugin describes cannot be kept: the next start has to ask again", "error", err)
		return
	}
	s.kept = now
}

// maxStamped bounds the files of a plugin that is remembered.
const maxStamped = 10_000

// files tells the plugin's files from any others, without reading them: it changes with the digests that they must have,
// and when the system has seen one of them touched. Empty: it cannot be told.
func (s *supervisor) files() string {
	if s.host.config.Memory == nil {
		return ""
	}
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(s.digests)) {
		fmt.Fprintf(h, "%q %s\n", name, s.digests[name])
	}
	folder, err := filepath.EvalSymlinks(filepath.Dir(s.path))
	n := 0
	if err == nil {
		err = filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			if n++; n > maxStamped {
				return errors.New("there are too many files")
			}
			var stat unix.Stat_t
			if err := unix.Lstat(path, &stat); err != nil {
				return err
			}
			fmt.Fprintf(h, "%q %s\n", path, stamp(&stat))
			if e.Type()&fs.ModeSymlink != 0 && unix.Stat(path, &stat) == nil {
				fmt.Fprintf(h, "to %s\n", stamp(&stat))
			}
			return nil
		})
	}
	if err != nil {
		s.log.Debug("what the plugin describes will not be remembered", "error", err)
		return ""
	}
	return hex.EncodeToString(h.Sum(nil))
}

// stamp changes with each change of a file's content, which nobody can hide: the time of its last change is the system's.
func stamp(s *unix.Stat_t) string {
	return fmt.Sprint(s.Dev, s.Ino, s.Mode, s.Size, s.Mtim.Nano(), s.Ctim.Nano())
}

// thisHost is the build of this program.
var thisHost = sync.OnceValue(func() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	version := info.Main.Version
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision", "vcs.modified", "vcs.time":
			version += " " + setting.Value
		}
	}
	return version
})
