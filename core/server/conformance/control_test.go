package conformance

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"
)

// patience is how long a test waits for what must happen soon.
const patience = 30 * time.Second

// control is the other end of the gates in blocks: it counts their calls, and lets them go on when a test says so.
type control struct {
	path     string
	listener net.Listener
	conns    sync.WaitGroup

	mu      sync.Mutex
	calls   map[place][]*call
	changed chan struct{} // closed and made anew at each call
	closing bool
}

// place is a gate in one execution. Gates in nested agents stand under their root.
type place struct{ root, node, name string }

// call is one run of a block that came to a gate.
type call struct {
	Root    string `json:"root"`
	Node    string `json:"node"`
	Place   string `json:"place"`
	Attempt int    `json:"attempt"`
	Key     string `json:"key"`
	Hold    bool   `json:"hold"`

	answer chan string // empty: it goes on; else why it fails
	gone   chan struct{}
}

// release lets it go on.
func (c *call) release() { c.fail("") }

// fail lets it fail.
func (c *call) fail(text string) {
	select {
	case c.answer <- text:
	default: // it was answered before
	}
}

func listen(path string) (*control, error) {
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	c := &control{path: path, listener: l, calls: map[place][]*call{}, changed: make(chan struct{})}
	c.conns.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			c.conns.Go(func() { c.serve(conn) })
		}
	})
	return c, nil
}

func (c *control) close() {
	_ = c.listener.Close()
	c.mu.Lock()
	for _, list := range c.calls {
		for _, call := range list {
			call.release()
		}
	}
	c.closing = true
	c.mu.Unlock()
	c.conns.Wait()
}

func (c *control) serve(conn net.Conn) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	line, err := r.ReadBytes('\n')
	if err != nil {
		return
	}
	call := &call{answer: make(chan string, 1), gone: make(chan struct{})}
	if json.Unmarshal(line, call) != nil {
		return
	}
	c.mu.Lock()
	if !call.Hold || c.closing {
		call.release()
	}
	at := place{call.Root, call.Node, call.Place}
	c.calls[at] = append(c.calls[at], call)
	close(c.changed)
	c.changed = make(chan struct{})
	c.mu.Unlock()
	c.conns.Go(func() { // the plugin hangs up when it is done, cancelled or dead
		defer close(call.gone)
		_, _ = r.ReadByte()
	})
	select {
	case answer := <-call.answer:
		_, _ = conn.Write([]byte(answer + "\n"))
		<-call.gone
	case <-call.gone:
	}
}

// at gives the calls that came to a gate so far.
func (c *control) at(root, node, name string) []*call {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls[place{root, node, name}]
}

// wait waits until n calls have come to a gate, and gives the n-th.
func (c *control) wait(ctx context.Context, at place, n int) (*call, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		c.mu.Lock()
		list, changed := c.calls[at], c.changed
		c.mu.Unlock()
		if len(list) >= n {
			return list[n-1], nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("call %d of node %s did not come to gate %q: %w", n, at.node, at.name, ctx.Err())
		}
	}
}

func (c *control) await(t *testing.T, root, node, name string, n int) *call {
	t.Helper()
	found, err := c.wait(t.Context(), place{root, node, name}, n)
	if err != nil {
		t.Fatal(err)
	}
	return found
}
