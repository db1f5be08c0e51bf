package ws

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"github.com/patchbay-io/patchbay/api/auth"
	"github.com/patchbay-io/patchbay/core/account"
	"github.com/patchbay-io/patchbay/core/execution"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// story is an execution in memory: its events, and who waits for more.
type story struct {
	user     string
	mu       sync.Mutex
	events   []execution.Event
	status   execution.Status
	wake     map[*view]func()
	progress func(json.RawMessage)
	broken   error                                 // what Next gives after the recorded events
	large    func(payload string) *execution.Large // in place of payloads, where it gives any; nil: nothing is large
	lingers  bool                                  // Next does not see the end until it is stopped
	open     int                                   // subscriptions
}

func newStory(user string) *story {
	return &story{user: user, status: execution.Running, wake: map[*view]func(){}}
}

func (s *story) emit(last bool, payloads ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, p := range payloads {
		e := execution.Event{Seq: int64(len(s.events) + 1), Payload: json.RawMessage(p), Last: last && i == len(payloads)-1}
		s.events = append(s.events, e)
	}
	if last {
		s.status = execution.Completed
	}
	for _, wake := range s.wake {
		wake()
	}
}

// pass says whether anybody was there to take it.
func (s *story) pass(payload string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.progress == nil {
		return false
	}
	s.progress(json.RawMessage(payload))
	return true
}

func (s *story) following() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open
}

type view struct {
	*story
	next, last int64
	st         execution.Status
}

func (v *view) Status() execution.Status { return v.st }
func (v *view) LastSeq() int64           { return v.last }
func (v *view) Follow(_ chan struct{}, wake func(), progress func(json.RawMessage)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.wake[v], v.progress = wake, progress
}
func (v *view) Close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.open--
	delete(v.wake, v)
}

func (v *view) Next(ctx context.Context) (execution.Event, bool, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.lingers && v.next == int64(len(v.events)) {
		v.mu.Unlock()
		<-ctx.Done()
		v.mu.Lock()
	}
	switch {
	case v.next < int64(len(v.events)):
		e := v.events[v.next]
		v.next++
		if v.large != nil {
			if e.Large = v.large(string(e.Payload)); e.Large != nil {
				e.Payload = nil
			}
		}
		return e, true, nil
	case v.status.Ended():
		return execution.Event{}, false, io.EOF
	default:
		return execution.Event{}, false, v.broken
	}
}

// errAway stands for a database that cannot be asked.
var errAway = errors.New("the database is away")

// fixture is a real server with executions in memory. Tokens are the names of users, and keys too, behind pb_.
type fixture struct {
	t       *testing.T
	stories map[string]*story
	handler *Handler
	url     string

	requests atomic.Int32 // that the handler has not yet returned from

	mu          sync.Mutex
	permissions []account.Permission // of all keys
	away        error                // of looking them up
}

func serve(t *testing.T, limits Limits, stories map[string]*story, origins ...string) *fixture {
	t.Helper()
	f := &fixture{t: t, stories: stories}
	token := func(token string) (auth.Principal, error) {
		name, ttl, _ := strings.Cut(token, "/")
		if key, ok := strings.CutPrefix(name, "pb_"); ok {
			return f.key(auth.Principal{UserID: key, KeyID: key})
		}
		if name == "bad" {
			return auth.Principal{}, auth.ErrInvalid
		}
		p := auth.Principal{UserID: name}
		if ttl != "" {
			d, err := time.ParseDuration(ttl)
			if err != nil {
				panic(err)
			}
			p.ExpiresAt = time.Now().Add(d)
		}
		return p, nil
	}
	h := New(Config{
		Away:   func(err error) bool { return errors.Is(err, errAway) },
		Logger: hclog.NewNullLogger(), Limits: limits, Origins: origins,
		Credential: func(_ context.Context, text string) (auth.Principal, error) { return token(text) },
		Current: func(_ context.Context, p auth.Principal) (auth.Principal, error) {
			if !p.ByKey() {
				return p, nil
			}
			return f.key(p)
		},
		Authenticate: func(r *http.Request) (auth.Principal, error) {
			header := r.Header.Get("Authorization")
			if header == "" {
				return auth.Principal{}, auth.ErrMissing
			}
			return token(strings.TrimPrefix(header, "Bearer "))
		},
		Subscribe: func(ctx context.Context, user, id string, after int64) (Subscription, error) {
			switch id {
			case "away":
				return nil, fmt.Errorf("subscribe: %w", errAway)
			case "stuck":
				<-ctx.Done()
				return nil, fmt.Errorf("subscribe: %w", ctx.Err())
			}
			s, ok := stories[id]
			if !ok || s.user != user {
				return nil, fmt.Errorf("subscribe: %w", execution.ErrNotFound)
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			s.open++
			return &view{story: s, next: after, last: int64(len(s.events)), st: s.status}, nil
		},
	})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.requests.Add(1)
		defer f.requests.Add(-1)
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := h.Shutdown(ctx); err != nil {
			t.Error("shutdown:", err)
		}
		server.Close()
		for id, s := range stories {
			if n := s.following(); n != 0 {
				t.Errorf("%d subscriptions of %s were not closed", n, id)
			}
		}
	})
	f.handler, f.url = h, "ws"+strings.TrimPrefix(server.URL, "http")
	return f
}

