package credential

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/go-hclog"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"github.com/patchbay-io/patchbay/core/postgres"
)

// maxCredentials bounds what a user may have.
const maxCredentials = 500

// Vault keeps the credentials of users. Every method but the rotation sees those of one user alone.
type Vault struct {
	db      *bun.DB
	keys    *Keyring
	log     hclog.Logger
	opening *postgres.Statement
	revoker Revoker
	batch   int // of a step of a rotation
}

// Revoker tells a provider that a credential is given up. It is asked when the credential has gone, and its failure
// brings nothing back.
type Revoker interface {
	Revoke(ctx context.Context, c *Credential, s *Secret) (revoked bool, err error)
}

// New opens the vault. Credentials that are encrypted under a key which the keyring lacks are a *LostKeyError.
func New(ctx context.Context, db *bun.DB, keys *Keyring, log hclog.Logger) (*Vault, error) {
	v := &Vault{db: db, keys: keys, log: log, batch: rotationBatch}
	v.opening = postgres.NewStatement(db, `SELECT `+columns+`, key_id, sealed FROM credential WHERE id = $1 AND user_id = $2`)
	current, err := keys.current()
	if err != nil {
		return nil, err
	}
	if err := checkKeys(ctx, db, current); err != nil {
		return nil, err
	}
	return v, nil
}

// Close gives up what the vault holds of the database's connections.
func (v *Vault) Close() { v.opening.Close() }

// RevokeWith has somebody told of OAuth credentials that are deleted. It comes before anything is.
func (v *Vault) RevokeWith(r Revoker) { v.revoker = r }

// LostKeyError says that the database holds credentials that cannot be decrypted.
type LostKeyError struct{ IDs []KeyID }

func (e *LostKeyError) Error() string {
	ids := make([]string, len(e.IDs))
	for i, id := range e.IDs {
		ids[i] = string(id)
	}
	return "the database holds credentials that are encrypted under the key " + strings.Join(ids, ", ") + ", which this server lacks"
}

// checkKeys refuses keys that are not all that credentials are encrypted under.
func checkKeys(ctx context.Context, db bun.IDB, keys *Keys) error {
	// One look into credential_by_key for each key.
	rows, err := db.QueryContext(ctx, `
		WITH RECURSIVE used AS (
			(SELECT key_id FROM credential ORDER BY key_id LIMIT 1)
			UNION ALL
			SELECT (SELECT key_id FROM credential WHERE key_id > used.key_id ORDER BY key_id LIMIT 1) FROM used WHERE used.key_id IS NOT NULL
		)
		SELECT key_id FROM used WHERE key_id IS NOT NULL AND key_id <> ALL(?)`, pgdialect.Array(append([]KeyID{}, keys.ids...)))
	if err != nil {
		return fmt.Errorf("look for the keys of stored credentials: %w", err)
	}
	defer func() { _ = rows.Close() }()
	lost := &LostKeyError{}
	for rows.Next() {
		var id KeyID
		if err := rows.Scan(&id); err != nil {
			return fmt.Errorf("look for the keys of stored credentials: %w", err)
		}
		lost.IDs = append(lost.IDs, id)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("look for the keys of stored credentials: %w", err)
	}
	if lost.IDs != nil {
		return lost
	}
	return nil
}

// fitting gives the keys if they are all that credentials are encrypted under.
func (v *Vault) fitting(ctx context.Context) (*Keys, error) {
	for {
		keys, err := v.keys.current()
		if err != nil {
			return nil, err
		}
		err = checkKeys(ctx, v.db, keys)
		if err == nil {
			return keys, nil
		}
		if again, _ := v.keys.current(); again == keys {
			return nil, err
		} // a new key came in between
	}
}

