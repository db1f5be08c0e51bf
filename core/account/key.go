package account

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/uptrace/bun/dialect/pgdialect"
)

// Status says whether a key works.
type Status string

// A suspended key can be activated again, a revoked one never.
const (
	Active    Status = "ACTIVE"
	Suspended Status = "SUSPENDED"
	Revoked   Status = "REVOKED"
)

// Key is what is known of an API key.
type Key struct {
	ID          string
	UserID      string
	Name        string
	Description string
	Head, Tail  string // the ends of the key
	Permissions []Permission
	Status      Status
	CreatedAt   time.Time
	ExpiresAt   *time.Time
	LastUsedAt  *time.Time
	RevokedAt   *time.Time
	digest      Digest
	email       string
}

// Email is what is known of the owner; only of keys that Verify gave.
func (k *Key) Email() string { return k.email }

// Digest is how the server knows the key that it does not keep.
func (k *Key) Digest() Digest { return k.digest }

// Draft is what its owner decides of a key. Of a change nil leaves as it is.
type Draft struct {
	Name        *string
	Description *string
	Permissions []Permission
	ExpiresAt   *time.Time
	Endless     bool // without expiry, whatever ExpiresAt is
}

// Bounds of what a user may have.
const (
	maxKeys        = 100 // that are not revoked
	maxName        = 100
	maxDescription = 1000
)

// CreateKey makes a key and gives it, this once.
func (s *Service) CreateKey(ctx context.Context, user string, d Draft) (*Key, string, error) {
	if d.Name == nil {
		d.Name = new(string)
	}
	if err := d.check(); err != nil {
		return nil, "", err
	}
	if d.Description == nil {
		d.Description = new(string)
	}
	if d.Permissions == nil {
		d.Permissions = []Permission{}
	}
	text := newKey()
	id := uuid.Must(uuid.NewV7()).String()
	// Two requests at the same moment may pass the bound by one; it is there against thousands.
	k, err := scanKey(s.db.QueryRowContext(ctx, `
		INSERT INTO api_key (id, user_id, name, description, head, tail, digest, permissions, status, expires_at)
		SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?
		WHERE (SELECT count(*) FROM api_key WHERE user_id = ? AND status <> ?) < ?
		RETURNING `+keyColumns, // api_key_by_user
		id, user, strings.TrimSpace(*d.Name), *d.Description, text[:headLength], text[len(text)-tailLength:], digestOf(text).bytes(),
		pgdialect.Array(d.Permissions), Active, d.ExpiresAt, user, Revoked, maxKeys))
	if errors.Is(err, ErrNotFound) {
		return nil, "", fmt.Errorf("%w: there can be %d API keys; revoke one", ErrConflict, maxKeys)
	}
	if err != nil {
		return nil, "", fmt.Errorf("create API key: %w", err)
	}
	return k, text, nil
}

// Keys are those of a user, revoked ones too, newest first; and how many there are.
func (s *Service) Keys(ctx context.Context, user string, offset, limit int) ([]Key, int, error) {
	var total int
	if err := s.db.QueryRowContext(ctx, `SELECT count(*) FROM api_key WHERE user_id = ?`, user).Scan(&total); err != nil {
		return nil, 0, fmt.Errorf("count API keys: %w", err)
	}
	rows, err := s.db.QueryContext(ctx, `
		SELECT `+keyColumns+` FROM api_key WHERE user_id = ?
		ORDER BY created_at DESC, id DESC LIMIT ? OFFSET ?`, user, limit, offset) // api_key_by_user
	if err != nil {
		return nil, 0, fmt.Errorf("list API keys: %w", err)
	}
	defer func() { _ = rows.Close() }()
	list := []Key{}
	for rows.Next() {
		k, err := scanKey(rows)
		if err != nil {
			return nil, 0, fmt.Errorf("read API keys: %w", err)
		}
		list = append(list, *s.withUse(k))
	}
	if err := rows.Err(); err != nil {
		return nil, 0, fmt.Errorf("read API keys: %w", err)
	}
	return list, total, nil
}

// Key is one of a user's.
func (s *Service) Key(ctx context.Context, user, id string) (*Key, error) {
	id, ok := parseID(id)
	if !ok {
		return nil, fmt.Errorf("API key %w", ErrNotFound)
	}
	k, err := scanKey(s.db.QueryRowContext(ctx, `SELECT `+keyColumns+` FROM api_key WHERE id = ? AND user_id = ?`, id, user))
	if err != nil {
		return nil, fmt.Errorf("API key %w", err)
	}
	return s.withUse(k), nil
}

