package execution

import "time"

// cadence says how many more commits the next batch should wait for. On a database that commits slowly, a step that ends
// just after a batch was sent waits for nearly two, so that executions fall into groups that take turns; when the next
// batch waits for the steps that the last one has started, they share one. Only as many are waited for as have come back
// that early lately: blocks that take their time hold nobody up.
type cadence struct {
	took  time.Duration // by a batch, lately
	set   float64       // how many commits started something, lately
	early float64       // to how many of those another came within the window
	told  time.Time     // when the last batch was committed
	lacks float64       // how many are expected within the window after it and are not there
}

const (
	fading = 7.0 / 8 // what is left of earlier observations after each batch
	// A shorter window is below what timers are good for, and a database so quick is better kept busy.
	shortestWindow = time.Millisecond
	longestWindow  = 10 * time.Millisecond
)

// window is how long after a batch the next one may wait: who waits must lose less than who comes wins.
func (p *cadence) window() time.Duration { return min(p.took/2, longestWindow) }

// committed notes that a batch was committed, and how long that took.
func (p *cadence) committed(batch []*commit, took time.Duration) {
	p.told, p.lacks = time.Now(), 0
	set := 0.0
	for _, c := range batch {
		c.told = p.told
		if c.sets {
			set++
		}
	}
	p.took = time.Duration(fading*float64(p.took) + (1-fading)*float64(took))
	if p.set > 0 {
		p.lacks = set * min(1, p.early/p.set)
	}
	p.set, p.early = fading*p.set+set, fading*p.early
}

// came notes a commit that is to be part of the next batch.
func (p *cadence) came(c *commit) {
	if c.setBy.IsZero() {
		return
	}
	if c.at.Sub(c.setBy) <= p.window() {
		p.early++
	}
	if c.setBy.Equal(p.told) {
		p.lacks--
	}
}

// worth is how many more commits a batch of n waits for, and for how long at most.
func (p *cadence) worth(n int) (more int, atMost time.Duration) {
	if p.lacks < 1 || float64(n) > 3*p.lacks || p.window() < shortestWindow {
		return 0, 0
	}
	return int(p.lacks), time.Until(p.told.Add(p.window()))
}
