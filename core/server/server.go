// Package server puts the parts together: it knows every other package so that they need not know each other, starts
// them in order and stops them in the opposite one. Nothing is decided here that another package could decide.
package server

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime/debug"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/go-hclog"
	"github.com/uptrace/bun"

	"github.com/patchbay-io/patchbay/api"
	"github.com/patchbay-io/patchbay/api/auth"
	"github.com/patchbay-io/patchbay/api/rest"
	"github.com/patchbay-io/patchbay/api/ws"
	"github.com/patchbay-io/patchbay/core/account"
	"github.com/patchbay-io/patchbay/core/config"
	"github.com/patchbay-io/patchbay/core/credential"
	"github.com/patchbay-io/patchbay/core/egress"
	"github.com/patchbay-io/patchbay/core/event"
	"github.com/patchbay-io/patchbay/core/exclusive"
	"github.com/patchbay-io/patchbay/core/execution"
	"github.com/patchbay-io/patchbay/core/file"
	"github.com/patchbay-io/patchbay/core/graph"
	"github.com/patchbay-io/patchbay/core/hostservice"
	"github.com/patchbay-io/patchbay/core/library"
	"github.com/patchbay-io/patchbay/core/limit"
	"github.com/patchbay-io/patchbay/core/oauth"
	"github.com/patchbay-io/patchbay/core/plugin"
	"github.com/patchbay-io/patchbay/core/plugin/install"
	"github.com/patchbay-io/patchbay/core/postgres"
	"github.com/patchbay-io/patchbay/core/server/collector"
	"github.com/patchbay-io/patchbay/core/store"
)

// Bounds of stopping, beside the grace period that is a setting.
const (
	requestLimit = 5 * time.Second // for requests that are being answered
	socketLimit  = 3 * time.Second // for WebSockets to say goodbye
)

// maxAnswer bounds in bytes what an agent gets by one HTTP request: as much as a file may have.
const maxAnswer = 100 << 20

// Server is a running server.
type Server struct {
	settings  *config.Settings
	log       hclog.Logger
	data      *dataDir
	front     *front
	health    *health
	metrics   *metrics
	postgres  *postgres.Server // nil with a database of the user's
	db        *bun.DB
	files     *file.Store
	egress    *egress.Transport
	installed *install.Store
	plugins   *plugin.Host
	fetcher   *egress.Transport
	installer *install.Service
	execution *execution.Service
	bus       *event.Bus // nil with a database of our own, where nobody else is
	accounts  *account.Service
	vault     *credential.Vault
	oauth     *oauth.Service
	logins    *account.Logins // nil without accounts of our own
	limiter   *limit.Limiter
	auth      *auth.Authenticator
	store     *store.Service
	library   *library.Service
	api       *api.API
	generated bool // the secret was made, not set
}

// Start starts a server; it is ready when Start returns. What had begun is stopped when something fails.
func Start(ctx context.Context, settings *config.Settings, log hclog.Logger) (*Server, error) {
	collector.Tune()
	s := &Server{settings: settings, log: log, health: newHealth(), metrics: newMetrics()}
	if err := s.start(ctx); err != nil {
		s.Stop(ctx)
		return nil, err
	}
	return s, nil
}

func (s *Server) start(ctx context.Context) error {
	trusted, err := trusting(s.settings)
	if err != nil { // before Postgres starts for nothing
		return err
	}
	if warning := trustsNobody(s.settings, trusted); warning != "" {
		s.log.Warn(warning)
	}
	if s.data, err = openDataDir(ctx, s.settings.DataDir, aServer, s.log); err != nil {
		return err
	}
	if s.front, err = openFront(s.settings); err != nil {
		return err
	}
	s.front.serve(s.health, s.metrics, s.log)
	if err := writeFile(s.data.part("server", addressFile), s.RESTAddress()); err != nil {
		return fmt.Errorf("keep the address: %w", err)
	}
	secret, err := s.secret()
	if err != nil {
		return err
	}
	id, err := s.data.serverID()
	if err != nil {
		return err
	}
	if err := s.openDatabase(ctx); err != nil {
		return err
	}
	if err := s.startAccounts(secret); err != nil {
		return err
	}
	if s.vault, err = openVault(ctx, s.settings, s.db, s.log); err != nil {
		return err
	}
	s.files = file.NewStore(s.db, file.DefaultLimits, s.log.Named("file"))
	s.files.Start()
	s.egress = egress.New(egress.Config{Allowed: prefixes(s.settings.AllowPrivateAddresses), MaxBody: maxAnswer})
	if err := s.startPlugins(ctx); err != nil {
		return err
	}
	graphs, err := s.startExecutions(ctx, id)
	if err != nil {
		return err
	}
	if !s.settings.Role.API {
		s.front.refuse("this server runs executions and serves no API; ask one that has the role api")
	} else if err := s.openAPI(ctx, id, graphs); err != nil {
		return err
	}
	ready := healthState{db: s.db, plugins: s.plugins.Plugins}
	if s.bus != nil {
		ready.bus = s.bus.Problem
	}
	s.health.set(ready)
	debug.FreeOSMemory() // reading the document and the blocks has left much that is needed no more
	return nil
}

