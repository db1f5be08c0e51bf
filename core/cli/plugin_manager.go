package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/patchbay-io/patchbay/core/config"
	"github.com/patchbay-io/patchbay/core/plugin"
	"github.com/patchbay-io/patchbay/core/plugin/install"
	"github.com/patchbay-io/patchbay/core/server"
)

// pluginView is a plugin as the API shows it.
type pluginView struct {
	Name        string              `json:"name"`
	Version     string              `json:"version"`
	Own         bool                `json:"is_own"`
	Enabled     bool                `json:"is_enabled"`
	State       string              `json:"state"`
	Error       *string             `json:"error"`
	Blocks      int                 `json:"blocks"`
	Restarts    int                 `json:"restarts"`
	Deaths      int                 `json:"deaths"`
	LastDeath   *plugin.Death       `json:"last_death"`
	Displaces   []string            `json:"displaces"`
	Source      *string             `json:"source"`
	Digest      *string             `json:"digest"`
	SignedBy    *string             `json:"signed_by"`
	Permissions *plugin.Permissions `json:"permissions"`
	Previous    *string             `json:"previous_version"`
	UsedBy      *pluginUse          `json:"used_by"`
}

type pluginUse struct {
	Total  int `json:"total"`
	Graphs []struct {
		ID   string `json:"id"`
		User string `json:"user_id"`
		Name string `json:"name"`
	} `json:"graphs"`
}

// fares says how it is.
func (v *pluginView) fares() string {
	text := v.State
	if plugin.State(v.State).Serves() {
		text = fmt.Sprintf("%s, %s", v.State, blocks(v.Blocks))
	}
	if v.Error != nil {
		text += ": " + printable(*v.Error)
	}
	return text
}

func blocks(n int) string {
	if n == 1 {
		return "1 block"
	}
	return fmt.Sprintf("%d blocks", n)
}

// installed says that it was, and how it is where a server runs.
func (v *pluginView) installed(w io.Writer) error {
	text := fmt.Sprintf("%s %s is installed", v.Name, v.Version)
	if v.State != string(install.Installed) {
		text += ": " + v.fares()
	} else {
		text += ", " + blocks(v.Blocks)
	}
	if len(v.Displaces) > 0 {
		text += "\nit brings blocks of plugins that are disabled and cannot be enabled beside it: " + strings.Join(v.Displaces, ", ")
	}
	_, err := fmt.Fprintln(w, text)
	return err
}

type pluginFlaw struct {
	Version string `json:"version"`
	File    string `json:"file"`
	Problem string `json:"problem"`
}

// pluginManager changes the plugins of a running server, or those in the data folder of one that does not run.
type pluginManager interface {
	list(ctx context.Context) ([]pluginView, error)
	get(ctx context.Context, name string) (*pluginView, error)
	order(ctx context.Context, p *install.Package, trust pluginTrust, source install.Source) (*pluginView, error)
	// change is one of enable, disable, restart and rollback.
	change(ctx context.Context, name, how string) (*pluginView, error)
	remove(ctx context.Context, name string) error
	verify(ctx context.Context, name string) ([]pluginFlaw, error)
}

// managePlugins finds out who manages the plugins: the server that is named, the one that runs on the data folder, or
// nobody, and then this program may.
func managePlugins(ctx context.Context, settings *config.Settings, to accountConnection, t terminal, use func(pluginManager) error) error {
	if to.Server == "" {
		err := server.WithInstaller(ctx, settings, quietLogger(t.err), func(s *install.Service) error { return use(localPlugins{s}) })
		if used, taken := errors.AsType[*server.InUseError](err); !taken || used.Command {
			return err
		}
	}
	c, err := to.open(settings)
	if err != nil {
		return err
	}
	c.http.Timeout = pluginTime
	return use(remotePlugins{c, t})
}

// pluginTime is how long a server may take to fetch and start a plugin.
const pluginTime = 15 * time.Minute

