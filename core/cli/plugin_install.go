package cli

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/mod/semver"
	"oras.land/oras-go/v2/registry/remote/credentials"

	"github.com/patchbay-io/patchbay/core/config"
	"github.com/patchbay-io/patchbay/core/plugin"
	"github.com/patchbay-io/patchbay/core/plugin/install"
	"github.com/patchbay-io/patchbay/core/server"
)

// pluginTrust is what commands that bring a package share.
type pluginTrust struct {
	Yes       bool     `short:"y" help:"Consent to what the plugin asks for."`
	Key       []string `placeholder:"FILE" help:"Public key (PEM) of which a signature is demanded."`
	Identity  []string `sep:"none" placeholder:"'ISSUER SUBJECT'" help:"Who must have signed, without a key; a subject between slashes is a regular expression."`
	Signature string   `placeholder:"FILE|URL" help:"The archive's signature by cosign, where it does not lie beside it."`
	Digest    string   `placeholder:"sha256:…" help:"What the archive's digest must be."`
}

// demands says whether a signature of somebody in particular is demanded.
func (c pluginTrust) demands() bool { return len(c.Key)+len(c.Identity) > 0 }

type pluginInstall struct {
	accountConnection
	pluginTrust
	Source string `arg:"" help:"A folder, a .tar.gz, an https:// URL or an OCI reference (oci://registry/name:tag)."`
}

// Run is patchbay plugin install.
func (c pluginInstall) Run(ctx context.Context, settings *config.Settings, t terminal) error {
	return c.bring(ctx, settings, t, c.accountConnection, "", c.Source)
}

type pluginUpgrade struct {
	accountConnection
	pluginTrust
	Plugin string `arg:"" help:"Name of the plugin."`
	Source string `arg:"" optional:"" help:"As for install; where the plugin came from unless given."`
}

// Run is patchbay plugin upgrade.
func (c pluginUpgrade) Run(ctx context.Context, settings *config.Settings, t terminal) error {
	return c.bring(ctx, settings, t, c.accountConnection, c.Plugin, c.Source)
}

// bring fetches and verifies a package here, shows what it asks for, and hands it over once there is consent: so the
// server need not be trusted with registries' passwords, and nothing is fetched twice.
func (c pluginTrust) bring(ctx context.Context, settings *config.Settings, t terminal, to accountConnection, name, text string) error {
	var current *pluginView
	if name != "" {
		err := managePlugins(ctx, settings, to, t, func(m pluginManager) (err error) {
			current, err = m.get(ctx, name)
			return err
		})
		switch {
		case err != nil:
			return err
		case current.Own:
			return fmt.Errorf("the plugin %s belongs to the server and is upgraded with it", name)
		case text == "" && !strings.ContainsAny(value(current.Source), "/"):
			return fmt.Errorf("it is not known where the plugin %s came from; name a source", name)
		}
		text = cmp.Or(text, value(current.Source))
	}
	source, err := install.ParseSource(text, c.Signature)
	if err != nil {
		return err
	}
	p, done, err := c.stage(ctx, settings, t, source)
	if err != nil {
		return err
	}
	defer done()
	if name != "" && p.Name != name {
		return fmt.Errorf("%s is the plugin %s, not %s", source, p.Name, name)
	}
	return managePlugins(ctx, settings, to, t, func(m pluginManager) error {
		if current == nil {
			if current, err = m.get(ctx, p.Name); err != nil && !isAbsent(err) {
				return err
			}
		}
		// What will be refused is refused before anybody is asked.
		if current != nil && current.Own {
			return fmt.Errorf("a plugin of the name %s belongs to the server, which takes no other one of that name", p.Name)
		}
		if to.Server == "" {
			p.Permissions = p.Permissions.Followed()
			if err := server.PluginHosting(settings).Refuses(p.Permissions); err != nil {
				return err
			}
		}
		showAsked(t.out, p.Asks(), current, settings.PluginSignatures)
		if to.Server == "" { // it is this machine's
			for _, text := range server.Unwritable(settings, p.Name, p.Permissions) {
				fmt.Fprintf(t.out, "  %-12s %s\n", "beware", printable(text))
			}
		}
		if ignored := p.Ignored(); ignored != "" {
			fmt.Fprintln(t.err, printable(ignored))
		}
		if needs := current == nil || p.NeedsConsent(current.Permissions, value(current.SignedBy), value(current.Digest)); needs && !c.Yes {
			if err := t.consent(os.Stdin, "Install it?"); err != nil {
				return err
			}
		}
		view, err := m.order(ctx, p, c, source)
		if err != nil {
			return err
		}
		return view.installed(t.out)
	})
}

