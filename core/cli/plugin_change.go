package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/patchbay-io/patchbay/core/config"
)

type pluginList struct {
	accountConnection
	JSON bool `name:"json" help:"Print JSON, with digests in full."`
}

// Run is patchbay plugin list.
func (c pluginList) Run(ctx context.Context, settings *config.Settings, t terminal) error {
	return managePlugins(ctx, settings, c.accountConnection, t, func(m pluginManager) error {
		all, err := m.list(ctx)
		if err != nil {
			return err
		}
		if c.JSON {
			encoder := json.NewEncoder(t.out)
			encoder.SetIndent("", "  ")
			return encoder.Encode(all)
		}
		return showPlugins(t.out, all)
	})
}

// showPlugins prints a table, and below it what is wrong.
func showPlugins(out io.Writer, all []pluginView) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "PLUGIN\tVERSION\tSTATE\tBLOCKS\tBEFORE\tDIGEST\tSIGNED\tGRANTED\tFROM")
	for _, v := range all {
		from, signed := "the server", "-"
		if !v.Own {
			from, signed = value(v.Source), cmp.Or(shortSigner(value(v.SignedBy)), "unsigned")
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\n", v.Name, printable(v.Version), v.State, v.Blocks, cmp.Or(value(v.Previous), "-"),
			cmp.Or(abbreviated(value(v.Digest)), "-"), signed, cmp.Or(v.granted(), "-"), printable(from))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, v := range all {
		if v.Error != nil {
			fmt.Fprintf(out, "%s: %s\n", v.Name, printable(*v.Error))
		}
		if v.Deaths > 1 && v.LastDeath != nil {
			fmt.Fprintf(out, "%s: it died %d times in the last hour and was started again %d times; at last at %s: %s\n", v.Name, v.Deaths, v.Restarts,
				v.LastDeath.At.Format(time.RFC3339), printable(v.LastDeath.Cause))
		}
	}
	return nil
}

// abbreviated is as much of a digest as people compare.
func abbreviated(digest string) string { return digest[:min(len(digest), len("sha256:")+12)] }

// shortSigner is as much of a key as people compare, or who an identity is, without its issuer.
func shortSigner(by string) string {
	if _, subject, ok := strings.Cut(by, " "); ok {
		return printable(subject)
	}
	return abbreviated(by)
}

// granted is what a plugin may have beside what every plugin has, on one line.
func (v *pluginView) granted() string {
	if v.Permissions == nil {
		return ""
	}
	var all []string
	for _, p := range permissionsAsked(*v.Permissions) {
		switch p.what {
		case "network":
			p.text = p.what
		case "environment":
			p.text = "$" + p.text
		case "processes":
			p.text += " processes"
		}
		all = append(all, printable(p.text))
	}
	return strings.Join(all, ", ")
}

// pluginNamed is a command about one plugin.
type pluginNamed struct {
	accountConnection
	Plugin string `arg:"" help:"Name of the plugin."`
}

func (c pluginNamed) change(ctx context.Context, settings *config.Settings, t terminal, how string) error {
	return managePlugins(ctx, settings, c.accountConnection, t, func(m pluginManager) error {
		v, err := m.change(ctx, c.Plugin, how)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(t.out, "%s %s is %s\n", v.Name, printable(v.Version), v.fares()); err != nil {
			return err
		}
		if how == "disable" {
			return v.UsedBy.show(t.out)
		}
		return nil
	})
}

type pluginEnable struct{ pluginNamed }

// Run is patchbay plugin enable.
func (c pluginEnable) Run(ctx context.Context, settings *config.Settings, t terminal) error {
	return c.change(ctx, settings, t, "enable")
}

type pluginDisable struct{ pluginNamed }

// Run is patchbay plugin disable.
func (c pluginDisable) Run(ctx context.Context, settings *config.Settings, t terminal) error {
	return c.change(ctx, settings, t, "disable")
}

type pluginRestart struct{ pluginNamed }

// Run is patchbay plugin restart.
func (c pluginRestart) Run(ctx context.Context, settings *config.Settings, t terminal) error {
	return c.change(ctx, settings, t, "restart")
}