func isAbsent(err error) bool {
	if refused, ok := errors.AsType[*problem](err); ok {
		return refused.Status == http.StatusNotFound
	}
	_, ok := errors.AsType[*install.Absent](err)
	return ok
}

// remotePlugins are those of a running server.
type remotePlugins struct {
	*client
	t terminal
}

const pluginsPath = "/api/v2/admin/plugins"

func (r remotePlugins) list(ctx context.Context) (all []pluginView, err error) {
	for page := 1; ; page++ {
		var answer struct {
			Plugins    []pluginView `json:"plugins"`
			Pagination struct {
				Pages int `json:"total_pages"`
			} `json:"pagination"`
		}
		if err := r.call(ctx, http.MethodGet, fmt.Sprintf("%s?page=%d&page_size=100", pluginsPath, page), nil, &answer); err != nil {
			return nil, err
		}
		if all = append(all, answer.Plugins...); page >= answer.Pagination.Pages {
			return all, nil
		}
	}
}

func (r remotePlugins) one(ctx context.Context, method, name, how string) (*pluginView, error) {
	v := &pluginView{}
	if err := r.call(ctx, method, pluginsPath+"/"+url.PathEscape(name)+how, nil, v); err != nil {
		return nil, err
	}
	return v, nil
}

func (r remotePlugins) get(ctx context.Context, name string) (*pluginView, error) {
	return r.one(ctx, http.MethodGet, name, "")
}

func (r remotePlugins) change(ctx context.Context, name, how string) (*pluginView, error) {
	return r.one(ctx, http.MethodPost, name, "/"+how)
}

func (r remotePlugins) remove(ctx context.Context, name string) error {
	_, err := r.one(ctx, http.MethodDelete, name, "")
	return err
}

func (r remotePlugins) verify(ctx context.Context, name string) ([]pluginFlaw, error) {
	var answer struct {
		Flaws []pluginFlaw `json:"flaws"`
	}
	err := r.call(ctx, http.MethodPost, pluginsPath+"/"+url.PathEscape(name)+"/verify", nil, &answer)
	return answer.Flaws, err
}

// order uploads the archive. What only the registry can prove, the server asks it for itself.
func (r remotePlugins) order(ctx context.Context, p *install.Package, trust pluginTrust, source install.Source) (*pluginView, error) {
	v := &pluginView{}
	if p.SignedBy != "" && p.Signature() == "" {
		if trust.demands() {
			return nil, errors.New("its signature lies in the registry, which the running server asks by itself: " +
				"name who signs in its PATCHBAY_PLUGIN_KEYS or PATCHBAY_PLUGIN_IDENTITIES, and leave out --key and --identity")
		}
		body, err := json.Marshal(map[string]any{"source": source.String(), "digest": p.Digest, "consent": true})
		if err != nil {
			return nil, err
		}
		return v, r.call(ctx, http.MethodPost, pluginsPath, body, v)
	}
	form, contentType, size, err := uploadForm(p, trust, source)
	if err != nil {
		return nil, err
	}
	defer func() { _ = form.Close() }()
	bar := r.t.bar("hand over")
	defer bar.end()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.base.String()+pluginsPath+"/upload?consent=true&digest="+p.Digest,
		io.TeeReader(form, &meter{bar: bar, total: size}))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+r.token)
	request.Header.Set("Content-Type", contentType)
	return v, r.send(request, v)
}

// meter shows what passes.
type meter struct {
	bar         *byteBar
	done, total int64
}

func (m *meter) Write(b []byte) (int, error) {
	m.done += int64(len(b))
	m.bar.set(m.done, m.total)
	return len(b), nil
}