// key is what a key is now: it may do what permissions say, and is unknown without any.
func (f *fixture) key(p auth.Principal) (auth.Principal, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p.Permissions = f.permissions
	if f.permissions == nil {
		return p, auth.ErrInvalid
	}
	return p, f.away
}

func (f *fixture) permit(permissions ...account.Permission) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.permissions = permissions
}

// client is a WebSocket with a deadline on all that it does.
type client struct {
	t *testing.T
	*websocket.Conn
}

func (f *fixture) dial(query string, header http.Header, protocols ...string) *client {
	f.t.Helper()
	d := websocket.Dialer{Subprotocols: protocols, HandshakeTimeout: 10 * time.Second}
	c, _, err := d.Dial(f.url+"/ws?"+query, header)
	if err != nil {
		f.t.Fatal("dial:", err)
	}
	f.t.Cleanup(func() { c.Close() })
	if err := c.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		f.t.Fatal(err)
	}
	return &client{f.t, c}
}

func (f *fixture) as(user string) *client { f.t.Helper(); return f.dial("token="+user, nil) }

func (c *client) send(text string) {
	c.t.Helper()
	if err := c.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		c.t.Fatal("send:", err)
	}
}

func (c *client) next() string {
	c.t.Helper()
	_, text, err := c.ReadMessage()
	if err != nil {
		c.t.Fatal("read:", err)
	}
	return string(text)
}

func (c *client) expect(frames ...string) {
	c.t.Helper()
	for _, want := range frames {
		if got := c.next(); got != want {
			c.t.Fatalf("got  %.300s\nwant %.300s", got, want)
		}
	}
}

// expectClose reads to the end.
func (c *client) expectClose(code int) {
	c.t.Helper()
	for {
		if _, _, err := c.ReadMessage(); err != nil {
			closed, ok := errors.AsType[*websocket.CloseError](err)
			if !ok || closed.Code != code {
				c.t.Fatalf("got %v, want a close with %d", err, code)
			}
			return
		}
	}
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	f := serve(t, DefaultLimits, nil)
	header := func(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }
	cases := map[string]struct {
		query     string
		header    http.Header
		protocols []string
		code      int // 0: stays open
	}{
		"header":                 {"", header("ann"), nil, 0},
		"query":                  {"token=ann", nil, nil, 0},
		"subprotocol":            {"", nil, []string{"bearer", "ann"}, 0},
		"own user_id":            {"user_id=ann&token=ann", nil, nil, 0},
		"header before query":    {"token=bad", header("ann"), nil, 0},
		"none":                   {"", nil, nil, 4001},
		"bare user_id":           {"user_id=ann", nil, nil, 4001},
		"subprotocol only":       {"", nil, []string{"bearer"}, 4001},
		"invalid":                {"token=bad", nil, nil, 4003},
		"invalid header":         {"token=ann", header("bad"), nil, 4003},
		"invalid subprotocol":    {"", nil, []string{"bearer", "bad"}, 4003},
		"somebody else's":        {"user_id=bob&token=ann", nil, nil, 4004},
		"invalid before foreign": {"user_id=bob&token=bad", nil, nil, 4003},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &fixture{t: t, url: f.url}
			client := f.dial(c.query, c.header, c.protocols...)
			if len(c.protocols) > 0 && client.Subprotocol() != "bearer" {
				t.Errorf("selected subprotocol %q", client.Subprotocol())
			}
			if c.code != 0 {
				client.expectClose(c.code)
				return
			}
			client.send(`{"type":"ping"}`)
			client.expect(`{"type":"pong"}`)
		})
	}
}

