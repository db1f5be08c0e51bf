package execution

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// Subscription delivers the events of one execution: first the recorded ones, then live ones, without gap, duplicate
// or reordering. It pulls: a slow reader holds nothing in memory but its place. Nothing runs for it while it waits.
type Subscription struct {
	s       *Service
	header  *run // what events say of their execution
	hidden  *mask
	root    uuid.UUID
	watcher *watcher
	status  Status
	lastSeq int64
	pos     int   // of the last row that was delivered
	after   int64 // events up to this one are left out
	pending []Event
	rows    []storedRow   // of a segment, to be delivered next
	ahead   []segment     // that were read and follow those rows
	turn    chan struct{} // full while one of those that share it holds what it has read
	atOnce  int           // segments that are read
	holds   bool          // the turn
	ended   bool
	live    bool // the rows follow what the hub delivers
	poll    *time.Timer
	polls   atomic.Bool // nothing has come for so long that the database is to be asked
}

// So many segments are read at a time, until replayBytes are reached: few at first, since others that share the turn wait for
// all of their events, and more while they are as small as those of an execution that commits each step by itself.
const (
	minReplaySegments = 4
	maxReplaySegments = 64
	replayBytes       = 8 << 10
)

// Subscribe starts after the event with the given number; 0 is the whole story.
func (s *Service) Subscribe(ctx context.Context, userID, id string, after int64) (*Subscription, error) {
	key, err := cleanID(id)
	if err != nil {
		return nil, err
	}
	sub := &Subscription{s: s, after: after, atOnce: minReplaySegments, watcher: s.hub.watch(key, true)}
	if err := sub.open(ctx, userID, key); err != nil {
		s.hub.unwatch(key, sub.watcher)
		return nil, err
	}
	if bus := s.beside(); bus != nil && !sub.status.Ended() && !s.live(userID, sub.root) {
		bus.Watch(key)
	}
	return sub, nil
}

func (sub *Subscription) open(ctx context.Context, userID string, id uuid.UUID) error {
	x, err := sub.s.Get(ctx, userID, id.String())
	if err != nil {
		return err
	}
	h, err := sub.s.header(ctx, id)
	if err != nil {
		return err
	}
	sub.header, sub.status = newRun(id, userID, h, nil, nil), x.Status
	if sub.hidden, err = sub.s.maskOf(ctx, x, h); err != nil {
		return err
	}
	var last int
	err = sub.s.db.QueryRowContext(ctx, `
		SELECT x.root_id, coalesce(j.pos, 0), coalesce(j.seq, 0)
		FROM execution x LEFT JOIN (SELECT pos, seq FROM journal WHERE execution_id = ?0 ORDER BY pos DESC LIMIT 1) j ON true WHERE x.id = ?0`, id).Scan(&sub.root, &last, &sub.lastSeq)
	if err != nil {
		return fmt.Errorf("read the last event: %w", err)
	}
	if sub.after >= sub.lastSeq { // nothing of what is recorded is wanted
		sub.pos, sub.ended = last, sub.status.Ended()
	}
	return nil
}

// header is the plan of an execution, with its credentials.
func (s *Service) header(ctx context.Context, id uuid.UUID) (*Plan, error) {
	var planID []byte
	var document, credentials string
	if err := s.db.QueryRowContext(ctx, `SELECT p.id, p.plan, coalesce(x.credentials, '') FROM execution x JOIN execution_plan p ON p.id = x.plan_id WHERE x.id = ?`, id).Scan(&planID, &document, &credentials); err != nil {
		return nil, fmt.Errorf("read plan: %w", err)
	}
	p, err := s.plans.stored(planID, document)
	if err != nil {
		return nil, err
	}
	picked, err := readPicks(credentials)
	if err != nil {
		return nil, err
	}
	return p.with(picked), nil
}

// givenTo are the credentials that the caller named for an execution.
func (s *Service) givenTo(ctx context.Context, id string) (map[string]json.RawMessage, error) {
	var credentials string
	if err := s.db.QueryRowContext(ctx, `SELECT coalesce(credentials, '') FROM execution WHERE id = ?`, id).Scan(&credentials); err != nil {
		return nil, fmt.Errorf("read the execution's credentials: %w", err)
	}
	picked, err := readPicks(credentials)
	return (&run{picks: picked}).given(), err
}

// Status is the execution's as of the subscription.
func (sub *Subscription) Status() Status { return sub.status }

// LastSeq is the number of the newest recorded event as of the subscription.
func (sub *Subscription) LastSeq() int64 { return sub.lastSeq }

// Follow has wake called whenever Next may have something new, and gives progress, as frames of the API, to a function, until
// the subscription is closed. Neither may block: progress that cannot be taken at once is lost. Of the subscriptions that
// share a turn, a channel with room for one, only one at a time holds recorded events in memory.
func (sub *Subscription) Follow(turn chan struct{}, wake func(), progress func(frame json.RawMessage)) {
	sub.turn = turn
	sub.s.hub.follow(sub.watcher, wake, progress)
}

