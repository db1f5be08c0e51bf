package postgres

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"strings"
	"time"

	"github.com/uptrace/bun/driver/pgdriver"
)

// Away says whether an error means that the database cannot be asked at the moment, so that the same request may
// succeed later: it is starting, stopping or out of reach, or lacks room or connections (SQLSTATE classes 08, 53 and 57P, and
// what the network says).
func Away(err error) bool {
	var refused pgdriver.Error
	if errors.As(err, &refused) {
		class := refused.Field('C')
		return strings.HasPrefix(class, "08") || strings.HasPrefix(class, "53") || strings.HasPrefix(class, "57P")
	}
	var network *net.OpError
	return errors.As(err, &network) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// Pauses between the tries of Lasting.
const (
	firstPause = 20 * time.Millisecond
	lastPause  = time.Second
)

// Lasting asks again while the database is away, until ctx ends: what runs on behalf of users is delayed by an outage
// and does not fail by it. A bound that ask sets to its own time counts as an outage too: the database hangs, or this process
// was paused for so long. What it repeats must have changed nothing when it fails, or change the same again.
func Lasting[T any](ctx context.Context, ask func() (T, error)) (T, error) {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		answer, err := ask()
		late := errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil
		if err == nil || !late && !Away(err) {
			return answer, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return answer, ctx.Err()
		}
	}
}