func TestTokenThatExpiresClosesTheConnection(t *testing.T) {
	t.Parallel()
	f := serve(t, DefaultLimits, nil)
	c := f.dial("token=ann/50ms", nil)
	c.expectClose(4003)
}

func TestOrigins(t *testing.T) {
	t.Parallel()
	f := serve(t, DefaultLimits, nil, "https://app.example.com", "https://*.example.org")
	host := strings.TrimPrefix(f.url, "ws://")
	name, port, _ := net.SplitHostPort(host)
	for origin, ok := range map[string]bool{
		"": true, "http://" + host: true, "https://app.example.com": true, "https://x.example.org": true, "HTTPS://App.Example.com": true,
		"https://app.example.com.evil.net": false, "https://example.org": false, "null": false, "http://app.example.com": false,
		"http://" + host + ".evil.net": false, "http://" + name + ":1": true, "http://" + name + ".evil.net": false, "http://evil.net:" + port: false,
	} {
		header := http.Header{"Authorization": {"Bearer ann"}}
		if origin != "" {
			header.Set("Origin", origin)
		}
		c, response, err := websocket.DefaultDialer.Dial(f.url+"/ws", header)
		if ok != (err == nil) {
			t.Errorf("origin %q: %v", origin, err)
		}
		if err == nil {
			c.Close()
			continue
		}
		body, _ := io.ReadAll(response.Body)
		if response.StatusCode != http.StatusForbidden || !strings.Contains(string(body), `"code":"FORBIDDEN"`) {
			t.Errorf("origin %q: %d %s", origin, response.StatusCode, body)
		}
	}
}

// What cannot be read of a query is refused, not overlooked: it may be whose connection this is.
func TestQueryThatCannotBeRead(t *testing.T) {
	t.Parallel()
	f := serve(t, DefaultLimits, nil)
	_, response, err := websocket.DefaultDialer.Dial(f.url+"/ws?user_id=%zz", http.Header{"Authorization": {"Bearer ann"}})
	if err == nil {
		t.Fatal("it was accepted")
	}
	body, _ := io.ReadAll(response.Body)
	if response.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(string(body), `"fields":{"query":`) {
		t.Errorf("%d %s", response.StatusCode, body)
	}
}

