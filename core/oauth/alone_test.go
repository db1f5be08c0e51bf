package oauth

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/patchbay-io/patchbay/core/credential"
)

func TestSerialisedCredentialsAreUsedByOneRunAtATime(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	servers := []*Service{h.Service, h.server(h.Vault, uuid.New())}
	a := &credential.Credential{ID: uuid.NewString(), Provider: "lonely"}
	b := &credential.Credential{ID: uuid.NewString(), Provider: "lonely"}
	var using, most atomic.Int32
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			all := []*credential.Credential{a, b, a} // the other way round too: nobody waits for ever
			if i%3 == 0 {
				all = []*credential.Credential{b, a}
			}
			release, err := servers[i%2].Alone(t.Context(), all)
			if err != nil {
				t.Error(err)
				return
			}
			if n := using.Add(1); n > most.Load() {
				most.Store(n)
			}
			time.Sleep(time.Millisecond) // the use
			using.Add(-1)
			release()
		})
	}
	wait.Wait()
	if most.Load() != 1 {
		t.Errorf("%d used it at once", most.Load())
	}
}

func TestFreeCredentialsAreShared(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	c := &credential.Credential{ID: uuid.NewString(), Provider: "forge"}
	if release, err := h.Alone(t.Context(), []*credential.Credential{c}); err != nil || release != nil {
		t.Errorf("held: %t, %v", release != nil, err)
	}
}

func TestHoldsAreRenewedAndEndWithTheirServer(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.lease = 3 * time.Second
	c := []*credential.Credential{{ID: uuid.NewString(), Provider: "lonely"}}
	release, err := h.Alone(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	until := func() time.Time {
		at, err := one[time.Time](t.Context(), h.DB, `SELECT until FROM oauth_use WHERE credential_id = ?`, c[0].ID)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	for began := until(); !until().After(began); { // it is renewed
		if time.Now().After(began.Add(time.Minute)) {
			t.Fatal("the hold is not renewed")
		}
	}
	other := h.server(h.Vault, uuid.New())
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := other.Alone(short, c); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("it was taken from who holds it: %v", err)
	}
	release()
	if release, err = other.Alone(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	release()
	// One that a dead server holds is free when that starts again.
	dead := uuid.New()
	h.exec(`INSERT INTO oauth_use (credential_id, server_id, holder, until) VALUES (?, ?, ?, now() + interval '1 hour')`, c[0].ID, dead, uuid.New())
	h.server(h.Vault, dead)
	if release, err = other.Alone(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	release()
}
