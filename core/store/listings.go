package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
)

// Sort is an order of a list.
type Sort string

// The orders of agents; without one featured agents come first, then those that are run most.
const (
	ByRuns   Sort = "runs"
	ByRating Sort = "rating"
	ByNewest Sort = "newest"
	ByName   Sort = "name"
)

// Filter selects agents of a list.
type Filter struct {
	Search        string // words, whole or begun; the best matches come first unless Sort says otherwise
	Category      string
	Creator       string // the author's name in the store
	Featured      bool
	Sort          Sort
	Offset, Limit int
}

// agentColumns are those of Agent, of a listing l and its creator c.
const agentColumns = `l.id, l.active, l.slug, l.name, l.sub_heading, l.description, l.image_url, l.categories, c.username, c.avatar_url,
	l.featured, l.runs, l.rating, l.rating_count, l.graph_id, l.graph_version, l.created_at, l.updated_at`

const fromListed = ` FROM store_listing l WHERE l.listed`

// orders end with the id, so that pages never overlap. Each has its index.
var orders = map[Sort]string{
	"":       `l.featured DESC, l.runs DESC, l.id`,
	ByRuns:   `l.runs DESC, l.id`,
	ByRating: `l.rating DESC, l.id`,
	ByNewest: `l.listed_at DESC, l.id`,
	ByName:   `lower(l.name), l.id`,
}

// List shows what is listed, and how many there are in all.
func (s *Service) List(ctx context.Context, f Filter) ([]Agent, int, error) {
	if err := s.foldRuns(ctx); err != nil {
		return nil, 0, err
	}
	if !escapable(f.Search) || !escapable(f.Category) || !escapable(f.Creator) {
		return []Agent{}, 0, nil
	}
	where, args := fromListed, []any{}
	if f.Category != "" {
		where, args = where+` AND l.category_keys @> ?`, append(args, pgdialect.Array([]string{categoryKey(f.Category)}))
	}
	if f.Creator != "" {
		where, args = where+` AND l.user_id = (SELECT user_id FROM store_creator WHERE username = ?)`, append(args, f.Creator)
	}
	if f.Featured {
		where += ` AND l.featured`
	}
	if f.Search != "" {
		return s.find(ctx, f, where, args)
	}
	var total int
	var err error
	if f.Creator == "" && !f.Featured {
		total, err = s.kept(ctx, "listed", categoryKey(f.Category))
	} else { // of one author, or of those that administrators chose
		err = s.DB.QueryRowContext(ctx, `SELECT count(*)`+where, args...).Scan(&total)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("count agents: %w", err)
	}
	list, err := agents(ctx, s.DB, where, args, orders[f.Sort], f)
	return list, total, err
}

// agents finds a page, by the index of its order where it has one, and reads the agents of that page alone.
func agents(ctx context.Context, db bun.IDB, where string, args []any, order string, f Filter) ([]Agent, error) {
	rows, err := db.QueryContext(ctx, `
		SELECT `+agentColumns+` FROM (
			SELECT id AS found, row_number() OVER () AS place FROM (SELECT l.id`+where+` ORDER BY `+order+` LIMIT ? OFFSET ?) AS l) AS page
		JOIN store_listing l ON l.id = page.found JOIN store_creator c ON c.user_id = l.user_id ORDER BY page.place`,
		append(args, f.Limit, f.Offset)...)
	if err != nil {
		return nil, fmt.Errorf("list agents: %w", err)
	}
	defer func() { _ = rows.Close() }()
	list := []Agent{}
	for rows.Next() {
		var a Agent
		if err := rows.Scan(a.columns()...); err != nil {
			return nil, fmt.Errorf("list agents: %w", err)
		}
		list = append(list, a)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list agents: %w", err)
	}
	return list, nil
}

func (a *Agent) columns() []any {
	return []any{
		&a.ID, &a.SubmissionID, &a.Slug, &a.Name, &a.SubHeading, &a.Description, &a.ImageURL, pgdialect.Array(&a.Categories), &a.Creator,
		&a.CreatorAvatar, &a.Featured, &a.Runs, &a.Rating, &a.Reviews, &a.GraphID, &a.GraphVersion, &a.CreatedAt, &a.UpdatedAt,
	}
}

