package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/gofrs/flock"
	"github.com/hashicorp/go-hclog"

	"github.com/patchbay-io/patchbay/core/block"
	"github.com/patchbay-io/patchbay/core/config"
	"github.com/patchbay-io/patchbay/core/egress"
	"github.com/patchbay-io/patchbay/core/graph"
	"github.com/patchbay-io/patchbay/core/plugin"
	"github.com/patchbay-io/patchbay/core/plugin/install"
	"github.com/patchbay-io/patchbay/core/plugin/isolation"
	"github.com/patchbay-io/patchbay/core/postgres"
)

// maxPackage bounds in bytes what is fetched of a plugin.
const maxPackage = 1 << 30

// maxProxied bounds in bytes what a plugin with the network permission gets by one answer or connection, and what it sends.
const maxProxied = 1 << 30

// ownPlugins are the folders of plugins that belong to the server. What lies in the data folder was installed, and is
// started by its entry in plugins.lock alone.
func ownPlugins(s *config.Settings) []string {
	return slices.DeleteFunc(slices.Clone(s.PluginDirs), func(dir string) bool {
		path, err := filepath.Abs(dir)
		return err == nil && path == filepath.Join(s.DataDir, "plugins")
	})
}

// PluginsOf is how a host finds the plugins of a server on these settings, which may run meanwhile.
func PluginsOf(s *config.Settings, runtimeDir string) (plugin.Config, error) {
	store, err := install.Read(s.DataDir)
	if err != nil {
		return plugin.Config{}, err
	}
	return hosting(s, store, runtimeDir), nil
}

func hosting(s *config.Settings, store *install.Store, runtimeDir string) plugin.Config {
	store.Signatures = install.Policy(s.PluginSignatures)
	c := PluginHosting(s)
	c.Dirs, c.Disabled, c.Installed, c.Advice, c.RuntimeDir = ownPlugins(s), store.Disabled(), store.Enabled(), store.Advice, runtimeDir
	return c
}

// PluginHosting is how a server on these settings starts any plugin.
func PluginHosting(s *config.Settings) plugin.Config {
	return plugin.Config{
		UserIDs: isolation.Range(s.PluginUserIDs), Private: []string{s.DataDir},
		Proxy:    egress.NewProxy(egress.Config{Allowed: prefixes(s.AllowPrivateAddresses), MaxBody: maxProxied}),
		Settings: s.PluginSettings, Builtin: block.Structural(),
	}
}

// fetching is how packages of plugins are fetched.
func fetching(s *config.Settings, t *egress.Transport) (install.Fetch, error) {
	fetch, err := trusting(s)
	fetch.HTTP = t
	return fetch, err
}

// trusting is whose signatures of packages count.
func trusting(s *config.Settings) (install.Fetch, error) {
	fetch := install.Fetch{Signatures: install.Policy(s.PluginSignatures)}
	var err error
	if fetch.Keys, err = install.ReadKeys(s.PluginKeys); err != nil {
		return fetch, err
	}
	if fetch.Identities, err = install.ParseIdentities(s.PluginIdentities); err != nil {
		return fetch, err
	}
	if s.PluginTrustedRoot != "" {
		fetch.Root, err = install.ReadTrustedRoot(s.PluginTrustedRoot)
	}
	return fetch, err
}

// trustsNobody says that nothing that is installed could run; empty: something could.
func trustsNobody(s *config.Settings, trusted install.Fetch) string {
	if install.Policy(s.PluginSignatures) != install.Require || len(trusted.Keys)+len(trusted.Identities) > 0 {
		return ""
	}
	return "PATCHBAY_PLUGIN_SIGNATURES=require, and neither PATCHBAY_PLUGIN_KEYS nor PATCHBAY_PLUGIN_IDENTITIES names anybody: no plugin can be installed"
}

// strayAdvice says what to do about plugins without an entry.
const strayAdvice = "restore " + install.LockName + " from a backup, or install them again"

// openInstaller installs plugins for a server that runs.
func (s *Server) openInstaller(graphs *graph.Store) error {
	s.fetcher = egress.New(egress.Config{Allowed: prefixes(s.settings.AllowPrivateAddresses), MaxBody: maxPackage})
	fetch, err := fetching(s.settings, s.fetcher)
	if err != nil {
		return err
	}
	s.installer = install.New(install.Config{
		Store: s.installed, Host: s.plugins, Own: ownPlugins(s.settings), Fetch: fetch, Users: graphsUsing{graphs}, Logger: s.log.Named("plugin"),
	})
	return nil
}

// graphsUsing tells the installer of plugins who would miss one.
type graphsUsing struct{ graphs *graph.Store }

// UsersOf finds the graphs that use blocks.
func (g graphsUsing) UsersOf(ctx context.Context, blocks []string, limit int) ([]install.Use, int, error) {
	found, total, err := g.graphs.UsersOf(ctx, blocks, limit)
	uses := make([]install.Use, len(found))
	for i, use := range found {
		uses[i] = install.Use{GraphID: use.GraphID, UserID: use.UserID, Name: use.Name}
	}
	return uses, total, err
}

