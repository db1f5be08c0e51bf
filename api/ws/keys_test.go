package ws

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/patchbay-io/patchbay/core/account"
)

func quickRecheck() Limits {
	l := DefaultLimits
	l.Recheck = 20 * time.Millisecond
	return l
}

func TestKeysConnectAsTheirOwner(t *testing.T) {
	t.Parallel()
	f := serve(t, quickRecheck(), map[string]*story{"e": newStory("ann")})
	f.permit(account.ReadRun)
	for name, c := range map[string]struct {
		query  string
		header http.Header
		code   int
	}{
		"query":             {"token=pb_ann&user_id=ann", nil, 0},
		"bearer":            {"", http.Header{"Authorization": {"Bearer pb_ann"}}, 0},
		"somebody else's":   {"token=pb_ann&user_id=bob", nil, closeForeignUser},
		"unknown, in query": {"token=pbx", nil, 0}, // a token of the fixture
	} {
		t.Run(name, func(t *testing.T) {
			client := f.dial(c.query, c.header)
			if c.code != 0 {
				client.expectClose(c.code)
				return
			}
			client.send(`{"type":"ping"}`)
			client.expect(`{"type":"pong"}`)
		})
	}
	f.permit()
	f.dial("token=pb_ann", nil).expectClose(closeInvalidCredential)
}

func TestKeyWithoutPermissionFollowsNothing(t *testing.T) {
	t.Parallel()
	f := serve(t, quickRecheck(), map[string]*story{"e": newStory("ann")})
	f.permit(account.ReadBlock)
	c := f.dial("token=pb_ann", nil)
	c.send(`{"type":"subscribe","execution_id":"e","id":1}`)
	if answer := c.next(); !strings.Contains(answer, `"FORBIDDEN"`) || !strings.Contains(answer, `"id":1`) {
		t.Errorf("got %s", answer)
	}
	c.send(`{"type":"ping"}`) // and stays open
	c.expect(`{"type":"pong"}`)
	f.permit(account.ReadGraph)
	c.send(`{"type":"subscribe","execution_id":"e"}`)
	if answer := c.next(); !strings.Contains(answer, `"subscribed"`) {
		t.Errorf("with the permission: %s", answer)
	}
}

func TestRevokedKeyClosesTheConnection(t *testing.T) {
	t.Parallel()
	for name, permissions := range map[string][]account.Permission{"revoked": nil, "without the permission": {account.ReadBlock}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := serve(t, quickRecheck(), map[string]*story{"e": newStory("ann")})
			f.permit(account.ReadRun)
			c := f.dial("token=pb_ann", nil)
			c.send(`{"type":"subscribe","execution_id":"e"}`)
			if answer := c.next(); !strings.Contains(answer, `"subscribed"`) {
				t.Fatal(answer)
			}
			f.permit(permissions...)
			c.expectClose(closeInvalidCredential)
		})
	}
}

// Nobody waits for the next look where the key was revoked on this server.
func TestRevokedKeyClosesTheConnectionAtOnce(t *testing.T) {
	t.Parallel()
	l := DefaultLimits
	l.Recheck = time.Hour
	f := serve(t, l, map[string]*story{"e": newStory("ann")})
	f.permit(account.ReadRun)
	c := f.dial("token=pb_ann", nil)
	c.send(`{"type":"subscribe","execution_id":"e"}`)
	if answer := c.next(); !strings.Contains(answer, `"subscribed"`) {
		t.Fatal(answer)
	}
	f.handler.Recheck("ann") // nothing was changed
	c.send(`{"type":"ping"}`)
	c.expect(`{"type":"pong"}`)
	f.permit()
	f.handler.Recheck("bob")
	c.send(`{"type":"ping"}`)
	c.expect(`{"type":"pong"}`)
	f.handler.Recheck("ann")
	c.expectClose(closeInvalidCredential)
}

// The next subscription of a revoked key is refused without waiting for the next look.
func TestRevokedKeySubscribesNoMore(t *testing.T) {
	t.Parallel()
	f := serve(t, DefaultLimits, map[string]*story{"e": newStory("ann")})
	f.permit(account.ReadRun)
	c := f.dial("token=pb_ann", nil)
	f.permit()
	c.send(`{"type":"subscribe","execution_id":"e"}`)
	c.expectClose(closeInvalidCredential)
}

func TestDatabaseThatIsAwayRevokesNothing(t *testing.T) {
	t.Parallel()
	f := serve(t, quickRecheck(), map[string]*story{"e": newStory("ann")})
	f.permit(account.ReadRun)
	c := f.dial("token=pb_ann", nil)
	f.mu.Lock()
	f.away = errors.New("secret cause")
	f.mu.Unlock()
	c.send(`{"type":"subscribe","execution_id":"e"}`)
	if answer := c.next(); !strings.Contains(answer, `"INTERNAL_ERROR"`) || strings.Contains(answer, "secret") {
		t.Errorf("got %s", answer)
	}
	f.dial("token=pb_ann", nil).expectClose(1013)
	c.send(`{"type":"ping"}`)
	c.expect(`{"type":"pong"}`)
}
