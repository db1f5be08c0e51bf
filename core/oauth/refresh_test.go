package oauth

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/patchbay-io/patchbay/core/credential"
	"github.com/patchbay-io/patchbay/core/plugin"
	"github.com/patchbay-io/patchbay/sdk/proto"
)

func TestTokensAreRefreshedOnce(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.set(func() { h.span = time.Minute })
	c := h.connect("ann", "repo")
	other := h.server(h.Vault, uuid.New())
	var wait sync.WaitGroup
	tokens := make([]string, 20)
	for i := range tokens {
		s := h.Service
		if i%2 == 1 {
			s = other
		}
		wait.Go(func() {
			opened, secret, err := s.Open(t.Context(), "ann", c.ID)
			if err != nil {
				t.Error(err)
				return
			}
			if tokens[i] = secret.AccessToken; !slices.Equal(opened.Scopes, []string{"repo"}) {
				t.Errorf("the scopes are %v", opened.Scopes)
			}
		})
	}
	wait.Wait()
	if n := h.count("RefreshToken"); n != 1 {
		t.Errorf("the provider was asked %d times", n)
	}
	for _, token := range tokens {
		if token != "access-2" {
			t.Errorf("somebody got %s", token)
		}
	}
	// The new token lives as short, and is used for a while all the same.
	if _, _, err := other.Open(t.Context(), "ann", c.ID); err != nil || h.count("RefreshToken") != 1 {
		t.Errorf("%v, asked %d times", err, h.count("RefreshToken"))
	}
	if _, err := h.Refresh(t.Context(), "ann", c.ID); err != nil || h.count("RefreshToken") != 2 {
		t.Errorf("by hand: %v, asked %d times", err, h.count("RefreshToken"))
	}
	if _, err := h.Refresh(t.Context(), "bob", c.ID); !errors.Is(err, credential.ErrNotFound) {
		t.Errorf("another user's: %v", err)
	}
}

func TestRefusedRefreshesNeedAuthorisation(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.set(func() { h.span = time.Minute })
	c := h.connect("ann")
	h.set(func() { h.current = "gone" })
	_, _, err := h.Open(t.Context(), "ann", c.ID)
	if needs, ok := errors.AsType[*credential.NeedsReauthorization](err); !ok || needs.ID != c.ID {
		t.Fatalf("%v", err)
	}
	if c, err = h.Vault.Find(t.Context(), "ann", c.ID); err != nil || !strings.Contains(c.Reauthorize, "refused") {
		t.Errorf("%+v, %v", c, err)
	}
	asked := h.count("RefreshToken")
	if _, _, err = h.Open(t.Context(), "ann", c.ID); err == nil || h.count("RefreshToken") != asked {
		t.Errorf("it is tried again: %v", err)
	}
	h.set(func() { h.span = time.Hour })
	if again := h.connect("ann"); again.ID != c.ID || again.Reauthorize != "" {
		t.Errorf("authorised again: %+v", again)
	}
	if _, _, err := h.Open(t.Context(), "ann", c.ID); err != nil {
		t.Error(err)
	}
}

