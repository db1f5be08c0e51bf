package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"github.com/patchbay-io/patchbay/core/graph"
)

// Decision is what an administrator makes of a submission.
type Decision struct {
	Approved         bool
	Comments         string // for the author
	InternalComments string // for administrators
}

// AllSubmissions are everybody's, newest first, and how many there are: for administrators.
func (s *Service) AllSubmissions(ctx context.Context, f SubmissionFilter) ([]Submission, int, error) {
	return s.submissions(ctx, ` WHERE true`, nil, f)
}

// AnySubmission is one of whatever author: for administrators.
func (s *Service) AnySubmission(ctx context.Context, id string) (*Submission, error) {
	if !isID(id) {
		return nil, ErrNotFound
	}
	return s.submission(ctx, ` WHERE v.id = ?`, id)
}

// Decide approves a submission, which then is what its listing shows, or rejects it. Rejecting what was approved takes it
// out of the store again: the listing shows the version approved before, or is listed no more. Who has added it keeps it.
// Any other decision about what has been decided is ErrConflict: its author submits it anew.
func (s *Service) Decide(ctx context.Context, reviewer, id string, d Decision) (*Submission, error) {
	c := checker{}
	c.text("comments", d.Comments, maxText)
	c.text("internal_comments", d.InternalComments, maxText)
	if err := c.err(); err != nil {
		return nil, err
	}
	v, err := s.AnySubmission(ctx, id)
	if err != nil {
		return nil, err
	}
	if v.Status != Pending && (d.Approved || v.Status != Approved) {
		return nil, fmt.Errorf("%w: the review is over, and the submission %s", ErrConflict, strings.ToLower(string(v.Status)))
	}
	status := Rejected
	if d.Approved {
		status = Approved
		err := s.Graphs.Publish(ctx, v.UserID, v.GraphID, v.GraphVersion)
		if errors.Is(err, graph.ErrNotFound) {
			return nil, fmt.Errorf("%w: the author has deleted the graph", ErrConflict)
		}
		if err != nil {
			return nil, fmt.Errorf("publish graph %s: %w", v.GraphID, err)
		}
	}
	return s.changed(ctx, "review submission", id, func(ctx context.Context, tx bun.Tx) error {
		var active sql.NullString
		if err := tx.QueryRowContext(ctx, `SELECT active FROM store_listing WHERE id = ? FOR UPDATE`, v.ListingID).Scan(&active); err != nil {
			return withdrawn(err)
		}
		now := Submission{Draft: Draft{GraphID: v.GraphID}}
		err := tx.QueryRowContext(ctx, `
			UPDATE store_submission SET status = ?, reviewed_at = now(), reviewer_id = ?, comments = ?, internal_comments = ?
			WHERE id = ? AND graph_version = ? AND status = ? RETURNING graph_version, name, sub_heading, description, categories, image_urls`,
			status, reviewer, d.Comments, d.InternalComments, id, v.GraphVersion, v.Status).
			Scan(&now.GraphVersion, &now.Name, &now.SubHeading, &now.Description, pgdialect.Array(&now.Categories), pgdialect.Array(&now.ImageURLs))
		if err != nil {
			return withdrawn(err)
		}
		switch {
		case d.Approved:
			return s.show(ctx, tx, v.ListingID, id, &now.Draft)
		case active.String == id:
			return s.showNewest(ctx, tx, v.ListingID)
		}
		return nil
	})
}

// withdrawn is ErrConflict where a submission is no longer what it was when its review began.
func withdrawn(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("%w: the submission has been changed meanwhile", ErrConflict)
	}
	return fmt.Errorf("change submission: %w", err)
}

// show makes a submission what its listing shows.
func (s *Service) show(ctx context.Context, tx bun.Tx, listing, submission string, d *Draft) error {
	image := ""
	if len(d.ImageURLs) > 0 {
		image = d.ImageURLs[0]
	}
	args := []any{
		submission, d.Name, d.SubHeading, d.Description, image, pgdialect.Array(d.Categories), pgdialect.Array(categoryKeys(d.Categories)),
		d.GraphVersion, wordsOf(d.Name + " " + d.SubHeading),
	}
	args = append(append(args, documentArgs(d)...), listing)
	_, err := tx.ExecContext(ctx, `
		UPDATE store_listing SET active = ?, name = ?, sub_heading = ?, description = ?, image_url = ?, categories = ?, category_keys = ?, graph_version = ?,
			words = ?, search = `+document+`, listed_at = now(), updated_at = now() WHERE id = ?`, args...)
	if err != nil {
		return fmt.Errorf("show submission: %w", err)
	}
	return s.Follower.GraphPublished(ctx, tx, d.GraphID, d.GraphVersion)
}

