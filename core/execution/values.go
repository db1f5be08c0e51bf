package execution

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/google/uuid"
	"github.com/klauspost/compress/zstd"
	"github.com/uptrace/bun"
)

// Values too large for the journal lie in the table value, in chunks that are packed each for itself: no row is large,
// and who reads or writes a value holds one of it and not two.
const (
	chunkSize = 256 << 10
	// chunksAtOnce are written by one statement.
	chunksAtOnce = 4
)

// How a chunk is packed.
const (
	chunkPlain = iota
	chunkZstd
)

// packer and unpacker serve any number of callers at once. Their memory is bounded by that of a chunk.
var (
	packer = sync.OnceValue(func() *zstd.Encoder {
		e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(chunkSize), zstd.WithLowerEncoderMem(true))
		if err != nil {
			panic(err) // of options that cannot be
		}
		return e
	})
	unpacker = sync.OnceValue(func() *zstd.Decoder {
		d, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(chunkSize), zstd.WithDecoderLowmem(true))
		if err != nil {
			panic(err) // of options that cannot be
		}
		return d
	})
)

func packChunk(chunk []byte) (packing int, data []byte) {
	if packed := packer().EncodeAll(chunk, nil); len(packed) < len(chunk) {
		return chunkZstd, packed
	}
	return chunkPlain, chunk
}

// unpackChunk puts a chunk into the capacity of place, where it fits there and is packed.
func unpackChunk(packing int, data, place []byte) ([]byte, error) {
	switch packing {
	case chunkPlain:
		return data, nil
	case chunkZstd:
		return unpacker().DecodeAll(data, place)
	default:
		return nil, errors.New("packed by a newer version")
	}
}

func (s *Service) storeValue(ctx context.Context, execution uuid.UUID, digest, data []byte) error {
	for n := 0; len(data) > 0; {
		var rows []string
		var args []any
		for len(rows) < chunksAtOnce && len(data) > 0 {
			packing, packed := packChunk(data[:min(chunkSize, len(data))])
			rows, args = append(rows, "(?, ?, ?, ?, ?)"), append(args, execution, digest, packed, n, packing)
			data = data[min(chunkSize, len(data)):]
			n++
		}
		insert := func() error {
			_, err := s.db.ExecContext(ctx, `INSERT INTO value (execution_id, digest, data, chunk, packing) VALUES `+strings.Join(rows, ", ")+` ON CONFLICT DO NOTHING`, args...)
			return err
		}
		err := insert()
		if s.partitions.made(ctx, err, execution) {
			err = insert()
		}
		if err != nil {
			return fmt.Errorf("store a large value: %w", err)
		}
	}
	return nil
}

// largeValue reads a value that is too large for the journal, by the primary key of value. It comes from its end on: the
// first row says how much there is. The error is sql.ErrNoRows where there is no such value.
func (s *Service) largeValue(ctx context.Context, execution uuid.UUID, digest []byte) (json.RawMessage, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT chunk, packing, data FROM value WHERE execution_id = ? AND digest = ? ORDER BY chunk DESC`, execution, digest)
	if err != nil {
		return nil, fmt.Errorf("read a large value: %w", err)
	}
	defer rows.Close()
	var whole []byte
	next := 0 // the chunk that must come
	for rows.Next() {
		var n, packing int
		var data []byte
		if err := rows.Scan(&n, &packing, &data); err != nil {
			return nil, fmt.Errorf("read a large value: %w", err)
		}
		var place []byte
		if whole != nil {
			place = whole[next*chunkSize : next*chunkSize : (next+1)*chunkSize]
		}
		chunk, err := unpackChunk(packing, data, place)
		if err != nil {
			return nil, fmt.Errorf("%w: chunk %d of value %x: %w", errUnreadable, n, digest, err)
		}
		switch {
		case whole == nil && n == 0: // before there were chunks values of any size were one
			whole = chunk
		case whole == nil:
			whole, next = make([]byte, n*chunkSize+len(chunk)), n
		case n != next || len(chunk) != chunkSize:
			return nil, fmt.Errorf("%w: chunk %d of value %x is missing or short", errUnreadable, next, digest)
		}
		copy(whole[n*chunkSize:], chunk)
		next--
		if next < 0 {
			break
		}
	}
	switch {
	case rows.Err() != nil:
		return nil, fmt.Errorf("read a large value: %w", rows.Err())
	case whole == nil:
		return nil, fmt.Errorf("read a large value: %w", sql.ErrNoRows)
	case next >= 0:
		return nil, fmt.Errorf("%w: chunk %d of value %x is missing", errUnreadable, next, digest)
	}
	return whole, nil
}

// chunk reads one chunk of a large value, by the primary key of value. Who reads a value by them holds no connection to the
// database in between. The error is errUnreadable where there is no such chunk.
func (s *Service) chunk(ctx context.Context, execution uuid.UUID, digest []byte, n int) ([]byte, error) {
	var packing int
	var data []byte
	err := s.db.QueryRowContext(ctx, `SELECT packing, data FROM value WHERE execution_id = ? AND digest = ? AND chunk = ?`, execution, digest, n).Scan(&packing, &data)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("%w: chunk %d of value %x is missing", errUnreadable, n, digest)
	}
	if err != nil {
		return nil, fmt.Errorf("read a large value: %w", err)
	}
	chunk, err := unpackChunk(packing, data, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: chunk %d of value %x: %w", errUnreadable, n, digest, err)
	}
	return chunk, nil
}

// readValue reads a large value of any of the executions.
func (s *Service) readValue(ctx context.Context, runs []*run, digest []byte) (json.RawMessage, error) {
	ids := make([]uuid.UUID, len(runs))
	for i, r := range runs {
		ids[i] = r.id
	}
	var id uuid.UUID
	err := s.db.QueryRowContext(ctx, `SELECT execution_id FROM value WHERE execution_id IN (?) AND digest = ? LIMIT 1`, bun.List(ids), digest).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("%w: value %x is missing", errUnreadable, digest)
	}
	if err != nil {
		return nil, fmt.Errorf("read a large value: %w", err)
	}
	return s.largeValue(ctx, id, digest)
}
