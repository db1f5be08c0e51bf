package execution

import (
	"context"
	"crypto/sha256"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// Bounds of what a tree may be ahead of the database (contract: durability 4).
const (
	maxAheadRows  = 1000
	maxAheadBytes = 16 << 20
	// inlineValue is the largest value that lies in the journal itself.
	inlineValue = 8 << 10
	// startsVisibleAfter is when a pure node execution that still runs is shown as started.
	startsVisibleAfter = 25 * time.Millisecond
	// linger is how long rows that nobody waits for may wait for more (contract: at most 10 ms).
	linger      = 4 * time.Millisecond
	lingerRows  = 128
	lingerBytes = 256 << 10
	// awaitedLinger is how long the acceptance of an execution that only its end is awaited of waits for that end.
	awaitedLinger = 100 * time.Millisecond
)

// tree drives the machine of one root execution: it feeds it events, hands its rows to the writer, and starts and
// cancels blocks as it commands. One goroutine at a time has the turn: the tree's own, or that of a block that has just
// ended. The latter goes on with the next block itself, so that a chain of blocks switches goroutines no more often
// than the plugin makes it.
type tree struct {
	s        *generation
	root     *run
	m        *machine
	ctx      context.Context
	timezone string // the user's

	turn      sync.Mutex // held over everything below but inbox and acks
	over      bool
	err       error
	visible   *time.Timer // set when armed
	lingering *time.Timer // set when later
	deadline  *time.Timer // set when the root is timed
	timed     bool
	armed     bool
	later     bool
	lends     bool     // the goroutine that has the turn can run an attempt afterwards
	next      *attempt // that one
	begun     begun    // what a plugin began by itself after the block that has just ended

	mu    sync.Mutex
	inbox []any
	acks  []ack
	wake  chan struct{}

	releases []func() // of keys that ended attempts hold, oldest first
	waiting  int      // those of them whose attempts' ends are not handed to the writer

	pending  *commit // what the events handled so far want committed
	after    []command
	rows     []*row
	gathered int // bytes of the values in rows
	ahead    int // rows handed to the writer and not committed
	bytes    int
	kept     map[storedValue]struct{} // large values that are in the database
	cancels  map[execKey]context.CancelFunc
	asleep   map[execKey]*attempt // those that may wait until it is time for them
	blocks   sync.WaitGroup
	draining bool
	told     *told       // what this process has seen of the root, from its start; nil when it is too much
	unseen   bool        // a block runs whose start is not recorded
	accepted func(error) // called once, when the execution is committed
	awaited  bool        // which may be when it ends
	setBy    time.Time   // when the commit was that has set something going of which nothing has come back
	unsure   bool        // the writer has the acceptance, which may be refused: nothing must follow it
	ended    atomic.Bool // the root's end is committed
}

type execKey struct {
	run  uuid.UUID
	exec uint32
}

type storedValue struct {
	run    uuid.UUID
	digest [sha256.Size]byte
}

// ack is the writer's answer to one commit.
type ack struct {
	err      error
	at       time.Time // of the commit
	commands []command
	rows     int
	bytes    int
	releases int
}

// drainEvent asks a tree to start nothing more.
type drainEvent struct{}

func newTree(s *generation, root *run, m *machine, timezone string) *tree {
	visible, lingering, deadline := time.NewTimer(time.Hour), time.NewTimer(time.Hour), time.NewTimer(time.Hour)
	visible.Stop()
	lingering.Stop()
	deadline.Stop()
	return &tree{
		s: s, root: root, m: m, timezone: timezone, wake: make(chan struct{}, 1), visible: visible, lingering: lingering, deadline: deadline,
		kept: map[storedValue]struct{}{}, cancels: map[execKey]context.CancelFunc{}, asleep: map[execKey]*attempt{},
	}
}

// post hands the tree an event, from any goroutine.
func (t *tree) post(event any) {
	t.mu.Lock()
	t.inbox = append(t.inbox, event)
	t.mu.Unlock()
	t.rouse()
}

// first hands the tree an event that goes before all others.
func (t *tree) first(event any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.inbox = append([]any{event}, t.inbox...)
}

// takeAcks takes the writer's answers. They go before all else, since they make room.
func (t *tree) takeAcks() []ack {
	t.mu.Lock()
	defer t.mu.Unlock()
	acks := t.acks
	t.acks = nil
	return acks
}

// takeEvents takes what happened, unless the tree is too far ahead of the database: then the next answer of the
// writer brings it back here.
func (t *tree) takeEvents() []any {
	if t.ahead >= maxAheadRows || t.bytes >= maxAheadBytes {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	events := t.inbox
	t.inbox = nil
	return events
}

// run goes on until the root has ended and everything is committed (nil), until nothing runs any more while the
// server drains (nil), until ctx ends, or until the database refuses a commit.
func (t *tree) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer t.dropUnseen()
	defer t.releaseAll()
	defer t.blocks.Wait()
	defer cancel()
	t.ctx = ctx
	defer t.visible.Stop()
	defer t.lingering.Stop()
	defer t.deadline.Stop()
	for {
		t.turn.Lock()
		t.process()
		over, err := t.over, t.err
		t.turn.Unlock()
		if over {
			return err
		}
		select {
		case <-t.wake:
		case <-t.visible.C:
			t.turn.Lock()
			t.armed, t.unseen = false, false
			t.apply(ctx, t.m.handle(time.Now(), tickEvent{}))
			t.turn.Unlock()
		case <-t.deadline.C:
			t.post(timeoutEvent{})
		case <-t.lingering.C:
			t.turn.Lock()
			t.later = false
			if !t.unsure {
				t.end(t.flush(ctx))
			}
			t.turn.Unlock()
		case <-ctx.Done():
			t.turn.Lock()
			t.over = true // answers of the writer that come now change nothing any more
			t.turn.Unlock()
			return context.Cause(ctx)
		}
	}
}

// end notes that the tree cannot go on. The turn is held.
func (t *tree) end(err error) {
	if err != nil && !t.over {
		t.over, t.err = true, err
	}
}

// process takes what has come in. The turn is held.
func (t *tree) process() {
	if t.over {
		return
	}
	if t.settle(); t.over {
		return
	}
	for _, ev := range t.takeEvents() {
		t.handle(t.ctx, ev)
	}
	switch {
	case t.unsure: // the answer brings the tree back here
	case t.urgent():
		t.end(t.flush(t.ctx))
	case t.pending != nil && !t.later:
		wait := linger
		if t.accepted != nil {
			wait = awaitedLinger
		}
		t.lingering.Reset(wait)
		t.later = true
	}
	if t.root.timeout > 0 && t.root.begun && !t.timed {
		t.deadline.Reset(time.Until(t.root.startedAt.Add(t.root.timeout)))
		t.timed = true
	}
	if t.unseen && !t.armed {
		t.visible.Reset(startsVisibleAfter)
		t.armed = true
	}
	t.over = t.over || t.finished()
}

// settle takes the writer's answers. The turn is held.
func (t *tree) settle() {
	for _, a := range t.takeAcks() {
		t.unsure = false
		t.ahead -= a.rows
		t.bytes -= a.bytes
		if a.err != nil {
			t.end(a.err)
			return
		}
		for _, release := range t.releases[:a.releases] {
			t.blocks.Go(release)
		}
		t.releases = t.releases[a.releases:]
		if len(a.commands) > 0 {
			t.setBy = a.at
		}
		for _, c := range a.commands {
			t.launch(t.ctx, c)
		}
	}
}

// releaseLater lets the key that an attempt held go to others when its end is committed.
func (t *tree) releaseLater(ev doneEvent) {
	switch {
	case ev.release == nil:
	case len(t.rows) == 0: // nobody asked for its end any more
		t.blocks.Go(ev.release)
	default:
		t.releases = append(t.releases, ev.release)
		t.waiting++
	}
}

// releaseAll lets go what the attempts of a tree held whose ends are not known to be committed.
func (t *tree) releaseAll() {
	t.turn.Lock()
	releases := t.releases
	t.turn.Unlock()
	for _, release := range releases {
		release()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, ev := range t.inbox {
		switch ev := ev.(type) {
		case doneEvent:
			ev.letGo()
		case endedEvent:
			ev.letGo()
		}
	}
}

// acknowledge brings the writer's answer, taking the turn for it where that is free, so that what waited for the commit
// starts at once.
func (t *tree) acknowledge(a ack) {
	t.mu.Lock()
	t.acks = append(t.acks, a)
	more := len(t.inbox) > 0
	t.mu.Unlock()
	if !t.turn.TryLock() {
		t.rouse()
		return
	}
	defer t.turn.Unlock()
	if !t.over {
		more = more || t.unsure && t.pending != nil
		t.settle()
		t.over = t.over || t.finished()
	}
	if more || t.over {
		t.rouse()
	}
}

// work runs an attempt, and then what follows from its end as long as that is one block.
func (t *tree) work(a *attempt) {
	defer t.blocks.Done()
	for a != nil {
		event := a.run()
		if event == nil {
			return
		}
		a = t.deliver(event)
	}
}

// deliver brings the tree an event, taking the turn for it where that is free, and answers what the caller may run.
func (t *tree) deliver(event any) (next *attempt) {
	t.mu.Lock()
	t.inbox = append(t.inbox, event)
	t.mu.Unlock()
	if !t.turn.TryLock() {
		t.rouse()
		return nil
	}
	defer t.turn.Unlock()
	t.lends = true
	t.process()
	next, t.next, t.lends = t.next, nil, false
	if t.over {
		t.rouse()
	}
	return next
}

// rouse wakes the tree's own goroutine.
func (t *tree) rouse() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// urgent says that somebody waits for what is pending.
func (t *tree) urgent() bool {
	return len(t.after) > 0 || t.accepted != nil && !t.awaited || t.root.ended != "" || t.draining || len(t.rows) >= lingerRows || t.gathered >= lingerBytes
}

func (t *tree) finished() bool {
	if t.ahead > 0 || t.pending != nil {
		return false
	}
	return t.root.ended != "" || t.draining && len(t.cancels) == 0
}

func (t *tree) handle(ctx context.Context, ev any) {
	switch ev := ev.(type) {
	case drainEvent:
		t.draining, t.m.draining = true, true
		for key, a := range t.asleep {
			if a.awake.CompareAndSwap(false, true) {
				t.forget(key)
			}
		}
		return
	case streamedEvent:
		// The outputs stay with their run until they are taken, so that the run feels it when they are not.
		ev.attempt.take(func(outputs []output) {
			t.apply(ctx, t.m.handle(time.Now(), outputsEvent{ev.run, ev.exec, ev.number, outputs}))
		})
	case doneEvent:
		t.forget(execKey{ev.run, ev.exec})
		t.apply(ctx, t.m.handle(time.Now(), ev))
		t.releaseLater(ev)
	case endedEvent:
		t.expect(ev)
		defer t.dropBegun()
		t.forget(execKey{ev.run, ev.exec})
		t.apply(ctx, t.m.handle(time.Now(), ev.doneEvent))
		t.releaseLater(ev.doneEvent)
	case crashEvent:
		t.forget(execKey{ev.run, ev.exec})
		t.apply(ctx, t.m.handle(time.Now(), ev))
	case childEvent:
		t.forget(execKey{ev.run, ev.exec})
		t.apply(ctx, t.m.handle(time.Now(), ev))
	case takenEvent:
		t.forget(execKey{ev.run, ev.exec})
		t.apply(ctx, t.m.handle(time.Now(), ev))
	case continueEvent:
	default:
		t.apply(ctx, t.m.handle(time.Now(), ev))
	}
	// A loop of nodes that the machine runs itself must not run ahead of the database for ever.
	for t.m.pending() {
		if t.ahead+len(t.rows) >= maxAheadRows || t.bytes >= maxAheadBytes {
			t.post(continueEvent{})
			return
		}
		t.apply(ctx, t.m.step(time.Now()))
	}
}

// continueEvent lets a tree go on that had to wait for the database.
type continueEvent struct{}

// forget drops the cancel function of an attempt that is over.
func (t *tree) forget(key execKey) {
	if cancel := t.cancels[key]; cancel != nil {
		cancel()
		delete(t.cancels, key)
		delete(t.asleep, key)
	}
}

// apply takes over what the machine decided.
func (t *tree) apply(ctx context.Context, u *unit) {
	c := t.open()
	for _, r := range u.begun {
		c.begin(r)
	}
	for _, w := range u.rows {
		t.rows = append(t.rows, w)
		t.gathered += sizeOf(w.step)
		for i := range w.writes {
			t.gathered += w.writes[i].Bytes()
			c.bytes += w.writes[i].Bytes()
		}
		c.writes, w.writes = append(c.writes, w.writes...), nil
		if w.kind == rowBegin && w.run.parent == nil {
			c.states = append(c.states, writeOf(w.run))
		}
	}
	for _, r := range u.ended {
		c.states = append(c.states, writeOf(r))
	}
	for _, cmd := range u.commands {
		switch {
		case cmd.kind == cancelBlock:
			t.forget(execKey{cmd.run.id, cmd.exec.id})
		case cmd.afterCommit:
			t.after = append(t.after, cmd)
		default:
			t.launch(ctx, cmd)
		}
	}
}

// launch starts what the machine commanded, if it still wants it.
func (t *tree) launch(ctx context.Context, c command) {
	if c.exec.state != execRunning || c.exec.attempt != c.attempt {
		return
	}
	sleeps := time.Now().Before(c.notBefore)
	if sleeps && t.draining {
		return // it is recorded: whoever goes on will wait for it
	}
	ctx, cancel := context.WithCancel(ctx)
	t.cancels[execKey{c.run.id, c.exec.id}] = cancel
	if c.kind == loadChild {
		input, node := c.input, c.exec.plan().node
		t.blocks.Add(1)
		go func() {
			defer t.blocks.Done()
			t.post(t.s.loadChild(ctx, c, input, node))
		}()
		return
	}
	if c.kind == loadOutputs {
		t.blocks.Add(1)
		go func() {
			defer t.blocks.Done()
			if ev, err := t.s.takenOutputs(ctx, c); err == nil {
				t.post(ev)
			}
		}()
		return
	}
	t.unseen = t.unseen || !c.afterCommit
	a := newAttempt(ctx, t, c)
	t.aim(a)
	if sleeps {
		t.asleep[execKey{c.run.id, c.exec.id}] = a
	}
	if t.lends && t.next == nil {
		t.next = a
		return
	}
	t.blocks.Add(1)
	t.s.workers.run(func() { t.work(a) })
}