// Add stores a credential with its secret under a new id. Of c it takes what its user and its provider decide.
func (v *Vault) Add(ctx context.Context, c Credential, s *Secret) (*Credential, error) {
	keys, err := v.fitting(ctx) // two servers with keys of their own would each lock the other out
	if err != nil {
		return nil, err
	}
	c.ID = uuid.Must(uuid.NewV7()).String()
	cipher, err := keys.sealFor(&c, s)
	if err != nil {
		return nil, err
	}
	if c.Scopes == nil {
		c.Scopes = []string{}
	}
	// Two requests at the same moment may pass the bound by one; it is there against thousands.
	added, err := scan(v.db.QueryRowContext(ctx, `
		INSERT INTO credential (id, user_id, provider, type, title, username, host, scopes, expires_at, key_id, sealed)
		SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?
		WHERE (SELECT count(*) FROM credential WHERE user_id = ?) < ?
		RETURNING `+columns, // credential_by_user
		c.ID, c.UserID, c.Provider, c.Type, c.Title, c.Username, c.Host, pgdialect.Array(c.Scopes), c.ExpiresAt, keys.Primary(), cipher,
		c.UserID, maxCredentials))
	if errors.Is(err, ErrNotFound) {
		return nil, fmt.Errorf("%w: there can be %d integrations; delete one", ErrConflict, maxCredentials)
	}
	if err != nil {
		return nil, fmt.Errorf("store credential: %w", err)
	}
	if c.Default {
		return v.Update(ctx, c.UserID, c.ID, Change{Default: &c.Default})
	}
	return added, nil
}

// Replace stores another secret, and what else of c has changed with it: username, scopes, expiry and whether its user
// has to sign in again. db may be a transaction. ErrNotFound means that the credential has been deleted.
func (v *Vault) Replace(ctx context.Context, db bun.IDB, c *Credential, s *Secret) (*Credential, error) {
	keys, err := v.keys.current()
	if err != nil {
		return nil, err
	}
	cipher, err := keys.sealFor(c, s)
	if err != nil {
		return nil, err
	}
	if c.Scopes == nil {
		c.Scopes = []string{}
	}
	replaced, err := scan(db.QueryRowContext(ctx, `
		UPDATE credential SET username = ?, scopes = ?, expires_at = ?, reauthorize = ?, key_id = ?, sealed = ?, updated_at = now()
		WHERE id = ? AND user_id = ? RETURNING `+columns,
		c.Username, pgdialect.Array(c.Scopes), c.ExpiresAt, c.Reauthorize, keys.Primary(), cipher, c.ID, c.UserID))
	if err != nil {
		return nil, fmt.Errorf("replace credential: %w", err)
	}
	return replaced, nil
}

// Reauthorize notes why a credential cannot be used until its user signs in again.
func (v *Vault) Reauthorize(ctx context.Context, db bun.IDB, user, id, why string) error {
	_, err := db.ExecContext(ctx, `UPDATE credential SET reauthorize = ?, updated_at = now() WHERE id = ? AND user_id = ?`, why, id, user)
	if err != nil {
		return fmt.Errorf("note that a credential needs authorisation: %w", err)
	}
	return nil
}

// List gives a user's credentials, newest first, and how many there are; those of one provider unless that is empty,
// and all of them if limit is 0.
func (v *Vault) List(ctx context.Context, user, provider string, offset, limit int) ([]Credential, int, error) {
	if limit == 0 {
		limit = maxCredentials + 10 // see Add
	}
	if strings.ContainsRune(provider, 0) { // no text in Postgres has it
		return nil, 0, nil
	}
	var total int
	err := v.db.QueryRowContext(ctx, `SELECT count(*) FROM credential WHERE user_id = ? AND (provider = ? OR ? = '')`, user, provider, provider).Scan(&total)
	if err != nil {
		return nil, 0, fmt.Errorf("count credentials: %w", err)
	}
	rows, err := v.db.QueryContext(ctx, `
		SELECT `+columns+` FROM credential WHERE user_id = ? AND (provider = ? OR ? = '')
		ORDER BY created_at DESC, id DESC LIMIT ? OFFSET ?`, user, provider, provider, limit, offset) // credential_by_user
	if err != nil {
		return nil, 0, fmt.Errorf("list credentials: %w", err)
	}
	defer func() { _ = rows.Close() }()
	list := []Credential{}
	for rows.Next() {
		c, err := scan(rows)
		if err != nil {
			return nil, 0, fmt.Errorf("read credentials: %w", err)
		}
		list = append(list, *c)
	}
	if err := rows.Err(); err != nil {
		return nil, 0, fmt.Errorf("read credentials: %w", err)
	}
	return list, total, nil
}

