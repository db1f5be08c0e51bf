package plugin

import (
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/time/rate"
)

// Bounds of what a process may write to the server's log: it may burst, and then so much a second.
const (
	logLines      = 200
	logLinesBurst = 2000
	logBytes      = 128 << 10
	logBytesBurst = 2 << 20
)

// floodInterval is how often is said that lines are dropped.
const floodInterval = 10 * time.Second

// floodgate lets so much of a process's log through as a server can keep.
type floodgate struct {
	log hclog.Logger

	mu      sync.Mutex
	lines   *rate.Limiter
	bytes   *rate.Limiter
	dropped int       // lines of which nothing was said yet
	said    time.Time // when something was said
}

func newFloodgate(log hclog.Logger) *floodgate {
	return &floodgate{log: log, lines: rate.NewLimiter(logLines, logLinesBurst), bytes: rate.NewLimiter(logBytes, logBytesBurst)}
}

// pass says whether a line may be logged. Its size is in bytes.
func (g *floodgate) pass(size int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	ok := g.lines.AllowN(now, 1) && g.bytes.AllowN(now, min(size, maxLogged))
	if !ok {
		g.dropped++
	}
	if g.dropped > 0 && now.Sub(g.said) >= floodInterval {
		g.tell(now)
	}
	return ok
}

// end says what has not been said yet.
func (g *floodgate) end() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.dropped > 0 {
		g.tell(time.Now())
	}
}

func (g *floodgate) tell(now time.Time) {
	g.log.Warn("plugin writes more than is logged", "lines_dropped", g.dropped, "lines_a_second", logLines)
	g.dropped, g.said = 0, now
}
