package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
)

// The orders of creators; without one they stand by their names in the store.
const (
	ByAgents       Sort = "num_agents"
	ByAgentRuns    Sort = "agent_runs"
	ByAgentRatings Sort = "agent_rating"
)

var creatorOrders = map[Sort]string{
	"":             `c.username`,
	ByAgents:       `c.num_agents DESC, c.username`,
	ByAgentRuns:    `c.agent_runs DESC, c.username`,
	ByAgentRatings: `c.rating DESC, c.username`,
}

// CreatorFilter selects creators of a list.
type CreatorFilter struct {
	Search        string // plain text in the names, whatever its case
	Featured      bool   // those with a featured agent
	Sort          Sort
	Offset, Limit int
}

// creatorColumns are those of Creator. The categories come from the author's own listings, through the index of their
// slugs.
const creatorColumns = `c.username, c.name, c.description, c.links, c.avatar_url, c.num_featured > 0, c.num_agents, c.agent_runs, c.rating,
	ARRAY(SELECT min(k) FROM store_listing l, unnest(l.categories) k WHERE l.user_id = c.user_id AND l.listed
		GROUP BY lower(k) ORDER BY count(*) DESC, lower(k) LIMIT 5)`

func (c *Creator) columns() []any {
	return []any{
		&c.Username, &c.Name, &c.Description, pgdialect.Array(&c.Links), &c.AvatarURL, &c.Featured, &c.Agents, &c.Runs, &c.Rating,
		pgdialect.Array(&c.TopCategories),
	}
}

// Creators are the authors of listed agents, and how many there are.
func (s *Service) Creators(ctx context.Context, f CreatorFilter) ([]Creator, int, error) {
	if !escapable(f.Search) {
		return []Creator{}, 0, nil
	}
	if err := s.foldRuns(ctx); err != nil {
		return nil, 0, err
	}
	where, args := ` FROM store_creator c WHERE c.num_agents > 0`, []any{}
	if f.Featured {
		where += ` AND c.num_featured > 0`
	}
	if f.Search != "" {
		where, args = where+` AND (position(lower(?) IN c.username) > 0 OR position(lower(?) IN lower(c.name)) > 0)`, append(args, f.Search, f.Search)
	}
	var total int
	var err error
	if f.Search == "" && !f.Featured {
		total, err = s.kept(ctx, "creators", "")
	} else {
		err = s.DB.QueryRowContext(ctx, `SELECT count(*)`+where, args...).Scan(&total)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("count creators: %w", err)
	}
	rows, err := s.DB.QueryContext(ctx, `SELECT `+creatorColumns+where+` ORDER BY `+creatorOrders[f.Sort]+` LIMIT ? OFFSET ?`, append(args, f.Limit, f.Offset)...)
	if err != nil {
		return nil, 0, fmt.Errorf("list creators: %w", err)
	}
	defer func() { _ = rows.Close() }()
	list := []Creator{}
	for rows.Next() {
		var c Creator
		if err := rows.Scan(c.columns()...); err != nil {
			return nil, 0, fmt.Errorf("list creators: %w", err)
		}
		list = append(list, c)
	}
	return list, total, rows.Err()
}

// Creator is one author of listed agents.
func (s *Service) Creator(ctx context.Context, username string) (*Creator, error) {
	if !escapable(username) {
		return nil, ErrNotFound
	}
	if err := s.foldRuns(ctx); err != nil {
		return nil, err
	}
	return s.creator(ctx, `c.username = lower(?) AND c.num_agents > 0`, username)
}

// Profile is how the user appears as an author; ErrNotFound while he is none.
func (s *Service) Profile(ctx context.Context, user string) (*Creator, error) {
	return s.creator(ctx, `c.user_id = ?`, user)
}

func (s *Service) creator(ctx context.Context, which string, args ...any) (*Creator, error) {
	var c Creator
	err := s.DB.QueryRowContext(ctx, `SELECT `+creatorColumns+` FROM store_creator c WHERE `+which, args...).Scan(c.columns()...)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read creator: %w", err)
	}
	return &c, nil
}

// SetProfile changes how the user appears as an author. Without a username he keeps his, or gets one made of alias.
func (s *Service) SetProfile(ctx context.Context, user, alias string, p Creator) (*Creator, error) {
	c := checker{}
	if p.Username != "" {
		if username := slugOf(p.Username); username == "" {
			c.wrong("username", "needs letters or digits")
		} else {
			p.Username = username
		}
	}
	p.Name = c.line("name", p.Name, maxName)
	c.text("description", p.Description, maxText)
	if p.AvatarURL != "" {
		c.url("avatar_url", p.AvatarURL)
	}
	p.Links = append([]string{}, p.Links...) // the database knows no nil
	if len(p.Links) > maxLinks {
		c.wrong("links", fmt.Sprintf("has more than %d entries", maxLinks))
	}
	for i, link := range p.Links {
		c.url(fmt.Sprintf("links.%d", i), link)
	}
	if err := c.err(); err != nil {
		return nil, err
	}
	err := s.inTx(ctx, "change profile", func(ctx context.Context, tx bun.Tx) error {
		if err := ensureCreator(ctx, tx, user, alias); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `
			UPDATE store_creator SET username = coalesce(nullif(?0, ''), username), name = coalesce(nullif(?1, ''), nullif(?0, ''), name),
				description = ?2, links = ?3, avatar_url = ?4, updated_at = now() WHERE user_id = ?5`,
			p.Username, p.Name, p.Description, pgdialect.Array(p.Links), p.AvatarURL, user)
		if violates(err, "23505") {
			return fmt.Errorf("%w: the username %q is taken", ErrConflict, p.Username)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return s.Profile(ctx, user)
}

// ensureCreator makes a profile for an author who has none: called like the local part of an email address, with
// something random behind it where somebody else has that name, or something random alone.
func ensureCreator(ctx context.Context, tx bun.Tx, user, alias string) error {
	local, _, _ := strings.Cut(alias, "@")
	base := slugOf(local)
	if base == "" {
		base = "creator-" + uuid.NewString()[:8]
	}
	for username := base; ; username = base + "-" + uuid.NewString()[:8] {
		res, err := tx.ExecContext(ctx, `INSERT INTO store_creator (user_id, username, name) VALUES (?0, ?1, ?1) ON CONFLICT DO NOTHING`, user, username)
		if err != nil {
			return fmt.Errorf("make a profile: %w", err)
		}
		if n, _ := res.RowsAffected(); n == 1 {
			return nil
		}
		var known bool
		if err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT FROM store_creator WHERE user_id = ?)`, user).Scan(&known); err != nil || known {
			return err
		}
	}
}
