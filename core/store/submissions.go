package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
	"github.com/uptrace/bun/driver/pgdriver"

	"github.com/patchbay-io/patchbay/core/graph"
)

// SubmissionFilter selects submissions of a list.
type SubmissionFilter struct {
	Status        Status // empty: any
	Search        string // plain text in the name, whatever its case
	Offset, Limit int
}

// Submit hands a version of one of the author's graphs in, as the next version of the graph's listing; one that still
// waits for its review is replaced. An author without a profile gets one, called as alias suggests.
func (s *Service) Submit(ctx context.Context, user, alias string, d Draft) (*Submission, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	g, err := s.Graphs.Get(ctx, user, d.GraphID, d.GraphVersion)
	if err != nil {
		return nil, err
	}
	d.GraphID = g.ID
	status := Pending
	if s.AutoApprove {
		status = Approved
		if err := s.Graphs.Publish(ctx, user, d.GraphID, d.GraphVersion); err != nil {
			return nil, fmt.Errorf("publish graph %s: %w", d.GraphID, err)
		}
	}
	if d.ChangesSummary == "" {
		d.ChangesSummary = defaultChanges
	}
	id, err := newID()
	if err != nil {
		return nil, err
	}
	return s.changed(ctx, "submit agent", id, func(ctx context.Context, tx bun.Tx) error {
		if err := lockAuthor(ctx, tx, user); err != nil {
			return err
		}
		if err := ensureCreator(ctx, tx, user, alias); err != nil {
			return err
		}
		listing, version, err := claimListing(ctx, tx, user, &d)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM store_submission WHERE listing_id = ? AND status = 'PENDING'`, listing); err != nil {
			return fmt.Errorf("replace what waits: %w", err)
		}
		if _, err := tx.ExecContext(ctx, `
			INSERT INTO store_submission (id, listing_id, version, user_id, graph_id, graph_version, name, sub_heading, description, instructions,
				categories, image_urls, video_url, output_demo_url, changes_summary, schedule_cron, status, reviewed_at)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, CASE WHEN ? THEN now() END)`,
			id, listing, version, user, d.GraphID, d.GraphVersion, d.Name, d.SubHeading, d.Description, d.Instructions,
			pgdialect.Array(d.Categories), pgdialect.Array(d.ImageURLs), d.VideoURL, d.OutputDemoURL, d.ChangesSummary, d.ScheduleCron,
			status, status == Approved); err != nil {
			return fmt.Errorf("insert submission: %w", err)
		}
		if status == Approved {
			return s.show(ctx, tx, listing, id, &d)
		}
		return nil
	})
}

// lockAuthor puts an author's submissions one behind the other, so that his listings get different slugs. It comes first:
// then a listing is locked, then its submissions; what triggers keep comes last.
func lockAuthor(ctx context.Context, tx bun.Tx, user string) error {
	if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock(?, hashtext(?))`, authorLock, user); err != nil {
		return fmt.Errorf("lock author: %w", err)
	}
	return nil
}

// authorLock is an arbitrary key of Postgres's advisory locks.
const authorLock = 0x73746f72

