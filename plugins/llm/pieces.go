package main

import (
	"strings"
	"sync"
	"time"

	"github.com/patchbay-io/patchbay/sdk"
)

// pieceTime is how long pieces of an answer wait for more: models send words faster than anybody reads, and the server
// drops progress that comes too fast.
const pieceTime = 40 * time.Millisecond

// pieces shows an answer to who watches while it grows.
type pieces struct {
	out sdk.Emitter

	mu      sync.Mutex
	waiting strings.Builder
	timer   *time.Timer
	ended   bool
}

func newPieces(out sdk.Emitter) *pieces { return &pieces{out: out} }

func (p *pieces) add(piece string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting.WriteString(piece)
	if p.timer == nil && !p.ended && p.waiting.Len() > 0 {
		p.timer = time.AfterFunc(pieceTime, p.show)
	}
}

// show is called by the timer.
func (p *pieces) show() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.timer = nil
	if !p.ended {
		p.send()
	}
}

func (p *pieces) send() {
	if p.waiting.Len() > 0 {
		p.out.Progress(sdk.Progress{Delta: p.waiting.String()})
		p.waiting.Reset()
	}
}

// end shows the rest. Nothing is shown after it.
func (p *pieces) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer != nil {
		p.timer.Stop()
	}
	p.ended = true
	p.send()
}