// secret is what tokens are signed with.
func (s *Server) secret() (string, error) {
	if s.settings.JWTSecret != "" {
		return s.settings.JWTSecret, nil
	}
	s.generated = true
	return s.data.jwtSecret()
}

func (s *Server) startAccounts(secret string) error {
	s.accounts = account.New(s.db, string(s.settings.Timezone), s.log.Named("account"))
	var err error
	if s.settings.LocalAccounts {
		signer := account.Signer{Secret: []byte(secret), Audience: s.settings.JWTAudience}
		if s.logins, err = account.NewLogins(s.accounts, signer); err != nil {
			return err
		}
	}
	s.auth, err = auth.New(auth.Config{
		Secret: []byte(secret), Audience: s.settings.JWTAudience, JWKSURL: s.settings.JWKSURL, Issuer: s.settings.JWTIssuer,
		Admins: s.settings.AdminUsers, Accounts: s.accounts, Logger: s.log.Named("auth"),
	})
	return err
}

func (s *Server) openDatabase(ctx context.Context) error {
	dsn, direct := s.settings.DatabaseURL, s.settings.DatabaseDirectURL
	if dsn == "" {
		started := time.Now()
		s.log.Info("starting Postgres", "folder", s.data.part("postgres"))
		var err error
		s.postgres, err = postgres.Start(ctx, postgres.Config{Dir: s.data.part("postgres"), Logger: s.log.Named("postgres")})
		if err != nil {
			return err
		}
		s.log.Info("Postgres runs", "version", s.postgres.Major(), "pid", s.postgres.PID(), "took", time.Since(started).Round(time.Millisecond))
		dsn, direct = s.postgres.DSN(), s.postgres.DSN()
	}
	var err error
	if s.db, err = postgres.Open(dsn, connections(int(s.settings.ExecutionConcurrency))); err != nil {
		return err
	}
	s.metrics.watchDatabase(s.db.DB)
	if err := postgres.Check(ctx, s.db); err != nil {
		return err
	}
	applied, err := postgres.MigrateUp(ctx, direct)
	if err != nil {
		return err
	}
	if applied > 0 {
		s.log.Info("migrated the database", "migrations", applied)
	}
	return nil
}

// connections is the size of the pool. Executions share a writer, so that more of them need few more connections.
func connections(concurrency int) int { return min(64, 16+concurrency/8) }

func (s *Server) startPlugins(ctx context.Context) error {
	var err error
	if s.installed, err = install.Open(s.settings.DataDir); err != nil {
		return err
	}
	if strays := s.installed.Strays(); len(strays) > 0 {
		s.log.Warn("plugins lie in the data folder and are not written down in "+install.LockName+": they are not started", "plugins", strays, "advice", strayAdvice)
	}
	c := hosting(s.settings, s.installed, s.data.part("run"))
	c.Logger, c.Memory = s.log, s.installed
	s.plugins, err = plugin.New(c)
	if err != nil {
		return err
	}
	s.metrics.watchPlugins(s.plugins.Plugins)
	started := time.Now()
	if err := s.plugins.Start(ctx); err != nil {
		return err
	}
	names := []string{}
	for _, p := range s.plugins.Plugins() {
		if p.State.Serves() {
			names = append(names, p.Name)
			continue
		}
		s.log.Error("plugin does not run", "plugin", p.Name, "path", p.Path, "state", p.State, "error", p.Error)
	}
	s.log.Info("plugins serve", "plugins", names, "blocks", len(s.plugins.Blocks()), "took", time.Since(started).Round(time.Millisecond))
	if len(names) == 0 {
		s.log.Warn("no plugin runs; only the blocks of the core itself are there", "folders", s.settings.PluginDirs)
	}
	return nil
}