// claimListing finds or makes the listing of a draft's graph and takes its next version.
func claimListing(ctx context.Context, tx bun.Tx, user string, d *Draft) (id string, version int, err error) {
	var slug string
	err = tx.QueryRowContext(ctx, `SELECT id, slug FROM store_listing WHERE graph_id = ? AND user_id = ? FOR UPDATE`, d.GraphID, user).Scan(&id, &slug)
	isNew := errors.Is(err, sql.ErrNoRows)
	if err != nil && !isNew {
		return "", 0, fmt.Errorf("find listing: %w", err)
	}
	if isNew || d.Slug != "" && d.Slug != slug {
		if slug, err = freeSlug(ctx, tx, user, d, id); err != nil {
			return "", 0, err
		}
	}
	if isNew {
		if id, err = newID(); err != nil {
			return "", 0, err
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO store_listing (id, user_id, graph_id, source, slug) VALUES (?0, ?1, ?2, ?2, ?3)`, id, user, d.GraphID, slug); err != nil {
			if violates(err, "23503") { // deleted just now
				return "", 0, graph.ErrNotFound
			}
			return "", 0, fmt.Errorf("insert listing: %w", err)
		}
	}
	err = tx.QueryRowContext(ctx, `UPDATE store_listing SET slug = ?, latest_version = latest_version + 1 WHERE id = ? RETURNING latest_version`, slug, id).Scan(&version)
	if err != nil {
		return "", 0, fmt.Errorf("advance listing: %w", err)
	}
	return id, version, nil
}

// freeSlug is what a draft asks for, or ErrConflict; where it asks for nothing, one made of its name.
func freeSlug(ctx context.Context, tx bun.Tx, user string, d *Draft, listing string) (string, error) {
	base := d.Slug
	if base == "" {
		if base = slugOf(d.Name); base == "" {
			base = "agent"
		}
	}
	var taken []string
	err := tx.NewRaw(`SELECT slug FROM store_listing WHERE user_id = ? AND id IS DISTINCT FROM ?::uuid AND (slug = ? OR slug LIKE ?)`,
		user, bun.NullZero(listing), base, base+"-%").Scan(ctx, &taken)
	if err != nil {
		return "", fmt.Errorf("find slugs: %w", err)
	}
	taken = append(taken, "reviews") // has a path of its own below an agent's
	if !slices.Contains(taken, base) {
		return base, nil
	}
	if d.Slug != "" {
		return "", fmt.Errorf("%w: the slug %q is taken", ErrConflict, d.Slug)
	}
	for n := 2; ; n++ {
		if slug := base + "-" + strconv.Itoa(n); !slices.Contains(taken, slug) {
			return slug, nil
		}
	}
}

// Edit replaces a submission that waits for its review.
func (s *Service) Edit(ctx context.Context, user, id string, d Draft) (*Submission, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	before, err := s.Submission(ctx, user, id)
	if err != nil {
		return nil, err
	}
	if before.GraphID != d.GraphID {
		return nil, &Invalid{Fields: map[string]string{"graph_id": "is not the graph that was submitted"}}
	}
	if _, err := s.Graphs.Get(ctx, user, d.GraphID, d.GraphVersion); err != nil {
		return nil, err
	}
	if d.ChangesSummary == "" {
		d.ChangesSummary = defaultChanges
	}
	return s.changed(ctx, "edit submission", id, func(ctx context.Context, tx bun.Tx) error {
		if err := lockAuthor(ctx, tx, user); err != nil {
			return err
		}
		if err := lockPending(ctx, tx, user, before); err != nil {
			return err
		}
		if d.Slug != "" && d.Slug != before.Slug {
			slug, err := freeSlug(ctx, tx, user, &d, before.ListingID)
			if err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, `UPDATE store_listing SET slug = ? WHERE id = ?`, slug, before.ListingID); err != nil {
				return fmt.Errorf("move listing: %w", err)
			}
		}
		_, err := tx.ExecContext(ctx, `
			UPDATE store_submission SET graph_version = ?, name = ?, sub_heading = ?, description = ?, instructions = ?, categories = ?, image_urls = ?,
				video_url = ?, output_demo_url = ?, changes_summary = ?, schedule_cron = ?, submitted_at = now()
			WHERE id = ?`, d.GraphVersion, d.Name, d.SubHeading, d.Description, d.Instructions, pgdialect.Array(d.Categories), pgdialect.Array(d.ImageURLs),
			d.VideoURL, d.OutputDemoURL, d.ChangesSummary, d.ScheduleCron, id)
		return err
	})
}

// lockPending locks a submission of the author's that nobody has reviewed, and its listing.
func lockPending(ctx context.Context, tx bun.Tx, user string, v *Submission) error {
	if _, err := tx.ExecContext(ctx, `SELECT FROM store_listing WHERE id = ? FOR UPDATE`, v.ListingID); err != nil {
		return fmt.Errorf("lock listing: %w", err)
	}
	var status Status
	err := tx.QueryRowContext(ctx, `SELECT status FROM store_submission WHERE id = ? AND user_id = ? FOR UPDATE`, v.ID, user).Scan(&status)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return ErrNotFound
	case err != nil:
		return fmt.Errorf("lock submission: %w", err)
	case status != Pending:
		return fmt.Errorf("%w: the submission is %s; only what waits for its review can be edited", ErrConflict, status)
	}
	return nil
}

// Withdraw deletes a submission that is not approved, and the listing with its last one.
func (s *Service) Withdraw(ctx context.Context, user, id string) error {
	v, err := s.Submission(ctx, user, id)
	if err != nil {
		return err
	}
	return s.inTx(ctx, "withdraw submission", func(ctx context.Context, tx bun.Tx) error {
		if _, err := tx.ExecContext(ctx, `SELECT FROM store_listing WHERE id = ? FOR UPDATE`, v.ListingID); err != nil {
			return fmt.Errorf("lock listing: %w", err)
		}
		var status Status
		err := tx.QueryRowContext(ctx, `DELETE FROM store_submission WHERE id = ? RETURNING status`, id).Scan(&status)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return ErrNotFound
		case err != nil:
			return fmt.Errorf("delete submission: %w", err)
		case status == Approved:
			return fmt.Errorf("%w: what is approved cannot be withdrawn", ErrConflict)
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM store_listing l WHERE id = ? AND NOT EXISTS (SELECT FROM store_submission v WHERE v.listing_id = l.id)`, v.ListingID)
		return err
	})
}

