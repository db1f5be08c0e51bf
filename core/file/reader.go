package file

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"

	"github.com/patchbay-io/patchbay/core/postgres"
)

// Reader reads a file, a chunk at a time. One goroutine at a time may use it; there is nothing to close.
type Reader struct {
	Info
	s      *Store
	ctx    context.Context
	user   string
	at     record
	offset int64
	chunk  []byte // the one around offset
	number int64  // of chunk
}

// ErrGone is a file that was deleted, replaced or has expired while it was read.
var ErrGone = errors.New("the file was deleted while it was read")

// Open opens a file of the user. ctx bounds all reading.
func (s *Store) Open(ctx context.Context, user, id string) (*Reader, error) {
	r, err := s.find(ctx, user, id)
	if err != nil {
		return nil, err
	}
	return &Reader{Info: r.Info, s: s, ctx: ctx, user: user, at: *r, number: -1}, nil
}

// Read reads on. While the database is away it waits.
func (r *Reader) Read(p []byte) (int, error) {
	if r.offset >= r.Size {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	if number := r.offset / chunkSize; number != r.number {
		if _, err := postgres.Lasting(r.ctx, func() (struct{}, error) { return struct{}{}, r.load(number) }); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.chunk[r.offset%chunkSize:])
	r.offset += int64(n)
	return n, nil
}

func (r *Reader) load(number int64) error {
	ctx, cancel := context.WithTimeout(r.ctx, queryTime)
	defer cancel()
	r.number = -1
	err := r.s.db.QueryRowContext(ctx, `
		SELECT c.data FROM file f JOIN file_chunk c ON c.content = f.content
		WHERE f.id = ? AND f.user_id = ? AND f.content = ? AND c.n = ?`, r.ID, r.user, r.at.content, number).Scan(&r.chunk)
	if errors.Is(err, sql.ErrNoRows) {
		return ErrGone
	}
	if err != nil {
		return fmt.Errorf("read a piece of the file: %w", err)
	}
	if want := min(chunkSize, r.Size-number*chunkSize); int64(len(r.chunk)) != want {
		return fmt.Errorf("piece %d of file %s has %d bytes, not %d", number, r.ID, len(r.chunk), want)
	}
	r.number = number
	return nil
}

// Seek implements io.Seeker.
func (r *Reader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.offset
	case io.SeekEnd:
		offset += r.Size
	}
	if offset < 0 {
		return 0, errors.New("seek before the beginning of a file")
	}
	r.offset = offset
	return offset, nil
}
