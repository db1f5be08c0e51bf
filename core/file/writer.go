package file

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"hash"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"github.com/patchbay-io/patchbay/core/postgres"
)

// chunkSize is how many bytes lie in one row, and how much of a file is in memory at once.
const chunkSize = 256 << 10

// checkEvery is after how many chunks a writer asks again whether its user has room.
const checkEvery = 16

// New says what a file will be.
type New struct {
	// ID names the file; a file of the user that has it is replaced. Zero: a new one is made.
	ID          uuid.UUID
	User        string
	ExecutionID uuid.UUID // that stores it; zero: none does
	Name        string    // as whoever brings the file calls it; it is cleaned
	MediaType   string    // the same; where it says nothing the file's beginning decides
	Lifetime    time.Duration
}

// Writer takes a file's bytes, which one goroutine at a time may bring. Commit or Abort ends it.
type Writer struct {
	s       *Store
	ctx     context.Context
	file    New
	content uuid.UUID
	chunk   []byte // not yet stored
	chunks  int    // stored
	size    int64
	sum     hash.Hash
	beginMT string // what the beginning looks like
	ended   bool
	err     error // why no more is taken
}

// errEnded is a writer that is used after its end.
var errEnded = errors.New("the file is written already")

// Create begins a file. It is there when Commit has returned. ctx bounds the whole writing.
func (s *Store) Create(ctx context.Context, n New) (*Writer, error) {
	if n.ID == (uuid.UUID{}) {
		n.ID = uuid.Must(uuid.NewV7())
	}
	w := &Writer{s: s, ctx: ctx, file: n, content: uuid.Must(uuid.NewV7()), sum: sha256.New()}
	if err := w.checkRoom(); err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, queryTime)
	defer cancel()
	_, err := s.db.ExecContext(limited, `INSERT INTO file_draft (content, user_id, size, touched_at) VALUES (?, ?, 0, now())`, w.content, n.User)
	if err != nil {
		return nil, fmt.Errorf("begin file: %w", err)
	}
	return w, nil
}

// checkRoom refuses a user whose files, those that are being written among them, are too many or too large already.
func (w *Writer) checkRoom() error {
	ctx, cancel := context.WithTimeout(w.ctx, queryTime)
	defer cancel()
	var files, bytes int64
	err := w.s.db.QueryRowContext(ctx, `
		SELECT coalesce(sum(files), 0)::bigint, coalesce(sum(bytes), 0)::bigint FROM (
			SELECT files, bytes FROM file_usage WHERE user_id = ?0
			UNION ALL SELECT 1, size FROM file_draft WHERE user_id = ?0 AND content <> ?1
		) AS all_of_them`, w.file.User, w.content).Scan(&files, &bytes)
	if err != nil {
		return fmt.Errorf("look for room: %w", err)
	}
	return w.s.limits.room(files, bytes+w.size)
}

// room says whether a user may have these files and one more.
func (l *Limits) room(files, bytes int64) error {
	switch {
	case bytes > l.User:
		return fmt.Errorf("%w: your files may be %s together; delete some, or wait until they expire", ErrFull, size(l.User))
	case files >= l.Files:
		return fmt.Errorf("%w: you have %d files, and may have no more; delete some, or wait until they expire", ErrFull, files)
	default:
		return nil
	}
}

// Write takes the file's next bytes.
func (w *Writer) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	if w.size+int64(len(p)) > w.s.limits.File {
		w.err = fmt.Errorf("%w: a file may be %s", ErrTooLarge, size(w.s.limits.File))
		return 0, w.err
	}
	w.sum.Write(p)
	w.size += int64(len(p))
	taken := 0
	for taken < len(p) {
		if w.chunk == nil {
			w.chunk = make([]byte, 0, chunkSize)
		}
		n := min(len(p)-taken, chunkSize-len(w.chunk))
		w.chunk = append(w.chunk, p[taken:taken+n]...)
		if len(w.chunk) == chunkSize {
			if w.err = w.store(); w.err != nil {
				return taken, w.err
			}
		}
		taken += n
	}
	return taken, nil
}

// store writes the chunk that is in memory. While the database is away it waits.
func (w *Writer) store() error {
	_, err := postgres.Lasting(w.ctx, func() (struct{}, error) { return struct{}{}, w.storeOnce() })
	return err
}