func value(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

// stage fetches a package into a folder that done removes.
func (c pluginTrust) stage(ctx context.Context, settings *config.Settings, t terminal, source install.Source) (_ *install.Package, done func(), err error) {
	fetch, closed, err := server.PluginFetch(settings)
	if err != nil {
		return nil, nil, err
	}
	defer closed()
	fetch.Digest = c.Digest
	if c.demands() {
		fetch.Demanded = true
		if fetch.Keys, err = install.ReadKeys(c.Key); err != nil {
			return nil, nil, err
		}
		if fetch.Identities, err = install.ParseIdentities(c.Identity); err != nil {
			return nil, nil, err
		}
	}
	if store, err := credentials.NewStoreFromDocker(credentials.StoreOptions{}); err == nil { // what docker login has kept
		fetch.Credential = credentials.Credential(store)
	}
	scratch, done, err := openScratch()
	if err != nil {
		return nil, nil, err
	}
	bar := t.bar("fetch")
	fetch.Progress = bar.set
	p, err := install.Scratch(scratch).Stage(ctx, source, fetch)
	bar.end()
	if err != nil {
		done()
		return nil, nil, err
	}
	return p, done, nil
}

// byteBar is a progress bar, silent unless there is a terminal.
type byteBar struct {
	progress *mpb.Progress
	bar      *mpb.Bar
}

func (t terminal) bar(name string) *byteBar {
	p := mpb.New(mpb.WithOutput(t.err), mpb.WithWidth(40))
	return &byteBar{p, p.AddBar(0, mpb.PrependDecorators(decor.Name(name+" "), decor.CountersKibiByte("% .1f / % .1f")))}
}

func (b *byteBar) set(done, total int64) {
	b.bar.SetTotal(total, false)
	b.bar.SetCurrent(done)
}

func (b *byteBar) end() {
	b.bar.Abort(false)
	b.progress.Wait()
}

// consent asks a question, and gives an error unless the answer is yes.
func (t terminal) consent(in io.Reader, question string) error {
	fmt.Fprintf(t.err, "%s [y/N] ", question)
	line, err := bufio.NewReader(io.LimitReader(in, 4096)).ReadString('\n')
	switch answer := strings.ToLower(strings.TrimSpace(line)); {
	case answer == "y" || answer == "yes":
		return nil
	case err != nil && answer == "":
		fmt.Fprintln(t.err)
		return fmt.Errorf("that needs consent, and nobody answers; --yes gives it")
	}
	return fmt.Errorf("nothing was changed")
}

// showAsked says what is about to be installed and what it asks for.
func showAsked(w io.Writer, a install.Asked, current *pluginView, signatures string) {
	fmt.Fprintf(w, "%s %s", a.Name, a.Version)
	if a.Description != "" {
		fmt.Fprintf(w, ": %s", printable(shortened(a.Description, mostDescription)))
	}
	line := func(what, format string, args ...any) {
		fmt.Fprintf(w, "\n  %-12s %s", what, printable(fmt.Sprintf(format, args...)))
	}
	line("from", "%s", a.Source)
	line("digest", "%s, %.1f MiB unpacked", a.Digest, float64(a.Size)/(1<<20))
	switch {
	case a.SignedBy != "":
		line("signed by", "%s", a.SignedBy)
	case signatures != string(install.Off):
		line("signed by", "nobody who is known: it may be anybody's")
	}
	var granted *plugin.Permissions
	if current != nil {
		granted = current.Permissions
		if older(a.Version, current.Version) {
			line("replaces", "%s, which is newer", current.Version)
		} else {
			line("replaces", "%s", current.Version)
		}
		if by := value(current.SignedBy); by != "" && !install.SameSigner(by, a.SignedBy) {
			line("beware", "what it replaces is signed by %s, and this one by %s", by, cmp.Or(a.SignedBy, "nobody"))
		}
	}
	asks := func(what, format string, args ...any) { line(what, format, args...) }
	fmt.Fprintf(w, "\nasks for")
	none := true
	for _, p := range permissionsAsked(a.Permissions) {
		if granted != nil && !granted.Covers(p.alone) {
			p.text += " (new)"
		}
		asks(p.what, "%s", p.text)
		none = false
	}
	for _, c := range a.Credentials {
		text := c.Provider + ": " + strings.Join(c.Types, " or ")
		if len(c.Scopes) > 0 {
			text += ", scopes " + strings.Join(c.Scopes, " ")
		}
		asks("credentials", "%s", text)
		none = false
	}
	for _, s := range a.Settings {
		text := "PATCHBAY_PLUGIN_" + strings.ToUpper(a.Name+"_"+s.Name)
		if s.Required {
			text += " (required)"
		}
		if s.Description != "" {
			text += ": " + shortened(s.Description, mostDescription)
		}
		asks("setting", "%s", text)
		none = false
	}
	if a.Credentials == nil {
		asks("credentials", "its manifest does not say which")
	} else if none {
		fmt.Fprint(w, " nothing beyond what every plugin has")
	}
	fmt.Fprintln(w)
}

// permission is one of those that a plugin asks for.
type permission struct {
	what, text string
	alone      plugin.Permissions // nothing but this one
}

func permissionsAsked(p plugin.Permissions) (list []permission) {
	add := func(what, text string, alone plugin.Permissions) { list = append(list, permission{what, text, alone}) }
	if p.Network {
		add("network", "connections to public addresses, by the server's proxy", plugin.Permissions{Network: true})
	}
	for _, f := range p.Files {
		text := f.Path
		if f.LeadsTo != "" {
			text += ", which leads to " + f.LeadsTo
		}
		if f.Write {
			text += " (read and write)"
		} else {
			text += " (read)"
		}
		add("files", text, plugin.Permissions{Files: []plugin.FileAccess{f}})
	}
	for _, name := range p.Environment {
		add("environment", name, plugin.Permissions{Environment: []string{name}})
	}
	if p.Memory != 0 {
		add("memory", fmt.Sprintf("%d MiB", p.Memory), plugin.Permissions{Memory: p.Memory})
	}
	if p.Processes != 0 {
		add("processes", fmt.Sprint(p.Processes), plugin.Permissions{Processes: p.Processes})
	}
	return list
}

// newIn are the permissions that are asked for beyond what was granted, in words. Nil: nothing was.
func newIn(asked plugin.Permissions, granted *plugin.Permissions) (list []string) {
	for _, p := range permissionsAsked(asked) {
		if granted == nil || !granted.Covers(p.alone) {
			list = append(list, p.what+": "+printable(p.text))
		}
	}
	return list
}

// older says whether a version comes before another one, where both are semantic versions.
func older(version, than string) bool {
	a, b := "v"+version, "v"+than
	return semver.IsValid(a) && semver.IsValid(b) && semver.Compare(a, b) < 0
}
