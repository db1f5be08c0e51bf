package blocktest_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/patchbay-io/patchbay/sdk"
	"github.com/patchbay-io/patchbay/sdk/blocktest"
	"github.com/patchbay-io/patchbay/sdk/proto"
)

var trial string // the test plugin's binary

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	folder, err := os.MkdirTemp("", "trial")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(folder)
	trial = filepath.Join(folder, "trial")
	build := exec.Command("go", "build", "-o", trial, "../internal/trial")
	if output, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the trial plugin: %v\n%s", err, output)
		return 1
	}
	return m.Run()
}

func start(t *testing.T) (context.Context, *blocktest.Process) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx, blocktest.Start(t, trial, map[string]string{"greeting": "good day"})
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for tick := time.Tick(2 * time.Millisecond); ; {
		if condition() {
			return
		}
		select {
		case <-tick:
		case <-deadline:
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

func TestDescription(t *testing.T) {
	t.Parallel()
	_, p := start(t)
	d := p.Description()
	if d.Name != "trial" || d.Version != "1.2.3" || d.ProtocolVersion != proto.Version || !d.BulkValues || len(d.Blocks) != 7 {
		t.Errorf("described as %v", d)
	}
	if got := d.Blocks[1]; !got.Traits.Streaming || string(got.InputSchema) !=
		`{"type":"object","properties":{"n":{"type":"integer","minimum":0}},"required":["n"]}` {
		t.Errorf("Count is described as %v", got)
	}
}

func TestValuesPassByteForByte(t *testing.T) {
	t.Parallel()
	ctx, p := start(t)
	large := `"` + strings.Repeat("<é> \\u0000 ", 10<<20/12) + `"`
	values := []string{
		`12345678901234567890`, `1e400`, `-0.0`, `"\u0000"`, `"\ud800"`, `"<&>` + "\u2028" + `"`, `{"b":1, "a" : [ 2 ],"b":3}`,
		`"` + strings.Repeat("x", proto.InlineLimit-2) + `"`, `"` + strings.Repeat("x", proto.InlineLimit-1) + `"`, large,
	}
	for _, value := range values {
		got, err := p.Run(ctx, "Echo", `{"value":`+value+`}`)
		if err != nil {
			t.Fatalf("%.40s: %v", value, err)
		}
		if len(got) != 1 || got[0].Pin != "output" || !bytes.Equal(got[0].Value, []byte(value)) {
			t.Errorf("%.40s came back as %.40v", value, got)
		}
	}
}

func TestRunKnowsItsContext(t *testing.T) {
	t.Parallel()
	ctx, p := start(t)
	call, err := p.Call(ctx, blocktest.Request{Block: "Wait", Input: []byte(`{}`), Run: sdk.Run{
		ExecutionID: "e", Attempt: 3, IdempotencyKey: "k", Timezone: "Europe/Berlin",
	}})
	if err != nil {
		t.Fatal(err)
	}
	value, err := call.Next(ctx)
	if want := `["e",3,"k","Europe/Berlin","good day"]`; err != nil || string(value.Value) != want {
		t.Errorf("got %s, %v; want %s", value.Value, err, want)
	}
}

func TestOutputsStopAtTheCredit(t *testing.T) {
	t.Parallel()
	ctx, p := start(t)
	call, err := p.Call(ctx, blocktest.Request{Block: "Count", Input: []byte(`{"n":100}`), Credit: 3})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the credit is used up", func() bool { return call.Waiting() == 3 })
	// Other runs go on, and prove that the counting one had its time.
	for range 50 {
		if _, err := p.Run(ctx, "Echo", `{"value":1}`); err != nil {
			t.Fatal(err)
		}
	}
	if call.Waiting() != 3 {
		t.Fatalf("%d outputs came on a credit of 3", call.Waiting())
	}
	for i := range 100 {
		value, err := call.Next(ctx)
		if err != nil || string(value.Value) != fmt.Sprint(i) {
			t.Fatalf("output %d is %s, %v", i, value.Value, err)
		}
	}
	if _, err := call.Next(ctx); !errors.Is(err, io.EOF) {
		t.Errorf("after the last output: %v", err)
	}
	if got := call.Progress(); len(got) != 100 || got[50].Percent != 50 {
		t.Errorf("%d progress frames came", len(got))
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	ctx, p := start(t)
	for _, request := range []blocktest.Request{
		{Block: "Wait", Input: []byte(`{}`)},
		{Block: "Count", Input: []byte(`{"n":1000}`), Credit: 1}, // waits for credit
	} {
		call, err := p.Call(ctx, request)
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "the run has begun", func() bool { return call.Waiting() == 1 })
		if err := call.Cancel(); err != nil {
			t.Fatal(err)
		}
		if _, err := call.Next(ctx); err != nil {
			t.Fatalf("%s: the output before the end: %v", request.Block, err)
		}
		for err == nil {
			_, err = call.Next(ctx)
		}
		expectKind(t, err, proto.ErrorKind_ERROR_KIND_CANCELLED)
	}
}

func TestDeadline(t *testing.T) {
	t.Parallel()
	ctx, p := start(t)
	call, err := p.Call(ctx, blocktest.Request{Block: "Wait", Input: []byte(`{}`), Run: sdk.Run{Deadline: time.Now()}})
	for err == nil {
		_, err = call.Next(ctx)
	}
	expectKind(t, err, proto.ErrorKind_ERROR_KIND_PERMANENT)
	if !strings.Contains(err.Error(), "deadline") {
		t.Errorf("the error is %q", err)
	}
}

func TestRecordedOutputsReachTheBlock(t *testing.T) {
	t.Parallel()
	ctx, p := start(t)
	recorded := []sdk.Value{{Pin: "output", Value: json.RawMessage("0.0")}, {Pin: "output", Value: json.RawMessage("1.0")}}
	call, err := p.Call(ctx, blocktest.Request{Block: "Count", Input: []byte(`{"n":3}`), Run: sdk.Run{Attempt: 2, Recorded: recorded}})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"0.0", "1.0", "2"} {
		if value, err := call.Next(ctx); err != nil || string(value.Value) != want {
			t.Errorf("%s, %v, not %s", value.Value, err, want)
		}
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	ctx, p := start(t)
	tests := []struct {
		block, input string
		kind         proto.ErrorKind
		message      string
	}{
		{"Fail", `{"value":"rate"}`, proto.ErrorKind_ERROR_KIND_RATE_LIMITED, "slow down: cause\uFFFD"},
		{"Fail", `{"value":"temporary"}`, proto.ErrorKind_ERROR_KIND_TEMPORARY, "wrapped: try again"},
		{"Fail", `{"value":"authentication"}`, proto.ErrorKind_ERROR_KIND_AUTHENTICATION, "no key"},
		{"Fail", `{"value":1}`, proto.ErrorKind_ERROR_KIND_PERMANENT, "cause\uFFFD"},
		{"Count", `{"n":"x"}`, proto.ErrorKind_ERROR_KIND_INVALID_INPUT, `pin "n": expects an integer, got a string`},
		{"Count", `{}`, proto.ErrorKind_ERROR_KIND_INVALID_INPUT, `pin "n" is required`},
		{"Count", `[]`, proto.ErrorKind_ERROR_KIND_INVALID_INPUT, "the input is not a JSON object"},
		{"no block", `{}`, proto.ErrorKind_ERROR_KIND_INVALID_INPUT, `plugin trial has no block "no block"`},
		{"Panic", `{}`, proto.ErrorKind_ERROR_KIND_PANIC, "panic: assignment to entry in nil map"},
	}
	for _, test := range tests {
		_, err := p.Run(ctx, test.block, test.input)
		expectKind(t, err, test.kind)
		if err.Error() != test.message {
			t.Errorf("%s %s: message %q, want %q", test.block, test.input, err, test.message)
		}
		var e *sdk.Error
		if errors.As(err, &e) && (e.RetryAfter == 1500*time.Millisecond) != (test.kind == proto.ErrorKind_ERROR_KIND_RATE_LIMITED) {
			t.Errorf("%s %s: retry after %v", test.block, test.input, e.RetryAfter)
		}
	}
	eventually(t, "the panic's stack is in the log", func() bool {
		return strings.Contains(p.Stderr(), "trial/main.go") && strings.Contains(p.Stderr(), `"a block panicked"`)
	})
	if _, err := p.Run(ctx, "Echo", `{"value":1}`); err != nil {
		t.Errorf("after the panic: %v", err)
	}
}

func expectKind(t *testing.T, err error, kind proto.ErrorKind) {
	t.Helper()
	var e *sdk.Error
	if !errors.As(err, &e) || e.Kind != kind {
		t.Fatalf("error %v, want one of kind %v", err, kind)
	}
}

func TestThousandRunsAtOnce(t *testing.T) {
	t.Parallel()
	ctx, p := start(t)
	calls := make([]*blocktest.Call, 1000)
	for i := range calls {
		var err error
		if calls[i], err = p.Call(ctx, blocktest.Request{Block: "Count", Input: []byte(`{"n":20}`), Credit: 2}); err != nil {
			t.Fatal(err)
		}
	}
	var all sync.WaitGroup
	for _, call := range calls {
		all.Go(func() {
			for i := range 20 {
				if value, err := call.Next(ctx); err != nil || string(value.Value) != fmt.Sprint(i) {
					t.Errorf("output %d is %s, %v", i, value.Value, err)
					return
				}
			}
			if _, err := call.Next(ctx); !errors.Is(err, io.EOF) {
				t.Errorf("after the last output: %v", err)
			}
		})
	}
	all.Wait()
}

func TestStrayPrintsGoToStandardError(t *testing.T) {
	t.Parallel()
	ctx, p := start(t)
	got, err := p.Run(ctx, "Print", `{}`)
	if err != nil || len(got) != 1 {
		t.Fatalf("got %v, %v", got, err)
	}
	if string(got[0].Value) != `""` {
		t.Errorf("the cookie is in the environment of blocks: %s", got[0].Value)
	}
	for _, line := range []string{"stray print", "stray descriptor", "stray child", `"block":"Print"`, `"plugin":"trial"`} {
		eventually(t, line+" is in standard error", func() bool { return strings.Contains(p.Stderr(), line) })
	}
}

func TestProcessExitsWhenTheSessionEnds(t *testing.T) {
	t.Parallel()
	ctx, p := start(t)
	call, err := p.Call(ctx, blocktest.Request{Block: "Wait", Input: []byte(`{}`)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := call.Next(ctx); err != nil {
		t.Fatal(err)
	}
	p.EndSession()
	eventually(t, "the process has exited", p.Exited)
	if err := syscall.Kill(p.PID(), 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the process is still there: %v", err)
	}
	if _, err := call.Next(ctx); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("the cut-off run ended with %v", err)
	}
}

// A shell starts the plugin and goes away before there is a session.
func TestProcessExitsWhenItsParentDies(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	shell := exec.CommandContext(ctx, "/bin/sh", "-c", `"$0" & read line`, trial)
	sockets, err := os.MkdirTemp("", "p") // the orphan leaves its socket behind
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(sockets)
	shell.Env = []string{"PLUGIN_UNIX_SOCKET_DIR=" + sockets, proto.Handshake.MagicCookieKey + "=" + proto.Handshake.MagicCookieValue, "PLUGIN_PROTOCOL_VERSIONS=1"}
	lifeline, err := shell.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	// The plugin inherits the pipe's end, so the pipe closes when the plugin is gone.
	stdout, end, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdout.Close()
	shell.Stdout = end
	if err := shell.Start(); err != nil {
		t.Fatal(err)
	}
	if err := end.Close(); err != nil {
		t.Fatal(err)
	}
	if err := stdout.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(stdout)
	line, err := r.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "1|1|unix|") {
		t.Fatalf("handshake %q, %v", line, err)
	}
	if err := lifeline.Close(); err != nil {
		t.Fatal(err)
	}
	_ = shell.Wait() // read fails at the end of its input: that is the shell's exit code
	if rest, err := r.ReadString('\n'); !errors.Is(err, io.EOF) {
		t.Errorf("the plugin lives on: %q, %v", rest, err)
	}
}

func TestManifestAndHandStart(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), trial, "manifest").Output()
	if err != nil {
		t.Fatal(err)
	}
	var m sdk.Manifest
	if err := json.Unmarshal(out, &m); err != nil {
		t.Fatal(err)
	}
	want := sdk.Manifest{
		Name: "trial", Version: "1.2.3", Protocol: 1, AutoMTLS: true, Description: "For tests",
		Settings: []sdk.ManifestSetting{{Name: "greeting"}}, Credentials: []sdk.ManifestCredential{},
	}
	if !reflect.DeepEqual(m, want) {
		t.Errorf("got %+v, want %+v", m, want)
	}
	command := exec.CommandContext(t.Context(), trial)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	if err := command.Run(); command.ProcessState.ExitCode() != 1 || !strings.Contains(stderr.String(), "Patchbay plugin") {
		t.Errorf("started by hand: %v, %q", err, stderr.String())
	}
}
