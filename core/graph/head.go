package graph

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"
)

// Head is a graph without what is in it, described by one of its versions.
type Head struct {
	UserID, GraphID      string
	Active, Latest       int
	Version              int // the one described
	Name, Description    string
	CreatedAt, UpdatedAt time.Time
}

// Follower keeps something that depends on graphs. It is told within the transaction that changes one, whose row is
// locked, with the active version described; its error undoes the change. That sub-graphs came along with another
// graph is not told.
type Follower interface {
	GraphCreated(ctx context.Context, tx bun.Tx, h *Head) error
	GraphChanged(ctx context.Context, tx bun.Tx, h *Head) error
	GraphDeleted(ctx context.Context, tx bun.Tx, user, graphID string) error
}

// Hold keeps a graph of the user as it is until tx ends. It is described by a version, for version 0 by the active one.
func (s *Store) Hold(ctx context.Context, tx bun.Tx, user, graphID string, version int) (*Head, error) {
	id, ok := parseID(graphID)
	if !ok || version < 0 {
		return nil, ErrNotFound
	}
	h, err := lock(ctx, tx, user, id, "FOR SHARE")
	if err != nil {
		return nil, err
	}
	if version == 0 {
		version = h.Active
	}
	return h, h.describe(ctx, tx, version)
}

// lock finds a graph and keeps others from changing it until tx ends; with FOR UPDATE from holding it too.
func lock(ctx context.Context, tx bun.Tx, user, id, strength string) (*Head, error) {
	h := &Head{UserID: user, GraphID: id}
	err := tx.QueryRowContext(ctx, `
		SELECT active_version, latest_version, created_at, updated_at FROM graph WHERE id = ? AND user_id = ? `+strength, id, user).
		Scan(&h.Active, &h.Latest, &h.CreatedAt, &h.UpdatedAt)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("lock graph: %w", err)
	}
	return h, nil
}

func (h *Head) describe(ctx context.Context, tx bun.Tx, version int) error {
	err := tx.QueryRowContext(ctx, `SELECT version, name, description FROM graph_version WHERE graph_id = ? AND version = ?`, h.GraphID, version).
		Scan(&h.Version, &h.Name, &h.Description)
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("describe graph: %w", err)
	}
	return nil
}

// headOf is the head of a graph that was just stored.
func headOf(g *Graph) *Head {
	return &Head{
		UserID: g.UserID, GraphID: g.ID, Active: g.Version, Latest: g.Version, Version: g.Version, Name: g.Name, Description: g.Description,
		CreatedAt: g.CreatedAt, UpdatedAt: g.UpdatedAt,
	}
}

// nobody follows.
type nobody struct{}

func (nobody) GraphCreated(context.Context, bun.Tx, *Head) error          { return nil }
func (nobody) GraphChanged(context.Context, bun.Tx, *Head) error          { return nil }
func (nobody) GraphDeleted(context.Context, bun.Tx, string, string) error { return nil }
