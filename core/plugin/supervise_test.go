package plugin

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/patchbay-io/patchbay/sdk/proto"
)

func TestKilledPluginComesBackAndRunsWaitForIt(t *testing.T) {
	t.Parallel()
	h := start(t, "good")
	pid := h.status("good").PID
	alone := h.started(context.Background(), Run{Block: blockWait, Input: json.RawMessage(`{}`)})
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	r := await(t, alone)
	if r.Crashed == nil || !r.Crashed.Alone || !strings.Contains(r.Crashed.Detail, "killed") {
		t.Errorf("%+v", r)
	}
	if _, ok := h.Block(blockEcho); !ok {
		t.Error("its blocks are gone")
	}
	h.mustDo(blockEcho, `{"value":1}`)
	if got := h.status("good"); got.State != Ready || got.PID == pid || got.Restarts != 1 {
		t.Errorf("status %+v", got)
	}
}

func TestProcessThatHangsIsStartedAgain(t *testing.T) {
	t.Parallel()
	p := testPace()
	p.ask, p.answer = 20*time.Millisecond, 100*time.Millisecond
	h := startHost(t, Config{Dirs: []string{install(t, "good")}}, p)
	pid := h.status("good").PID
	waiting := h.started(context.Background(), Run{Block: blockWait, Input: json.RawMessage(`{}`)})
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if r := await(t, waiting); r.Crashed == nil || !strings.Contains(r.Crashed.Detail, "it hangs") {
		t.Errorf("%+v %+v", r, r.Crashed)
	}
	eventually(t, "the next process", func() bool { st := h.status("good"); return st.State == Ready && st.PID != pid })
}

func TestRunsThatDieTogetherAreNotAlone(t *testing.T) {
	t.Parallel()
	h := start(t, "good")
	first := h.started(context.Background(), Run{Block: blockWait, Input: json.RawMessage(`{}`)})
	second := h.started(context.Background(), Run{Block: blockWait, Input: json.RawMessage(`{}`)})
	r, _ := h.do(blockExit, `{"n":5}`)
	for _, r := range []Result{r, await(t, first), await(t, second)} {
		if r.Crashed == nil || r.Crashed.Alone || !strings.Contains(r.Crashed.Detail, "exit status 5") || !strings.Contains(r.Crashed.Detail, "last words") {
			t.Errorf("%+v", r.Crashed)
		}
	}
}

func TestIsolatedRunHasAProcessOfItsOwn(t *testing.T) {
	t.Parallel()
	h := start(t, "good")
	pid := h.status("good").PID
	waiting := h.started(context.Background(), Run{Block: blockWait, Input: json.RawMessage(`{}`)})
	r, _ := h.doRun(context.Background(), Run{Block: blockExit, Input: json.RawMessage(`{"text":"kill"}`), Isolated: true})
	if r.Crashed == nil || !r.Crashed.Alone || !strings.Contains(r.Crashed.Detail, "last words") {
		t.Errorf("%+v", r)
	}
	result, outputs := h.doRun(context.Background(), Run{Block: blockReport, Input: json.RawMessage(`{}`), Isolated: true})
	var report struct{ PID int }
	if result.Err != nil || len(outputs) != 1 || json.Unmarshal([]byte(outputs[0]), &report) != nil || report.PID == pid {
		t.Errorf("%+v %v", result, outputs)
	}
	if alive(report.PID) {
		t.Errorf("process %d is left", report.PID)
	}
	if got := h.status("good"); got.PID != pid || got.State != Ready {
		t.Errorf("status %+v", got)
	}
	select {
	case r := <-waiting:
		t.Errorf("the other run ended: %+v", r)
	default:
	}
}

func TestIsolatedRunsTakeTurnsAndEndWithTheHost(t *testing.T) {
	t.Parallel()
	h := start(t, "good")
	first := h.started(context.Background(), Run{Block: blockWait, Input: json.RawMessage(`{}`), Isolated: true})
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if r, outputs := h.doRun(ctx, Run{Block: blockWait, Input: json.RawMessage(`{}`), Isolated: true}); r.Err.GetKind() != proto.ErrorKind_ERROR_KIND_CANCELLED || len(outputs) > 0 {
		t.Errorf("%+v %v", r, outputs)
	}
	h.Close()
	if r := await(t, first); r.Crashed == nil || r.Crashed.Alone {
		t.Errorf("%+v", r)
	}
}

func TestPluginThatDiesAgainAndAgainIsUnavailable(t *testing.T) {
	t.Parallel()
	p := testPace()
	p.backoffMax = 200 * time.Millisecond
	h := startHost(t, Config{Dirs: []string{install(t, "shortlived", "good")}}, p)
	eventually(t, "the verdict", func() bool { return h.status("shortlived").State == Unavailable })
	if got := h.status("shortlived"); !strings.Contains(got.Error, "exit status 4") || !strings.Contains(got.Error, "out of luck") {
		t.Errorf("status %+v", got)
	}
	eventually(t, "a refused run", func() bool {
		r, _ := h.do(blockShortlived, `{"value":1}`)
		return strings.Contains(r.Err.GetMessage(), "unavailable") && r.Err.GetKind() == proto.ErrorKind_ERROR_KIND_TEMPORARY
	})
	if _, ok := h.Block(blockShortlived); !ok {
		t.Error("its blocks are gone")
	}
	restarts := h.status("shortlived").Restarts
	eventually(t, "further starts", func() bool { return h.status("shortlived").Restarts > restarts+1 })
	if got := h.status("shortlived"); !got.Frail() || got.Deaths < 5 || !strings.Contains(got.LastDeath.Cause, "exit status 4") || time.Since(got.LastDeath.At) > time.Minute {
		t.Errorf("deaths %d, the last %+v", got.Deaths, got.LastDeath)
	}
	if got := h.status("good"); got.Frail() || got.LastDeath != nil {
		t.Errorf("deaths of one that lives: %+v", got)
	}
	h.mustDo(blockEcho, `{"value":1}`)
}

