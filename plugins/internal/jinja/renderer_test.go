package jinja

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	ServeChild()
	goleak.VerifyTestMain(m)
}

func TestBombsEndAndLeaveTheRendererUsable(t *testing.T) {
	t.Parallel()
	var r Renderer
	t.Cleanup(r.Close)
	deep := strings.Repeat("(", 200_000)
	for name, bomb := range map[string]struct{ template, want string }{
		"endless loop":      {`{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}{% endfor %}{% endfor %}{% endfor %}`, "did not end within"},
		"huge string":       {`{{ 'a' * 2000000000 }}`, "memory"},
		"list of itself":    {`{% set l = [] %}{% set _ = l.append(l) %}{{ l }}`, "nest"},
		"huge list":         {`{{ [1] * 2000000000 }}`, "memory"},
		"huge power":        {`{{ 9**(9**9) }}`, "too large"},
		"doubling":          {`{% set ns = namespace(x='aaaaaaaaaaaaaaaa') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}`, "memory"},
		"wide padding":      {`{{ 'a' | center(900000000) }}`, "longer than 16 MiB"},
		"long output":       {`{% for a in range(99999) %}{% for b in range(99999) %}{{ 'x' * 1000000 }}{% endfor %}{% endfor %}`, "longer than 16 MiB"},
		"deep expression":   {"{{ " + deep + "1" + strings.Repeat(")", 200_000) + " }}", "nest"},
		"endless recursion": {`{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}`, ""},
		"macro":             {`{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}`, "macro"},
		"include":           {`{% include "/etc/passwd" %}`, "include"},
		"wide range":        {`{{ range(1000000000) | list }}`, "range() counts"},
		"modulo by zero":    {`{{ 1 % 0 }}`, "division by zero"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			text, err := r.Render(t.Context(), bomb.template, []byte(`{}`), false)
			if took := time.Since(began); took > 12*Timeout {
				t.Errorf("it took %s", took)
			}
			// On a slow machine the deadline may come before the limit.
			if err == nil || !strings.Contains(err.Error(), bomb.want) && !strings.Contains(err.Error(), "did not end within") {
				t.Errorf("got %.60q and error %v, want an error with %q", text, err, bomb.want)
			}
			text, err = r.Render(t.Context(), `{{ x }}`, []byte(`{"x": "alive"}`), false)
			if err != nil || text != "alive" {
				t.Errorf("after it: %q, %v", text, err)
			}
		})
	}
}

func TestCancelledRunEndsAtOnce(t *testing.T) {
	t.Parallel()
	var r Renderer
	t.Cleanup(r.Close)
	enough := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(50*time.Millisecond, func() { cancel(enough) })
	began := time.Now()
	_, err := r.Render(ctx, `{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}`, []byte(`{}`), false)
	if !errors.Is(err, enough) || time.Since(began) > 3*time.Second {
		t.Errorf("got %v after %s", err, time.Since(began))
	}
}

func TestProcessesAreUsedAgainAndReplaced(t *testing.T) {
	t.Parallel()
	var r Renderer
	t.Cleanup(r.Close)
	render := func() {
		t.Helper()
		if text, err := r.Render(t.Context(), `{{ a }}`, []byte(`{"a":1}`), false); err != nil || text != "1" {
			t.Fatalf("got %q, %v", text, err)
		}
	}
	render()
	first := r.waiting[0].process
	render()
	if r.waiting[0].process != first {
		t.Error("the process was not used again")
	}
	if err := first.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	render()
	if len(r.waiting) != 1 || r.waiting[0].process == first {
		t.Error("the dead process was not replaced")
	}
}

func TestManyRenderAtOnce(t *testing.T) {
	t.Parallel()
	var r Renderer
	t.Cleanup(r.Close)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			big := strings.Repeat("é", 100_000)
			text, err := r.Render(t.Context(), `{{ x }}`, []byte(`{"x":"`+big+`"}`), false)
			if err != nil || text != big {
				t.Errorf("got %d bytes, %v", len(text), err)
			}
		})
	}
	wg.Wait()
}

func BenchmarkRender(b *testing.B) {
	var r Renderer
	b.Cleanup(r.Close)
	for b.Loop() {
		if _, err := r.Render(b.Context(), `Hello {{ name }}: {% for i in list %}{{ i }},{% endfor %}`, []byte(`{"name":"A","list":[1,2,3]}`), false); err != nil {
			b.Fatal(err)
		}
	}
}
