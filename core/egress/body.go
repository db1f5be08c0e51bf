package egress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// ErrTooLarge is an answer that is larger than the limit.
var ErrTooLarge = errors.New("the answer is too large")

var (
	errSilent = errors.New("nothing came for too long")
	errLate   = errors.New("the request took too long")
)

// body is an answer's body with its bounds: of size, and of the time without a byte.
type body struct {
	ctx    context.Context
	cancel context.CancelCauseFunc // ends the request
	from   io.ReadCloser
	host   string
	limit  int64
	left   int64
	silent time.Duration
}

func (b *body) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1] // one more tells an end from too much
	}
	silence := time.AfterFunc(b.silent, func() { b.cancel(errSilent) })
	n, err := b.from.Read(p)
	silence.Stop()
	if int64(n) > b.left {
		n, b.left = int(b.left), 0
		return n, b.tooLarge()
	}
	b.left -= int64(n)
	if err != nil && err != io.EOF {
		if b.ctx.Err() != nil {
			err = context.Cause(b.ctx)
		}
		err = fmt.Errorf("read the answer of %s: %w", b.host, err)
	}
	return n, err
}

func (b *body) tooLarge() error {
	return fmt.Errorf("%w: %s sends more than %d bytes", ErrTooLarge, b.host, b.limit)
}

func (b *body) Close() error {
	err := b.from.Close()
	b.cancel(nil)
	return err
}