func (s *Server) startExecutions(ctx context.Context, id uuid.UUID) (*graph.Service, error) {
	shared := &sharing{}
	stored := graph.NewStore(s.db, followers{})
	if err := s.openInstaller(stored); err != nil {
		return nil, err
	}
	graphs := graph.NewService(stored, s.plugins, shared)
	graphs.CheckWith(s.vault)
	uses, err := exclusive.New(ctx, s.db, id, s.log)
	if err != nil {
		return nil, err
	}
	services := hostservice.New(hostservice.Config{DB: s.db, Files: s.files, HTTP: s.egress, Uses: uses, Logger: s.log})
	s.oauth, err = oauth.New(ctx, oauth.Config{
		DB: s.db, Vault: s.vault, Providers: s.plugins, Services: services, BaseURL: s.baseURL(), Uses: uses, ServerID: id, Logger: s.log,
	})
	if err != nil {
		return nil, err
	}
	s.vault.RevokeWith(s.oauth)
	s.store, err = store.New(ctx, store.Config{
		DB: s.db, Logger: s.log, Graphs: graphs, Runs: execution.ByOthers{DB: s.db}, Follower: library.Follower{},
		AutoApprove: s.settings.StoreAutoApprove,
	})
	if err != nil {
		return nil, err
	}
	c := execution.Config{
		DB: s.db, ServerID: id, Blocks: s.plugins, Graphs: graphs, Runner: s.plugins, Credentials: freshCredentials{s.vault, s.oauth}, Alone: s.oauth.Alone, Services: services, Logger: s.log,
		Concurrency: int(s.settings.ExecutionConcurrency), UserConcurrency: int(s.settings.ExecutionsPerUser), GraphConcurrency: int(s.settings.ExecutionsPerGraph), Timeout: time.Duration(s.settings.ExecutionTimeout),
		Queue: int(s.settings.ExecutionQueue), UserQueue: int(s.settings.ExecutionQueuePerUser), Timezones: s.accounts, Retention: int(s.settings.Retention), Elsewhere: !s.settings.Role.Worker,
	}
	if s.postgres == nil {
		s.bus, err = event.Open(ctx, event.Config{
			DB: s.db, Direct: s.settings.DatabaseDirectURL, NATS: s.settings.NATSURL, Server: id, Logger: s.log.Named("event"),
		})
		if err != nil {
			return nil, err
		}
		c.Bus = s.bus
	} else if s.settings.NATSURL != "" {
		s.log.Warn("NATS is not used: this server has a database of its own, which other servers cannot share")
	}
	if s.postgres != nil && !(s.settings.Role.API && s.settings.Role.Worker) {
		s.log.Warn("this server has a database of its own, which the servers with the other role cannot share; PATCHBAY_DATABASE_URL is for one that they can")
	}
	if s.execution, err = execution.New(c); err != nil {
		return nil, err
	}
	s.metrics.watchExecutions(s.execution.Load)
	s.library = library.New(library.Config{DB: s.db, Graphs: graphs, Executions: s.execution, Published: s.store.Published})
	shared.store, shared.library = s.store, s.library
	if err := s.execution.Start(ctx); err != nil {
		s.execution = nil // there is nothing to close
		return nil, err
	}
	if s.bus != nil {
		s.bus.Start(ctx, event.Handlers{
			Changed: s.execution.Woken, Stop: s.execution.StopWanted, Work: s.execution.WorkWaits,
			Watched: s.execution.Watched, Awaited: s.execution.Awaited, Asked: s.execution.Asked, Progress: s.execution.ProgressElsewhere,
		})
	}
	return graphs, nil
}

func (s *Server) openAPI(ctx context.Context, id uuid.UUID, graphs *graph.Service) error {
	s.limiter = limit.Start(ctx, s.db, id, s.log.Named("limit"))
	c := api.Config{
		Limiter: s.limiter, Limits: rest.Limits{
			General: int(s.settings.RateLimitGeneral), Execution: int(s.settings.RateLimitExecution),
			External: int(s.settings.RateLimitExternal), Anonymous: int(s.settings.RateLimitAnonymous),
		},
		Logger: s.log.Named("api"), Audit: s.audit(), Authenticator: s.auth,
		Library: s.library,
		Graphs:  graphs, Blocks: s.plugins, Executions: s.execution, Files: s.files, Users: s.accounts, Keys: s.accounts, Integrations: s.vault, Connections: s.oauth, BaseURL: s.baseURL(), Store: s.store, StorePublic: s.settings.StorePublic, Plugins: s.installer,
		Away: postgres.Away, Proxies: prefixes(s.settings.TrustedProxies),
		MaxBody: int64(s.settings.MaxBody), Origins: s.settings.CORSOrigins,
		Subscribe: func(ctx context.Context, user, id string, after int64) (ws.Subscription, error) {
			sub, err := s.execution.Subscribe(ctx, user, id, after)
			if err != nil {
				return nil, err // a nil *Subscription would be no nil interface
			}
			return sub, nil
		},
	}
	if s.logins != nil {
		c.Logins = s.logins // a nil *Logins would be no nil interface
	}
	var err error
	if s.api, err = api.New(c); err != nil {
		return err
	}
	s.accounts.WhenChanged(s.api.Recheck)
	s.front.open(s.api)
	return nil
}

