package file

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/go-hclog"
	"github.com/uptrace/bun"
)

// queryTime bounds each query, none of which reads or writes more than a chunk or a page.
const queryTime = 15 * time.Second

// Store keeps files in the tables file, file_chunk, file_draft and file_usage. Every query is bounded by the user.
type Store struct {
	db     *bun.DB
	log    hclog.Logger
	limits Limits

	stop  context.CancelFunc
	swept chan struct{} // closed when the sweeper has ended
}

// NewStore returns a store over db.
func NewStore(db *bun.DB, limits Limits, log hclog.Logger) *Store {
	return &Store{db: db, limits: limits, log: log}
}

// Get describes a file of the user.
func (s *Store) Get(ctx context.Context, user, id string) (*Info, error) {
	r, err := s.find(ctx, user, id)
	if err != nil {
		return nil, err
	}
	return &r.Info, nil
}

// List are files of the user, newest first, and how many there are.
func (s *Store) List(ctx context.Context, user string, offset, limit int) ([]Info, int, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTime)
	defer cancel()
	var total int
	// Expired files count until they are swept; file_by_expiry finds the few that wait for it.
	err := s.db.QueryRowContext(ctx, `
		SELECT coalesce((SELECT files FROM file_usage WHERE user_id = ?0), 0)
			- (SELECT count(*) FROM file WHERE user_id = ?0 AND expires_at <= now())`, user).Scan(&total)
	if err != nil {
		return nil, 0, fmt.Errorf("count files: %w", err)
	}
	rows, err := s.db.QueryContext(ctx, `
		SELECT `+columns+` FROM file WHERE user_id = ? AND expires_at > now()
		ORDER BY created_at DESC, id DESC LIMIT ? OFFSET ?`, user, limit, offset)
	if err != nil {
		return nil, 0, fmt.Errorf("list files: %w", err)
	}
	defer func() { _ = rows.Close() }()
	list := []Info{}
	for rows.Next() {
		r, err := scan(rows)
		if err != nil {
			return nil, 0, fmt.Errorf("read files: %w", err)
		}
		list = append(list, r.Info)
	}
	if err := rows.Err(); err != nil {
		return nil, 0, fmt.Errorf("read files: %w", err)
	}
	return list, total, nil
}

// Delete removes a file of the user.
func (s *Store) Delete(ctx context.Context, user, id string) error {
	parsed, ok := parseID(id)
	if !ok {
		return ErrNotFound
	}
	return s.change(ctx, "delete file", user, func(ctx context.Context, tx bun.Tx) error {
		removed, err := remove(ctx, tx, user, parsed)
		if err == nil && !removed {
			err = ErrNotFound
		}
		return err
	})
}

// change runs a transaction that has the user's usage for itself.
func (s *Store) change(ctx context.Context, what, user string, do func(context.Context, bun.Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, queryTime)
	defer cancel()
	err := s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		// An update that changes nothing waits for whoever has the row, as an insert does.
		_, err := tx.ExecContext(ctx, `
			INSERT INTO file_usage (user_id, files, bytes) VALUES (?, 0, 0)
			ON CONFLICT (user_id) DO UPDATE SET files = file_usage.files`, user)
		if err != nil {
			return fmt.Errorf("lock usage: %w", err)
		}
		return do(ctx, tx)
	})
	if err == nil || errors.Is(err, ErrNotFound) || errors.Is(err, ErrFull) {
		return err
	}
	return fmt.Errorf("%s: %w", what, err)
}

// remove takes a file and its bytes away, unless it is not there.
func remove(ctx context.Context, tx bun.Tx, user string, id uuid.UUID) (bool, error) {
	var content uuid.UUID
	var size int64
	err := tx.QueryRowContext(ctx, `DELETE FROM file WHERE id = ? AND user_id = ? RETURNING content, size`, id, user).Scan(&content, &size)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("delete row: %w", err)
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM file_chunk WHERE content = ?`, content); err != nil {
		return false, fmt.Errorf("delete content: %w", err)
	}
	return true, count(ctx, tx, user, -1, -size)
}

// count changes what the user's files add up to.
func count(ctx context.Context, tx bun.Tx, user string, files, bytes int64) error {
	if _, err := tx.ExecContext(ctx, `UPDATE file_usage SET files = files + ?, bytes = bytes + ? WHERE user_id = ?`, files, bytes, user); err != nil {
		return fmt.Errorf("count usage: %w", err)
	}
	return nil
}

// record is a file's row.
type record struct {
	Info
	content uuid.UUID
}

const columns = `id, execution_id, name, media_type, size, sha256, created_at, expires_at, content`

func scan(row interface{ Scan(...any) error }) (*record, error) {
	var r record
	var execution uuid.NullUUID
	err := row.Scan(&r.ID, &execution, &r.Name, &r.MediaType, &r.Size, &r.SHA256, &r.CreatedAt, &r.ExpiresAt, &r.content)
	r.ExecutionID = execution.UUID
	return &r, err
}

func (s *Store) find(ctx context.Context, user, id string) (*record, error) {
	parsed, ok := parseID(id)
	if !ok {
		return nil, ErrNotFound
	}
	ctx, cancel := context.WithTimeout(ctx, queryTime)
	defer cancel()
	r, err := scan(s.db.QueryRowContext(ctx, `SELECT `+columns+` FROM file WHERE id = ? AND user_id = ? AND expires_at > now()`, parsed, user))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("find file: %w", err)
	}
	return r, nil
}
