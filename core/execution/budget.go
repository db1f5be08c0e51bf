package execution

import (
	"context"
	"slices"
	"sync"
)

// Bounds of the values over a chunk in size that are in memory whole for clients, which may be slow to take them.
const (
	maxShownBytes     = 128 << 20 // of all users
	maxUserShownBytes = 32 << 20
)

// budget bounds the bytes that are held for clients, those of all users together and those of each. Who wants more than is
// left waits for others, in turn; a user who has used up a share of his own keeps nobody else waiting. A value
// larger than a share counts as one, so that it passes as soon as its user holds nothing else.
//
// Nobody may take while he holds something, or two could wait for each other.
type budget struct {
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

func newBudget(total, share int) *budget {
	return &budget{total: total, share: share, users: map[string]int{}}
}

// take waits until a user may hold so many bytes, to release.
func (b *budget) take(ctx context.Context, user string, bytes int) (release func(), err error) {
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

// release gives back what a claim holds, or takes it out of the line.
func (b *budget) release(c *claim) {
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
func (b *budget) grant() {
	full := false
	b.waiting = slices.DeleteFunc(b.waiting, func(c *claim) bool {
		if full || b.users[c.user]+c.bytes > b.share {
			return false
		}
		if full = b.held+c.bytes > b.total; full { // those behind it wait too, or a large one would wait for ever
			return false
		}
		b.held += c.bytes
		b.users[c.user] += c.bytes
		close(c.granted)
		return true
	})
}
