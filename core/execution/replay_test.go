package execution

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/patchbay-io/patchbay/sdk/proto"
)

// What is delivered as it happens is byte for byte what is read later.
func TestLiveEventsEqualReplayedOnes(t *testing.T) {
	t.Parallel()
	h := newKeyHarness(t)
	release := make(chan struct{})
	h.does("b0", func(b *keyBlock) *proto.Error {
		<-release
		b.emit(`1`)
		return nil
	})
	id := h.execute(h.chain("Effect", 5), `{"x":1}`)
	story := func(then func()) []string {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		sub, err := h.Subscribe(ctx, "u", id, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Close()
		then()
		var all []string
		for {
			ev, err := next(ctx, sub)
			if errors.Is(err, io.EOF) {
				return all
			}
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, string(ev.Payload))
		}
	}
	live := story(func() { close(release) })
	replayed := story(func() {})
	if len(live) != len(replayed) {
		t.Fatalf("%d events live, %d later", len(live), len(replayed))
	}
	for i := range live {
		if live[i] != replayed[i] {
			t.Errorf("live %s\nlater %s", live[i], replayed[i])
		}
	}
}
