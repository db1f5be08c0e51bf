// Package jinja renders Jinja templates of strangers. A template can ask for any amount of time and memory, so the
// text is made in child processes of the plugin (the same program, started with another argument) that have limits
// and are killed at a deadline. The process that the plugin's other blocks live in must never evaluate a template.
package jinja

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"
)

// Timeout is how long a template may take.
const Timeout = 5 * time.Second

// idle is how long a process without work is kept.
const idle = time.Minute

// Renderer keeps renderer processes for use again. The zero value is ready.
type Renderer struct {
	once  sync.Once
	slots chan struct{} // one a running template
	path  string
	err   error

	mu      sync.Mutex
	waiting []*waiting
	closed  bool
}

// waiting is a process without work, which the timer ends some day.
type waiting struct {
	*process
	timer *time.Timer
}

// Render fills a template with values, a JSON object. With escape, what is printed is escaped for HTML.
func (r *Renderer) Render(ctx context.Context, format string, values json.RawMessage, escape bool) (string, error) {
	if err := r.prepare(); err != nil {
		return "", err
	}
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
	tooLong := fmt.Errorf("the template did not end within %s", Timeout)
	limited, cancel := context.WithTimeoutCause(ctx, Timeout, tooLong)
	defer cancel()
	answer, err := r.ask(limited, request{Format: format, Values: values, Escape: escape})
	if err != nil {
		return "", err
	}
	if answer.Error != "" {
		return "", errors.New(answer.Error)
	}
	return answer.Text, nil
}

// ask tries a second process where one that had waited dies: it may have died before, of something else.
func (r *Renderer) ask(ctx context.Context, ask request) (response, error) {
	for {
		p, used, err := r.take()
		if err != nil {
			return response{}, fmt.Errorf("start a template renderer: %w", err)
		}
		answer, alive, err := p.render(ctx, ask)
		if alive {
			r.give(p)
		}
		if alive || !used || ctx.Err() != nil {
			return answer, err
		}
	}
}

// Close ends the processes that wait for work.
func (r *Renderer) Close() {
	r.mu.Lock()
	r.closed = true
	ending := r.waiting
	r.waiting = nil
	r.mu.Unlock()
	for _, w := range ending {
		w.timer.Stop()
		w.kill()
	}
}

func (r *Renderer) prepare() error {
	r.once.Do(func() {
		r.slots = make(chan struct{}, max(2, runtime.GOMAXPROCS(0)))
		r.path, r.err = os.Executable()
	})
	return r.err
}

// take gives the process that waited the shortest, else a new one.
func (r *Renderer) take() (p *process, used bool, err error) {
	r.mu.Lock()
	for len(r.waiting) > 0 {
		last := len(r.waiting) - 1
		w := r.waiting[last]
		r.waiting = r.waiting[:last]
		if w.timer.Stop() {
			r.mu.Unlock()
			return w.process, true, nil
		}
	}
	r.mu.Unlock()
	p, err = start(r.path)
	return p, false, err
}

func (r *Renderer) give(p *process) {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		p.kill()
		return
	}
	w := &waiting{process: p}
	w.timer = time.AfterFunc(idle, func() { r.retire(w) })
	r.waiting = append(r.waiting, w)
	r.mu.Unlock()
}

// retire ends a process that nobody took: its timer has fired, so take leaves it alone.
func (r *Renderer) retire(w *waiting) {
	r.mu.Lock()
	for i, other := range r.waiting {
		if other == w {
			r.waiting = append(r.waiting[:i], r.waiting[i+1:]...)
			break
		}
	}
	r.mu.Unlock()
	w.kill()
}