func TestOrdinaryRequestsGetTheEnvelope(t *testing.T) {
	t.Parallel()
	f := serve(t, DefaultLimits, nil)
	url := "http" + strings.TrimPrefix(f.url, "ws") + "/ws?token=ann"
	for method, want := range map[string]int{http.MethodGet: 422, http.MethodPost: 405} {
		r, _ := http.NewRequest(method, url, nil)
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if response.StatusCode != want || !strings.HasPrefix(string(body), `{"error":{"code":`) {
			t.Errorf("%s: %d %s", method, response.StatusCode, body)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestEarlyAndLateSubscribersSeeTheSameStory(t *testing.T) {
	t.Parallel()
	s := newStory("ann")
	f := serve(t, DefaultLimits, map[string]*story{"e": s})
	events := []string{`{"seq":1,"v":18446744073709551616}`, `{"seq":2,"v":1e400}`, `{"seq":3,"v":"\u0000<&>"}`, `{"seq":4,"b":1,"a":2}`}

	early := f.as("ann")
	early.send(`{"type":"subscribe","execution_id":"e","id":"c1"}`)
	early.expect(`{"type":"subscribed","execution_id":"e","status":"RUNNING","last_seq":0,"id":"c1"}`)
	s.emit(false, events[:2]...)
	early.expect(events[:2]...)

	middle := f.as("ann")
	middle.send(`{"type":"subscribe","execution_id":"e","after_seq":1,"id":{"any":[1]}}`)
	middle.expect(`{"type":"subscribed","execution_id":"e","status":"RUNNING","last_seq":2,"id":{"any":[1]}}`, events[1])

	s.emit(true, events[2:]...)
	early.expect(events[2:]...)
	middle.expect(events[2:]...)

	late := f.as("ann")
	late.send(`{"type":"subscribe","execution_id":"e"}`)
	late.expect(`{"type":"subscribed","execution_id":"e","status":"COMPLETED","last_seq":4}`)
	late.expect(events...)
	late.send(`{"type":"subscribe","execution_id":"e","after_seq":3}`) // over: a new one, not a repeated one
	late.expect(`{"type":"subscribed","execution_id":"e","status":"COMPLETED","last_seq":4}`, events[3])
}

func TestSubscribingTwice(t *testing.T) {
	t.Parallel()
	s := newStory("ann")
	f := serve(t, DefaultLimits, map[string]*story{"e": s})
	s.emit(false, `1`, `2`)
	c := f.as("ann")
	const ack = `{"type":"subscribed","execution_id":"e","status":"RUNNING","last_seq":2}`
	c.send(`{"type":"subscribe","execution_id":"e"}`)
	c.expect(ack, `1`, `2`)
	c.send(`{"type":"subscribe","execution_id":"e"}`)
	c.expect(ack) // nothing twice
	c.send(`{"type":"subscribe","execution_id":"e","after_seq":1}`)
	c.expect(ack, `2`)
	s.emit(true, `3`)
	c.expect(`3`)
	c.send(`{"type":"ping"}`)
	c.expect(`{"type":"pong"}`) // and `3` once
}

func TestUnsubscribe(t *testing.T) {
	t.Parallel()
	s := newStory("ann")
	f := serve(t, DefaultLimits, map[string]*story{"e": s})
	c := f.as("ann")
	c.send(`{"type":"unsubscribe","execution_id":"e","id":1}`) // nothing to end
	c.expect(`{"type":"unsubscribed","execution_id":"e","id":1}`)
	c.send(`{"type":"subscribe","execution_id":"e"}`)
	c.expect(`{"type":"subscribed","execution_id":"e","status":"RUNNING","last_seq":0}`)
	c.send(`{"type":"unsubscribe","execution_id":"e"}`)
	c.expect(`{"type":"unsubscribed","execution_id":"e"}`)
	s.emit(false, `1`)
	c.send(`{"type":"ping","id":null}`)
	c.expect(`{"type":"pong","id":null}`)
}

func TestErrorsLeaveTheSocketOpen(t *testing.T) {
	t.Parallel()
	f := serve(t, DefaultLimits, map[string]*story{"theirs": newStory("bob")})
	c := f.as("ann")
	for _, x := range []struct{ send, code, contains string }{
		{`{`, "VALIDATION_ERROR", "JSON object"},
		{`[]`, "VALIDATION_ERROR", "JSON object"},
		{`{"type":"ping"} {}`, "VALIDATION_ERROR", "JSON object"},
		{`{"id":"a"}`, "VALIDATION_ERROR", `"id":"a"`},
		{`{"type":"dance","id":7}`, "VALIDATION_ERROR", `"fields":{"type":`},
		{`{"type":7}`, "VALIDATION_ERROR", "must be a string, not a number"},
		{`{"type":"subscribe"}`, "VALIDATION_ERROR", `"execution_id":"is required"`},
		{`{"type":"subscribe","execution_id":null}`, "VALIDATION_ERROR", "not null"},
		{`{"type":"subscribe","execution_id":"e","after_seq":-1}`, "VALIDATION_ERROR", "after_seq"},
		{`{"type":"subscribe","execution_id":"e","after_seq":"1"}`, "VALIDATION_ERROR", "after_seq"},
		{`{"type":"subscribe","execution_id":"e","after_seq":1e400}`, "VALIDATION_ERROR", "after_seq"},
		{`{"type":"unsubscribe"}`, "VALIDATION_ERROR", "execution_id"},
		{`{"type":"subscribe","execution_id":"unknown","id":"x"}`, "NOT_FOUND", `"execution_id":"unknown"`},
		{`{"type":"subscribe","execution_id":"theirs"}`, "NOT_FOUND", "not found"},
		{`{"type":"subscribe","execution_id":"away"}`, "UNAVAILABLE", "try again"},
	} {
		c.send(x.send)
		got := c.next()
		if !strings.HasPrefix(got, `{"type":"error"`) || !strings.Contains(got, `"code":"`+x.code+`"`) || !strings.Contains(got, x.contains) || !strings.Contains(got, `"details":{`) {
			t.Errorf("%s: %s", x.send, got)
		}
	}
	if err := c.WriteMessage(websocket.BinaryMessage, []byte(`{"type":"ping"}`)); err != nil {
		t.Fatal(err)
	}
	if got := c.next(); !strings.Contains(got, "VALIDATION_ERROR") {
		t.Errorf("binary frame: %s", got)
	}
	c.send(`{"type":"ping"}`)
	c.expect(`{"type":"pong"}`)
}

func TestSubscribingThatTakesTooLongCanBeTriedAgain(t *testing.T) {
	t.Parallel()
	limits := DefaultLimits
	limits.Opening = 10 * time.Millisecond
	c := serve(t, limits, map[string]*story{"e": newStory("ann")}).as("ann")
	c.send(`{"type":"subscribe","execution_id":"stuck","id":1}`)
	if got := c.next(); !strings.Contains(got, `"code":"UNAVAILABLE"`) || !strings.Contains(got, "try again") || !strings.HasSuffix(got, `"id":1}`) {
		t.Error(got)
	}
}

func TestConnectionsKeepNothingOfTheirRequests(t *testing.T) {
	t.Parallel()
	f := serve(t, DefaultLimits, nil)
	c := f.as("ann")
	for f.requests.Load() > 0 {
		runtimeYield()
	}
	c.send(`{"type":"ping"}`)
	c.expect(`{"type":"pong"}`)
}

// wrapped is a listener whose connections are in something that only HTTP needs.
type wrapped struct{ net.Listener }

type wrappedConn struct{ net.Conn }

func (l wrapped) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return wrappedConn{c}, err
}

func (c wrappedConn) Unwrap() net.Conn { return c.Conn }

func TestServerEndsItsDirectionAfterGoodbyeWhateverTheConnectionWasIn(t *testing.T) {
	t.Parallel()
	limits := DefaultLimits
	limits.Goodbye = time.Hour // it waits for the client to close
	f := serve(t, limits, nil)
	server := httptest.NewUnstartedServer(f.handler)
	server.Listener = wrapped{server.Listener}
	server.Start()
	t.Cleanup(server.Close)
	f.url = "ws" + strings.TrimPrefix(server.URL, "http")
	c := f.as("bad")
	c.expectClose(closeInvalidCredential)
	if n, err := c.NetConn().Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("got %d bytes and %v, want the end", n, err)
	}
}

func TestAbuse(t *testing.T) {
	t.Parallel()
	tight := DefaultLimits
	tight.Messages, tight.Window = 5, time.Hour
	stories := map[string]*story{}
	for i := range 4 {
		stories[fmt.Sprint(i)] = newStory("ann")
	}
	few := DefaultLimits
	few.Subscriptions = 3
	small := tight
	small.Frame = 1 << 10
	cases := map[string]struct {
		limits Limits
		do     func(c *client)
	}{
		"frames": {tight, func(c *client) {
			for range 6 {
				c.send(`{"type":"ping"}`)
			}
		}},
		"pings": {tight, func(c *client) {
			for range 6 {
				if err := c.WriteControl(websocket.PingMessage, nil, time.Now().Add(time.Second)); err != nil {
					c.t.Fatal(err)
				}
			}
		}},
		"size":               {DefaultLimits, func(c *client) { c.send(`{"type":"ping","id":"` + strings.Repeat("x", 64<<10) + `"}`) }},
		"parts of a message": {small, func(c *client) { c.flood(0x01, 0x00) }},
		"pongs":              {small, func(c *client) { c.flood(0x8a, 0x8a) }},
		"subscriptions": {few, func(c *client) {
			for i := range 4 {
				c.send(fmt.Sprintf(`{"type":"subscribe","execution_id":"%d"}`, i))
			}
		}},
	}
	for name, x := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := serve(t, x.limits, stories).as("ann")
			x.do(c)
			c.expectClose(4009)
		})
	}
}

