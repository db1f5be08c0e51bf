package account

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

const (
	// accessTime is how long an access token is good, unless its session ends.
	accessTime = time.Hour
	// sessionTime is how long a session goes on after it was refreshed last.
	sessionTime = 30 * 24 * time.Hour

	refreshPrefix = "pbr_"
)

// Tokens are what a client needs to go on.
type Tokens struct {
	Access    string
	ExpiresAt time.Time // of Access
	Refresh   string    // good for one use
	Login     Login
}

// LogIn begins a session. The error is ErrRefused, after the same time, whatever was wrong.
func (l *Logins) LogIn(ctx context.Context, email, password, address string) (*Tokens, error) {
	email, possible := normalEmail(email)
	succeeded, err := l.attempt(ctx, email, address)
	if err != nil {
		return nil, err
	}
	hash := l.hashing.decoy
	var login *Login
	if possible {
		found, real, err := l.find(ctx, `email = ?`, email) // login_email_key
		if err == nil {
			login, hash = found, real
		} else if !errors.Is(err, ErrNotFound) {
			return nil, err
		}
	}
	right, err := l.hashing.matches(ctx, password, hash)
	if err != nil {
		return nil, err
	}
	if !right || login == nil || login.Disabled {
		return nil, ErrRefused
	}
	succeeded(ctx)
	session, refresh := uuid.NewString(), newRefresh()
	err = l.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO session (id, user_id, expires_at) VALUES (?, ?, now() + make_interval(secs => ?))`,
			session, login.UserID, sessionTime.Seconds())
		if err != nil {
			return err
		}
		return insertRefresh(ctx, tx, session, refresh)
	})
	if err != nil {
		return nil, fmt.Errorf("begin session: %w", err)
	}
	return l.tokens(login, session, refresh)
}

// Refresh goes on with a session. A token that comes a second time was stolen, from the client or by it: the session
// ends for both. The error is then ErrRefused, as it is for unknown tokens.
func (l *Logins) Refresh(ctx context.Context, refresh string) (*Tokens, error) {
	digest, next := digestOf(refresh), newRefresh()
	var session string
	var login *Login
	err := l.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		err := tx.QueryRowContext(ctx, `UPDATE refresh_token SET is_used = true WHERE digest = ? AND NOT is_used RETURNING session_id`, digest.bytes()).
			Scan(&session)
		if err != nil {
			return err
		}
		login, err = scanLogin(tx.QueryRowContext(ctx, `
			UPDATE session SET expires_at = now() + make_interval(secs => ?) FROM login
			WHERE session.id = ? AND session.expires_at > now() AND login.user_id = session.user_id AND NOT login.is_disabled
			RETURNING login.user_id, login.email, login.is_admin, login.is_disabled, login.created_at`, sessionTime.Seconds(), session))
		if err != nil {
			return err
		}
		return insertRefresh(ctx, tx, session, next)
	})
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, l.reused(ctx, digest)
	case errors.Is(err, ErrNotFound):
		return nil, ErrRefused
	case err != nil:
		return nil, fmt.Errorf("refresh session: %w", err)
	}
	return l.tokens(login, session, next)
}

// reused ends the session of a refresh token that was used before.
func (l *Logins) reused(ctx context.Context, digest Digest) error {
	session, user, err := l.endSession(ctx, digest)
	if err != nil {
		return err
	}
	if session != "" {
		l.log.Warn("a refresh token was used twice; its session is ended", "user", user, "session", session)
	}
	return ErrRefused
}

// LogOut ends the session of a refresh token, and says whose it was. An unknown token has none to end.
func (l *Logins) LogOut(ctx context.Context, refresh string) (user string, err error) {
	_, user, err = l.endSession(ctx, digestOf(refresh))
	return user, err
}

func (l *Logins) endSession(ctx context.Context, refresh Digest) (session, user string, err error) {
	err = l.db.QueryRowContext(ctx, `
		DELETE FROM session USING refresh_token WHERE session.id = refresh_token.session_id AND refresh_token.digest = ?
		RETURNING session.id, session.user_id`, refresh.bytes()).Scan(&session, &user)
	if errors.Is(err, sql.ErrNoRows) {
		return "", "", nil
	}
	if err != nil {
		return "", "", fmt.Errorf("end session: %w", err)
	}
	l.sessions.drop(session)
	l.tellChanged(user)
	return session, user, nil
}

func (l *Logins) endSessions(ctx context.Context, user string) error {
	rows, err := l.db.QueryContext(ctx, `DELETE FROM session WHERE user_id = ? RETURNING id`, user) // session_by_user
	if err != nil {
		return fmt.Errorf("end sessions: %w", err)
	}
	defer l.tellChanged(user)
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return fmt.Errorf("end sessions: %w", err)
		}
		l.sessions.drop(id)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("end sessions: %w", err)
	}
	return nil
}

func (l *Logins) tokens(login *Login, session, refresh string) (*Tokens, error) {
	role := "authenticated"
	if login.Admin {
		role = "admin"
	}
	now := time.Now()
	until := now.Add(accessTime)
	access, err := l.signer.Sign(Claims{UserID: login.UserID, Email: login.Email, Role: role, Session: session}, now, until)
	if err != nil {
		return nil, err
	}
	return &Tokens{Access: access, ExpiresAt: until, Refresh: refresh, Login: *login}, nil
}

func newRefresh() string { return refreshPrefix + newSecret() }

func insertRefresh(ctx context.Context, tx bun.Tx, session, refresh string) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO refresh_token (digest, session_id) VALUES (?, ?)`, digestOf(refresh).bytes(), session)
	return err
}

// CheckSession says whether a session goes on. The error is ErrRefused unless the database cannot be asked.
func (s *Service) CheckSession(ctx context.Context, id string) error {
	if _, ok := s.sessions.get(id); ok {
		return nil
	}
	if _, ok := parseID(id); !ok {
		return ErrRefused
	}
	mark := s.sessions.mark()
	var goes bool
	err := s.db.QueryRowContext(ctx, `SELECT EXISTS (SELECT FROM session WHERE id = ? AND expires_at > now())`, id).Scan(&goes)
	if err != nil {
		return fmt.Errorf("find session: %w", err)
	}
	if !goes {
		return ErrRefused
	}
	s.sessions.put(mark, id, struct{}{})
	return nil
}
