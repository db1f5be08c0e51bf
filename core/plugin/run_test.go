package plugin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/patchbay-io/patchbay/sdk/proto"
)

func TestValuesPassByteForByte(t *testing.T) {
	t.Parallel()
	h := start(t, "good")
	for name, value := range map[string]string{
		"big integer":        `12345678901234567890123`,
		"huge exponent":      `1e400`,
		"NUL":                `"a\u0000b"`,
		"lone surrogate":     `"\ud800"`,
		"key order":          `{"b":1,"a":2,"b":3}`,
		"space":              "{ \"a\" :\n [ 1 , 2 ] }",
		"HTML":               `"<a href='x'>&amp;</a>"`,
		"deep":               strings.Repeat("[", 5000) + strings.Repeat("]", 5000),
		"just inline":        `"` + strings.Repeat("i", proto.InlineLimit-12) + `"`,
		"just beside":        `"` + strings.Repeat("b", proto.InlineLimit) + `"`,
		"10 MB":              `"` + strings.Repeat("0123456789", 1<<20) + `"`,
		"exactly two pieces": `"` + strings.Repeat("p", 2*proto.PieceSize-2) + `"`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			result, got := h.do(blockEcho, `{"value":`+value+`}`)
			if result.Err != nil || len(got) != 1 || got[0] != strings.TrimSpace(value) {
				t.Errorf("%v, %d outputs", result.Err, len(got))
			}
		})
	}
}

func TestOutputsComeInOrderAndWaitForWhoTakesThem(t *testing.T) {
	t.Parallel()
	h := start(t, "good")
	var next, progress int
	gate := make(chan struct{})
	results := make(chan Result, 1)
	go func() {
		result, _ := h.doRun(context.Background(), Run{
			Block: blockEmit, Input: json.RawMessage(`{"n":5000}`),
			Output: func(pin string, v json.RawMessage) error {
				if next == 0 {
					<-gate
				}
				if string(v) != strconv.Quote(strconv.Itoa(next)) || pin != "output" {
					return fmt.Errorf("output %d is %s", next, v)
				}
				next++
				return nil
			},
			Progress: func(*proto.Progress) { progress++ },
		})
		results <- result
	}()
	for range 200 { // others are not held up
		h.mustDo(blockEcho, `{"value":1}`)
	}
	s := h.plugins[0].current.Load()
	eventually(t, "the credit's use", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, r := range s.runs {
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.allowed == 0 && r.overdraw == 0
		}
		return false
	})
	close(gate)
	if r := await(t, results); r.Err != nil || r.Crashed != nil || next != 5000 || progress == 0 {
		t.Errorf("%+v after %d outputs, %d progress", r, next, progress)
	}
	if s.pending.used != 0 {
		t.Errorf("%d bytes are still charged", s.pending.used)
	}
}