// flood sends empty frames, one by its first byte and then many of the other, more than messages of any size.
func (c *client) flood(first, other byte) {
	c.t.Helper()
	frames := append([]byte{first, 0x80, 0, 0, 0, 0}, bytes.Repeat([]byte{other, 0x80, 0, 0, 0, 0}, 1<<12)...)
	if _, err := c.NetConn().Write(frames); err != nil {
		c.t.Fatal(err)
	}
}

func TestLargestFrameIsAccepted(t *testing.T) {
	t.Parallel()
	c := serve(t, DefaultLimits, nil).as("ann")
	const rest = len(`{"type":"ping","id":""}`)
	id := strings.Repeat("x", 64<<10-rest)
	c.send(`{"type":"ping","id":"` + id + `"}`)
	c.expect(`{"type":"pong","id":"` + id + `"}`)
}

func TestSubscriptionsThatAreOverDoNotCount(t *testing.T) {
	t.Parallel()
	few := DefaultLimits
	few.Subscriptions = 1
	stories := map[string]*story{"a": newStory("ann"), "b": newStory("ann")}
	stories["a"].emit(true, `1`)
	f := serve(t, few, stories)
	c := f.as("ann")
	c.send(`{"type":"subscribe","execution_id":"a"}`)
	c.expect(`{"type":"subscribed","execution_id":"a","status":"COMPLETED","last_seq":1}`, `1`)
	for stories["a"].following() > 0 { // its pump ends a moment after the last frame was queued
		c.send(`{"type":"ping"}`)
		c.next()
	}
	c.send(`{"type":"subscribe","execution_id":"b"}`)
	c.expect(`{"type":"subscribed","execution_id":"b","status":"RUNNING","last_seq":0}`)
}

