package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/patchbay-io/patchbay/core/config"
	"github.com/patchbay-io/patchbay/core/plugin"
	"github.com/patchbay-io/patchbay/core/reference"
	"github.com/patchbay-io/patchbay/core/server"
)

type pluginCommand struct {
	New      pluginNew      `cmd:"" help:"Begin a plugin: a folder with one block that builds, is tested and runs."`
	Test     pluginTest     `cmd:"" help:"Test a plugin in any language against the protocol, and its blocks by their examples, isolated as under a server."`
	Dev      pluginDev      `cmd:"" help:"Build a plugin whenever it is saved, and swap it in the running server."`
	Install  pluginInstall  `cmd:"" help:"Install a plugin, or another version of it, also while the server runs."`
	List     pluginList     `cmd:"" help:"List the plugins: how they fare, what they are, and what they were granted."`
	Enable   pluginEnable   `cmd:"" help:"Start a plugin that is disabled, or has failed."`
	Disable  pluginDisable  `cmd:"" help:"Take the blocks of a plugin away, and stop it when it has finished what it began."`
	Restart  pluginRestart  `cmd:"" help:"Start a plugin again, with the settings that are set now; its old process finishes what it began."`
	Upgrade  pluginUpgrade  `cmd:"" help:"Install what a plugin's source has now; when that fails, the version before serves on."`
	Rollback pluginRollback `cmd:"" help:"Go back to the version that was installed before, and the next time forward again."`
	Remove   pluginRemove   `cmd:"" help:"Remove a plugin that was installed."`
	Verify   pluginVerify   `cmd:"" help:"Compare the files of plugins with what was installed."`
	Docs     pluginDocs     `cmd:"" help:"Print or write a reference of all blocks, made from the plugins themselves."`
}

type pluginDocs struct {
	Plugins []string `arg:"" optional:"" name:"plugin" help:"Plugins to document; all unless named."`
	Output  string   `short:"o" type:"path" placeholder:"DIR" help:"Folder for one page a plugin and an index; unless set, the pages are printed."`
}

// Run is patchbay plugin docs. It needs no server: it asks the plugins.
func (c pluginDocs) Run(ctx context.Context, settings *config.Settings, t terminal) error {
	pages, err := describePlugins(ctx, settings, c.Plugins)
	if err != nil {
		return err
	}
	if c.Output == "" {
		for _, page := range pages {
			if _, err := t.out.Write(append(reference.Page(page), '\n')); err != nil {
				return err
			}
		}
		return nil
	}
	if err := os.MkdirAll(c.Output, 0o755); err != nil {
		return fmt.Errorf("make the folder of the reference: %w", err)
	}
	files := map[string][]byte{"README.md": reference.Index(pages)}
	for _, page := range pages {
		files[reference.File(page)] = reference.Page(page)
	}
	for _, name := range sortedKeys(files) {
		path := filepath.Join(c.Output, name)
		if err := os.WriteFile(path, files[name], 0o644); err != nil {
			return fmt.Errorf("write the reference: %w", err)
		}
		fmt.Fprintln(t.err, "wrote", path)
	}
	return nil
}

// describePlugins starts the plugins that are found and asks them for their descriptions. One that cannot be asked
// is an error, unless others were asked for by name.
func describePlugins(ctx context.Context, settings *config.Settings, names []string) (pages []plugin.Description, err error) {
	run, err := os.MkdirTemp("", "patchbay-docs-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for plugins to run in: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(run)) }()
	found, err := server.PluginsOf(settings, filepath.Join(run, "run"))
	if err != nil {
		return nil, err
	}
	host, err := plugin.New(found)
	if err != nil {
		return nil, err
	}
	defer host.Close()
	if err := host.Start(ctx); err != nil {
		return nil, err
	}
	known := append([]plugin.Description{reference.BuiltIn()}, host.Descriptions()...)
	wanted := func(name string) bool { return len(names) == 0 || slices.Contains(names, name) }
	var have []string
	for _, d := range known {
		have = append(have, d.Name)
		if wanted(d.Name) {
			pages = append(pages, d)
		}
	}
	for _, status := range host.Plugins() {
		if !slices.Contains(have, status.Name) && wanted(status.Name) {
			return nil, fmt.Errorf("plugin %s cannot be described: %s", status.Name, status.Error)
		}
	}
	for _, name := range names {
		if !slices.Contains(have, name) {
			return nil, fmt.Errorf("there is no plugin %q: there are %s", name, strings.Join(have, ", "))
		}
	}
	return pages, nil
}
