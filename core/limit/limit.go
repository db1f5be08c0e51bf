// Package limit counts requests in windows of a minute, and says who has had enough. It knows nothing of HTTP, and it
// must never be the reason that a request fails: where it cannot count, it lets pass.
//
// While a server is the only one on its database it decides by what is in its memory and writes that down every second.
// As soon as there are others, each request is counted in the database, which alone knows what was asked of all. A server
// that nobody asks for anything does not look for others; it takes that there are some until it has looked again.
package limit

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/go-hclog"
	"github.com/uptrace/bun"
)

// Window is how long counts last. Windows begin with the clock's minutes.
const Window = time.Minute

// Bucket is what is limited together.
type Bucket struct {
	Name string
	Max  int // requests a window; 0 is no limit
}

// Decision is what became of a request.
type Decision struct {
	Allowed   bool
	Limit     int
	Remaining int
	Reset     time.Time // when the next window begins
}

// Limiter counts for all servers of a database together.
type Limiter struct {
	store  store
	log    hclog.Logger
	now    func() time.Time
	alone  atomic.Bool
	used   atomic.Bool // requests came since it was looked for other servers
	cancel context.CancelFunc
	done   chan struct{}
	swept  time.Time // the window in which old counts were dropped last

	mu     sync.Mutex
	window time.Time
	counts map[key]*count
}

type key struct{ bucket, subject string }

// count is what is known of a key in the current window. Its lock is held while the database is asked for it.
type count struct {
	mu      sync.Mutex
	known   bool // what was in the database when the window's first request came is in n
	n       int
	written int // of n, what the database has
}

// Bounds of what is asked of the database.
const (
	syncEvery = time.Second
	askLimit  = 2 * time.Second
)

// maxKeys bounds the memory; who comes after that many others in one minute is not counted.
const maxKeys = 200_000

// Start begins to count. server is this server's id, which its lease has.
func Start(ctx context.Context, db *bun.DB, server uuid.UUID, log hclog.Logger) *Limiter {
	return start(ctx, newStore(db, server), log, time.Now)
}

func start(ctx context.Context, s store, log hclog.Logger, now func() time.Time) *Limiter {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	l := &Limiter{store: s, log: log, now: now, cancel: cancel, done: make(chan struct{}), counts: map[key]*count{}}
	l.used.Store(true) // the first request is about to come
	l.synchronise(ctx)
	go l.run(ctx)
	return l
}

// Close writes down what was counted.
func (l *Limiter) Close() {
	l.cancel()
	<-l.done
	ctx, cancel := context.WithTimeout(context.Background(), askLimit)
	defer cancel()
	l.flush(ctx)
}

// Take counts a request of subject in each of the buckets, of which those without a limit do not count. It answers with
// the tightest one; ok is false where nothing was counted. The narrowest bucket comes first: a request that a bucket
// refuses is counted in none that follows.
func (l *Limiter) Take(ctx context.Context, subject string, buckets ...Bucket) (tightest Decision, ok bool) {
	window := l.now().Truncate(Window)
	for _, b := range buckets {
		if b.Max <= 0 {
			continue
		}
		n, err := l.take(ctx, window, b, subject)
		if err != nil {
			l.log.Warn("requests are not counted", "error", err)
			return Decision{}, false
		}
		d := Decision{Allowed: n <= b.Max, Limit: b.Max, Remaining: max(0, b.Max-n), Reset: window.Add(Window)}
		if !d.Allowed {
			return d, true
		}
		if !ok || d.Remaining < tightest.Remaining {
			tightest, ok = d, true
		}
	}
	return tightest, ok
}

// take answers how many requests there are with this one, or more than are allowed if this one is not.
func (l *Limiter) take(ctx context.Context, window time.Time, b Bucket, subject string) (int, error) {
	if !l.used.Load() { // so that those who ask do not all write to it
		l.used.Store(true)
	}
	c := l.count(window, key{b.Name, subject})
	if c == nil {
		return 1, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n >= b.Max { // it only grows
		return b.Max + 1, nil
	}
	if alone := l.alone.Load(); alone && c.known {
		c.n++
		return c.n, nil
	} else if !alone {
		// What was counted in memory before others came is written with the next synchronisation.
		n, err := l.store.take(ctx, window, key{b.Name, subject}, b.Max)
		if err == nil {
			c.known, c.n, c.written = true, n+c.n-c.written, n
		}
		return c.n, err
	}
	n, err := l.store.read(ctx, window, key{b.Name, subject})
	if err != nil {
		return 0, err
	}
	c.known, c.written, c.n = true, n, n+1
	return c.n, nil
}

// count finds what is counted of a key, nil if there are too many.
func (l *Limiter) count(window time.Time, k key) *count {
	l.mu.Lock()
	defer l.mu.Unlock()
	if window.After(l.window) {
		l.window, l.counts = window, map[key]*count{}
	}
	c := l.counts[k]
	if c == nil && len(l.counts) < maxKeys {
		c = &count{}
		l.counts[k] = c
	}
	return c
}

func (l *Limiter) run(ctx context.Context) {
	defer close(l.done)
	every := time.NewTicker(syncEvery)
	defer every.Stop()
	for {
		select {
		case <-every.C:
			l.synchronise(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// synchronise writes down what was counted, and looks for other servers if anything was.
func (l *Limiter) synchronise(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	if !l.flush(ctx) {
		return
	}
	if window := l.now().Truncate(Window); window.After(l.swept) {
		if err := l.store.sweep(ctx, window.Add(-Window)); err != nil {
			l.log.Debug("could not drop old counts", "error", err)
		} else {
			l.swept = window
		}
	}
	if !l.used.Swap(false) {
		l.alone.Store(false)
		return
	}
	others, err := l.store.others(ctx)
	if err != nil {
		l.log.Debug("could not look for other servers", "error", err)
		return
	}
	l.alone.Store(others == 0)
}

// flush brings what was counted in memory to the database.
func (l *Limiter) flush(ctx context.Context) bool {
	l.mu.Lock()
	window, counts := l.window, make(map[key]*count, len(l.counts))
	for k, c := range l.counts {
		counts[k] = c
	}
	l.mu.Unlock()
	var deltas []delta
	for k, c := range counts {
		c.mu.Lock()
		if n := c.n - c.written; n > 0 {
			deltas = append(deltas, delta{k, n})
		}
		c.mu.Unlock()
	}
	if len(deltas) == 0 {
		return true
	}
	if err := l.store.add(ctx, window, deltas); err != nil {
		l.log.Debug("could not write down what was counted", "error", err)
		return false
	}
	for _, d := range deltas {
		c := counts[d.key]
		c.mu.Lock()
		c.written += d.n
		c.mu.Unlock()
	}
	return true
}