type pluginRollback struct{ pluginNamed }

// Run is patchbay plugin rollback.
func (c pluginRollback) Run(ctx context.Context, settings *config.Settings, t terminal) error {
	return c.change(ctx, settings, t, "rollback")
}

type pluginRemove struct {
	pluginNamed
	Yes bool `short:"y" help:"Consent to the removal also where agents use the plugin."`
}

// Run is patchbay plugin remove.
func (c pluginRemove) Run(ctx context.Context, settings *config.Settings, t terminal) error {
	return managePlugins(ctx, settings, c.accountConnection, t, func(m pluginManager) error {
		v, err := m.get(ctx, c.Plugin)
		if err != nil {
			return err
		}
		if err := v.UsedBy.show(t.out); err != nil {
			return err
		}
		if (v.UsedBy == nil || v.UsedBy.Total > 0) && !v.Own && !c.Yes {
			if err := t.consent(os.Stdin, "Remove it all the same? The agents stay, and cannot run."); err != nil {
				return err
			}
		}
		if err := m.remove(ctx, c.Plugin); err != nil {
			return err
		}
		text := fmt.Sprintf("%s %s is removed", v.Name, v.Version)
		if from := value(v.Source); strings.Contains(from, "/") {
			text += "; to have it again: patchbay plugin install " + printable(from)
		}
		_, err = fmt.Fprintln(t.out, text)
		return err
	})
}

// show names the agents that use a plugin.
func (u *pluginUse) show(w io.Writer) error {
	if u == nil {
		_, err := fmt.Fprintln(w, "which agents use its blocks is not known, since the database cannot be asked")
		return err
	}
	if u.Total == 0 {
		return nil
	}
	if u.Total == 1 {
		fmt.Fprintln(w, "1 agent uses its blocks:")
	} else {
		fmt.Fprintf(w, "%d agents use its blocks:\n", u.Total)
	}
	for _, g := range u.Graphs {
		fmt.Fprintf(w, "  %s  %s (of user %s)\n", g.ID, printable(g.Name), printable(g.User))
	}
	if more := u.Total - len(u.Graphs); more > 0 {
		fmt.Fprintf(w, "  and %d more\n", more)
	}
	return nil
}

type pluginVerify struct {
	accountConnection
	Plugins []string `arg:"" optional:"" name:"plugin" help:"Plugins to verify; all that are installed unless named."`
}

// Run is patchbay plugin verify. It ends with an error if any file is not what was installed.
func (c pluginVerify) Run(ctx context.Context, settings *config.Settings, t terminal) error {
	return managePlugins(ctx, settings, c.accountConnection, t, func(m pluginManager) error {
		all, err := m.list(ctx)
		if err != nil {
			return err
		}
		names, flawed, known := c.Plugins, 0, map[string]pluginView{}
		for _, v := range all {
			known[v.Name] = v
			if len(c.Plugins) == 0 && !v.Own {
				names = append(names, v.Name)
			}
		}
		if len(names) == 0 {
			fmt.Fprintln(t.out, "no plugin is installed beside the server's own")
		}
		var unknown []error
		for _, name := range names {
			v := known[name]
			flaws, err := m.verify(ctx, name)
			switch {
			case isAbsent(err):
				unknown = append(unknown, err)
			case err != nil:
				return err
			case v.Own:
				fmt.Fprintf(t.out, "%s: belongs to the server, and was not installed\n", name)
			case len(flaws) == 0:
				fmt.Fprintf(t.out, "%s: as it was installed\n", name)
			default:
				flawed++
			}
			for _, flaw := range flaws {
				version := ""
				if flaw.Version != v.Version {
					version = " " + flaw.Version + ", to go back to"
				}
				fmt.Fprintf(t.out, "%s%s: %s: %s\n", name, version, printable(flaw.File), flaw.Problem)
			}
		}
		if flawed > 0 {
			unknown = append(unknown, fmt.Errorf("%d plugins are not what was installed; installing the same version again repairs them", flawed))
		}
		if len(unknown) > 0 {
			return errors.Join(unknown...)
		}
		return nil
	})
}
