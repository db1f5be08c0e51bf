package graph

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// Errors that callers decide by.
var (
	ErrNotFound = errors.New("graph not found")
	ErrConflict = errors.New("the graph has been changed meanwhile")
)

// Store keeps graphs in the tables graph and graph_version. Every query is bounded by the owner. What changes a graph
// drops it from the cache afterwards, also where it is not known whether the change was committed. What is published of
// them is kept in published_graph and published_part.
type Store struct {
	db       *bun.DB
	follower Follower
	cache    *cache
	kept     *cache // published versions
	states   *stateReader
}

// NewStore returns a store over db. The follower may be nil.
func NewStore(db *bun.DB, f Follower) *Store {
	if f == nil {
		f = nobody{}
	}
	return &Store{db: db, follower: f, cache: newCache(), kept: newCache(), states: newStateReader(db)}
}

// Filter selects graphs of a list.
type Filter struct {
	Search        string // plain text in name or description, whatever its case
	Offset, Limit int
}

// Create stores a graph and its sub-graphs as version 1 of new graphs of the user, all or none. Their ids are set.
func (s *Store) Create(ctx context.Context, user string, g *Graph) error {
	return s.inTx(ctx, "create graph", func(ctx context.Context, tx bun.Tx) error {
		if err := insertSubGraphs(ctx, tx, user, g); err != nil {
			return err
		}
		if err := insertGraph(ctx, tx, user, g); err != nil {
			return err
		}
		return s.follower.GraphCreated(ctx, tx, headOf(g))
	})
}

// Update stores g as the next version of the graph with its id, and makes it the active one. Its sub-graphs become
// graphs of their own, as with Create. The latest version must be one of expected, or it is ErrConflict; nil takes any.
func (s *Store) Update(ctx context.Context, user string, g *Graph, expected []int) error {
	id, ok := parseID(g.ID)
	if !ok {
		return ErrNotFound
	}
	defer s.cache.drop(id)
	return s.inTx(ctx, "update graph", func(ctx context.Context, tx bun.Tx) error {
		h, err := lock(ctx, tx, user, id, "FOR UPDATE") // puts concurrent updates one behind the other
		switch {
		case err != nil:
			return err
		case expected != nil && !slices.Contains(expected, h.Latest):
			return ErrConflict
		}
		if err := insertSubGraphs(ctx, tx, user, g); err != nil {
			return err
		}
		g.Version = h.Latest + 1
		err = tx.QueryRowContext(ctx, `
			UPDATE graph SET latest_version = ?0, active_version = ?0, searched = `+searched+`, updated_at = greatest(updated_at, clock_timestamp())
			WHERE id = ?3 RETURNING updated_at`, g.Version, g.Name, g.Description, id).Scan(&g.UpdatedAt)
		if err != nil {
			return fmt.Errorf("advance graph: %w", err)
		}
		if err := insertVersion(ctx, tx, user, g); err != nil {
			return err
		}
		return s.follower.GraphChanged(ctx, tx, headOf(g))
	})
}

// Get is a version of a graph of the user, the latest one for version 0. It is shared and must not be changed.
func (s *Store) Get(ctx context.Context, user, graphID string, version int) (*Graph, error) {
	return s.get(ctx, user, graphID, version, func(h state) int { return h.latest })
}

// Active is the version that runs where none is named. It is shared and must not be changed.
func (s *Store) Active(ctx context.Context, user, graphID string) (*Graph, error) {
	return s.get(ctx, user, graphID, 0, func(h state) int { return h.active })
}

// Versions are versions of a graph, newest first, and how many there are. It uses the primary keys.
func (s *Store) Versions(ctx context.Context, user, graphID string, offset, limit int) ([]Summary, int, error) {
	h, err := s.state(ctx, user, graphID)
	if err != nil {
		return nil, 0, err
	}
	// Versions are numbered from 1 without gaps, and go only with their graph.
	rows, err := s.db.QueryContext(ctx, `
		SELECT g.id, v.version, v.name, v.description, v.version = g.active_version, g.created_at, v.created_at
		FROM graph g JOIN graph_version v ON v.graph_id = g.id
		WHERE g.id = ? AND g.user_id = ? AND v.version <= ? ORDER BY v.version DESC LIMIT ?`, graphID, user, h.latest-offset, limit)
	if err != nil {
		return nil, 0, fmt.Errorf("list versions: %w", err)
	}
	versions, err := scanSummaries(rows)
	return versions, h.latest, err
}