func TestTokensThatCannotBeRefreshedAreUsedToTheirEnd(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.set(func() { h.span, h.endless = time.Minute, true })
	c := h.connect("ann")
	if _, secret, err := h.Open(t.Context(), "ann", c.ID); err != nil || secret.AccessToken != "access-1" {
		t.Errorf("%v", err)
	}
	if _, err := h.Refresh(t.Context(), "ann", c.ID); !errors.Is(err, ErrNotRefreshable) {
		t.Errorf("by hand: %v", err)
	}
	h.exec(`UPDATE credential SET expires_at = now() - interval '1 second'`)
	if _, _, err := h.Open(t.Context(), "ann", c.ID); err == nil {
		t.Error("an expired token is given out")
	}
	if c, err := h.Vault.Find(t.Context(), "ann", c.ID); err != nil || !strings.Contains(c.Reauthorize, "expired") {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestProvidersThatAreDownAreNoRefusal(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.set(func() { h.span = time.Minute })
	c := h.connect("ann")
	h.set(func() { h.fail = &plugin.ProviderError{Kind: proto.ErrorKind_ERROR_KIND_TEMPORARY, Message: "down"} })
	if _, secret, err := h.Open(t.Context(), "ann", c.ID); err != nil || secret.AccessToken != "access-1" {
		t.Errorf("a token that is still good is not used: %v", err)
	}
	h.exec(`UPDATE credential SET expires_at = now() - interval '1 second'`)
	if _, _, err := h.Open(t.Context(), "ann", c.ID); err == nil {
		t.Error("an expired token is given out")
	} else if _, down := errors.AsType[*Upstream](err); !down {
		t.Errorf("%v is no *Upstream", err)
	}
	h.set(func() { h.fail = nil })
	if _, secret, err := h.Open(t.Context(), "ann", c.ID); err != nil || secret.AccessToken != "access-2" {
		t.Errorf("%v", err)
	}
}

func TestWhatIsConnectedAnewIsNotOverwrittenByARefresh(t *testing.T) {
	t.Parallel()
	for _, refused := range []bool{false, true} {
		h := newHarness(t)
		h.set(func() { h.span = time.Minute })
		c := h.connect("ann")
		began, goOn := make(chan struct{}), make(chan struct{})
		h.set(func() {
			h.before = sync.OnceFunc(func() {
				h.set(func() { h.before = nil })
				close(began)
				<-goOn
				if !refused {
					h.set(func() { h.current = "refresh-1" })
				}
			})
		})
		done := make(chan error)
		go func() { _, _, err := h.Open(t.Context(), "ann", c.ID); done <- err }()
		<-began
		h.set(func() { h.span = time.Hour })
		h.connect("ann") // access-2
		close(goOn)
		<-done
		now, secret, err := h.Vault.Open(t.Context(), "ann", c.ID)
		if err != nil || secret.AccessToken != "access-2" || now.Reauthorize != "" {
			t.Errorf("refused %t: %+v, %v", refused, now, err)
		}
	}
}

func TestRefreshesOfADeadServerAreTakenOver(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.set(func() { h.span = time.Minute })
	c := h.connect("ann")
	dead := uuid.New()
	h.lease = time.Hour
	h.exec(`INSERT INTO oauth_refresh (credential_id, server_id, attempt, until) VALUES (?, ?, ?, now() + interval '1 hour')`, c.ID, dead, uuid.New())
	if claimed, _, err := h.claim(t.Context(), c.ID, uuid.New()); err != nil || claimed {
		t.Fatalf("claimed while another server is at it: %t, %v", claimed, err)
	}
	done := make(chan error, 1)
	go func() { _, _, err := h.Open(t.Context(), "ann", c.ID); done <- err }()
	h.server(h.Vault, dead) // starts again
	if err := <-done; err != nil || h.count("RefreshToken") != 1 {
		t.Errorf("%v, asked %d times", err, h.count("RefreshToken"))
	}
	if left, err := one[int](t.Context(), h.db, `SELECT count(*) FROM oauth_refresh`); err != nil || left != 0 {
		t.Errorf("%d are left, %v", left, err)
	}
}

// A server that was killed renews nothing: others wait for the rest of its lease, and no longer.
func TestRefreshesOfAKilledServerAreTakenOver(t *testing.T) {
	t.Parallel()
	if lease > 10*time.Second {
		t.Errorf("others wait %s for a server that was killed", lease)
	}
	h := newHarness(t)
	h.set(func() { h.span = time.Minute })
	c := h.connect("ann")
	h.lease = 200 * time.Millisecond
	attempt := uuid.New()
	if claimed, _, err := h.claim(t.Context(), c.ID, attempt); err != nil || !claimed { // and dies
		t.Fatalf("%t, %v", claimed, err)
	}
	other := h.server(h.Vault, uuid.New())
	if _, secret, err := other.Open(t.Context(), "ann", c.ID); err != nil || secret.AccessToken != "access-2" || h.count("RefreshToken") != 1 {
		t.Errorf("%v, asked %d times", err, h.count("RefreshToken"))
	}
}

// What would go on for longer than any refresh does is from before the database's clock was put back.
func TestRefreshesOfBeforeTheClockWasPutBackAreTakenOver(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	c := h.connect("ann")
	h.exec(`INSERT INTO oauth_refresh (credential_id, server_id, attempt, until) VALUES (?, ?, ?, now() + interval '1 hour')`, c.ID, uuid.New(), uuid.New())
	if claimed, cutOff, err := h.claim(t.Context(), c.ID, uuid.New()); err != nil || !claimed || !cutOff {
		t.Errorf("%t, %t, %v", claimed, cutOff, err)
	}
}

// One that lives keeps it, however long the provider takes.
func TestRefreshesThatTakeLongAreNotTakenOver(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.set(func() { h.span = time.Minute })
	c := h.connect("ann")
	h.lease = 2 * time.Second
	began, goOn := make(chan struct{}), make(chan struct{})
	h.set(func() { h.before = sync.OnceFunc(func() { close(began); <-goOn }) })
	done := make(chan error)
	go func() { _, err := h.Refresh(t.Context(), "ann", c.ID); done <- err }()
	<-began
	until := func() time.Time {
		at, err := one[time.Time](t.Context(), h.db, `SELECT until FROM oauth_refresh WHERE credential_id = ?`, c.ID)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	for first := until(); !until().After(first.Add(h.lease)); { // it would have ended
		if time.Now().After(first.Add(time.Minute)) {
			t.Fatal("the claim is not renewed")
		}
		if claimed, _, err := h.claim(t.Context(), c.ID, uuid.New()); err != nil || claimed {
			t.Fatalf("it was taken from who is at it: %v", err)
		}
	}
	close(goOn)
	if err := <-done; err != nil || h.count("RefreshToken") != 1 {
		t.Errorf("%v, asked %d times", err, h.count("RefreshToken"))
	}
}

func TestARefreshGoesOnWhenNobodyWaits(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.set(func() { h.span = time.Minute })
	c := h.connect("ann")
	began, goOn := make(chan struct{}), make(chan struct{})
	h.set(func() { h.before = sync.OnceFunc(func() { close(began); <-goOn }) })
	done := make(chan error)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { _, err := h.Refresh(ctx, "ann", c.ID); done <- err }()
	<-began
	cancel()
	if err := <-done; err == nil {
		t.Error("who has gone got an answer")
	}
	close(goOn)
	h.Close() // waits
	if _, secret, err := h.Vault.Open(t.Context(), "ann", c.ID); err != nil || secret.AccessToken != "access-2" {
		t.Errorf("the new token is lost: %v", err)
	}
}

func TestWhenTokensAreDue(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000_000, 0)
	for name, test := range map[string]struct {
		left      time.Duration
		refreshed time.Duration // ago; 0: never
		due       bool
	}{
		"long": {time.Hour, 0, false}, "soon": {299 * time.Second, 0, true}, "over": {-time.Second, 0, true}, "not yet": {301 * time.Second, 0, false},
		"short and new": {50 * time.Second, 10 * time.Second, false}, "short and old": {20 * time.Second, 40 * time.Second, true},
		"refreshed and long": {299 * time.Second, time.Hour, true},
	} {
		expiry := now.Add(test.left)
		secret := &credential.Secret{}
		if test.refreshed != 0 {
			secret.RefreshedAt = now.Add(-test.refreshed).Unix()
		}
		if due(&credential.Credential{ExpiresAt: &expiry}, secret, now) != test.due {
			t.Errorf("%s: due is %t", name, !test.due)
		}
	}
	if due(&credential.Credential{}, &credential.Secret{}, now) {
		t.Error("a token that never ends is due")
	}
}

func TestRevoking(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	c := h.connect("ann")
	h.Vault.RevokeWith(h.Service)
	if revoked, err := h.Vault.Delete(t.Context(), "ann", c.ID); err != nil || !revoked || h.count("RevokeToken") != 1 {
		t.Errorf("%t, %v", revoked, err)
	}
	c = h.connect("ann")
	h.set(func() { h.fail = &plugin.ProviderError{Kind: proto.ErrorKind_ERROR_KIND_TEMPORARY, Message: "down"} })
	if revoked, err := h.Vault.Delete(t.Context(), "ann", c.ID); err != nil || revoked {
		t.Errorf("at a provider that is down: %t, %v", revoked, err)
	}
	if _, err := h.Vault.Find(t.Context(), "ann", c.ID); !errors.Is(err, credential.ErrNotFound) {
		t.Errorf("it is still there: %v", err)
	}
}
