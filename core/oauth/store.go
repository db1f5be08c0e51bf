package oauth

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
)

// state is an account that is being connected.
type state struct {
	Browser  []byte // digest
	User     string
	Provider string
	Scopes   []string
	ReturnTo string
	Sealed   []byte
}

func (s *Service) keepState(ctx context.Context, text string, st *state) error {
	_, err := s.DB.ExecContext(ctx, `
		WITH gone AS (DELETE FROM oauth_state WHERE expires_at < now())
		INSERT INTO oauth_state (digest, browser, user_id, provider, scopes, return_to, sealed, expires_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, now() + ? * interval '1 second')`, // oauth_state_by_end
		digest(text), st.Browser, st.User, st.Provider, pgdialect.Array(nonNil(st.Scopes)), st.ReturnTo, st.Sealed, stateLife.Seconds())
	if err != nil {
		return fmt.Errorf("store state: %w", err)
	}
	return nil
}

// takeState deletes a state and gives it to whom it belongs. To others it is as if there were none, and stays. Digests
// are compared, and of 256 random bits: how long that takes tells nothing.
func (s *Service) takeState(ctx context.Context, c Callback) (*state, error) {
	st := &state{Provider: c.Provider}
	err := s.DB.QueryRowContext(ctx, `
		DELETE FROM oauth_state
		WHERE digest = ? AND provider = ? AND expires_at > now() AND CASE WHEN ? <> '' THEN user_id = ? ELSE browser = ? END
		RETURNING user_id, scopes, return_to, sealed`,
		digest(c.State), c.Provider, c.User, c.User, digest(c.Browser)).Scan(&st.User, pgdialect.Array(&st.Scopes), &st.ReturnTo, &st.Sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, wrongState()
	}
	if err != nil {
		return nil, fmt.Errorf("take state: %w", err)
	}
	return st, nil
}

// claim begins a refresh, unless somebody else is at it. cutOff says that an earlier one never came to its end.
func (s *Service) claim(ctx context.Context, credential string, attempt uuid.UUID) (claimed, cutOff bool, err error) {
	cutOff, err = one[bool](ctx, s.DB, `
		INSERT INTO oauth_refresh AS old (credential_id, server_id, attempt, until) VALUES (?, ?, ?, now() + ? * interval '1 second')
		ON CONFLICT (credential_id) DO UPDATE SET server_id = EXCLUDED.server_id, attempt = EXCLUDED.attempt, until = EXCLUDED.until
		WHERE old.until <= now() OR old.until > EXCLUDED.until + (EXCLUDED.until - now()) -- from before the clock was put back
		RETURNING (xmax <> 0)`, credential, s.ServerID, attempt, s.lease.Seconds())
	if errors.Is(err, errNone) {
		return false, false, nil
	}
	if err != nil {
		return false, false, fmt.Errorf("claim a refresh: %w", err)
	}
	return true, cutOff, nil
}

// keepClaim lets others see that a refresh goes on.
func (s *Service) keepClaim(ctx context.Context, credential string, attempt uuid.UUID) {
	_, err := s.DB.ExecContext(ctx, `UPDATE oauth_refresh SET until = now() + ? * interval '1 second' WHERE credential_id = ? AND attempt = ?`, s.lease.Seconds(), credential, attempt)
	if err != nil && ctx.Err() == nil {
		s.log.Warn("a refresh could not be kept; another server may begin it too", "credential", credential, "error", err)
	}
}

// release ends a refresh.
func (s *Service) release(ctx context.Context, credential string, attempt uuid.UUID) error {
	_, err := s.DB.ExecContext(ctx, `DELETE FROM oauth_refresh WHERE credential_id = ? AND attempt = ?`, credential, attempt)
	return err
}

var errNone = errors.New("no row")

// one gives the only value of the only row, or errNone.
func one[T any](ctx context.Context, db *bun.DB, query string, args ...any) (value T, err error) {
	err = db.QueryRowContext(ctx, query, args...).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		err = errNone
	}
	return value, err
}

func nonNil(list []string) []string { return append([]string{}, list...) }