// WithInstaller gives what installs plugins in the data folder of a server that does not run. A running server's data
// folder is an *InUseError. Commands wait for each other.
func WithInstaller(ctx context.Context, s *config.Settings, log hclog.Logger, use func(*install.Service) error) (err error) {
	waiting := flock.New(filepath.Join(s.DataDir, "plugins", ".lock"), flock.SetPermissions(0o600))
	if err := os.MkdirAll(filepath.Dir(waiting.Path()), 0o755); err != nil {
		return fmt.Errorf("open the data folder: %w", err)
	}
	if _, err := waiting.TryLockContext(ctx, commandPause); err != nil {
		return fmt.Errorf("wait for another command about plugins: %w", err)
	}
	defer func() { _ = waiting.Close() }()
	data, err := openDataDir(ctx, s.DataDir, aCommand, log)
	if err != nil {
		return err
	}
	defer data.close()
	store, err := install.Open(s.DataDir)
	if err != nil {
		return err
	}
	// A host of its own starts once what is installed or enabled, to see whether it does.
	run, err := os.MkdirTemp("", "patchbay-plugins-")
	if err != nil {
		return fmt.Errorf("make a folder for plugins to run in: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(run)) }()
	c := hosting(s, store, filepath.Join(run, "run"))
	c.Asleep, c.Memory = true, store
	host, err := plugin.New(c)
	if err != nil {
		return err
	}
	defer host.Close()
	fetch, err := trusting(s)
	if err != nil {
		return err
	}
	service := install.New(install.Config{
		Store: store, Host: &lateHost{Host: host}, Offline: true, Own: ownPlugins(s), Logger: log,
		Fetch: fetch, Users: graphsOffline{s, data, log},
	})
	defer service.Close()
	return use(service)
}

// lateHost is a host that starts before the first plugin is loaded, to know what the others offer: most commands load none.
type lateHost struct {
	*plugin.Host
	started bool
}

// Load starts a plugin beside all the others.
func (h *lateHost) Load(ctx context.Context, i plugin.Installation, probation time.Duration) (<-chan struct{}, error) {
	if !h.started {
		if err := h.Start(ctx); err != nil {
			return nil, err
		}
		h.started = true
	}
	return h.Host.Load(ctx, i, probation)
}

// Unload takes a plugin away that runs.
func (h *lateHost) Unload(name string) (<-chan struct{}, bool) {
	if !h.started {
		return nil, false
	}
	return h.Host.Unload(name)
}

// Plugins are those that run.
func (h *lateHost) Plugins() []plugin.Status {
	if !h.started {
		return nil
	}
	return h.Host.Plugins()
}

const commandPause = 100 * time.Millisecond

// graphsOffline asks the database that the server would have.
type graphsOffline struct {
	settings *config.Settings
	data     *dataDir
	log      hclog.Logger
}

// UsersOf finds the graphs that use blocks. Where there is no database it is not known: that of a server on this folder may
// be one that its environment names, and not that of this command.
func (g graphsOffline) UsersOf(ctx context.Context, blocks []string, limit int) ([]install.Use, int, error) {
	dsn := g.settings.DatabaseURL
	if dsn == "" {
		if _, err := os.Stat(g.data.part("postgres")); errors.Is(err, fs.ErrNotExist) {
			return nil, 0, errors.New("there is no database in the data folder, and PATCHBAY_DATABASE_URL names none")
		}
		pg, err := postgres.Start(ctx, postgres.Config{Dir: g.data.part("postgres"), Logger: g.log.Named("postgres")})
		if err != nil {
			return nil, 0, err
		}
		defer pg.Stop()
		dsn = pg.DSN()
	}
	db, err := postgres.Open(dsn, 1)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = db.Close() }()
	return graphsUsing{graph.NewStore(db, nil)}.UsersOf(ctx, blocks, limit)
}

// PluginFetch is how a command of the operator's fetches a package: from the host that he names, wherever that is, and
// from wherever that sends it as the server would.
func PluginFetch(s *config.Settings) (fetch install.Fetch, done func(), err error) {
	guarded := egress.New(egress.Config{Allowed: prefixes(s.AllowPrivateAddresses), MaxBody: maxPackage})
	anywhere := egress.New(egress.Config{Allowed: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}, MaxBody: maxPackage})
	fetch, err = fetching(s, guarded)
	fetch.HTTP = &named{anywhere: anywhere, guarded: guarded}
	return fetch, func() { guarded.Close(); anywhere.Close() }, err
}

// named lets the first host through, which somebody has typed.
type named struct {
	anywhere, guarded http.RoundTripper
	mu                sync.Mutex
	host              string
}

// RoundTrip makes a request.
func (n *named) RoundTrip(r *http.Request) (*http.Response, error) {
	n.mu.Lock()
	n.host = cmp.Or(n.host, r.URL.Host)
	named := n.host == r.URL.Host
	n.mu.Unlock()
	if named {
		return n.anywhere.RoundTrip(r)
	}
	return n.guarded.RoundTrip(r)
}