func TestManyRunsShareASession(t *testing.T) {
	t.Parallel()
	h := start(t, "good")
	var wg sync.WaitGroup
	var wrong atomic.Int32
	for i := range 32 {
		wg.Go(func() {
			for j := range 50 {
				want := fmt.Sprintf(`"%d-%d"`, i, j)
				if result, got := h.do(blockEcho, `{"value":`+want+`}`); result.Err != nil || !slices.Equal(got, []string{want}) {
					wrong.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if n := wrong.Load(); n > 0 {
		t.Errorf("%d runs went wrong", n)
	}
	h.checkEmpty()
}

// checkEmpty looks for runs that were forgotten.
func (h *testHost) checkEmpty() {
	h.t.Helper()
	s := h.plugins[0].current.Load()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.runs) > 0 {
		h.t.Errorf("%d runs are left in the session", len(s.runs))
	}
}

func TestRunKnowsItsContextAndWhatWasRecorded(t *testing.T) {
	t.Parallel()
	h := start(t, "good")
	r, got := h.doRun(context.Background(), Run{Block: blockContext, Input: json.RawMessage(`{}`), Recorded: []*proto.PinValue{
		{Pin: "output", Value: []byte(`{"b":1, "a":1e400}`)}, {Pin: "tools", Value: []byte(`null`)},
	}})
	if want := []string{`{"b":1, "a":1e400}`, `null`, `"node-execution-1 2"`}; r.Err != nil || !slices.Equal(got, want) {
		t.Errorf("%v %v", r.Err, got)
	}
}

func TestErrorsAndPanicsAreTheRunsOwn(t *testing.T) {
	t.Parallel()
	h := start(t, "good")
	pid := h.status("good").PID
	if r, _ := h.do(blockFail, `{"text":"no luck"}`); r.Err.GetMessage() != "no luck" || r.Crashed != nil || !maps.Equal(r.Stats, map[string]int64{"tries": 3}) {
		t.Errorf("%+v", r)
	}
	if r, _ := h.do(blockPanic, `{}`); r.Err.GetKind() != proto.ErrorKind_ERROR_KIND_PANIC || r.Crashed != nil {
		t.Errorf("%+v", r)
	}
	if r, _ := h.do("dddddddd-0000-4000-8000-000000000001", `{}`); !strings.Contains(r.Err.GetMessage(), "no installed plugin") {
		t.Errorf("%+v", r)
	}
	if got := h.status("good"); got.PID != pid {
		t.Errorf("another process: %+v", got)
	}
	h.checkEmpty()
}

func TestErrorOfOutputEndsTheRun(t *testing.T) {
	t.Parallel()
	h := start(t, "good")
	calls := 0
	r, _ := h.doRun(context.Background(), Run{
		Block: blockEmit, Input: json.RawMessage(`{"n":1000000}`),
		Output: func(string, json.RawMessage) error {
			calls++
			return errors.New("not what was recorded")
		},
	})
	if r.Err.GetMessage() != "not what was recorded" || calls != 1 {
		t.Errorf("%+v after %d outputs", r, calls)
	}
	h.checkEmpty()
}

func TestCancelledRunEnds(t *testing.T) {
	t.Parallel()
	h := start(t, "good")
	ctx, cancel := context.WithCancel(context.Background())
	results := h.started(ctx, Run{Block: blockWait, Input: json.RawMessage(`{}`)})
	cancel()
	if r := await(t, results); r.Err.GetKind() != proto.ErrorKind_ERROR_KIND_CANCELLED {
		t.Errorf("%+v", r)
	}
	h.checkEmpty()
	s := h.plugins[0].current.Load()
	before := s.last
	if r, _ := h.doRun(ctx, Run{Block: blockEcho, Input: json.RawMessage(`{}`)}); r.Err.GetKind() != proto.ErrorKind_ERROR_KIND_CANCELLED || s.last != before {
		t.Errorf("begun after its context's end: %+v", r)
	}
}

func TestRunThatIgnoresItsCancellationIsGivenUp(t *testing.T) {
	t.Parallel()
	h := start(t, "good")
	ctx, cancel := context.WithCancel(context.Background())
	results := h.started(ctx, Run{Block: blockStubborn, Input: json.RawMessage(`{}`)})
	cancel()
	if r := await(t, results); r.Err.GetKind() != proto.ErrorKind_ERROR_KIND_CANCELLED || !strings.Contains(r.Err.GetMessage(), "did not end") {
		t.Errorf("%+v", r)
	}
	h.mustDo(blockEcho, `{"value":1}`)
	// it is still in the process: whoever dies with it was not alone
	if r, _ := h.do(blockExit, `{"n":1}`); r.Crashed == nil || r.Crashed.Alone {
		t.Errorf("%+v", r)
	}
}

func TestPrintsOfAnySizeBlockNobody(t *testing.T) {
	t.Parallel()
	for _, to := range []string{"stdout", "stderr"} {
		t.Run(to, func(t *testing.T) {
			t.Parallel()
			h := start(t, "good")
			for _, size := range []int{10, 70_000, 3 << 20} {
				h.mustDo(blockPrint, fmt.Sprintf(`{"size":%d,"text":%q}`, size, to))
			}
			eventually(t, "the log", func() bool { return strings.Contains(h.log.String(), "yyyyyyyyyy") })
			if n := len(h.log.String()); n > 1<<20 {
				t.Errorf("%d bytes were logged", n)
			}
		})
	}
}

func TestHostileFramesHurtOnlyTheirSender(t *testing.T) {
	t.Parallel()
	for mode, want := range map[string]struct {
		message string // of the run's error
		crash   string // in the detail of the process's end
		outputs int
	}{
		"invalid":   {message: "not valid JSON"},
		"empty":     {message: "empty"},
		"utf8":      {message: "UTF-8"},
		"deep":      {message: "deeper than"},
		"pin":       {message: `pin "nosuch"`},
		"tool":      {outputs: 1},
		"nothing":   {},
		"stderr":    {},
		"log":       {},
		"bulk":      {outputs: 1},
		"bulkshort": {message: "announced 11"},
		"bulklong":  {message: "longer than the 9"},
		"bulkhuge":  {message: "at most"},
		"flood":     {crash: "without credit"},
		"unknown":   {crash: "does not go on"},
		"message":   {crash: "larger than max"},
		"big":       {outputs: 40},
	} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			h := start(t, "raw_a")
			session := h.plugins[0].current.Load()
			input := json.RawMessage(fmt.Sprintf(`{"mode":%q}`, mode))
			outputs := 0
			r, _ := h.doRun(context.Background(), Run{Block: blockRaw, Input: input, Output: func(string, json.RawMessage) error {
				outputs++
				return nil
			}})
			switch {
			case mode == "flood" && r.Crashed == nil && strings.Contains(r.Err.GetMessage(), "more outputs"):
				// The first output too many was seen before the one that ends the process.
				eventually(t, "the process is given up", func() bool { return h.plugins[0].current.Load() != session })
			case want.crash != "":
				if r.Crashed == nil || !strings.Contains(r.Crashed.Detail, want.crash) || !r.Crashed.Alone {
					t.Errorf("%v %+v", r.Err, r.Crashed)
				}
			case want.message != "":
				if r.Crashed != nil || !strings.Contains(r.Err.GetMessage(), want.message) {
					t.Errorf("%v %+v", r.Err, r.Crashed)
				}
			case r.Err != nil || r.Crashed != nil || outputs != want.outputs:
				t.Errorf("%v %+v, %d outputs", r.Err, r.Crashed, outputs)
			}
			h.mustDo(blockRaw, `{"mode":"nothing"}`)
			if mode == "log" && !strings.Contains(h.log.String(), "from the frame") {
				t.Error("nothing was logged")
			}
		})
	}
}

func TestOutputsWithoutCreditFailTheRun(t *testing.T) {
	t.Parallel()
	h := start(t, "raw_a")
	pid := h.status("raw_a").PID
	s := h.plugins[0].current.Load()
	r, _ := h.doRun(context.Background(), Run{
		Block: blockRaw, Input: json.RawMessage(`{"mode":"overrun"}`),
		Output: func(string, json.RawMessage) error {
			eventually(t, "all of it", func() bool {
				r := s.find(1)
				r.mu.Lock()
				defer r.mu.Unlock()
				return r.overdraw == 70-credit
			})
			return nil
		},
	})
	if r.Crashed != nil || !strings.Contains(r.Err.GetMessage(), "more outputs") {
		t.Errorf("%v %+v", r.Err, r.Crashed)
	}
	if got := h.status("raw_a"); got.PID != pid {
		t.Errorf("another process: %+v", got)
	}
}

func TestFramesAfterTheEndOfARunCostTheProcess(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"twice", "late"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			h := start(t, "raw_a")
			pid := h.status("raw_a").PID
			h.mustDo(blockRaw, fmt.Sprintf(`{"mode":%q}`, mode))
			eventually(t, "another process", func() bool {
				st := h.status("raw_a")
				return st.State == Ready && st.PID != pid
			})
		})
	}
}

