package account

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// Login is an account of the server's own: a user who comes with an email and a password.
type Login struct {
	UserID    string
	Email     string
	Admin     bool
	Disabled  bool
	CreatedAt time.Time
}

// LoginChange is what an administrator changes of a login; nil leaves as it is.
type LoginChange struct {
	Password *string
	Admin    *bool
	Disabled *bool
}

// Logins are the server's own accounts, for those without an identity provider.
type Logins struct {
	*Service
	signer  Signer
	hashing passwords
}

// NewLogins keeps logins beside the accounts of s.
func NewLogins(s *Service, signer Signer) (*Logins, error) {
	p, err := newPasswords()
	return &Logins{Service: s, signer: signer, hashing: p}, err
}

// Create makes a login for a new user.
func (l *Logins) Create(ctx context.Context, email, password string, admin bool) (*Login, error) {
	address, ok := normalEmail(email)
	wrong := map[string]string{}
	if !ok {
		wrong["email"] = "is no email address"
	}
	checkPassword("password", password, wrong)
	if len(wrong) > 0 {
		return nil, &Invalid{Fields: wrong}
	}
	hash, err := l.hashing.hash(ctx, password)
	if err != nil {
		return nil, err
	}
	var made *Login
	err = l.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		id := uuid.NewString()
		if _, err := tx.ExecContext(ctx, `INSERT INTO account (id, email) VALUES (?, ?)`, id, address); err != nil {
			return err
		}
		made, err = scanLogin(tx.QueryRowContext(ctx, `
			INSERT INTO login (user_id, email, password, is_admin) VALUES (?, ?, ?, ?)
			ON CONFLICT (email) DO NOTHING RETURNING `+loginColumns, id, address, hash, admin))
		if errors.Is(err, ErrNotFound) {
			return fmt.Errorf("%w: there is an account with this email", ErrConflict)
		}
		return err
	})
	if err != nil && !errors.Is(err, ErrConflict) {
		return nil, fmt.Errorf("create account: %w", err)
	}
	return made, err
}

// List gives logins, newest first, or those with an email; and how many there are.
func (l *Logins) List(ctx context.Context, email string, offset, limit int) ([]Login, int, error) {
	filter, args := ``, []any{}
	if email != "" {
		normal, ok := normalEmail(email)
		if !ok {
			return []Login{}, 0, nil // nobody has one like that
		}
		filter, args = ` WHERE email = ?`, []any{normal} // login_email_key
	}
	var total int
	if err := l.db.QueryRowContext(ctx, `SELECT count(*) FROM login`+filter, args...).Scan(&total); err != nil {
		return nil, 0, fmt.Errorf("count accounts: %w", err)
	}
	rows, err := l.db.QueryContext(ctx, `
		SELECT `+loginColumns+` FROM login`+filter+` ORDER BY created_at DESC, user_id LIMIT ? OFFSET ?`, // login_by_age
		append(args, limit, offset)...)
	if err != nil {
		return nil, 0, fmt.Errorf("list accounts: %w", err)
	}
	defer func() { _ = rows.Close() }()
	list := []Login{}
	for rows.Next() {
		one, err := scanLogin(rows)
		if err != nil {
			return nil, 0, fmt.Errorf("read accounts: %w", err)
		}
		list = append(list, *one)
	}
	if err := rows.Err(); err != nil {
		return nil, 0, fmt.Errorf("read accounts: %w", err)
	}
	return list, total, nil
}

// HasAdmin says whether an administrator can log in.
func (l *Logins) HasAdmin(ctx context.Context) (bool, error) {
	var there bool
	err := l.db.QueryRowContext(ctx, `SELECT EXISTS (SELECT FROM login WHERE is_admin AND NOT is_disabled)`).Scan(&there)
	if err != nil {
		return false, fmt.Errorf("look for an administrator: %w", err)
	}
	return there, nil
}

// Change changes a login and ends its sessions, so that what it was before counts nowhere any more; no change does neither. While it is disabled
// the keys of its user are refused too.
func (l *Logins) Change(ctx context.Context, user string, c LoginChange) (*Login, error) {
	if c == (LoginChange{}) {
		login, _, err := l.find(ctx, `user_id = ?`, user)
		if errors.Is(err, ErrNotFound) {
			err = fmt.Errorf("account %w", ErrNotFound)
		}
		return login, err
	}
	var hash *string
	if c.Password != nil {
		wrong := map[string]string{}
		if checkPassword("password", *c.Password, wrong); len(wrong) > 0 {
			return nil, &Invalid{Fields: wrong}
		}
		made, err := l.hashing.hash(ctx, *c.Password)
		if err != nil {
			return nil, err
		}
		hash = &made
	}
	changed, err := scanLogin(l.db.QueryRowContext(ctx, `
		UPDATE login SET password = coalesce(?, password), is_admin = coalesce(?, is_admin), is_disabled = coalesce(?, is_disabled)
		WHERE user_id = ? RETURNING `+loginColumns, hash, c.Admin, c.Disabled, user))
	if errors.Is(err, ErrNotFound) {
		return nil, fmt.Errorf("account %w", ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("change account: %w", err)
	}
	if c.Disabled != nil {
		l.keys.dropAll() // a disabled account's keys are refused
	}
	return changed, l.endSessions(ctx, user)
}

// ChangePassword is for users themselves, who know the password that they have. It ends all their sessions.
func (l *Logins) ChangePassword(ctx context.Context, user, current, next, address string) error {
	wrong := map[string]string{}
	if checkPassword("new_password", next, wrong); len(wrong) > 0 {
		return &Invalid{Fields: wrong}
	}
	login, hash, err := l.find(ctx, `user_id = ?`, user)
	if errors.Is(err, ErrNotFound) {
		return fmt.Errorf("account %w", ErrNotFound) // whose password lies with an identity provider
	}
	if err != nil {
		return err
	}
	done, err := l.attempt(ctx, login.Email, address)
	if err != nil {
		return err
	}
	if right, err := l.hashing.matches(ctx, current, hash); err != nil {
		return err
	} else if !right {
		return &Invalid{Fields: map[string]string{"current_password": "is wrong"}}
	}
	done(ctx)
	_, err = l.Change(ctx, user, LoginChange{Password: &next})
	return err
}

func (l *Logins) find(ctx context.Context, condition string, arg any) (*Login, string, error) {
	var hash string
	login, err := scanLogin(l.db.QueryRowContext(ctx, `SELECT `+loginColumns+`, password FROM login WHERE `+condition, arg), &hash)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, "", fmt.Errorf("find account: %w", err)
	}
	return login, hash, err
}

const loginColumns = `user_id, email, is_admin, is_disabled, created_at`

func scanLogin(r row, more ...any) (*Login, error) {
	var l Login
	err := r.Scan(append([]any{&l.UserID, &l.Email, &l.Admin, &l.Disabled, &l.CreatedAt}, more...)...)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrNotFound
	}
	return &l, err
}

// normalEmail is an address as it is compared.
func normalEmail(email string) (string, bool) {
	email = strings.ToLower(strings.TrimSpace(email))
	name, domain, _ := strings.Cut(email, "@")
	ok := name != "" && domain != "" && !strings.Contains(domain, "@") && len(email) <= 320 && utf8.ValidString(email) &&
		!strings.ContainsFunc(email, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) })
	return email, ok
}
