package limit

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"github.com/patchbay-io/patchbay/core/postgres"
)

// store is the table of counts.
type store struct {
	db     *bun.DB
	server uuid.UUID
	taking *postgres.Statement
}

// delta is what is to be added to a count.
type delta struct {
	key key
	n   int
}

func newStore(db *bun.DB, server uuid.UUID) store {
	return store{db: db, server: server, taking: postgres.NewStatement(db, `
		INSERT INTO rate_limit AS r (bucket, subject, start, n) VALUES ($1, $2, $3::timestamptz, 1)
		ON CONFLICT (subject, bucket, start) DO UPDATE SET n = r.n + 1 WHERE r.n < $4::integer RETURNING n`)}
}

// take counts one and answers how many there are, more than limit if that was reached before.
func (s store) take(ctx context.Context, window time.Time, k key, limit int) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	var n int
	err := s.taking.Row(ctx, []any{k.bucket, k.subject, window, limit}, &n)
	if errors.Is(err, sql.ErrNoRows) {
		return limit + 1, nil
	}
	return n, err
}

func (s store) read(ctx context.Context, window time.Time, k key) (n int, err error) {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	err = s.db.QueryRowContext(ctx, `SELECT n FROM rate_limit WHERE bucket = ? AND subject = ? AND start = ?`, k.bucket, k.subject, window).Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return n, err
}

// add writes counts down.
func (s store) add(ctx context.Context, window time.Time, deltas []delta) error {
	buckets, subjects, ns := make([]string, len(deltas)), make([]string, len(deltas)), make([]int, len(deltas))
	for i, d := range deltas {
		buckets[i], subjects[i], ns[i] = d.key.bucket, d.key.subject, d.n
	}
	_, err := s.db.ExecContext(ctx, `
		INSERT INTO rate_limit AS r (bucket, subject, start, n)
		SELECT v.bucket, v.subject, ?, v.n FROM unnest(?::text[], ?::text[], ?::integer[]) AS v(bucket, subject, n)
		ON CONFLICT (subject, bucket, start) DO UPDATE SET n = r.n + excluded.n`,
		window, pgdialect.Array(buckets), pgdialect.Array(subjects), pgdialect.Array(ns))
	return err
}

// sweep drops the counts of windows that began before a time.
func (s store) sweep(ctx context.Context, before time.Time) error {
	_, err := s.db.ExecContext(ctx, `DELETE FROM rate_limit WHERE start < ?`, before)
	return err
}

// others counts the other servers that are alive.
func (s store) others(ctx context.Context) (n int, err error) {
	err = s.db.QueryRowContext(ctx, `SELECT count(*) FROM lease WHERE until > now() AND server_id <> ?`, s.server).Scan(&n)
	return n, err
}