// UpdateKey changes what d names, from the next request on.
func (s *Service) UpdateKey(ctx context.Context, user, id string, d Draft) (*Key, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	if d.Name != nil {
		trimmed := strings.TrimSpace(*d.Name)
		d.Name = &trimmed
	}
	var permitted any
	if d.Permissions != nil {
		permitted = pgdialect.Array(d.Permissions)
	}
	return s.change(ctx, user, id, `name = coalesce(?, name), description = coalesce(?, description),
		permissions = coalesce(?::text[], permissions), expires_at = CASE WHEN ? THEN NULL ELSE coalesce(?, expires_at) END`,
		d.Name, d.Description, permitted, d.Endless, d.ExpiresAt)
}

// SuspendKey lets a key rest until it is activated.
func (s *Service) SuspendKey(ctx context.Context, user, id string) (*Key, error) {
	return s.change(ctx, user, id, `status = ?`, Suspended)
}

// ActivateKey lets a suspended key work again.
func (s *Service) ActivateKey(ctx context.Context, user, id string) (*Key, error) {
	return s.change(ctx, user, id, `status = ?`, Active)
}

// RevokeKey ends a key for ever. It stays in the list for a while.
func (s *Service) RevokeKey(ctx context.Context, user, id string) error {
	_, err := s.change(ctx, user, id, `status = ?, revoked_at = now()`, Revoked)
	if errors.Is(err, ErrConflict) {
		return nil // it was revoked before
	}
	return err
}

// change changes a key that is not revoked.
func (s *Service) change(ctx context.Context, user, id, set string, args ...any) (*Key, error) {
	known, err := s.Key(ctx, user, id)
	if err != nil {
		return nil, err
	}
	k, err := scanKey(s.db.QueryRowContext(ctx, `
		UPDATE api_key SET `+set+` WHERE id = ? AND user_id = ? AND status <> ? RETURNING `+keyColumns,
		append(args, known.ID, user, Revoked)...))
	s.keys.drop(known.digest) // also if it failed: the change may have been committed all the same
	s.tellChanged(user)
	if errors.Is(err, ErrNotFound) {
		return nil, fmt.Errorf("%w: the API key is revoked", ErrConflict)
	}
	if err != nil {
		return nil, fmt.Errorf("change API key: %w", err)
	}
	return s.withUse(k), nil
}

func (d Draft) check() error {
	wrong := map[string]string{}
	if d.Name != nil {
		switch name := strings.TrimSpace(*d.Name); {
		case name == "":
			wrong["name"] = "must not be empty"
		case utf8.RuneCountInString(name) > maxName:
			wrong["name"] = fmt.Sprintf("must have at most %d characters", maxName)
		case strings.ContainsFunc(name, unicode.IsControl):
			wrong["name"] = "must not hold control characters"
		}
	}
	if d.Description != nil {
		switch {
		case utf8.RuneCountInString(*d.Description) > maxDescription:
			wrong["description"] = fmt.Sprintf("must have at most %d characters", maxDescription)
		case strings.ContainsRune(*d.Description, 0):
			wrong["description"] = "must not hold U+0000"
		}
	}
	for _, p := range d.Permissions {
		if !p.Known() {
			wrong["permissions"] = fmt.Sprintf("there is no permission %.40q", p)
		}
	}
	if d.ExpiresAt != nil && !d.Endless && !d.ExpiresAt.After(time.Now()) {
		wrong["expires_at"] = "must be in the future"
	}
	if len(wrong) > 0 {
		return &Invalid{Fields: wrong}
	}
	return nil
}

const keyColumns = `id, user_id, name, description, head, tail, digest, permissions, status, created_at, expires_at, last_used_at, revoked_at`

type row interface{ Scan(into ...any) error }

func scanKey(r row, more ...any) (*Key, error) {
	var k Key
	var digest []byte
	var permitted []string
	err := r.Scan(append([]any{
		&k.ID, &k.UserID, &k.Name, &k.Description, &k.Head, &k.Tail, &digest, pgdialect.Array(&permitted), &k.Status,
		&k.CreatedAt, &k.ExpiresAt, &k.LastUsedAt, &k.RevokedAt,
	}, more...)...)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	for _, p := range slices.Compact(slices.Sorted(slices.Values(permitted))) {
		k.Permissions = append(k.Permissions, Permission(p))
	}
	copy(k.digest[:], digest)
	return &k, nil
}

// parseID accepts UUIDs in their usual form only; everything else names nothing.
func parseID(id string) (string, bool) {
	parsed, err := uuid.Parse(id)
	return parsed.String(), err == nil && len(id) == 36
}
