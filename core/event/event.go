// Package event carries wake-ups between the servers of one database: that rows of an execution were committed which another
// server has said it watches or awaits, that somebody wants one stopped, or that one waits for a server to run it. Only ids
// travel, and whoever is woken reads what is committed. A wake-up may be lost; then the others find by looking now and then
// what they would have been told.
//
// Passing progress, which is never committed, travels itself, of executions that another server watches.
package event

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/go-hclog"
	"github.com/uptrace/bun"
)

// Handlers are told what other servers tell. They must not block.
type Handlers struct {
	// Changed says that rows of these executions were committed; of any, where the list is nil.
	Changed func(executions []uuid.UUID)
	// Stop says that requests to stop executions were committed.
	Stop func()
	// Work says that executions were committed that nobody runs.
	Work func()
	// Watched says that another server watches executions, for some time to come.
	Watched func(executions []uuid.UUID)
	// Awaited says that another server waits for the ends of executions, for some time to come.
	Awaited func(executions []uuid.UUID)
	// Asked says that another server, such as one that starts, has not heard what is watched and awaited here.
	Asked func()
	// Progress brings passing progress of an execution that runs on another server.
	Progress func(execution uuid.UUID, frame json.RawMessage)
}

// Config is what a Bus needs.
type Config struct {
	DB     *bun.DB // to send by; it may be a pooler
	Direct string  // DSN to listen by: a session of its own, so no pooler
	NATS   string  // URLs of NATS, which carries in place of the database unless it is empty
	Server uuid.UUID
	Logger hclog.Logger
}

// carrier brings texts to all servers of a database, most of them and mostly once.
type carrier interface {
	send(ctx context.Context, text string) error
	// listen hears until ctx ends. It calls began whenever something may have been said that it did not hear.
	listen(ctx context.Context, began func(), heard func(text string))
	// problem says why nothing can be sent or heard at present.
	problem() error
	close()
}

// Times and bounds of the bus.
const (
	// gather is how long ids are gathered before they are sent: a notice takes a lock that all committers share.
	gather    = 5 * time.Millisecond
	maxIDs    = 200 // of one notice, whose text has at most 8,000 bytes
	maxQueued = 20_000
	sendLimit = 5 * time.Second
	// maxText is the longest text of progress; what does not fit is lost.
	maxText     = 7900
	maxProgress = 1 << 20 // bytes that wait to be sent; what comes then is lost
)

// Bus sends and hears by NATS or else by NOTIFY and LISTEN of Postgres.
type Bus struct {
	config   Config
	carrier  carrier
	handlers Handlers
	cancel   context.CancelFunc
	all      sync.WaitGroup
	wake     chan struct{}

	mu       sync.Mutex
	changed  map[uuid.UUID]struct{}
	overflow bool // more than can be named
	stop     bool
	work     bool
	asks     bool
	watched  []uuid.UUID
	awaited  []uuid.UUID
	progress []string // lines of an id and a frame
	size     int      // of progress
}

// Open makes a bus that gathers what it is to send. Start lets it send and hear. The error is about the URL of NATS, or
// the database's; a NATS that is away is none.
func Open(ctx context.Context, c Config) (*Bus, error) {
	b := &Bus{config: c, wake: make(chan struct{}, 1), changed: map[uuid.UUID]struct{}{}}
	if c.NATS == "" {
		b.carrier = &notices{db: c.DB, direct: c.Direct, log: c.Logger}
		return b, nil
	}
	var err error
	b.carrier, err = dialNATS(ctx, c)
	return b, err
}

// Problem says why other servers are neither told nor heard at present, so that each finds by looking; nil if they are.
func (b *Bus) Problem() error { return b.carrier.problem() }

// Start begins to send and to hear, until Close.
func (b *Bus) Start(ctx context.Context, h Handlers) {
	ctx, b.cancel = context.WithCancel(context.WithoutCancel(ctx))
	b.handlers = h
	b.all.Go(func() { b.send(ctx) })
	b.all.Go(func() { b.carrier.listen(ctx, b.began, b.take) })
}

// Close ends what Open and Start began.
func (b *Bus) Close() {
	if b.cancel != nil {
		b.cancel()
	}
	b.all.Wait()
	b.carrier.close()
}

// began looks at everything, and asks for what holds on, for what was said before is not heard any more.
func (b *Bus) began() {
	b.mu.Lock()
	b.asks = true
	b.mu.Unlock()
	b.rouse()
	b.handlers.Stop()
	b.handlers.Work()
	b.handlers.Changed(nil)
}

// Changed tells the other servers that rows of executions were committed that one of them watches or awaits. It does not
// wait.
func (b *Bus) Changed(executions ...uuid.UUID) {
	b.mu.Lock()
	for _, id := range executions {
		if b.overflow = b.overflow || len(b.changed) >= maxQueued; b.overflow {
			clear(b.changed)
			break
		}
		b.changed[id] = struct{}{}
	}
	b.mu.Unlock()
	b.rouse()
}