// Close ends the subscription.
func (sub *Subscription) Close() {
	sub.s.hub.unwatch(sub.header.id, sub.watcher)
	sub.yield()
	if sub.poll != nil {
		sub.poll.Stop()
	}
}

// Next is the next event; ok is false while there is none. After the terminal one it is io.EOF.
func (sub *Subscription) Next(ctx context.Context) (ev Event, ok bool, err error) {
	for {
		for len(sub.pending) > 0 {
			ev := sub.pending[0]
			if sub.pending = sub.pending[1:]; len(sub.pending) == 0 {
				sub.pending = nil
			}
			if ev.Seq > sub.after {
				ev, err := sub.complete(ctx, ev)
				return ev, err == nil, err
			}
		}
		if sub.ended {
			return Event{}, false, io.EOF
		}
		if more, err := sub.advance(ctx); err != nil || !more {
			return Event{}, false, err
		}
	}
}

// advance takes the next row: one that was read before, one that the hub brought, or one from the database. It says
// whether there may be more.
func (sub *Subscription) advance(ctx context.Context) (bool, error) {
	if len(sub.rows) > 0 {
		w := sub.rows[0]
		sub.rows[0] = storedRow{} // what was delivered is not kept with what follows
		sub.rows = sub.rows[1:]
		sub.take(&row{
			run: sub.header, pos: w.pos, seq: w.seq, events: w.events, kind: w.kind, nodeExec: w.nodeExec, status: w.status, at: w.at, step: w.step,
		})
		return true, nil
	}
	if len(sub.ahead) > 0 {
		return true, sub.unpack()
	}
	sub.yield()
	if !sub.live {
		if err := sub.read(ctx); err != nil {
			return false, err
		}
		sub.live = len(sub.ahead) == 0
		return true, nil
	}
	switch r, lost := sub.watcher.take(); {
	case lost, r != nil && r.pos > sub.pos+1: // the database has what was lost
		sub.live = false
	case r == nil && sub.polls.Swap(false):
		sub.live = sub.s.live(sub.header.userID, sub.root)
	case r == nil:
		sub.pollLater()
		return false, nil
	case r.pos == sub.pos+1:
		sub.take(r)
	}
	return true, nil
}

// pollLater lets the subscription look into the database when nothing comes for a while.
func (sub *Subscription) pollLater() {
	if sub.poll != nil {
		sub.poll.Reset(sub.s.pollEvery)
		return
	}
	sub.poll = time.AfterFunc(sub.s.pollEvery, func() {
		sub.polls.Store(true)
		sub.s.hub.rouse(sub.watcher)
	})
}

func (sub *Subscription) take(r *row) {
	if r.seq > sub.after {
		sub.pending = r.expanded(sub.hidden)
	}
	sub.pos = r.pos
	sub.ended = r.kind == rowEnd
}

// unpack takes the rows out of the next segment that was read.
func (sub *Subscription) unpack() error {
	rows, err := sub.ahead[0].unpack()
	if err != nil {
		return err
	}
	sub.ahead[0] = segment{}
	sub.ahead = sub.ahead[1:]
	for len(rows) > 0 && rows[0].pos <= sub.pos {
		rows = rows[1:]
	}
	sub.rows = rows
	return nil
}

// read gets the next segments from the database, in its turn, which it keeps until all of it was delivered.
func (sub *Subscription) read(ctx context.Context) error {
	if err := sub.await(ctx); err != nil {
		return err
	}
	sub.rows, sub.ahead = nil, nil
	// What is before the events that are wanted is left out unread.
	rows, err := sub.s.db.QueryContext(ctx, `SELECT `+segmentColumns+` FROM journal WHERE execution_id = ? AND pos > ? AND seq > ? ORDER BY pos LIMIT ?`, sub.header.id, sub.pos, sub.after, sub.atOnce)
	if err != nil {
		return fmt.Errorf("read journal: %w", err)
	}
	size := 0
	err = scanSegments(rows, func(s *segment) (more bool, err error) {
		sub.ahead = append(sub.ahead, *s)
		size += len(s.body)
		return size < replayBytes, nil
	})
	switch {
	case size < replayBytes/2:
		sub.atOnce = min(4*sub.atOnce, maxReplaySegments)
	case size >= replayBytes:
		sub.atOnce = minReplaySegments
	}
	return err
}

// await waits for the turn.
func (sub *Subscription) await(ctx context.Context) error {
	if sub.turn == nil {
		return nil
	}
	select {
	case sub.turn <- struct{}{}:
		sub.holds = true
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// yield gives the turn to the next, once nothing is held.
func (sub *Subscription) yield() {
	if sub.rows, sub.ahead = nil, nil; sub.holds {
		sub.holds = false
		<-sub.turn
	}
}
