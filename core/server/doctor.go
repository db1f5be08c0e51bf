package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"golang.org/x/sys/unix"

	"github.com/patchbay-io/patchbay/core/config"
	"github.com/patchbay-io/patchbay/core/plugin"
	"github.com/patchbay-io/patchbay/core/plugin/install"
	"github.com/patchbay-io/patchbay/core/postgres"
)

// Level says how bad a finding is.
type Level string

// The levels of findings. A server starts in spite of a warning.
const (
	OK   Level = "ok"
	Warn Level = "warn"
	Fail Level = "fail"
)

// Finding is what Diagnose has found out about one thing.
type Finding struct {
	Level  Level
	What   string
	Detail string
	Advice string // what to do about it
}

// littleSpace is the room in bytes in the data folder below which it should be looked after.
const littleSpace = 1 << 30

// asking bounds what is asked of a server or a database.
const asking = 10 * time.Second

// Diagnose looks whether a server on these settings would work here, or how the running one fares. It changes nothing.
func Diagnose(ctx context.Context, s *config.Settings) []Finding {
	running := runningServer(s)
	findings := []Finding{diagnoseProgram(), diagnoseData(s, running), diagnoseDatabase(ctx, s, running)}
	findings = append(findings, diagnosePorts(ctx, s, running)...)
	return append(findings, diagnosePlugins(s)...)
}

// runningServer is the process that has the data folder: 0 if none has, -1 if it does not say.
func runningServer(s *config.Settings) int {
	d := &dataDir{path: s.DataDir, lock: flock.New(filepath.Join(s.DataDir, "lock"), flock.SetFlag(os.O_RDONLY))}
	if _, err := os.Stat(d.lock.Path()); err != nil {
		return 0
	}
	free, err := d.lock.TryRLock()
	defer d.close()
	if err != nil || free {
		return 0
	}
	switch pid, who := d.holder(); {
	case who == aCommand:
		return 0
	case pid != 0:
		return pid
	}
	return -1
}

func diagnoseProgram() Finding {
	version := "a build of its own"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		version = info.Main.Version
	}
	return Finding{Level: OK, What: "program", Detail: fmt.Sprintf("Patchbay %s, %s, %s/%s", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)}
}

func diagnoseData(s *config.Settings, running int) Finding {
	f := Finding{Level: OK, What: "data folder", Detail: s.DataDir}
	advice := "make it the user's who runs the server, or choose another folder with PATCHBAY_DATA_DIR (--data-dir)"
	existing := s.DataDir
	for {
		info, err := os.Stat(existing)
		if err == nil && !info.IsDir() {
			return Finding{Fail, f.What, existing + " is no folder", advice}
		}
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) || existing == filepath.Dir(existing) {
			return Finding{Fail, f.What, err.Error(), advice}
		}
		existing = filepath.Dir(existing)
	}
	if err := unix.Access(existing, unix.W_OK|unix.X_OK); err != nil {
		return Finding{Fail, f.What, fmt.Sprintf("%s cannot be written: %v", existing, err), advice}
	}
	if existing != s.DataDir {
		f.Detail += ", which the first start makes"
	}
	if running > 0 {
		f.Detail += ", used by the running server, process " + strconv.Itoa(running)
	}
	var disk unix.Statfs_t
	if err := unix.Statfs(existing, &disk); err == nil {
		free := disk.Bavail * uint64(disk.Bsize)
		f.Detail += fmt.Sprintf(", %d MiB free", free>>20)
		if free < littleSpace {
			f.Level, f.Advice = Warn, "make room, or choose a folder on a larger disk with PATCHBAY_DATA_DIR"
		}
	}
	return f
}

