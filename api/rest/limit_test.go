package rest

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/patchbay-io/patchbay/core/limit"
)

// oneWindow is a limiter whose one window never ends.
type oneWindow struct {
	mu     sync.Mutex
	counts map[string]int
	reset  time.Time
}

func (e *oneWindow) Take(_ context.Context, subject string, buckets ...limit.Bucket) (tightest limit.Decision, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, b := range buckets {
		k := b.Name + " " + subject
		e.counts[k]++
		d := limit.Decision{Allowed: e.counts[k] <= b.Max, Limit: b.Max, Remaining: max(0, b.Max-e.counts[k]), Reset: e.reset}
		if !d.Allowed {
			return d, true
		}
		if !ok || d.Remaining < tightest.Remaining {
			tightest, ok = d, true
		}
	}
	return tightest, ok
}

func TestLimits(t *testing.T) {
	t.Parallel()
	reset := time.Now().Add(time.Minute).Truncate(time.Minute)
	limits := Limits{General: 6, Execution: 2, External: 3, Anonymous: 4}
	f, _ := newKeyFixture(t, func(c *Config) {
		c.Limits, c.Limiter = limits, &oneWindow{counts: map[string]int{}, reset: reset}
	})
	ann, bob := tokenOf(t, "ann"), tokenOf(t, "bob")
	key, other := f.newKey(ann, "READ_GRAPH").Key, f.newKey(ann, "READ_GRAPH").Key // two of ann's six

	step := func(who, method, path, body string, status, limit, remaining int) {
		t.Helper()
		w := f.as(who, method, path, body)
		h := w.Header()
		if w.Code != status || h.Get("X-RateLimit-Limit") != strconv.Itoa(limit) || h.Get("X-RateLimit-Remaining") != strconv.Itoa(remaining) ||
			h.Get("X-RateLimit-Reset") != strconv.FormatInt(reset.Unix(), 10) {
			t.Errorf("%s %s: %d with %v; want %d and %d of %d", method, path, w.Code, h, status, remaining, limit)
		}
		seconds, err := strconv.Atoi(h.Get("Retry-After"))
		if refused := status == http.StatusTooManyRequests; refused != (err == nil && seconds >= 1 && seconds <= 61) {
			t.Errorf("%s %s: %d with Retry-After %q", method, path, w.Code, h.Get("Retry-After"))
		}
	}
	const graphs, none = "/api/v2/builder/graphs", "/api/v2/builder/graphs/none/execute"
	step(ann, "GET", graphs, "", 200, 6, 3)
	step(ann, "POST", none, "{}", 404, 2, 1)
	step(ann, "POST", none, "{}", 404, 2, 0)
	step(ann, "POST", none, "{}", 429, 2, 0) // counted as an execution only
	if len(f.requests) != 0 {
		t.Error("a refused execution began")
	}
	step(ann, "GET", graphs, "", 200, 6, 0)
	step(ann, "GET", graphs, "", 429, 6, 0)

	// Keys of a user share a bucket of their own, which wrong permissions count in too.
	step(key, "GET", graphs, "", 200, 3, 2)
	step(other, "GET", graphs, "", 200, 3, 1)
	step(key, "POST", graphs, "{}", 403, 3, 0)
	step(other, "GET", graphs, "", 429, 3, 0)

	// Others go on; who has no credential counts by address.
	step(bob, "GET", graphs, "", 200, 6, 5)
	for remaining := 3; remaining >= 0; remaining-- {
		step("forged", "GET", graphs, "", 401, 4, remaining)
	}
	step("forged", "GET", graphs, "", 429, 4, 0)
	step(bob, "GET", graphs, "", 200, 6, 4)

	// What matches nothing counts too, before anything is said of it.
	step(bob, "GET", "/api/v2/nothing", "", 404, 6, 3)
	step(bob, "PATCH", graphs, "", 405, 6, 2)
	step(ann, "GET", "/api/v2/nothing", "", 429, 6, 0)
	step("forged", "PATCH", graphs, "", 429, 4, 0)

	for _, path := range []string{"/openapi.json", "/docs"} {
		if h := f.do("GET", path, "").Header(); h.Get("X-RateLimit-Limit") != "" {
			t.Errorf("%s is counted: %v", path, h)
		}
	}
}
