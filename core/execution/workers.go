package execution

import (
	"sync"
	"time"
)

// workers run jobs on goroutines that have just become idle, or on new ones: growing the stack of a new goroutine costs
// more than much of what is done on it.
type workers struct {
	idle    chan func()
	closing chan struct{}
	all     sync.WaitGroup
}

// idleWorker is how long a goroutine waits for another job.
const idleWorker = time.Second

func (w *workers) init() { w.idle, w.closing = make(chan func()), make(chan struct{}) }

// run begins a job, always at once.
func (w *workers) run(job func()) {
	select {
	case w.idle <- job:
		return
	default:
	}
	w.all.Go(func() {
		timer := time.NewTimer(idleWorker)
		defer timer.Stop()
		for {
			job()
			timer.Reset(idleWorker)
			select {
			case job = <-w.idle:
			case <-timer.C:
				return
			case <-w.closing:
				return
			}
		}
	})
}

// close waits for all jobs. Nobody may begin another.
func (w *workers) close() {
	close(w.closing)
	w.all.Wait()
}