// showNewest shows the newest approved version of a listing, or takes the listing out of the store.
func (s *Service) showNewest(ctx context.Context, tx bun.Tx, listing string) error {
	var id string
	var d Draft
	err := tx.QueryRowContext(ctx, `
		SELECT id, graph_id, graph_version, name, sub_heading, description, categories, image_urls FROM store_submission
		WHERE listing_id = ? AND status = 'APPROVED' ORDER BY version DESC LIMIT 1`, listing).
		Scan(&id, &d.GraphID, &d.GraphVersion, &d.Name, &d.SubHeading, &d.Description, pgdialect.Array(&d.Categories), pgdialect.Array(&d.ImageURLs))
	if errors.Is(err, sql.ErrNoRows) {
		_, err = tx.ExecContext(ctx, `UPDATE store_listing SET active = NULL, updated_at = now() WHERE id = ?`, listing)
		return err
	}
	if err != nil {
		return fmt.Errorf("find the version before: %w", err)
	}
	return s.show(ctx, tx, listing, id, &d)
}

// Feature lets a listed agent stand out, or no longer.
func (s *Service) Feature(ctx context.Context, id string, featured bool) (*Details, error) {
	if !isID(id) {
		return nil, ErrNotFound
	}
	var listing string
	err := s.DB.QueryRowContext(ctx, `UPDATE store_listing l SET featured = ?1 WHERE l.listed`+listedAs+` RETURNING l.id`, id, featured).Scan(&listing)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("feature agent: %w", err)
	}
	return s.Details(ctx, listing)
}

// Rate keeps what a user thinks of a listed agent; he may change his mind.
func (s *Service) Rate(ctx context.Context, user, id string, score int, comments string) (*Review, error) {
	c := checker{}
	c.text("comments", comments, maxText)
	if err := c.err(); err != nil {
		return nil, err
	}
	if !isID(id) {
		return nil, ErrNotFound
	}
	r := Review{Score: score, Comments: comments}
	err := s.inTx(ctx, "rate agent", func(ctx context.Context, tx bun.Tx) error {
		var listing, author string
		err := tx.QueryRowContext(ctx, `SELECT l.id, l.user_id FROM store_listing l WHERE l.listed`+listedAs+` FOR UPDATE`, id).Scan(&listing, &author)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return ErrNotFound
		case err != nil:
			return fmt.Errorf("find agent: %w", err)
		case author == user:
			return ErrOwn
		}
		var before int
		err = tx.QueryRowContext(ctx, `SELECT score FROM store_review WHERE listing_id = ? AND user_id = ?`, listing, user).Scan(&before)
		isNew := errors.Is(err, sql.ErrNoRows)
		if err != nil && !isNew {
			return fmt.Errorf("find rating: %w", err)
		}
		err = tx.QueryRowContext(ctx, `
			INSERT INTO store_review (listing_id, user_id, score, comments) VALUES (?, ?, ?, ?)
			ON CONFLICT (listing_id, user_id) DO UPDATE SET score = excluded.score, comments = excluded.comments, updated_at = now()
			RETURNING created_at, updated_at`, listing, user, score, comments).Scan(&r.CreatedAt, &r.UpdatedAt)
		if err != nil {
			return fmt.Errorf("keep rating: %w", err)
		}
		_, err = tx.ExecContext(ctx, `UPDATE store_listing SET rating_sum = rating_sum + ?, rating_count = rating_count + ?::boolean::integer WHERE id = ?`,
			score-before, isNew, listing)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &r, nil
}

// Reviews are what users think of a listed agent, newest first, and how many there are.
func (s *Service) Reviews(ctx context.Context, id string, offset, limit int) ([]Review, int, error) {
	if !isID(id) {
		return nil, 0, ErrNotFound
	}
	var listing string
	var total int
	err := s.DB.QueryRowContext(ctx, `SELECT l.id, l.rating_count FROM store_listing l WHERE l.listed`+listedAs, id).Scan(&listing, &total)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, 0, ErrNotFound
	}
	if err != nil {
		return nil, 0, fmt.Errorf("find agent: %w", err)
	}
	rows, err := s.DB.QueryContext(ctx, `
		SELECT score, comments, created_at, updated_at FROM store_review WHERE listing_id = ? ORDER BY updated_at DESC, user_id LIMIT ? OFFSET ?`, listing, limit, offset)
	if err != nil {
		return nil, 0, fmt.Errorf("list reviews: %w", err)
	}
	defer func() { _ = rows.Close() }()
	list := []Review{}
	for rows.Next() {
		var r Review
		if err := rows.Scan(&r.Score, &r.Comments, &r.CreatedAt, &r.UpdatedAt); err != nil {
			return nil, 0, fmt.Errorf("list reviews: %w", err)
		}
		list = append(list, r)
	}
	return list, total, rows.Err()
}
