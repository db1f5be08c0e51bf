package isolation

import (
	"sync"
	"time"
)

// lookout looks at what a process does, again and again, where the kernel does not bound it for us.
type lookout struct {
	end chan struct{}
	wg  sync.WaitGroup
	met string // valid once wg is done
}

// lookOut looks for the first time after a while, and then when the last look says: never again for 0. What a look has
// ended the process for is kept.
func lookOut(first time.Duration, look func(time.Time) (next time.Duration, met string)) *lookout {
	l := &lookout{end: make(chan struct{})}
	l.wg.Go(func() {
		timer := time.NewTimer(first)
		defer timer.Stop()
		for {
			select {
			case <-l.end:
				return
			case now := <-timer.C:
				var next time.Duration
				if next, l.met = look(now); next == 0 {
					return
				}
				timer.Reset(next)
			}
		}
	})
	return l
}

// close ends it and says what it has ended the process for, if anything.
func (l *lookout) close() string {
	close(l.end)
	l.wg.Wait()
	return l.met
}
