package account

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// User is what is known of somebody whom a token named.
type User struct {
	ID       string
	Known    bool   // a token has named him, or he has an account of this server's own
	Email    string // empty: no token has named one
	Timezone string // IANA name: the user's, or else the server's
}

// User gives what is known of a user, who may be new.
func (s *Service) User(ctx context.Context, id string) (*User, error) {
	u := &User{ID: id}
	err := s.db.QueryRowContext(ctx, `SELECT email, timezone FROM account WHERE id = ?`, id).Scan(&u.Email, &u.Timezone)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("read user: %w", err)
	}
	u.Known = err == nil
	if u.Timezone == "" {
		u.Timezone = s.timezone
	}
	return u, nil
}

// Timezone is that in which a user's executions tell times: the user's own, or else the server's. It is asked for each
// execution, so that it is remembered for a moment.
func (s *Service) Timezone(ctx context.Context, user string) (string, error) {
	if known, ok := s.zones.get(user); ok {
		return known, nil
	}
	mark := s.zones.mark()
	u, err := s.User(ctx, user)
	if err != nil {
		return "", err
	}
	s.zones.put(mark, user, u.Timezone)
	return u.Timezone, nil
}

// SetTimezone changes the time zone of a user, for executions that begin from now on. What is no IANA name is an
// *Invalid.
func (s *Service) SetTimezone(ctx context.Context, user, name string) error {
	if _, err := time.LoadLocation(name); err != nil || name == "" || name == "Local" { // the server's own zone has no name
		return &Invalid{Fields: map[string]string{"timezone": "must be the name of a time zone, such as Europe/Berlin"}}
	}
	_, err := s.db.ExecContext(ctx, `
		INSERT INTO account (id, timezone) VALUES (?, ?)
		ON CONFLICT (id) DO UPDATE SET timezone = excluded.timezone, updated_at = now()`, user, name)
	if err != nil {
		return fmt.Errorf("set time zone: %w", err)
	}
	s.zones.drop(user)
	return nil
}
