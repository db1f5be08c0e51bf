// Package config holds the settings of the server: where they come from, what they default to and what is wrong with
// them. It must not act on any of them.
//
// A setting has one name: --data-dir as a flag, PATCHBAY_DATA_DIR in the environment, data_dir in patchbay.yaml. The
// flag wins over the environment, that over the file, that over the default. PATCHBAY_ROLE alone has another flag,
// --server-role, since commands have a --role of their own.
package config

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"
)

// Settings are the settings as kong fills them in. Complete makes them ready for use.
type Settings struct {
	Config string `placeholder:"FILE" help:"File with settings; patchbay.yaml in the working folder if there is one."`

	Addr    Address `default:"127.0.0.1:8006" help:"Address of the REST API, which also serves /ws."`
	WSAddr  Address `name:"ws-addr" default:"127.0.0.1:8001" help:"Address of the WebSocket at /ws."`
	BaseURL string  `name:"base-url" placeholder:"URL" help:"Public URL, for OAuth redirects; from the address unless set."`
	DataDir string  `placeholder:"DIR" help:"Where everything embedded is kept; ./data unless set, for root /var/lib/patchbay."`

	DatabaseURL           string `name:"database-url" placeholder:"URL" help:"Postgres to use; without it the server runs its own."`
	DatabaseURLFile       string `name:"database-url-file" placeholder:"FILE" help:"File that holds database-url."`
	DatabaseDirectURL     string `name:"database-direct-url" placeholder:"URL" help:"The same database past a pooler, for LISTEN and migrations."`
	DatabaseDirectURLFile string `name:"database-direct-url-file" placeholder:"FILE" help:"File that holds database-direct-url."`
	NATSURL               string `name:"nats-url" placeholder:"URL" help:"NATS that carries wake-ups between servers; Postgres does unless set."`
	NATSURLFile           string `name:"nats-url-file" placeholder:"FILE" help:"File that holds nats-url."`
	Role                  Roles  `name:"server-role" setting:"role" default:"all" help:"What this server does: api, worker or all."`

	JWTSecret          string   `name:"jwt-secret" placeholder:"SECRET" help:"HS256 secret of tokens, 32 bytes or more; made at the first start unless set."`
	JWTSecretFile      string   `name:"jwt-secret-file" placeholder:"FILE" help:"File that holds jwt-secret."`
	JWKSURL            string   `name:"jwks-url" placeholder:"URL" help:"Keys of asymmetric tokens."`
	JWTIssuer          string   `name:"jwt-issuer" help:"Issuer that asymmetric tokens must have."`
	JWTAudience        string   `name:"jwt-audience" default:"authenticated" help:"Audience that tokens must have."`
	AdminUsers         []string `help:"Ids or verified emails of users who count as administrators."`
	LocalAccounts      bool     `help:"Accounts of this server's own."`
	EncryptionKeys     string   `placeholder:"KEYS" help:"Keyset for stored credentials; made at the first start unless set."`
	EncryptionKeysFile string   `placeholder:"FILE" help:"File that holds encryption-keys."`

	PluginDirs        []string `placeholder:"DIR" help:"Where plugins are found; plugins beside the binary and in the data folder unless set."`
	PluginUserIDs     UserIDs  `name:"plugin-user-ids" default:"2000000000-2000065535" help:"Users that plugins run as where the server is root."`
	PluginKeys        []string `placeholder:"FILE" help:"Files with public keys (PEM) that plugins may be signed with."`
	PluginIdentities  []string `placeholder:"'ISSUER SUBJECT'" help:"Who may sign plugins without a key; a subject between slashes is a regular expression."`
	PluginTrustedRoot string   `placeholder:"FILE" help:"What signatures without a key are verified by; fetched from Sigstore's public service unless set."`
	PluginSignatures  string   `enum:"require,warn,off" default:"warn" help:"What an unsigned plugin gets: require, warn or off."`

	RateLimitGeneral   Limit `default:"100" help:"Requests a minute and user; 0 is off."`
	RateLimitExecution Limit `default:"20" help:"Execution requests a minute and user; 0 is off."`
	RateLimitExternal  Limit `default:"60" help:"Requests with API keys a minute and user; 0 is off."`
	RateLimitAnonymous Limit `default:"60" help:"Requests without a user a minute and address; 0 is off."`

	CORSOrigins    []string  `name:"cors-origins" help:"Origins that browsers may come from; the same host unless set."`
	TrustedProxies []Network `placeholder:"NET" help:"Networks whose X-Forwarded headers count."`
	MaxBody        Size      `default:"32MiB" help:"Largest request body."`

	StoreAutoApprove bool `help:"Submissions to the store appear at once."`
	StorePublic      bool `help:"The store may be read without a credential."`

	AllowPrivateAddresses []Network `placeholder:"NET" help:"Private networks that blocks may reach all the same."`

	ExecutionConcurrency  Limit    `default:"0" help:"Executions that run at once here; 0 takes it from the number of cores."`
	ExecutionsPerUser     Limit    `default:"0" help:"Executions of one user that run at once on all servers; 0 is no bound."`
	ExecutionsPerGraph    Limit    `default:"0" help:"Executions of one graph and user that run at once on all servers; 0 is no bound."`
	ExecutionQueue        Limit    `default:"100000" help:"Executions that may wait, on all servers together."`
	ExecutionQueuePerUser Limit    `default:"50000" help:"Executions of one user that may wait."`
	ExecutionTimeout      Duration `default:"0" help:"How long an execution may run for which nobody says another time; 0 is no bound."`
	Retention             Limit    `default:"0" help:"Days for which executions that have ended are kept; 0 keeps them for ever."`
	ShutdownDelay         Duration `default:"0" help:"How long everything goes on after SIGTERM while /readyz says that it ends, for load balancers to notice."`
	ShutdownGrace         Duration `default:"10s" help:"How long running blocks may go on after SIGTERM."`
	Timezone              Zone     `default:"UTC" help:"Time zone of users who set none."`

	LogLevel  string `enum:"trace,debug,info,warn,error,off" default:"info" help:"trace, debug, info, warn, error or off."`
	LogFormat string `enum:"text,json," default:"" help:"text or json; text on a terminal unless set."`

	// DefaultDataDir says that nobody chose the data folder.
	DefaultDataDir bool `kong:"-"`

	source *Source
}

