package execution

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
)

// What waits for a server lies in the database, as executions without an owner: any server that has room takes it. Here
// is only what this server knows of it.

// entry is a root execution that this server owns and that has not ended.
type entry struct {
	id       uuid.UUID
	who      userGraph
	root     *run        // nil: it is read from the database first
	accepted func(error) // of a new one
	awaited  bool        // Request.Awaited
	tree     *tree       // while it runs
	stops    []uuid.UUID // executions of the tree to stop as soon as it runs
	retried  bool        // its rows were refused by the database once
	bounded  bool        // its end may let others run, on any server
	queued   time.Time   // since when it waits here for a seat
}

// maxParked bounds the executions that wait and are kept in memory too, so that they need not be read again.
const maxParked = 1000

// Busy says that so much waits that nothing more is accepted.
type Busy struct {
	// User says that it is the user's own executions that wait.
	User bool
	// After is when it is worth trying again.
	After time.Duration
}

func (b *Busy) Error() string {
	if b.User {
		return "too many of your executions wait to be run; try again when some have ended"
	}
	return "too many executions wait to be run; try again later"
}

// busyFor is after how long a refused client should come back.
const busyFor = 5 * time.Second

// enqueue runs a new execution now, or commits it: for this server, if little else waits and it will have room in a moment,
// else for the one that has room first.
func (g *generation) enqueue(e *entry) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.draining || g.ctx.Err() != nil {
		e.accepted(errFenced)
		return
	}
	first := g.first()
	if (first || g.isNew(e.who.user)) && !g.claims.hold() && g.seats.room(e.who) && !g.bounded(e.root) {
		g.entries[e.id] = e
		g.launch(e)
		return
	}
	if busy := g.backlog.refuses(e.who.user, g.config.Queue, g.config.UserQueue); busy != nil {
		e.accepted(busy)
		return
	}
	c := &commit{bytes: len(e.root.inputs)}
	c.begin(e.root)
	if first && len(g.queue)+g.coming < g.ahead() && !g.bounded(e.root) {
		g.keepHere(e, c)
	} else {
		g.leaveToAny(e, c)
	}
	g.trees.Add(1)
	go func() {
		defer g.trees.Done()
		g.writer.submit(g.ctx, c)
	}()
}

// first says that what arrives may have its turn before what may wait in the database. The lock is held.
func (g *generation) first() bool { return !g.hungry || time.Since(g.claims.drained) < drainedFor }

// isNew says that nothing of a user runs here and, as far as is known here, nothing waits. The lock is held.
func (g *generation) isNew(user string) bool {
	return g.seats.users[user] == 0 && g.backlog.users[user] == 0
}

// ahead is how much may wait here. The lock is held.
func (g *generation) ahead() int {
	if g.others.Load() {
		return g.pace.ahead(time.Now(), aheadFor)
	}
	return g.pace.ahead(time.Now(), aheadAlone)
}

// keepHere lets an execution wait for this server's next seat. The lock is held.
func (g *generation) keepHere(e *entry, c *commit) {
	g.coming++
	accepted := e.accepted
	e.accepted = nil
	c.done = func(err error) {
		g.mu.Lock()
		g.coming--
		g.mu.Unlock()
		if err == nil {
			g.own(e)
		}
		accepted(err)
	}
}

// leaveToAny lets an execution wait for any server. The lock is held.
func (g *generation) leaveToAny(e *entry, c *commit) {
	g.backlog.add(e.who.user, 1)
	c.states[0].waits = true
	c.done = func(err error) {
		g.mu.Lock()
		if err == nil {
			g.park(e.root)
			g.crave()
		} else {
			g.backlog.add(e.who.user, -1)
		}
		g.mu.Unlock()
		if err == nil && g.config.Bus != nil && (g.config.Elsewhere || g.others.Load()) {
			g.config.Bus.Work()
		}
		e.accepted(err)
	}
}