func TestSilentClientIsClosed(t *testing.T) {
	t.Parallel()
	limits := DefaultLimits
	limits.Idle = 100 * time.Millisecond
	c := serve(t, limits, nil).as("ann")
	c.SetPingHandler(func(string) error { return nil })
	c.expectClose(4008)
}

func TestPingsKeepAQuietClient(t *testing.T) {
	t.Parallel()
	limits := DefaultLimits
	limits.Ping, limits.Idle = 20*time.Millisecond, 2*time.Second
	s := newStory("ann")
	f := serve(t, limits, map[string]*story{"e": s})
	c := f.as("ann")
	pings := 0
	c.SetPingHandler(func(text string) error {
		if pings++; pings == 200 { // four seconds: twice as long as silence is tolerated
			s.emit(true, `1`)
		}
		return c.WriteControl(websocket.PongMessage, []byte(text), time.Now().Add(time.Second))
	})
	c.send(`{"type":"subscribe","execution_id":"e"}`)
	c.expect(`{"type":"subscribed","execution_id":"e","status":"RUNNING","last_seq":0}`, `1`)
}

func TestSlowClientIsClosedAndResumes(t *testing.T) {
	t.Parallel()
	limits := DefaultLimits
	limits.Buffer, limits.Stall = 1<<20, 700*time.Millisecond
	s := newStory("ann")
	f := serve(t, limits, map[string]*story{"e": s})
	const total = 64
	want := make([]string, total)
	for i := range want {
		want[i] = fmt.Sprintf(`{"seq":%d,"x":"%s"}`, i+1, strings.Repeat("x", 1<<20))
	}
	s.emit(true, want...)

	slow, other := f.as("ann"), f.as("ann")
	for _, c := range []*client{slow, other} {
		c.send(`{"type":"subscribe","execution_id":"e"}`)
	}
	other.next()
	other.expect(want...)
	other.Close()
	gone := func() bool { f.handler.mu.Lock(); defer f.handler.mu.Unlock(); return len(f.handler.conns) == 0 }
	for deadline := time.Now().Add(20 * time.Second); !gone(); { // it reads nothing meanwhile
		if time.Now().After(deadline) {
			t.Fatal("the slow client is still there")
		}
		runtimeYield()
	}

	quick := f.as("ann")
	quick.send(`{"type":"subscribe","execution_id":"e","after_seq":10}`)
	quick.expect(`{"type":"subscribed","execution_id":"e","status":"COMPLETED","last_seq":64}`)
	quick.expect(want[10:]...)
}

