// Package conformance tests plugins in any language against the protocol that sdk/PROTOCOL.md specifies: it starts the
// plugin as a server does, isolated and with what its manifest asks for, and looks at what it answers. It must know nothing of a plugin but what that describes; where
// a check needs a block that does something, it takes one of the plugin's own examples.
package conformance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/patchbay-io/patchbay/core/plugin"
	"github.com/patchbay-io/patchbay/sdk"
	"github.com/patchbay-io/patchbay/sdk/proto"
)

// Outcome is how a check ended.
type Outcome string

// The outcomes.
const (
	Passed  Outcome = "ok"
	Failed  Outcome = "FAIL"
	Skipped Outcome = "skip" // the plugin has nothing that the check could be made with
)

// Result is what a check found.
type Result struct {
	Check   string
	Outcome Outcome
	Detail  string // what was seen, or is wrong, or is missing
	Advice  string // what to do about a failure
	Took    time.Duration
}

// check is one thing that the protocol demands.
type check struct {
	name   string
	advice string
	run    func(*suite) (detail string, err error)
}

// checks are in order: what later ones need comes first. They run one at a time on the plugin's one process.
var checks = []check{
	{"manifest", "mend plugin.json, or what writes it: section 1 of PROTOCOL.md", (*suite).readManifest},
	{"isolation", "", (*suite).isolation},
	{"server", "mend what the server says; the description is section 5 of PROTOCOL.md", (*suite).server},
	{"handshake", "write one line to standard output when the gRPC server listens, and nothing else there, ever: section 2", (*suite).handshake},
	{"by hand", "without PATCHBAY_PLUGIN, say on standard error what the program is, and exit with status 1: section 2", (*suite).byHand},
	{"health", "serve grpc.health.v1.Health/Check, and answer SERVING: section 4", (*suite).health},
	{"description", "give the same valid answer every time, with examples that fit their own schemas: section 5", (*suite).description},
	{"examples", "mend the block, or the example that it declares", (*suite).examples},
	{"errors", "end each run with Done and an error whose message a user can read; the process goes on: sections 6 and 10", (*suite).errors},
	{"credit", "send no more outputs than Start.credit and Credit allow, and wait with the rest: section 7", (*suite).credit},
	{"cancel", "end a run that waits, for credit too, as soon as its Cancel comes, with Done: section 6", (*suite).cancel},
	{"credentials", "end a run without its credentials with an AUTHENTICATION error, and never show a secret: section 12", (*suite).credentials},
	{"big values", "accept and send messages of 64 MiB, or implement Put and Fetch: sections 4 and 8", (*suite).bigValues},
	{"unknown messages", "ignore fields and frames that are not known, and frames of runs that have ended: sections 6 and 15", (*suite).unknown},
	{"concurrency", "begin each run at once, whatever others wait for: section 6", (*suite).concurrency},
	{"standard output", "send prints to standard error: section 2", (*suite).standardOutput},
	{"memory", "forget a run when it has ended, and everything that was kept for it", (*suite).memory},
	{"end of session", "exit when the session ends, with all that the process has started: section 6", (*suite).endOfSession},
	{"end of host", "exit when the connection breaks: a server that died takes its plugins along this way: section 6", (*suite).endOfHost},
}

// pace is how long things may take. Tests shorten it.
type pace struct {
	run    time.Duration // an example
	big    time.Duration // one with a big value
	load   time.Duration // many at once
	cancel time.Duration // the end of a cancelled run: PROTOCOL.md, section 14
	exit   time.Duration // the end of the process, the two seconds in it that runs have to clean up
}

var defaultPace = pace{run: 30 * time.Second, big: time.Minute, load: 2 * time.Minute, cancel: 5 * time.Second, exit: 5 * time.Second}

// Config says what to test.
type Config struct {
	Folder string // with plugin.json and the executable
	// Host is how servers start plugins. Settings that it does not give have the defaults that the plugin describes. Where
	// the plugin lies and where it runs is the suite's affair.
	Host plugin.Config
	// Report is told of each check as it ends.
	Report func(Result)
}

// Run makes all checks, and says whether none has failed. An error is no fault of the plugin's.
func Run(ctx context.Context, config Config) (bool, error) { return runAt(ctx, config, defaultPace) }

func runAt(ctx context.Context, config Config, pace pace) (bool, error) {
	folder, err := filepath.Abs(config.Folder)
	if err != nil {
		return false, err
	}
	s := &suite{ctx: ctx, folder: folder, pace: pace, host: config.Host}
	s.manifest, s.flaw = plugin.Inspect(folder)
	if s.host.Settings != nil && s.flaw == nil {
		if s.settings, err = s.host.Settings(s.manifest.Name); err != nil {
			return false, err
		}
	}
	done, err := s.open()
	if err != nil {
		return false, err
	}
	defer done()
	passed := true
	for _, c := range checks {
		r := s.make(c)
		if err := ctx.Err(); err != nil {
			return false, err
		}
		config.Report(r)
		passed = passed && r.Outcome != Failed
		if s.hopeless {
			break
		}
	}
	return passed, nil
}

