package credential

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
)

// accounts is the namespace of the ids of connected accounts.
var accounts = uuid.MustParse("a3c1f7a2-6d0e-4a0b-9b6c-5b1f0e2d7c44")

// Connect stores the tokens of a user's account at a provider. The same account is the same credential whenever and
// however often it is connected: it keeps its id, title and history. An empty account is one that cannot be told from
// others, and always new.
func (v *Vault) Connect(ctx context.Context, c Credential, account string, s *Secret) (*Credential, error) {
	c.Type = OAuth2
	if account == "" {
		return v.Add(ctx, c, s)
	}
	keys, err := v.keys.current()
	if err != nil {
		return nil, err
	}
	if err := checkKeys(ctx, v.db, keys); err != nil {
		return nil, err
	}
	c.ID = uuid.NewSHA1(accounts, []byte(c.UserID+"\x00"+c.Provider+"\x00"+account)).String()
	cipher, err := keys.sealFor(&c, s)
	if err != nil {
		return nil, err
	}
	if c.Scopes == nil {
		c.Scopes = []string{}
	}
	connected, err := scan(v.db.QueryRowContext(ctx, `
		INSERT INTO credential AS old (id, user_id, provider, type, title, username, scopes, expires_at, key_id, sealed)
		SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?
		WHERE (SELECT count(*) FROM credential WHERE user_id = ? AND id <> ?) < ?
		ON CONFLICT (id) DO UPDATE SET username = EXCLUDED.username, scopes = EXCLUDED.scopes, expires_at = EXCLUDED.expires_at,
			reauthorize = '', key_id = EXCLUDED.key_id, sealed = EXCLUDED.sealed, updated_at = now()
		WHERE old.user_id = EXCLUDED.user_id AND old.provider = EXCLUDED.provider AND old.type = EXCLUDED.type
		RETURNING `+columns, // credential_by_user
		c.ID, c.UserID, c.Provider, c.Type, c.Title, c.Username, pgdialect.Array(c.Scopes), c.ExpiresAt, keys.Primary(), cipher,
		c.UserID, c.ID, maxCredentials))
	if errors.Is(err, ErrNotFound) {
		return nil, fmt.Errorf("%w: there can be %d integrations; delete one", ErrConflict, maxCredentials)
	}
	if err != nil {
		return nil, fmt.Errorf("store credential: %w", err)
	}
	return connected, nil
}

// Refreshed stores tokens that came for a refresh token, unless the credential has another one by now, or has gone.
func (v *Vault) Refreshed(ctx context.Context, c *Credential, used string, s *Secret) error {
	return v.unlessChanged(ctx, c, used, func(ctx context.Context, tx bun.Tx) error {
		_, err := v.Replace(ctx, tx, c, s)
		return err
	})
}

// RefreshRefused notes why the user has to sign in again, unless the credential has another refresh token by now.
func (v *Vault) RefreshRefused(ctx context.Context, c *Credential, used, why string) error {
	return v.unlessChanged(ctx, c, used, func(ctx context.Context, tx bun.Tx) error {
		return v.Reauthorize(ctx, tx, c.UserID, c.ID, why)
	})
}

// unlessChanged lets a credential change if its refresh token is the one that was used.
func (v *Vault) unlessChanged(ctx context.Context, c *Credential, used string, change func(context.Context, bun.Tx) error) error {
	return v.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		var key KeyID
		var cipher []byte
		now, err := scan(tx.QueryRowContext(ctx, `
			SELECT `+columns+`, key_id, sealed FROM credential WHERE id = ? AND user_id = ? FOR UPDATE`, c.ID, c.UserID), &key, &cipher)
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("lock credential: %w", err)
		}
		kept, err := v.unseal(now, key, cipher)
		if err != nil || kept.RefreshToken != used {
			return err
		}
		return change(ctx, tx)
	})
}

// Seal encrypts a secret that is kept elsewhere, for a user and a name. Names are not those of credentials, which are
// UUIDs, if they hold a colon.
func (v *Vault) Seal(user, name string, s *Secret) ([]byte, error) {
	keys, err := v.keys.current()
	if err != nil {
		return nil, err
	}
	return keys.seal(user, name, s)
}

// Unseal decrypts what Seal has encrypted for the same user and name.
func (v *Vault) Unseal(user, name string, cipher []byte) (*Secret, error) {
	keys, err := v.keys.current()
	if err != nil {
		return nil, err
	}
	return keys.open(user, name, cipher)
}
