package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/patchbay-io/patchbay/core/config"
	"github.com/patchbay-io/patchbay/core/conformance"
	"github.com/patchbay-io/patchbay/core/server"
)

// manifestName is the file that makes a plugin of a folder.
const manifestName = "plugin.json"

type pluginTest struct {
	Folder string `arg:"" name:"dir" type:"existingdir" help:"Folder of the plugin, with plugin.json, or of its project, which is built first."`
}

// Run is patchbay plugin test.
func (c pluginTest) Run(ctx context.Context, settings *config.Settings, t terminal) error {
	folder, err := built(ctx, c.Folder, t)
	if err != nil {
		return err
	}
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) // or the end of who reads would be this one's, and leave folders behind
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	passed, err := conformance.Run(ctx, conformance.Config{
		Folder: folder, Host: server.PluginHosting(settings),
		Report: func(r conformance.Result) {
			if _, err := fmt.Fprintf(t.out, "%-4s  %-16s  %5.1f s  %s\n", r.Outcome, r.Check, r.Took.Seconds(), strings.ReplaceAll(r.Detail, "\n", "\n        ")); err != nil {
				stop(err)
			}
			if r.Advice != "" {
				fmt.Fprintf(t.out, "        to do: %s\n", r.Advice)
			}
		},
	})
	if err != nil {
		return cmp.Or(context.Cause(ctx), err)
	}
	if !passed {
		return errors.New("the plugin does not keep the protocol")
	}
	return nil
}

// built is the folder of a plugin that can be started: the one that is given, or what the project in it is built to.
func built(ctx context.Context, folder string, t terminal) (string, error) {
	if _, err := os.Stat(filepath.Join(folder, manifestName)); err == nil {
		return folder, nil
	}
	if _, err := os.Stat(filepath.Join(folder, "Makefile")); errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%s holds no plugin: it has neither a %s nor a Makefile that would make one in dist/", folder, manifestName)
	}
	if err := makeBuild(ctx, folder, t); err != nil {
		return "", err
	}
	dist := filepath.Join(folder, "dist")
	if _, err := os.Stat(filepath.Join(dist, manifestName)); err != nil {
		return "", fmt.Errorf("make build has made no plugin in %s: %w", dist, err)
	}
	return dist, nil
}

func makeBuild(ctx context.Context, folder string, t terminal) error {
	build := exec.CommandContext(ctx, "make", "--silent", "--no-print-directory", "-C", folder, "build")
	build.Stdout, build.Stderr, build.WaitDelay = t.err, t.err, time.Second
	if err := build.Run(); err != nil {
		return fmt.Errorf("make build in %s: %w", folder, err)
	}
	return nil
}
