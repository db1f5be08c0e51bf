package ws

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/hashicorp/go-hclog"

	"github.com/patchbay-io/patchbay/core/execution"
)

// pumped is a connection without a socket: what its queue is given, it has sent.
func pumped(t *testing.T) (c *conn, sent func() []string) {
	t.Helper()
	ctx, interrupt := context.WithCancelCause(t.Context())
	c = &conn{ctx: ctx, interrupt: interrupt, log: hclog.NewNullLogger()}
	var mu sync.Mutex
	var all []string
	c.queue = newQueue(2<<10, &buffers{limit: 1 << 20}, func() {
		for c.queue.more() {
			mu.Lock()
			size := 0
			for _, f := range c.queue.take(nil) {
				all = append(all, string(f.payload))
				size += f.size()
			}
			mu.Unlock()
			c.queue.written(size)
		}
	})
	return c, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(all)
	}
}

func TestPumpsRunOnlyWhileEventsCome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, sent := pumped(t)
		s := newStory("u")
		s.open++
		p := c.follow("x", &view{story: s})
		resting := func() bool {
			synctest.Wait()
			p.mu.Lock()
			defer p.mu.Unlock()
			return !p.running && !p.again
		}
		if !resting() {
			t.Error("it runs before there is an event")
		}
		const events = 1000
		var emitting sync.WaitGroup
		for range 4 {
			emitting.Go(func() {
				for range events / 4 {
					s.emit(false, `{}`)
				}
			})
		}
		emitting.Wait()
		if !resting() {
			t.Error("it runs on when no event comes any more")
		}
		if n := len(sent()); n != events {
			t.Errorf("%d of %d events were sent", n, events)
		}
		p.stop()
		p.stop()
		s.emit(false, `{}`)
		p.wake()
		if !resting() || !p.over() || s.following() != 0 || len(sent()) != events {
			t.Errorf("stopped: resting %t, over %t, %d subscriptions, %d events", resting(), p.over(), s.following(), len(sent()))
		}
		c.pumps.Wait()
	})
}

// late is a view of an execution whose next event happens just after somebody has looked for one.
type late struct {
	*view
	happened bool
}

func (l *late) Next(ctx context.Context) (execution.Event, bool, error) {
	event, ok, err := l.view.Next(ctx)
	if !ok && !l.happened {
		l.happened = true
		l.emit(false, `{}`)
	}
	return event, ok, err
}

func TestPumpsMissNothingThatComesAsTheyRest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, sent := pumped(t)
		p := c.follow("x", &late{view: &view{story: newStory("u")}})
		synctest.Wait()
		if n := len(sent()); n != 1 {
			t.Errorf("%d events were sent", n)
		}
		p.stop()
		c.pumps.Wait()
	})
}

// However its stop falls among events, the pump is over once, and nothing is sent out of order or after it.
func TestPumpsAreStoppedAmongEvents(t *testing.T) {
	t.Parallel()
	for n := range 200 {
		synctest.Test(t, func(t *testing.T) {
			c, sent := pumped(t)
			s := newStory("u")
			s.open++
			p := c.follow("x", &view{story: s})
			go func() {
				for i := range n {
					s.emit(i == 150, strconv.Itoa(i))
				}
			}()
			for len(sent()) < n/2 {
				synctest.Wait()
			}
			p.stop()
			<-p.done
			c.queue.writing.Wait()
			got := sent()
			synctest.Wait()
			if len(sent()) != len(got) || s.following() != 0 {
				t.Fatalf("%d events after %d, %d subscriptions", len(sent()), len(got), s.following())
			}
			for i, text := range got {
				if text != strconv.Itoa(i) {
					t.Fatalf("event %d is %s", i, text)
				}
			}
		})
	}
}
