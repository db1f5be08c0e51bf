package execution

import (
	"context"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// turns lets executions commit step after step through a writer's queue to a database that takes so long for each
// batch, and answers the sizes of the batches after the first 20.
func turns(t *testing.T, executions int, takes, shortest, longest time.Duration) (sizes []int) {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	synctest.Test(t, func(t *testing.T) {
		w := &writer{in: make(chan *commit, 1024), enough: make(chan struct{}, 1)}
		ctx, cancel := context.WithCancel(context.Background())
		for range executions {
			c := &commit{sets: true, at: time.Now(), done: func(error) {}}
			w.submit(ctx, c)
		}
		for batches := range 120 {
			batch := w.drain(ctx, <-w.in)
			time.Sleep(takes)
			w.cadence.committed(batch, takes)
			if batches >= 20 {
				sizes = append(sizes, len(batch))
			}
			for _, c := range batch {
				step := shortest + time.Duration(random.Int64N(int64(longest-shortest)))
				go func() {
					select {
					case <-time.After(step):
						w.submit(ctx, &commit{sets: true, at: time.Now(), setBy: c.told, done: func(error) {}})
					case <-ctx.Done():
					}
				}()
			}
		}
		cancel()
		synctest.Wait()
	})
	return sizes
}

func mean(sizes []int) float64 {
	sum := 0
	for _, n := range sizes {
		sum += n
	}
	return float64(sum) / float64(len(sizes))
}

func TestStepsShareACommitOfASlowDatabase(t *testing.T) {
	t.Parallel()
	if got := mean(turns(t, 16, 4*time.Millisecond, 200*time.Microsecond, 1500*time.Microsecond)); got < 15 {
		t.Errorf("a batch has %.1f of 16 steps that end long before a commit: they take turns", got)
	}
}

func TestWhatTakesItsTimeHoldsUpNobody(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name        string
		takes, step time.Duration
	}{
		{"steps longer than the window", 4 * time.Millisecond, 5 * time.Millisecond},
		{"a quick database", 1500 * time.Microsecond, 500 * time.Microsecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := cadence{took: c.takes}
				for range 50 {
					batch := []*commit{{sets: true}, {sets: true}}
					p.committed(batch, c.takes)
					time.Sleep(c.step)
					back := &commit{setBy: p.told, at: time.Now()}
					p.came(back)
					if more, atMost := p.worth(1); more > 0 && atMost > 0 {
						t.Fatalf("a batch waits for %d more, up to %v", more, atMost)
					}
				}
			})
		})
	}
}

// One of two steps has always come back at once, and is lost this time.
func TestAWaitForWhatDoesNotComeEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &writer{in: make(chan *commit, 1024), enough: make(chan struct{}, 1)}
		w.cadence = cadence{took: time.Hour, set: 16, early: 16}
		w.cadence.committed([]*commit{{sets: true}, {sets: true}}, time.Hour)
		began := time.Now()
		batch := w.drain(context.Background(), &commit{setBy: w.cadence.told, at: time.Now()})
		if len(batch) != 1 {
			t.Errorf("%d commits, want the one that came", len(batch))
		}
		if waited := time.Since(began); waited != longestWindow {
			t.Errorf("it waited %v, want %v", waited, longestWindow)
		}
	})
}