const minSecret = 32

// Complete reads the secrets that lie in files, fills in what depends on the machine, and checks what can't be checked
// one setting at a time.
func (s *Settings) Complete(source *Source) error {
	for _, secret := range []struct {
		name        string
		value, file *string
	}{
		{"database-url", &s.DatabaseURL, &s.DatabaseURLFile},
		{"database-direct-url", &s.DatabaseDirectURL, &s.DatabaseDirectURLFile},
		{"nats-url", &s.NATSURL, &s.NATSURLFile},
		{"jwt-secret", &s.JWTSecret, &s.JWTSecretFile},
		{"encryption-keys", &s.EncryptionKeys, &s.EncryptionKeysFile},
	} {
		if *secret.file == "" {
			continue
		}
		if *secret.value != "" {
			return fmt.Errorf("%s and %s_FILE are both set; set one", Variable(secret.name), Variable(secret.name))
		}
		value, err := readSecret(*secret.file)
		if err != nil {
			return fmt.Errorf("%s_FILE: %w", Variable(secret.name), err)
		}
		*secret.value = value
	}
	if err := s.fillIn(); err != nil {
		return err
	}
	for _, p := range source.plugins {
		if _, err := p.read(); err != nil {
			return err
		}
	}
	s.source = source
	return s.check()
}

func (s *Settings) fillIn() error {
	s.DefaultDataDir = s.DataDir == ""
	if s.DefaultDataDir {
		s.DataDir = "data"
		if os.Geteuid() == 0 {
			s.DataDir = "/var/lib/patchbay"
		}
	}
	var err error
	if s.DataDir, err = filepath.Abs(s.DataDir); err != nil {
		return fmt.Errorf("%s: %w", Variable("data-dir"), err)
	}
	if s.DatabaseDirectURL == "" {
		s.DatabaseDirectURL = s.DatabaseURL
	}
	if len(s.PluginDirs) == 0 {
		executable, err := os.Executable()
		if err != nil {
			return fmt.Errorf("find the folder of this program: %w", err)
		}
		if resolved, err := filepath.EvalSymlinks(executable); err == nil {
			executable = resolved
		}
		// Plugins under the data folder are started by their entries in its lock file, never for lying there.
		s.PluginDirs = []string{filepath.Join(filepath.Dir(executable), "plugins")}
	}
	if s.ExecutionConcurrency == 0 {
		// An execution mostly waits: for its plugins and for commits.
		s.ExecutionConcurrency = Limit(32 * runtime.GOMAXPROCS(0))
	}
	if s.LogFormat == "" {
		s.LogFormat = "json"
		if term.IsTerminal(int(os.Stderr.Fd())) {
			s.LogFormat = "text"
		}
	}
	return nil
}

func (s *Settings) check() error {
	var wrong []error
	add := func(name, format string, args ...any) {
		wrong = append(wrong, fmt.Errorf("%s: "+format, append([]any{Variable(name)}, args...)...))
	}
	if n := len(s.JWTSecret); n > 0 && n < minSecret {
		add("jwt-secret", "%d bytes are too short for a secret; %d or more are needed, such as the output of: openssl rand -base64 48", n, minSecret)
	}
	for name, value := range map[string]string{"database-url": s.DatabaseURL, "database-direct-url": s.DatabaseDirectURL} {
		if u, err := url.Parse(value); value != "" && (err != nil || !slices.Contains([]string{"postgres", "postgresql", "unix"}, u.Scheme)) {
			add(name, "is no URL of the form postgres://user:password@host:5432/name")
		}
	}
	for name, value := range map[string]string{"base-url": s.BaseURL, "jwks-url": s.JWKSURL} {
		if value != "" && !isOrigin(value, true) {
			add(name, "%q is no URL of the form https://host", value)
		}
	}
	for _, origin := range s.CORSOrigins {
		if origin != "*" && !isOrigin(origin, false) {
			add("cors-origins", "%q is no origin of the form https://host", origin)
		}
	}
	for name, value := range map[string]Limit{"execution-queue": s.ExecutionQueue, "execution-queue-per-user": s.ExecutionQueuePerUser} {
		if value == 0 {
			add(name, "must be 1 or more")
		}
	}
	if s.ExecutionTimeout < 0 {
		add("execution-timeout", "must not be negative")
	}
	if s.Retention > 36500 {
		add("retention", "must be 36500 days or less; 0 is for ever")
	}
	if s.ShutdownDelay < 0 {
		add("shutdown-delay", "must not be negative")
	}
	if s.ShutdownGrace < 0 {
		add("shutdown-grace", "must not be negative")
	}
	slices.SortFunc(wrong, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(wrong...)
}

func isOrigin(value string, path bool) bool {
	u, err := url.Parse(value)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && (path || u.Path == "")
}

func readSecret(path string) (string, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	value := strings.TrimRight(string(raw), "\r\n")
	if value == "" {
		return "", fmt.Errorf("%s is empty", path)
	}
	return value, nil
}

// Grace is the time that running blocks have after SIGTERM.
func (s *Settings) Grace() time.Duration { return time.Duration(s.ShutdownGrace) }
