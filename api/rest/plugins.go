package rest

import (
	"cmp"
	"context"
	"errors"
	"io"
	"mime/multipart"
	"slices"

	"github.com/patchbay-io/patchbay/api/problem"
	"github.com/patchbay-io/patchbay/core/plugin/install"
)

// Plugins installs plugins on this server, and changes them.
type Plugins interface {
	List() []install.Plugin
	Plugin(name string) (*install.Plugin, error)
	Order(ctx context.Context, o install.Order) (*install.Plugin, error)
	Enable(ctx context.Context, name string) (*install.Plugin, error)
	Disable(ctx context.Context, name string) (*install.Plugin, error)
	Restart(ctx context.Context, name string) (*install.Plugin, error)
	Rollback(ctx context.Context, name string) (*install.Plugin, error)
	Remove(ctx context.Context, name string) error
	Verify(ctx context.Context, name string) ([]install.Flaw, error)
	// UsedBy finds the agents that use a plugin's blocks: some of them, and how many there are.
	UsedBy(ctx context.Context, name string) ([]install.Use, int, error)
}

// ListPlugins is GET /api/v2/admin/plugins.
func (s *server) ListPlugins(_ context.Context, r ListPluginsRequestObject) (ListPluginsResponseObject, error) {
	p := pageOf(r.Params.Page, r.Params.PageSize)
	all := s.plugins.List()
	list := []Plugin{}
	for _, one := range cut(all, p) {
		list = append(list, pluginOf(&one))
	}
	return ListPlugins200JSONResponse{Plugins: list, Pagination: p.of(len(all))}, nil
}

// GetPlugin is GET /api/v2/admin/plugins/{plugin}.
func (s *server) GetPlugin(ctx context.Context, r GetPluginRequestObject) (GetPluginResponseObject, error) {
	p, err := s.plugins.Plugin(r.Plugin)
	answer, err := s.used(ctx, p, err)
	return GetPlugin200JSONResponse(answer), err
}

// InstallPlugin is POST /api/v2/admin/plugins.
func (s *server) InstallPlugin(ctx context.Context, r InstallPluginRequestObject) (InstallPluginResponseObject, error) {
	p, err := s.order(ctx, install.Order{
		Source: r.Body.Source, Signature: value(r.Body.Signature), Digest: value(r.Body.Digest), Consent: value(r.Body.Consent),
	})
	return InstallPlugin201JSONResponse(p), err
}

// UpgradePlugin is POST /api/v2/admin/plugins/{plugin}/upgrade.
func (s *server) UpgradePlugin(ctx context.Context, r UpgradePluginRequestObject) (UpgradePluginResponseObject, error) {
	o := install.Order{Plugin: r.Plugin}
	if b := r.Body; b != nil {
		o.Source, o.Signature, o.Digest, o.Consent = value(b.Source), value(b.Signature), value(b.Digest), value(b.Consent)
	}
	p, err := s.order(ctx, o)
	return UpgradePlugin200JSONResponse(p), err
}

func (s *server) order(ctx context.Context, o install.Order) (Plugin, error) {
	p, err := s.plugins.Order(ctx, o)
	if err != nil {
		return Plugin{}, err
	}
	audited(ctx, p.Name)
	return pluginOf(p), nil
}

// UploadPlugin is POST /api/v2/admin/plugins/upload.
func (s *server) UploadPlugin(ctx context.Context, r UploadPluginRequestObject) (UploadPluginResponseObject, error) {
	o := install.Order{Digest: value(r.Params.Digest), Consent: value(r.Params.Consent)}
	form := &pluginForm{Reader: r.Body, texts: map[string]*string{
		"signature": &o.Signature, "key": &o.Key, "identity": &o.Identity, "source": &o.Source,
	}}
	var err error
	if o.Archive, err = form.archive(); err != nil {
		return nil, err
	}
	p, err := s.order(ctx, o)
	return UploadPlugin201JSONResponse(p), err
}

// pluginForm is a form with the archive of a plugin, and before that what is demanded of it. Nothing in it is passed over: a
// demand that was meant is not to be dropped.
type pluginForm struct {
	*multipart.Reader
	texts map[string]*string // by the name of their part
	given []string
}

// maxPluginText bounds in bytes the parts of a form that are not the archive.
const maxPluginText = 1 << 20

// archive reads the texts before the archive, and gives that. Its end comes when the form has ended too.
func (f *pluginForm) archive() (io.Reader, error) {
	for {
		part, err := f.next()
		switch {
		case errors.Is(err, io.EOF):
			return nil, problem.Field("file", "the form has no part of this name")
		case err != nil:
			return nil, err
		case part.FormName() == archivePart:
			return io.MultiReader(readable{part}, pluginFormEnd{f}), nil
		}
		raw, err := io.ReadAll(io.LimitReader(readable{part}, maxPluginText+1))
		switch {
		case err != nil:
			return nil, err
		case len(raw) > maxPluginText:
			return nil, problem.Field(part.FormName(), "is too long")
		}
		*f.texts[part.FormName()] = string(raw)
	}
}

const archivePart = "file"

// next is the next part that may be there; io.EOF: there is none.
func (f *pluginForm) next() (*multipart.Part, error) {
	part, err := f.NextRawPart()
	if errors.Is(err, io.EOF) {
		return nil, io.EOF
	}
	if err != nil {
		return nil, problem.Field("body", "the form cannot be read")
	}
	name := part.FormName()
	switch _, known := f.texts[name]; {
	case !known && name != archivePart:
		return nil, problem.Field(cmp.Or(name, "body"), "the form may have the parts signature, key, identity and source, and then file, and no part of this name")
	case slices.Contains(f.given, name):
		return nil, problem.Field(name, "the form has this part twice")
	case slices.Contains(f.given, archivePart):
		return nil, problem.Field(name, "this part must come before the file")
	}
	f.given = append(f.given, name)
	return part, nil
}