// bounded says that what runs on all servers must be counted before an execution of this root begins; of nil, before any.
func (g *generation) bounded(root *run) bool {
	return g.config.UserConcurrency > 0 || g.config.GraphConcurrency > 0 || root != nil && root.maxConcurrent > 0
}

// park keeps an execution that waits, in place of any other when there are too many. The lock is held.
func (g *generation) park(r *run) {
	if g.config.Elsewhere {
		return
	}
	for id := range g.parked {
		if len(g.parked) < maxParked {
			break
		}
		delete(g.parked, id)
	}
	g.parked[r.id] = r
}

// crave notes that something waits which this server might take. The lock is held.
func (g *generation) crave() {
	if g.config.Elsewhere {
		return
	}
	g.hungry = true
	g.arrivals++
	select {
	case g.claims.wake <- struct{}{}:
	default:
	}
}

// own runs an execution that this server owns as soon as there is room.
func (g *generation) own(e *entry) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.entries[e.id] != nil || g.draining || g.ctx.Err() != nil {
		return
	}
	g.entries[e.id] = e
	if len(e.stops) > 0 {
		g.launch(e) // ending it takes no seat's worth of work
		return
	}
	e.queued = time.Now()
	g.line(e)
	g.fill()
}

// line puts an entry into the queue, behind those of the same user's that go before it. The lock is held.
func (g *generation) line(e *entry) {
	at := slices.IndexFunc(g.queue, e.before)
	if at < 0 {
		at = len(g.queue)
	}
	g.queue = slices.Insert(g.queue, at, e)
}

// before says that e goes before one of the same user's that has come earlier.
func (e *entry) before(other *entry) bool {
	return e.who.user == other.who.user && e.root != nil && other.root != nil && e.root.priority > other.root.priority
}

// launch runs an entry. The lock is held.
func (g *generation) launch(e *entry) {
	g.seats.take(e.who)
	g.trees.Add(1)
	go func() {
		defer g.trees.Done()
		err := g.drive(e)
		g.mu.Lock()
		defer g.mu.Unlock()
		g.seats.leave(e.who)
		if g.seats.free() > 0 { // else it was a spare one's, which is for nobody who waits here
			g.pace.end(time.Now())
		}
		delete(g.entries, e.id)
		switch {
		case err == nil || g.ctx.Err() != nil || errors.Is(err, errPresumed): // who asked for it asks again
		case errors.Is(err, errUnreadable), errors.Is(err, errPoison) && e.retried:
			g.log.Error("an execution cannot go on", "execution", e.id, "error", err)
			g.trees.Add(1)
			go func() {
				defer g.trees.Done()
				g.giveUp(e.id, err)
			}()
		default:
			g.log.Warn("an execution is read again from its last commit", "execution", e.id, "error", err)
			if g.config.Elsewhere {
				g.trees.Add(1)
				go func() {
					defer g.trees.Done()
					g.giveBack(e.id)
				}()
				break
			}
			again := &entry{id: e.id, who: e.who, stops: e.stops, retried: errors.Is(err, errPoison), bounded: e.bounded}
			g.entries[e.id] = again
			g.trees.Add(1)
			go func() {
				defer g.trees.Done()
				g.later(again)
			}()
		}
		g.fill()
		if g.hungry || e.bounded {
			g.crave()
		}
		if e.bounded && g.seats.free() <= 0 && g.config.Bus != nil && g.others.Load() {
			g.config.Bus.Work() // this server has no room for what may run now
		}
		g.idle.Broadcast()
	}()
}