// uploadForm is read as it is sent.
func uploadForm(p *install.Package, trust pluginTrust, source install.Source) (_ io.ReadCloser, contentType string, size int64, err error) {
	archive, err := os.Open(p.Archive())
	if err != nil {
		return nil, "", 0, err
	}
	info, err := archive.Stat()
	var keys []byte
	for _, name := range trust.Key {
		raw, failed := os.ReadFile(name)
		keys, err = append(append(keys, raw...), '\n'), errors.Join(err, failed)
	}
	if err != nil {
		return nil, "", 0, errors.Join(err, archive.Close())
	}
	var head bytes.Buffer
	w := multipart.NewWriter(&head)
	for _, part := range [][2]string{{"signature", p.Signature()}, {"key", string(keys)}, {"identity", strings.Join(trust.Identity, "\n")}, {"source", source.String()}} {
		if strings.TrimSpace(part[1]) != "" {
			_ = w.WriteField(part[0], part[1]) // into memory
		}
	}
	_, _ = w.CreateFormFile("file", p.Name+".tar.gz")
	start := head.Len()
	_ = w.Close()
	tail := bytes.Clone(head.Bytes()[start:])
	head.Truncate(start)
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(&head, archive, bytes.NewReader(tail)), archive}, w.FormDataContentType(), info.Size(), nil
}

// localPlugins are those of a server that does not run.
type localPlugins struct{ service *install.Service }

func (l localPlugins) list(context.Context) (all []pluginView, err error) {
	for _, p := range l.service.List() {
		all = append(all, *viewOf(&p))
	}
	return all, nil
}

func (l localPlugins) get(ctx context.Context, name string) (*pluginView, error) {
	p, err := l.service.Plugin(name)
	if err != nil {
		return nil, err
	}
	v := viewOf(p)
	uses, total, err := l.service.UsedBy(ctx, name)
	if err != nil {
		return v, nil // who uses it is told where it can be
	}
	v.UsedBy = &pluginUse{Total: total}
	for _, use := range uses {
		v.UsedBy.Graphs = append(v.UsedBy.Graphs, struct {
			ID   string `json:"id"`
			User string `json:"user_id"`
			Name string `json:"name"`
		}{use.GraphID, use.UserID, use.Name})
	}
	return v, nil
}

func (l localPlugins) order(ctx context.Context, p *install.Package, _ pluginTrust, source install.Source) (*pluginView, error) {
	archive, err := os.Open(p.Archive())
	if err != nil {
		return nil, err
	}
	defer func() { _ = archive.Close() }()
	fetch := l.service.Fetch
	fetch.Digest, fetch.Verified = p.Digest, p.SignedBy // here a moment ago, by this program
	staged, err := l.service.Stage(ctx, install.Upload(source.String(), archive, p.Signature()), fetch)
	if err != nil {
		return nil, err
	}
	installed, err := l.service.Install(ctx, staged, true)
	if err != nil {
		return nil, err
	}
	return viewOf(installed), nil
}

func (l localPlugins) change(ctx context.Context, name, how string) (*pluginView, error) {
	does := map[string]func(context.Context, string) (*install.Plugin, error){
		"enable": l.service.Enable, "disable": l.service.Disable, "restart": l.service.Restart, "rollback": l.service.Rollback,
	}[how]
	p, err := does(ctx, name)
	if err != nil {
		return nil, err
	}
	return viewOf(p), nil
}

func (l localPlugins) remove(ctx context.Context, name string) error {
	return l.service.Remove(ctx, name)
}

func (l localPlugins) verify(ctx context.Context, name string) (all []pluginFlaw, err error) {
	flaws, err := l.service.Verify(ctx, name)
	for _, flaw := range flaws {
		all = append(all, pluginFlaw(flaw))
	}
	return all, err
}

func viewOf(p *install.Plugin) *pluginView {
	v := &pluginView{
		Name: p.Name, Version: p.Version, Own: p.Own, Enabled: p.Enabled, State: string(p.State), Blocks: len(p.Blocks), Displaces: append([]string{}, p.Displaces...),
	}
	set := func(to **string, text string) {
		if text != "" {
			*to = &text
		}
	}
	set(&v.Error, p.Error)
	if e := p.Entry; e != nil {
		v.Permissions = &e.Permissions
		set(&v.Source, e.Source)
		set(&v.Digest, e.Digest)
		set(&v.SignedBy, e.SignedBy)
		if e.Previous != nil {
			set(&v.Previous, e.Previous.Version)
		}
	}
	return v
}
