package ws

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"unicode/utf8"

	"github.com/gorilla/websocket"

	"github.com/patchbay-io/patchbay/api/auth"
	"github.com/patchbay-io/patchbay/api/problem"
	"github.com/patchbay-io/patchbay/core/account"
	"github.com/patchbay-io/patchbay/core/block/jsonscan"
)

// following are the permissions of which an API key needs one to follow executions.
var following = []account.Permission{account.ReadRun, account.ReadGraph}

// message is what clients send.
type message struct {
	kind      string
	execution string
	afterSeq  int64
	resumes   bool            // after_seq was given
	id        json.RawMessage // anything; comes back in the answer
}

// parse reads a frame. What could be read of a wrong one comes along, for the answer.
func parse(kind int, text []byte) (message, error) {
	var m message
	switch {
	case kind != websocket.TextMessage:
		return m, problem.Invalid("frames must be text")
	case !utf8.Valid(text) || !json.Valid(text) || jsonscan.KindOf(text) != jsonscan.Object:
		return m, problem.Invalid("the frame is not a JSON object")
	}
	fields := map[string]json.RawMessage{}
	for key, value := range jsonscan.Members(text) {
		fields[jsonscan.Unquote(key)] = value
	}
	m.id = fields["id"]
	wrong := map[string]string{}
	for name, into := range map[string]*string{"type": &m.kind, "execution_id": &m.execution} {
		value, given := fields[name]
		if given && jsonscan.KindOf(value) != jsonscan.String {
			wrong[name] = "must be a string, not " + jsonscan.KindOf(value).String()
		} else if given {
			*into = jsonscan.Unquote(value)
		}
	}
	if value, given := fields["after_seq"]; given {
		n, err := strconv.ParseInt(string(value), 10, 64)
		if err != nil || n < 0 {
			wrong["after_seq"] = "must be an integer from 0"
		}
		m.afterSeq, m.resumes = n, true
	}
	switch m.kind {
	case "subscribe", "unsubscribe":
		if m.execution == "" && wrong["execution_id"] == "" {
			wrong["execution_id"] = "is required"
		}
	case "ping":
	default:
		if wrong["type"] == "" {
			wrong["type"] = "must be subscribe, unsubscribe or ping"
		}
	}
	if len(wrong) > 0 {
		return m, problem.Fields(wrong)
	}
	return m, nil
}

// handle answers one frame; an error ends the connection.
func (c *conn) handle(ctx context.Context, kind int, text []byte) error {
	m, err := parse(kind, text)
	if err != nil {
		return c.refuse(ctx, m, err)
	}
	switch m.kind {
	case "subscribe":
		return c.subscribe(ctx, m)
	case "unsubscribe":
		if p, ok := c.subs[m.execution]; ok {
			delete(c.subs, m.execution)
			p.stop()
			<-p.done // no event follows the answer
		}
		return c.answer(ctx, m, "unsubscribed", nil)
	default:
		return c.answer(ctx, m, "pong", nil)
	}
}

func (c *conn) subscribe(ctx context.Context, m message) error {
	old, again := c.subs[m.execution]
	if again && old.over() {
		delete(c.subs, m.execution)
		again = false
	}
	if !again && c.following() >= c.limits.Subscriptions {
		return errTooManyFollowing
	}
	s, err := c.open(ctx, m)
	if err != nil {
		if ctx.Err() != nil {
			return errEnded
		}
		if errors.Is(err, auth.ErrInvalid) {
			return err
		}
		if p := problem.OfAway(err, c.handler.Away); p.Status >= 500 {
			c.log.Error("subscribing failed", "execution_id", m.execution, "error", err)
		}
		return c.refuse(ctx, m, err)
	}
	if again && !m.resumes {
		// Already following: it is told where the execution is and gets nothing twice.
		if done, err := old.before(func() error { return c.subscribed(ctx, m, s) }); done {
			s.Close()
			return err
		}
	}
	if again {
		old.stop()
		<-old.done
	}
	if err := c.subscribed(ctx, m, s); err != nil {
		s.Close()
		return err
	}
	if s.Status().Ended() && s.LastSeq() <= m.afterSeq {
		s.Close() // nothing follows, as the answer says
		return nil
	}
	c.subs[m.execution] = c.follow(m.execution, s)
	return nil
}

// open opens a subscription, if the credential still covers it.
func (c *conn) open(ctx context.Context, m message) (Subscription, error) {
	inTime, cancel := context.WithTimeout(ctx, c.limits.Opening)
	defer cancel()
	var s Subscription
	var err error
	var opening sync.WaitGroup // by a goroutine of its own, since this one would keep the stack that it takes
	opening.Go(func() { s, err = c.openCovered(inTime, m) })
	opening.Wait()
	if err != nil && ctx.Err() == nil && inTime.Err() != nil {
		return nil, fmt.Errorf("%w: %w", problem.Unavailable("the subscription could not be opened in time; try again"), err)
	}
	return s, err
}

func (c *conn) openCovered(ctx context.Context, m message) (Subscription, error) {
	who, err := c.handler.Current(ctx, c.who)
	if err != nil {
		return nil, err
	}
	if !who.May(following...) {
		return nil, problem.Forbidden("the API key lacks the permission READ_RUN or READ_GRAPH")
	}
	return c.handler.Subscribe(ctx, who.UserID, m.execution, m.afterSeq)
}

func (c *conn) subscribed(ctx context.Context, m message, s Subscription) error {
	return c.answer(ctx, m, "subscribed", func(b []byte) []byte {
		b = append(b, `,"status":"`...)
		b = append(b, s.Status()...)
		b = append(b, `","last_seq":`...)
		return strconv.AppendInt(b, s.LastSeq(), 10)
	})
}

// answer sends {"type", "execution_id"?, …, "id"?}.
func (c *conn) answer(ctx context.Context, m message, kind string, more func([]byte) []byte) error {
	b := append([]byte(`{"type":"`), kind...)
	b = append(b, '"')
	if m.execution != "" {
		b = append(b, `,"execution_id":`...)
		b = jsonscan.AppendString(b, m.execution)
	}
	if more != nil {
		b = more(b)
	}
	if m.id != nil {
		b = append(b, `,"id":`...)
		b = append(b, m.id...)
	}
	return c.queue.push(ctx, frame{opcode: websocket.TextMessage, payload: append(b, '}')})
}

func (c *conn) refuse(ctx context.Context, m message, err error) error {
	envelope := problem.OfAway(err, c.handler.Away).Envelope() // {"error":{…}}
	return c.answer(ctx, m, "error", func(b []byte) []byte {
		b = append(b, ',')
		return append(b, envelope[1:len(envelope)-1]...)
	})
}

// following counts subscriptions that are not over, and forgets the others.
func (c *conn) following() int {
	for id, p := range c.subs {
		if p.over() {
			delete(c.subs, id)
		}
	}
	return len(c.subs)
}
