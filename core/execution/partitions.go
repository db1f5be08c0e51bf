package execution

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/go-hclog"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/driver/pgdriver"
)

// partitions are those of the tables journal and value: an execution's rows lie in the one of the time at which it began,
// which its id tells. They are made ahead; should one be missing all the same, because a server's clock is far off or
// nobody was there for a week, it is made when a row needs it.
type partitions struct {
	db   *bun.DB
	log  hclog.Logger
	days int // that a new one is for
}

// partitionsAhead is how far partitions are made ahead, and how fast a server's clock may be without anybody noticing.
const partitionsAhead = 7 * 24 * time.Hour

// ahead makes those of the time to come.
func (p *partitions) ahead(ctx context.Context) error {
	var made int
	err := p.db.QueryRowContext(ctx, `
		SELECT sum(history_cover(at, ?0)) FROM generate_series(now(), now() + ?1 * interval '1 second', make_interval(days => ?0)) at`,
		p.days, partitionsAhead.Seconds()).Scan(&made)
	if err != nil {
		return fmt.Errorf("make partitions of the history: %w", err)
	}
	if made > 0 {
		p.log.Info("made partitions of the history", "partitions", made)
	}
	return nil
}

// daysFor is how many days a partition is for where executions are kept for so many: of days there would be too many after
// some years.
func daysFor(retention int) int {
	if retention > 0 && retention <= 60 {
		return 1
	}
	return 7
}

// locked says whether an error is that somebody else has a lock for too long.
func locked(err error) bool {
	var refused pgdriver.Error
	return errors.As(err, &refused) && refused.Field('C') == "55P03"
}

// made makes the missing ones of some executions, if their lack is what an error says. Then what failed can be tried again.
func (p *partitions) made(ctx context.Context, err error, executions ...uuid.UUID) bool {
	var refused pgdriver.Error
	const noPartition = "23514" // a violated check; the tables have none of their own
	if !errors.As(err, &refused) || refused.Field('C') != noPartition || refused.Field('t') != "journal" && refused.Field('t') != "value" {
		return false
	}
	var made int
	if err := p.db.QueryRowContext(ctx, `SELECT coalesce(sum(history_cover(history_time(id), ?)), 0) FROM unnest(ARRAY[?]::uuid[]) id`,
		p.days, bun.List(executions)).Scan(&made); err != nil {
		p.log.Warn("could not make a partition of the history", "error", err)
		return false
	}
	p.log.Warn("made a partition of the history that was missing; if this comes again, look at the clocks of the servers", "partitions", made)
	return true
}
