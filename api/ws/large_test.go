package ws

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/patchbay-io/patchbay/core/execution"
)

// pieces gives large payloads for those that name their size, and counts what is in memory of them.
type pieces struct {
	breaks int // the piece that cannot be read; 0: none

	mu     sync.Mutex
	open   int
	closed int
	held   int // pieces that were given, and no other after them
	most   int // of held
}

const pieceSize = 256 << 10

var piece = []byte(strings.Repeat("x", pieceSize))

// large is a payload of so many pieces, where the text says "large" and how many.
func (p *pieces) large(payload string) *execution.Large {
	var n int
	if _, err := fmt.Sscanf(payload, "large %d", &n); err != nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open++
	given, done := 0, false
	hold := func(n int) {
		p.held += n
		p.most = max(p.most, p.held)
	}
	return &execution.Large{
		Size: n * pieceSize,
		Next: func(context.Context) ([]byte, error) {
			p.mu.Lock()
			defer p.mu.Unlock()
			if given > 0 {
				hold(-1)
			}
			switch {
			case given == n:
				given = 0
				return nil, io.EOF
			case given+1 == p.breaks:
				given = 0
				return nil, errors.New("the piece is gone")
			}
			given++
			hold(1)
			return piece, nil
		},
		Close: func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			if given > 0 {
				hold(-1)
			}
			if given = 0; !done {
				p.closed++
			}
			done = true
		},
	}
}

// counted waits until the counts are as they should be.
func (p *pieces) counted(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; runtimeYield() {
		p.mu.Lock()
		ok := is()
		state := fmt.Sprintf("%d opened, %d closed, %d held, %d at once", p.open, p.closed, p.held, p.most)
		p.mu.Unlock()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %s", what, state)
		}
	}
}

func TestSlowClientsOfLargeEventsHoldAPieceEach(t *testing.T) {
	t.Parallel()
	p, s := &pieces{}, newStory("ann")
	small := newStory("ann")
	f := serve(t, DefaultLimits, map[string]*story{"e": s, "small": small})
	whole := p.hold(t, f, s)

	// Who reads gets everything meanwhile, large or small.
	other := f.as("ann")
	other.send(`{"type":"subscribe","execution_id":"small"}`)
	other.next()
	small.emit(false, `{"seq":1}`)
	other.expect(`{"seq":1}`)
	other.send(`{"type":"subscribe","execution_id":"e"}`)
	other.next()
	other.expect(`{"seq":1}`, whole, whole, `{"seq":4}`)
	p.counted(t, "more than one piece each", func() bool { return p.most <= slowClients+1 })
}

// Clients that take nothing for as long as one may stall are given up.
func TestClientsThatTakeNothingOfALargeEventAreGivenUp(t *testing.T) {
	t.Parallel()
	limits := DefaultLimits
	limits.Stall = 500 * time.Millisecond
	p, s := &pieces{}, newStory("ann")
	p.hold(t, serve(t, limits, map[string]*story{"e": s}), s)
	p.counted(t, "not all were given up", func() bool { return p.closed == p.open && p.held == 0 })
}

const slowClients = 12

// hold lets clients begin to take two events that are larger than what the kernel takes, and no more of them. It answers
// one of the events.
func (p *pieces) hold(t *testing.T, f *fixture, s *story) string {
	t.Helper()
	const count = 100 // 25 MiB
	s.large = p.large
	s.emit(true, `{"seq":1}`, fmt.Sprintf("large %d", count), fmt.Sprintf("large %d", count), `{"seq":4}`)
	for range slowClients {
		f.as("ann").send(`{"type":"subscribe","execution_id":"e"}`)
	}
	p.counted(t, "not all have begun", func() bool { return p.open == 2*slowClients })
	return strings.Repeat("x", count*pieceSize)
}

// A connection whose large event cannot be read ends, and neither it nor what follows it is taken for whole.
func TestLargeEventsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ breaks, code int }{
		"from the beginning": {1, websocket.CloseInternalServerErr},
		"in the middle":      {2, websocket.CloseAbnormalClosure},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := &pieces{breaks: c.breaks}
			s := newStory("ann")
			s.large = p.large
			f := serve(t, DefaultLimits, map[string]*story{"e": s})
			client := f.as("ann")
			client.send(`{"type":"subscribe","execution_id":"e"}`)
			client.next()
			s.emit(true, `{"seq":1}`, "large 3", `{"seq":3}`)
			client.expect(`{"seq":1}`)
			_, text, err := client.ReadMessage()
			if closed, ok := errors.AsType[*websocket.CloseError](err); !ok || closed.Code != c.code {
				t.Errorf("%d bytes, %v; want a close with %d", len(text), err, c.code)
			}
			p.counted(t, "it is still held", func() bool { return p.closed == p.open && p.held == 0 })
		})
	}
}