// later queues an entry after a moment, so that a database that is away is not asked in a loop.
func (g *generation) later(e *entry) {
	select {
	case <-time.After(200 * time.Millisecond):
	case <-g.ctx.Done():
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(e.stops) > 0 && !g.draining && g.ctx.Err() == nil {
		g.launch(e)
		return
	}
	e.queued = time.Now()
	g.queue = append(g.queue, e)
	g.fill()
}

// fill gives free seats to the queue. The lock is held.
func (g *generation) fill() {
	for !g.draining && g.ctx.Err() == nil {
		e := g.next()
		if e == nil {
			return
		}
		g.launch(e)
	}
}

// next takes out of the queue what there is a seat for: like a claim, of those users first of whom least runs. The lock is
// held.
func (g *generation) next() *entry {
	next := -1
	for i, e := range g.queue {
		if g.seats.room(e.who) && (next < 0 || g.seats.users[e.who.user] < g.seats.users[g.queue[next].who.user]) {
			next = i
		}
	}
	if next < 0 {
		return nil
	}
	e := g.queue[next]
	g.queue = slices.Delete(g.queue, next, next+1)
	return e
}

// giveBackQueued leaves what was kept or claimed in vain to whoever has room.
func (g *generation) giveBackQueued() {
	g.mu.Lock()
	var late []*entry
	var ids []uuid.UUID
	g.queue = slices.DeleteFunc(g.queue, func(e *entry) bool {
		if time.Since(e.queued) < queuedFor {
			return false
		}
		late, ids = append(late, e), append(ids, e.id)
		delete(g.entries, e.id)
		return true
	})
	g.mu.Unlock()
	if len(late) == 0 {
		return
	}
	g.giveBack(ids...)
	g.askOthers(func(id uuid.UUID) bool { return slices.Contains(ids, id) })
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, e := range late {
		if e.root != nil {
			g.park(e.root)
			g.backlog.add(e.who.user, 1)
		}
	}
	g.crave()
	if g.config.Bus != nil && g.others.Load() {
		g.config.Bus.Work()
	}
}

// backlog is how many executions wait for a server, by user: those of this server exactly, and those of all as of the
// last look into the database.
type backlog struct {
	total int
	users map[string]int
	next  time.Time // of the next look
}

func (b *backlog) add(user string, n int) {
	b.total = max(0, b.total+n)
	if b.users[user] = max(0, b.users[user]+n); b.users[user] == 0 {
		delete(b.users, user)
	}
}

// refuses says that nothing more of the user's can wait.
func (b *backlog) refuses(user string, all, perUser int) *Busy {
	switch {
	case b.users[user] >= perUser:
		return &Busy{User: true, After: busyFor}
	case b.total >= all:
		return &Busy{After: busyFor}
	}
	return nil
}

// lookAtBacklog counts what waits. However much that is, it takes a small part of the database's time. It uses
// execution_waiting.
func (g *generation) lookAtBacklog(ctx context.Context) error {
	g.mu.Lock()
	due := !time.Now().Before(g.backlog.next)
	g.mu.Unlock()
	if !due {
		return nil
	}
	began := time.Now()
	rows, err := g.db.QueryContext(ctx, `SELECT user_id COLLATE "C", count(*) FROM execution WHERE `+waits+` GROUP BY 1`)
	if err != nil {
		return fmt.Errorf("count what waits: %w", err)
	}
	defer rows.Close()
	b := backlog{users: map[string]int{}}
	for rows.Next() {
		var user string
		var n int
		if err := rows.Scan(&user, &n); err != nil {
			return fmt.Errorf("count what waits: %w", err)
		}
		b.total += n
		b.users[user] = n
	}
	b.next = time.Now().Add(100 * time.Since(began))
	g.mu.Lock()
	defer g.mu.Unlock()
	g.backlog = b
	return rows.Err()
}

// Load is what a server has to do.
type Load struct {
	Running int // root executions that run here
	Seats   int // that may run here at once
	Waiting int // that wait for a server of the database
	Users   int // of whom some wait
}

// Load says how much there is to do. What waits may be some seconds old.
func (s *Service) Load() Load {
	g, err := s.generation()
	if err != nil {
		return Load{}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return Load{Running: g.seats.taken, Seats: g.seats.total, Waiting: g.backlog.total + len(g.queue), Users: len(g.backlog.users)}
}