func TestSlowClientThatReadsAgainIsTold(t *testing.T) {
	t.Parallel()
	limits := DefaultLimits
	limits.Buffer, limits.Stall = 1<<20, 500*time.Millisecond
	s := newStory("ann")
	f := serve(t, limits, map[string]*story{"e": s})
	s.emit(true, slices.Repeat([]string{`"` + strings.Repeat("x", 1<<20) + `"`}, 64)...)
	c := f.as("ann")
	c.send(`{"type":"subscribe","execution_id":"e"}`)
	closing := func() bool {
		f.handler.mu.Lock()
		defer f.handler.mu.Unlock()
		for conn := range f.handler.conns {
			if conn.tooSlow() {
				return true
			}
		}
		return false
	}
	for deadline := time.Now().Add(20 * time.Second); !closing(); {
		if time.Now().After(deadline) {
			t.Fatal("the slow client was not noticed")
		}
		runtimeYield()
	}
	c.expectClose(websocket.CloseTryAgainLater)
}

// What the kernel takes for a client that reads nothing is memory too, and the work of making it.
func TestTheKernelTakesLittleForWhoReadsNothing(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	client, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	server, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	holdBack(server, DefaultLimits.Unsent)
	taken := 0
	for err == nil {
		_ = server.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
		var n int
		n, err = server.Write(make([]byte, 16<<10))
		taken += n
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) || taken < DefaultLimits.Unsent || taken > 512<<10 {
		t.Errorf("%d bytes were taken, %v", taken, err)
	}
}

// A client whose frames waited while an answer could not go out has not sent too many.
func TestFramesThatWaitedAreNotTooMany(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &conn{limits: &Limits{Messages: 10, Window: time.Second, Stall: 5 * time.Second}}
		burst := func() (n int) {
			for c.admits() {
				n++
			}
			return n
		}
		for _, step := range []struct {
			late time.Duration // that an answer took
			want int
		}{{0, 10}, {50 * time.Millisecond, 0}, {100 * time.Millisecond, 0}, {450 * time.Millisecond, 3}, {950 * time.Millisecond, 7 + 9}, {time.Hour, 10 + 50}} {
			began := time.Now()
			time.Sleep(step.late)
			c.lend(began)
			if n := burst(); n != step.want {
				t.Errorf("%d frames after an answer that took %v, not %d", n, step.late, step.want)
			}
		}
	})
}

// Who has the terminal event and subscribes again gets the story again, although the server may not have tidied up yet.
func TestSubscribingAgainAfterTheEnd(t *testing.T) {
	t.Parallel()
	s := newStory("ann")
	s.lingers = true
	s.emit(true, `1`, `2`)
	c := serve(t, DefaultLimits, map[string]*story{"e": s}).as("ann")
	for range 3 {
		c.send(`{"type":"subscribe","execution_id":"e"}`)
		c.expect(`{"type":"subscribed","execution_id":"e","status":"COMPLETED","last_seq":2}`, `1`, `2`)
		c.send(`{"type":"subscribe","execution_id":"e","after_seq":2}`)
		c.expect(`{"type":"subscribed","execution_id":"e","status":"COMPLETED","last_seq":2}`)
	}
}

// Many clients that read nothing must not take all memory, and not all room from those who read.
func TestBuffersOfAllClientsAreBounded(t *testing.T) {
	t.Parallel()
	const clients, limit, all, size = 1000, 10_000, 1 << 20, 500
	shared := &buffers{limit: all}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	fill := func(q *queue) (frames int) {
		for q.push(over, frame{payload: make([]byte, size-(&frame{}).size())}) == nil {
			frames++
		}
		return frames
	}
	var queues []*queue
	for range clients {
		q := newQueue(limit, shared, func() {})
		queues = append(queues, q)
		if n := fill(q); n < 1 || n > limit/size {
			t.Fatalf("%d frames in one queue", n)
		}
	}
	if n := len(queues[0].frames); n != limit/size {
		t.Errorf("the first could hold %d frames", n)
	}
	if held := shared.held.Load(); held < all/2 || held > all+clients*size {
		t.Errorf("%d bytes are held by all", held)
	}
	for _, q := range queues {
		q.close()
		q.drop()
	}
	if held := shared.held.Load(); held != 0 {
		t.Errorf("%d bytes are held by nobody", held)
	}
	large := newQueue(limit, shared, func() {})
	if err := large.push(over, frame{large: &execution.Large{Size: 1 << 30, Close: func() {}}}); err != nil {
		t.Fatal(err)
	}
	if held := shared.held.Load(); held != limit {
		t.Errorf("%d bytes are held for a value that is not in memory", held)
	}
}

