package sdk

import (
	"context"
	"maps"
	"sync"
)

// stats are what a run counts.
type stats struct {
	mu     sync.Mutex
	counts map[string]int64
}

// maxStats is how many different statistics a run has.
const maxStats = 32

// Count adds to a statistic of the run, such as "input_token_count", which stands with the node execution when the run
// has ended, well or not. A name is [a-z][a-z0-9_]*; others, and more than 32 of them, are left out.
func Count(ctx context.Context, name string, n int64) {
	s := scopeOf(ctx).stats
	if s == nil || !plainName.MatchString(name) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.counts[name]; !ok && len(s.counts) == maxStats {
		return
	}
	if s.counts == nil {
		s.counts = map[string]int64{}
	}
	s.counts[name] += n
}

// Counted is what a run has counted in a context with WithCounts.
func Counted(ctx context.Context) map[string]int64 { return scopeOf(ctx).stats.all() }

// WithCounts makes a context in which a block that is called by hand counts, as blocktest does.
func WithCounts(ctx context.Context) context.Context {
	s := scopeOf(ctx)
	s.stats = &stats{}
	return context.WithValue(ctx, scopeKey{}, s)
}

func (s *stats) all() map[string]int64 {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.counts)
}
