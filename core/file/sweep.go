package file

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

const (
	sweepEvery = time.Minute
	sweepBatch = 100
	// draftLife is how long a file may be written without a piece of it coming.
	draftLife = time.Hour
)

// Start begins to sweep away what has expired, until Close.
func (s *Store) Start() {
	var ctx context.Context
	ctx, s.stop = context.WithCancel(context.Background())
	s.swept = make(chan struct{})
	go func() {
		defer close(s.swept)
		ticker := time.NewTicker(sweepEvery)
		defer ticker.Stop()
		for {
			if err := s.sweep(ctx); err != nil && ctx.Err() == nil {
				s.log.Warn("expired files stay for now", "error", err)
			}
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return
			}
		}
	}()
}

// Close ends the sweeping.
func (s *Store) Close() {
	s.stop()
	<-s.swept
}

// sweep removes all files that have expired, and drafts that were left behind.
func (s *Store) sweep(ctx context.Context) error {
	for {
		n, err := s.sweepFiles(ctx)
		if err != nil {
			return err
		}
		if n < sweepBatch {
			break
		}
	}
	limited, cancel := context.WithTimeout(ctx, queryTime)
	defer cancel()
	result, err := s.db.ExecContext(limited, dropDrafts("touched_at < now() - make_interval(secs => ?)"), draftLife.Seconds())
	if err != nil {
		return fmt.Errorf("sweep drafts: %w", err)
	}
	if n, err := result.RowsAffected(); err == nil && n > 0 {
		s.log.Info("swept away what was left of files that were never completed", "pieces", n)
	}
	return nil
}

// sweepFiles removes some files that have expired. Another server may do the same at the same time.
func (s *Store) sweepFiles(ctx context.Context) (int, error) {
	expired, err := s.expired(ctx)
	if err != nil {
		return 0, err
	}
	for _, e := range expired {
		err := s.change(ctx, "sweep file", e.user, func(ctx context.Context, tx bun.Tx) error {
			var still bool // it may have been replaced meanwhile
			if err := tx.QueryRowContext(ctx, `SELECT count(*) > 0 FROM file WHERE id = ? AND expires_at <= now()`, e.id).Scan(&still); err != nil || !still {
				return err
			}
			_, err := remove(ctx, tx, e.user, e.id)
			return err
		})
		if err != nil {
			return 0, err
		}
	}
	if len(expired) > 0 {
		s.log.Debug("swept expired files away", "files", len(expired))
	}
	return len(expired), nil
}

type expiredFile struct {
	id   uuid.UUID
	user string
}

// expired uses file_by_expiry.
func (s *Store) expired(ctx context.Context) ([]expiredFile, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTime)
	defer cancel()
	rows, err := s.db.QueryContext(ctx, `SELECT id, user_id FROM file WHERE expires_at <= now() ORDER BY expires_at LIMIT ?`, sweepBatch)
	if err != nil {
		return nil, fmt.Errorf("find expired files: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var list []expiredFile
	for rows.Next() {
		var e expiredFile
		if err := rows.Scan(&e.id, &e.user); err != nil {
			return nil, fmt.Errorf("read expired files: %w", err)
		}
		list = append(list, e)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read expired files: %w", err)
	}
	return list, nil
}
