package oauth

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/patchbay-io/patchbay/core/credential"
)

func TestSerialisedCredentialsAreUsedByOneRunAtATime(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	other := h.server(h.Vault, uuid.New())
	lonely := []*credential.Credential{{ID: uuid.NewString(), Provider: "lonely"}}
	release, err := h.Alone(t.Context(), lonely)
	if err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := other.Alone(short, lonely); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("another server's run used it at the same time: %v", err)
	}
	release()
	if release, err = other.Alone(t.Context(), lonely); err != nil {
		t.Fatal(err)
	}
	release()
}

func TestFreeCredentialsAreShared(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	c := &credential.Credential{ID: uuid.NewString(), Provider: "forge"}
	if release, err := h.Alone(t.Context(), []*credential.Credential{c}); err != nil || release != nil {
		t.Errorf("held: %t, %v", release != nil, err)
	}
}
