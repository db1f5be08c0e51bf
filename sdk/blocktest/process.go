package blocktest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"

	"github.com/patchbay-io/patchbay/sdk"
	"github.com/patchbay-io/patchbay/sdk/proto"
)

// startWait bounds how long a plugin may take to start, build excluded.
const startWait = 30 * time.Second

// Process is a running plugin, started and spoken to as a server does it.
type Process struct {
	client      *goplugin.Client
	command     *exec.Cmd
	plugin      proto.PluginClient
	description *proto.DescribeResponse
	stderr      *tail
	session     *session
	host        *Host
}

// Build builds the plugin whose main package is in a folder, and gives the binary's path.
func Build(t testing.TB, folder string) string {
	t.Helper()
	absolute, err := filepath.Abs(folder)
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(t.TempDir(), filepath.Base(absolute))
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".")
	build.Dir = absolute
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the plugin in %s: %v\n%s", folder, err, output)
	}
	return binary
}

// Start starts a plugin's binary, hands it settings (nil: its defaults) and opens its session. The process ends with
// the test.
func Start(t testing.TB, binary string, settings map[string]string) *Process {
	t.Helper()
	p := &Process{stderr: &tail{}, host: &Host{}, command: exec.Command(binary)}
	p.client = goplugin.NewClient(&goplugin.ClientConfig{
		HandshakeConfig:  proto.Handshake,
		VersionedPlugins: proto.Versions(),
		AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC},
		AutoMTLS:         true,
		SkipHostEnv:      true,
		Cmd:              p.command,
		Logger:           hclog.NewNullLogger(),
		Stderr:           p.stderr,
		StartTimeout:     startWait,
	})
	t.Cleanup(func() {
		if p.session != nil {
			p.session.close()
		}
		p.client.Kill()
		if t.Failed() {
			t.Logf("the plugin's standard error ends with:\n%s", lastOf(p.Stderr()))
		}
	})
	if err := p.open(settings); err != nil {
		t.Fatalf("start plugin %s: %v\n%s", binary, err, p.Stderr())
	}
	return p
}

func (p *Process) open(settings map[string]string) error {
	protocol, err := p.client.Client()
	if err != nil {
		return err
	}
	kind, err := protocol.Dispense(proto.Kind)
	if err != nil {
		return err
	}
	p.plugin = kind.(proto.PluginClient) // proto.Versions
	ctx, cancel := context.WithTimeout(context.Background(), startWait)
	defer cancel()
	if p.description, err = p.plugin.Describe(ctx, &proto.DescribeRequest{}); err != nil {
		return fmt.Errorf("describe: %w", err)
	}
	if _, err := p.plugin.Configure(ctx, &proto.ConfigureRequest{Settings: settings}); err != nil {
		return fmt.Errorf("configure: %w", err)
	}
	p.session, err = openSession(p.plugin)
	return err
}

// Description is what the plugin says about itself.
func (p *Process) Description() *proto.DescribeResponse { return p.description }

// PID of the process.
func (p *Process) PID() int { return p.command.Process.Pid }

// Stderr is what the plugin wrote to standard error, logs included; the last of it, where it is much.
func (p *Process) Stderr() string { return p.stderr.String() }

// Host answers the calls of runs whose request names none.
func (p *Process) Host() *Host { return p.host }

// EndSession ends the session, which is the order to exit.
func (p *Process) EndSession() { p.session.close() }

// Exited says whether the process has ended.
func (p *Process) Exited() bool { return p.client.Exited() }

// Run runs a block, named by id or name, and gives its outputs in order and the run's error, an *sdk.Error.
func (p *Process) Run(ctx context.Context, block, input string) ([]sdk.Value, error) {
	call, err := p.Call(ctx, Request{Block: block, Input: []byte(input)})
	if err != nil {
		return nil, err
	}
	var values []sdk.Value
	for {
		value, err := call.Next(ctx)
		if errors.Is(err, io.EOF) {
			return values, nil
		}
		if err != nil {
			return values, err
		}
		values = append(values, value)
	}
}

// blockID finds a block's id by its name.
func (p *Process) blockID(block string) string {
	for _, b := range p.description.Blocks {
		if b.Name == block {
			return b.Id
		}
	}
	return block
}

// lastOf is as much of a text as people read.
func lastOf(text string) string { return text[max(0, len(text)-4<<10):] }

// tail keeps the last of what is written.
type tail struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

const tailSize = 256 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buffer.Write(b)
	if extra := t.buffer.Len() - tailSize; extra > 0 {
		t.buffer.Next(extra)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buffer.String()
}
