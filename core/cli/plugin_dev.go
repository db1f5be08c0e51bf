package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/patchbay-io/patchbay/core/config"
	"github.com/patchbay-io/patchbay/core/plugin"
	"github.com/patchbay-io/patchbay/core/plugin/install"
)

type pluginDev struct {
	accountConnection
	Yes    bool   `short:"y" help:"Grant the plugin whatever it asks for, without a question."`
	Folder string `arg:"" optional:"" default:"." name:"dir" type:"existingdir" help:"Folder of the plugin's project, with a Makefile whose target build makes dist/."`
}

// Run is patchbay plugin dev. It ends when it is interrupted; the plugin stays as it was built last.
func (c pluginDev) Run(ctx context.Context, settings *config.Settings, t terminal) error {
	if _, err := os.Stat(filepath.Join(c.Folder, "Makefile")); err != nil {
		return fmt.Errorf("%s is no project of a plugin: it has no Makefile; patchbay plugin new begins one", c.Folder)
	}
	saves, err := watchSaves(c.Folder)
	if err != nil {
		return err
	}
	defer func() { _ = saves.Close() }()
	for {
		if err := c.swap(ctx, settings, t); errors.Is(err, context.Canceled) {
			return nil
		} else if err != nil {
			fmt.Fprintf(t.err, "%s: %s\n", time.Now().Format(time.TimeOnly), strings.TrimSpace(err.Error()))
		}
		if err := saves.next(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
	}
}

// swap builds the plugin and has the server run what was built: runs that go on end in the process that they began in.
// The author of a plugin need not be asked whether he trusts it, but he is when it asks for more than it was granted.
func (c pluginDev) swap(ctx context.Context, settings *config.Settings, t terminal) error {
	began := time.Now()
	if err := makeBuild(ctx, c.Folder, t); err != nil {
		return err
	}
	built := time.Now()
	source, err := install.ParseSource(filepath.Join(c.Folder, "dist"), "")
	if err != nil {
		return err
	}
	trust := pluginTrust{Yes: true}
	p, done, err := trust.stage(ctx, settings, t, source)
	if err != nil {
		return err
	}
	defer done()
	connection, err := c.open(settings)
	if err != nil {
		return err
	}
	connection.http.Timeout = pluginTime
	server := remotePlugins{connection, t}
	current, err := server.get(ctx, p.Name)
	if err != nil && !isAbsent(err) {
		return err
	}
	granted := &plugin.Permissions{}
	if current != nil && current.Permissions != nil {
		granted = current.Permissions
	}
	more := newIn(p.Permissions, granted)
	if len(more) > 0 && !c.Yes {
		fmt.Fprintf(t.err, "%s %s asks for more than it was granted: %s\n", p.Name, p.Version, strings.Join(more, "; "))
		if err := t.consent(os.Stdin, "Grant it, for as long as a version asks for it?"); err != nil {
			return err
		}
	}
	v, err := server.order(ctx, p, trust, source)
	if err != nil {
		return err
	}
	if len(more) > 0 {
		fmt.Fprintf(t.out, "%s: now also granted: %s\n", time.Now().Format(time.TimeOnly), strings.Join(more, "; "))
	}
	_, err = fmt.Fprintf(t.out, "%s: %s %s is %s; built in %.1f s, swapped in %.1f s\n", time.Now().Format(time.TimeOnly), v.Name, v.Version,
		v.fares(), built.Sub(began).Seconds(), time.Since(built).Seconds())
	return err
}

// saves tells when files of a project were changed.
type saves struct {
	*fsnotify.Watcher
	root string
}

// made are folders that builds write into, and what they keep.
var made = []string{"build", "data", "dist", "node_modules", "__pycache__"}

// quietTime is how long nothing may change before a build: editors and checkouts write several times.
const quietTime = 100 * time.Millisecond

func watchSaves(root string) (*saves, error) {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watch the project: %w", err)
	}
	s := &saves{watcher, root}
	if err := s.add(root); err != nil {
		return nil, errors.Join(err, watcher.Close())
	}
	return s, nil
}

// add watches a folder and those in it.
func (s *saves) add(folder string) error {
	return filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return fmt.Errorf("watch the project: %w", err)
		case !e.IsDir():
			return nil
		case path != s.root && s.ignored(path):
			return fs.SkipDir
		}
		if err := s.Add(path); err != nil {
			return fmt.Errorf("watch %s: %w", path, err)
		}
		return nil
	})
}

// ignored says whether a file is not one that people write.
func (s *saves) ignored(path string) bool {
	name := filepath.Base(path)
	return strings.HasPrefix(name, ".") || strings.HasSuffix(name, "~") || strings.HasSuffix(name, ".log") || slices.Contains(made, name)
}

// next waits for a change, and until nothing changes any more.
func (s *saves) next(ctx context.Context) error {
	var quiet <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-quiet:
			return nil
		case err := <-s.Errors:
			return fmt.Errorf("watch the project: %w", err)
		case e := <-s.Events:
			if e.Op == fsnotify.Chmod || s.ignored(e.Name) {
				continue
			}
			if info, err := os.Stat(e.Name); err == nil && info.IsDir() && e.Has(fsnotify.Create) {
				if err := s.add(e.Name); err != nil {
					return err
				}
			}
			quiet = time.After(quietTime)
		}
	}
}
