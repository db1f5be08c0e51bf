package hostservice

import (
	"context"
	"crypto/sha256"
	"sync"
	"time"

	"github.com/google/uuid"
)

// holdTime bounds the wait for a key that others hold.
const holdTime = 5 * time.Minute

// turns are those of runs on this server, which wait here and not at the database.
type turns struct {
	mu sync.Mutex
	of map[uuid.UUID]*turn
}

type turn struct {
	taken   chan struct{} // holds a value while somebody has it
	waiting int           // with who has it
}

// take waits until nobody else has id. give must follow.
func (t *turns) take(ctx context.Context, id uuid.UUID) (give func(), err error) {
	t.mu.Lock()
	if t.of == nil {
		t.of = map[uuid.UUID]*turn{}
	}
	its := t.of[id]
	if its == nil {
		its = &turn{taken: make(chan struct{}, 1)}
		t.of[id] = its
	}
	its.waiting++
	t.mu.Unlock()
	leave := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if its.waiting--; its.waiting == 0 {
			delete(t.of, id)
		}
	}
	select {
	case its.taken <- struct{}{}:
		return func() {
			<-its.taken
			leave()
		}, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}

// hold keeps a key from others who want to hold it, until what the attempt writes is committed. One key is all that an
// attempt holds, so that no two wait for each other.
func (a *Attempt) hold(ctx context.Context, w Write) error {
	sum := sha256.Sum256(append([]byte(w.User+"\x00"), w.id[:]...))
	id := uuid.UUID(sum[:16])
	a.holding.Lock()
	defer a.holding.Unlock()
	switch {
	case a.give != nil && a.held == id:
		return nil
	case a.give != nil:
		return refuse("a run holds one key, and this is another one")
	}
	ctx, cancel := context.WithTimeout(ctx, holdTime)
	defer cancel()
	give, err := a.s.turns.take(ctx, id)
	if err != nil {
		return err
	}
	release, err := a.s.Uses.Hold(ctx, id)
	if err != nil {
		give()
		return err
	}
	a.held = id
	a.give = sync.OnceFunc(func() {
		release()
		give()
	})
	return nil
}

// Release gives the key that the attempt holds to others, after what it wrote was committed or will never be; nil if it
// holds none. It is asked for after End.
func (a *Attempt) Release() func() {
	a.holding.Lock()
	defer a.holding.Unlock()
	return a.give
}
