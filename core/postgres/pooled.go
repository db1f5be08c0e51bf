package postgres

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// looks is how often Pooled looks: between its statements another client may take the marked session and give it back, so
// that one look alone finds a busy pooler's sessions in order.
const looks = 16

// Pooled says whether what stands between the database and db, which takes two connections of it, gives several clients one
// session in turn, as PgBouncer does in transaction mode. What is left in such a session, LISTEN above all, reaches
// others, and what is expected there may be elsewhere.
func Pooled(ctx context.Context, db *bun.DB) (bool, error) {
	if db.Stats().MaxOpenConnections == 1 {
		return false, nil // one client alone meets nobody
	}
	mine, err := db.DB.Conn(ctx)
	if err != nil {
		return false, fmt.Errorf("look for a pooler: %w", err)
	}
	defer func() { _ = mine.Close() }()
	other, err := db.DB.Conn(ctx)
	if err != nil {
		return false, fmt.Errorf("look for a pooler: %w", err)
	}
	defer func() { _ = other.Close() }()
	for range looks {
		shared, err := share(ctx, mine, other)
		if err != nil {
			return false, fmt.Errorf("look for a pooler: %w", err)
		}
		if shared {
			return true, nil
		}
	}
	return false, nil
}

// share says whether a mark in the session of mine was seen to be in that of other, or not to be in its own.
func share(ctx context.Context, mine, other *sql.Conn) (bool, error) {
	mark := uuid.NewString()
	if _, err := mine.ExecContext(ctx, `SELECT set_config('patchbay.session', $1, false)`, mark); err != nil {
		return false, err
	}
	// A transaction has a session to itself: the marked one, if it was free, or else another one takes mine next.
	tx, err := other.BeginTx(ctx, nil)
	if err != nil {
		return false, err
	}
	defer func() { _ = tx.Rollback() }()
	var here, there sql.NullString
	const read = `SELECT current_setting('patchbay.session', true)`
	if err := tx.QueryRowContext(ctx, read).Scan(&there); err != nil {
		return false, err
	}
	if err := mine.QueryRowContext(ctx, read).Scan(&here); err != nil {
		return false, err
	}
	return here.String != mark || there.String == mark, nil
}