// SetActive makes a version the one that runs where none is named, and describes the graph by it. The latest version must
// be one of expected, or it is ErrConflict; nil takes any.
func (s *Store) SetActive(ctx context.Context, user, graphID string, version int, expected []int) (*Summary, error) {
	id, ok := parseID(graphID)
	if !ok {
		return nil, ErrNotFound
	}
	defer s.cache.drop(id)
	var active *Summary
	err := s.inTx(ctx, "activate version", func(ctx context.Context, tx bun.Tx) error {
		h, err := lock(ctx, tx, user, id, "FOR UPDATE")
		if err != nil {
			return err
		}
		if expected != nil && !slices.Contains(expected, h.Latest) {
			return ErrConflict
		}
		if err := h.describe(ctx, tx, version); err != nil {
			return err
		}
		h.Active = version
		err = tx.QueryRowContext(ctx, `
			UPDATE graph SET active_version = ?0, searched = `+searched+`, updated_at = greatest(updated_at, clock_timestamp())
			WHERE id = ?3 RETURNING updated_at`, version, h.Name, h.Description, id).
			Scan(&h.UpdatedAt)
		if err != nil {
			return fmt.Errorf("point at version: %w", err)
		}
		active = &Summary{
			ID: id, Version: version, Name: h.Name, Description: h.Description, IsActive: true, CreatedAt: h.CreatedAt, UpdatedAt: h.UpdatedAt,
		}
		return s.follower.GraphChanged(ctx, tx, h)
	})
	return active, err
}

// List shows the active versions of the user's graphs, those updated last first, and how many there are in all.
func (s *Store) List(ctx context.Context, user string, f Filter) ([]Summary, int, error) {
	if !utf8.ValidString(f.Search) || strings.ContainsRune(f.Search, 0) {
		return []Summary{}, 0, nil // no text in the database is like that
	}
	total, page, args := listQueries(user, f.Search)
	var n int
	if err := s.db.QueryRowContext(ctx, total, args...).Scan(&n); err != nil {
		return nil, 0, fmt.Errorf("count graphs: %w", err)
	}
	if f.Offset >= n {
		return []Summary{}, n, nil
	}
	rows, err := s.db.QueryContext(ctx, page, append(args, f.Limit, f.Offset)...)
	if err != nil {
		return nil, 0, fmt.Errorf("list graphs: %w", err)
	}
	list, err := scanSummaries(rows)
	return list, n, err
}

// searched is what searches look through, of the arguments name and description.
const searched = `lower(?1 || E'\x01' || ?2)`

// listQueries use graph_count and graph_by_user. A page is found before its graphs are described; without a search the
// index alone tells it.
func listQueries(user, search string) (total, page string, args []any) {
	const order = ` ORDER BY g.updated_at DESC, g.id `
	matching, total := `graph g WHERE g.user_id = ?0`, `SELECT coalesce(sum(graphs), 0) FROM graph_count WHERE user_id = ?0`
	if search != "" {
		matching += ` AND position(lower(?1) IN g.searched) > 0`
		total = `SELECT count(*) FROM ` + matching
	}
	page = `SELECT g.id, v.version, v.name, v.description, true, g.created_at, g.updated_at
		FROM (SELECT g.id FROM ` + matching + order + `LIMIT ?2 OFFSET ?3) AS p
		JOIN graph g ON g.id = p.id JOIN graph_version v ON v.graph_id = g.id AND v.version = g.active_version` + order
	return total, page, []any{user, search}
}

// Delete removes a graph and all its versions, and tells how many these were. The latest one must be one of expected, or
// it is ErrConflict; nil takes any.
func (s *Store) Delete(ctx context.Context, user, graphID string, expected []int) (versions int, err error) {
	id, ok := parseID(graphID)
	if !ok {
		return 0, ErrNotFound
	}
	defer s.cache.drop(id)
	err = s.inTx(ctx, "delete graph", func(ctx context.Context, tx bun.Tx) error {
		h, err := lock(ctx, tx, user, id, "FOR UPDATE")
		if err != nil {
			return err
		}
		if expected != nil && !slices.Contains(expected, h.Latest) {
			return ErrConflict
		}
		versions = h.Latest // they are numbered without gaps
		if _, err := tx.ExecContext(ctx, `DELETE FROM graph WHERE id = ?`, id); err != nil {
			return err
		}
		return s.follower.GraphDeleted(ctx, tx, user, id)
	})
	return versions, err
}

