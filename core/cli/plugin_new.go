package cli

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/patchbay-io/patchbay/core/config"
	"github.com/patchbay-io/patchbay/core/plugin"
	"github.com/patchbay-io/patchbay/core/scaffold"
)

type pluginNew struct {
	Name string `arg:"" help:"Name of the plugin, and of the folder that is made for it."`
	Lang string `required:"" placeholder:"LANGUAGE" help:"Language to write it in: go, python or typescript."`
	SDK  string `name:"sdk" type:"path" placeholder:"DIR" help:"Root of a checkout of Patchbay, the folder that holds sdk/, for Go. That of this program unless set."`
}

// Run is patchbay plugin new.
func (c pluginNew) Run(settings *config.Settings, t terminal) error {
	for _, dir := range settings.PluginDirs {
		if _, err := plugin.Inspect(filepath.Join(dir, c.Name)); err == nil {
			return fmt.Errorf("a plugin of the name %s belongs to the server, which would not install another one: choose another name, such as my_%[1]s", c.Name)
		}
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	if program, err = filepath.EvalSymlinks(program); err != nil {
		return err
	}
	if c.SDK == "" { // the program may lie in bin/ of a checkout
		root := filepath.Dir(filepath.Dir(program))
		if _, err := os.Stat(filepath.Join(root, "sdk", "go.mod")); err == nil {
			c.SDK = root
		}
	}
	p := scaffold.Project{Name: c.Name, Language: c.Lang, SDK: c.SDK, Patchbay: program}
	if _, err := exec.LookPath("patchbay"); err == nil {
		p.Patchbay = "patchbay"
	}
	if err := p.Write(c.Name); err != nil {
		return err
	}
	fmt.Fprintf(t.out, `Made %[1]s/, a plugin in %[2]s with one block. Go on with

  cd %[1]s
  make build    # dist/, which plugin install takes
  make test     # tests the block
  make run      # runs a server with the plugin, and in another terminal:
  %[3]s agent run agent.json --input name=Ada
`, c.Name, c.Lang, p.Patchbay)
	return nil
}