// Stop tells the other servers that an execution is to be stopped. It does not wait.
func (b *Bus) Stop() {
	b.mu.Lock()
	b.stop = true
	b.mu.Unlock()
	b.rouse()
}

// Work tells the other servers that an execution waits for one of them. It does not wait.
func (b *Bus) Work() {
	b.mu.Lock()
	b.work = true
	b.mu.Unlock()
	b.rouse()
}

// Watch asks the other servers for all that happens in executions, for some time. It does not wait.
func (b *Bus) Watch(executions ...uuid.UUID) { b.ask(&b.watched, executions) }

// Await asks the other servers for the ends of executions, for some time. It does not wait.
func (b *Bus) Await(executions ...uuid.UUID) { b.ask(&b.awaited, executions) }

func (b *Bus) ask(asked *[]uuid.UUID, executions []uuid.UUID) {
	if len(executions) == 0 {
		return
	}
	b.mu.Lock()
	*asked = append(*asked, executions[:min(len(executions), maxQueued-len(*asked))]...)
	b.mu.Unlock()
	b.rouse()
}

// Progress brings passing progress, which may be lost, to the servers that watch the execution. It does not wait.
func (b *Bus) Progress(execution uuid.UUID, frame json.RawMessage) {
	line := execution.String() + " " + string(frame)
	b.mu.Lock()
	if b.size+len(line) <= maxProgress && len(line) <= maxText {
		b.progress = append(b.progress, line)
		b.size += len(line)
	}
	b.mu.Unlock()
	b.rouse()
}

func (b *Bus) rouse() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

func (b *Bus) send(ctx context.Context) {
	timer := time.NewTimer(gather)
	defer timer.Stop()
	for {
		select {
		case <-b.wake:
		case <-ctx.Done():
			return
		}
		timer.Reset(gather)
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		for _, text := range b.gathered() {
			if err := b.tell(ctx, text); err != nil && ctx.Err() == nil {
				b.config.Logger.Debug("other servers were not told", "error", err)
			}
		}
	}
}

// gathered takes what is to be sent, as texts.
func (b *Bus) gathered() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var texts []string
	if b.stop {
		texts = append(texts, "stop")
	}
	if b.work {
		texts = append(texts, "work")
	}
	if b.asks {
		texts = append(texts, "ask")
	}
	if b.overflow {
		texts = append(texts, "changed")
	}
	texts = append(texts, naming("changed", slices.Collect(maps.Keys(b.changed)))...)
	texts = append(texts, naming("watched", b.watched)...)
	texts = append(texts, naming("awaited", b.awaited)...)
	clear(b.changed)
	var text strings.Builder
	for i, line := range b.progress {
		if text.WriteString(line); i+1 == len(b.progress) || text.Len()+1+len(b.progress[i+1]) > maxText {
			texts = append(texts, "progress "+text.String())
			text.Reset()
		} else {
			text.WriteByte('\n') // which no frame has
		}
	}
	b.stop, b.work, b.asks, b.overflow, b.watched, b.awaited, b.progress, b.size = false, false, false, false, nil, nil, nil, 0
	return texts
}

// naming is what says something of executions, in as many texts as it takes.
func naming(what string, executions []uuid.UUID) []string {
	var texts []string
	for some := range slices.Chunk(executions, maxIDs) {
		var text strings.Builder
		text.WriteString(what)
		for _, id := range some {
			text.WriteByte(' ')
			text.WriteString(id.String())
		}
		texts = append(texts, text.String())
	}
	return texts
}

func (b *Bus) tell(ctx context.Context, text string) error {
	ctx, cancel := context.WithTimeout(ctx, sendLimit)
	defer cancel()
	return b.carrier.send(ctx, b.config.Server.String()+" "+text)
}

// take tells the handlers what another server sent. What it does not understand is of a newer version.
func (b *Bus) take(text string) {
	from, text, _ := strings.Cut(text, " ")
	if from == b.config.Server.String() {
		return
	}
	what, text, _ := strings.Cut(text, " ")
	switch what {
	case "stop":
		b.handlers.Stop()
	case "work":
		b.handlers.Work()
	case "ask":
		b.handlers.Asked()
	case "changed":
		b.handlers.Changed(named(text))
	case "watched":
		b.handlers.Watched(named(text))
	case "awaited":
		b.handlers.Awaited(named(text))
	case "progress":
		for line := range strings.SplitSeq(text, "\n") {
			id, frame, _ := strings.Cut(line, " ")
			if execution, err := uuid.Parse(id); err == nil {
				b.handlers.Progress(execution, json.RawMessage(frame))
			}
		}
	}
}

// named are the executions that a text names; nil: it names none.
func named(text string) []uuid.UUID {
	var ids []uuid.UUID
	for word := range strings.FieldsSeq(text) {
		if id, err := uuid.Parse(word); err == nil {
			ids = append(ids, id)
		}
	}
	return ids
}
