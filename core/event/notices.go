package event

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/driver/pgdriver"

	"github.com/patchbay-io/patchbay/core/postgres"
)

// notices carry by NOTIFY and LISTEN of the servers' Postgres.
type notices struct {
	db     *bun.DB
	direct string
	log    hclog.Logger
}

const channel = "patchbay"

const (
	// quiet is how long the listener hears nothing before it sends itself something, and how long it then waits.
	quiet = 10 * time.Second
	// deaf is when a listener that hears nothing of itself tries another connection.
	deaf = time.Minute
)

func (n *notices) send(ctx context.Context, text string) error {
	_, err := n.db.ExecContext(ctx, `SELECT pg_notify(?, ?)`, channel, text)
	return err
}

// problem is nil: where the database does not answer there are greater ones.
func (n *notices) problem() error { return nil }

func (n *notices) close() {}

// listen hears until ctx ends, over one connection after the other.
func (n *notices) listen(ctx context.Context, began func(), take func(string)) {
	pause := 100 * time.Millisecond
	said := false
	for ctx.Err() == nil {
		heard, err := n.hear(ctx, began, take)
		if ctx.Err() != nil {
			return
		}
		switch {
		case heard:
			pause = 100 * time.Millisecond
		case errors.Is(err, errUnheard):
			pause = deaf
			if !said {
				n.log.Warn("other servers are not heard, and are looked after every few seconds: the database's address is a pooler's; PATCHBAY_DATABASE_DIRECT_URL is for one that goes past it")
				said = true
			}
		default:
			pause = min(2*pause, 5*time.Second)
		}
		n.log.Debug("the connection to other servers broke off", "error", err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

// errUnheard means that this address is no one to listen by: nothing was heard over it, not even of this server itself,
// or its sessions are shared, so that a pooler would go on to give the connection that listens to other clients.
var errUnheard = errors.New("nothing can be heard by this address")

// hear listens over one connection and says whether it ever heard something.
func (n *notices) hear(ctx context.Context, began func(), take func(string)) (heard bool, err error) {
	db, err := postgres.Open(n.direct, 2)
	if err != nil {
		return false, err
	}
	defer func() { _ = db.Close() }()
	if pooled, err := postgres.Pooled(ctx, db); err != nil {
		return false, err
	} else if pooled {
		return false, errUnheard
	}
	listener := pgdriver.NewListener(db)
	defer func() { _ = listener.Close() }()
	defer context.AfterFunc(ctx, func() { _ = listener.Close() })()
	if err := listener.Listen(ctx, channel); err != nil {
		return false, fmt.Errorf("listen: %w", err)
	}
	if err := n.hearItself(ctx, listener); err != nil {
		return false, err
	}
	began()
	asked := false // whether it is about to hear itself
	for {
		_, text, err := listener.ReceiveTimeout(ctx, quiet)
		var timeout net.Error
		switch {
		case err == nil:
			asked = false
			take(text)
		case !errors.As(err, &timeout) || !timeout.Timeout():
			return true, err
		case asked:
			return true, errUnheard
		default:
			asked = true
			if err := n.ask(ctx); err != nil {
				return true, err
			}
		}
	}
}

// hearItself waits until the listener hears. LISTEN is sent without an answer being waited for, and what is notified of
// before the database has come to it is lost. What is heard is no news: began comes afterwards.
func (n *notices) hearItself(ctx context.Context, listener *pgdriver.Listener) error {
	begun := time.Now()
	for pause := 50 * time.Millisecond; ; pause *= 2 {
		if err := n.ask(ctx); err != nil {
			return err
		}
		_, _, err := listener.ReceiveTimeout(ctx, pause)
		var timeout net.Error
		switch {
		case err == nil:
			return nil
		case !errors.As(err, &timeout) || !timeout.Timeout():
			return err
		case time.Since(begun) > quiet:
			return errUnheard
		}
	}
}

// ask sends a text that nobody but the connection that listens makes anything of.
func (n *notices) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, sendLimit)
	defer cancel()
	return n.send(ctx, "ping")
}