func diagnoseDatabase(ctx context.Context, s *config.Settings, running int) Finding {
	f := Finding{Level: OK, What: "Postgres"}
	if s.DatabaseURL == "" {
		major := 0
		if raw, err := os.ReadFile(filepath.Join(s.DataDir, "postgres", "cluster", "PG_VERSION")); err == nil {
			major, _ = strconv.Atoi(strings.TrimSpace(string(raw)))
		}
		binaries, err := postgres.FindBinaries(major)
		if err != nil {
			f.Level, f.Detail, f.Advice = Fail, err.Error(), "install it, or use another server with PATCHBAY_DATABASE_URL"
			var missing *postgres.NoBinariesError
			if errors.As(err, &missing) {
				f.Advice = "install it: " + missing.Hint() + "; or use another server with PATCHBAY_DATABASE_URL"
			}
			return f
		}
		f.Detail = fmt.Sprintf("PostgreSQL %d in %s, private to this server", binaries.Major, binaries.Dir)
		if running != 0 {
			f.Detail += ", running"
		}
		return f
	}
	ctx, cancel := context.WithTimeout(ctx, asking)
	defer cancel()
	advice := "look at PATCHBAY_DATABASE_URL, and whether that server runs and lets this machine in"
	db, err := postgres.Open(s.DatabaseURL, 1)
	if err == nil {
		err = errors.Join(postgres.Check(ctx, db), db.Close())
	}
	if err != nil {
		return Finding{Fail, f.What, err.Error(), advice}
	}
	all, err := postgres.Migrations(ctx, s.DatabaseDirectURL)
	switch {
	case errors.Is(err, postgres.ErrNewerSchema):
		return Finding{Fail, f.What, err.Error(), "run the newer version of Patchbay that has migrated it"}
	case err != nil:
		return Finding{Fail, f.What, err.Error(), "look at PATCHBAY_DATABASE_DIRECT_URL"}
	}
	pending := 0
	for _, m := range all {
		if !m.Applied {
			pending++
		}
	}
	f.Detail = fmt.Sprintf("reachable, %d of %d migrations applied", len(all)-pending, len(all))
	if pending > 0 && running != 0 {
		f.Level, f.Advice = Warn, "restart the server: it applies those that are missing"
	}
	return f
}

// diagnosePorts asks the running server how it is, or looks whether its addresses are free.
func diagnosePorts(ctx context.Context, s *config.Settings, running int) []Finding {
	if running != 0 {
		return askServer(ctx, URL(s))
	}
	var findings []Finding
	for _, port := range []struct {
		what, variable string
		address        config.Address
	}{{"REST address", "PATCHBAY_ADDR", s.Addr}, {"WebSocket address", "PATCHBAY_WS_ADDR", s.WSAddr}} {
		f := Finding{Level: OK, What: port.what, Detail: string(port.address) + " is free"}
		l, err := listen(port.address, port.variable)
		if err != nil {
			f.Level, f.Detail, f.Advice = Fail, err.Error(), "stop what listens there, or choose another address with "+port.variable
		} else {
			_ = l.Close()
		}
		findings = append(findings, f)
	}
	return findings
}

func askServer(ctx context.Context, url string) []Finding {
	f := Finding{Level: OK, What: "running server", Detail: url + " is ready"}
	ctx, cancel := context.WithTimeout(ctx, asking)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/readyz", nil)
	if err != nil {
		return []Finding{{Fail, f.What, err.Error(), "look at PATCHBAY_ADDR"}}
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return []Finding{{Fail, f.What, err.Error(), "look into the server's log"}}
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(io.LimitReader(response.Body, 2<<10))
		return []Finding{{Fail, f.What, fmt.Sprintf("%s is not ready: %s", url, strings.TrimSpace(string(said))), "wait for its start to end, or look into its log"}}
	}
	var ready struct {
		Plugins []pluginHealth `json:"plugins"`
	}
	_ = json.NewDecoder(io.LimitReader(response.Body, 1<<20)).Decode(&ready) // what is not there is told by the server's log
	findings := []Finding{f}
	for _, p := range ready.Plugins {
		if p.LastDeath != nil {
			findings = append(findings, Finding{Warn, "plugin " + p.Name, fmt.Sprintf("it is %s, and died %d times in the last hour, at last at %s: %s",
				p.State, p.Deaths, p.LastDeath.At.Format(time.RFC3339), p.LastDeath.Cause), "look into the server's log, and tell the plugin's author; another version may do better: patchbay plugin upgrade, rollback"})
		}
	}
	return findings
}