func TestProgressIsLostFirst(t *testing.T) {
	t.Parallel()
	q := newQueue(1000, &buffers{limit: 1 << 20}, func() {})
	text := func(size int) frame {
		return frame{opcode: websocket.TextMessage, payload: make([]byte, size-(&frame{}).size())}
	}
	q.offer(text(400))
	q.offer(text(400)) // beyond half
	if err := q.push(t.Context(), text(600)); err != nil {
		t.Fatal(err)
	}
	if frames := q.take(nil); len(frames) != 2 {
		t.Errorf("%d frames", len(frames))
	}

	s := newStory("ann")
	f := serve(t, DefaultLimits, map[string]*story{"e": s})
	c := f.as("ann")
	c.send(`{"type":"subscribe","execution_id":"e"}`)
	c.expect(`{"type":"subscribed","execution_id":"e","status":"RUNNING","last_seq":0}`)
	for !s.pass(`{"type":"node.progress"}`) {
		runtimeYield()
	}
	c.expect(`{"type":"node.progress"}`)
}

func TestFailingEventsCloseTheConnection(t *testing.T) {
	t.Parallel()
	for _, broken := range []error{errors.New("the database is gone"), fmt.Errorf("read journal: %w", io.EOF)} {
		s := newStory("ann")
		s.broken = broken
		c := serve(t, DefaultLimits, map[string]*story{"e": s}).as("ann")
		c.send(`{"type":"subscribe","execution_id":"e"}`)
		c.expectClose(websocket.CloseInternalServerErr)
	}
}

func TestShutdown(t *testing.T) {
	t.Parallel()
	s := newStory("ann")
	f := serve(t, DefaultLimits, map[string]*story{"e": s})
	c := f.as("ann")
	c.send(`{"type":"subscribe","execution_id":"e"}`)
	c.expect(`{"type":"subscribed","execution_id":"e","status":"RUNNING","last_seq":0}`)
	down := make(chan error, 1)
	go func() { down <- f.handler.Shutdown(t.Context()) }()
	c.expectClose(websocket.CloseServiceRestart)
	if err := <-down; err != nil {
		t.Error(err)
	}
	_, response, err := websocket.DefaultDialer.Dial(f.url+"/ws?token=ann", nil)
	if err == nil || response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("after shutdown: %v", err)
	}
}

func TestShutdownCutsWhoDoesNotAnswer(t *testing.T) {
	t.Parallel()
	limits := DefaultLimits
	limits.Goodbye = time.Hour
	f := serve(t, limits, nil)
	f.as("ann") // and reads nothing
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := f.handler.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestClientsCloseIsAnswered(t *testing.T) {
	t.Parallel()
	c := serve(t, DefaultLimits, nil).as("ann")
	if err := c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseGoingAway, "bye"), time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	c.expectClose(websocket.CloseGoingAway)
}

func TestFiftySocketsSeeTheSame(t *testing.T) {
	t.Parallel()
	s := newStory("ann")
	f := serve(t, DefaultLimits, map[string]*story{"e": s})
	var want []string
	for i := range 200 {
		size := 10
		if i%50 == 7 {
			size = 200 << 10 // some do not fit into one system call
		}
		want = append(want, fmt.Sprintf(`{"seq":%d,"x":"%s"}`, i+1, strings.Repeat("x", size)))
	}
	var all sync.WaitGroup
	for range 50 {
		c := f.as("ann")
		c.send(`{"type":"subscribe","execution_id":"e"}`)
		c.next()
		all.Go(func() { c.expect(want...) })
	}
	for i := range want {
		s.emit(i == len(want)-1, want[i])
	}
	all.Wait()
}
