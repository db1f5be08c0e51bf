package event

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
)

// natsCarrier carries by core NATS: nothing of what it carries needs to be kept. Connections that break are made again,
// to any of the servers of the cluster.
type natsCarrier struct {
	conn    *nats.Conn
	subject string
	changed chan struct{} // the connection is there, again
}

// Times of a connection to NATS.
const (
	natsPing      = 5 * time.Second // two that are not answered end a connection
	natsReconnect = 500 * time.Millisecond
)

// dialNATS begins to connect. The subject is one of the database, so that clusters may share a NATS.
func dialNATS(ctx context.Context, c Config) (*natsCarrier, error) {
	var cluster uuid.UUID
	if err := c.DB.QueryRowContext(ctx, `SELECT id FROM cluster`).Scan(&cluster); err != nil {
		return nil, fmt.Errorf("read the cluster's id: %w", err)
	}
	n := &natsCarrier{subject: "patchbay." + cluster.String(), changed: make(chan struct{}, 1)}
	connected := func(*nats.Conn) {
		select {
		case n.changed <- struct{}{}:
		default:
		}
	}
	var err error
	n.conn, err = nats.Connect(c.NATS,
		nats.Name("patchbay "+c.Server.String()), nats.NoEcho(),
		nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(natsReconnect), nats.Timeout(sendLimit),
		nats.PingInterval(natsPing), nats.MaxPingsOutstanding(2),
		nats.ReconnectBufSize(-1), // what is said while nobody hears is found by looking
		nats.ConnectHandler(connected), nats.ReconnectHandler(connected),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			c.Logger.Warn("the connection to NATS broke off; other servers are looked after every few seconds until it is back", "error", err)
		}),
		nats.ErrorHandler(func(conn *nats.Conn, _ *nats.Subscription, err error) {
			c.Logger.Warn("NATS dropped what other servers said, or refuses something", "error", err)
			connected(conn)
		}),
	)
	var unparsed *url.Error
	if errors.As(err, &unparsed) {
		err = unparsed.Err // which does not show the URL, that may hold a password
	}
	if err != nil {
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	return n, nil
}

func (n *natsCarrier) send(_ context.Context, text string) error {
	return n.conn.Publish(n.subject, []byte(text))
}

func (n *natsCarrier) listen(ctx context.Context, began func(), heard func(string)) {
	sub, err := n.conn.Subscribe(n.subject, func(m *nats.Msg) { heard(string(m.Data)) })
	if err != nil {
		return // the connection was closed
	}
	defer func() { _ = sub.Unsubscribe() }()
	for {
		select {
		case <-n.changed:
			// What is committed from here on is heard: the server of NATS knows of the subscription.
			if n.conn.FlushTimeout(sendLimit) == nil {
				began()
			}
		case <-ctx.Done():
			return
		}
	}
}

var errNoNATS = errors.New("NATS does not answer")

func (n *natsCarrier) problem() error {
	if !n.conn.IsConnected() {
		return errNoNATS
	}
	return nil
}

func (n *natsCarrier) close() { n.conn.Close() }
