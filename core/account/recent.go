package account

import (
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// recent remembers what was read lately, and forgets at once what was changed here.
type recent[K comparable, V any] struct {
	mu      sync.Mutex
	entries *lru.Cache[K, read[V]]
	changes int
}

type read[V any] struct {
	value V
	at    time.Time
}

func newRecent[K comparable, V any]() *recent[K, V] {
	entries, _ := lru.New[K, read[V]](remembered) // fails for sizes below one only
	return &recent[K, V]{entries: entries}
}

// get gives what was read within trust.
func (r *recent[K, V]) get(key K) (V, bool) {
	e, ok := r.entries.Get(key)
	if !ok || time.Since(e.at) >= trust {
		var none V
		return none, false
	}
	return e.value, true
}

// mark is taken before reading and given to put.
func (r *recent[K, V]) mark() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.changes
}

// put remembers what was read since mark, unless something was changed meanwhile: the reading may have missed it.
func (r *recent[K, V]) put(mark int, key K, value V) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.changes == mark {
		r.entries.Add(key, read[V]{value, time.Now()})
	}
}

// dropAll forgets everything, where what was changed may concern any of it.
func (r *recent[K, V]) dropAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changes++
	r.entries.Purge()
}

// drop forgets what was changed. It comes after the change was committed.
func (r *recent[K, V]) drop(key K) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changes++
	r.entries.Remove(key)
}
