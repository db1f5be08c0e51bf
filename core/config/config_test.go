package config

import (
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"
)

// parse reads settings as the command line does.
func parse(t *testing.T, environ []string, args ...string) (*Settings, error) {
	t.Helper()
	var cli struct {
		Settings `embed:"" group:"settings"`
	}
	source := NewSource(environ)
	parser, err := kong.New(&cli, kong.Resolvers(source))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(args); err != nil {
		return nil, err
	}
	if err := cli.Complete(source); err != nil {
		return nil, err
	}
	return &cli.Settings, nil
}

func file(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "settings.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFlagsWinOverEnvironmentOverFileOverDefaults(t *testing.T) {
	t.Parallel()
	path := file(t, "addr: 127.0.0.1:1\nws_addr: 127.0.0.1:2\nmax_body: 1MiB\ntimezone: Europe/Berlin\n")
	s, err := parse(t, []string{
		"PATCHBAY_ADDR=127.0.0.1:3", "PATCHBAY_WS_ADDR=127.0.0.1:4", "PATCHBAY_TIMEZONE=", "HOME=/elsewhere",
	}, "--config", path, "--addr=127.0.0.1:5")
	if err != nil {
		t.Fatal(err)
	}
	got := []any{s.Addr, s.WSAddr, s.MaxBody, s.Timezone, s.RateLimitExecution, s.JWTAudience, s.Grace(), s.Role}
	want := []any{Address("127.0.0.1:5"), Address("127.0.0.1:4"), Size(1 << 20), Zone("Europe/Berlin"), Limit(20),
		"authenticated", 10 * time.Second, Roles{API: true, Worker: true}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestEverySettingOfTheContractIsAccepted(t *testing.T) {
	t.Parallel()
	secret := file(t, strings.Repeat("s", 40)+"\n")
	s, err := parse(t, []string{
		"PATCHBAY_ADDR=:8006", "PATCHBAY_WS_ADDR=[::1]:8001", "PATCHBAY_BASE_URL=https://patchbay.example/base",
		"PATCHBAY_DATA_DIR=/srv/patchbay", "PATCHBAY_DATABASE_URL=postgres://u:p@h/db",
		"PATCHBAY_DATABASE_DIRECT_URL=postgres://u:p@h:6000/db", "PATCHBAY_NATS_URL=nats://h:4222", "PATCHBAY_ROLE=api,worker",
		"PATCHBAY_JWT_SECRET_FILE=" + secret, "PATCHBAY_JWKS_URL=https://id.example/keys", "PATCHBAY_JWT_ISSUER=https://id.example",
		"PATCHBAY_JWT_AUDIENCE=others", "PATCHBAY_ADMIN_USERS=a@example.org,b", "PATCHBAY_LOCAL_ACCOUNTS=true",
		"PATCHBAY_ENCRYPTION_KEYS=keys", "PATCHBAY_PLUGIN_DIRS=/a,/b", "PATCHBAY_PLUGIN_GITHUB_CLIENT_ID=id",
		"PATCHBAY_PLUGIN_GITHUB_CLIENT_SECRET_FILE=" + secret, "PATCHBAY_PLUGIN_SIGNATURES=require",
		"PATCHBAY_PLUGIN_IDENTITIES=https://id.example ada", "PATCHBAY_PLUGIN_TRUSTED_ROOT=/srv/trusted_root.json",
		"PATCHBAY_RATE_LIMIT_GENERAL=1", "PATCHBAY_RATE_LIMIT_EXECUTION=2", "PATCHBAY_RATE_LIMIT_EXTERNAL=3",
		"PATCHBAY_RATE_LIMIT_ANONYMOUS=0", "PATCHBAY_CORS_ORIGINS=https://a.example,http://localhost:3000",
		"PATCHBAY_TRUSTED_PROXIES=10.0.0.0/8,::1", "PATCHBAY_MAX_BODY=64 MB", "PATCHBAY_STORE_AUTO_APPROVE=1",
		"PATCHBAY_STORE_PUBLIC=yes", "PATCHBAY_ALLOW_PRIVATE_ADDRESSES=192.168.1.0/24", "PATCHBAY_EXECUTION_CONCURRENCY=7",
		"PATCHBAY_SHUTDOWN_GRACE=90", "PATCHBAY_TIMEZONE=America/New_York", "PATCHBAY_LOG_LEVEL=debug", "PATCHBAY_LOG_FORMAT=json",
		"PATCHBAY_SERVICE_HOST=10.1.2.3", "PATCHBAY_PORT_8006_TCP=tcp://10.1.2.3:8006",
	})
	if err != nil {
		t.Fatal(err)
	}
	got := []any{s.JWTSecret, s.AdminUsers, s.PluginDirs, s.CORSOrigins, s.TrustedProxies[1].Prefix.String(), s.MaxBody, s.StorePublic, s.Grace()}
	want := []any{strings.Repeat("s", 40), []string{"a@example.org", "b"}, []string{"/a", "/b"},
		[]string{"https://a.example", "http://localhost:3000"}, netip.MustParsePrefix("::1/128").String(), Size(64e6), true, 90 * time.Second}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	settings, err := s.PluginSettings("github")
	if err != nil || settings["client_id"] != "id" || settings["client_secret"] != s.JWTSecret {
		t.Errorf("settings of the plugin %v %v", settings, err)
	}
}

func TestFileTakesListsAndNumbers(t *testing.T) {
	t.Parallel()
	s, err := parse(t, nil, "--config", file(t, `
cors_origins: [https://a.example, https://b.example]
rate_limit_general: 5
plugin_identities: ["https://id.example ada", 'https://id.example /a{1,2}\.b/']
store_public: true
plugin_github_client_id: id
admin_users:
`))
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"https://id.example ada", `https://id.example /a{1,2}\.b/`}; !slices.Equal(s.PluginIdentities, want) {
		t.Errorf("identities %q, want %q", s.PluginIdentities, want)
	}
	settings, err := s.PluginSettings("github")
	if err != nil || len(s.CORSOrigins) != 2 || s.RateLimitGeneral != 5 || !s.StorePublic || settings["client_id"] != "id" {
		t.Errorf("settings %+v, of the plugin %v", s, settings)
	}
}

func TestPluginsHaveTheSettingsOfNow(t *testing.T) {
	t.Parallel()
	secret, settings := file(t, "first"), file(t, "plugin_github_client_id: id\nplugin_github_api_url: a")
	s, err := parse(t, []string{"PATCHBAY_PLUGIN_GITHUB_CLIENT_SECRET_FILE=" + secret, "PATCHBAY_PLUGIN_GITHUB_API_URL=b"}, "--config", settings)
	if err != nil {
		t.Fatal(err)
	}
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(secret, "second\n")
	write(settings, "plugin_github_client_id: other\nplugin_github_api_url: c\nplugin_slack_key_file: /nowhere")
	got, err := s.PluginSettings("github") // which the file of another plugin's does not hinder
	if want := map[string]string{"client_id": "other", "client_secret": "second", "api_url": "b"}; err != nil || !maps.Equal(got, want) {
		t.Errorf("%v %v, want %v", got, err, want)
	}
	if _, err := s.PluginSettings("slack"); err == nil || !strings.Contains(err.Error(), "PATCHBAY_PLUGIN_SLACK_KEY_FILE") {
		t.Errorf("a file that is not there: %v", err)
	}
	write(settings, "plugn_github_client_id: other")
	if _, err := s.PluginSettings("github"); err == nil || !strings.Contains(err.Error(), "plugn_github_client_id") {
		t.Errorf("a mistake in the file: %v", err)
	}
}

func TestMistakesAreNamed(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		environ []string
		file    string
		args    []string
		want    []string
	}{
		"unknown variable":     {environ: []string{"PATCHBAY_ADR=x"}, want: []string{"PATCHBAY_ADR", "nearest one is PATCHBAY_ADDR"}},
		"unknown key":          {file: "databse_url: x", want: []string{"databse_url in", "nearest one is database_url"}},
		"dash for underscore":  {file: "data-dir: x", want: []string{"data-dir in", "nearest one is data_dir"}},
		"unknown flag":         {args: []string{"--adr=x"}, want: []string{"unknown flag --adr", "--addr"}},
		"short secret":         {environ: []string{"PATCHBAY_JWT_SECRET=short"}, want: []string{"PATCHBAY_JWT_SECRET", "5 bytes", "32"}},
		"secret twice":         {environ: []string{"PATCHBAY_NATS_URL=a", "PATCHBAY_NATS_URL_FILE=b"}, want: []string{"PATCHBAY_NATS_URL_FILE are both set"}},
		"secret without file":  {environ: []string{"PATCHBAY_JWT_SECRET_FILE=/nowhere"}, want: []string{"PATCHBAY_JWT_SECRET_FILE", "/nowhere"}},
		"address without port": {environ: []string{"PATCHBAY_ADDR=localhost"}, want: []string{"PATCHBAY_ADDR", "host:port"}},
		"port too high":        {environ: []string{"PATCHBAY_WS_ADDR=:70000"}, want: []string{"PATCHBAY_WS_ADDR", "65535"}},
		"size":                 {environ: []string{"PATCHBAY_MAX_BODY=lots"}, want: []string{"PATCHBAY_MAX_BODY", "32MiB"}},
		"duration":             {file: "shutdown_grace: soon", want: []string{"shutdown_grace in", "10s"}},
		"network":              {environ: []string{"PATCHBAY_TRUSTED_PROXIES=10.0.0.0/8,nonsense"}, want: []string{"PATCHBAY_TRUSTED_PROXIES", "nonsense"}},
		"zone":                 {environ: []string{"PATCHBAY_TIMEZONE=Mars/Base"}, want: []string{"PATCHBAY_TIMEZONE", "Mars/Base"}},
		"role":                 {environ: []string{"PATCHBAY_ROLE=boss"}, want: []string{"PATCHBAY_ROLE", "boss"}},
		"level":                {environ: []string{"PATCHBAY_LOG_LEVEL=loud"}, want: []string{"PATCHBAY_LOG_LEVEL", "loud"}},
		"negative limit":       {environ: []string{"PATCHBAY_RATE_LIMIT_GENERAL=-1"}, want: []string{"PATCHBAY_RATE_LIMIT_GENERAL", "-1"}},
		"origin":               {environ: []string{"PATCHBAY_CORS_ORIGINS=a.example"}, want: []string{"PATCHBAY_CORS_ORIGINS", "a.example"}},
		"database":             {environ: []string{"PATCHBAY_DATABASE_URL=mysql://h"}, want: []string{"PATCHBAY_DATABASE_URL", "postgres://"}},
		"plugin's file":        {environ: []string{"PATCHBAY_PLUGIN_GITHUB_KEY_FILE=/nowhere"}, want: []string{"PATCHBAY_PLUGIN_GITHUB_KEY_FILE", "/nowhere"}},
		"missing file":         {args: []string{"--config=/nowhere/patchbay.yaml"}, want: []string{"/nowhere/patchbay.yaml"}},
		"mapping":              {file: "addr: {host: x}", want: []string{"addr in", "mapping"}},
		"no yaml":              {file: "addr: [", want: []string{"settings.yaml"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := test.args
			if test.file != "" {
				args = append(args, "--config", file(t, test.file))
			}
			_, err := parse(t, test.environ, args...)
			if err == nil {
				t.Fatal("accepted")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
		})
	}
}

func TestAddressesKnowWhoReachesThem(t *testing.T) {
	t.Parallel()
	for address, want := range map[Address]struct {
		loopback  bool
		reachable string
	}{
		"127.0.0.1:8006": {true, "127.0.0.1:8006"},
		"[::1]:8006":     {true, "[::1]:8006"},
		"localhost:1":    {true, "localhost:1"},
		":8006":          {false, "127.0.0.1:8006"},
		"0.0.0.0:8006":   {false, "127.0.0.1:8006"},
		"[::]:8006":      {false, "127.0.0.1:8006"},
		"10.1.2.3:8006":  {false, "10.1.2.3:8006"},
	} {
		if address.Loopback() != want.loopback || address.Reachable() != want.reachable {
			t.Errorf("%s: %v, %s", address, address.Loopback(), address.Reachable())
		}
	}
}

func FuzzSize(f *testing.F) {
	f.Add("32MiB")
	f.Fuzz(func(t *testing.T, text string) {
		var s Size
		if err := s.UnmarshalText([]byte(text)); err == nil && s < 1 {
			t.Errorf("%q is %d", text, s)
		}
	})
}

func TestUserIDsAreARange(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]UserIDs{
		"50000-59999": {50000, 59999}, "1-1000": {1, 1000}, "70000-2147483647": {70000, 2147483647},
		"": {}, "5": {}, "0-5000": {}, "60000-70000": {}, "5000-4000": {}, "1-999": {}, "-1-5000": {}, "a-b": {}, "70000-2147483648": {},
	} {
		var got UserIDs
		if err := got.UnmarshalText([]byte(text)); got != want || (err == nil) != (want != UserIDs{}) {
			t.Errorf("%q: %v %v", text, got, err)
		}
	}
}
