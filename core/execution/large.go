package execution

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/patchbay-io/patchbay/core/execution/journal"
)

// Large is the payload of an event that is read in pieces while it is written, so that a slow client holds one of them.
type Large struct {
	Size int // bytes of all pieces
	// Next reads the next piece, which is good until the one after it is read; io.EOF behind the last.
	Next func(ctx context.Context) ([]byte, error)
	// Close gives back what is held. It must be called, once nothing more is read.
	Close func()
}

// complete reads the value of an event that is not in memory, or leaves a large one to whoever writes it.
func (sub *Subscription) complete(ctx context.Context, ev Event) (Event, error) {
	o, head := ev.stored, ev.Payload
	if o == nil {
		return ev, nil
	}
	ev.stored = nil
	if o.Size > chunkSize {
		ev.Payload = nil
		var err error
		ev.Large, err = sub.large(ctx, head, o)
		return ev, err
	}
	v, err := sub.s.largeValue(ctx, sub.header.id, o.Digest)
	ev.Payload = slices.Concat(head, sub.hidden.value(v), closing)
	return ev, err
}

// large is the payload of an event with a large value behind its head. Where nothing of the value is hidden it comes
// from the database piece by piece.
func (sub *Subscription) large(ctx context.Context, head []byte, o *journal.Output) (*Large, error) {
	if l, err := sub.hide(ctx, head, o); l != nil || err != nil {
		return l, err
	}
	n, left := 0, int(o.Size)
	return &Large{
		Size: len(head) + left + len(closing),
		Next: func(ctx context.Context) ([]byte, error) {
			if left == 0 {
				return nil, io.EOF
			}
			piece, err := sub.s.chunk(ctx, sub.header.id, o.Digest, n)
			switch {
			case err != nil:
				return nil, err
			case len(piece) > left || len(piece) < min(left, chunkSize):
				return nil, fmt.Errorf("%w: chunk %d of value %x has %d bytes", errUnreadable, n, o.Digest, len(piece))
			}
			if left -= len(piece); n == 0 {
				piece = slices.Concat(head, piece)
			}
			if n++; left == 0 {
				piece = append(piece, closing...)
			}
			return piece, nil
		},
		Close: func() {},
	}, nil
}

// hide is the payload of an event whose value hides something; nil where there is nothing to hide. It is in memory whole,
// since what is hidden may be anywhere.
func (sub *Subscription) hide(ctx context.Context, head []byte, o *journal.Output) (*Large, error) {
	if sub.hidden.empty() {
		return nil, nil
	}
	release, err := sub.s.budget.Take(ctx, sub.header.userID, 2*int(o.Size))
	if err != nil {
		return nil, err
	}
	v, err := sub.s.largeValue(ctx, sub.header.id, o.Digest)
	if err != nil {
		release()
		return nil, err
	}
	shown := sub.hidden.value(v)
	if &shown[0] == &v[0] {
		release()
		return nil, nil
	}
	pieces := [][]byte{head, shown, closing}
	return &Large{
		Size: len(head) + len(shown) + len(closing),
		Next: func(context.Context) ([]byte, error) {
			if len(pieces) == 0 {
				return nil, io.EOF
			}
			next := pieces[0]
			pieces = pieces[1:]
			return next, nil
		},
		Close: release,
	}, nil
}
