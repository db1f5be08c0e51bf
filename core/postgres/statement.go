package postgres

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/driver/pgdriver"
)

// Statement is a query that runs so often that reading and planning it would cost the database more than running it.
// Each connection prepares it once and keeps one plan, made without looking at the arguments. Behind a pooler that gives
// each transaction another connection it goes out as text.
type Statement struct {
	db    *bun.DB
	query string

	mu       sync.Mutex
	prepared *sql.Stmt
	plain    atomic.Bool
}

// NewStatement returns a statement whose placeholders are $1, $2, …
func NewStatement(db *bun.DB, query string) *Statement { return &Statement{db: db, query: query} }

// SQLSTATEs of a prepared statement that the connection at hand does not know, or knows already.
const (
	unknownStatement = "26000"
	knownStatement   = "42P05"
)

// Row runs the statement and scans its one row. The error is sql.ErrNoRows where there is none.
func (s *Statement) Row(ctx context.Context, args []any, into ...any) error {
	return s.run(ctx, func(stmt *sql.Stmt) error {
		if stmt == nil {
			return s.db.DB.QueryRowContext(ctx, s.query, args...).Scan(into...)
		}
		return stmt.QueryRowContext(ctx, args...).Scan(into...)
	})
}

// Rows runs the statement and calls each for every row.
func (s *Statement) Rows(ctx context.Context, args []any, each func(*sql.Rows) error) error {
	return s.run(ctx, func(stmt *sql.Stmt) error {
		var rows *sql.Rows
		var err error
		if stmt == nil {
			rows, err = s.db.DB.QueryContext(ctx, s.query, args...)
		} else {
			rows, err = stmt.QueryContext(ctx, args...)
		}
		return read(rows, err, each)
	})
}

func read(rows *sql.Rows, err error, each func(*sql.Rows) error) error {
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// RowsIn is Rows as part of a transaction.
func (s *Statement) RowsIn(ctx context.Context, tx *sql.Tx, args []any, each func(*sql.Rows) error) error {
	return s.run(ctx, func(stmt *sql.Stmt) error {
		var rows *sql.Rows
		var err error
		if stmt == nil {
			rows, err = tx.QueryContext(ctx, s.query, args...)
		} else {
			rows, err = tx.StmtContext(ctx, stmt).QueryContext(ctx, args...) //nolint:sqlclosecheck // the transaction closes it
		}
		return read(rows, err, each)
	})
}

// run lets f query the prepared statement, or, for nil, the text.
func (s *Statement) run(ctx context.Context, f func(*sql.Stmt) error) error {
	if !s.plain.Load() {
		stmt, err := s.prepare(ctx) //nolint:sqlclosecheck // it is kept, and closed by Close
		if err == nil {
			err = f(stmt)
		}
		if !pooled(err) {
			return err
		}
		s.plain.Store(true) // it was refused before anything was executed
	}
	return f(nil)
}

// Close lets the connections forget the statement.
func (s *Statement) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.prepared != nil {
		_ = s.prepared.Close() // the connection is what would be in the way, and it is given up then
		s.prepared = nil
	}
}

func (s *Statement) prepare(ctx context.Context) (*sql.Stmt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.prepared != nil {
		return s.prepared, nil
	}
	// A session that others prepare in too may have another statement by the same name.
	shared, err := Pooled(ctx, s.db)
	if err != nil {
		return nil, err
	}
	if shared {
		return nil, errShared
	}
	s.prepared, err = s.db.DB.PrepareContext(ctx, s.query)
	return s.prepared, err
}

var errShared = errors.New("the sessions of the database are shared")

func pooled(err error) bool {
	if errors.Is(err, errShared) {
		return true
	}
	var refused pgdriver.Error
	if !errors.As(err, &refused) {
		return false
	}
	code := refused.Field('C')
	return code == unknownStatement || code == knownStatement
}