// Unusable says of those of the ids that the user does not have, or has to authorise again, why they cannot be used.
func (v *Vault) Unusable(ctx context.Context, user string, ids []string) (map[string]string, error) {
	known, _, err := v.List(ctx, user, "", 0, 0)
	if err != nil {
		return nil, err
	}
	why := map[string]string{}
	for _, id := range ids {
		i := slices.IndexFunc(known, func(c Credential) bool { return c.ID == id })
		if i < 0 {
			why[id] = Unknown(id)
		} else if c := &known[i]; c.Reauthorize != "" {
			why[id] = "Credentials not available: " + (&NeedsReauthorization{ID: c.ID, Provider: c.Provider, Title: c.Title, Reason: c.Reauthorize}).Error()
		}
	}
	return why, nil
}

// Find gives one of a user's credentials.
func (v *Vault) Find(ctx context.Context, user, id string) (*Credential, error) {
	id, ok := parseID(id)
	if !ok {
		return nil, fmt.Errorf("integration %w", ErrNotFound)
	}
	c, err := scan(v.db.QueryRowContext(ctx, `SELECT `+columns+` FROM credential WHERE id = ? AND user_id = ?`, id, user))
	if err != nil {
		return nil, fmt.Errorf("integration %w", err)
	}
	return c, nil
}

// Open gives a credential with its secret. One that cannot be decrypted is a *Damaged.
func (v *Vault) Open(ctx context.Context, user, id string) (*Credential, *Secret, error) {
	id, ok := parseID(id)
	if !ok {
		return nil, nil, fmt.Errorf("integration %w", ErrNotFound)
	}
	var key KeyID
	var cipher []byte
	c, err := scan(statementRow{ctx, v.opening, []any{id, user}}, &key, &cipher)
	if err != nil {
		return nil, nil, fmt.Errorf("integration %w", err)
	}
	s, err := v.unseal(c, key, cipher)
	if err != nil {
		v.log.Warn("a stored credential cannot be decrypted", "credential", c.ID, "provider", c.Provider, "error", causeOf(err))
	}
	return c, s, err
}

// unseal decrypts the secret of a credential that is as it was when the secret was sealed.
func (v *Vault) unseal(c *Credential, key KeyID, cipher []byte) (*Secret, error) {
	s, err := v.decrypt(c, key, cipher)
	if err == nil && s.For != "" && s.For != c.purpose() {
		return nil, damaged(c, errors.New("its row says that it is for something else than it was stored for"))
	}
	return s, err
}

// decrypt needs a credential's id and user only.
func (v *Vault) decrypt(c *Credential, key KeyID, cipher []byte) (*Secret, error) {
	keys, err := v.keys.current()
	if err != nil {
		return nil, err
	}
	if !keys.Has(key) {
		return nil, damaged(c, &LostKeyError{IDs: []KeyID{key}})
	}
	s, err := keys.open(c.UserID, c.ID, cipher)
	if err != nil {
		return nil, damaged(c, err)
	}
	return s, nil
}

func damaged(c *Credential, cause error) error {
	return &Damaged{ID: c.ID, Provider: c.Provider, Title: c.Title, cause: cause}
}

// causeOf is an error as the log tells it.
func causeOf(err error) error {
	if damaged, ok := errors.AsType[*Damaged](err); ok {
		return damaged.cause
	}
	return err
}

// usedLazily is the pause between notes of a credential's use.
const usedLazily = time.Minute

// Used notes that a credential is used, which may be late by a minute.
func (v *Vault) Used(ctx context.Context, c *Credential) {
	if c.LastUsedAt != nil && time.Since(*c.LastUsedAt) < usedLazily {
		return
	}
	_, err := v.db.ExecContext(ctx, `
		UPDATE credential SET last_used_at = now() WHERE id = ? AND user_id = ? AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')`, c.ID, c.UserID)
	if err != nil && ctx.Err() == nil {
		v.log.Warn("the use of a credential could not be noted", "credential", c.ID, "error", err)
	}
}

