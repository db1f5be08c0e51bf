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

// talks is an execution with so many outputs of one node, which has ended.
func talks(h *keyHarness, outputs int) (id string) {
	h.t.Helper()
	h.does("b0", func(b *keyBlock) *proto.Error {
		for range outputs {
			b.emit(`1`)
		}
		return nil
	})
	id = h.execute(h.chain("Effect", 1), `{"x":1}`)
	h.finished(id)
	return id
}

// Many clients may be in the middle of a long story and read nothing.
func TestReplayHoldsLittle(t *testing.T) {
	t.Parallel()
	h := newKeyHarness(t)
	id := talks(h, 6000)
	turn := make(chan struct{}, 1)
	var subs []*Subscription
	for range 2 {
		sub, err := h.Subscribe(t.Context(), "u", id, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Close()
		sub.Follow(turn, func() {}, nil)
		subs = append(subs, sub)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	events, waited := int64(0), 0
	for {
		_, ok, err := subs[0].Next(t.Context())
		if err == io.EOF {
			break
		}
		if !ok || err != nil {
			t.Fatal(ok, err)
		}
		events++
		packed := 0
		for _, s := range subs[0].ahead {
			packed += len(s.body)
		}
		if len(subs[0].rows) > maxSegmentRows || packed > replayBytes+2*maxSegmentBytes {
			t.Fatalf("%d rows and %d bytes are held", len(subs[0].rows), packed)
		}
		if len(subs[0].rows) > 0 || packed > 0 {
			if _, ok, err := subs[1].Next(over); ok || !errors.Is(err, context.Canceled) {
				t.Fatal("both hold recorded events at the same time", ok, err)
			}
			waited++
		}
	}
	if events != subs[0].LastSeq() || events < 6000 || waited < 5000 {
		t.Errorf("%d events, of which %d were held, and the last is %d", events, waited, subs[0].LastSeq())
	}
	subs[0].Close()
	if _, ok, err := subs[1].Next(t.Context()); !ok || err != nil {
		t.Error("the other does not get the turn", ok, err)
	}
}

// Who comes back for the last events does not have the whole story read.
func TestResumingReadsWhatFollows(t *testing.T) {
	t.Parallel()
	h := newKeyHarness(t)
	subscribe := func(id string, after int64) *Subscription {
		t.Helper()
		sub, err := h.Subscribe(t.Context(), "u", id, after)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(sub.Close)
		return sub
	}
	first := func(sub *Subscription) int64 {
		t.Helper()
		ev, err := next(t.Context(), sub)
		if err != nil {
			t.Fatal(err)
		}
		return ev.Seq
	}
	long := talks(h, 6000)
	last := subscribe(long, 0).LastSeq()
	for after, want := range map[int64]int64{0: 1, 1: 2, 3000: 3001, last - 10: last - 9, last - 1: last} {
		if seq := first(subscribe(long, after)); seq != want {
			t.Errorf("after %d comes %d", after, seq)
		}
		sub := subscribe(long, after)
		if err := sub.read(t.Context()); err != nil {
			t.Fatal(err)
		}
		if read := sub.ahead[0].seq; read <= after {
			t.Errorf("of %d events those up to %d were read, to give those after %d", last, read, after)
		}
	}
	for _, after := range []int64{last, last + 5} {
		if ev, ok, err := subscribe(long, after).Next(t.Context()); err != io.EOF {
			t.Errorf("after the end comes %v, %v, %v", ev, ok, err)
		}
	}

	release := make(chan struct{})
	began := make(chan struct{})
	h.does("b0", func(b *keyBlock) *proto.Error {
		close(began)
		<-release
		b.emit(`1`)
		return nil
	})
	id := h.execute(h.chain("Effect", 1), `{"x":1}`)
	<-began
	last = subscribe(id, 0).LastSeq()
	live, beyond := subscribe(id, last), subscribe(id, last+1)
	for _, sub := range []*Subscription{live, beyond} {
		if ev, ok, err := sub.Next(t.Context()); ok || err != nil {
			t.Fatal(ev, ok, err)
		}
	}
	close(release)
	for sub, want := range map[*Subscription]int64{live: last + 1, beyond: last + 2} {
		if seq := first(sub); seq != want {
			t.Errorf("comes %d, not %d", seq, want)
		}
	}
}
