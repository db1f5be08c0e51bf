package oauth

import (
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
