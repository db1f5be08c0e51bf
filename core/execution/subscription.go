package execution

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/patchbay-io/patchbay/core/execution/journal"
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
	replay  []*row
	ended   bool
	live    bool // the rows follow what the hub delivers
	poll    *time.Timer
	polls   atomic.Bool // nothing has come for so long that the database is to be asked
}

// replaySegments is how many segments are read at a time, within replayBytes.
const (
	replaySegments = 64
	replayBytes    = 256 << 10
)

// Subscribe starts after the event with the given number; 0 is the whole story.
func (s *Service) Subscribe(ctx context.Context, userID, id string, after int64) (*Subscription, error) {
	key, err := cleanID(id)
	if err != nil {
		return nil, err
	}
	sub := &Subscription{s: s, after: after, watcher: s.hub.watch(key, true)}
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
	err = sub.s.db.QueryRowContext(ctx, `
		SELECT x.root_id, coalesce((SELECT seq FROM journal WHERE execution_id = ?0 ORDER BY pos DESC LIMIT 1), 0) FROM execution x WHERE x.id = ?0`, id).Scan(&sub.root, &sub.lastSeq)
	if err != nil {
		return fmt.Errorf("read the last event: %w", err)
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
// the subscription is closed. Neither may block: progress that cannot be taken at once is lost.
func (sub *Subscription) Follow(wake func(), progress func(frame json.RawMessage)) {
	sub.s.hub.follow(sub.watcher, wake, progress)
}

// Close ends the subscription.
func (sub *Subscription) Close() {
	sub.s.hub.unwatch(sub.header.id, sub.watcher)
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
	if len(sub.replay) > 0 {
		r := sub.replay[0]
		if sub.replay = sub.replay[1:]; len(sub.replay) == 0 {
			sub.replay = nil // what was read is not kept while the subscription waits
		}
		sub.take(r)
		return true, nil
	}
	if !sub.live {
		if err := sub.read(ctx); err != nil {
			return false, err
		}
		sub.live = len(sub.replay) == 0
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

// read gets the next rows from the database.
func (sub *Subscription) read(ctx context.Context) error {
	rows, err := sub.s.db.QueryContext(ctx, `SELECT `+segmentColumns+` FROM journal WHERE execution_id = ? AND pos > ? ORDER BY pos LIMIT ?`, sub.header.id, sub.pos, replaySegments)
	if err != nil {
		return fmt.Errorf("read journal: %w", err)
	}
	full := errors.New("enough")
	size := 0
	err = scanRows(rows, func(w storedRow) error {
		if w.pos <= sub.pos {
			return nil
		}
		sub.replay = append(sub.replay, &row{
			run: sub.header, pos: w.pos, seq: w.seq, events: w.events, kind: w.kind, nodeExec: w.nodeExec, status: w.status, at: w.at, step: w.step,
		})
		if size += sizeOf(w.step); size > replayBytes {
			return full
		}
		return nil
	})
	if err != nil && !errors.Is(err, full) {
		return err
	}
	return nil
}

func sizeOf(s *journal.Step) int {
	n := 0
	for _, o := range s.Outputs {
		n += len(o.Value)
	}
	return n
}
