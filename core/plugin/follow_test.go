package plugin

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/patchbay-io/patchbay/sdk/proto"
)

// afterEcho is what follows a run whose value goes into a block.
func afterEcho(block string, next *Follow) *Follow {
	return &Follow{Pin: "output", Block: block, Before: []byte(`{"value": `), Rest: []byte(`}`), Context: &proto.RunContext{NodeExecutionId: "guessed"}, Follow: next}
}

func echoRun(value string) Run {
	return Run{Block: blockEcho, Input: json.RawMessage(`{"value": ` + value + `}`)}
}

// The plugin goes through a chain by itself, and each run of it is taken as if it had been started.
func TestPluginGoesOnByItself(t *testing.T) {
	t.Parallel()
	h := start(t, "good")
	const value = `{"b":1e400, "a":[ 18446744073709551616 ]}`
	r := echoRun(value)
	r.Follow = afterEcho(blockEcho, afterEcho(blockEcho, afterEcho(blockContext, nil)))
	for i := range 3 {
		result, outputs := h.doRun(t.Context(), r)
		if result.Err != nil || len(outputs) != 1 || outputs[0] != value {
			t.Fatalf("run %d: %v %v", i, result.Err, outputs)
		}
		if result.Begun == nil {
			t.Fatalf("run %d: nothing follows", i)
		}
		r = echoRun(value)
		r.Begun = result.Begun
	}
	r.Block = blockContext
	result, outputs := h.doRun(t.Context(), r)
	if result.Err != nil || len(outputs) != 1 || !strings.HasPrefix(outputs[0], `"guessed`) || result.Begun != nil {
		t.Errorf("the last run: %v %v", result.Err, outputs)
	}
	h.checkEmpty()
}

// What the scheduler decides counts: a guess that was wrong is given up, and the run begins as any other.
func TestWrongGuessIsGivenUp(t *testing.T) {
	t.Parallel()
	h := start(t, "good")
	for name, then := range map[string]Run{
		"another input": echoRun(`2`),
		"another block": {Block: blockContext, Input: json.RawMessage(`{"value": 1}`)},
		"alone":         {Block: blockEcho, Input: json.RawMessage(`{"value": 1}`), Isolated: true},
	} {
		r := echoRun(`1`)
		r.Follow = afterEcho(blockEcho, afterEcho(blockEcho, nil))
		result, _ := h.doRun(t.Context(), r)
		if result.Begun == nil {
			t.Fatalf("%s: nothing follows", name)
		}
		then.Begun = result.Begun
		result, outputs := h.doRun(t.Context(), then)
		if result.Err != nil || len(outputs) != 1 || name == "another input" && outputs[0] != `2` || name == "another block" && !strings.HasPrefix(outputs[0], `"node-execution-1`) {
			t.Errorf("%s: %v %v", name, result.Err, outputs)
		}
		result.Begun.Drop()
	}
	h.emptied()
}

func TestNothingFollowsWithoutItsValue(t *testing.T) {
	t.Parallel()
	h := start(t, "good", "other")
	for name, r := range map[string]Run{
		"several values":      {Block: blockEmit, Input: json.RawMessage(`{"n":3}`)},
		"an error":            {Block: blockFail, Input: json.RawMessage(`{"text":"no"}`)},
		"no value":            {Block: blockNothing, Input: json.RawMessage(`{}`)},
		"a large value":       {Block: blockEcho, Input: json.RawMessage(`{"value":"` + strings.Repeat("x", 1<<20) + `"}`)},
		"one that streams":    {Block: blockEcho, Input: json.RawMessage(`{"value":1}`), Streaming: true},
		"a block of nobody's": {Block: blockEcho, Input: json.RawMessage(`{"value":1}`), Follow: afterEcho("aaaaaaaa-0000-4000-8000-999999999999", nil)},
	} {
		if r.Follow == nil {
			r.Follow = afterEcho(blockEcho, nil)
		}
		if result, _ := h.doRun(t.Context(), r); result.Begun != nil {
			t.Errorf("%s: something follows", name)
		}
	}
	h.checkEmpty()
}

func TestDroppedChainLeavesNothing(t *testing.T) {
	t.Parallel()
	h := start(t, "good")
	value := `"` + strings.Repeat("x", 4<<10) + `"`
	for range 200 {
		r := echoRun(value)
		r.Follow = afterEcho(blockEcho, afterEcho(blockEcho, afterEcho(blockEcho, nil)))
		result, _ := h.doRun(t.Context(), r)
		result.Begun.Drop()
	}
	h.emptied()
}

// A plugin that dies in what it began by itself has not harmed the run that is started then.
func TestDeathInWhatNobodyAskedForHarmsNothing(t *testing.T) {
	t.Parallel()
	h := start(t, "good")
	r := echoRun(`1`)
	r.Follow = &Follow{Pin: "output", Block: blockWait, Before: []byte(`{"n":`), Rest: []byte(`}`), Context: &proto.RunContext{}}
	result, _ := h.doRun(t.Context(), r)
	if result.Begun == nil {
		t.Fatal("nothing follows")
	}
	if err := syscall.Kill(h.status("good").PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	then := Run{Block: blockEcho, Input: json.RawMessage(`{"value":2}`), Begun: result.Begun}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	result, outputs := h.doRun(ctx, then)
	if result.Crashed != nil && !result.Crashed.Alone { // the host did not know of the death yet
		then.Begun = nil
		result, outputs = h.doRun(ctx, then)
	}
	if result.Err != nil || result.Crashed != nil || fmt.Sprint(outputs) != "[2]" {
		t.Errorf("%v %+v %v", result.Err, result.Crashed, outputs)
	}
}

// emptied waits until nothing is left of what was given up.
func (h *testHost) emptied() {
	h.t.Helper()
	s := h.plugins[0].current.Load()
	deadline := time.Now().Add(20 * time.Second)
	for {
		s.mu.Lock()
		runs := len(s.runs)
		s.mu.Unlock()
		s.pending.mu.Lock()
		bytes := s.pending.used
		s.pending.mu.Unlock()
		if runs == 0 && bytes == 0 {
			return
		}
		if time.Now().After(deadline) {
			h.t.Fatalf("%d runs and %d bytes are left in the session", runs, bytes)
		}
		time.Sleep(time.Millisecond)
	}
}