// pluginFormEnd is nothing, and refuses what follows the archive.
type pluginFormEnd struct{ form *pluginForm }

func (e pluginFormEnd) Read([]byte) (int, error) {
	_, err := e.form.next()
	return 0, err
}

// EnablePlugin is POST /api/v2/admin/plugins/{plugin}/enable.
func (s *server) EnablePlugin(ctx context.Context, r EnablePluginRequestObject) (EnablePluginResponseObject, error) {
	p, err := s.plugins.Enable(ctx, r.Plugin)
	answer, err := s.used(ctx, p, err)
	return EnablePlugin200JSONResponse(answer), err
}

// DisablePlugin is POST /api/v2/admin/plugins/{plugin}/disable.
func (s *server) DisablePlugin(ctx context.Context, r DisablePluginRequestObject) (DisablePluginResponseObject, error) {
	p, err := s.plugins.Disable(ctx, r.Plugin)
	answer, err := s.used(ctx, p, err)
	return DisablePlugin200JSONResponse(answer), err
}

// RestartPlugin is POST /api/v2/admin/plugins/{plugin}/restart.
func (s *server) RestartPlugin(ctx context.Context, r RestartPluginRequestObject) (RestartPluginResponseObject, error) {
	p, err := s.plugins.Restart(ctx, r.Plugin)
	answer, err := s.used(ctx, p, err)
	return RestartPlugin200JSONResponse(answer), err
}

// RollbackPlugin is POST /api/v2/admin/plugins/{plugin}/rollback.
func (s *server) RollbackPlugin(ctx context.Context, r RollbackPluginRequestObject) (RollbackPluginResponseObject, error) {
	p, err := s.plugins.Rollback(ctx, r.Plugin)
	answer, err := s.used(ctx, p, err)
	return RollbackPlugin200JSONResponse(answer), err
}

// RemovePlugin is DELETE /api/v2/admin/plugins/{plugin}.
func (s *server) RemovePlugin(ctx context.Context, r RemovePluginRequestObject) (RemovePluginResponseObject, error) {
	p, err := s.plugins.Plugin(r.Plugin)
	answer, err := s.used(ctx, p, err)
	if err != nil {
		return nil, err
	}
	return RemovePlugin200JSONResponse(answer), s.plugins.Remove(ctx, r.Plugin)
}

// VerifyPlugin is POST /api/v2/admin/plugins/{plugin}/verify.
func (s *server) VerifyPlugin(ctx context.Context, r VerifyPluginRequestObject) (VerifyPluginResponseObject, error) {
	flaws, err := s.plugins.Verify(ctx, r.Plugin)
	if err != nil {
		return nil, err
	}
	answer := VerifyPlugin200JSONResponse{IsIntact: len(flaws) == 0}
	answer.Flaws = slices.Grow(answer.Flaws, len(flaws)+1)[:len(flaws)] // never nil
	for i, flaw := range flaws {
		answer.Flaws[i].Version, answer.Flaws[i].File, answer.Flaws[i].Problem = flaw.Version, flaw.File, PluginVerificationFlawsProblem(flaw.Problem)
	}
	return answer, nil
}

// used is a plugin with the agents that use it.
func (s *server) used(ctx context.Context, p *install.Plugin, err error) (Plugin, error) {
	if err != nil {
		return Plugin{}, err
	}
	uses, total, err := s.plugins.UsedBy(ctx, p.Name)
	if err != nil {
		return Plugin{}, err
	}
	answer := pluginOf(p)
	answer.UsedBy = &PluginUse{Total: total}
	answer.UsedBy.Graphs = slices.Grow(answer.UsedBy.Graphs, len(uses)+1)[:len(uses)]
	for i, use := range uses {
		g := &answer.UsedBy.Graphs[i]
		g.Id, g.UserId, g.Name = use.GraphID, use.UserID, use.Name
	}
	return answer, nil
}

func pluginOf(p *install.Plugin) Plugin {
	answer := Plugin{
		Name: p.Name, Version: p.Version, Description: p.Description, IsOwn: p.Own, IsEnabled: p.Enabled,
		State: PluginState(p.State), Error: unlessEmpty(p.Error), Blocks: len(p.Blocks), Restarts: p.Restarts, Deaths: p.Deaths, Displaces: append([]string{}, p.Displaces...),
	}
	if p.LastDeath != nil {
		answer.LastDeath = &PluginDeath{At: p.LastDeath.At.UTC(), Cause: p.LastDeath.Cause}
	}
	e := p.Entry
	if e == nil {
		return answer
	}
	answer.Source, answer.Digest, answer.SignedBy, answer.InstalledAt = unlessEmpty(e.Source), unlessEmpty(e.Digest), unlessEmpty(e.SignedBy), &e.InstalledAt
	if e.Previous != nil {
		answer.PreviousVersion = &e.Previous.Version
	}
	granted := &PluginPermissions{
		Network: e.Permissions.Network, Environment: append([]string{}, e.Permissions.Environment...),
		Memory: e.Permissions.Memory, Processes: e.Permissions.Processes,
	}
	granted.Files = slices.Grow(granted.Files, len(e.Permissions.Files)+1)[:len(e.Permissions.Files)]
	for i, f := range e.Permissions.Files {
		granted.Files[i].Path, granted.Files[i].Write, granted.Files[i].LeadsTo = f.Path, f.Write, unlessEmpty(f.LeadsTo)
	}
	answer.Permissions = granted
	return answer
}
