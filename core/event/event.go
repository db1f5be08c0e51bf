// Package event carries wake-ups between the servers of one database: that rows of an execution were committed, that
// somebody wants one stopped, or that one waits for a server to run it. Only ids travel, and whoever is woken reads what is committed. A wake-up may be lost; then
// the others find by looking now and then what they would have been told.
package event

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/go-hclog"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/driver/pgdriver"

	"github.com/patchbay-io/patchbay/core/postgres"
)

// Handlers are told what other servers tell. They must not block.
type Handlers struct {
	// Changed says that rows of these executions were committed; of any, where the list is nil.
	Changed func(executions []uuid.UUID)
	// Stop says that requests to stop executions were committed.
	Stop func()
	// Work says that executions were committed that nobody runs.
	Work func()
}

// Config is what a Bus needs.
type Config struct {
	DB     *bun.DB // to send by; it may be a pooler
	Direct string  // DSN to listen by: a session of its own, so no pooler
	Server uuid.UUID
	Logger hclog.Logger
}

const channel = "patchbay"

// Times and bounds of the bus.
const (
	// gather is how long ids are gathered before they are sent: a notice takes a lock that all committers share.
	gather    = 5 * time.Millisecond
	maxIDs    = 200 // of one notice, whose text has at most 8,000 bytes
	maxQueued = 20_000
	sendLimit = 5 * time.Second
	// quiet is how long the listener hears nothing before it sends itself something, and how long it then waits.
	quiet = 10 * time.Second
	// deaf is when a listener that hears nothing of itself tries another connection.
	deaf = time.Minute
)

// Bus sends and hears by NOTIFY and LISTEN of Postgres.
type Bus struct {
	config   Config
	handlers Handlers
	cancel   context.CancelFunc
	all      sync.WaitGroup
	wake     chan struct{}

	mu       sync.Mutex
	changed  map[uuid.UUID]struct{}
	overflow bool // more than can be named
	stop     bool
	work     bool
}

// Open makes a bus that gathers what it is to send. Start lets it send and hear.
func Open(c Config) *Bus {
	return &Bus{config: c, wake: make(chan struct{}, 1), changed: map[uuid.UUID]struct{}{}}
}

// Start begins to send and to hear, until Close.
func (b *Bus) Start(ctx context.Context, h Handlers) {
	ctx, b.cancel = context.WithCancel(context.WithoutCancel(ctx))
	b.handlers = h
	b.all.Go(func() { b.send(ctx) })
	b.all.Go(func() { b.listen(ctx) })
}

// Close ends what Start began.
func (b *Bus) Close() {
	b.cancel()
	b.all.Wait()
}

// Changed tells the other servers that rows of executions were committed. It does not wait.
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
		for _, text := range b.notices() {
			if err := b.notify(ctx, text); err != nil && ctx.Err() == nil {
				b.config.Logger.Debug("other servers were not told", "error", err)
			}
		}
	}
}

// notices takes what is to be sent, as texts.
func (b *Bus) notices() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var texts []string
	if b.stop {
		texts = append(texts, "stop")
	}
	if b.work {
		texts = append(texts, "work")
	}
	if b.overflow {
		texts = append(texts, "changed")
	}
	var text strings.Builder
	n := 0
	for id := range b.changed {
		if n == 0 {
			text.WriteString("changed")
		}
		text.WriteByte(' ')
		text.WriteString(id.String())
		if n++; n == maxIDs {
			texts = append(texts, text.String())
			text.Reset()
			n = 0
		}
	}
	if n > 0 {
		texts = append(texts, text.String())
	}
	clear(b.changed)
	b.stop, b.work, b.overflow = false, false, false
	return texts
}

func (b *Bus) notify(ctx context.Context, text string) error {
	ctx, cancel := context.WithTimeout(ctx, sendLimit)
	defer cancel()
	_, err := b.config.DB.ExecContext(ctx, `SELECT pg_notify(?, ?)`, channel, b.config.Server.String()+" "+text)
	return err
}

// listen hears until ctx ends, over one connection after the other.
func (b *Bus) listen(ctx context.Context) {
	pause := 100 * time.Millisecond
	said := false
	for ctx.Err() == nil {
		heard, err := b.hear(ctx)
		if ctx.Err() != nil {
			return
		}
		switch {
		case heard:
			pause = 100 * time.Millisecond
		case errors.Is(err, errDeaf) || errors.Is(err, errPooled):
			pause = deaf
			if !said {
				b.config.Logger.Warn("other servers are not heard, and are looked after every few seconds: the database's address is a pooler's; PATCHBAY_DATABASE_DIRECT_URL is for one that goes past it")
				said = true
			}
		default:
			pause = min(2*pause, 5*time.Second)
		}
		b.config.Logger.Debug("the connection to other servers broke off", "error", err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

var (
	errDeaf = errors.New("nothing is heard, not even of itself")
	// errPooled is found out before anything is listened to: a pooler would go on to give other clients the connection
	// that listens.
	errPooled = errors.New("the sessions of this address are shared")
)

// hear listens over one connection and says whether it ever heard something.
func (b *Bus) hear(ctx context.Context) (heard bool, err error) {
	db, err := postgres.Open(b.config.Direct, 2)
	if err != nil {
		return false, err
	}
	defer func() { _ = db.Close() }()
	if pooled, err := postgres.Pooled(ctx, db); err != nil {
		return false, err
	} else if pooled {
		return false, errPooled
	}
	listener := pgdriver.NewListener(db)
	defer func() { _ = listener.Close() }()
	defer context.AfterFunc(ctx, func() { _ = listener.Close() })()
	if err := listener.Listen(ctx, channel); err != nil {
		return false, fmt.Errorf("listen: %w", err)
	}
	b.handlers.Stop()
	b.handlers.Work()
	b.handlers.Changed(nil) // what was sent before is not heard any more
	asked := true           // whether it is about to hear itself
	if err := b.notify(ctx, "ping"); err != nil {
		return false, err
	}
	for {
		_, text, err := listener.ReceiveTimeout(ctx, quiet)
		var timeout net.Error
		switch {
		case err == nil:
			heard, asked = true, false
			b.take(text)
		case !errors.As(err, &timeout) || !timeout.Timeout():
			return heard, err
		case asked:
			return heard, errDeaf
		default:
			asked = true
			if err := b.notify(ctx, "ping"); err != nil {
				return heard, err
			}
		}
	}
}

// take tells the handlers what another server sent.
func (b *Bus) take(text string) {
	words := strings.Fields(text)
	if len(words) < 2 || words[0] == b.config.Server.String() {
		return
	}
	switch words[1] {
	case "stop":
		b.handlers.Stop()
	case "work":
		b.handlers.Work()
	case "changed":
		var ids []uuid.UUID
		for _, word := range words[2:] {
			if id, err := uuid.Parse(word); err == nil {
				ids = append(ids, id)
			}
		}
		b.handlers.Changed(ids)
	}
}