// kept is a count that triggers keep.
func (s *Service) kept(ctx context.Context, kind, key string) (int, error) {
	var n int
	err := s.DB.QueryRowContext(ctx, `SELECT count FROM store_count WHERE kind = ? AND key = ?`, kind, key).Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return n, err
}

// listedAs finds a listing by its own id, that of an approved version, or that of its graph.
const listedAs = ` AND (l.id = ?0 OR l.graph_id = ?0 OR l.id = (SELECT listing_id FROM store_submission WHERE id = ?0 AND status = 'APPROVED'))`

// Details are those of one listed agent, by its id, that of one of its versions, or that of its graph.
func (s *Service) Details(ctx context.Context, id string) (*Details, error) {
	if !isID(id) {
		return nil, ErrNotFound
	}
	return s.details(ctx, listedAs, id)
}

// DetailsBySlug are those of the agent at an author's path.
func (s *Service) DetailsBySlug(ctx context.Context, creator, slug string) (*Details, error) {
	if !escapable(creator) || !escapable(slug) {
		return nil, ErrNotFound
	}
	return s.details(ctx, ` AND c.username = lower(?) AND l.slug = lower(?)`, creator, slug)
}

func (s *Service) details(ctx context.Context, which string, args ...any) (*Details, error) {
	if err := s.foldRuns(ctx); err != nil {
		return nil, err
	}
	var d Details
	shown := []any{pgdialect.Array(&d.ImageURLs), &d.VideoURL, &d.OutputDemoURL, &d.Instructions, &d.ScheduleCron}
	err := s.DB.QueryRowContext(ctx, `SELECT `+agentColumns+`, v.image_urls, v.video_url, v.output_demo_url, v.instructions, v.schedule_cron
		FROM store_listing l JOIN store_creator c ON c.user_id = l.user_id JOIN store_submission v ON v.id = l.active WHERE l.listed`+which, args...).
		Scan(append(d.columns(), shown...)...)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read agent: %w", err)
	}
	rows, err := s.DB.QueryContext(ctx, `
		SELECT id, version, graph_version, changes_summary, reviewed_at FROM store_submission
		WHERE listing_id = ? AND status = 'APPROVED' ORDER BY version DESC LIMIT ?`, d.ID, maxVersions)
	if err != nil {
		return nil, fmt.Errorf("read versions: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var v Version
		var at time.Time
		if err := rows.Scan(&v.ID, &v.Version, &v.GraphVersion, &v.ChangesSummary, &at); err != nil {
			return nil, fmt.Errorf("read versions: %w", err)
		}
		v.ApprovedAt = at
		d.Versions = append(d.Versions, v)
	}
	return &d, rows.Err()
}

// maxVersions bounds those in an agent's details.
const maxVersions = 1000

// foldRuns adds the executions by others that were accepted meanwhile to the listings. Who finds somebody else at it
// waits: what he looks for may be on its way.
func (s *Service) foldRuns(ctx context.Context) error {
	if any, err := s.Runs.Any(ctx); err != nil || !any {
		return err
	}
	err := s.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock(?)`, foldLock); err != nil {
			return err
		}
		counts, err := s.Runs.Take(ctx, tx)
		if err != nil || len(counts) == 0 {
			return err
		}
		ids, numbers := []string{}, []int64{}
		for id, n := range counts {
			ids, numbers = append(ids, id), append(numbers, int64(n))
		}
		_, err = tx.ExecContext(ctx, `
			WITH more AS (
				SELECT l.id, m.n FROM unnest(?::uuid[], ?::bigint[]) m(graph_id, n) JOIN store_listing l ON l.graph_id = m.graph_id
				ORDER BY l.id FOR UPDATE OF l)
			UPDATE store_listing l SET runs = l.runs + more.n FROM more WHERE l.id = more.id`, pgdialect.Array(ids), pgdialect.Array(numbers))
		return err
	})
	if err != nil {
		return fmt.Errorf("count runs: %w", err)
	}
	return nil
}

// foldLock is an arbitrary key of Postgres's advisory locks.
const foldLock = 0x70617463_73746f72