func TestInputTooLargeForASimplePluginIsRefused(t *testing.T) {
	t.Parallel()
	h := start(t, "raw_small")
	pid := h.status("raw_small").PID
	input := append(append([]byte(`{"mode":"`), bytes.Repeat([]byte("x"), proto.MaxMessage)...), `"}`...)
	if r, _ := h.do(blockRaw, string(input)); !strings.Contains(r.Err.GetMessage(), "all that plugin raw_small accepts") {
		t.Errorf("%v %+v", r.Err, r.Crashed)
	}
	if r, _ := h.do(blockRaw, `{"mode":"bulk"}`); !strings.Contains(r.Err.GetMessage(), "does not declare") {
		t.Errorf("%v %+v", r.Err, r.Crashed)
	}
	if got := h.status("raw_small"); got.PID != pid {
		t.Errorf("another process: %+v", got)
	}
}

func TestGrandchildrenDieWithThePlugin(t *testing.T) {
	t.Parallel()
	h := start(t, "good")
	pid, err := strconv.Atoi(h.mustDo(blockGrandchild, `{}`)[0])
	if err != nil || !alive(pid) {
		t.Fatalf("process %d: %v", pid, err)
	}
	h.Close()
	eventually(t, "the grandchild's end", func() bool { return !alive(pid) })
}

// How a plugin ends is told as it was, though another process waits for it.
func TestEndOfAPluginIsToldAsItWas(t *testing.T) {
	t.Parallel()
	h := start(t, "good")
	for input, want := range map[string]string{`{"n":137}`: "exit status 137", `{"text":"kill"}`: "signal: killed", `{"n":0}`: "exit status 0"} {
		if r, _ := h.do(blockExit, input); r.Crashed == nil || !strings.Contains(r.Crashed.Detail, want) {
			t.Errorf("%s: %+v", input, r.Crashed)
		}
	}
}

func TestEscapedGrandchildDoesNotHoldUpTheEnd(t *testing.T) {
	t.Parallel()
	h := start(t, "good")
	pid, err := strconv.Atoi(h.mustDo(blockGrandchild, `{"text":"escape"}`)[0])
	if err != nil || !alive(pid) {
		t.Fatalf("process %d: %v", pid, err)
	}
	h.Close() // bounded by the test's time
	if runtime.GOOS == "linux" && alive(pid) {
		t.Errorf("process %d is left", pid)
	}
	if p, err := os.FindProcess(pid); err == nil {
		_ = p.Signal(syscall.SIGKILL)
	}
}