// open makes a folder for the plugin to run in, which done removes.
func (s *suite) open() (done func(), err error) {
	dir, err := os.MkdirTemp("", "pb")
	if err != nil {
		return nil, fmt.Errorf("make a folder for the plugin: %w", err)
	}
	s.host.Dirs, s.host.Installed, s.host.RuntimeDir = []string{s.folder}, nil, filepath.Join(dir, "host")
	own := s.host
	own.RuntimeDir = filepath.Join(dir, "run")
	if err = os.Chmod(dir, 0o711); err == nil { // plugins may be of other users
		s.launcher, err = plugin.NewLauncher(own)
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return func() {
		s.forget()
		s.launcher.Close()
		_ = os.RemoveAll(dir)
	}, nil
}

// suite is a plugin under test.
type suite struct {
	ctx      context.Context
	folder   string
	pace     pace
	host     plugin.Config
	launcher *plugin.Launcher
	settings map[string]string
	manifest plugin.Manifest
	flaw     error  // of the manifest, and of what lies beside it
	refusal  string // what the server said; empty: it has taken the plugin
	hopeless bool   // what comes next could only fail

	process *process // nil: none runs
	session *session
	offer   *proto.DescribeResponse
	probes  []probe // examples that work, the quickest first
	// outsiders are examples that ask for something in the network.
	outsiders []probe
}

// probe is an example of a block that needs nothing but the plugin.
type probe struct {
	block *proto.BlockDescription
	input []byte
	want  []sdk.Value
	took  time.Duration
}

// skipError says why a check cannot be made with this plugin.
type skipError string

func (e skipError) Error() string { return string(e) }

func (s *suite) make(c check) Result {
	began := time.Now()
	detail, err := c.run(s)
	if s.session != nil {
		err = errors.Join(err, s.session.violations())
	}
	// A check that breaks the process spoils no other one.
	if skip, ok := errors.AsType[skipError](err); ok {
		return Result{Check: c.name, Outcome: Skipped, Detail: skip.Error(), Took: time.Since(began)}
	}
	if err != nil {
		detail = err.Error()
		advice, process, end := c.advice, s.process, s.end()
		if verdict := s.forget(); verdict == "" {
			detail += end
		} else {
			detail += "\nthe process was ended: " + verdict
			advice = "let it need less, or ask for more with \"memory\" and \"processes\" in the \"permissions\" of plugin.json: section 1"
		}
		if process != nil && process.stderr.last() != "" { // which has been read to its end
			detail += "\nstandard error ends with:\n" + process.stderr.last()
		}
		if denied := s.denied(detail); denied != "" {
			advice = denied
		}
		if obstacle := plugin.Uninterpreted(filepath.Join(s.folder, s.manifest.Name), detail); obstacle != nil {
			detail, advice = detail+"\n"+obstacle.What, obstacle.Advice
		}
		return Result{Check: c.name, Outcome: Failed, Detail: detail, Advice: advice, Took: time.Since(began)}
	}
	return Result{Check: c.name, Outcome: Passed, Detail: detail, Took: time.Since(began)}
}

// end says how the process has ended by itself; empty: it runs.
func (s *suite) end() string {
	if s.process == nil || s.process.cell.Command.Process == nil {
		return ""
	}
	if s.session != nil {
		select {
		case <-s.session.ended: // whose end comes first
		default:
			return ""
		}
	}
	if !s.process.exits(time.Second) {
		return ""
	}
	return "\nthe process ended: " + s.process.cell.Ending()
}

// forget ends the process; the next check that needs one starts another. It says which limit the process has met, if any.
func (s *suite) forget() (verdict string) {
	if s.session != nil {
		s.session.close()
	}
	if s.process != nil {
		verdict = s.process.kill()
	}
	s.process, s.session = nil, nil
	return verdict
}

// ready gives the plugin's session, and starts the plugin where it does not run.
func (s *suite) ready() (*session, error) {
	if s.session != nil {
		return s.session, nil
	}
	if s.process == nil {
		p, err := s.start()
		s.process = p
		if err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(s.ctx, startLimit)
	defer cancel()
	offer, err := s.process.client.Describe(ctx, &proto.DescribeRequest{})
	if err != nil {
		return nil, fmt.Errorf("describe: %w", err)
	}
	s.offer = offer
	settings := map[string]string{}
	for _, setting := range offer.Settings {
		settings[setting.Name] = setting.Default
	}
	for name, value := range s.settings {
		settings[name] = value
	}
	if _, err := s.process.client.Configure(ctx, &proto.ConfigureRequest{Settings: settings}); err != nil {
		return nil, fmt.Errorf("configure: %w", err)
	}
	s.session, err = openSession(s.process)
	return s.session, err
}

// server lets a real server start the plugin, with all that it checks and takes away.
func (s *suite) server() (string, error) {
	host, err := plugin.New(s.host)
	if err != nil {
		return "", err
	}
	defer host.Close()
	if err := host.Start(s.ctx); err != nil {
		return "", err
	}
	statuses := host.Plugins()
	if len(statuses) == 0 {
		return "", errors.New("the folder holds no plugin")
	}
	status := statuses[0]
	if status.State != plugin.Ready {
		s.refusal = status.Error
		return "", errors.New(status.Error)
	}
	return fmt.Sprintf("%s %s is accepted", status.Name, status.Version), nil
}
