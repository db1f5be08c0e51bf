// Package budget bounds the bytes that are held in memory for clients, which may be slow.
package budget

import (
	"context"
	"slices"
	"sync"
)

// Budget bounds the bytes that are held in memory for clients by each user, and what users hold beside one thing each by all
// of them. Who wants more than is left waits for others, in turn; a user who has used up a share of his own keeps nobody else
// waiting, and one who holds nothing waits for nobody: a few whose clients take forever would keep everybody from what is
// large. What is larger than a share counts as one, so that it passes as soon as its user holds nothing else.
//
// Nobody may take while he holds something, or two could wait for each other.
type Budget struct {
	total, share int

	mu      sync.Mutex
	held    int
	users   map[string]int // what each holds; nobody who holds nothing
	waiting []*claim       // oldest first
}

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
	case <-ctx.Done():
		release()
		return nil, ctx.Err()
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

// grant lets in who may hold what he wants, who has waited the longest first. The lock is held.
func (b *Budget) grant() {
	full := false
	b.waiting = slices.DeleteFunc(b.waiting, func(c *claim) bool {
		if holds := b.users[c.user]; holds > 0 {
			if full || holds+c.bytes > b.share {
				return false
			}
			if full = b.held+c.bytes > b.total; full { // those behind it wait too, or a large one would wait for ever
				return false
			}
		}
		b.held += c.bytes
		b.users[c.user] += c.bytes
		close(c.granted)
		return true
	})
}
