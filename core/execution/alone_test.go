package execution

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/patchbay-io/patchbay/core/graph"
	"github.com/patchbay-io/patchbay/core/plugin"
	proto "github.com/patchbay-io/patchbay/sdk/proto"
)

// runnerFunc is a Runner.
type runnerFunc func(ctx context.Context, r plugin.Run) plugin.Result

func (f runnerFunc) Run(ctx context.Context, r plugin.Run) plugin.Result { return f(ctx, r) }

// shownPins is one line of outputs.
func shownPins(pins []PinValues) string {
	var b strings.Builder
	for _, p := range pins {
		fmt.Fprintf(&b, "%s=%s ", p.Name, p.Values)
	}
	return strings.TrimSpace(b.String())
}

func TestBlocksRunAlone(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	for _, c := range []struct{ block, inputs, want string }{
		{"Pure", `{"a": 1.00e2, "other":"x"}`, `p=[{"a":1.00e2,"other":"x"}]`},
		{"Stream", `{"a":1,"n":"7"}`, `p=[1 {"k":[2]} {"k":[2]}] q=[{"a":1,"n":7}]`},
		{"Fails", `{"a":11}`, `p=[{"a":11}]`},
		{"Fails", `{"a":123456}`, `q=["before"] error=["boom"]`},
		{"Once", `{"a":"x","b":null}`, `p=[{"a":"x"}]`},
	} {
		pins, err := h.RunBlock(t.Context(), "u", blockByName(t, c.block), json.RawMessage(c.inputs))
		if got := shownPins(pins); err != nil || got != c.want {
			t.Errorf("%s %s: %s %v, want %s", c.block, c.inputs, got, err, c.want)
		}
	}
}

func TestBlocksThatDoNotRunAlone(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	if _, err := h.RunBlock(t.Context(), "u", "none", json.RawMessage(`{}`)); !errors.Is(err, ErrNoBlock) {
		t.Errorf("an unknown one: %v", err)
	}
	for _, b := range testBlocks {
		_, err := h.RunBlock(t.Context(), "u", b.ID, json.RawMessage(`{"a":1}`))
		if _, refused := errors.AsType[*NotAlone](err); refused != (b.run == nil) {
			t.Errorf("%s: %v", b.Name, err)
		}
	}
	for inputs, want := range map[string]string{
		`{}`:         "map[a:is required]",
		`{"a":null}`: "map[a:is required]",
	} {
		_, err := h.RunBlock(t.Context(), "u", blockByName(t, "Pure"), json.RawMessage(inputs))
		if invalid, ok := errors.AsType[*graph.Invalid](err); !ok || fmt.Sprint(invalid.Fields) != want {
			t.Errorf("%s: %v, want %s", inputs, err, want)
		}
	}
}

// A process that dies under several runs is no fault of the block's, which runs again by itself; nothing of its first
// attempt is seen.
func TestABlockAloneOutlivesAProcess(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	for _, c := range []struct {
		block string
		alone bool // in the process that dies
		want  string
	}{
		{"Effect", false, `p=[2]`},
		{"Stream", false, `p=[2]`},
		{"Effect", true, `p=[1] error=["the plugin's process died while it ran this block. exit 3"]`},
		{"Once", false, `p=[1] error=["the plugin's process died while it ran this block. exit 3"]`},
	} {
		h.runWith(func(_ context.Context, r plugin.Run) plugin.Result {
			if err := r.Output("p", json.RawMessage(fmt.Sprint(r.Context.Attempt))); err != nil {
				t.Error(err)
			}
			if r.Isolated != (r.Context.Attempt == 2) {
				t.Errorf("attempt %d is isolated: %t", r.Context.Attempt, r.Isolated)
			}
			if r.Isolated {
				return plugin.Result{}
			}
			return plugin.Result{Crashed: &plugin.Crash{Alone: c.alone, Detail: "exit 3"}}
		})
		pins, err := h.RunBlock(t.Context(), "u", blockByName(t, c.block), json.RawMessage(`{"a":1}`))
		if got := shownPins(pins); err != nil || got != c.want {
			t.Errorf("%s, alone %t: %s %v, want %s", c.block, c.alone, got, err, c.want)
		}
	}
}

func TestABlockAloneIsBounded(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	effect, inputs := blockByName(t, "Effect"), json.RawMessage(`{"a":1}`)
	until := func(ctx context.Context, r plugin.Run) plugin.Result {
		<-ctx.Done()
		return plugin.Result{Err: &proto.Error{Message: "cancelled"}}
	}

	h.runWith(func(ctx context.Context, r plugin.Run) plugin.Result {
		for {
			if err := r.Output("p", json.RawMessage(`0`)); err != nil {
				return plugin.Result{Err: &proto.Error{Message: "it went on"}}
			}
		}
	})
	pins, err := h.RunBlock(t.Context(), "u", effect, inputs)
	if err != nil || len(pins) != 2 || len(pins[0].Values) > maxAloneBytes/aloneOverhead || string(pins[1].Values[0]) != `"the block's outputs are larger than 32 MiB together"` {
		t.Errorf("endless outputs: %d pins, %v", len(pins), err)
	}

	h.runWith(func(ctx context.Context, r plugin.Run) plugin.Result {
		_ = r.Output("p", json.RawMessage(`0`))
		return until(ctx, r)
	})
	h.aloneTime = 10 * time.Millisecond
	pins, err = h.RunBlock(t.Context(), "u", effect, inputs)
	if want := `p=[0] error=["the block did not end within 10ms"]`; err != nil || shownPins(pins) != want {
		t.Errorf("it does not end: %s %v, want %s", shownPins(pins), err, want)
	}

	// Who waits for the place of another one waits no longer than a block may run, and no longer than it wants to.
	h.alone = make(chan struct{}, 1)
	h.alone <- struct{}{}
	if _, err := h.RunBlock(t.Context(), "u", effect, inputs); !errors.Is(err, ErrUnavailable) {
		t.Errorf("without a place: %v", err)
	}
	h.aloneTime = maxAlone
	<-h.alone
	ctx, cancel := context.WithCancel(t.Context())
	h.runWith(func(ctx context.Context, r plugin.Run) plugin.Result {
		cancel()
		return until(ctx, r)
	})
	if _, err := h.RunBlock(ctx, "u", effect, inputs); !errors.Is(err, ErrUnavailable) {
		t.Errorf("nobody waits: %v", err)
	}
	if len(h.alone) != 0 {
		t.Error("the place is not free again")
	}

	h.kill()
	if _, err := h.RunBlock(t.Context(), "u", effect, inputs); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a server that stops: %v", err)
	}
}

// runWith runs blocks in another way from now on.
func (h *harness) runWith(f runnerFunc) { h.Service.runner = f }