// clashing says which other plugin has a block of an installed one, which may never have come to describe it: what it
// offered when it was installed is written down.
func clashing(host *plugin.Host, store *install.Store, name string) error {
	for id, title := range store.Blocks(name) {
		if b, ok := host.Block(id); ok && b.Plugin.Name != name {
			return fmt.Errorf("its block %q has the id %s of %q, which plugin %s offers", title, id, b.Name, b.Plugin.Name)
		}
	}
	return store.Clash(name)
}

// anew says how a plugin that has failed is had again, or got rid of.
func anew(installed []plugin.Installation, p plugin.Status) string {
	if slices.ContainsFunc(installed, func(i plugin.Installation) bool { return i.Name == p.Name }) {
		return "install it again, or remove it: patchbay plugin remove " + p.Name
	}
	return "build or install it anew, or remove " + p.Path
}

// diagnoseTrust looks at whose signatures count; there is nothing to say where all is well.
func diagnoseTrust(s *config.Settings) []Finding {
	trusted, err := trusting(s)
	if err != nil {
		return []Finding{{Fail, "signatures of plugins", err.Error(), "look at PATCHBAY_PLUGIN_KEYS, PATCHBAY_PLUGIN_IDENTITIES and PATCHBAY_PLUGIN_TRUSTED_ROOT: without, the server does not start"}}
	}
	if warning := trustsNobody(s, trusted); warning != "" {
		return []Finding{{Warn, "signatures of plugins", warning, "name whose plugins you trust in one of them"}}
	}
	return nil
}

// diagnosePlugins looks at the plugins without starting any, and at what the system can deny them.
func diagnosePlugins(s *config.Settings) []Finding {
	run, err := os.MkdirTemp("", "patchbay-doctor-")
	if err != nil {
		return []Finding{{Fail, "plugins", err.Error(), "let this user have temporary files"}}
	}
	defer func() { _ = os.RemoveAll(run) }()
	store, err := install.Read(s.DataDir)
	if err != nil {
		return []Finding{{Fail, "plugins", err.Error(), ""}}
	}
	config := hosting(s, store, filepath.Join(run, "run"))
	config.Memory = store
	host, err := plugin.New(config)
	if err != nil {
		return []Finding{{Fail, "plugins", err.Error(), ""}}
	}
	defer host.Close()
	host.Rehearse()
	var findings []Finding
	good := 0
	for _, p := range host.Plugins() {
		clash := clashing(host, store, p.Name)
		switch {
		case p.State == plugin.Failed:
			findings = append(findings, Finding{Fail, "plugin " + p.Name, p.Error, anew(config.Installed, p)})
		case clash != nil:
			findings = append(findings, Finding{Fail, "plugin " + p.Name, clash.Error(), "patchbay plugin disable " + p.Name})
		default:
			good++
		}
	}
	for _, i := range config.Installed {
		for _, text := range Unwritable(s, i.Name, *i.Granted) {
			findings = append(findings, Finding{Warn, "plugin " + i.Name, text, ""})
		}
	}
	if strays := store.Strays(); len(strays) > 0 {
		findings = append(findings, Finding{Warn, "plugins", fmt.Sprintf("%s in %s, not written down in %s: not started", strings.Join(strays, ", "),
			filepath.Join(s.DataDir, "plugins"), install.LockName), strayAdvice})
	}
	findings = append(findings, diagnoseTrust(s)...)
	all := Finding{OK, "plugins", fmt.Sprintf("%d that can be started, in %s", good, strings.Join(append(config.Dirs, filepath.Join(s.DataDir, "plugins")), ", ")), ""}
	if good == 0 {
		all.Level, all.Advice = Warn, "build them (make build), or name their folder with PATCHBAY_PLUGIN_DIRS"
	}
	findings = append([]Finding{all}, findings...)
	for _, f := range host.Isolation() {
		finding := Finding{OK, "isolation: " + f.Name, f.Detail, ""}
		if !f.Have {
			finding.Level, finding.Advice = Warn, f.Advice
		}
		findings = append(findings, finding)
	}
	return findings
}