// Submissions are the author's own, newest first, and how many there are.
func (s *Service) Submissions(ctx context.Context, user string, f SubmissionFilter) ([]Submission, int, error) {
	return s.submissions(ctx, ` WHERE v.user_id = ?`, []any{user}, f)
}

// Submission is one of the author's own.
func (s *Service) Submission(ctx context.Context, user, id string) (*Submission, error) {
	if !isID(id) {
		return nil, ErrNotFound
	}
	return s.submission(ctx, ` WHERE v.id = ? AND v.user_id = ?`, id, user)
}

const submissionColumns = `v.id, v.listing_id, v.version, v.user_id, v.graph_id, v.graph_version, l.slug, v.name, v.sub_heading, v.description, v.instructions,
	v.categories, v.image_urls, v.video_url, v.output_demo_url, v.changes_summary, v.schedule_cron, v.status, v.submitted_at, v.reviewed_at,
	coalesce(v.reviewer_id, ''), v.comments, v.internal_comments, l.runs, l.rating_count, l.rating`

const fromSubmissions = ` FROM store_submission v JOIN store_listing l ON l.id = v.listing_id`

func (v *Submission) columns() []any {
	return []any{
		&v.ID, &v.ListingID, &v.Version, &v.UserID, &v.GraphID, &v.GraphVersion, &v.Slug, &v.Name, &v.SubHeading, &v.Description, &v.Instructions,
		pgdialect.Array(&v.Categories), pgdialect.Array(&v.ImageURLs), &v.VideoURL, &v.OutputDemoURL, &v.ChangesSummary, &v.ScheduleCron, &v.Status,
		&v.SubmittedAt, &v.ReviewedAt, &v.ReviewerID, &v.Comments, &v.InternalComments, &v.Runs, &v.Reviews, &v.Rating,
	}
}

func (s *Service) submission(ctx context.Context, where string, args ...any) (*Submission, error) {
	if err := s.foldRuns(ctx); err != nil {
		return nil, err
	}
	var v Submission
	err := s.DB.QueryRowContext(ctx, `SELECT `+submissionColumns+fromSubmissions+where, args...).Scan(v.columns()...)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read submission: %w", err)
	}
	return &v, nil
}

func (s *Service) submissions(ctx context.Context, where string, args []any, f SubmissionFilter) ([]Submission, int, error) {
	if !escapable(f.Search) {
		return []Submission{}, 0, nil
	}
	if err := s.foldRuns(ctx); err != nil {
		return nil, 0, err
	}
	everybody := len(args) == 0
	if f.Status != "" {
		where, args = where+` AND v.status = ?`, append(args, f.Status)
	}
	if f.Search != "" {
		where, args = where+` AND position(lower(?) IN lower(v.name)) > 0`, append(args, f.Search)
	}
	var total int
	var err error
	if everybody && f.Search == "" {
		total, err = s.kept(ctx, "submissions", string(f.Status))
	} else {
		err = s.DB.QueryRowContext(ctx, `SELECT count(*) FROM store_submission v`+where, args...).Scan(&total)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("count submissions: %w", err)
	}
	rows, err := s.DB.QueryContext(ctx, `SELECT `+submissionColumns+fromSubmissions+where+` ORDER BY v.submitted_at DESC, v.id LIMIT ? OFFSET ?`,
		append(args, f.Limit, f.Offset)...)
	if err != nil {
		return nil, 0, fmt.Errorf("list submissions: %w", err)
	}
	defer func() { _ = rows.Close() }()
	list := []Submission{}
	for rows.Next() {
		var v Submission
		if err := rows.Scan(v.columns()...); err != nil {
			return nil, 0, fmt.Errorf("list submissions: %w", err)
		}
		list = append(list, v)
	}
	return list, total, rows.Err()
}

// changed is a submission after a change.
func (s *Service) changed(ctx context.Context, what, id string, do func(context.Context, bun.Tx) error) (*Submission, error) {
	if err := s.inTx(ctx, what, do); err != nil {
		return nil, err
	}
	return s.submission(ctx, ` WHERE v.id = ?`, id)
}

func (s *Service) inTx(ctx context.Context, what string, do func(context.Context, bun.Tx) error) error {
	err := s.DB.RunInTx(ctx, nil, do)
	if err == nil || errors.Is(err, ErrNotFound) || errors.Is(err, ErrConflict) || errors.Is(err, ErrOwn) || errors.Is(err, graph.ErrNotFound) {
		return err
	}
	return fmt.Errorf("%s: %w", what, err)
}

func violates(err error, code string) bool {
	refused, ok := errors.AsType[pgdriver.Error](err)
	return ok && refused.Field('C') == code
}
