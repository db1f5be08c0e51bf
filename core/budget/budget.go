// Package budget bounds the bytes that are held in memory for clients, which may be slow.
package budget

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Budget bounds the bytes that are held in memory for clients, those of all users together and those of each. Who wants more
// than is left waits for others, in turn; a user who has used up a share of his own keeps nobody else waiting. What is
// larger than a share counts as one, so that it passes as soon as its user holds nothing else.
//
// All together are bounded as long as clients are not slow: a user who holds nothing waits for others no longer than a
// moment, or a few who take forever would keep everybody from what is large. Each may then hold a share.
//
// Nobody may take while he holds something, or two could wait for each other.
type Budget struct {
	total, share int

	mu      sync.Mutex
	held    int
	users   map[string]int // what each holds; nobody who holds nothing
	waiting []*claim       // oldest first
}

// patience is how long a user who holds nothing waits for others.
const patience = time.Second

// claim is somebody who waits for bytes.
type claim struct {
	user    string
	bytes   int
	granted chan struct{} // closed when it holds them
}

// New makes one of so many bytes for all users, and a share of them for each.
func New(total, share int) *Budget {
	return &Budget{total: total, share: share, users: map[string]int{}}
}

// Take waits until a user may hold so many bytes, until they are released. The error is that of ctx.
func (b *Budget) Take(ctx context.Context, user string, bytes int) (release func(), err error) {
	c := &claim{user, min(bytes, b.share), make(chan struct{})}
	b.mu.Lock()
	b.waiting = append(b.waiting, c)
	b.grant()
	b.mu.Unlock()
	release = sync.OnceFunc(func() { b.release(c) })
	select {
	case <-c.granted:
		return release, nil
	default:
	}
	late := time.NewTicker(patience)
	defer late.Stop()
	for {
		select {
		case <-c.granted:
			return release, nil
		case <-late.C:
			b.insist(c)
		case <-ctx.Done():
			release()
			return nil, ctx.Err()
		}
	}
}

// Held are the bytes that are held, and how many wait for some.
func (b *Budget) Held() (bytes, waiting int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.held, len(b.waiting)
}

// release gives back what a claim holds, or takes it out of the line.
func (b *Budget) release(c *claim) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := slices.Index(b.waiting, c); i >= 0 {
		b.waiting = slices.Delete(b.waiting, i, i+1)
	} else {
		b.held -= c.bytes
		if b.users[c.user] -= c.bytes; b.users[c.user] == 0 {
			delete(b.users, c.user)
		}
	}
	b.grant()
}

// grant lets in who has waited the longest, leaving out those whose users have no more left. The lock is held.
func (b *Budget) grant() {
	full := false
	b.waiting = slices.DeleteFunc(b.waiting, func(c *claim) bool {
		if full || b.users[c.user]+c.bytes > b.share {
			return false
		}
		if full = b.held+c.bytes > b.total; full { // those behind it wait too, or a large one would wait for ever
			return false
		}
		b.give(c)
		return true
	})
}

// insist lets in who has waited long enough for others, if his user holds nothing.
func (b *Budget) insist(c *claim) {
	b.mu.Lock()
	defer b.mu.Unlock()
	first := slices.IndexFunc(b.waiting, func(other *claim) bool { return other.user == c.user })
	if first >= 0 && b.waiting[first] == c && b.users[c.user] == 0 {
		b.waiting = slices.Delete(b.waiting, first, first+1)
		b.give(c)
		b.grant() // those behind it may be small
	}
}

func (b *Budget) give(c *claim) {
	b.held += c.bytes
	b.users[c.user] += c.bytes
	close(c.granted)
}