func TestBadRunsAreNoCrashLoop(t *testing.T) {
	t.Parallel()
	h := start(t, "good")
	for range 7 {
		if r, _ := h.do(blockExit, `{"n":1}`); r.Crashed == nil || !r.Crashed.Alone {
			t.Fatalf("%+v", r)
		}
	}
	h.mustDo(blockEcho, `{"value":1}`)
}

func TestRunDoesNotWaitForEverForARestart(t *testing.T) {
	t.Parallel()
	p := testPace()
	p.restart = 50 * time.Millisecond
	p.backoffMin, p.backoffMax = time.Hour, time.Hour
	h := startHost(t, Config{Dirs: []string{install(t, "shortlived")}}, p)
	eventually(t, "its death", func() bool { return h.status("shortlived").State == Restarting })
	r, _ := h.do(blockShortlived, `{"value":1}`)
	if r.Err.GetKind() != proto.ErrorKind_ERROR_KIND_TEMPORARY || !strings.Contains(r.Err.GetMessage(), "was not ready within") {
		t.Errorf("%+v", r)
	}
}

func TestStoppedPluginIsKilledInTime(t *testing.T) {
	t.Parallel()
	h := start(t, "good")
	pid := h.status("good").PID
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "its halt", func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err == nil && strings.Contains(string(stat), ") T ")
	})
	var ended sync.WaitGroup
	ended.Go(func() {
		if r, _ := h.do(blockEcho, `{"value":1}`); r.Crashed == nil || r.Crashed.Alone {
			t.Errorf("%+v", r)
		}
	})
	eventually(t, "a run in it", func() bool {
		s := h.plugins[0].current.Load()
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, r := range s.runs {
			return r.sent.Load()
		}
		return false
	})
	began := time.Now()
	h.Close()
	ended.Wait()
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
}

func TestDelaysGrowAndAreForgottenAfterASuccess(t *testing.T) {
	t.Parallel()
	p := defaultPace
	now := time.Now()
	within := func(d, want time.Duration) bool { return d <= want && d >= want*4/5 }
	var r record
	for i, want := range []time.Duration{100, 200, 400, 800} {
		r.failed(now, p)
		if got := r.delay(p); !within(got, want*time.Millisecond) || r.looping {
			t.Errorf("delay %d is %s", i, got)
		}
	}
	r.failed(now, p)
	if !r.looping || !within(r.delay(p), p.backoffMax) {
		t.Errorf("five failures in a row: %+v", r)
	}
	idle := func(d death, age time.Duration) *instance { return &instance{death: d, started: now.Add(-age)} }
	r.died(now, idle(death{}, 2*time.Minute), p)
	if r.looping || !within(r.delay(p), 100*time.Millisecond) {
		t.Errorf("after two healthy minutes: %+v", r)
	}
	r.died(now, idle(death{served: true, runs: 3}, time.Second), p)
	if r.row != 2 || len(r.recent) != 1 {
		t.Errorf("after a served run: %+v", r)
	}
	serving := record{}
	for i, want := range []time.Duration{100, 200, 400, 800, 1600, 2000, 2000} { // it dies of itself, a few seconds after each start
		serving.died(now.Add(time.Duration(i)*3*time.Second), idle(death{served: true}, 3*time.Second-time.Duration(i)*3*time.Second), p)
		if got := serving.delay(p); !within(got, want*time.Millisecond) || serving.looping {
			t.Errorf("delay %d of a plugin that serves and dies young is %s: %+v", i, got, serving)
		}
	}
	for range 10 {
		r.died(now, idle(death{runs: 1}, time.Second), p)
	}
	if r.looping || r.delay(p) > time.Second {
		t.Errorf("after runs that died alone: %+v", r)
	}
	spread := record{}
	for i := range 20 {
		spread.failed(now.Add(time.Duration(i)*20*time.Second), p)
	}
	if spread.looping {
		t.Errorf("three a minute are no loop: %+v", spread)
	}
}

// Who was cut off and only waits holds nobody up: runs in processes of their own begin one after the other, and go on
// beside each other.
func TestIsolatedRunsGoOnBesideEachOther(t *testing.T) {
	t.Parallel()
	h := start(t, "good")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var waiting []<-chan Result
	for range 3 {
		waiting = append(waiting, h.started(ctx, Run{Block: blockWait, Input: json.RawMessage(`{}`), Isolated: true}))
	}
	if r, _ := h.doRun(context.Background(), Run{Block: blockExit, Input: json.RawMessage(`{"text":"kill"}`), Isolated: true}); r.Crashed == nil || !r.Crashed.Alone {
		t.Errorf("%+v", r)
	}
	for _, w := range waiting {
		select {
		case r := <-w:
			t.Errorf("a run ended with another one's process: %+v", r)
		default:
		}
	}
	cancel()
	for _, w := range waiting {
		await(t, w)
	}
}