// audit is the log of what changes rights. It is written whatever the level of the others is, unless nothing is.
func (s *Server) audit() hclog.Logger {
	log := s.log.Named("audit")
	if s.log.GetLevel() != hclog.Off {
		log.SetLevel(hclog.Info)
	}
	return log
}

func prefixes(networks []config.Network) []netip.Prefix {
	all := make([]netip.Prefix, len(networks))
	for i, network := range networks {
		all[i] = network.Prefix
	}
	return all
}

// baseURL is where browsers and providers find the API.
func (s *Server) baseURL() string {
	if s.settings.BaseURL != "" {
		return s.settings.BaseURL
	}
	return "http://" + s.RESTAddress()
}

// RESTAddress is where the REST API is found from this machine, WSAddress where the WebSocket is.
func (s *Server) RESTAddress() string {
	return config.Address(s.front.rest.Addr().String()).Reachable()
}

// WSAddress is where the WebSocket is found from this machine.
func (s *Server) WSAddress() string { return config.Address(s.front.ws.Addr().String()).Reachable() }

// ExposesGeneratedSecret says whether other machines reach a server whose secret nobody chose.
func (s *Server) ExposesGeneratedSecret() bool {
	return s.generated && (!s.settings.Addr.Loopback() || !s.settings.WSAddr.Loopback())
}

// LacksAdmin says whether the server has accounts of its own and no administrator among them.
func (s *Server) LacksAdmin(ctx context.Context) (bool, error) {
	if s.logins == nil {
		return false, nil
	}
	there, err := s.logins.HasAdmin(ctx)
	return !there, err
}

// Failed gives an error when the server can no longer serve.
func (s *Server) Failed() <-chan error { return s.front.failed }

// Stop says that the server ends, lets balancers notice, takes no more work, lets running node executions end for the grace period, hands the rest back, and stops
// everything. The end of ctx ends the grace period.
func (s *Server) Stop(ctx context.Context) {
	s.health.stopping()
	if s.api != nil {
		select {
		case <-time.After(time.Duration(s.settings.ShutdownDelay)):
		case <-ctx.Done():
		}
	}
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		if s.front != nil {
			// Requests that are being answered need the database: it goes after them.
			limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.settings.Grace()+requestLimit)
			defer cancel()
			s.front.close(limited)
		}
	}()
	if s.execution != nil {
		grace, cancel := context.WithTimeout(ctx, s.settings.Grace())
		if err := s.execution.Close(grace); err != nil {
			s.log.Warn("executions could not be handed back; the next start takes them up", "error", err)
		}
		cancel()
	}
	if s.api != nil {
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), socketLimit)
		if err := s.api.Shutdown(limited); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			s.log.Warn("close the API", "error", err)
		}
		cancel()
	}
	<-closed
	if s.bus != nil {
		s.bus.Close()
	}
	if s.limiter != nil {
		s.limiter.Close()
	}
	if s.auth != nil {
		s.auth.Close()
	}
	if s.accounts != nil {
		s.accounts.Close()
	}
	if s.oauth != nil {
		s.oauth.Close()
	}
	if s.vault != nil {
		s.vault.Close()
	}
	if s.files != nil {
		s.files.Close()
	}
	if s.installer != nil {
		s.installer.Close()
		s.fetcher.Close()
	}
	if s.plugins != nil {
		s.plugins.Close()
	}
	if s.egress != nil {
		s.egress.Close()
	}
	if s.db != nil {
		if err := s.db.Close(); err != nil {
			s.log.Warn("close database", "error", err)
		}
	}
	if s.postgres != nil {
		s.postgres.Stop()
	}
	if s.data != nil {
		_ = os.Remove(s.data.part("server", addressFile)) // stale, it would only mislead for a moment
		s.data.close()
	}
}