// state finds what changes of a graph.
func (s *Store) state(ctx context.Context, user, graphID string) (state, error) {
	id, ok := parseID(graphID)
	if !ok || strings.ContainsRune(user, 0) {
		return state{}, ErrNotFound
	}
	return s.states.state(ctx, user, id)
}

func (s *Store) get(ctx context.Context, user, graphID string, version int, choose func(state) int) (*Graph, error) {
	id, ok := parseID(graphID)
	if !ok || version < 0 {
		return nil, ErrNotFound
	}
	mark := s.cache.mark()
	h, err := s.state(ctx, user, id)
	if err != nil {
		return nil, err
	}
	if version == 0 {
		version = choose(h)
	}
	if g, ok := s.cache.confirm(id, version, user, h.active); ok {
		return g, nil
	}
	g, size, err := s.load(ctx, user, id, version, h)
	if err != nil {
		return nil, err
	}
	s.cache.put(mark, g, size)
	return g, nil
}

func (s *Store) load(ctx context.Context, user, id string, version int, h state) (*Graph, int, error) {
	var name, description, document string
	var createdAt time.Time
	err := s.db.QueryRowContext(ctx, `
		SELECT name, description, document, created_at FROM graph_version WHERE graph_id = ? AND version = ?`, id, version).
		Scan(&name, &description, &document, &createdAt)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, 0, ErrNotFound
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read graph: %w", err)
	}
	g, err := decodeStored(document)
	if err != nil {
		return nil, 0, fmt.Errorf("read graph %s, version %d: %w", id, version, err)
	}
	g.ID, g.Version, g.UserID, g.Name, g.Description = id, version, user, name, description
	g.IsActive, g.CreatedAt, g.UpdatedAt = version == h.active, h.createdAt, createdAt
	return g, len(document), nil
}

func (s *Store) inTx(ctx context.Context, what string, do func(context.Context, bun.Tx) error) error {
	err := s.db.RunInTx(ctx, nil, do)
	if err == nil || errors.Is(err, ErrNotFound) || errors.Is(err, ErrConflict) {
		return err
	}
	return fmt.Errorf("%s: %w", what, err)
}

func insertSubGraphs(ctx context.Context, tx bun.Tx, user string, g *Graph) error {
	for i := range g.SubGraphs {
		if err := insertGraph(ctx, tx, user, &g.SubGraphs[i]); err != nil {
			return err
		}
	}
	return nil
}

func insertGraph(ctx context.Context, tx bun.Tx, user string, g *Graph) error {
	g.Version = 1
	err := tx.QueryRowContext(ctx, `
		INSERT INTO graph (id, user_id, active_version, latest_version, created_at, updated_at, searched)
		VALUES (?0, ?3, 1, 1, clock_timestamp(), clock_timestamp(), `+searched+`) RETURNING created_at, updated_at`, g.ID, g.Name, g.Description, user).
		Scan(&g.CreatedAt, &g.UpdatedAt)
	if err != nil {
		return fmt.Errorf("insert graph: %w", err)
	}
	return insertVersion(ctx, tx, user, g)
}

func insertVersion(ctx context.Context, tx bun.Tx, user string, g *Graph) error {
	g.UserID, g.IsActive = user, true
	err := tx.QueryRowContext(ctx, `
		INSERT INTO graph_version (graph_id, version, name, description, document, created_at)
		VALUES (?, ?, ?, ?, ?, ?) RETURNING (SELECT created_at FROM graph WHERE id = graph_id)`,
		g.ID, g.Version, g.Name, g.Description, encodeDocument(g), g.UpdatedAt).Scan(&g.CreatedAt)
	if err != nil {
		return fmt.Errorf("insert version: %w", err)
	}
	return nil
}

func scanSummaries(rows *sql.Rows) ([]Summary, error) {
	defer func() { _ = rows.Close() }()
	list := []Summary{}
	for rows.Next() {
		var s Summary
		if err := rows.Scan(&s.ID, &s.Version, &s.Name, &s.Description, &s.IsActive, &s.CreatedAt, &s.UpdatedAt); err != nil {
			return nil, fmt.Errorf("read graphs: %w", err)
		}
		list = append(list, s)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read graphs: %w", err)
	}
	return list, nil
}

// parseID accepts UUIDs in their usual form only; everything else names nothing.
func parseID(id string) (string, bool) {
	parsed, err := uuid.Parse(id)
	return parsed.String(), err == nil && len(id) == 36
}