// storeOnce may have stored the chunk although it fails; to store it again changes nothing.
func (w *Writer) storeOnce() error {
	if w.chunks == 0 {
		w.beginMT = sniff(w.chunk)
	}
	if w.chunks%checkEvery == checkEvery-1 {
		if err := w.checkRoom(); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(w.ctx, queryTime)
	defer cancel()
	// Without a draft the chunk would lie around for ever.
	var drafts int
	err := w.s.db.QueryRowContext(ctx, `
		WITH draft AS (UPDATE file_draft SET size = ?0, touched_at = now() WHERE content = ?1 RETURNING content),
		piece AS (INSERT INTO file_chunk (content, n, data) SELECT content, ?2, ?3 FROM draft ON CONFLICT DO NOTHING)
		SELECT count(*) FROM draft`, int64(w.chunks)*chunkSize+int64(len(w.chunk)), w.content, w.chunks, w.chunk).Scan(&drafts)
	if err != nil {
		return fmt.Errorf("store a piece of the file: %w", err)
	}
	if drafts != 1 {
		return errors.New("the file was given up, since it was not written for too long")
	}
	w.chunks++
	w.chunk = w.chunk[:0]
	return nil
}

// Commit makes the file be there.
func (w *Writer) Commit() (*Info, error) {
	if w.ended {
		return nil, errEnded
	}
	if len(w.chunk) > 0 && w.err == nil {
		w.err = w.store()
	}
	if w.err != nil {
		w.Abort()
		return nil, w.err
	}
	info := &Info{ID: w.file.ID, ExecutionID: w.file.ExecutionID, Size: w.size, SHA256: w.sum.Sum(nil)}
	info.MediaType = mediaType(w.file.MediaType, w.beginMT)
	info.Name = cleanName(w.file.Name, info.MediaType)
	_, err := postgres.Lasting(w.ctx, func() (struct{}, error) {
		return struct{}{}, w.s.change(w.ctx, "complete file", w.file.User, func(ctx context.Context, tx bun.Tx) error { return w.complete(ctx, tx, info) })
	})
	if err != nil {
		w.Abort()
		return nil, err
	}
	w.ended, w.err, w.chunk = true, errEnded, nil
	return info, nil
}

// complete puts the file in the place of the draft, and of an earlier file.
func (w *Writer) complete(ctx context.Context, tx bun.Tx, info *Info) error {
	result, err := tx.ExecContext(ctx, `DELETE FROM file_draft WHERE content = ?`, w.content)
	if err != nil {
		return fmt.Errorf("end the draft: %w", err)
	}
	if n, err := result.RowsAffected(); err != nil || n != 1 {
		return errors.Join(w.completed(ctx, tx, info), err)
	}
	if _, err := remove(ctx, tx, w.file.User, info.ID); err != nil {
		return err
	}
	var files, bytes int64
	if err := tx.QueryRowContext(ctx, `SELECT files, bytes FROM file_usage WHERE user_id = ?`, w.file.User).Scan(&files, &bytes); err != nil {
		return fmt.Errorf("read usage: %w", err)
	}
	if err := w.s.limits.room(files, bytes+w.size); err != nil {
		return err
	}
	execution := uuid.NullUUID{UUID: info.ExecutionID, Valid: info.ExecutionID != uuid.UUID{}}
	err = tx.QueryRowContext(ctx, `
		INSERT INTO file (id, user_id, execution_id, name, media_type, size, sha256, content, created_at, expires_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, now(), now() + make_interval(secs => ?)) RETURNING created_at, expires_at`,
		info.ID, w.file.User, execution, info.Name, info.MediaType, info.Size, info.SHA256, w.content, w.file.Lifetime.Seconds()).
		Scan(&info.CreatedAt, &info.ExpiresAt)
	if err != nil {
		return fmt.Errorf("insert row: %w", err)
	}
	return count(ctx, tx, w.file.User, 1, info.Size)
}

// completed says that the file is there already, by a try whose answer was lost.
func (w *Writer) completed(ctx context.Context, tx bun.Tx, info *Info) error {
	err := tx.QueryRowContext(ctx, `SELECT created_at, expires_at FROM file WHERE id = ? AND user_id = ? AND content = ?`, info.ID, w.file.User, w.content).
		Scan(&info.CreatedAt, &info.ExpiresAt)
	if errors.Is(err, sql.ErrNoRows) {
		return errors.New("it was given up, since it was not written for too long")
	}
	if err != nil {
		return fmt.Errorf("look for the file: %w", err)
	}
	return nil
}

// abortTime bounds the cleaning after a file that is given up. What it leaves is the sweeper's.
const abortTime = 5 * time.Second

// Abort gives the file up. After Commit it does nothing.
func (w *Writer) Abort() {
	if w.ended {
		return
	}
	w.ended, w.chunk = true, nil
	if w.err == nil {
		w.err = errEnded
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), abortTime)
	defer cancel()
	if _, err := w.s.db.ExecContext(ctx, dropDrafts("content = ?"), w.content); err != nil {
		w.s.log.Warn("a file that was given up stays until it is swept", "content", w.content, "error", err)
	}
}

// dropDrafts deletes drafts and their chunks.
func dropDrafts(which string) string {
	return `WITH dropped AS (DELETE FROM file_draft WHERE ` + which + ` RETURNING content)
		DELETE FROM file_chunk USING dropped WHERE file_chunk.content = dropped.content`
}

// size is a limit for people.
func size(bytes int64) string {
	if bytes >= 1<<20 {
		return fmt.Sprintf("%d MiB", bytes>>20)
	}
	return fmt.Sprintf("%d bytes", bytes)
}