// Change is what a user changes of a credential; nil leaves as it is.
type Change struct {
	Title   *string
	Default *bool
}

// Update changes what ch names. To make one credential the default makes the provider's others none.
func (v *Vault) Update(ctx context.Context, user, id string, ch Change) (*Credential, error) {
	if ch.Title != nil {
		wrong := map[string]string{}
		checkTitle(strings.TrimSpace(*ch.Title), wrong)
		if len(wrong) > 0 {
			return nil, &Invalid{Fields: wrong}
		}
		trimmed := strings.TrimSpace(*ch.Title)
		ch.Title = &trimmed
	}
	known, err := v.Find(ctx, user, id)
	if err != nil {
		return nil, err
	}
	var changed *Credential
	err = v.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if ch.Default != nil && *ch.Default {
			_, err := tx.ExecContext(ctx, `
				UPDATE credential SET is_default = false WHERE user_id = ? AND provider = ? AND is_default AND id <> ?`, user, known.Provider, known.ID)
			if err != nil {
				return err
			}
		}
		var err error
		changed, err = scan(tx.QueryRowContext(ctx, `
			UPDATE credential SET title = coalesce(?, title), is_default = coalesce(?, is_default), updated_at = now()
			WHERE id = ? AND user_id = ? RETURNING `+columns, ch.Title, ch.Default, known.ID, user))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("change integration: %w", err)
	}
	return changed, nil
}

// revoking bounds the time that a provider has to revoke a credential.
const revoking = 10 * time.Second

// Delete removes a credential at once, and then tells its provider. revoked says that the provider has agreed.
func (v *Vault) Delete(ctx context.Context, user, id string) (revoked bool, err error) {
	id, ok := parseID(id)
	if !ok {
		return false, fmt.Errorf("integration %w", ErrNotFound)
	}
	var key KeyID
	var cipher []byte
	c, err := scan(v.db.QueryRowContext(ctx, `
		DELETE FROM credential WHERE id = ? AND user_id = ? RETURNING `+columns+`, key_id, sealed`, id, user), &key, &cipher)
	if err != nil {
		return false, fmt.Errorf("integration %w", err)
	}
	if v.revoker == nil || c.Type != OAuth2 {
		return false, nil
	}
	s, err := v.unseal(c, key, cipher)
	if err == nil {
		// It goes on when the client does not wait.
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), revoking)
		defer cancel()
		revoked, err = v.revoker.Revoke(limited, c, s)
	}
	if err != nil {
		v.log.Warn("a deleted credential could not be revoked at its provider", "credential", c.ID, "provider", c.Provider, "error", causeOf(err))
	}
	return revoked, nil
}

const columns = `id, user_id, provider, type, title, username, host, scopes, expires_at, reauthorize, is_default, created_at, updated_at, last_used_at`

type row interface{ Scan(into ...any) error }

// statementRow is the row of a prepared statement.
type statementRow struct {
	ctx       context.Context
	statement *postgres.Statement
	args      []any
}

func (r statementRow) Scan(into ...any) error { return r.statement.Row(r.ctx, r.args, into...) }

func scan(r row, more ...any) (*Credential, error) {
	var c Credential
	err := r.Scan(append([]any{
		&c.ID, &c.UserID, &c.Provider, &c.Type, &c.Title, &c.Username, &c.Host, pgdialect.Array(&c.Scopes), &c.ExpiresAt,
		&c.Reauthorize, &c.Default, &c.CreatedAt, &c.UpdatedAt, &c.LastUsedAt,
	}, more...)...)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	slices.Sort(c.Scopes)
	return &c, nil
}

// parseID accepts UUIDs in their usual form only; everything else names nothing.
func parseID(id string) (string, bool) {
	parsed, err := uuid.Parse(id)
	return parsed.String(), err == nil && len(id) == 36
}
