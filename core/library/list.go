package library

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/uptrace/bun"
)

// order is what a list is sorted by, before the id.
type order struct{ key, direction string }

// orders are those of the indexes library_agent_by_update, _by_creation and _by_name, and one that has none.
var orders = map[Order]order{
	"":         {"updated_at", " DESC"},
	ByUpdate:   {"updated_at", " DESC"},
	ByCreation: {"created_at", " DESC"},
	ByName:     {`lower(left(name, 200)) COLLATE "C"`, ""},
	ByLastRun:  {"last_run_at", " DESC NULLS LAST"},
}

// List is a page of a user's library, and how many entries there are in all. Without a search the number is a kept one.
func (s *Service) List(ctx context.Context, user string, f Filter) ([]*Agent, int, error) {
	f.Search = strings.TrimSpace(f.Search)
	if !storable(f.Search) {
		return []*Agent{}, 0, nil
	}
	var total int
	var err error
	if f.Search == "" {
		total, err = s.kept(ctx, user, f)
	} else {
		err = s.matching(user, f).ColumnExpr("count(*)").Scan(ctx, &total)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("count library: %w", err)
	}
	if f.Offset >= total {
		return []*Agent{}, total, nil
	}
	rows, err := s.page(user, f).Rows(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("list library: %w", err)
	}
	defer rows.Close()
	list := []*Agent{}
	for rows.Next() {
		a := &Agent{}
		if err := rows.Scan(a.fields()...); err != nil {
			return nil, 0, fmt.Errorf("list library: %w", err)
		}
		list = append(list, a)
	}
	if err := rows.Err(); err != nil {
		return nil, 0, fmt.Errorf("list library: %w", err)
	}
	return list, total, s.addRuns(ctx, user, list...)
}

// page finds the entries of a page by the index of its order, and reads these alone. For the last executions all entries
// of the user are compared.
func (s *Service) page(user string, f Filter) *bun.SelectQuery {
	by := orders[f.Order]
	found := s.matching(user, f)
	if f.Order == ByLastRun {
		last, args := s.Executions.LastRuns(user)
		found = found.Join("LEFT JOIN ("+last+") AS runs (ran, last_run_at) ON ran = graph_id", args...)
	}
	found = found.ColumnExpr("id AS found").ColumnExpr(by.key + " AS key").OrderExpr(by.key + by.direction + ", id").
		Offset(int64(f.Offset)).Limit(int64(f.Limit))
	return s.DB.NewSelect().With("page", found).ColumnExpr(columns).TableExpr("page").Join("JOIN library_agent ON id = found").
		OrderExpr("key" + by.direction + ", found")
}

func (s *Service) matching(user string, f Filter) *bun.SelectQuery {
	q := s.DB.NewSelect().TableExpr("library_agent").Where("user_id = ?", user).Where("is_archived = ?", f.Archived)
	if f.Favorite != nil {
		q = q.Where("is_favorite = ?", *f.Favorite)
	}
	if f.Search != "" {
		q = q.Where("position(lower(?) IN searched) > 0", f.Search)
	}
	return q
}

// kept is the number of entries of a list without a search.
func (s *Service) kept(ctx context.Context, user string, f Filter) (int, error) {
	all, favorites := "listed", "listed_favorites"
	if f.Archived {
		all, favorites = "archived", "archived_favorites"
	}
	column := all
	switch {
	case f.Favorite != nil && *f.Favorite:
		column = favorites
	case f.Favorite != nil:
		column = all + " - " + favorites
	}
	var n int
	err := s.DB.QueryRowContext(ctx, `SELECT `+column+` FROM library_count WHERE user_id = ?`, user).Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return n, err
}

// addRuns tells how the agents' executions went.
func (s *Service) addRuns(ctx context.Context, user string, list ...*Agent) error {
	ids := make([]string, len(list))
	for i, a := range list {
		ids[i] = a.GraphID
	}
	runs, err := s.Executions.Tallies(ctx, user, ids)
	if err != nil {
		return err
	}
	for _, a := range list {
		a.Runs = runs[a.GraphID]
	}
	return nil
}

// storable says whether a text can be in the database at all.
func storable(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }
